//! What a user reads for each kind of mistake.

use std::fs;

use insta::assert_snapshot;

use super::{SOUND, checked};

/// Shows the faults of `SOUND` after replacing each `(from, to)`.
fn faults(edits: &[(&str, &str)], overrides: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut text = SOUND.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "`{from}` is not in the experiment");
        text = text.replacen(from, to, 1);
    }
    let path = folder.path().join("study.toml");
    fs::write(&path, text).expect("a file");
    let faults = checked(&path, overrides).expect_err("at least one fault");
    let root = format!("{}/", folder.path().display());
    faults.render(false).replace(&root, "")
}

#[test]
fn the_unedited_experiment_is_sound() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("study.toml");
    fs::write(&path, SOUND).expect("a file");
    let checked = checked(&path, &[]).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(checked.name, "study");
    let names: Vec<&str> = checked.arms.iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(names, ["none", "both"]);
    let references: Vec<&str> = checked.references.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(
        references,
        [
            "teacher large",
            "teacher large (sft)",
            "student small",
            "student small (sft)"
        ]
    );
    assert_eq!(checked.notes, ["no factor uses the model `foreign`"]);
}

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
  = help: did you mean `question`? keys here: `version`, `question`, `reproduces`, `seeds`, `baseline`, `assumptions`, `data`, `tokenizers`, `models`, `factors`, `algorithms`, `tuning`, `training`, `evaluation`, `compute`, `energy`, `hypotheses`

1 fault in `study.toml`
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
  = help: did you mean `glossary`? choices: `telequad`, `squad`, `jsonl`, `glossary`

1 fault in `study.toml`
"#);
}

