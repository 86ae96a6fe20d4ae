//! Cuts passages to windows after the division: for train around the answer, for dev and test as a
//! reader would who knows the question only.

use std::ops::Range;

use super::example::Example;
use super::import::Imported;
use super::retrieve::Rarity;
use super::shuffle::draw;
use super::split::Splits;
use crate::experiment::settings::{Data, WindowAt};

/// Windows that are compared lie this part of their width apart.
const OVERLAP: usize = 4;

/// Longest rest of a word, in characters, that a window takes in: text without spaces is cut.
const LONGEST_WORD: usize = 32;

/// Counts the windows of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Examples with a window.
    pub windows: u64,
    /// Those whose window holds the text of an accepted answer.
    pub holding: u64,
}

/// Cuts every context to a window and counts, for train, dev and test, how many hold an accepted
/// answer; none where no window is set.
///
/// Windows are `2 * data.window` characters wide, in whole words, in every split. With
/// [`WindowAt::Retrieved`] those of train lie at random among all that hold the answer (an answer longer
/// than a window fills it), and those of dev and test are retrieved by the words of the question: see
/// `super::retrieve`. So where a window lies says nothing of the answer, which its middle would if the
/// answer stood there. With [`WindowAt::Answer`] it does: each window is the answer and `data.window`
/// characters on each side. With either, the window of an answer that is not in its passage is retrieved.
/// What is drawn is drawn by the split's seed and the example's id.
pub fn cut(splits: &mut Splits, imported: &Imported, data: &Data) -> Option<[Held; 3]> {
    let (side, seed) = (data.window?, data.split.seed);
    let width = side.saturating_mul(2);
    let rarity = Rarity::of(imported.passages.values().flatten().map(String::as_str), width);
    let window = |example: &Example, passage: &str, is_train: bool| {
        let place = imported.places.get(&example.id).cloned();
        let window = match (data.window_at, place) {
            (WindowAt::Answer, Some(place)) => around(passage, place, side),
            (WindowAt::Retrieved, Some(place)) if is_train => drawn(passage, place, width, seed, &example.id),
            _ => retrieved(passage, &example.question, width, &rarity, seed, &example.id),
        };
        window.to_owned()
    };
    let parts = [(&mut splits.train, true), (&mut splits.dev, false), (&mut splits.test, false)];
    Some(parts.map(|(examples, is_train)| {
        let mut held = Held::default();
        for example in examples {
            let Some(passage) = &example.context else { continue };
            let window = window(example, passage, is_train);
            held.windows += 1;
            held.holding += u64::from(example.references.iter().any(|reference| window.contains(reference)));
            example.context = Some(window);
        }
        held
    }))
}

/// Keeps `side` characters on each side of `place` (bytes).
fn around(passage: &str, place: Range<usize>, side: usize) -> &str {
    let letters = Letters::of(passage);
    let (first, end) = letters.span(&place);
    letters.words(first.saturating_sub(side)..end.saturating_add(side))
}

/// Draws one of the windows that hold `place` (bytes), each as likely as any other.
fn drawn<'a>(passage: &'a str, place: Range<usize>, width: usize, seed: u64, id: &str) -> &'a str {
    let letters = Letters::of(passage);
    let (first, end) = letters.span(&place);
    // Of a longer answer, a window within it.
    let bounds = (end.saturating_sub(width).min(first), first.max(end.saturating_sub(width)));
    let last = letters.last_start(width);
    let (low, high) = (bounds.0.min(last), bounds.1.min(last));
    let start = low + draw(seed, "window", id, (high - low) as u64 + 1) as usize;
    letters.words(start..start.saturating_add(width))
}

/// Takes the window that fits the question best, of equal ones any: the first would have the question's
/// words at its end, and what follows them, an answer often, cut off.
fn retrieved<'a>(passage: &'a str, question: &str, width: usize, rarity: &Rarity, seed: u64, id: &str) -> &'a str {
    let letters = Letters::of(passage);
    let last = letters.last_start(width);
    let starts = (0..last).step_by((width / OVERLAP).max(1)).chain([last]);
    let windows: Vec<Range<usize>> =
        starts.map(|start| letters.whole_words(start..start.saturating_add(width))).collect();
    let best = rarity.best(question, passage, &windows);
    let chosen = best[draw(seed, "window", id, best.len() as u64) as usize];
    passage[windows[chosen].clone()].trim()
}

/// A passage by its characters.
struct Letters<'a> {
    passage: &'a str,
    /// Where each character starts, in bytes; last, the length.
    bytes: Vec<usize>,
}

impl<'a> Letters<'a> {
    fn of(passage: &'a str) -> Self {
        let bytes = passage.char_indices().map(|(byte, _)| byte).chain([passage.len()]).collect();
        Self { passage, bytes }
    }

    /// The last place, in characters, where a window of `width` can start.
    fn last_start(&self, width: usize) -> usize {
        (self.bytes.len() - 1).saturating_sub(width)
    }

    /// Turns bytes into characters.
    fn span(&self, place: &Range<usize>) -> (usize, usize) {
        let at = |byte: usize| self.bytes.partition_point(|&start| start < byte);
        (at(place.start), at(place.end))
    }

