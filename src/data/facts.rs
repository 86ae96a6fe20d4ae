//! What a reader of results must know about the data: one line each, for the report.

use std::collections::{BTreeMap, BTreeSet};

use super::corpus;
use super::example::{Example, SplitName};
use super::import::{Imported, Texts};
use super::overlap::Overlap;
use super::split::{Assigned, Splits};
use super::window::Held;
use crate::experiment::settings::{Data, GroupBy, Importer, Kind, Template, WindowAt};

/// Words the facts on divided data, as name and value.
pub fn facts(
    data: &Data,
    imported: &Imported,
    splits: &Splits,
    windows: Option<[Held; 3]>,
    overlaps: &[Overlap],
    texts: usize,
) -> Vec<(String, String)> {
    let (kind, is_trained) = (data.importer.kind(), !splits.train.is_empty());
    let mut facts = Vec::new();
    if !splits.test.is_empty() {
        facts.push(("the test asks", asked(data, imported, splits, overlaps)));
    }
    let groups = [&splits.train, &splits.dev, &splits.test].map(|examples| groups(examples).len());
    facts.push(("unit of the data", units(imported.unit, groups)));
    if splits.joined > 0 {
        let what = if data.split.group_by == GroupBy::Example { "question" } else { imported.unit };
        let value = format!("{} {what}s, because they share a question with its answer", splits.joined);
        facts.push(("kept together with others", value));
    }
    let compared = [
        (true, "questions that stand in train with the same answer"),
        (false, "questions that stand in train with another answer"),
    ];
    for (same_answer, name) in compared.into_iter().filter(|_| is_trained) {
        let count = |split: SplitName| {
            overlaps.iter().filter(|overlap| overlap.split == split && overlap.same_answer == same_answer).count()
        };
        let (dev, test) = (count(SplitName::Dev), count(SplitName::Test));
        facts.push((name, format!("{dev} of {} in dev, {test} of {} in test", splits.dev.len(), splits.test.len())));
    }
    facts.push(("prompts show", shown(data, imported)));
    match &data.template {
        Template::Plain => {}
        Template::Chat => facts.push(("prompts are worded", "by the chat template of each model".to_owned())),
        Template::Own { .. } => facts.push(("prompts are worded", "by a template of the experiment".to_owned())),
    }
    if let Some(held) = windows.filter(|held| !data.closed_book && held.iter().any(|held| held.windows > 0)) {
        facts.push(("windows that hold an accepted answer", holding(held)));
    }
    if is_trained && (kind == Kind::QuestionAnswer || corpus::has_passages(&splits.train, &imported.passages)) {
        facts.push(("pretraining from scratch reads", read(texts, imported, splits)));
    }
    let mut facts: Vec<(String, String)> = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut values = Values::default();
    for example in [&splits.train, &splits.dev, &splits.test].into_iter().flatten() {
        values.add(&example.fields, example.split);
    }
    facts.extend(values.facts());
    facts.extend(imported.notes.iter().map(|(reason, count)| (reason.clone(), count.to_string())));
    facts
}

/// Words the facts on divided texts, as name and value.
pub fn facts_of_texts(texts: &Texts, assigned: &Assigned, values: &Values) -> Vec<(String, String)> {
    let mut facts = vec![("unit of the data".to_owned(), units(texts.unit, assigned.groups))];
    if assigned.joined > 0 {
        let value = format!("{} {}s, because they share a text", assigned.joined, texts.unit);
        facts.push(("kept together with others".to_owned(), value));
    }
    facts.extend(values.facts());
    facts.extend(texts.notes.iter().map(|(reason, count)| (reason.clone(), count.to_string())));
    facts
}

/// Counts the values of fields that are kept.
#[derive(Debug, Default)]
pub struct Values(BTreeMap<String, BTreeMap<String, [u64; 3]>>);

impl Values {
    /// Adds those of an example.
    pub fn add(&mut self, fields: &BTreeMap<String, String>, split: Option<SplitName>) {
        let Some(split) = split else { return };
        for (field, value) in fields {
            // Most values are known already.
            let values = match self.0.get_mut(field) {
                Some(values) => values,
                None => self.0.entry(field.clone()).or_default(),
            };
            match values.get_mut(value) {
                Some(counts) => counts[split as usize] += 1,
                None => values.entry(value.clone()).or_default()[split as usize] = 1,
            }
        }
    }

    fn facts(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().map(|(field, values)| {
            let has = |split: SplitName| values.values().filter(|counts| counts[split as usize] > 0).count();
            let [train, dev, test] = SplitName::ALL.map(has);
            (field.clone(), format!("{} values: {train} in train, {dev} in dev, {test} in test", values.len()))
        })
    }
}

/// Says what a right answer to a test question shows.
fn asked(data: &Data, imported: &Imported, splits: &Splits, overlaps: &[Overlap]) -> String {
    if (data.importer, data.split.group_by) == (Importer::Glossary, GroupBy::Given) {
        return "recall of trained facts, in other words than training asked for them".to_owned();
    }
    let (trained, unit, all) = (groups(&splits.train), imported.unit, splits.test.len());
    if unit == "question" {
        return match overlaps.iter().filter(|overlap| overlap.split == SplitName::Test).count() {
            0 => "questions that train does not have".to_owned(),
            seen => format!("questions that train does not have, but for {seen} of {all}"),
        };
    }
    // A question is asked in a conversation, and on anything else.
    let on = if unit == "conversation" { "in" } else { "on" };
    match splits.test.iter().filter(|example| trained.contains(example.group.as_str())).count() {
        0 => format!("questions {on} unseen {unit}s"),
        seen => format!("other questions, {seen} of {all} {on} {unit}s that train has"),
    }
}

