//! Questions with options: `question`, `options` (or `choices`: a list of texts, or `{ text, label }` with a list
//! of each), `answer`, optional `id`, `context`, `group`.
//!
//! An answer is a number or a text. A number is the index of an option, from 0. A text is an option as it
//! stands, the label or letter (A is the first) of one, or digits that are an index from 0. Where it is one
//! thing and another, and the two are not the same option, it is an error: no row tells which is meant.

use std::collections::BTreeMap;

use super::row::{self, Fields};
use super::source::{Node, Source};
use super::table;
use super::{Answer, ImportError, Read, Row, Rows};

pub(super) const READ: Read = Read::File(read);

const OPTIONS: &str = "options";

/// What hubs call the options.
const CHOICES: &str = "choices";

fn read(source: &Source, rows: &mut Rows<'_>) -> Result<(), ImportError> {
    let choices = [CHOICES.to_owned()];
    let mut fields = Fields::of(rows.data);
    let entries = table::read(source, &[OPTIONS, CHOICES, fields.name(OPTIONS)])?;
    let nodes = source.nodes(&entries);
    if let Some(node) = nodes.first()
        && !fields.columns.contains_key(OPTIONS)
        && node.optional(OPTIONS)?.is_none()
        && node.optional(CHOICES)?.is_some()
    {
        fields.columns.insert(OPTIONS, &choices);
    }
    let (mut is_named, mut is_shown) = (false, false);
    let mut claims = BTreeMap::<&str, String>::new();
    for node in &nodes {
        row::others(node, &fields, rows)?;
        let (id, group, passage) = (fields.id(node)?, fields.group(node)?, row::passage(node, &fields)?);
        (is_named, is_shown) = (is_named || group.is_some(), is_shown || passage.is_some());
        let question = fields.get(node, "question")?.text()?;
        let (kept, split) = (fields.kept(&[node])?, fields.split(node)?);
        let options = options(node, &fields)?;
        let answer = answer(&fields.get(node, "answer")?, &options)?;
        if let Some(reason) = unusable(&options) {
            rows.skip(reason);
            continue;
        }
        // Questions on one passage stay together, named by the first of them.
        let first = passage.map(|passage| claims.entry(passage.trim()).or_insert_with(|| id.clone()).clone());
        let group = group.or(first).unwrap_or_else(|| id.clone());
        let texts: Vec<String> = options.iter().map(|option| option.text.clone()).collect();
        let answers = vec![Answer { text: &options[answer].text, start: None }];
        let row = Row { fields: kept, passage, answers, options: texts, split, ..Row::new(id, group, question) };
        rows.push(node, row)?;
    }
    rows.unit = match (is_named, is_shown) {
        (true, _) => fields.unit,
        (false, true) => "context",
        (false, false) => "question",
    };
    Ok(())
}

/// One of the options.
struct Choice {
    text: String,
    /// What answers call it besides its letter.
    label: Option<String>,
}

impl Choice {
    fn of(node: &Node<'_>, label: Option<String>) -> Result<Self, ImportError> {
        Ok(Self { text: node.scalar()?.trim().to_owned(), label })
    }
}

fn options(node: &Node<'_>, fields: &Fields<'_>) -> Result<Vec<Choice>, ImportError> {
    if let Some(columns) = fields.columns.get(OPTIONS)
        && columns.len() > 1
    {
        let mut options = Vec::new();
        let mut last = 0;
        for (index, column) in columns.iter().enumerate() {
            // A question may have fewer options than there are columns.
            let Some(option) = node.optional(column)? else { continue };
            if index > last {
                return Err(ImportError::Missing { place: node.inside(&columns[last]) });
            }
            options.push(Choice::of(&option, None)?);
            last = index + 1;
        }
        return Ok(options);
    }
    let list = fields.get(node, OPTIONS)?;
    if !list.value().is_object() {
        return list.elements()?.map(|option| Choice::of(&option, None)).collect();
    }
    let (texts, labels) = (list.field("text")?, list.field("label")?);
    let labels_read = labels.elements()?.map(|label| label.scalar()).collect::<Result<Vec<_>, _>>()?;
    let texts: Vec<Node<'_>> = texts.elements()?.collect();
    if texts.len() != labels_read.len() {
        return Err(labels.mistyped("as many labels as there are texts"));
    }
    texts.iter().zip(labels_read).map(|(text, label)| Choice::of(text, Some(label))).collect()
}

