//! Turns examples and texts into token sequences.

use rayon::prelude::*;

use super::example::Example;
use super::tokenizer::Tokenizer;
use super::wording::{Worded, Wording, WordingError};

/// Version of the encoding: raise it when the same words and tokenizer would give other sequences than
/// before. It is part of the key of every stage that reads sequences.
pub const VERSION: u32 = 1;

/// Holds the tokens of one training sequence: prompt, response, end of sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Index of the example (of the block, for pretraining).
    pub example: usize,
    /// Token ids `[length]`.
    pub tokens: Vec<u32>,
    /// Index of the first token that a loss predicts; at least 1.
    pub response_start: usize,
}

/// Says how an example fitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encoded {
    /// The sequence, and how many tokens its prompt lost at the left.
    Fits {
        /// The sequence.
        sequence: Sequence,
        /// Prompt tokens cut off; 0 for most.
        clipped: usize,
    },
    /// The response and one token of prompt are longer than `max_length`: nothing to train on.
    ResponseTooLong {
        /// Tokens of the response, end of sequence included.
        response: usize,
    },
}

/// Counts what did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Misfits {
    /// Sequences whose prompt lost its left end.
    pub clipped_prompts: usize,
    /// Examples left out because of their response.
    pub rejected_responses: usize,
}

/// Limits the length of sequences, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest sequence, response and end of sequence included.
    pub max_length: usize,
    /// Longest prompt, if it is limited on its own.
    pub max_prompt: Option<usize>,
}

/// Encodes the example with index `index`.
///
/// Prompt and response are encoded apart and joined, behind what the tokenizer puts before every text; but what a
/// chat template words is encoded as one text, which says itself how it begins, and the response is the tokens that
/// start in it, up to the one that ends it. A prompt that does not fit loses its left end, but not how it begins; a
/// response is never cut.
///
/// # Errors
/// A template that fails on the example.
pub fn encode_example(
    tokenizer: &Tokenizer,
    index: usize,
    example: &Example,
    wording: &Wording,
    limits: Limits,
) -> Result<Encoded, Unworded> {
    let (whole, mut response) = prompt_and_response(tokenizer, example, wording)?;
    if response.len() >= limits.max_length {
        let response = response.len();
        return Ok(Encoded::ResponseTooLong { response });
    }
    let room = limits.max_length - response.len();
    let room = room.min(limits.max_prompt.unwrap_or(room)).max(1);
    let (mut tokens, clipped) = cut(tokenizer, whole, room);
    let response_start = tokens.len();
    tokens.append(&mut response);
    let sequence = Sequence { example: index, tokens, response_start };
    Ok(Encoded::Fits { sequence, clipped })
}

/// Takes the left end of a prompt that is longer than `room` tokens, but not what stands before every text; returns
/// how many tokens it lost, too.
fn cut(tokenizer: &Tokenizer, mut prompt: Vec<u32>, room: usize) -> (Vec<u32>, usize) {
    let lost = prompt.len().saturating_sub(room);
    let kept = kept(tokenizer, &prompt, room);
    prompt.drain(kept..kept + lost);
    (prompt, lost)
}

/// Counts the tokens at the start of a prompt that it keeps in `room` tokens, whatever else it loses.
pub(super) fn kept(tokenizer: &Tokenizer, prompt: &[u32], room: usize) -> usize {
    let beginning = tokenizer.beginning();
    if prompt.starts_with(beginning) { beginning.len().min(room.saturating_sub(1)) } else { 0 }
}

/// Encodes all of a prompt, and its response with the token that ends it.
fn prompt_and_response(
    tokenizer: &Tokenizer,
    example: &Example,
    wording: &Wording,
) -> Result<(Vec<u32>, Vec<u32>), Unworded> {
    let Worded { text, response, is_whole } = wording.whole(example).map_err(|error| Unworded::of(example, error))?;
    if !is_whole {
        let mut answer = tokenizer.encode(&text[response..]);
        answer.push(tokenizer.eos());
        return Ok((tokenizer.encode_begun(&text[..response]), answer));
    }
    let in_place = tokenizer.encode_in_place(&text);
    let start = in_place.partition_point(|(_, place)| place.start < response);
    let mut prompt: Vec<u32> = in_place.into_iter().map(|(token, _)| token).collect();
    let mut answer = prompt.split_off(start);
    match answer.iter().rposition(|token| tokenizer.ends().contains(token)) {
        // What a template writes after an end, such as a line end, nobody waits for.
        Some(end) => answer.truncate(end + 1),
        None => answer.push(tokenizer.eos()),
    }
    Ok((prompt, answer))
}

