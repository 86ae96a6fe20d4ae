//! What a reader of results must know about the data: one line each, for the report.

use std::collections::BTreeSet;

use super::example::{Example, SplitName};
use super::import::Imported;
use super::overlap::Overlap;
use super::split::Splits;
use super::window::Held;
use crate::experiment::settings::{Data, GroupBy, Importer, WindowAt};

/// Words the facts on divided data, as name and value.
pub fn facts(
    data: &Data,
    imported: &Imported,
    splits: &Splits,
    windows: Option<[Held; 3]>,
    overlaps: &[Overlap],
    texts: usize,
) -> Vec<(String, String)> {
    let mut facts = vec![("the test asks", asked(data, imported, splits))];
    facts.push(("unit of the data", units(imported.unit, splits)));
    if splits.joined > 0 {
        let what = if data.split.group_by == GroupBy::Example { "question" } else { imported.unit };
        let value = format!("{} {what}s, for they share a question with its answer", splits.joined);
        facts.push(("kept together with others", value));
    }
    for (same_answer, name) in [
        (true, "questions that stand in train with the same answer"),
        (false, "questions that stand in train with another answer"),
    ] {
        let count = |split: SplitName| {
            overlaps.iter().filter(|overlap| overlap.split == split && overlap.same_answer == same_answer).count()
        };
        let (dev, test) = (count(SplitName::Dev), count(SplitName::Test));
        facts.push((name, format!("{dev} of {} in dev, {test} of {} in test", splits.dev.len(), splits.test.len())));
    }
    if data.closed_book {
        facts.push(("prompts show", "the question only (closed book)".to_owned()));
    } else if let (Some(held), Some(side)) = (windows, data.window) {
        facts.push(("prompts show", shown(data.window_at, side)));
        facts.push(("windows that hold an accepted answer", holding(held)));
    }
    facts.push(("pretraining from scratch reads", read(texts, imported, splits)));
    let mut facts: Vec<(String, String)> = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    facts.extend(imported.notes.iter().map(|(reason, count)| (reason.clone(), count.to_string())));
    facts
}

/// Says what a right answer to a test question shows.
fn asked(data: &Data, imported: &Imported, splits: &Splits) -> String {
    if (data.importer, data.split.group_by) == (Importer::Glossary, GroupBy::Given) {
        return "recall of trained facts, in other words than training asked for them".to_owned();
    }
    let (trained, unit) = (groups(&splits.train), imported.unit);
    match splits.test.iter().filter(|example| trained.contains(example.group.as_str())).count() {
        0 => format!("questions on unseen {unit}s"),
        seen => format!("other questions, {seen} of {} on {unit}s that train has", splits.test.len()),
    }
}

fn units(unit: &str, splits: &Splits) -> String {
    let [train, dev, test] = [&splits.train, &splits.dev, &splits.test].map(|examples| groups(examples).len());
    format!("{unit}: {train} in train, {dev} in dev, {test} in test")
}

fn shown(at: WindowAt, side: usize) -> String {
    match at {
        WindowAt::Retrieved => format!(
            "{} characters of the passage: in train at random around the answer, in dev and test where the words of \
             the question are (BM25), chosen without the answer",
            2 * side
        ),
        WindowAt::Answer => format!(
            "a control: {side} characters on each side of the gold answer, in dev and test too, so that the middle of \
             the window gives it away"
        ),
    }
}

fn holding(held: [Held; 3]) -> String {
    let share = |(name, Held { windows, holding }): (&str, Held)| {
        let percent = 100.0 * holding as f64 / windows.max(1) as f64;
        format!("{holding} of {windows} in {name} ({percent:.1} %)")
    };
    ["train", "dev", "test"].into_iter().zip(held).map(share).collect::<Vec<_>>().join(", ")
}

fn read(texts: usize, imported: &Imported, splits: &Splits) -> String {
    let (unit, trained) = (imported.unit, groups(&splits.train));
    if !trained.iter().any(|group| imported.passages.contains_key(*group)) {
        return format!(
            "{texts} texts: the questions and the answers of train, each on its own, for the data have no passages"
        );
    }
    let held_out = groups(&splits.dev).into_iter().chain(groups(&splits.test)).collect::<BTreeSet<_>>();
    let shared = held_out.intersection(&trained).count();
    let others = match shared {
        0 => format!("none of a {unit} of dev or test"),
        shared => format!("{shared} of the {} {unit}s of dev and test among them", held_out.len()),
    };
    format!("{texts} texts on the {unit}s of train, no question and no answer; {others}")
}

fn groups(examples: &[Example]) -> BTreeSet<&str> {
    examples.iter().map(|example| example.group.as_str()).collect()
}
