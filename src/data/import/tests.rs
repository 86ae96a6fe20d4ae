//! Imports of a small committed file, and of files that are wrong in one place each.

use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::experiment::settings::{Kind, Origin};

const SQUAD: &str = include_str!("../../../tests/fixtures/data/squad.json");

fn data(importer: Importer, path: Option<&str>) -> Data {
    Data::new(importer, path.map(PathBuf::from))
}

fn import_text(importer: Importer, text: impl AsRef<[u8]>) -> Result<Imported, ImportError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("source"), text).unwrap();
    import(&data(importer, Some("source")), folder.path())
}

/// Imports a file by settings in TOML; what is wrong with it comes with its remedy and without the folder's path.
pub(super) fn imported(settings: &str, file: &str, content: impl AsRef<[u8]>) -> Result<Imported, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(file), content).unwrap();
    let data: Data = toml::from_str(&format!("path = {file:?}\n{settings}")).unwrap();
    import(&data, folder.path()).map_err(|error| told(&error, folder.path()))
}

/// Words an error with its remedy, without the path of a folder.
pub(super) fn told(error: &ImportError, folder: &Path) -> String {
    format!("{error}\n{}", error.hint()).replace(&format!("{}/", folder.display()), "")
}

/// Returns a committed file.
pub(super) fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data");
    std::fs::read(folder.join(name)).unwrap()
}

/// Returns the message with the folder's path taken out.
fn message(importer: Importer, text: impl AsRef<[u8]>) -> String {
    let error = import_text(importer, text).unwrap_err();
    assert!(!error.hint().is_empty());
    let message = error.to_string();
    let (start, end) = (message.find("`/").unwrap(), message.find("source`").unwrap());
    format!("{}`{}", &message[..start], &message[end..])
}

pub(super) fn counts(map: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    map.iter().map(|(reason, &count)| (reason.as_str(), count)).collect()
}

#[test]
fn squad_and_telequad_differ_in_the_name_of_the_document() {
    let squad = import_text(Importer::Squad, SQUAD).unwrap();
    let telequad = import_text(Importer::Telequad, SQUAD).unwrap();
    let groups = |imported: &Imported| {
        let examples = imported.examples.iter();
        examples.map(|example| example.group.clone()).collect::<Vec<_>>()
    };
    assert_eq!(groups(&squad), ["Paging", "Paging", "Timing", "Timing"]);
    assert_eq!(groups(&telequad), ["7", "7", "8", "8"]);
    assert_eq!((squad.unit, telequad.unit), ("document", "document"));
    assert_eq!(squad.checksum, telequad.checksum);
    assert_eq!(squad.checksum, blake3::hash(SQUAD.as_bytes()).to_hex().to_string());
}

#[test]
fn unusable_rows_are_counted_and_references_deduplicated() {
    let imported = import_text(Importer::Squad, SQUAD).unwrap();
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
        let imported = import_text(Importer::Squad, SQUAD.replacen(answers, other, 1)).unwrap();
        assert_eq!(imported.skipped["question marked impossible"], 1, "{other}");
    }
}

#[test]
fn answers_are_placed_in_their_contexts_and_those_elsewhere_are_counted() {
    let imported = import_text(Importer::Squad, SQUAD).unwrap();
    let placed = |index: usize| {
        let example = &imported.examples[index];
        let place = imported.places.get(&example.id)?;
        Some(example.context.as_ref().unwrap()[place.clone()].to_owned())
    };
    let found: Vec<_> = (0..4).map(placed).collect();
    let expected = ["The AMF", "all cells of the registration area", "uplink transmissions"].map(str::to_owned);
    assert_eq!(found, [&expected.map(Some)[..], &[None]].concat());
    // Of p3, the stated offset is wrong by characters.
    let notes =
        [("answer not at its `answer_start`: taken where its text stands", 1), ("answer not in its context", 1)];
    assert_eq!(counts(&imported.notes), notes);
    let timing = "Timing advance aligns uplink transmissions.\n\nIt is sent in a MAC control element.";
    assert_eq!(imported.passages["Timing"], [timing]);
}