/// Says which example cannot be put into words, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the example `{id}` has no words")]
pub struct Unworded {
    /// Identifier of the example.
    pub id: String,
    /// What went wrong.
    pub source: WordingError,
}

impl Unworded {
    fn of(example: &Example, source: WordingError) -> Self {
        Self { id: example.id.clone(), source }
    }
}

/// Encodes all examples on all cores, in their order; those that cannot fit are left out and
/// counted.
///
/// # Errors
/// As for [`encode_example`].
pub fn encode_all(
    tokenizer: &Tokenizer,
    examples: &[Example],
    wording: &Wording,
    limits: Limits,
) -> Result<(Vec<Sequence>, Misfits), Unworded> {
    let encoded: Vec<Encoded> = examples
        .par_iter()
        .enumerate()
        .map(|(index, example)| encode_example(tokenizer, index, example, wording, limits))
        .collect::<Result<_, _>>()?;
    let mut sequences = Vec::with_capacity(encoded.len());
    let mut misfits = Misfits::default();
    for encoded in encoded {
        match encoded {
            Encoded::Fits { sequence, clipped } => {
                misfits.clipped_prompts += usize::from(clipped > 0);
                sequences.push(sequence);
            }
            Encoded::ResponseTooLong { .. } => misfits.rejected_responses += 1,
        }
    }
    Ok((sequences, misfits))
}

/// Encodes all examples to measure how likely their references are, and counts those that cannot be.
///
/// As [`encode_all`], but a response that does not fit `max_length` is measured within the `positions`
/// of the model: training leaves it out, a loss is over the same questions for every model that can
/// read them.
///
/// # Errors
/// As for [`encode_example`].
pub fn encode_references(
    tokenizer: &Tokenizer,
    examples: &[Example],
    wording: &Wording,
    limits: Limits,
    positions: usize,
) -> Result<(Vec<Sequence>, usize), Unworded> {
    let prompt = limits.max_prompt.unwrap_or(limits.max_length);
    let longer = Limits { max_length: positions.max(limits.max_length), max_prompt: Some(prompt) };
    let encode = |(index, example): (usize, &Example)| {
        let encoded = match encode_example(tokenizer, index, example, wording, limits)? {
            Encoded::ResponseTooLong { .. } => encode_example(tokenizer, index, example, wording, longer)?,
            fits => fits,
        };
        Ok(match encoded {
            Encoded::Fits { sequence, .. } => Some(sequence),
            Encoded::ResponseTooLong { .. } => None,
        })
    };
    let encoded: Vec<Option<Sequence>> =
        examples.par_iter().enumerate().map(encode).collect::<Result<_, Unworded>>()?;
    let sequences: Vec<Sequence> = encoded.into_iter().flatten().collect();
    let lost = examples.len() - sequences.len();
    Ok((sequences, lost))
}

/// Encodes an option after its prompt, and counts the tokens that the prompt lost at its left.
///
/// As in lm-evaluation-harness: both are encoded together, and what comes after the tokens of the prompt by
/// itself is the option. A model reads at most `max_length` tokens, the last one of the option not among them.
pub fn encode_option(
    tokenizer: &Tokenizer,
    wording: &Wording,
    index: usize,
    [prompt, option]: [&str; 2],
    max_length: usize,
) -> (Sequence, usize) {
    let whole = begun(tokenizer, wording, &format!("{prompt}{option}"));
    // An option has at least one token, whatever both together are cut into.
    let start = begun(tokenizer, wording, prompt).len().clamp(1, whole.len().saturating_sub(1).max(1));
    let room = start - whole.len().saturating_sub(max_length + 1).min(start - 1);
    let (mut tokens, clipped) = cut(tokenizer, whole[..start].to_vec(), room);
    tokens.extend(&whole[start..]);
    (Sequence { example: index, tokens, response_start: start - clipped }, clipped)
}

