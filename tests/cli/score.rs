//! `score` and `compare` on small files.

use insta::assert_snapshot;

use super::{tutelage, write};

const PREDICTIONS: &str = r#"{"id": "a", "prediction": "the base station", "reference": "a base station"}
{"id": "b", "prediction": "network slice", "references": ["slice", "network slice"]}
{"id": 3, "prediction": "", "reference": "core"}
"#;

#[test]
fn scores_are_printed_with_interval_and_signature() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "p.jsonl", PREDICTIONS);
    assert_snapshot!(tutelage(folder.path(), &["score", "--predictions", "p.jsonl", "--metrics", "exact-match,token-f1"]), @r"
    exit 0
    --- stdout
    metric       value   95 % interval     unit      n  signature
    exact-match  0.6667  0.0000 to 1.0000  fraction  3  norm:squad|refs:max|version:tutelage-0.1.0|equals:squad-2.0
    token-f1     0.6667  0.0000 to 1.0000  fraction  3  norm:squad|refs:max|version:tutelage-0.1.0|equals:squad-2.0
    --- stderr
    ");
}

#[test]
fn scores_are_json_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "p.jsonl", PREDICTIONS);
    let arguments = ["score", "--predictions", "p.jsonl", "--metrics", "exact-match", "--format", "json"];
    assert_snapshot!(tutelage(folder.path(), &arguments), @r#"
    exit 0
    --- stdout
    {
      "metrics": [
        {
          "metric": "exact-match",
          "value": 0.6666666666666666,
          "unit": "fraction",
          "direction": "higher",
          "signature": "norm:squad|refs:max|version:tutelage-0.1.0|equals:squad-2.0",
          "n": 3,
          "ci": [
            0.0,
            1.0
          ]
        }
      ]
    }
    --- stderr
    "#);
}

#[test]
fn references_may_lie_in_their_own_file() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "p.jsonl", "{\"id\": \"a\", \"prediction\": \"x\"}\n{\"id\": \"b\", \"prediction\": \"y\"}\n");
    write(folder.path(), "r.jsonl", "{\"id\": \"a\", \"reference\": \"x\"}\n");
    let arguments = ["score", "--predictions", "p.jsonl", "--references", "r.jsonl", "--metrics", "exact-match"];
    assert_snapshot!(tutelage(folder.path(), &arguments), @r"
    exit 2
    --- stdout
    --- stderr
    error: `p.jsonl`, row 2: no `reference`, `references`, nor a row of `--references` with id `b`
    ");
}

#[test]
fn what_cannot_be_scored_says_so() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "p.jsonl", PREDICTIONS);
    write(
        folder.path(),
        "bad.jsonl",
        "{\"id\": \"a\", \"prediction\": \"x\", \"reference\": \"x\"}\n{\"id\": \"b\", \n",
    );
    let score =
        |file: &str, metric: &str| tutelage(folder.path(), &["score", "--predictions", file, "--metrics", metric]);
    assert_snapshot!(score("absent.jsonl", "bleu"), @r"
    exit 2
    --- stdout
    --- stderr
    error: cannot read `absent.jsonl`
      caused by: No such file or directory (os error 2)
    ");
    assert_snapshot!(score("bad.jsonl", "bleu"), @r"
    exit 2
    --- stdout
    --- stderr
    error: `bad.jsonl`, line 2, column 12
      caused by: EOF while parsing a value
    ");
    assert_snapshot!(score("p.jsonl", "blue"), @r"
    exit 2
    --- stdout
    --- stderr
    error: unknown metric `blue`: expected one of bleu, chrf, chrf++, rouge-1, rouge-2, rouge-l, rouge-lsum, exact-match, token-f1, cosine, nll, perplexity, bits-per-byte
    ");
    let nowhere = ["score", "--predictions", "p.jsonl", "--metrics", "cosine", "--embedding-model", "nowhere"];
    assert_snapshot!(tutelage(folder.path(), &nowhere), @r"
    exit 2
    --- stdout
    --- stderr
    error: `nowhere` (as asked for) holds no embedding model: expected `config.json`, `tokenizer.json` and weights
    hint: run `make setup`, or name the folder of all-MiniLM-L6-v2 in `evaluation.embedding-model` or $TUTELAGE_EMBEDDING_MODEL
    ");
}

#[test]
fn two_files_are_compared_in_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |values: [f64; 4]| {
        let row = |(id, value): (usize, f64)| format!("{{\"id\": \"{id}\", \"metric\": \"f1\", \"value\": {value}}}\n");
        values.into_iter().enumerate().map(row).collect::<String>()
    };
    write(folder.path(), "a.jsonl", &rows([1.0, 0.5, 0.75, 0.5]));
    write(folder.path(), "b.jsonl", &rows([0.5, 0.25, 0.75, 0.0]));
    let json = tutelage(folder.path(), &["compare", "a.jsonl", "b.jsonl", "--metric", "f1", "--format", "json"]);
    assert!(json.starts_with("exit 0\n"), "{json}");
    assert!(json.contains("\"difference\": 0.3125"), "{json}");
    assert!(json.contains("\"test\": \"wilcoxon\""), "{json}");
    let missing = tutelage(folder.path(), &["compare", "a.jsonl", "b.jsonl", "--metric", "bleu"]);
    assert_snapshot!(missing, @r"
    exit 2
    --- stdout
    --- stderr
    error: `a.jsonl` has no values of `bleu`; it has: f1
    ");
}