#[test]
fn rows_of_a_hub_are_the_questions_of_the_nested_file() {
    let rows = [
        r#"{"id": "p1", "title": "Paging", "context": "The AMF pages.", "question": "Who?", "answers": {"text": ["The AMF", "AMF"], "answer_start": [0, 4]}}"#,
        r#"{"id": "p2", "title": "Paging", "context": "The AMF pages.", "question": "When?", "answers": {"text": [], "answer_start": []}}"#,
        r#"{"id": "p3", "title": "Paging", "context": "The AMF pages.", "question": "What?", "answers": {"text": ["pages"], "answer_start": [3]}}"#,
    ];
    for text in [rows.join("\n"), format!("[{}]", rows.join(",\n"))] {
        let imported = import_text(Importer::Squad, text).unwrap();
        let examples: Vec<_> = imported.examples.iter().map(|e| (&*e.id, &*e.group, &e.references[..])).collect();
        let (who, what) = (["The AMF".to_owned(), "AMF".to_owned()], ["pages".to_owned()]);
        assert_eq!(examples, [("p1", "Paging", &who[..]), ("p3", "Paging", &what[..])]);
        assert_eq!(imported.unit, "document");
        assert_eq!(imported.places.into_values().collect::<Vec<_>>(), [0..7, 8..13]);
        assert_eq!(counts(&imported.skipped), [("question marked impossible", 1)]);
        assert_eq!(counts(&imported.notes), [("answer not at its `answer_start`: taken where its text stands", 1)]);
    }
    let one = import_text(Importer::Squad, rows[0]).unwrap();
    assert_eq!((one.examples.len(), one.notes.len()), (1, 0));
    let uneven = rows[0].replace("[0, 4]", "[0]");
    let told = "`source`, row 1, line 1, field `answers.answer_start`: expected as many numbers as `text` has texts, found a list of 1";
    assert_eq!(message(Importer::Squad, uneven), told);
    let misspelt = rows[0].replace("answers", "answer");
    let told = "`source`, row 1, line 1, field `answer` is not read, and there is no `answers`";
    assert_eq!(message(Importer::Squad, misspelt), told);
}