/// Encodes a prompt from its start, which a chat template writes itself.
fn begun(tokenizer: &Tokenizer, wording: &Wording, text: &str) -> Vec<u32> {
    if wording.begins_itself() { tokenizer.encode(text) } else { tokenizer.encode_begun(text) }
}

/// Cuts the tokens of a text into windows in which each token is predicted once, from at most `max_length`
/// tokens before it; `first` stands before the text.
///
/// The windows of `get_rolling_token_windows` of lm-evaluation-harness with one token of context: disjoint
/// ones, but for the last, which reaches back to its full length.
pub fn rolling_windows(tokens: &[u32], first: u32, max_length: usize) -> Vec<Sequence> {
    let text: Vec<u32> = std::iter::once(first).chain(tokens.iter().copied()).collect();
    let starts = (0..tokens.len()).step_by(max_length.max(1));
    let window = |(example, predicted): (usize, usize)| {
        // In `text`, the token at `predicted` has the place `predicted + 1`.
        let end = (predicted + max_length).min(tokens.len());
        let begin = if predicted == 0 { 0 } else { end.saturating_sub(max_length) };
        Sequence { example, tokens: text[begin..=end].to_vec(), response_start: predicted + 1 - begin }
    };
    starts.enumerate().map(window).collect()
}

/// Encodes the prompt of an example for generation: at most `max_prompt` tokens, and how many were cut off at its
/// left.
///
/// # Errors
/// As for [`encode_example`].
pub fn encode_prompt(
    tokenizer: &Tokenizer,
    example: &Example,
    wording: &Wording,
    max_prompt: usize,
) -> Result<(Vec<u32>, usize), Unworded> {
    let prompt = wording.prompt(example, false).map_err(|error| Unworded::of(example, error))?;
    Ok(cut(tokenizer, begun(tokenizer, wording, &prompt), max_prompt))
}

/// Joins texts, each ended by the end-of-sequence token, and cuts them into blocks of
/// `sequence_length` tokens of which all but the first are predicted. The last block is shorter;
/// a rest of one token, in which nothing can be predicted, is left out.
///
/// # Panics
/// If `sequence_length` is below 2.
pub fn pretraining_sequences(tokenizer: &Tokenizer, texts: &[String], sequence_length: usize) -> Vec<Sequence> {
    assert!(sequence_length > 1, "a block has a token to predict from and one to predict");
    let encoded: Vec<Vec<u32>> = texts
        .par_iter()
        .map(|text| {
            let mut tokens = tokenizer.encode_begun(text);
            tokens.push(tokenizer.eos());
            tokens
        })
        .collect();
    let joined = encoded.concat();
    let blocks = joined.chunks(sequence_length).filter(|block| block.len() > 1);
    let sequence = |(example, block): (usize, &[u32])| Sequence { example, tokens: block.to_vec(), response_start: 1 };
    blocks.enumerate().map(sequence).collect()
}

#[cfg(test)]
mod tests {
    use super::super::template;
    use super::*;
    use crate::experiment::settings::{Template, TokenizerSource};

    fn tokenizer() -> Tokenizer {
        let texts = ["Question: who pages the terminal?\nAnswer: the AMF".to_owned()];
        Tokenizer::train(&TokenizerSource::ByteLevelBpe { vocabulary: 300, data: None }, &texts).unwrap()
    }

    fn example(answer: &str) -> Example {
        Example {
            id: "1".into(),
            group: "g".into(),
            context: Some("The AMF pages the terminal.".into()),
            question: "who pages?".into(),
            answer: answer.into(),
            references: vec![answer.into()],
            ..Example::default()
        }
    }

    fn limits(max_length: usize, max_prompt: Option<usize>) -> Limits {
        Limits { max_length, max_prompt }
    }

