//! What a model reads of a conversation or of a row, token by token, and what it learns of it.

use std::ops::Range;

use super::chat::{ChatError, ChatTemplate};
use super::encode::{Encoded, Limits, Unworded, encode_example, kept};
use super::example::{Example, Turn};
use super::tokenizer::Tokenizer;
use super::wording::{Worded, Wording};

/// Text as a model reads it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Learned {
    /// The text.
    pub text: String,
    /// Ids of its tokens.
    pub ids: Vec<u32>,
    /// Where each token stands in the text, in bytes; of a token that is not written there, an empty place.
    pub places: Vec<Range<usize>>,
    /// Which tokens a loss predicts.
    pub loss: Vec<bool>,
    /// Answers that are not learned because the template writes them otherwise once others follow.
    pub rewritten: usize,
}

impl Learned {
    /// Reads messages by the template of a model: what the assistant says is learned, with the token that ends it.
    ///
    /// The text is encoded as a whole. A token belongs to an answer if it starts in it; what a template writes after
    /// the token that ends an answer, such as a line end, is not learned.
    ///
    /// # Errors
    /// Messages that the template refuses or fails on.
    pub fn of_messages(tokenizer: &Tokenizer, template: &ChatTemplate, messages: &[Turn]) -> Result<Self, ChatError> {
        let rendered = template.conversation(messages)?;
        let (ids, places): (Vec<u32>, Vec<Range<usize>>) =
            tokenizer.encode_in_place(&rendered.text).into_iter().unzip();
        let mut loss = vec![false; ids.len()];
        for answer in &rendered.answers {
            let within: Vec<usize> = (0..ids.len()).filter(|&place| answer.contains(&places[place].start)).collect();
            let last = within.iter().rposition(|&place| tokenizer.ends().contains(&ids[place]));
            for &place in &within[..last.map_or(within.len(), |last| last + 1)] {
                loss[place] = true;
            }
        }
        Ok(Self { text: rendered.text, ids, places, loss, rewritten: rendered.rewritten })
    }

    /// Reads messages to be answered, of which nothing is learned.
    ///
    /// # Errors
    /// As for [`of_messages`](Self::of_messages).
    pub fn to_answer(tokenizer: &Tokenizer, template: &ChatTemplate, messages: &[Turn]) -> Result<Self, ChatError> {
        let text = template.render(messages, true)?;
        let (ids, places): (Vec<u32>, Vec<Range<usize>>) = tokenizer.encode_in_place(&text).into_iter().unzip();
        let loss = vec![false; ids.len()];
        Ok(Self { text, ids, places, loss, rewritten: 0 })
    }

    /// Reads an example as training does; none if its response is too long.
    ///
    /// # Errors
    /// A template that fails on it.
    pub fn of_example(
        tokenizer: &Tokenizer,
        example: &Example,
        wording: &Wording,
        limits: Limits,
    ) -> Result<Option<Self>, Unworded> {
        let Encoded::Fits { sequence, clipped } = encode_example(tokenizer, 0, example, wording, limits)? else {
            return Ok(None);
        };
        let worded = wording.whole(example).map_err(|error| Unworded { id: example.id.clone(), source: error })?;
        let Worded { mut text, response, is_whole } = worded;
        let within = |from: usize, to: usize| {
            let places = tokenizer.encode_in_place(&text[from..to]).into_iter();
            places.map(move |(_, place)| place.start + from..place.end + from)
        };
        let mut places: Vec<Range<usize>> = match is_whole {
            true => within(0, text.len()).collect(),
            false => {
                let prompt: Vec<Range<usize>> = within(0, response).collect();
                // What stands before every text is not written there.
                let before = tokenizer.encode_begun(&text[..response]).len() - prompt.len();
                vec![0..0; before].into_iter().chain(prompt).chain(within(response, text.len())).collect()
            }
        };
        if clipped > 0 {
            let kept = kept(tokenizer, &sequence.tokens, sequence.response_start);
            places.drain(kept..kept + clipped);
            let cut = places.get(kept).map_or(0, |place| place.start);
            places.iter_mut().for_each(|place| *place = place.start.saturating_sub(cut)..place.end.saturating_sub(cut));
            text.drain(..cut);
        }
        // The end of sequence, where no template writes one.
        places.resize(sequence.tokens.len(), text.len()..text.len());
        let loss = (0..sequence.tokens.len()).map(|place| place >= sequence.response_start).collect();
        Ok(Some(Self { text, ids: sequence.tokens, places, loss, rewritten: 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::settings::TokenizerSource;

    #[test]
    fn tokens_stand_where_they_are_written_also_behind_what_a_text_begins_with() {
        let source = TokenizerSource::ByteLevelBpe { vocabulary: 258, data: None };
        let tokenizer = Tokenizer::train(&source, &["a cell".to_owned()]).unwrap();
        let example = Example { question: "ab?".into(), answer: "cd".into(), ..Example::default() };
        for tokenizer in [Tokenizer::train(&source, &["a cell".to_owned()]).unwrap(), tokenizer.beginning_with(0)] {
            let begins = tokenizer.beginning().len();
            for max_length in [1000, 12] {
                let limits = Limits { max_length, max_prompt: None };
                let learned =
                    Learned::of_example(&tokenizer, &example, &Wording::plain(true), limits).unwrap().unwrap();
                // Every token is a byte, but for what begins and what ends.
                let read: Vec<&str> = learned.places.iter().map(|place| &learned.text[place.clone()]).collect();
                let (written, ends) = (read.len() - begins - 1, read.len() - 1);
                assert_eq!(read[begins..ends].concat(), learned.text);
                assert_eq!(learned.text.len(), written);
                assert!(read[..begins].iter().chain(&read[ends..]).all(|text| text.is_empty()));
                assert!(max_length == 1000 || learned.ids.len() == 12 && learned.ids[..begins] == [0][..begins]);
                assert_eq!(learned.loss.iter().filter(|&&loss| loss).count(), " cd".len() + 1);
            }
        }
    }
}