    fn words(&self, characters: Range<usize>) -> &'a str {
        self.passage[self.whole_words(characters)].trim()
    }

    /// Turns characters into bytes and adds the rest of a word that a cut falls into.
    fn whole_words(&self, characters: Range<usize>) -> Range<usize> {
        let end = self.bytes.len() - 1;
        let bytes = self.bytes[characters.start.min(end)]..self.bytes[characters.end.min(end)];
        let (before, within, after) =
            (&self.passage[..bytes.start], &self.passage[bytes.clone()], &self.passage[bytes.end..]);
        let first = if within.starts_with(char::is_whitespace) { 0 } else { rest_of_word(before.chars().rev()) };
        let last = if within.ends_with(char::is_whitespace) { 0 } else { rest_of_word(after.chars()) };
        bytes.start - first..bytes.end + last
    }
}

/// Counts the bytes up to the next white space.
fn rest_of_word(letters: impl Iterator<Item = char>) -> usize {
    letters.take_while(|letter| !letter.is_whitespace()).take(LONGEST_WORD).map(char::len_utf8).sum()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::data::retrieve::words;
    use crate::experiment::settings::Importer;

    /// Passages of random words, in each of them four words that answer and, before them, two that ask.
    fn data(examples: usize) -> (Vec<Example>, BTreeMap<String, Range<usize>>) {
        let word = |kind: &str, id: &str| format!("{kind}{}", draw(5, kind, id, 400));
        let mut places = BTreeMap::new();
        let example = |row: usize| {
            let id = row.to_string();
            let mut words: Vec<String> = (0..150).map(|at| word("w", &format!("{row}/{at}"))).collect();
            let at = 2 + draw(5, "at", &id, 144) as usize;
            let asked = [format!("asks{row}"), format!("of{row}")];
            words[at - 2..at].clone_from_slice(&asked);
            for (number, word) in words[at..at + 4].iter_mut().enumerate() {
                *word = format!("answer{row}x{number}");
            }
            let start = words[..at].iter().map(|word| word.len() + 1).sum();
            let answer = words[at..at + 4].join(" ");
            places.insert(id.clone(), start..start + answer.len());
            Example {
                id,
                group: row.to_string(),
                context: Some(words.join(" ")),
                question: format!("Who {}?", asked.join(" ")),
                references: vec![answer.clone()],
                answer,
                ..Example::default()
            }
        };
        ((0..examples).map(example).collect(), places)
    }

    fn settings(window: usize, window_at: WindowAt) -> Data {
        Data { window: Some(window), window_at, ..Data::new(Importer::Qa, None) }
    }

    fn cut_all(at: WindowAt) -> (Splits, [Held; 3]) {
        let (examples, places) = data(600);
        let passages = examples.iter().map(|example| (example.id.clone(), example.context.iter().cloned().collect()));
        let imported = Imported { passages: passages.collect(), places, ..Imported::default() };
        let part = |from: usize| examples[from..from + 200].to_vec();
        let mut splits = Splits { train: part(0), dev: part(200), test: part(400), joined: 0 };
        let held = cut(&mut splits, &imported, &settings(100, at)).unwrap();
        (splits, held)
    }

    /// Mean share of an answer's words that are found in as many words of its window, taken from a
    /// place of the window from 0 to 1.
    fn copied(examples: &[Example], place: impl Fn(&Example) -> f64) -> f64 {
        let share = |example: &Example| {
            let window: Vec<String> = words(example.context.as_ref().unwrap()).map(|(_, word)| word).collect();
            let start = (place(example) * (window.len() - 4) as f64).round() as usize;
            let found = window[start..start + 4].iter().filter(|word| example.answer.contains(*word));
            found.count() as f64 / 4.0
        };
        examples.iter().map(share).sum::<f64>() / examples.len() as f64
    }

    #[test]
    fn copying_the_middle_gains_nothing_but_where_windows_are_centred() {
        let anywhere = |example: &Example| draw(9, "place", &example.id, 1001) as f64 / 1000.0;
        let middle = |examples: &[Example]| copied(examples, |_| 0.5);
        let (splits, held) = cut_all(WindowAt::Retrieved);
        // An answer in a random window is met by a random place in it: 4 words of about 25, and more
        // often where the place is not at an edge.
        for examples in [&splits.train, &splits.dev, &splits.test] {
            let (middle, anywhere) = (middle(examples), copied(examples, anywhere));
            assert!(middle < anywhere + 0.08, "middle {middle}, anywhere {anywhere}");
        }
        assert_eq!(held[0], Held { windows: 200, holding: 200 });
        // Found by the question's words, but not always with all of the answer behind them.
        assert!((80..200).contains(&held[2].holding), "{held:?}");
        let (splits, held) = cut_all(WindowAt::Answer);
        assert!(middle(&splits.test) > 0.6, "{}", middle(&splits.test));
        assert_eq!(held[2], Held { windows: 200, holding: 200 });
    }

    #[test]
    fn windows_of_train_and_test_have_one_width() {
        let (splits, _) = cut_all(WindowAt::Retrieved);
        let mean = |examples: &[Example]| {
            let lengths = examples.iter().map(|example| example.context.as_ref().unwrap().chars().count() as f64);
            lengths.sum::<f64>() / examples.len() as f64
        };
        let (train, test) = (mean(&splits.train), mean(&splits.test));
        assert!((train - test).abs() < 3.0 && (200.0..215.0).contains(&train), "{train} {test}");
    }

    #[test]
    fn what_dev_and_test_show_does_not_depend_on_the_answer() {
        let (examples, places) = data(40);
        let window = |answer: &str, places: &BTreeMap<String, Range<usize>>| {
            let mut test = examples.clone();
            for example in &mut test {
                example.answer = answer.to_owned();
                example.references = vec![answer.to_owned()];
            }
            let mut splits = Splits { train: vec![], dev: vec![], test, joined: 0 };
            let imported = Imported { places: places.clone(), ..Imported::default() };
            cut(&mut splits, &imported, &settings(60, WindowAt::Retrieved)).unwrap();
            splits.test.into_iter().map(|example| example.context).collect::<Vec<_>>()
        };
        let moved = places.keys().map(|id| (id.clone(), 0..4)).collect();
        assert_eq!(window("one", &places), window("other", &moved));
    }

    #[test]
    fn a_drawn_window_is_anywhere_around_the_answer_and_fixed_by_its_id() {
        let text = "alpha beta gamma delta epsilon zeta";
        let windows: std::collections::BTreeSet<&str> =
            (0..200).map(|id| drawn(text, 17..22, 11, 1, &id.to_string())).collect();
        assert!(windows.iter().all(|window| window.contains("delta")), "{windows:?}");
        assert_eq!(windows.into_iter().collect::<Vec<_>>(), ["delta epsilon", "gamma delta", "gamma delta epsilon"]);
        assert_eq!(drawn(text, 17..22, 11, 1, "7"), drawn(text, 17..22, 11, 1, "7"));
        // At the ends, and where all fits.
        assert!((0..50).all(|id| drawn(text, 0..5, 10, 1, &id.to_string()) == "alpha beta"));
        assert_eq!(drawn(text, 17..22, 1000, 1, "7"), text);
        // Longer than the window: a part of it.
        let part = drawn(text, 0..30, 10, 1, "7");
        assert!(text[..30].contains(part) && part.len() < 20, "{part}");
    }

    #[test]
    fn cuts_move_outward_to_words() {
        let passage = "alpha beta gamma delta epsilon";
        let place = 11..16;
        assert_eq!(around(passage, place.clone(), 0), "gamma");
        assert_eq!(around(passage, place.clone(), 1), "gamma");
        assert_eq!(around(passage, place.clone(), 3), "beta gamma delta");
        assert_eq!(around(passage, place.clone(), 5), "beta gamma delta");
        assert_eq!(around(passage, place.clone(), 7), "alpha beta gamma delta");
        assert_eq!(around(passage, place.clone(), 8), passage);
        assert_eq!(around(passage, place, 100), passage);
        // An answer inside of a word keeps the word; text without spaces is no word.
        assert_eq!(around(passage, 7..8, 0), "beta");
        assert_eq!(around(&"字".repeat(500), 300..303, 2).chars().count(), 1 + 2 * (2 + LONGEST_WORD));
    }

    #[test]
    fn the_best_window_is_found_by_words_of_the_question() {
        let passage = "Cells are small. Slices share a network. The AMF pages an idle terminal. Beams are narrow.";
        let rarity = Rarity::of([passage], 30);
        let windows = |question: &str, width: usize| -> std::collections::BTreeSet<&str> {
            (0..50).map(|id| retrieved(passage, question, width, &rarity, 1, &id.to_string())).collect()
        };
        assert!(windows("Who pages a terminal?", 40).iter().all(|window| window.contains("pages an idle terminal")));
        assert!(windows("Nothing known", 40).len() > 4);
        assert_eq!(windows("Who pages?", 900).into_iter().collect::<Vec<_>>(), [passage]);
    }

    proptest! {
        #[test]
        fn a_window_holds_the_answer_and_its_width(
            before in "[a-zü ]{0,40}",
            answer in "[a-zé]{1,8}",
            after in "[a-z ñ]{0,40}",
            side in 4_usize..50,
            id in "[a-z]{1,3}",
        ) {
            let passage = format!("{before}{answer}{after}");
            let place = before.len()..before.len() + answer.len();
            let centred = around(&passage, place.clone(), side);
            let tail = |text: &str| text.chars().rev().take(side).collect::<Vec<_>>();
            let kept: String = tail(&before).into_iter().rev().collect();
            let head: String = after.chars().take(side).collect();
            let expected = format!("{kept}{answer}{head}");
            prop_assert!(centred.contains(expected.trim()));
            let random = drawn(&passage, place, 2 * side, 1, &id);
            prop_assert!(passage.contains(random) && random.contains(&answer));
            let found = retrieved(&passage, &answer, 2 * side, &Rarity::of([&*passage], 2 * side), 1, &id);
            prop_assert!(passage.contains(found));
        }
    }
}