    #[test]
    fn prompts_lose_their_left_end_and_responses_nothing() {
        let tokenizer = tokenizer();
        let example = example("the AMF");
        let (prompt, clipped) = encode_prompt(&tokenizer, &example, &Wording::plain(false), 1000).unwrap();
        assert_eq!(clipped, 0);
        let mut response = tokenizer.encode(" the AMF");
        response.push(tokenizer.eos());
        let whole = [&prompt[..], &response].concat();
        let expected = |cut: usize| Encoded::Fits {
            sequence: Sequence { example: 7, tokens: whole[cut..].to_vec(), response_start: prompt.len() - cut },
            clipped: cut,
        };
        let encode = |limits| encode_example(&tokenizer, 7, &example, &Wording::plain(false), limits).unwrap();
        assert_eq!(encode(limits(1000, None)), expected(0));
        assert_eq!(encode(limits(whole.len() - 3, None)), expected(3));
        assert_eq!(encode(limits(1000, Some(2))), expected(prompt.len() - 2));
        assert_eq!(encode(limits(response.len() + 1, None)), expected(prompt.len() - 1));
        let response = response.len();
        assert_eq!(encode(limits(response, None)), Encoded::ResponseTooLong { response });
        let end = (prompt[prompt.len() - 3..].to_vec(), prompt.len() - 3);
        assert_eq!(encode_prompt(&tokenizer, &example, &Wording::plain(false), 3), Ok(end));
    }

    /// What a version stands for: where this fails, a stage would have another result under the same key.
    /// Raise the version of what was changed (`VERSION` here, or that of the wording), then correct the
    /// test.
    #[test]
    fn the_wording_and_the_encoding_are_those_of_their_versions() {
        let tokenizer = tokenizer();
        let (mut texts, mut numbers) = (Vec::new(), Vec::new());
        for example in [example("the AMF"), Example { context: None, ..example(" 5G\n") }] {
            for closed_book in [false, true] {
                let wording = Wording::plain(closed_book);
                texts.push(template::prompt(&example, closed_book) + &template::response(&example.answer));
                for (length, prompt) in [(1000, None), (40, None), (60, Some(9)), (4, None)] {
                    match encode_example(&tokenizer, 0, &example, &wording, limits(length, prompt)).unwrap() {
                        Encoded::Fits { sequence, clipped } => {
                            numbers.extend([sequence.response_start as u32, clipped as u32]);
                            numbers.extend(sequence.tokens);
                        }
                        Encoded::ResponseTooLong { response } => numbers.push(response as u32),
                    }
                    let (prompt, clipped) = encode_prompt(&tokenizer, &example, &wording, length / 2).unwrap();
                    numbers.push(clipped as u32);
                    numbers.extend(prompt);
                }
            }
        }
        for block in pretraining_sequences(&tokenizer, &texts, 7) {
            numbers.push(block.response_start as u32);
            numbers.extend(block.tokens);
        }
        let open = "Context: The AMF pages the terminal.\nQuestion: who pages?\nAnswer: the AMF";
        let closed = "Question: who pages?\nAnswer: the AMF";
        let spaced = "Question: who pages?\nAnswer:  5G\n";
        assert_eq!((template::VERSION, texts), (1, [open, closed, spaced, spaced].map(str::to_owned).to_vec()));
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        assert_eq!((VERSION, &blake3::hash(&bytes).to_hex()[..16]), (1, "d2a050946dac502a"));
    }

    #[test]
    fn what_a_chat_template_words_is_encoded_as_one_text() {
        let folder = tempfile::tempdir().unwrap();
        tokenizer().save(folder.path()).unwrap();
        let without = Wording::new(&Template::Chat, true, &Tokenizer::load(folder.path()).unwrap());
        assert_eq!(without.unwrap_err(), WordingError::NoTemplate);
        let template = "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>\n{% endfor %}{% if add_generation_prompt %}<s>assistant:{% endif %}";
        std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
        let tokenizer = Tokenizer::load(folder.path()).unwrap();
        let wording = Wording::new(&Template::Chat, true, &tokenizer).unwrap();
        let example = example("the AMF");
        let encode = |limits| encode_example(&tokenizer, 0, &example, &wording, limits).unwrap();
        let Encoded::Fits { sequence, clipped } = encode(limits(1000, None)) else { panic!("it fits") };
        let (prompt, response) = sequence.tokens.split_at(sequence.response_start);
        assert_eq!(encode_prompt(&tokenizer, &example, &wording, 1000), Ok((prompt.to_vec(), 0)));
        assert_eq!(tokenizer.token(prompt[0]), Some("<s>"));
        // Up to the end, without the line end after it.
        assert_eq!((tokenizer.decode(response).as_str(), response.last()), (" the AMF", Some(&tokenizer.eos())));
        assert_eq!(response.iter().filter(|&&token| token == tokenizer.eos()).count(), 1);
        assert_eq!(clipped, 0);
        let Encoded::Fits { sequence, clipped } = encode(limits(1000, Some(4))) else { panic!("it fits") };
        assert_eq!((clipped, &sequence.tokens[4..]), (prompt.len() - 4, response));
        // A saved tokenizer keeps its template.
        let saved = tempfile::tempdir().unwrap();
        tokenizer.save(saved.path()).unwrap();
        assert_eq!(Tokenizer::load(saved.path()).unwrap().chat_template_source(), Some(template));
    }

