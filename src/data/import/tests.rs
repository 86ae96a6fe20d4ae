//! Imports of a small committed file, and of files that are wrong in one place each.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::experiment::settings::Split;

const SQUAD: &str = include_str!("../../../tests/fixtures/data/squad.json");

fn data(importer: Importer, path: Option<&str>, window: Option<usize>) -> Data {
    Data { importer, path: path.map(PathBuf::from), window, closed_book: false, limit: None, split: Split::default() }
}

fn import_text(importer: Importer, text: impl AsRef<[u8]>, window: Option<usize>) -> Result<Imported, ImportError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("source"), text).unwrap();
    import(&data(importer, Some("source"), window), folder.path())
}

/// Returns the message with the folder's path taken out.
fn message(importer: Importer, text: impl AsRef<[u8]>) -> String {
    let error = import_text(importer, text, None).unwrap_err();
    assert!(!error.hint().is_empty());
    let message = error.to_string();
    let (start, end) = (message.find("`/").unwrap(), message.find("source`").unwrap());
    format!("{}`{}", &message[..start], &message[end..])
}

fn counts(map: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    map.iter().map(|(reason, &count)| (reason.as_str(), count)).collect()
}

#[test]
fn squad_and_telequad_differ_in_the_name_of_the_document() {
    let squad = import_text(Importer::Squad, SQUAD, None).unwrap();
    let telequad = import_text(Importer::Telequad, SQUAD, None).unwrap();
    let groups = |imported: &Imported| {
        let examples = imported.examples.iter();
        examples.map(|example| example.group.clone()).collect::<Vec<_>>()
    };
    assert_eq!(groups(&squad), ["Paging", "Paging", "Timing", "Timing"]);
    assert_eq!(groups(&telequad), ["7", "7", "8", "8"]);
    assert_eq!(squad.checksum, telequad.checksum);
    assert_eq!(squad.checksum, blake3::hash(SQUAD.as_bytes()).to_hex().to_string());
}

#[test]
fn unusable_rows_are_counted_and_references_deduplicated() {
    let imported = import_text(Importer::Squad, SQUAD, None).unwrap();
    // A row whose only answer is empty is counted as a row.
    let skipped = [("answer empty", 1), ("question marked impossible", 1), ("reference empty", 1)];
    assert_eq!(counts(&imported.skipped), skipped);
    let first = &imported.examples[0];
    assert_eq!(first.answer, "The AMF");
    assert_eq!(first.references, ["The AMF", "AMF"]);
    assert!(first.context.as_ref().unwrap().starts_with("The network"));
}

#[test]
fn an_impossible_question_needs_no_answers() {
    let answers = "\"answers\": [{ \"text\": \"idle\", \"answer_start\": 37 }],";
    for other in ["", "\"answers\": null,", "\"answers\": [{}],"] {
        assert_ne!(SQUAD.replacen(answers, other, 1), SQUAD);
        let imported = import_text(Importer::Squad, SQUAD.replacen(answers, other, 1), None).unwrap();
        assert_eq!(imported.skipped["question marked impossible"], 1, "{other}");
    }
}

#[test]
fn a_window_cuts_contexts_but_not_passages() {
    let imported = import_text(Importer::Squad, SQUAD, Some(10)).unwrap();
    let context = |index: usize| imported.examples[index].context.as_deref().unwrap();
    assert_eq!(context(0), "is idle. The AMF – not the");
    // The stated offset is wrong by characters: the text is searched.
    assert_eq!(context(1), "it pages all cells of the registration area.");
    assert_eq!(context(2), "advance aligns uplink transmissions.");
    assert_eq!(context(3), "It is sent in a MAC control element.");
    let notes = [
        ("answer not at its stated offset: window cut where its text stands", 1),
        ("answer not in its context: whole context kept", 1),
    ];
    assert_eq!(counts(&imported.notes), notes);
    let timing = "Timing advance aligns uplink transmissions.\n\nIt is sent in a MAC control element.";
    assert_eq!(imported.passages["Timing"], timing);
}