#[test]
fn a_misspelt_choice_with_settings() {
    let edit = ("[algorithms.kd.vanilla]", "[algorithms.kd.vanila]");
    assert_snapshot!(faults(&[edit], &[]), @r#"
error: `algorithms.kd` has no choice `vanila`
  --> study.toml:24:16
   |
24 | [algorithms.kd.vanila]
   |                ^^^^^^
   |
   = help: did you mean `vanilla`? choices: `vanilla`, `dual-space`

1 fault in `study.toml`
"#);
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
fn a_missing_key() {
    assert_snapshot!(faults(&[("metrics = [\"rouge-l\"]\n", "")], &[]), @r#"
error: missing key `metrics` in `hypotheses[0]`
  --> study.toml:27:1
   |
27 | [[hypotheses]]
   | ^^^^^^^^^^^^^^
   |
   = help: add `metrics = ...`

1 fault in `study.toml`
"#);
}

#[test]
fn a_table_written_as_a_word() {
    let edit = (
        "[algorithms.kd.vanilla]\ntemperature = 2.0",
        "[evaluation]\ndecoding = \"greedy\"",
    );
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
    let edit = (
        "[[hypotheses]]",
        "[tuning]\nfull = {}\nlora = {}\n\n[[hypotheses]]",
    );
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

#[test]
fn many_mistakes_at_once() {
    let edits = [
        ("version = 1", "version = 3"),
        ("seeds = [10]", "seeds = [10, \"20\", 10]"),
        ("vocabulary = 512", "vocabulary = 200"),
        ("hidden = 64", "hiden = 63"),
        ("teacher = [\"large\"]", "teacher = [\"lagre\"]"),
        ("sft = [\"none\", \"both\"]", "sft = [\"none\", \"bth\"]"),
        ("temperature = 2.0", "temperature = 0"),
        ("better = \"both\"", "better = \"teacher\""),
        ("metrics = [\"rouge-l\"]", "metrics = [\"rouge-L\"]"),
    ];
    assert_snapshot!(faults(&edits, &["training.distill.lr=-1", "training.sft.batch=big"]), @r#"
error: version 3 of the format is unknown
 --> study.toml:1:11
  |
1 | version = 3
  |           ^
  |
  = help: write `version = 1`

error: `seeds[1]` should be a whole number (0 or more), found the text "20"
 --> study.toml:3:14
  |
3 | seeds = [10, "20", 10]
  |              ^^^^
  |
  = help: write it without quotes: `20`

error: `10` appears twice in `seeds`
 --> study.toml:3:20
  |
3 | seeds = [10, "20", 10]
  |                    ^^
  |
  = help: remove one of them

error: `tokenizers.a.byte-level-bpe.vocabulary` should be at least 260 (256 bytes and special tokens), found 200
  --> study.toml:10:39
   |
10 | a = { byte-level-bpe = { vocabulary = 200 } }
   |                                       ^^^

error: unknown key `hiden` in `models.large.scratch`
  --> study.toml:15:36
   |
15 | large.scratch = { tokenizer = "a", hiden = 63, layers = 2, heads = 2, feed-forward = 128 }
   |                                    ^^^^^
   |
   = help: did you mean `hidden`? keys here: `architecture`, `tokenizer`, `hidden`, `layers`, `heads`, `kv-heads`, `feed-forward`, `tied`, `positions`

error: 2 heads do not divide a width of 63
  --> study.toml:15:44
   |
15 | large.scratch = { tokenizer = "a", hiden = 63, layers = 2, heads = 2, feed-forward = 128 }
   |                                            ^^
   |
   = help: make `hidden` a multiple of `heads`, best `64 * heads`

error: no model is named `lagre`
  --> study.toml:20:12
   |
20 | teacher = ["lagre"]
   |            ^^^^^^^
   |
   = help: did you mean `large`? models: `foreign`, `large`, `small`; or define `[models.lagre]`

error: `factors.sft[1]` has no choice `bth`
  --> study.toml:21:16
   |
21 | sft = ["none", "bth"]
   |                ^^^^^
   |
   = help: did you mean `both`? choices: `none`, `teacher`, `student`, `both`

error: `algorithms.kd.vanilla.temperature` should be above 0, found 0
  --> study.toml:25:15
   |
25 | temperature = 0
   |               ^

error: the factor `sft` has no level `teacher`
  --> study.toml:29:39
   |
21 | sft = ["none", "bth"]
   |       --------------- the levels
...
29 | contrast = { factor = "sft", better = "teacher", worse = "none" }
   |                                       ^^^^^^^^^
   |
   = help: levels: `none`, `both`

error: no metric is named `rouge-L`
  --> study.toml:30:12
   |
30 | metrics = ["rouge-L"]
   |            ^^^^^^^^^
   |
   = help: did you mean `rouge-l`? metrics: `bleu`, `chrf`, `rouge-1`, `rouge-2`, `rouge-l`, `exact-match`, `token-f1`, `cosine`, `nll`, `perplexity`

error: `training.distill.lr` should be above 0, found -1
--> --set training.distill.lr=-1

error: `training.sft.batch` should be a whole number (0 or more), found the text "big"
--> --set training.sft.batch=big

13 faults in `study.toml`
"#);
}

#[test]
fn an_undefined_level() {
    let edits = [
        ("student = [\"small\"]", "student = [\"smal\"]"),
        ("algorithm = [\"kd\"]", "algorithm = [\"kd\", \"minillm\"]"),
    ];
    assert_snapshot!(faults(&edits, &[]), @r#"
error: no model is named `smal`
  --> study.toml:19:12
   |
19 | student = ["smal"]
   |            ^^^^^^
   |
   = help: did you mean `small`? models: `foreign`, `large`, `small`; or define `[models.smal]`

error: no algorithm is named `minillm`
  --> study.toml:22:20
   |
22 | algorithm = ["kd", "minillm"]
   |                    ^^^^^^^^^
   |
   = help: algorithms: `kd`; or define `[algorithms.minillm]`

2 faults in `study.toml`
"#);
}

#[test]
fn a_missing_path() {
    let edit = (
        "[data.glossary]\nimporter = \"glossary\"\nsplit = { group-by = \"given\" }",
        "[data.own]\nimporter = \"jsonl\"\npath = \"data/own.jsonl\"",
    );
    assert_snapshot!(faults(&[edit], &[]), @r#"
error: no file at `data/own.jsonl`
 --> study.toml:7:8
  |
7 | path = "data/own.jsonl"
  |        ^^^^^^^^^^^^^^^^
  |
  = help: correct it or pass `--set data.own.path=PATH`; a path in a file starts at that file's folder, in `--set` at the current one

1 fault in `study.toml`
"#);
}

#[test]
fn a_path_not_given() {
    let edits = [
        (
            "[data.glossary]\nimporter = \"glossary\"",
            "[data.telequad]\nimporter = \"telequad\"",
        ),
        ("split = { group-by = \"given\" }", "split = { dev = 0.2 }"),
    ];
    assert_snapshot!(faults(&edits, &[]), @r#"
error: `data.telequad` names no file to import
 --> study.toml:5:7
  |
5 | [data.telequad]
  |       ^^^^^^^^ no `path` here
  |
  = help: add `path = "..."`, or pass `--set data.telequad.path=FILE`

error: the shares of train, dev and test sum to 1.1, not to 1
 --> study.toml:7:1
  |
7 | split = { dev = 0.2 }
  | ^^^^^
  |
  = help: give all three; those left out are 0.8, 0.1 and 0.1

2 faults in `study.toml`
"#);
}

#[test]
fn missing_checkpoints() {
    let edits = [
        (
            "small.scratch = { tokenizer = \"a\", hidden = 32, layers = 1, heads = 2, feed-forward = 64 }",
            "small.checkpoint = \"TinyLlama/TinyLlama-1.1B\"",
        ),
        (
            "foreign.scratch = { tokenizer = \"b\", hidden = 64, layers = 2, heads = 2, feed-forward = 128 }",
            "foreign.checkpoint = \"hf:Mistral-7B\"",
        ),
    ];
    assert_snapshot!(faults(&edits, &[]), @r#"
error: no checkpoint folder at `TinyLlama/TinyLlama-1.1B`
  --> study.toml:14:20
   |
14 | small.checkpoint = "TinyLlama/TinyLlama-1.1B"
   |                    ^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
   = help: for a hub model write `hf:TinyLlama/TinyLlama-1.1B`

error: `hf:Mistral-7B` is no hub name
  --> study.toml:16:22
   |
16 | foreign.checkpoint = "hf:Mistral-7B"
   |                      ^^^^^^^^^^^^^^^
   |
   = help: write `hf:organisation/model`, such as `hf:mistralai/Mistral-7B-v0.1`

2 faults in `study.toml`
"#);
}

#[test]
fn bad_hypotheses() {
    let edits = [
        (
            "better = \"both\", worse = \"none\"",
            "better = \"both\", worse = \"both\", within = { sft = \"none\", techer = \"large\" }",
        ),
        (
            "metrics = [\"rouge-l\"]",
            "metrics = [\"bleu\", \"bertscore\"]\nalpha = 5",
        ),
        (
            "[factors]",
            "[evaluation]\nmetrics = [\"rouge-l\"]\n\n[factors]",
        ),
    ];
    assert_snapshot!(faults(&edits, &[]), @r#"
error: `both` is compared with itself
  --> study.toml:32:55
   |
32 | contrast = { factor = "sft", better = "both", worse = "both", within = { sft = "none", techer = "large" } }
   |                                                       ^^^^^^
   |
   = help: name two levels

error: `within` fixes `sft`, which is the factor that is compared
  --> study.toml:32:80
   |
32 | contrast = { factor = "sft", better = "both", worse = "both", within = { sft = "none", techer = "large" } }
   |                                                                                ^^^^^^
   |
   = help: fix other factors only

error: no factor is named `techer`
  --> study.toml:32:97
   |
32 | contrast = { factor = "sft", better = "both", worse = "both", within = { sft = "none", techer = "large" } }
   |                                                                                                 ^^^^^^^
   |
   = help: did you mean `teacher`? factors: `student`, `teacher`, `sft`, `algorithm`

error: `bleu` is tested but not computed
  --> study.toml:33:12
   |
19 | metrics = ["rouge-l"]
   |           ----------- the metrics that are computed
...
33 | metrics = ["bleu", "bertscore"]
   |            ^^^^^^
   |
   = help: add `bleu` to `evaluation.metrics`

error: no metric is named `bertscore`
  --> study.toml:33:20
   |
33 | metrics = ["bleu", "bertscore"]
   |                    ^^^^^^^^^^^
   |
   = help: metrics: `bleu`, `chrf`, `rouge-1`, `rouge-2`, `rouge-l`, `exact-match`, `token-f1`, `cosine`, `nll`, `perplexity`

error: `hypotheses[0].alpha` should be between 0 and 1, found 5
  --> study.toml:34:9
   |
34 | alpha = 5
   |         ^

6 faults in `study.toml`
"#);
}

#[test]
fn vocabularies_that_differ() {
    let edit = (
        "teacher = [\"large\"]",
        "teacher = [\"large\", \"foreign\"]",
    );
    assert_snapshot!(faults(&[edit], &[]), @r#"
error: `kd` compares token by token, but the vocabularies of `small` and `foreign` differ
  --> study.toml:24:16
   |
20 | teacher = ["large", "foreign"]
   |                     --------- has another vocabulary
...
24 | [algorithms.kd.vanilla]
   |                ^^^^^^^ no `alignment` here
   |
   = help: add `alignment = "uld"` (sorted distributions), `"min-edit"` (nearest tokens; not available yet) or `"naive"` (ids as they are: a control), or use `dual-space`

1 fault in `study.toml`
"#);
}

#[test]
fn an_alignment_that_is_not_there_yet() {
    let edit = ("temperature = 2.0", "alignment = \"min-edit\"");
    assert_snapshot!(faults(&[edit], &[]), @r#"
error: the alignment `min-edit` is not available yet
  --> study.toml:25:13
   |
25 | alignment = "min-edit"
   |             ^^^^^^^^^^
   |
   = help: choose `uld`, or `naive` as a control

1 fault in `study.toml`
"#);
}

#[test]
fn a_batch_larger_than_the_training_set() {
    assert_snapshot!(faults(&[], &["training.distill.batch=4096"]), @r#"
error: a batch of 4096 is larger than the training set of 2000
--> --set training.distill.batch=4096
 = help: choose at most 2000, or use more data

1 fault in `study.toml`
"#);
}

#[test]
fn a_scratch_model_that_cannot_be_built() {
    let edits = [
        (
            "tokenizer = \"a\", hidden = 32, layers = 1, heads = 2",
            "tokenizer = \"c\", hidden = 33, layers = 0, heads = 2",
        ),
        (
            "hidden = 64, layers = 2, heads = 2, feed-forward = 128",
            "hidden = 60, layers = 2, heads = 4, kv-heads = 3, feed-forward = 128, positions = 256",
        ),
    ];
    assert_snapshot!(faults(&edits, &[]), @r#"
error: no tokenizer is named `c`
  --> study.toml:14:31
   |
14 | small.scratch = { tokenizer = "c", hidden = 33, layers = 0, heads = 2, feed-forward = 64 }
   |                               ^^^
   |
   = help: did you mean `a`? tokenizers: `a`, `b`

error: 2 heads do not divide a width of 33
  --> study.toml:14:45
   |
14 | small.scratch = { tokenizer = "c", hidden = 33, layers = 0, heads = 2, feed-forward = 64 }
   |                                             ^^
   |
   = help: make `hidden` a multiple of `heads`, best `64 * heads`

error: `models.small.scratch.layers` should be at least 1, found 0
  --> study.toml:14:58
   |
14 | small.scratch = { tokenizer = "c", hidden = 33, layers = 0, heads = 2, feed-forward = 64 }
   |                                                          ^

error: a head is 15 wide, which is odd
  --> study.toml:15:45
   |
15 | large.scratch = { tokenizer = "a", hidden = 60, layers = 2, heads = 4, kv-heads = 3, feed-forward = 128, positions = 256 }
   |                                             ^^
   |
   = help: rotary positions turn pairs: make `hidden / heads` even

error: 4 query heads cannot share 3 key and value heads
  --> study.toml:15:83
   |
15 | large.scratch = { tokenizer = "a", hidden = 60, layers = 2, heads = 4, kv-heads = 3, feed-forward = 128, positions = 256 }
   |                                                                                   ^
   |
   = help: make `heads` a multiple of `kv-heads`

error: 256 positions are fewer than the default of `training.pretrain.max-length`, 512
  --> study.toml:15:118
   |
15 | large.scratch = { tokenizer = "a", hidden = 60, layers = 2, heads = 4, kv-heads = 3, feed-forward = 128, positions = 256 }
   |                                                                                                                      ^^^
   |
   = help: raise it, or lower `training.pretrain.max-length`

error: 256 positions are fewer than the default of `training.sft.max-length`, 512
  --> study.toml:15:118
   |
15 | large.scratch = { tokenizer = "a", hidden = 60, layers = 2, heads = 4, kv-heads = 3, feed-forward = 128, positions = 256 }
   |                                                                                                                      ^^^
   |
   = help: raise it, or lower `training.sft.max-length`

error: 256 positions are fewer than the default of `training.distill.max-length`, 512
  --> study.toml:15:118
   |
15 | large.scratch = { tokenizer = "a", hidden = 60, layers = 2, heads = 4, kv-heads = 3, feed-forward = 128, positions = 256 }
   |                                                                                                                      ^^^
   |
   = help: raise it, or lower `training.distill.max-length`

8 faults in `study.toml`
"#);
}

#[test]
fn an_override_that_cannot_be_read() {
    assert_snapshot!(faults(&[], &["training.sft.lr", "seeds=[1,", "a b=3"]), @r#"
error: `training.sft.lr` has no `=`
--> --set training.sft.lr
 = help: write `--set training.distill.lr=1e-4`

error: `[1,` is not TOML: unclosed array, expected `]`
--> --set seeds=[1,
 = help: quote the whole argument against the shell

error: `a b` is not a key path
--> --set a b=3
 = help: write `--set training.distill.lr=1e-4`

3 faults in `study.toml`
"#);
}

/// Writes several files and shows the faults of `study.toml` among them.
fn faults_of_files(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    let faults = checked(&folder.path().join("study.toml"), &[]).expect_err("at least one fault");
    let root = format!("{}/", folder.path().display());
    faults.render(false).replace(&root, "")
}

#[test]
fn a_circle_of_bases() {
    let files = [
        ("study.toml", "extends = \"base.toml\"\nversion = 1"),
        ("base.toml", "extends = \"study.toml\""),
    ];
    assert_snapshot!(faults_of_files(&files), @r#"
error: `study.toml` extends itself
 --> base.toml:1:11
  |
1 | extends = "study.toml"
  |           ^^^^^^^^^^^^
  |
  = help: remove one `extends` of the circle

1 fault in `study.toml`
"#);
}

#[test]
fn a_base_that_is_not_there() {
    let files = [("study.toml", "version = 1\nextends = \"base/study.toml\"")];
    assert_snapshot!(faults_of_files(&files), @r#"
error: cannot read `base/study.toml`: No such file or directory (os error 2)
 --> study.toml:2:11
  |
2 | extends = "base/study.toml"
  |           ^^^^^^^^^^^^^^^^^
  |
  = help: name an experiment file, such as `experiments/quickstart.toml`; `extends` is relative to the file that states it

1 fault in `study.toml`
"#);
}

#[test]
fn a_fault_in_a_base_is_shown_there() {
    let base = SOUND.replace("temperature = 2.0", "temperature = -2.0");
    let files = [
        ("study.toml", "extends = \"base.toml\"\nsedes = [1]\n"),
        ("base.toml", base.as_str()),
    ];
    assert_snapshot!(faults_of_files(&files), @r#"
error: unknown key `sedes` in the experiment
 --> study.toml:2:1
  |
2 | sedes = [1]
  | ^^^^^
  |
  = help: did you mean `seeds`? keys here: `version`, `question`, `reproduces`, `seeds`, `baseline`, `assumptions`, `data`, `tokenizers`, `models`, `factors`, `algorithms`, `tuning`, `training`, `evaluation`, `compute`, `energy`, `hypotheses`

error: `algorithms.kd.vanilla.temperature` should be above 0, found -2
  --> base.toml:25:15
   |
25 | temperature = -2.0
   |               ^^^^

2 faults in `study.toml`
"#);
}

#[test]
fn a_file_that_is_not_there() {
    let faults = checked(std::path::Path::new("no/such.toml"), &[]).expect_err("no file");
    assert_snapshot!(faults.render(false), @r#"
error: cannot read `no/such.toml`: No such file or directory (os error 2)
--> no/such.toml
 = help: name an experiment file, such as `experiments/quickstart.toml`; `extends` is relative to the file that states it

1 fault in `no/such.toml`
"#);
}

#[test]
fn faults_as_json() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("study.toml");
    fs::write(&path, SOUND.replace("seeds = [10]", "seeds = []")).expect("a file");
    let faults = checked(&path, &["training.sft.epochs=0"]).expect_err("two faults");
    let json = serde_json::to_string_pretty(&faults.to_json()).expect("JSON");
    let root = format!("{}/", folder.path().display());
    assert_snapshot!(json.replace(&root, ""), @r#"
{
  "faults": [
    {
      "column": 9,
      "file": "study.toml",
      "help": "write `seeds = [10]`, better three or more",
      "key": "seeds",
      "line": 3,
      "message": "there are no seeds"
    },
    {
      "help": null,
      "key": "training.sft.epochs",
      "message": "`training.sft.epochs` should be above 0, found 0",
      "set": "training.sft.epochs=0"
    }
  ]
}
"#);
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
   = help: did you mean `models`? keys here: `version`, `question`, `reproduces`, `seeds`, `baseline`, `assumptions`, `data`, `tokenizers`, `models`, `factors`, `algorithms`, `tuning`, `training`, `evaluation`, `compute`, `energy`, `hypotheses`

error: `models.large.scratch.hidden` should be at least 1, found 0
  --> study.toml:14:45
   |
14 | large.scratch = { tokenizer = "a", hidden = 0, layers = 2, heads = 2, feed-forward = 128 }
   |                                             ^

2 faults in `study.toml`
"#);
}

#[test]
fn a_baseline_that_is_no_arm() {
    let edit = (
        "[[hypotheses]]",
        "[baseline]\nteacher = \"small\"\nstage = \"sft\"\n\n[[hypotheses]]",
    );
    assert_snapshot!(faults(&[edit], &[]), @r#"
error: the factor `teacher` has no level `small`
  --> study.toml:28:11
   |
20 | teacher = ["large"]
   |           --------- the levels
...
28 | teacher = "small"
   |           ^^^^^^^
   |
   = help: levels: `large`

error: no factor is named `stage`
  --> study.toml:29:9
   |
29 | stage = "sft"
   |         ^^^^^
   |
   = help: factors: `student`, `teacher`, `sft`, `algorithm`

2 faults in `study.toml`
"#);
}

#[test]
fn a_baseline_of_several_arms() {
    let edit = (
        "[[hypotheses]]",
        "[baseline]\nteacher = \"large\"\n\n[[hypotheses]]",
    );
    assert_snapshot!(faults(&[edit], &[]), @r#"
error: the baseline should be one arm, found 2
  --> study.toml:27:2
   |
27 | [baseline]
   |  ^^^^^^^^
   |
   = help: name a level of `sft`

1 fault in `study.toml`
"#);
}

#[test]
fn numbers_out_of_range() {
    let settings = "[tuning.lora]
rank = 0
alpha = -8
dropout = 1.0
target-modules = [\"q_proj\", \"qproj\", \"q_proj\"]

[training.sft]
epochs = 0
batch = 8
accumulation = 16
schedule = { cosine = { warmup = 1.0, floor = 0.1 } }
clip = 0
max-length = 4096
max-prompt = 4096

[evaluation]
batch = 0
metrics = []
decoding = { sample = { temperature = 0, top-p = 1.5 } }

[energy]
pue = 0.5

[[hypotheses]]";
    assert_snapshot!(faults(&[("[[hypotheses]]", settings)], &[]), @r#"
error: `tuning.lora.rank` should be at least 1, found 0
  --> study.toml:28:8
   |
28 | rank = 0
   |        ^

error: `tuning.lora.alpha` should be above 0, found -8
  --> study.toml:29:9
   |
29 | alpha = -8
   |         ^^

error: `tuning.lora.dropout` should be from 0 to below 1, found 1
  --> study.toml:30:11
   |
30 | dropout = 1.0
   |           ^^^

error: no module is named `qproj`
  --> study.toml:31:29
   |
31 | target-modules = ["q_proj", "qproj", "q_proj"]
   |                             ^^^^^^^
   |
   = help: did you mean `q_proj`? modules: `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`, `up_proj`, `down_proj`

error: `q_proj` appears twice in `tuning.lora.target-modules`
  --> study.toml:31:38
   |
31 | target-modules = ["q_proj", "qproj", "q_proj"]
   |                                      ^^^^^^^^
   |
   = help: remove one of them

error: `training.sft.epochs` should be above 0, found 0
  --> study.toml:34:10
   |
34 | epochs = 0
   |          ^

error: a batch of 8 cannot be computed in 16 parts
  --> study.toml:36:16
   |
36 | accumulation = 16
   |                ^^
   |
   = help: choose at most 8

error: `training.sft.schedule.cosine.warmup` should be from 0 to below 1, found 1
  --> study.toml:37:34
   |
37 | schedule = { cosine = { warmup = 1.0, floor = 0.1 } }
   |                                  ^^^

error: `training.sft.schedule.cosine.floor` should be from 0 to the peak of 0.001, found 0.1
  --> study.toml:37:47
   |
37 | schedule = { cosine = { warmup = 1.0, floor = 0.1 } }
   |                                               ^^^

error: `training.sft.clip` should be above 0 (`inf` for none), found 0
  --> study.toml:38:8
   |
38 | clip = 0
   |        ^

error: 4096 tokens exceed the positions of `foreign` (2048), `large` (2048), `small` (2048)
  --> study.toml:39:14
   |
39 | max-length = 4096
   |              ^^^^
   |
   = help: choose at most 2048, or give these models more `positions`

error: a prompt of 4096 tokens leaves no room in 4096
  --> study.toml:40:14
   |
40 | max-prompt = 4096
   |              ^^^^
   |
   = help: make `max-prompt` smaller than `max-length`

error: `evaluation.batch` should be at least 1, found 0
  --> study.toml:43:9
   |
43 | batch = 0
   |         ^

error: no metric is asked for
  --> study.toml:44:11
   |
44 | metrics = []
   |           ^^
   |
   = help: metrics: `bleu`, `chrf`, `rouge-1`, `rouge-2`, `rouge-l`, `exact-match`, `token-f1`, `cosine`, `nll`, `perplexity`

error: `evaluation.decoding.sample.temperature` should be above 0, found 0
  --> study.toml:45:39
   |
45 | decoding = { sample = { temperature = 0, top-p = 1.5 } }
   |                                       ^

error: `evaluation.decoding.sample.top-p` should be above 0, at most 1, found 1.5
  --> study.toml:45:50
   |
45 | decoding = { sample = { temperature = 0, top-p = 1.5 } }
   |                                                  ^^^

error: `energy.pue` should be at least 1, found 0.5
  --> study.toml:48:7
   |
48 | pue = 0.5
   |       ^^^

error: `rouge-l` is tested but not computed
  --> study.toml:53:12
   |
44 | metrics = []
   |           -- the metrics that are computed
...
53 | metrics = ["rouge-l"]
   |            ^^^^^^^^^
   |
   = help: add `rouge-l` to `evaluation.metrics`

18 faults in `study.toml`
"#);
}
