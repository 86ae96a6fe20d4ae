//! What a user reads about files, bases and overrides, and how faults of all kinds come together.

use std::fs;

use insta::assert_snapshot;

use super::{SOUND, checked, faults, faults_of_files};

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
fn a_circle_of_bases() {
    let files = [("study.toml", "extends = \"base.toml\"\nversion = 1"), ("base.toml", "extends = \"study.toml\"")];
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
fn a_misspelt_extends_does_not_bury_itself() {
    let files = [("study.toml", "extend = \"base.toml\"\nseeds = [2]"), ("base.toml", SOUND)];
    assert_snapshot!(faults_of_files(&files), @r#"
error: unknown key `extend` in the experiment
 --> study.toml:1:1
  |
1 | extend = "base.toml"
  | ^^^^^^
  |
  = help: did you mean `extends`?

1 fault in `study.toml`
"#);
}

#[test]
fn an_extends_below_a_table_does_not_bury_itself() {
    let model = "other.scratch = { tokenizer = \"a\", hidden = 64, layers = 2, heads = 2, feed-forward = 128 }";
    for (table, path) in [
        (format!("[models]\n{model}"), "models"),
        ("[training.sft]\nlr = 1e-4".to_owned(), "training.sft"),
        ("[[hypotheses]]\nname = \"one\"".to_owned(), "hypotheses[0]"),
    ] {
        let study = format!("{table}\nextends = \"base.toml\"\n");
        let shown = faults_of_files(&[("study.toml", study.as_str()), ("base.toml", SOUND)]);
        let message = format!("error: unknown key `extends` in `{path}`\n --> study.toml:3:1\n");
        assert!(shown.contains(&message), "{shown}");
        assert!(shown.contains("help: move `extends` above the first `[table]`"), "{shown}");
        assert!(!shown.contains("in the experiment"), "{shown}");
    }
}

#[test]
fn byte_order_mark_line_ends_and_tabs_do_not_matter() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("study.toml");
    let text = format!(
        "\u{feff}{}",
        SOUND.replace('\n', "\r\n").replace(" = ", "\t=\t").replace("small", "\"kleines Modell ü\"")
    );
    let text = text.replace("\"\"kleines Modell ü\"\"", "\"kleines Modell ü\"");
    fs::write(&path, &text).expect("a file");
    let arms = checked(&path, &[]).unwrap_or_else(|faults| panic!("{faults}")).arms;
    assert_eq!(arms[0].course.model, "kleines Modell ü");
    fs::write(&path, text.replace("version\t=\t1", "version\t=\t2")).expect("a file");
    let faults = checked(&path, &[]).expect_err("another version").to_json();
    assert_eq!((&faults["faults"][0]["line"], &faults["faults"][0]["column"]), (&1.into(), &11.into()));
}

/// Shows the faults of a `study.toml` with these bytes.
fn faults_of_bytes(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("study.toml");
    fs::write(&path, bytes).expect("a file");
    let faults = checked(&path, &[]).expect_err("not UTF-8");
    faults.render(false).replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn a_file_that_is_not_utf8() {
    let mut latin = SOUND.as_bytes().to_vec();
    let at = SOUND.find("distillation").expect("the question") + 1;
    // `é` in Latin-1.
    latin[at] = 0xE9;
    assert_snapshot!(faults_of_bytes(&latin), @r#"
error: `study.toml` is not UTF-8: byte 31 of the file is 0xE9
 --> study.toml:2:19
  |
2 | question = "Does d�stillation help?"
  |                   ^
  |
  = help: save it as UTF-8: an experiment file is TOML in UTF-8; in Latin-1 the byte is `é`

1 fault in `study.toml`
"#);
    let utf16 = SOUND.encode_utf16().flat_map(u16::to_le_bytes);
    assert_snapshot!(faults_of_bytes(&[0xFF, 0xFE].into_iter().chain(utf16).collect::<Vec<u8>>()), @r#"
error: `study.toml` is text in UTF-16, expected UTF-8
--> study.toml
 = help: save it as UTF-8: an experiment file is TOML in UTF-8

1 fault in `study.toml`
"#);
}

#[test]
fn typographic_signs_in_texts_and_comments_are_no_faults() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("study.toml");
    let text = SOUND.replace("Does distillation help?", "Does “distillation” – in truth – help?");
    fs::write(&path, format!("# “x” – y\n{text}")).expect("a file");
    checked(&path, &[]).unwrap_or_else(|faults| panic!("{faults}"));
    fs::write(&path, format!("# “x” – y\n{}", text.replace("seeds = [10]", "seeds = "))).expect("a file");
    let faults = checked(&path, &[]).expect_err("no seeds");
    assert!(faults.len() == 1 && faults.to_string().contains("missing value"), "{faults}");
}

#[test]
fn a_file_whose_name_would_leave_its_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["..toml", "...toml"] {
        let path = folder.path().join(name);
        fs::write(&path, SOUND).expect("a file");
        let faults = checked(&path, &[]).expect_err("no name").to_string();
        assert!(faults.contains("gives the experiment no name"), "{faults}");
    }
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
    let files = [("study.toml", "extends = \"base.toml\"\nsedes = [1]\n"), ("base.toml", base.as_str())];
    assert_snapshot!(faults_of_files(&files), @r#"
error: unknown key `sedes` in the experiment
 --> study.toml:2:1
  |
2 | sedes = [1]
  | ^^^^^
  |
  = help: did you mean `seeds`? keys here: `version`, `question`, `reproduces`, `seeds`, `retrain`, `baseline`, `alpha`, `assumptions`, `data`, `tokenizers`, `models`, `recipe`, `recipes`, `steps`, `factors`, `exclude`, `arms`, `algorithms`, `tuning`, `training`, `evaluation`, `compute`, `energy`, `hypotheses`

error: `algorithms.kd.vanilla.temperature` should be above 0, found -2
  --> base.toml:25:15
   |
25 | temperature = -2.0
   |               ^^^^
   |
   = help: logits are divided by it: below, one token takes all probability; above, all tokens are alike

2 faults in `study.toml`
"#);
}

#[test]
fn an_override_that_cannot_be_read() {
    assert_snapshot!(faults(&[], &["training.sft.lr", "seeds=[1,", "a b=3", "seeds[0]=3"]), @r#"
error: `training.sft.lr` has no `=`
--> --set training.sft.lr
 = help: write `--set training.distill.lr=1e-4`

error: `[1,` is not TOML: unclosed array, expected `]`
--> --set seeds=[1,
 = help: write `--set 'seeds=[1]'`

error: `a b` is not a key path
--> --set a b=3
 = help: write `--set training.distill.lr=1e-4`

error: `seeds[0]` is not a key path
--> --set seeds[0]=3
 = help: lists are set whole: `--set seeds=[10, 20]`

4 faults in `study.toml`
"#);
}

#[test]
fn a_fault_of_a_table_is_shown_in_the_file_though_an_override_reaches_into_it() {
    let edit = ("[data.glossary]\nimporter = \"glossary\"", "[data.telequad]\nimporter = \"telequad\"");
    let given = ("split = { group-by = \"given\" }", "");
    assert_snapshot!(faults(&[edit, given], &["data.telequad.limit=100"]), @r#"
error: `data.telequad` names no file to import
 --> study.toml:5:7
  |
5 | [data.telequad]
  |       ^^^^^^^^ no `path` here
  |
  = help: add `path = "..."`, or pass `--set data.telequad.path=FILE`

1 fault in `study.toml`
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
      "help": "one epoch shows every example once, a part of one fewer",
      "key": "training.sft.epochs",
      "message": "`training.sft.epochs` should be above 0, found 0",
      "set": "training.sft.epochs=0"
    }
  ]
}
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

error: `tokenizers.a.byte-level-bpe.vocabulary` should be at least 258 (256 bytes and special tokens), found 200
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
   = help: did you mean `hidden`? keys here: `architecture`, `tokenizer`, `data`, `hidden`, `layers`, `heads`, `kv-heads`, `feed-forward`, `tied`, `positions`

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
   |
   = help: logits are divided by it: below, one token takes all probability; above, all tokens are alike

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
   = help: did you mean `rouge-l`? metrics: `bleu`, `chrf`, `rouge-1`, `rouge-2`, `rouge-l`, `exact-match`, `token-f1`, `cosine`, `nll`, `perplexity`, `bits-per-byte`, `acc`, `acc-norm`

error: `training.distill.lr` should be above 0, found -1
--> --set training.distill.lr=-1
 = help: AdamW moves each weight by about this much a step: 1e-5 to 1e-2 are usual

error: `training.sft.batch` should be a whole number (0 or more), found the text "big"
--> --set training.sft.batch=big

13 faults in `study.toml`
"#);
}
