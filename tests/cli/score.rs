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
      ],
      "unit": "question",
      "units": 3,
      "missing": 0,
      "notes": []
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
    error: 1 of 2 predictions in `p.jsonl` have no reference: `b`
    hint: give each row `reference` or `references`, name the field with `--reference-field`, or give a row with its id in `--references`
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
    error: unknown metric `blue`: expected one of bleu, chrf, chrf++, rouge-1, rouge-2, rouge-l, rouge-lsum, exact-match, token-f1, cosine, nll, perplexity, bits-per-byte, acc, acc-norm
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
fn short_answers_and_scripts_without_spaces_get_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "short.jsonl", "{\"id\": 1, \"prediction\": \"the SMF\", \"reference\": \"the SMF\"}\n");
    let zh = "{\"id\": 1, \"prediction\": \"网络切片支持多种业务\", \"reference\": \"网络切片支持多种业务\"}\n";
    write(folder.path(), "zh.jsonl", zh);
    let score = |file: &str, more: &[&str]| {
        tutelage(folder.path(), &[&["score", "--quiet", "--predictions", file, "--metrics"], more].concat())
    };
    assert_snapshot!(score("short.jsonl", &["bleu,exact-match"]), @r"
    exit 0
    --- stdout
    metric       value   95 % interval     unit      n  signature
    bleu         0.0000  0.0000 to 0.0000  0-100     1  nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:tutelage-0.1.0|equals:sacrebleu-2.6.0
    exact-match  1.0000  1.0000 to 1.0000  fraction  1  norm:squad|refs:max|version:tutelage-0.1.0|equals:squad-2.0
    --- stderr
    note: bleu: no prediction has 4 tokens, so the value is 0 whatever they say (1 of 1 equal a reference); use exact-match, token-f1 or chrf for short answers
    ");
    assert_snapshot!(score("zh.jsonl", &["bleu,rouge-1,rouge-l"]), @r"
    exit 0
    --- stdout
    metric   value   95 % interval     unit      n  signature
    bleu     0.0000  0.0000 to 0.0000  0-100     1  nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:tutelage-0.1.0|equals:sacrebleu-2.6.0
    rouge-1  0.0000  0.0000 to 0.0000  fraction  1  stem:porter|tok:a-z0-9|refs:max|agg:mean|version:tutelage-0.1.0|equals:rouge-score-0.1.2
    rouge-l  0.0000  0.0000 to 0.0000  fraction  1  stem:porter|tok:a-z0-9|refs:max|agg:mean|version:tutelage-0.1.0|equals:rouge-score-0.1.2
    --- stderr
    note: bleu: no prediction has 4 tokens, so the value is 0 whatever they say (1 of 1 equal a reference); use exact-match, token-f1 or chrf for short answers
    note: bleu: a script without spaces is not split into words (1 of 1 rows have a reference in such a script); use `--bleu-tokenizer zh` for Chinese, `--bleu-tokenizer char` for any script, or chrf
    note: rouge-1, rouge-l: a script without spaces is not split into words (1 of 1 rows have a reference in such a script); use chrf or exact-match
    ");
    assert_snapshot!(score("zh.jsonl", &["bleu", "--bleu-tokenizer", "zh"]), @r"
    exit 0
    --- stdout
    metric  value     95 % interval         unit   n  signature
    bleu    100.0000  100.0000 to 100.0000  0-100  1  nrefs:1|case:mixed|eff:no|tok:zh|smooth:exp|version:tutelage-0.1.0|equals:sacrebleu-2.6.0
    --- stderr
    ");
}

#[test]
fn rows_of_one_group_are_resampled_together() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..24)
        .map(|i| {
            let (group, prediction) = (i / 2, ["x", "y"][i / 2 % 2]);
            format!("{{\"id\": {i}, \"group\": {group}, \"prediction\": \"{prediction}\", \"reference\": \"x\"}}\n")
        })
        .collect();
    write(folder.path(), "p.jsonl", &rows);
    let score = ["score", "--predictions", "p.jsonl", "--metrics", "exact-match"];
    assert_snapshot!(tutelage(folder.path(), &[&score[..], &["--per-example", "v.jsonl"]].concat()), @r"
    exit 0
    --- stdout
    metric       value   95 % interval     unit      n   signature
    exact-match  0.5000  0.2479 to 0.7521  fraction  24  norm:squad|refs:max|version:tutelage-0.1.0|equals:squad-2.0

    The intervals resample 12 groups.
    --- stderr
    ");
    let values = std::fs::read_to_string(folder.path().join("v.jsonl")).unwrap();
    assert_snapshot!(values.lines().next().unwrap(), @r#"{"id":"0","metric":"exact-match","value":1.0,"group":"0","signature":"norm:squad|refs:max|version:tutelage-0.1.0|equals:squad-2.0"}"#);
    assert_snapshot!(tutelage(folder.path(), &[&score[..], &["--unit", "question"]].concat()), @r"
    exit 0
    --- stdout
    metric       value   95 % interval     unit      n   signature
    exact-match  0.5000  0.3323 to 0.7083  fraction  24  norm:squad|refs:max|version:tutelage-0.1.0|equals:squad-2.0
    --- stderr
    note: questions are counted as independent, though rows have groups
    ");
    write(folder.path(), "some.jsonl", &rows.replacen("\"group\": 1, ", "", 1));
    let some = ["score", "--predictions", "some.jsonl", "--metrics", "exact-match"];
    assert_snapshot!(tutelage(folder.path(), &some), @r"
    exit 2
    --- stdout
    --- stderr
    error: 23 of 24 rows have a group, row `2` has none: expected all or none
    hint: give every row its group: its own id where it belongs to no other
    ");
}
