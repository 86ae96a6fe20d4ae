//! Data sets: their importers, columns and divisions.

use std::fs;

use insta::assert_snapshot;

use super::{SOUND, checked, one_fault};

/// The data set of `SOUND`.
const GLOSSARY: &str = "[data.glossary]\nimporter = \"glossary\"\nsplit = { group-by = \"given\" }";

/// Shows the one fault of a data set that replaces that of `SOUND`.
fn fault(settings: &str) -> String {
    one_fault(&[(GLOSSARY, &format!("[data.own]\n{settings}"))], &[])
}

/// Says whether an experiment with these data sets is sound where there are a file `rows.csv` and a folder `texts`.
fn is_sound(sets: &str) -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("texts")).expect("a folder");
    fs::write(folder.path().join("rows.csv"), "").expect("a file");
    let path = folder.path().join("study.toml");
    fs::write(&path, SOUND.replace(GLOSSARY, sets)).expect("a file");
    checked(&path, &[]).is_ok()
}

#[test]
fn an_experiment_may_have_several_data_sets() {
    let rows = "[data.a]\nimporter = \"qa\"\npath = \"rows.csv\"";
    assert!(is_sound(rows));
    assert!(is_sound(&format!("{rows}\n[data.c]\nimporter = \"text\"\npath = \"texts\"")));
    assert_snapshot!(one_fault(&[(GLOSSARY, "[data]")], &[]), @r#"
error: an experiment has a data set, found none
 --> study.toml:5:2
  |
5 | [data]
  |  ^^^^
  |
  = help: add `[data.glossary]` with `importer = "glossary"`
"#);
}

#[test]
fn a_division_may_leave_splits_out() {
    let set = |importer: &str, split: &str| {
        is_sound(&format!("[data.a]\nimporter = {importer:?}\npath = \"rows.csv\"\nsplit = {{ {split} }}"))
    };
    for split in ["train = 0.8, dev = 0.0, test = 0.2", "train = 0.8, dev = 0.0, test = 0.2, group-by = \"example\""] {
        assert!(set("squad", split), "{split}");
    }
    // What is learned and what is asked has to be there.
    assert_snapshot!(fault("importer = \"squad\"\npath = \"study.toml\"\nsplit = { all = \"test\" }"), @r#"
error: `data.own` has nothing in train, and the step `distill` learns from it
 --> study.toml:8:1
  |
8 | split = { all = "test" }
  | ^^^^^
  |
  = help: give train a share, or name another split
"#);
    assert_snapshot!(fault("importer = \"squad\"\npath = \"study.toml\"\nsplit = { train = 0.9, dev = 0.1, test = 0.0 }"), @r"
error: `data.own` has nothing in test, and `evaluation` asks it
 --> study.toml:8:1
  |
8 | split = { train = 0.9, dev = 0.1, test = 0.0 }
  | ^^^^^
  |
  = help: give test a share, or name another split
");
    for importer in ["qa", "jsonl", "messages", "sharegpt", "choice"] {
        assert!(set(importer, "group-by = \"given\""), "{importer}");
    }
    assert_snapshot!(fault("importer = \"teleqna\"\npath = \"study.toml\"\nsplit.group-by = \"given\""), @r#"
error: `teleqna` comes without its own division
 --> study.toml:8:18
  |
8 | split.group-by = "given"
  |                  ^^^^^^^
  |
  = help: choose `document` or `example`
"#);
    assert_snapshot!(fault("importer = \"qa\"\npath = \"study.toml\"\nsplit = { group-by = \"given\", all = \"dev\" }"), @r#"
error: all is one split, and each example is in the one it says
 --> study.toml:8:37
  |
8 | split = { group-by = "given", all = "dev" }
  |                                     ^^^^^
  |
  = help: remove `all`, or `group-by`
"#);
    assert_snapshot!(fault("importer = \"qa\"\npath = \"study.toml\"\nsplit = { train = 0, dev = 0, test = 0 }"), @r#"
error: the shares of train, dev and test sum to 0, not to 1
 --> study.toml:8:1
  |
8 | split = { train = 0, dev = 0, test = 0 }
  | ^^^^^
  |
  = help: give all three; those left out are 0.8, 0.1 and 0.1
"#);
}

#[test]
fn only_texts_may_be_a_folder() {
    let rows = "[data.b]\nimporter = \"qa\"\npath = \"rows.csv\"";
    assert!(is_sound(&format!("{rows}\n[data.a]\nimporter = \"text\"\npath = \"texts\"")));
    assert_snapshot!(fault("importer = \"qa\"\npath = \".\""), @r#"
error: `.` is no file
 --> study.toml:7:8
  |
7 | path = "."
  |        ^^^
  |
  = help: correct it or pass `--set data.own.path=PATH`; a path in a file starts at that file's folder, in `--set` at the current one
"#);
    let beside = format!("{GLOSSARY}\n[data.own]\nimporter = \"text\"\npath = \"nowhere\"");
    assert_snapshot!(one_fault(&[(GLOSSARY, &beside)], &[]), @r#"
error: no file or folder at `nowhere`
  --> study.toml:10:8
   |
10 | path = "nowhere"
   |        ^^^^^^^^^
   |
   = help: correct it or pass `--set data.own.path=PATH`; a path in a file starts at that file's folder, in `--set` at the current one
"#);
}

#[test]
fn columns_are_those_of_the_importer() {
    assert!(is_sound(
        "[data.a]\nimporter = \"choice\"\npath = \"rows.csv\"\nfields = [\"use-case\"]\n\
         columns = { question = \"Q\", options = [\"A\", \"B\"], group = \"G\" }"
    ));
    let with = |importer: &str, columns: &str| {
        fault(&format!("importer = {importer:?}\npath = \"study.toml\"\ncolumns = {{ {columns} }}"))
    };
    assert_snapshot!(with("qa", "qestion = \"Question\""), @r#"
error: `qa` has no field `qestion`
 --> study.toml:8:23
  |
8 | columns = { qestion = "Question" }
  |                       ^^^^^^^^^^
  |
  = help: did you mean `question`? fields: `id`, `question`, `answer`, `answers`, `answer_start`, `context`, `group`, `is_impossible`, `split`
"#);
    assert_snapshot!(with("qa", "answers = [\"A\", \"B\"]"), @r#"
error: `answers` has 2 columns, expected one
 --> study.toml:8:23
  |
8 | columns = { answers = ["A", "B"] }
  |                       ^^^^^^^^^^
  |
  = help: only `options` may have a column each
"#);
    assert_snapshot!(with("choice", "options = [\"A\"]"), @r#"
error: `options` has 1 column in a list, expected two or more
 --> study.toml:8:23
  |
8 | columns = { options = ["A"] }
  |                       ^^^^^
  |
  = help: without brackets, it is the column that holds the list of options
"#);
    assert_snapshot!(with("qa", "question = \"\""), @r#"
error: a column has a name, found none
 --> study.toml:8:24
  |
8 | columns = { question = "" }
  |                        ^^
  |
  = help: name the column that is meant
"#);
    assert_snapshot!(with("qa", "question = \"Q\", answer = \"Q\""), @r#"
error: the column `Q` is `answer` and `question`
 --> study.toml:8:24
  |
8 | columns = { question = "Q", answer = "Q" }
  |                        ^^^
  |
  = help: name the column that is meant
"#);
    assert_snapshot!(with("qa", "question = 3"), @r#"
error: `data.own.columns.question` should be text in quotes, found the number 3
 --> study.toml:8:24
  |
8 | columns = { question = 3 }
  |                        ^
  |
  = help: put it in quotes: `"3"`
"#);
    assert_snapshot!(with("teleqna", "question = \"Q\""), @r#"
error: the fields of `teleqna` have fixed names
 --> study.toml:8:1
  |
8 | columns = { question = "Q" }
  | ^^^^^^^
  |
  = help: remove `columns`, or choose another importer
"#);
}

#[test]
fn fields_and_passwords_are_there() {
    assert!(is_sound(&format!("{GLOSSARY}\nfields = [\"fact\"]")));
    assert!(is_sound("[data.a]\nimporter = \"teleqna\"\npath = \"rows.csv\"\npassword = \"x\""));
    assert_snapshot!(one_fault(&[(GLOSSARY, &format!("{GLOSSARY}\nfields = [\"term\"]"))], &[]), @r#"
error: the glossary has no field `term`
 --> study.toml:8:11
  |
8 | fields = ["term"]
  |           ^^^^^^
  |
  = help: its field is `fact`: what of a term is asked for
"#);
    assert_snapshot!(fault("importer = \"qa\"\npath = \"study.toml\"\nfields = [\"a\", \"a\"]"), @r#"
error: `a` appears twice in `data.own.fields`
 --> study.toml:8:16
  |
8 | fields = ["a", "a"]
  |                ^^^
  |
  = help: remove one of them
"#);
    assert_snapshot!(fault("importer = \"qa\"\npath = \"study.toml\"\npassword = \"x\""), @r#"
error: `qa` reads no locked archive
 --> study.toml:8:12
  |
8 | password = "x"
  |            ^^^
  |
  = help: remove `password`, and unpack the file yourself
"#);
    assert_snapshot!(fault("importer = \"mmlu\"\npath = \"study.toml\""), @r#"
error: `data.own.importer` has no choice `mmlu`
 --> study.toml:6:12
  |
6 | importer = "mmlu"
  |            ^^^^^^
  |
  = help: did you mean `choice`? choices: `telequad`, `squad`, `qa`, `messages`, `sharegpt`, `text`, `choice`, `teleqna`, `glossary`
"#);
}
