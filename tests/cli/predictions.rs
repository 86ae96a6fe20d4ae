//! Predictions and references as people have them.

use std::io::Write;
use std::path::Path;

use insta::assert_snapshot;

use super::{tutelage, tutelage_reading, write};

const TWO: &str = "{\"id\": \"q1\", \"prediction\": \"the AMF\"}\n{\"id\": \"q2\", \"prediction\": \"the SMF\"}\n";

fn score(folder: &Path, more: &[&str]) -> String {
    tutelage(folder, &[&["score", "--quiet", "--metrics", "exact-match", "--predictions"], more].concat())
}

/// Scores one file of predictions and returns what the command says.
fn scored(text: &str, more: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "p.jsonl", text);
    score(folder.path(), &[&["p.jsonl"], more].concat())
}

/// Returns what the command says of a faulty file.
fn refused(text: &str) -> String {
    let told = scored(text, &[]);
    told.strip_prefix("exit 2\n--- stdout\n--- stderr\n").unwrap_or(&told).to_owned()
}

#[test]
fn a_reference_without_a_prediction_is_refused_or_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let references: String = [("q1", "AMF"), ("q2", "SMF"), ("q3", "UPF"), ("q4", "")]
        .map(|(id, reference)| format!("{{\"id\": \"{id}\", \"reference\": \"{reference}\"}}\n"))
        .concat();
    write(folder.path(), "r.jsonl", &references);
    write(folder.path(), "p.jsonl", TWO);
    let arguments = ["p.jsonl", "--references", "r.jsonl"];
    assert_snapshot!(score(folder.path(), &arguments), @r"
    exit 2
    --- stdout
    --- stderr
    error: 2 of 4 references have no prediction: `q3`, `q4`
    hint: `--missing wrong` counts them as wrong; else predict them, or leave their references out
    ");
    // Wrong even where the empty answer would be right, and said although --quiet.
    let wrong = [&arguments[..], &["--missing", "wrong", "--format", "json"]].concat();
    assert_snapshot!(score(folder.path(), &wrong), @r#"
    exit 0
    --- stdout
    {
      "metrics": [
        {
          "metric": "exact-match",
          "value": 0.5,
          "unit": "fraction",
          "direction": "higher",
          "signature": "norm:squad|refs:max|version:tutelage-0.1.0|equals:squad-2.0",
          "n": 4,
          "ci": [
            0.0,
            1.0
          ]
        }
      ],
      "unit": "question",
      "units": 4,
      "missing": 2,
      "notes": [
        "2 of 4 references have no prediction and count as wrong: `q3`, `q4`"
      ]
    }
    --- stderr
    note: 2 of 4 references have no prediction and count as wrong: `q3`, `q4`
    "#);
    // A row without an answer is no answer either.
    let null = TWO.replace("\"the SMF\"", "null");
    write(folder.path(), "p.jsonl", &null);
    assert_snapshot!(score(folder.path(), &arguments), @r"
    exit 2
    --- stdout
    --- stderr
    error: 3 of 4 references have no prediction: `q2`, `q3`, `q4`
    hint: `--missing wrong` counts them as wrong; else predict them, or leave their references out
    ");
}

#[test]
fn what_does_not_fit_together_is_told() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "p.jsonl", TWO);
    write(folder.path(), "r.jsonl", "{\"id\": \"q1\", \"references\": [\"AMF\"]}\n");
    assert_snapshot!(score(folder.path(), &["p.jsonl", "--references", "r.jsonl"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: 1 of 2 predictions in `p.jsonl` have no reference: `q2`
    hint: give each row `reference` or `references`, name the field with `--reference-field`, or give a row with its id in `--references`
    ");
    let own = TWO.replace("SMF\"", "SMF\", \"reference\": \"SMF\"");
    write(folder.path(), "p.jsonl", &own);
    assert_snapshot!(score(folder.path(), &["p.jsonl", "--references", "r.jsonl"]), @r"
    exit 0
    --- stdout
    metric       value   95 % interval     unit      n  signature
    exact-match  1.0000  1.0000 to 1.0000  fraction  2  norm:squad|refs:max|version:tutelage-0.1.0|equals:squad-2.0
    --- stderr
    note: 1 of 2 predictions are not in `r.jsonl` and have their own reference: `q2`
    ");
    let other = own.replace("AMF\"", "AMF\", \"reference\": \"UPF\"");
    write(folder.path(), "p.jsonl", &other);
    assert_snapshot!(score(folder.path(), &["p.jsonl", "--references", "r.jsonl"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `p.jsonl`, line 1: id `q1` has another reference in `r.jsonl`, line 1
    hint: leave one of them out
    ");
    write(folder.path(), "p.jsonl", &own.replace("\"id\"", "\"group\": 1, \"id\""));
    write(folder.path(), "r.jsonl", "{\"id\": \"q1\", \"references\": [\"AMF\"], \"group\": 2}\n");
    assert_snapshot!(score(folder.path(), &["p.jsonl", "--references", "r.jsonl"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `p.jsonl`, line 1: group `1`, but `2` in `r.jsonl`, line 1
    hint: correct one of them
    ");
    assert_snapshot!(score(folder.path(), &["-", "--references", "-"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `--predictions` and `--references` are both `-`, and there is one standard input
    ");
}

#[test]
fn fields_that_people_have_are_read_and_named() {
    for field in ["output", "generated_text", "response", "predict", "completion"] {
        for (reference, value) in [("target", "\"the AMF\""), ("label", "[\"SMF\", \"AMF\"]")] {
            let told = scored(&format!("{{\"id\": 1, \"{field}\": \"AMF\", \"{reference}\": {value}}}"), &[]);
            assert!(told.contains("exact-match  1.0000  "), "{told}");
            assert!(told.contains(&format!("note: `{field}` of `p.jsonl` is read as the prediction\n")), "{told}");
            assert!(told.contains(&format!("note: `{reference}` of `p.jsonl` is read as the reference\n")), "{told}");
        }
    }
    for reference in ["\"references\": \"AMF\"", "\"reference\": [\"SMF\", \"AMF\"]"] {
        let told = scored(&format!("{{\"id\": 1, \"prediction\": \"AMF\", {reference}}}"), &[]);
        assert!(told.contains("exact-match  1.0000  ") && told.ends_with("--- stderr\n"), "{told}");
    }
    let named = ["--prediction-field", "mine", "--reference-field", "theirs", "--id-field", "key"];
    let told = scored("{\"key\": 1, \"mine\": \"AMF\", \"theirs\": \"AMF\", \"predict\": \"x\"}", &named);
    assert!(told.contains("exact-match  1.0000  ") && told.ends_with("--- stderr\n"), "{told}");
    // As LLaMA-Factory writes its predictions: without ids.
    let rows =
        "{\"prompt\": \"?\", \"predict\": \"AMF\", \"label\": \"AMF\"}\n{\"predict\": \"SMF\", \"label\": \"UPF\"}\n";
    assert_snapshot!(scored(rows, &[]), @r"
    exit 0
    --- stdout
    metric       value   95 % interval     unit      n  signature
    exact-match  0.5000  0.0000 to 1.0000  fraction  2  norm:squad|refs:max|version:tutelage-0.1.0|equals:squad-2.0
    --- stderr
    note: `predict` of `p.jsonl` is read as the prediction
    note: no `id` in `p.jsonl`: rows are numbered from 1 and so paired by `tutelage compare`
    note: `label` of `p.jsonl` is read as the reference
    ");
}

#[test]
fn a_group_by_another_name_is_told() {
    let row = |id: u32, field: &str| {
        format!("{{\"id\": {id}, \"prediction\": \"AMF\", \"reference\": \"AMF\", \"{field}\": \"d\"}}\n")
    };
    let rows = |field: &str| row(1, field) + &row(2, field);
    for field in ["groups", "docid", "document", "Group"] {
        let note = format!(
            "note: there is no `group` in rows of `p.jsonl`, and `{field}` is not read: their questions count as independent\n"
        );
        let told = scored(&rows(field), &[]);
        assert!(told.starts_with("exit 0\n") && told.ends_with(&format!("--- stderr\n{note}")), "{told}");
        // Where it is asked for, there is nothing to tell.
        let told = scored(&rows(field), &["--unit", "question"]);
        assert!(told.ends_with("--- stderr\n"), "{told}");
    }
    let read = "{\"prediction\": \"AMF\", \"reference\": \"AMF\", \"doc_id\": \"d\"}\n";
    let told = scored(read, &["--id-field", "doc_id"]);
    assert!(told.starts_with("exit 0\n") && told.ends_with("--- stderr\n"), "{told}");

    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "p.jsonl", &rows("groups"));
    write(at, "r.jsonl", &rows("group"));
    let told = score(at, &["p.jsonl", "--references", "r.jsonl"]);
    assert!(!told.contains("there is no `group`"), "the references have it: {told}");
}

#[test]
fn fields_that_could_mean_two_things_are_refused() {
    let told = [
        "{\"id\": 1, \"output\": \"a\", \"response\": \"a\", \"target\": \"a\"}",
        "{\"id\": 1, \"output\": \"a\", \"target\": \"a\", \"label\": \"a\"}",
        "{\"id\": 1, \"prediction\": \"a\", \"reference\": \"a\", \"references\": [\"b\"]}",
        "{\"id\": 1, \"text\": \"a\", \"reference\": \"a\"}",
        "{\"id\": 1, \"prediction\": \"a\", \"answer\": \"a\"}",
        "{\"question_id\": 1, \"prediction\": \"a\", \"reference\": \"a\"}",
        "{\"doc_id\": 1, \"prediction\": \"a\", \"reference\": \"a\"}",
        "{\"id\": 1, \"prediction\": \"a\", \"reference\": \"a\"}\n{\"prediction\": \"a\", \"reference\": \"a\"}",
        "{\"id\": 1, \"prediction\": \"a\", \"reference\": \"a\"}\n\n{\"id\": \"1\", \"prediction\": \"b\", \"reference\": \"a\"}",
    ]
    .map(refused);
    assert_snapshot!(told.join("\n"), @r"
    error: `p.jsonl` has `output`, `response`, which are alike in meaning
    hint: choose one with `--prediction-field`

    error: `p.jsonl` has `target`, `label`, which are alike in meaning
    hint: choose one with `--reference-field`

    error: `p.jsonl`, line 1: both `reference` and `references`
    hint: keep the one that is right

    error: no `prediction` in `p.jsonl`, found `id`, `reference`, `text`
    hint: name the field with `--prediction-field`

    error: 1 of 1 predictions in `p.jsonl` have no reference: `1`
    hint: give each row `reference` or `references`, name the field with `--reference-field`, or give a row with its id in `--references`

    error: no `id` in `p.jsonl`, but `question_id`
    hint: `--id-field question_id` takes it for the id

    error: no `id` in `p.jsonl`, but `doc_id`
    hint: `--id-field doc_id` takes it for the id; if it names what questions share, call it `group`

    error: `p.jsonl`, line 2: no `id`
    hint: give every row its id, or none

    error: `p.jsonl`, line 3: id `1` occurs before, in `p.jsonl`, line 1
    hint: give every row its own id, and all right answers as its references
    ");
}

#[test]
fn values_of_another_type_are_named_with_what_was_expected() {
    let told = [
        "{\"id\": {\"n\": 1}, \"prediction\": \"a\", \"reference\": \"a\"}",
        "{\"id\": 18446744073709551616, \"prediction\": \"a\", \"reference\": \"a\"}\n{\"id\": 18446744073709551617, \"prediction\": \"a\", \"reference\": \"a\"}",
        "{\"id\": 1, \"output\": [[\"a\"]], \"reference\": \"a\"}",
        "{\"id\": 1, \"prediction\": \"3\", \"label\": 3}",
        "{\"id\": 1, \"prediction\": \"a\", \"references\": []}",
        "{\"id\": 1, \"prediction\": \"a\", \"prediction\": \"b\", \"reference\": \"a\"}",
        "{\n  \"id\": 1,\n  \"prediction\": \"a\"\n}\n",
        "[1, 2]",
        "",
    ]
    .map(refused);
    assert_snapshot!(told.join("\n"), @r"
    error: `p.jsonl`, line 1: expected text or a whole number in `id`, found an object

    error: `p.jsonl`, line 1: expected text or a whole number below 2^64 in `id`, found 1.8446744073709552e+19
    hint: put the number in quotes

    error: `p.jsonl`, line 1: expected text in `output`, found a list of 1

    error: `p.jsonl`, line 1: expected text or a list of texts in `label`, found the number 3

    error: `p.jsonl`, line 1: expected at least one text in `references`, found none

    error: `p.jsonl`, line 1, column 41
      caused by: `prediction` is given twice

    error: `p.jsonl` is one JSON object over several lines
    hint: expected one object per line or a list of objects, such as `jq -c '.[]'` makes

    error: `p.jsonl`, item 1: expected an object, found the number 1

    error: `p.jsonl` is empty
    hint: expected one JSON object per line, or a JSON list of objects
    ");
}

#[test]
fn lists_gzip_and_standard_input_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let list = "[{\"id\": 1, \"prediction\": \"AMF\", \"reference\": \"AMF\"},\n {\"id\": 2, \"prediction\": \"x\", \"reference\": \"SMF\"}]";
    write(folder.path(), "p.json", list);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(list.as_bytes()).unwrap();
    tutelage::files::write(&folder.path().join("p.json.gz"), &gzip.finish().unwrap()).unwrap();
    let plain = score(folder.path(), &["p.json"]);
    assert!(plain.contains("exact-match  0.5000  "), "{plain}");
    assert_eq!(score(folder.path(), &["p.json.gz"]), plain);
    let piped = ["score", "--quiet", "--metrics", "exact-match", "--predictions", "-"];
    assert_eq!(tutelage_reading(folder.path(), &piped, "p.json.gz"), plain);
}
