//! What a user reads about faults of structure: keys, choices, types, syntax.

use insta::assert_snapshot;

use super::{faults, one_fault};

#[test]
fn a_misspelt_key() {
    assert_snapshot!(faults(&[("temperature = 2.0", "tempreture = 2.0")], &[]), @r#"
error: unknown key `tempreture` in `algorithms.kd.vanilla`
  --> study.toml:25:1
   |
25 | tempreture = 2.0
   | ^^^^^^^^^^
   |
   = help: did you mean `temperature`? keys here: `divergence`, `temperature`, `rate`, `alignment`

1 fault in `study.toml`
"#);
}

#[test]
fn a_misspelt_key_of_the_experiment() {
    assert_snapshot!(faults(&[("question =", "qestion =")], &[]), @r#"
error: unknown key `qestion` in the experiment
 --> study.toml:2:1
  |
2 | qestion = "Does distillation help?"
  | ^^^^^^^
  |
  = help: did you mean `question`? keys here: `version`, `question`, `reproduces`, `seeds`, `retrain`, `baseline`, `alpha`, `assumptions`, `data`, `tokenizers`, `models`, `recipe`, `recipes`, `steps`, `factors`, `exclude`, `arms`, `algorithms`, `tuning`, `training`, `evaluation`, `compute`, `energy`, `hypotheses`

1 fault in `study.toml`
"#);
}

#[test]
fn a_key_of_the_experiment_below_a_table() {
    let edits = [("seeds = [10]\n", ""), ("metrics = [\"rouge-l\"]\n", "metrics = [\"rouge-l\"]\nseeds = [7, 7]\n")];
    assert_snapshot!(faults(&edits, &[]), @r#"
error: unknown key `seeds` in `hypotheses[0]`
  --> study.toml:30:1
   |
30 | seeds = [7, 7]
   | ^^^^^
   |
   = help: move `seeds` above the first `[table]`

error: `7` appears twice in `seeds`
  --> study.toml:30:13
   |
30 | seeds = [7, 7]
   |             ^
   |
   = help: remove one of them

2 faults in `study.toml`
"#);
    let shown = faults(&[("split = { group-by", "split = { seeds = 3, group-by")], &[]);
    let help = "help: move `seeds` above the first `[table]`, or did you mean `seed`?";
    assert!(shown.contains(help) && shown.contains("1 fault in"), "{shown}");
    let shown = faults(&[], &["evaluation.seeds=[1]"]);
    assert!(shown.contains("keys here: `metrics`") && !shown.contains("move"), "{shown}");
}

#[test]
fn a_misspelt_table_beside_the_right_one() {
    let edit = (
        "[models]\n",
        "[modles]\nlarge.scratch = { tokenizer = \"a\", hidden = 0, layers = 2, heads = 2, feed-forward = 128 }\n[models]\n",
    );
    let drop = (
        "large.scratch = { tokenizer = \"a\", hidden = 64, layers = 2, heads = 2, feed-forward = 128 }\nforeign",
        "foreign",
    );
    assert_snapshot!(faults(&[drop, edit], &[]), @r#"
error: unknown key `modles` in the experiment
  --> study.toml:13:2
   |
13 | [modles]
   |  ^^^^^^
   |
   = help: did you mean `models`? keys here: `version`, `question`, `reproduces`, `seeds`, `retrain`, `baseline`, `alpha`, `assumptions`, `data`, `tokenizers`, `models`, `recipe`, `recipes`, `steps`, `factors`, `exclude`, `arms`, `algorithms`, `tuning`, `training`, `evaluation`, `compute`, `energy`, `hypotheses`

error: `models.large.scratch.hidden` should be at least 1, found 0
  --> study.toml:14:45
   |
14 | large.scratch = { tokenizer = "a", hidden = 0, layers = 2, heads = 2, feed-forward = 128 }
   |                                             ^

2 faults in `study.toml`
"#);
}

#[test]
fn a_header_that_was_left_out() {
    assert_snapshot!(one_fault(&[("[tokenizers]\n", "")], &[]), @r#"
error: `a`, `b` belong to another table than `data.glossary`
 --> study.toml:9:1
  |
9 | a = { byte-level-bpe = { vocabulary = 512 } }
  | ^
  |
  = help: write `[tokenizers]` above `a`
"#);
    assert_snapshot!(one_fault(&[("[data.glossary]\n", "")], &[]), @r#"
error: `importer`, `split` belong below the header of a table
 --> study.toml:5:1
  |
5 | importer = "glossary"
  | ^^^^^^^^
  |
  = help: write `[data.NAME]` above `importer`
"#);
    assert_snapshot!(one_fault(&[("[[hypotheses]]\n", "")], &[]), @r#"
error: `name`, `contrast`, `metrics` belong to another table than `algorithms.kd.vanilla`
  --> study.toml:27:1
   |
27 | name = "fine-tuning helps"
   | ^^^^
   |
   = help: write `[[hypotheses]]` above `name`
"#);
    for header in ["[models]\n", "[factors]\n"] {
        let shown = one_fault(&[(header, "")], &[]);
        assert!(shown.contains(&format!("help: write `{}` above", header.trim())), "{shown}");
    }
}

#[test]
fn several_missing_keys_of_a_table() {
    let sizes = "hidden = 32, layers = 1, heads = 2, feed-forward = 64";
    assert_snapshot!(one_fault(&[(&format!("tokenizer = \"a\", {sizes}"), "")], &[]), @r#"
error: missing keys `tokenizer`, `hidden`, `layers`, `heads`, `feed-forward` in `models.small.scratch`
  --> study.toml:14:7
   |
14 | small.scratch = {  }
   |       ^^^^^^^
   |
   = help: add `tokenizer = "..."`, `hidden = 128`, `layers = 1`, `heads = 4`, `feed-forward = 384`
"#);
}

#[test]
fn a_misspelt_choice() {
    let edit = ("importer = \"glossary\"", "importer = \"glosary\"");
    assert_snapshot!(faults(&[edit], &[]), @r#"
error: `data.glossary.importer` has no choice `glosary`
 --> study.toml:6:12
  |
6 | importer = "glosary"
  |            ^^^^^^^^^
  |
  = help: did you mean `glossary`? choices: `telequad`, `squad`, `qa`, `messages`, `sharegpt`, `text`, `choice`, `teleqna`, `glossary`

1 fault in `study.toml`
"#);
}

#[test]
fn a_misspelt_choice_with_settings() {
    let edit = ("[algorithms.kd.vanilla]", "[algorithms.kd.vanila]");
    assert_snapshot!(faults(&[edit], &[]), @"
    error: `algorithms.kd` has no choice `vanila`
      --> study.toml:24:16
       |
    24 | [algorithms.kd.vanila]
       |                ^^^^^^
       |
       = help: did you mean `vanilla`? choices: `vanilla`, `dual-space`, `cross-entropy`

    1 fault in `study.toml`
    ");
}

#[test]
fn a_wrong_type() {
    assert_snapshot!(faults(&[("seeds = [10]", "seeds = 10")], &[]), @r#"
error: `seeds` should be a list, found the number 10
 --> study.toml:3:9
  |
3 | seeds = 10
  |         ^^
  |
  = help: put it in brackets: `[10]`

1 fault in `study.toml`
"#);
}

#[test]
fn a_text_for_a_list_on_the_command_line() {
    assert_snapshot!(faults(&[], &["evaluation.metrics=bleu"]), @r#"
error: `evaluation.metrics` should be a list, found the text "bleu"
--> --set evaluation.metrics=bleu
 = help: write `--set 'evaluation.metrics=["bleu"]'`

1 fault in `study.toml`
"#);
}

#[test]
fn a_missing_key() {
    assert_snapshot!(faults(&[("metrics = [\"rouge-l\"]\n", "")], &[]), @r#"
error: the hypothesis `fine-tuning helps` has no metric
  --> study.toml:27:1
   |
27 | [[hypotheses]]
   | ^^^^^^^^^^^^^^
   |
   = help: name at least one, such as `metrics = ["rouge-l"]`

1 fault in `study.toml`
"#);
}

#[test]
fn a_table_written_as_a_word() {
    let edit = ("[algorithms.kd.vanilla]\ntemperature = 2.0", "[evaluation]\ndecoding = \"greedy\"");
    assert_snapshot!(faults(&[edit, ("[factors]", "[algorithms]\nkd = \"vanilla\"\n[factors]")], &[]), @r#"
error: the choice `vanilla` is a table of settings, found a word
  --> study.toml:19:6
   |
19 | kd = "vanilla"
   |      ^^^^^^^^^
   |
   = help: write `kd = { vanilla = {} }`, with its settings between the inner braces

error: the choice `greedy` is a table of settings, found a word
  --> study.toml:27:12
   |
27 | decoding = "greedy"
   |            ^^^^^^^^
   |
   = help: write `decoding = { greedy = {} }`, with its settings between the inner braces

2 faults in `study.toml`
"#);
}

#[test]
fn two_choices_in_one_file() {
    let edit = ("[[hypotheses]]", "[tuning]\nfull = {}\nlora = {}\n\n[[hypotheses]]");
    assert_snapshot!(faults(&[edit], &[]), @r#"
error: `tuning` needs one choice, found `full`, `lora`
  --> study.toml:27:2
   |
27 | [tuning]
   |  ^^^^^^
   |
   = help: choose one of `full`, `lora`

1 fault in `study.toml`
"#);
}

#[test]
fn broken_toml() {
    let edits = [
        ("seeds = [10]", "seeds = [10"),
        ("hidden = 32,", "hidden = ,"),
        ("name = \"fine-tuning helps\"", "name = \"fine-tuning helps"),
    ];
    assert_snapshot!(faults(&edits, &[]), @r#"
error: invalid TOML: `[` is never closed
 --> study.toml:3:9
  |
3 | seeds = [10
  |         ^

error: invalid TOML: extra comma in inline table, expected value
  --> study.toml:14:45
   |
14 | small.scratch = { tokenizer = "a", hidden = , layers = 1, heads = 2, feed-forward = 64 }
   |                                             ^

error: invalid TOML: invalid basic string, expected `"`
  --> study.toml:28:26
   |
28 | name = "fine-tuning helps
   |                          ^

3 faults in `study.toml`
"#);
}