fn units(unit: &str, [train, dev, test]: [usize; 3]) -> String {
    format!("{unit}: {train} in train, {dev} in dev, {test} in test")
}

fn shown(data: &Data, imported: &Imported) -> String {
    let has_passages = imported.examples.iter().any(|example| example.context.is_some());
    let what = match data.importer.kind() {
        Kind::Chat => return "the conversation up to the question".to_owned(),
        Kind::Choice => "the question, with its options where they are offered with letters",
        Kind::QuestionAnswer | Kind::Text => "the question",
    };
    if data.importer.kind() == Kind::Choice && !has_passages {
        return what.to_owned();
    }
    if data.closed_book {
        return format!("{what} only (closed book)");
    }
    if !has_passages {
        return "the question only, because the data have no passages to show".to_owned();
    }
    match (data.window, data.window_at) {
        (None, _) => "the whole passage".to_owned(),
        (Some(side), WindowAt::Retrieved) => format!(
            "{} characters of the passage: in train at random around the answer, in dev and test where the words of \
             the question are (BM25), chosen without the answer",
            side.saturating_mul(2)
        ),
        (Some(side), WindowAt::Answer) => format!(
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
    if !corpus::has_passages(&splits.train, &imported.passages) {
        return format!(
            "{texts} texts: the questions and the answers of train, each on its own, because the data have no passages"
        );
    }
    let held_out = groups(&splits.dev).into_iter().chain(groups(&splits.test)).collect::<BTreeSet<_>>();
    let shared = held_out.intersection(&trained).count();
    let others = match shared {
        0 => format!("none of a {unit} of dev or test"),
        shared => format!("{shared} of the {} {unit}s of dev and test among them", held_out.len()),
    };
    format!(
        "{texts} texts on the {unit}s of train, passages only: no question, and answers only where a passage states \
         them; {others}"
    )
}

fn groups(examples: &[Example]) -> BTreeSet<&str> {
    examples.iter().map(|example| example.group.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::overlap::overlaps;
    use crate::data::{import, split, window};

    /// Returns the facts on 40 rows, each of which `row` makes of its number, by name.
    fn told(settings: &str, row: impl Fn(usize) -> serde_json::Value) -> impl Fn(&str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let rows: Vec<_> = (0..40).map(row).collect();
        let path = folder.path().join("rows");
        std::fs::write(&path, serde_json::to_vec(&rows).unwrap()).unwrap();
        let data: Data = toml::from_str(&format!("importer = \"qa\"\npath = {path:?}\n{settings}")).unwrap();
        let imported = import(&data, Path::new("")).unwrap();
        let mut splits = split(&imported.examples, &data.split, None).unwrap();
        let windows = window::cut(&mut splits, &imported, &data);
        let facts = facts(&data, &imported, &splits, windows, &overlaps(&splits), 7);
        move |name| facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }

    #[test]
    fn questions_without_documents_are_told_as_such() {
        let fact = told("", |id| serde_json::json!({"id": id, "question": format!("q{id}?"), "answer": "x"}));
        assert_eq!(fact("the test asks"), "questions that train does not have");
        assert_eq!(fact("prompts show"), "the question only, because the data have no passages to show");
        assert_eq!(
            fact("pretraining from scratch reads"),
            "7 texts: the questions and the answers of train, each on its own, because the data have no passages"
        );
        // One question for all, with another answer each: whatever is tested, train has it.
        let fact = told("", |id| serde_json::json!({"id": id, "question": "q?", "answer": format!("x{id}")}));
        assert_eq!(fact("the test asks"), "questions that train does not have, but for 4 of 4");
    }

    #[test]
    fn values_of_fields_are_counted_by_split() {
        let row = |id: usize| {
            let case = if id < 39 { (id % 2).to_string() } else { "rare".to_owned() };
            serde_json::json!({"id": id, "question": format!("q{id}?"), "answer": "x", "use-case": case})
        };
        let fact = told("fields = [\"use-case\"]", row);
        assert_eq!(fact("use-case"), "3 values: 3 in train, 2 in dev, 2 in test");
        assert_eq!(told("", row)("use-case"), "");
        assert_eq!(told("", row)("field `use-case` is not read"), "40");
        // What is only evaluated is compared with no train.
        let fact = told("split = { all = \"test\" }", row);
        assert_eq!(fact("unit of the data"), "question: 0 in train, 0 in dev, 40 in test");
        assert_eq!(fact("questions that stand in train with the same answer"), "");
        assert_eq!(fact("pretraining from scratch reads"), "");
    }

    #[test]
    fn prompts_show_the_whole_passage_unless_a_window_is_set() {
        let row = |id: usize| {
            let context = format!("text {id} says x{id}");
            serde_json::json!({"id": id, "question": format!("q{id}?"), "answer": format!("x{id}"), "context": context})
        };
        let fact = told("", row);
        assert_eq!(fact("the test asks"), "questions on unseen contexts");
        assert_eq!(fact("prompts show"), "the whole passage");
        assert_eq!(fact("windows that hold an accepted answer"), "");
        let fact = told("window = 3", row);
        assert!(fact("prompts show").starts_with("6 characters of the passage: "), "{}", fact("prompts show"));
        assert!(fact("windows that hold an accepted answer").starts_with("32 of 32 in train (100.0 %)"));
        assert_eq!(told("closed-book = true", row)("prompts show"), "the question only (closed book)");
    }
}