/// Says why a question with such options asks nothing.
fn unusable(options: &[Choice]) -> Option<&'static str> {
    let is_twice = |(index, option): (usize, &Choice)| options[..index].iter().any(|other| other.text == option.text);
    match options {
        _ if options.iter().any(|option| option.text.is_empty()) => Some("option empty"),
        [] | [_] => Some("fewer than two options"),
        _ if options.iter().enumerate().any(is_twice) => Some("two options alike"),
        _ => None,
    }
}

/// Returns the index of the option that is the answer.
fn answer(node: &Node<'_>, options: &[Choice]) -> Result<usize, ImportError> {
    let most = options.len().saturating_sub(1);
    let named = |index: usize| format!("option {} (`{}`)", index + 1, options[index].text);
    let mut found: Vec<(usize, &str)> = Vec::new();
    let written = node.scalar()?;
    let written = written.trim();
    if let Some(index) = options.iter().position(|option| option.text == written) {
        found.push((index, "its text"));
    }
    let label = options.iter().position(|option| option.label.as_deref() == Some(written));
    match label {
        Some(index) => found.push((index, "its label")),
        None => {
            let index = written.parse().ok().filter(|&index: &usize| index <= most && !options.is_empty());
            found.extend(index.map(|index| (index, "its index from 0")));
            let letter = letter(written).filter(|_| node.value().is_string());
            found.extend(letter.filter(|&index| index < options.len()).map(|index| (index, "its letter")));
        }
    }
    match found[..] {
        [] => {
            let last = (b'A' + most.min(25) as u8) as char;
            let expected = format!("an option: its text, a letter from A to {last} or an index from 0 to {most}");
            Err(node.refused(expected, format!("`{written}`")))
        }
        [(first, _), ref others @ ..] => match others.iter().find(|(index, _)| *index != first) {
            None => Ok(first),
            Some(&(other, how)) => {
                let readings = [(first, found[0].1), (other, how)];
                let readings = readings.map(|(index, how)| format!("{} by {how}", named(index)));
                Err(ImportError::Ambiguous { place: node.place(), readings: Box::new(readings) })
            }
        },
    }
}