#[test]
fn jsonl_rows_share_a_group_with_their_context() {
    let rows = r#"{"id": 1, "question": "a?", "answer": "x", "context": "c x"}
{"id": "2", "question": "b?", "answers": ["y", "z"], "context": "c x"}

{"id": "3", "question": "c?", "answer": "x", "group": "g", "extra": true}
{"id": "4", "question": "d?", "answer": "x", "context": null}
{"id": "4", "question": "d?", "answer": "x", "context": null}
{"id": "5", "question": "e?", "answers": []}
"#;
    let imported = import_text(Importer::Jsonl, rows, None).unwrap();
    let rows: Vec<_> = imported.examples.iter().map(|e| (&*e.id, &*e.group, &*e.answer)).collect();
    let expected = [("1", "1", "x"), ("2", "1", "y"), ("3", "g", "x"), ("4", "4", "x")];
    assert_eq!(rows, expected);
    assert_eq!(counts(&imported.skipped), [("answer empty", 1), ("row repeated", 1)]);
    assert_eq!(imported.passages.into_iter().collect::<Vec<_>>(), [("1".into(), "c x".into())]);
}

#[test]
fn jsonl_rows_without_a_group_join_the_one_that_their_context_is_in() {
    let row = |id: &str, context: &str, group: &str| {
        format!(r#"{{"id": "{id}", "question": "q{id}?", "answer": "x", "context": "{context}"{group}}}"#)
    };
    let named = |id: &str, context: &str, group: &str| row(id, context, &format!(r#", "group": "{group}""#));
    let groups = |rows: &[String]| {
        let examples = import_text(Importer::Jsonl, rows.join("\n"), None).unwrap().examples;
        examples.into_iter().map(|example| example.group).collect::<Vec<_>>()
    };
    // Named before, named after, and named nowhere.
    let rows = [row("1", "C", ""), named("2", "C", "g"), row("3", "C ", ""), row("4", "D", ""), row("5", "D", "")];
    assert_eq!(groups(&rows), ["g", "g", "g", "4", "4"]);
    // Who names two groups for one passage, as two documents may share one, is taken at their word ...
    let mut rows = vec![named("1", "C", "g"), named("2", "C", "h"), named("3", "C", "g")];
    assert_eq!(groups(&rows), ["g", "h", "g"]);
    // ... but nothing says where another row belongs.
    rows.push(row("4", "C", ""));
    assert_eq!(
        message(Importer::Jsonl, rows.join("\n")),
        "`source`, row 4, line 4: no `group`, and its context is in `g` (row 1) and in `h` (row 2)"
    );
}

#[test]
fn jsonl_passages_come_once_and_blank_contexts_join_nothing() {
    let rows = ["a", "b", "a", " ", ""].iter().enumerate().map(|(id, context)| {
        let group = if context.trim().is_empty() { "" } else { r#""group": "g", "# };
        format!(r#"{{"id": {id}, {group}"question": "q?", "answer": "x", "context": "{context}"}}"#)
    });
    // As Windows writes it.
    let text = format!("\u{feff}{}\r\n", rows.collect::<Vec<_>>().join("\r\n"));
    let imported = import_text(Importer::Jsonl, text, None).unwrap();
    let groups: Vec<_> = imported.examples.iter().map(|example| &*example.group).collect();
    assert_eq!(groups, ["g", "g", "g", "3", "4"]);
    assert!(imported.examples[3..].iter().all(|example| example.context.is_none()));
    assert_eq!(imported.passages.into_iter().collect::<Vec<_>>(), [("g".into(), "a\n\nb".into())]);
}

#[test]
fn faults_name_file_row_and_field() {
    let without = |text: &str| SQUAD.replacen(text, "", 1);
    let cases = [
        (
            without("\"question\": \"Which cells are paged?\","),
            "`source`, row 3, line 29, field `data[0].paragraphs[0].qas[2].question` is missing",
        ),
        (
            SQUAD.replacen("\"answer_start\": 22", "\"answer_start\": \"22\"", 1),
            "`source`, row 5, line 52, field `data[1].paragraphs[0].qas[0].answers[0].answer_start`: expected a whole number from 0, found a string",
        ),
        (without("\"title\": \"Timing\","), "`source`, field `data[1].title` is missing"),
        (
            SQUAD.replacen("\"id\": \"t2\"", "\"id\": \"p1\"", 1),
            // Two lines have this id, so none is named.
            "`source`, row 6, field `data[1].paragraphs[1].qas[0]`: id `p1` is already used by row 1, which differs",
        ),
        (SQUAD[..900].to_owned(), "`source` is not JSON at line 26, column 30"),
        ("[]".to_owned(), "`source`: expected an object, found an array"),
        (" \n".to_owned(), "`source` is empty"),
        (r#"{"data": []}"#.to_owned(), "`source` has no usable question (skipped: none)"),
    ];
    for (text, expected) in cases {
        assert_eq!(message(Importer::Squad, text), expected);
    }
}

#[test]
fn faults_of_a_line_name_the_line() {
    let first = "{\"id\": \"1\", \"question\": \"a?\", \"answer\": \"x\"}\n";
    let cases = [
        ("{\"id\": \"2\", \"question\": \"b?\"}", "`source`, row 2, line 2, field `answer` is missing"),
        ("{\"id\": \"2\", \"question\"", "`source` is not JSON at line 2, column 22"),
        ("3", "`source`, row 2, line 2: expected an object, found a number"),
        (
            "{\"id\": \"1\", \"question\": \"other?\", \"answer\": \"x\"}",
            "`source`, row 2, line 2: id `1` is already used by row 1, which differs",
        ),
        (
            "{\"id\": \"2\", \"question\": \"b?\", \"answer\": 4}",
            "`source`, row 2, line 2, field `answer`: expected a string, found a number",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(message(Importer::Jsonl, format!("{first}{line}")), expected);
    }
    let bytes = [first.as_bytes(), b"{\"id\": \"\xff\"}"].concat();
    let expected = format!("`source` is not UTF-8 at byte {} (line 2)", first.len() + 8);
    assert_eq!(message(Importer::Jsonl, bytes), expected);
}

#[test]
fn a_truncated_file_is_told_from_a_wrong_one() {
    let hint = |text: &str| import_text(Importer::Squad, text, None).unwrap_err().hint();
    assert_eq!(hint(&SQUAD[..SQUAD.len() / 2]), "the file ends early: fetch it again");
    assert_ne!(hint("not JSON"), hint(&SQUAD[..SQUAD.len() / 2]));
}

#[test]
fn a_line_that_is_cut_before_others_is_no_end_of_the_file() {
    let hint = |text: &str| import_text(Importer::Jsonl, text, None).unwrap_err().hint();
    let (whole, cut) = ("{\"id\": \"1\", \"question\": \"a?\", \"answer\": \"x\"}\n", "{\"id\": \"2\", \"quest\n");
    let early = "the file ends early: fetch it again";
    assert_eq!(hint(&format!("{whole}{cut}")), early);
    assert_eq!(hint(&format!("{whole}{cut} \n\n")), early);
    assert_ne!(hint(&format!("{cut}{whole}")), early);
}

#[test]
fn paths_are_required_by_files_and_refused_by_embedded_data() {
    let base = Path::new("nowhere");
    let error = import(&data(Importer::Telequad, None, None), base).unwrap_err();
    assert_eq!(error.to_string(), "importer `telequad` has no `path`");
    let error = import(&data(Importer::Squad, Some("missing.json"), None), base).unwrap_err();
    assert_eq!(error.to_string(), "cannot read `nowhere/missing.json`");
    let error = import(&data(Importer::Glossary, Some("x"), None), base).unwrap_err();
    assert!(matches!(error, ImportError::Embedded { .. }));
    let glossary = import(&data(Importer::Glossary, None, None), base).unwrap();
    assert!(glossary.examples.len() >= 2000);
}

#[test]
fn an_offset_beyond_the_context_is_searched() {
    let far = SQUAD.replacen("\"answer_start\": 43", &format!("\"answer_start\": {}", u64::MAX), 1);
    let imported = import_text(Importer::Squad, far, Some(10)).unwrap();
    let context = imported.examples[0].context.as_deref();
    assert_eq!(context, Some("is idle. The AMF – not the"));
}

proptest! {
    #[test]
    fn damaged_files_are_imported_or_refused(
        // A file that only lacks its last line break is whole.
        position in 0..SQUAD.trim_end().len(),
        byte: u8,
        cut: bool,
        window in prop::option::of(0_usize..50),
    ) {
        let mut bytes = SQUAD.as_bytes().to_vec();
        bytes[position] = byte;
        if cut {
            bytes.truncate(position);
        }
        match import_text(Importer::Squad, bytes, window) {
            Ok(imported) => prop_assert!(!cut && !imported.examples.is_empty()),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