    #[test]
    fn misfits_are_counted_and_indices_kept() {
        let tokenizer = tokenizer();
        let long = "the AMF ".repeat(40);
        let examples = [example("the AMF"), example(long.trim()), example("AMF")];
        let (sequences, misfits) =
            encode_all(&tokenizer, &examples, &Wording::plain(true), limits(24, Some(3))).unwrap();
        let expected = Misfits { clipped_prompts: 2, rejected_responses: 1 };
        assert_eq!(misfits, expected);
        let indices: Vec<_> = sequences.iter().map(|sequence| sequence.example).collect();
        assert_eq!(indices, [0, 2]);
    }

    #[test]
    fn a_reference_longer_than_training_allows_is_measured_within_the_positions() {
        let tokenizer = tokenizer();
        let long = "the AMF ".repeat(12);
        let examples = [example("the AMF"), example(long.trim()), example("AMF")];
        let wording = Wording::plain(true);
        let encode =
            |positions| encode_references(&tokenizer, &examples, &wording, limits(24, Some(3)), positions).unwrap();
        let indices = |sequences: &[Sequence]| sequences.iter().map(|sequence| sequence.example).collect::<Vec<_>>();
        let (sequences, lost) = encode(1000);
        assert_eq!((indices(&sequences), lost), (vec![0, 1, 2], 0));
        let mut response = tokenizer.encode(&template::response(long.trim()));
        response.push(tokenizer.eos());
        assert!(response.len() > 24 && sequences[1].tokens.ends_with(&response));
        // Others are as in training.
        let (trained, misfits) = encode_all(&tokenizer, &examples, &Wording::plain(true), limits(24, Some(3))).unwrap();
        assert_eq!(misfits.rejected_responses, 1);
        assert_eq!([&sequences[0], &sequences[2]], [&trained[0], &trained[1]]);
        let (sequences, lost) = encode(response.len());
        assert_eq!((indices(&sequences), lost), (vec![0, 2], 1));
    }

    #[test]
    fn blocks_hold_all_texts_in_order() {
        let tokenizer = tokenizer();
        let texts = ["the AMF".to_owned(), "pages the terminal".to_owned()];
        let blocks = pretraining_sequences(&tokenizer, &texts, 4);
        let joined: Vec<u32> = blocks.iter().flat_map(|block| block.tokens.clone()).collect();
        let mut expected = Vec::new();
        for text in &texts {
            expected.extend(tokenizer.encode(text));
            expected.push(tokenizer.eos());
        }
        if expected.len() % 4 == 1 {
            expected.pop();
        }
        assert_eq!(joined, expected);
        assert!(blocks.iter().all(|block| block.response_start == 1));
        assert!(blocks.iter().rev().skip(1).all(|block| block.tokens.len() == 4));
    }