/// Returns the place of a single letter in the alphabet, from 0.
fn letter(text: &str) -> Option<usize> {
    match text.as_bytes() {
        [letter] if letter.is_ascii_alphabetic() => Some((letter.to_ascii_uppercase() - b'A').into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Imported;
    use super::super::tests::{counts, fixture, imported};

    /// Imports one question with options and an answer, as JSON.
    fn one(options: &str, answer: &str) -> Result<String, String> {
        let row = format!("{{\"question\": \"q?\", \"options\": {options}, \"answer\": {answer}}}");
        let imported = imported("importer = \"choice\"", "rows.jsonl", row);
        imported.map(|imported| imported.examples[0].answer.clone())
    }

    fn answers(imported: &Imported) -> Vec<(&str, &str, usize)> {
        imported.examples.iter().map(|e| (&*e.id, &*e.answer, e.options.len())).collect()
    }

    #[test]
    fn an_answer_is_an_index_a_letter_or_a_text() {
        let options = r#"["gNB", "AMF", "UPF"]"#;
        for (answer, expected) in
            [("0", "gNB"), ("2", "UPF"), ("\"1\"", "AMF"), ("\"C\"", "UPF"), ("\"b\"", "AMF"), ("\" UPF \"", "UPF")]
        {
            assert_eq!(one(options, answer).unwrap(), expected, "{answer}");
        }
        // One option in two ways is one option.
        assert_eq!(one(r#"["A", "B"]"#, "\"A\"").unwrap(), "A");
        assert_eq!(one(r#"[0, 1]"#, "1").unwrap(), "1");
        let labelled = r#"{"text": ["gNB", "AMF"], "label": ["1", "2"]}"#;
        assert_eq!(one(labelled, "\"1\"").unwrap(), "gNB");
        assert_eq!(one(labelled, "\"2\"").unwrap(), "AMF");
    }

    #[test]
    fn an_answer_that_may_be_two_options_is_refused() {
        let hint = "write all answers of the file as letters, or all as texts that no index is";
        let place = "`rows.jsonl`, row 1, line 1, field `answer`";
        for (options, answer, readings) in [
            ("[\"1\", \"2\"]", "1", "option 1 (`1`) by its text or option 2 (`2`) by its index from 0"),
            ("[\"1\", \"2\"]", "\"1\"", "option 1 (`1`) by its text or option 2 (`2`) by its index from 0"),
            ("[\"B\", \"x\"]", "\"B\"", "option 1 (`B`) by its text or option 2 (`x`) by its letter"),
            (
                "{\"text\": [\"2\", \"x\"], \"label\": [\"1\", \"2\"]}",
                "\"2\"",
                "option 1 (`2`) by its text or option 2 (`x`) by its label",
            ),
        ] {
            assert_eq!(one(options, answer).unwrap_err(), format!("{place} may be {readings}\n{hint}"));
        }
    }

    #[test]
    fn an_answer_that_is_no_option_is_refused() {
        let hint = "correct the field, or choose the importer of the file's format";
        let place = "`rows.jsonl`, row 1, line 1, field `answer`";
        let expected = "an option: its text, a letter from A to B or an index from 0 to 1";
        // An index that is counted from 1 comes to its end sooner or later.
        for (answer, found) in [("2", "2"), ("\"C\"", "C"), ("\"gnb\"", "gnb"), ("-1", "-1"), ("\"(A)\"", "(A)")] {
            let told = one(r#"["gNB", "AMF"]"#, answer).unwrap_err();
            assert_eq!(told, format!("{place}: expected {expected}, found `{found}`\n{hint}"));
        }
        let told = one(r#"["gNB", "AMF"]"#, "[0]").unwrap_err();
        assert_eq!(told, format!("{place}: expected text, a number or true or false, found a list of 1\n{hint}"));
        let told = one(r#"{"text": ["a", "b"], "label": ["1"]}"#, "0").unwrap_err();
        let place = "`rows.jsonl`, row 1, line 1, field `options.label`";
        assert_eq!(told, format!("{place}: expected as many labels as there are texts, found a list of 1\n{hint}"));
    }

    #[test]
    fn questions_that_ask_nothing_are_counted() {
        let row = |options: &str, answer: usize| {
            format!("{{\"question\": \"q?\", \"options\": {options}, \"answer\": {answer}}}\n")
        };
        let rows = [row("[\"a\", \"b\"]", 1), row("[\"a\"]", 0), row("[\"a\", \"a\"]", 0), row("[\"a\", \" \"]", 0)];
        let imported = imported("importer = \"choice\"", "rows.jsonl", rows.concat()).unwrap();
        assert_eq!(answers(&imported), [("row-1", "b", 2)]);
        let skipped = [("fewer than two options", 1), ("option empty", 1), ("two options alike", 1)];
        assert_eq!(counts(&imported.skipped), skipped);
    }

    #[test]
    fn rows_of_a_hub_are_read() {
        let expected = [("row-1", "AMF", 2), ("row-2", "UPF", 3), ("row-3", "PSS", 2)];
        let settings = "importer = \"choice\"\nfields = [\"subject\"]";
        let table = imported(settings, "rows.parquet", fixture("choices.parquet")).unwrap();
        assert_eq!(answers(&table), expected);
        assert_eq!((table.unit, &*table.examples[2].fields["subject"]), ("question", "radio"));
        let mmlu =
            r#"{"question": "Which is a core function?", "subject": "core", "choices": ["gNB", "AMF"], "answer": 1}"#;
        let lines = imported(settings, "rows.jsonl", mmlu).unwrap();
        assert_eq!(lines.examples[0], table.examples[0]);
    }

    #[test]
    fn options_may_have_a_column_each() {
        let settings =
            "importer = \"choice\"\ncolumns = { question = \"Q\", options = [\"A\", \"B\", \"C\"], answer = \"Key\" }";
        let cells = "Q,A,B,C,Key\nq1?,gNB,AMF,UPF,C\nq2?,gNB,AMF,,A\nq3?,gNB,,UPF,A\n";
        let told = imported(settings, "rows.csv", cells).unwrap_err();
        let missing = "add the field, say in `columns` what it is called, or choose the importer of the file's format";
        assert_eq!(told, format!("`rows.csv`, row 3, line 4, field `B` is missing\n{missing}"));
        let imported = imported(settings, "rows.csv", cells.replace("q3?,gNB,,UPF,A\n", "")).unwrap();
        assert_eq!(answers(&imported), [("row-1", "UPF", 3), ("row-2", "gNB", 2)]);
    }

    #[test]
    fn questions_on_one_passage_are_one_group() {
        let row = |id: &str, context: &str| {
            format!(
                "{{\"id\": \"{id}\", \"question\": \"q{id}?\", \"context\": \"{context}\", \"options\": [\"a\", \"b\"], \"answer\": 0}}\n"
            )
        };
        let rows = [row("1", "c"), row("2", "d"), row("3", "c ")].concat();
        let imported = imported("importer = \"choice\"", "rows.jsonl", rows).unwrap();
        let groups: Vec<_> = imported.examples.iter().map(|example| &*example.group).collect();
        assert_eq!((imported.unit, groups), ("context", vec!["1", "2", "1"]));
        // The right option need not stand in its passage.
        assert!(imported.notes.is_empty());
    }
}