#[test]
fn jsonl_takes_answers_in_every_form_and_leaves_impossible_questions_out() {
    let row =
        |id: usize, answers: &str| format!(r#"{{"id": {id}, "question": "q{id}?", "context": "a b a", {answers}}}"#);
    let rows = [
        row(0, r#""answers": "b""#),
        row(1, r#""answer": ["b", "a"]"#),
        row(2, r#""answers": [{"text": "a", "answer_start": 4}]"#),
        row(3, r#""answers": {"text": ["a"], "answer_start": [4]}"#),
        row(4, r#""answer": "a", "answer_start": 4"#),
        row(5, r#""answer": "a", "is_impossible": true"#),
        row(6, r#""is_impossible": true"#),
        row(7, r#""answer": "c", "is_impossible": false"#),
    ];
    for text in [rows.join("\n"), format!("[{}]", rows.join(","))] {
        let imported = import_text(Importer::Qa, text).unwrap();
        let answers: Vec<&str> = imported.examples.iter().map(|example| &*example.answer).collect();
        assert_eq!(answers, ["b", "b", "a", "a", "a", "c"]);
        assert_eq!(counts(&imported.skipped), [("question marked impossible", 2)]);
        assert_eq!(counts(&imported.notes), [("answer not in its context", 1)]);
        assert_eq!(imported.places["4"], 4..5);
        assert_eq!(imported.unit, "context");
    }
}

#[test]
fn fields_that_are_not_read_are_told_and_misspelt_ones_refused() {
    let row = r#"{"id": 1, "question": "q?", "answer": "x", "context": "c x"}"#;
    let with = |field: &str| row.replace('}', &format!(", \"{field}\": \"v\"}}"));
    for (known, other) in [
        ("context", "contexts"),
        ("context", "Context"),
        ("context", "passage"),
        ("question", "query"),
        ("question", "qestion"),
        ("answer", "output"),
        ("answer", "anwser"),
        ("id", "_id"),
    ] {
        let expected = format!("`source`, row 1, line 1, field `{other}` is not read, and there is no `{known}`");
        let text = row.replace(&format!("\"{known}\""), &format!("\"{other}\""));
        assert_eq!(message(Importer::Qa, text), expected);
        // Beside the field itself, it is something else.
        let imported = import_text(Importer::Qa, with(other)).unwrap();
        assert_eq!(counts(&imported.notes), [(&*format!("field `{other}` is not read"), 1)]);
    }
    for (known, other) in [("group", "groups"), ("group", "docid"), ("is_impossible", "is_imposible")] {
        let expected = format!("`source`, row 1, line 1, field `{other}` is not read, and there is no `{known}`");
        assert_eq!(message(Importer::Qa, with(other)), expected);
    }
    for other in ["source", "title", "type", "metadata", "split", "answer_type", "difficulty", "topic", "url"] {
        let imported = import_text(Importer::Qa, with(other)).unwrap();
        assert_eq!(counts(&imported.notes), [(&*format!("field `{other}` is not read"), 1)]);
    }
    let empty = row.replace('}', ", \"contexts\": null}");
    assert_eq!(counts(&import_text(Importer::Qa, empty).unwrap().notes), []);
    // A `document` is a text or what names one, and a `doc_id` names a question or a document.
    let bare = row.replace(", \"context\": \"c x\"", "").replace('}', ", \"document\": \"v\"}");
    let told = "`source`, row 1, line 1, field `document` is not read, and there is no `context` or `group`";
    assert_eq!(message(Importer::Qa, &bare), told);
    assert_eq!(
        import_text(Importer::Qa, bare).unwrap_err().hint(),
        "give it the one of these names that it is, or another one if it is something else"
    );
    let told = "`source`, row 1, line 1, field `document` is not read, and there is no `group`";
    assert_eq!(message(Importer::Qa, with("document")), told);
    let told = "`source`, row 1, line 1, field `doc_id` is not read, and there is no `id` or `group`";
    assert_eq!(message(Importer::Qa, row.replace("\"id\"", "\"doc_id\"")), told);
    let nested = SQUAD.replacen("is_impossible", "is_imposible", 1);
    let expected = "`source`, row 1, line 12, field `data[0].paragraphs[0].qas[0].is_imposible` is not read, and there is no `is_impossible`";
    assert_eq!(message(Importer::Squad, nested), expected);
}

#[test]
fn a_key_given_twice_is_refused_with_its_line() {
    let row = r#"{"id": 1, "question": "a?", "answer": "x"}"#;
    let twice = r#"{"id": 2, "question": "b?", "answer": "x", "question": "c?"}"#;
    let text = format!("{row}\n\n{twice}\n");
    assert_eq!(message(Importer::Qa, text), "`source`, line 3: field `question` is given twice");
    let nested = SQUAD.replacen("\"id\": \"p3\",", "\"id\": \"p3\", \"id\": \"p9\",", 1);
    for importer in [Importer::Squad, Importer::Telequad] {
        assert_eq!(message(importer, &nested), "`source`, line 29: field `id` is given twice");
    }
}

#[test]
fn a_gzipped_file_is_read_and_a_damaged_one_told() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(SQUAD.as_bytes()).unwrap();
    let packed = gzip.finish().unwrap();
    let (plain, unpacked) =
        (import_text(Importer::Squad, SQUAD).unwrap(), import_text(Importer::Squad, &packed).unwrap());
    // Told apart as sources, for keys are made of the file's own bytes.
    assert_eq!(unpacked.checksum, blake3::hash(&packed).to_hex().to_string());
    assert_eq!(Imported { checksum: plain.checksum.clone(), ..unpacked }, plain);
    let cut = &packed[..packed.len() / 2];
    assert_eq!(message(Importer::Squad, cut), "cannot unpack `source`, which starts as gzip does");
    assert_eq!(import_text(Importer::Squad, cut).unwrap_err().hint(), "fetch the file again; it may be cut short");
}

#[test]
fn an_id_that_may_read_as_another_is_refused_as_everywhere() {
    let row = |id: &str| format!(r#"{{"id": {id}, "question": "q?", "answer": "x"}}"#);
    for (id, shown) in [("18446744073709551616", "1.8446744073709552e+19"), ("1.0", "1.0")] {
        let expected =
            format!("`source`, row 1, line 1, field `id`: expected text or a whole number below 2^64, found {shown}");
        assert_eq!(message(Importer::Qa, row(id)), expected);
        assert_eq!(import_text(Importer::Qa, row(id)).unwrap_err().hint(), "put the number in quotes");
    }
    let expected = "`source`, row 1, line 1, field `id`: expected text or a whole number, found a list of 1";
    assert_eq!(message(Importer::Qa, row("[1]")), expected);
}

#[test]
fn answer_start_is_of_the_first_answer_whatever_form_it_has() {
    let row =
        |answers: &str| format!(r#"{{"id": 1, "question": "q?", "context": "a b a", {answers}, "answer_start": 4}}"#);
    for answers in [
        r#""answer": "a""#,
        r#""answer": ["a", "b"]"#,
        r#""answers": ["a"]"#,
        r#""answers": "a""#,
        r#""answer": "a", "answers": ["b"]"#,
        r#""answers": [{"text": "a", "answer_start": 4}]"#,
    ] {
        let imported = import_text(Importer::Qa, row(answers)).unwrap();
        assert_eq!((&imported.places["1"], imported.notes.len()), (&(4..5), 0), "{answers}");
    }
    assert_eq!(
        message(Importer::Qa, row(r#""answers": [{"text": "a", "answer_start": 0}]"#)),
        "`source`, row 1, line 1, field `answer_start`: expected the number that the first answer has itself, found the number 4"
    );
}

#[test]
fn a_unit_is_called_what_the_rows_name() {
    let unit = |fields: &str| {
        let row = format!(r#"{{"id": 1, "question": "q?", "answer": "x"{fields}}}"#);
        import_text(Importer::Qa, row).unwrap().unit
    };
    assert_eq!(unit(""), "question");
    assert_eq!(unit(r#", "context": "c""#), "context");
    assert_eq!(unit(r#", "context": "c", "group": "g""#), "group");
    assert_eq!(import(&data(Importer::Glossary, None), Path::new("")).unwrap().unit, "term");
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
    let imported = import_text(Importer::Qa, rows).unwrap();
    let rows: Vec<_> = imported.examples.iter().map(|e| (&*e.id, &*e.group, &*e.answer)).collect();
    let expected = [("1", "1", "x"), ("2", "1", "y"), ("3", "g", "x"), ("4", "4", "x")];
    assert_eq!(rows, expected);
    assert_eq!(counts(&imported.skipped), [("answer empty", 1), ("row repeated", 1)]);
    assert_eq!(imported.passages.into_iter().collect::<Vec<_>>(), [("1".into(), vec!["c x".into()])]);
}

#[test]
fn jsonl_rows_without_a_group_join_the_one_that_their_context_is_in() {
    let row = |id: &str, context: &str, group: &str| {
        format!(r#"{{"id": "{id}", "question": "q{id}?", "answer": "x", "context": "{context}"{group}}}"#)
    };
    let named = |id: &str, context: &str, group: &str| row(id, context, &format!(r#", "group": "{group}""#));
    let groups = |rows: &[String]| {
        let examples = import_text(Importer::Qa, rows.join("\n")).unwrap().examples;
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
        message(Importer::Qa, rows.join("\n")),
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
    let imported = import_text(Importer::Qa, text).unwrap();
    let groups: Vec<_> = imported.examples.iter().map(|example| &*example.group).collect();
    assert_eq!(groups, ["g", "g", "g", "3", "4"]);
    assert!(imported.examples[3..].iter().all(|example| example.context.is_none()));
    assert_eq!(imported.passages.into_iter().collect::<Vec<_>>(), [("g".into(), vec!["a\n\nb".into()])]);
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
            "`source`, row 5, line 52, field `data[1].paragraphs[0].qas[0].answers[0].answer_start`: expected a whole number from 0, found text",
        ),
        (without("\"title\": \"Timing\","), "`source`, field `data[1].title` is missing"),
        (
            SQUAD.replacen("\"id\": \"t2\"", "\"id\": \"p1\"", 1),
            // Two lines have this id, so none is named.
            "`source`, row 6, field `data[1].paragraphs[1].qas[0]`: id `p1` is already used by row 1, which differs",
        ),
        (SQUAD[..900].to_owned(), "`source` is not JSON at line 26, column 30"),
        ("3".to_owned(), "`source`: expected an object, found the number 3"),
        ("[]".to_owned(), "`source` has no usable question (skipped: none)"),
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
        ("3", "`source`, row 2, line 2: expected an object, found the number 3"),
        (
            "{\"id\": \"1\", \"question\": \"other?\", \"answer\": \"x\"}",
            "`source`, row 2, line 2: id `1` is already used by row 1, which differs",
        ),
        (
            "{\"id\": \"2\", \"question\": \"b?\", \"answer\": 4}",
            "`source`, row 2, line 2, field `answer`: expected text, a list or an object with `text`, found the number 4",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(message(Importer::Qa, format!("{first}{line}")), expected);
    }
    let bytes = [first.as_bytes(), b"{\"id\": \"\xff\"}"].concat();
    let expected = format!("`source` is not UTF-8 at byte {} (line 2)", first.len() + 8);
    assert_eq!(message(Importer::Qa, bytes), expected);
}

#[test]
fn a_truncated_file_is_told_from_a_wrong_one() {
    let hint = |text: &str| import_text(Importer::Squad, text).unwrap_err().hint();
    assert_eq!(hint(&SQUAD[..SQUAD.len() / 2]), "the file ends early: fetch it again");
    assert_ne!(hint("not JSON"), hint(&SQUAD[..SQUAD.len() / 2]));
}

#[test]
fn a_line_that_is_cut_before_others_is_no_end_of_the_file() {
    let hint = |text: &str| import_text(Importer::Qa, text).unwrap_err().hint();
    let (whole, cut) = ("{\"id\": \"1\", \"question\": \"a?\", \"answer\": \"x\"}\n", "{\"id\": \"2\", \"quest\n");
    let early = "the file ends early: fetch it again";
    assert_eq!(hint(&format!("{whole}{cut}")), early);
    assert_eq!(hint(&format!("{whole}{cut} \n\n")), early);
    assert_ne!(hint(&format!("{cut}{whole}")), early);
}

#[test]
fn paths_are_required_by_files_and_refused_by_embedded_data() {
    let base = Path::new("nowhere");
    let error = import(&data(Importer::Telequad, None), base).unwrap_err();
    assert_eq!(error.to_string(), "importer `telequad` has no `path`");
    let error = import(&data(Importer::Squad, Some("missing.json")), base).unwrap_err();
    assert_eq!(error.to_string(), "cannot read `nowhere/missing.json`");
    let error = import(&data(Importer::Glossary, Some("x")), base).unwrap_err();
    assert!(matches!(error, ImportError::Embedded { .. }));
    let glossary = import(&data(Importer::Glossary, None), base).unwrap();
    assert!(glossary.examples.len() >= 2000);
}

#[test]
fn an_offset_beyond_the_context_is_searched() {
    let far = SQUAD.replacen("\"answer_start\": 43", &format!("\"answer_start\": {}", u64::MAX), 1);
    let imported = import_text(Importer::Squad, far).unwrap();
    assert_eq!(imported.places["p1"], import_text(Importer::Squad, SQUAD).unwrap().places["p1"]);
    assert_eq!(imported.notes["answer not at its `answer_start`: taken where its text stands"], 2);
}

proptest! {
    #[test]
    fn damaged_files_are_imported_or_refused(
        // A file that only lacks its last line break is whole.
        position in 0..SQUAD.trim_end().len(),
        byte: u8,
        cut: bool,
    ) {
        let mut bytes = SQUAD.as_bytes().to_vec();
        bytes[position] = byte;
        if cut {
            bytes.truncate(position);
        }
        match import_text(Importer::Squad, bytes) {
            Ok(imported) => prop_assert!(!cut && !imported.examples.is_empty()),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn every_importer_has_its_name_in_files_and_its_reader() {
    for &importer in Importer::ALL {
        for name in [&[importer.name()], importer.former_names()].concat() {
            let data: Data = toml::from_str(&format!("importer = {name:?}\npath = \"nowhere.json\"")).unwrap();
            assert_eq!(data.importer, importer);
        }
        assert!(importer.about().ends_with('.') && !importer.about().starts_with(' '), "{}", importer.about());
        let nowhere = Data::new(importer, Some("nowhere.json".into()));
        let (questions, of_texts) = (import(&nowhere, Path::new("")), texts(&nowhere, Path::new("")));
        let told = (questions.unwrap_err().to_string(), of_texts.unwrap_err().to_string());
        let (unread, name) = ("cannot read `nowhere.json`".to_owned(), importer.name());
        let expected = match (importer.kind(), importer.origin()) {
            (Kind::Text, _) => (format!("importer `{name}` gives texts and no questions"), unread),
            (_, Origin::Embedded) => (
                "importer `glossary` is embedded, found `path` `nowhere.json`".to_owned(),
                format!("importer `{name}` gives questions and no texts"),
            ),
            _ => (unread, format!("importer `{name}` gives questions and no texts")),
        };
        assert_eq!(told, expected);
    }
}