    #[test]
    fn windows_are_those_of_the_evaluation_harness() {
        // Its own test of `get_rolling_token_windows`: 34 tokens, 10 at a time, one of context.
        let tokens: Vec<u32> = (0..34).collect();
        let windows = rolling_windows(&tokens, 100, 10);
        let parts: Vec<(&[u32], &[u32])> = windows
            .iter()
            .map(|window| (&window.tokens[..window.tokens.len() - 1], &window.tokens[window.response_start..]))
            .collect();
        let read = |first: u32, rest: std::ops::Range<u32>| std::iter::once(first).chain(rest).collect::<Vec<u32>>();
        let range = |range: std::ops::Range<u32>| range.collect::<Vec<u32>>();
        let expected = [
            (read(100, 0..9), range(0..10)),
            (range(9..19), range(10..20)),
            (range(19..29), range(20..30)),
            (range(23..33), range(30..34)),
        ];
        assert_eq!(parts.len(), expected.len());
        for ((inputs, predicted), (wanted, targets)) in parts.iter().zip(&expected) {
            assert_eq!((inputs, predicted), (&wanted.as_slice(), &targets.as_slice()));
        }
        assert_eq!(rolling_windows(&[7], 100, 10)[0].tokens, [100, 7]);
        assert!(rolling_windows(&[], 100, 10).is_empty());
    }

    #[test]
    fn what_stands_before_every_text_is_neither_lost_nor_doubled() {
        let (plain, tokenizer, wording) = (tokenizer(), tokenizer().beginning_with(0), Wording::plain(false));
        let begun = |tokens: &[u32]| [&[0], tokens].concat();
        let (prompt, _) = encode_prompt(&plain, &example("the AMF"), &wording, 1000).unwrap();
        let asked = |max_prompt| encode_prompt(&tokenizer, &example("the AMF"), &wording, max_prompt).unwrap();
        assert_eq!(asked(1000), (begun(&prompt), 0));
        assert_eq!(asked(4), (begun(&prompt[prompt.len() - 3..]), prompt.len() - 3));
        // Written by hand, it is there.
        assert_eq!(tokenizer.encode_begun("<s>cell"), begun(&plain.encode("cell")));
        let fitted = |tokenizer: &Tokenizer, length| {
            let limits = limits(length, None);
            match encode_example(tokenizer, 0, &example("the AMF"), &wording, limits).unwrap() {
                Encoded::Fits { sequence, clipped } => (sequence.tokens, sequence.response_start, clipped),
                long => panic!("{long:?}"),
            }
        };
        let ((tokens, start, _), whole) = (fitted(&plain, 1000), fitted(&tokenizer, 1000));
        assert_eq!(whole, (begun(&tokens), start + 1, 0));
        // Three tokens fewer fit: they are those after the first.
        assert_eq!(fitted(&tokenizer, tokens.len() - 2), (begun(&tokens[3..]), start - 2, 3));
        let parts = ["who?\nAnswer:", " the AMF"];
        let (option, _) = encode_option(&plain, &wording, 0, parts, 1000);
        let length = option.tokens.len();
        let begins = |max_length| {
            let (sequence, clipped) = encode_option(&tokenizer, &wording, 0, parts, max_length);
            (sequence.tokens, sequence.response_start, clipped)
        };
        assert_eq!(begins(1000), (begun(&option.tokens), option.response_start + 1, 0));
        assert_eq!(begins(length - 2), (begun(&option.tokens[2..]), option.response_start - 1, 2));
        let joined = pretraining_sequences(&tokenizer, &["a".into(), "b".into()], 100);
        let [a, b] = ["a", "b"].map(|text| plain.encode(text)[0]);
        assert_eq!(joined[0].tokens, [0, a, 1, 0, b, 1]);
    }

    #[test]
    fn an_option_is_what_comes_after_the_tokens_of_its_prompt() {
        let (tokenizer, wording) = (tokenizer(), Wording::plain(true));
        let parts = ["Question: who?\nAnswer:", " the AMF"];
        let prompt = tokenizer.encode(parts[0]);
        let (whole, clipped) = encode_option(&tokenizer, &wording, 3, parts, 1000);
        assert_eq!((whole.example, whole.response_start, clipped), (3, prompt.len(), 0));
        assert_eq!(whole.tokens, tokenizer.encode("Question: who?\nAnswer: the AMF"));
        // The model reads all but the last token: one more than it reads fits.
        let length = whole.tokens.len() - 2;
        let (cut, clipped) = encode_option(&tokenizer, &wording, 3, parts, length);
        assert_eq!((cut.tokens.len(), clipped, cut.response_start), (length + 1, 1, prompt.len() - 1));
    }
}
