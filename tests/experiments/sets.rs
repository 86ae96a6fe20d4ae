//! Several data and evaluation sets, steps that name them, and claims of every kind: what they mean, and what a
//! user reads who slips.

use std::fs;

use insta::assert_snapshot;
use tutelage::experiment::settings::{Adapters, SplitName, Task};
use tutelage::experiment::{Checked, evaluation_sets};

use super::checked;

/// A model that reads texts and learns to answer, asked on three sets.
const STUDY: &str = r#"version = 1
question = "What is forgotten?"
seeds = [10]

[data.talk]
importer = "messages"
path = "talk.jsonl"
fields = ["use-case"]
[data.texts]
importer = "text"
path = "texts.jsonl"
[data.other]
importer = "text"
path = "texts.jsonl"
[data.options]
importer = "choice"
path = "options.jsonl"
split = { all = "test" }

[tokenizers]
a = { byte-level-bpe = { vocabulary = 512, data = "texts" } }

[models]
base.scratch = { tokenizer = "a", data = "texts", hidden = 32, layers = 1, heads = 2, feed-forward = 64 }

[steps.read.pretrain]
data = "other"
replay = { texts = 0.25 }
[steps.answer.sft]
adapters = "merge"

[factors.reads]
no = { recipe.steps = ["answer"] }
yes = { recipe.steps = ["read", "answer"], steps.read.pretrain.tuning.lora = { rank = 2 } }
[factors.rate]
low = { training.sft.lr = 1e-4 }
high = { training.sft.lr = 1e-3 }

[evaluation.talk]
metrics = ["rouge-l", "nll"]
by = "use-case"
[evaluation.options]
[evaluation.held]
data = "other"
split = "dev"

[[hypotheses]]
name = "options are kept"
not-worse = { factor = "reads", level = "yes", reference = "no", margin = 0.05 }
metrics = ["acc"]
"#;

fn read(edits: &[(&str, &str)]) -> Result<Checked, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut text = STUDY.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "`{from}` is not in the experiment");
        text = text.replacen(from, to, 1);
    }
    for name in ["talk.jsonl", "texts.jsonl", "options.jsonl"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let path = folder.path().join("study.toml");
    fs::write(&path, text).unwrap();
    let root = format!("{}/", folder.path().display());
    checked(&path, &[]).map_err(|faults| faults.render(false).replace(&root, ""))
}

fn one_fault(edits: &[(&str, &str)]) -> String {
    let shown = read(edits).expect_err("a fault");
    shown.strip_suffix("\n1 fault in `study.toml`\n").unwrap_or_else(|| panic!("not one fault:\n{shown}")).to_owned()
}

#[test]
fn sets_take_from_their_data_what_they_leave_out() {
    // Where no adapters were before, nothing is to be merged.
    let study = read(&[("adapters = \"merge\"\n", ""), ("tuning.lora = { rank = 2 }", "training.epochs = 2")]).unwrap();
    let sets = evaluation_sets(&study.experiment);
    let told: Vec<(&str, Task, SplitName, Vec<&str>)> = sets
        .iter()
        .map(|set| (set.data.as_str(), set.task, set.split, set.metrics.iter().map(String::as_str).collect()))
        .collect();
    let likelihood = vec!["nll", "perplexity", "bits-per-byte"];
    assert_eq!(
        told,
        [
            ("talk", Task::Answer, SplitName::Test, vec!["rouge-l", "nll"]),
            ("options", Task::Choice, SplitName::Test, vec!["acc", "acc-norm"]),
            ("other", Task::Perplexity, SplitName::Dev, likelihood),
        ]
    );
    assert_eq!(sets[1].column("acc"), "options/acc");
    let [read, answer] = &study.arms[2].course.lessons[..] else { panic!("two steps") };
    assert_eq!((read.data.as_str(), answer.data.as_str()), ("other", "talk"));
    assert_eq!(read.replay["texts"], 0.25);
}

#[test]
fn adapters_are_merged_stacked_or_kept_as_stated() {
    let lora = "tuning.lora.rank = 2\n";
    let both = |adapters: &str| {
        let steps = format!("steps.answer.sft = {{ {adapters}, tuning.lora.rank = 4 }}");
        let edits = [
            ("[steps.answer.sft]\nadapters = \"merge\"\n", ""),
            ("no = { recipe.steps = [\"answer\"] }", "no = { recipe.steps = [\"read\"] }"),
            ("steps.read.pretrain.tuning.lora = { rank = 2 }", steps.as_str()),
            ("replay = { texts = 0.25 }\n", &format!("replay = {{ texts = 0.25 }}\n{lora}")),
            ("[factors.rate]\nlow = { training.sft.lr = 1e-4 }\nhigh = { training.sft.lr = 1e-3 }\n", ""),
        ];
        read(&edits).unwrap().arms[1].course.lessons[1].adapters
    };
    assert_eq!(both("adapters = \"merge\""), Some(Adapters::Merge));
    assert_eq!(both("adapters = \"stack\""), Some(Adapters::Stack));
}

#[test]
fn what_happens_to_adapters_has_to_be_said() {
    let none = ("no = { recipe.steps = [\"answer\"] }", "no = { recipe.steps = [] }");
    let one_rate = ("[factors.rate]\nlow = { training.sft.lr = 1e-4 }\nhigh = { training.sft.lr = 1e-3 }\n", "");
    let fault = |from, to| one_fault(&[none, one_rate, (from, to)]);
    assert_snapshot!(fault("adapters = \"merge\"\n", ""), @r#"
error: the step `answer` has another `tuning` than `read`, and nothing says what happens to the adapters of the latter
  --> study.toml:29:8
   |
29 | [steps.answer.sft]
   |        ^^^^^^
   |
   = help: add `adapters = "merge"` (they become part of the weights), `"stack"` (the step adds its own on top) to the step, or give both the same `tuning` to train on them
"#);
    // With learned lengths of rows, a projection has one adapter.
    let dora = "adapters = \"stack\"\ntuning.lora.dora = true\n";
    assert_snapshot!(fault("adapters = \"merge\"\n", dora), @r#"
error: the step `answer` stacks adapters, and with `dora` a projection has one
  --> study.toml:29:8
   |
29 | [steps.answer.sft]
   |        ^^^^^^
   |
   = help: write `adapters = "merge"`, or leave `dora` out of both steps
"#);
    assert_snapshot!(fault("\"merge\"", "\"stack\""), @r#"
error: the step `answer` trains all weights, and stacks nothing on the adapters of `read`
  --> study.toml:29:8
   |
29 | [steps.answer.sft]
   |        ^^^^^^
   |
   = help: write `adapters = "merge"`, or let the step train adapters of its own
"#);
    assert_snapshot!(fault("\"merge\"", "\"keep\""), @r#"
error: the step `answer` keeps the adapters of `read`, and has another `tuning`
  --> study.toml:29:8
   |
29 | [steps.answer.sft]
   |        ^^^^^^
   |
   = help: give both the same `tuning`, or write `adapters = "merge"` or `"stack"`
"#);
    assert_snapshot!(fault("tuning.lora = { rank = 2 }", "training.epochs = 2"), @r"
error: the step `answer` says what happens to `adapters`, and no step before it leaves any
  --> study.toml:29:8
   |
29 | [steps.answer.sft]
   |        ^^^^^^
   |
   = help: remove `adapters`
");
}

#[test]
fn steps_name_data_that_they_can_learn_from() {
    let plain = ("adapters = \"merge\"", "split = \"train\"");
    let full = ("tuning.lora = { rank = 2 }", "training.epochs = 2");
    let fault = |from, to| one_fault(&[plain, full, (from, to)]);
    assert_snapshot!(fault("data = \"other\"\nreplay", "data = \"othr\"\nreplay"), @r#"
error: no data set is named `othr`
  --> study.toml:27:8
   |
27 | data = "othr"
   |        ^^^^^^
   |
   = help: did you mean `other`? data sets: `options`, `other`, `talk`, `texts`
"#);
    assert_snapshot!(fault("split = \"train\"", "data = \"texts\""), @r#"
error: `texts` has texts, and the step learns from questions with answers
  --> study.toml:30:8
   |
30 | data = "texts"
   |        ^^^^^^^
   |
   = help: name another data set, or let the step be one of `pretrain`
"#);
    assert_snapshot!(fault("replay = { texts = 0.25 }", "replay = { texts = 1.5 }"), @r"
error: `steps.read.pretrain.replay.texts` should be above 0 and below 1, found 1.5
  --> study.toml:28:20
   |
28 | replay = { texts = 1.5 }
   |                    ^^^
");
    assert_snapshot!(fault("replay = { texts = 0.25 }", "replay = { other = 0.5 }"), @r"
error: `other` is what the step learns from, and no other set to mix in
  --> study.toml:28:20
   |
28 | replay = { other = 0.5 }
   |                    ^^^
   |
   = help: name another data set
");
    assert_snapshot!(fault("data = \"other\"\nreplay = { texts = 0.25 }\n", "replay = { texts = 0.25 }\n"), @r#"
error: nothing says which data set the step `read` learns from
 --> study.toml:5:2
  |
5 | [data.talk]
  |  ^^^^
  |
  = help: write `[steps.read.pretrain]` with `data = "other"`; data sets: `other`, `texts`
"#);
    assert_snapshot!(fault("split = \"train\"", "data = \"options\""), @r#"
error: `data.options` has nothing in train, and the step `answer` learns from it
  --> study.toml:18:1
   |
18 | split = { all = "test" }
   | ^^^^^
   |
   = help: give train a share, or name another split
"#);
}

#[test]
fn sets_are_asked_what_their_data_have() {
    let plain = ("adapters = \"merge\"", "split = \"train\"");
    let full = ("tuning.lora = { rank = 2 }", "training.epochs = 2");
    let fault = |from, to| one_fault(&[plain, full, (from, to)]);
    assert_snapshot!(fault("data = \"other\"\nsplit", "data = \"nothing\"\nsplit"), @r#"
error: no data set is named `nothing`
  --> study.toml:44:8
   |
44 | data = "nothing"
   |        ^^^^^^^^^
   |
   = help: data sets: `options`, `other`, `talk`, `texts`
"#);
    assert_snapshot!(fault("data = \"other\"\nsplit = \"dev\"", "task = \"perplexity\""), @r#"
error: nothing says which data set `evaluation.held` is a part of
  --> study.toml:43:13
   |
43 | [evaluation.held]
   |             ^^^^
   |
   = help: add `data = "NAME"`; data sets: `other`, `texts`
"#);
    assert_snapshot!(fault("split = \"dev\"", "split = \"dev\"\ntask = \"answer\""), @r#"
error: the task `answer` needs questions with answers, and `other` has texts
  --> study.toml:46:8
   |
46 | task = "answer"
   |        ^^^^^^^^
   |
   = help: choose `perplexity`, or another data set
"#);
    assert_snapshot!(fault("[evaluation.options]", "[evaluation.options]\nmax-new-tokens = 3"), @r"
error: `evaluation.options.max-new-tokens` says nothing of the task `choice`
  --> study.toml:43:18
   |
43 | max-new-tokens = 3
   |                  ^
   |
   = help: remove it
");
    assert_snapshot!(fault("[\"rouge-l\", \"nll\"]", "[\"rouge-l\", \"acc-norm\"]"), @r#"
error: `acc-norm` is no metric of this task
  --> study.toml:40:23
   |
40 | metrics = ["rouge-l", "acc-norm"]
   |                       ^^^^^^^^^^
   |
   = help: metrics of it: `bleu`, `chrf`, `rouge-1`, `rouge-2`, `rouge-l`, `exact-match`, `token-f1`, `cosine`, `nll`, `perplexity`, `bits-per-byte`
"#);
    assert_snapshot!(fault("by = \"use-case\"", "by = \"usecase\""), @r#"
error: `data.talk` keeps no field `usecase`
  --> study.toml:41:6
   |
41 | by = "usecase"
   |      ^^^^^^^^^
   |
   = help: did you mean `use-case`? fields: `use-case`, `group`; or add `fields = ["usecase"]` to the data set
"#);
    assert_snapshot!(fault("[evaluation.options]", "[evaluation.options]\nsplit = \"dev\""), @r#"
error: `data.options` has nothing in dev, and `evaluation.options` asks it
  --> study.toml:18:1
   |
18 | split = { all = "test" }
   | ^^^^^
   |
   = help: give dev a share, or name another split
"#);
    assert_snapshot!(fault("[evaluation.talk]", "[evaluation]\nlimt = 3\n[evaluation.talk]"), @r"
error: unknown key `limt` in `evaluation`
  --> study.toml:40:1
   |
40 | limt = 3
   | ^^^^
   |
   = help: did you mean `limit`? keys here: `metrics`, `decoding`, `max-new-tokens`, `batch`, `limit`, `embedding-model`, `show`
");
    assert_snapshot!(fault("[evaluation.talk]", "[evaluation.talk]\nmetric = [\"bleu\"]"), @r#"
error: unknown key `metric` in `evaluation.talk`
  --> study.toml:40:1
   |
40 | metric = ["bleu"]
   | ^^^^^^
   |
   = help: did you mean `metrics`? keys here: `data`, `split`, `task`, `metrics`, `by`, `decoding`, `max-new-tokens`, `max-length`, `limit`, `options`
"#);
    assert_snapshot!(fault("[evaluation.talk]\nmetrics = [\"rouge-l\", \"nll\"]\nby = \"use-case\"\n[evaluation.options]\n[evaluation.held]\ndata = \"other\"\nsplit = \"dev\"\n", ""), @r#"
error: `acc` is tested but not computed
  --> study.toml:43:12
   |
43 | metrics = ["acc"]
   |            ^^^^^
   |
   = help: add `acc` to `evaluation.metrics`
"#);
}

#[test]
fn claims_name_columns_and_levels_that_there_are() {
    let plain = ("adapters = \"merge\"", "split = \"train\"");
    let full = ("tuning.lora = { rank = 2 }", "training.epochs = 2");
    let claim = "not-worse = { factor = \"reads\", level = \"yes\", reference = \"no\", margin = 0.05 }";
    let fault = |from, to| one_fault(&[plain, full, (from, to)]);
    let kind = |to| one_fault(&[plain, full, (claim, to), ("metrics = [\"acc\"]\n", "")]);
    assert_snapshot!(fault("metrics = [\"acc\"]", "metrics = [\"nll\"]"), @r#"
error: several evaluation sets have the metric `nll`
  --> study.toml:50:12
   |
50 | metrics = ["nll"]
   |            ^^^^^
   |
   = help: write one of `talk/nll`, `held/nll`
"#);
    assert_snapshot!(fault("metrics = [\"acc\"]", "metrics = [\"talk/acc\"]"), @r#"
error: `acc` is tested but not computed on `talk`
  --> study.toml:50:12
   |
50 | metrics = ["talk/acc"]
   |            ^^^^^^^^^^
   |
   = help: columns: `talk/rouge-l`, `talk/nll`, `options/acc`, `options/acc-norm`, `held/nll`, `held/perplexity`, `held/bits-per-byte`
"#);
    assert_snapshot!(fault("margin = 0.05", "margin = 0.0"), @r#"
error: `hypotheses[0].not-worse.margin` should be above 0, found 0
  --> study.toml:49:75
   |
49 | not-worse = { factor = "reads", level = "yes", reference = "no", margin = 0.0 }
   |                                                                           ^^^
"#);
    assert_snapshot!(fault("metrics = [\"acc\"]", "metrics = [\"acc\"]\nstratum = \"billing\""), @r#"
error: `acc` is of a set without strata, and the claim is of the stratum `billing`
  --> study.toml:51:11
   |
51 | stratum = "billing"
   |           ^^^^^^^^^
   |
   = help: sets with strata: `talk`
"#);
    assert_snapshot!(fault(claim, ""), @r"
error: the hypothesis `options are kept` claims nothing
  --> study.toml:47:1
   |
47 | [[hypotheses]]
   | ^^^^^^^^^^^^^^
   |
   = help: add `contrast = { factor = ..., better = ..., worse = ... }`; kinds: `contrast`, `not-worse`, `equivalent`, `interaction`, `rank`, `best-differs`
");
    let two = format!("{claim}\nrank = {{ of = \"dev-loss\", with = \"acc\" }}");
    assert_snapshot!(one_fault(&[plain, full, (claim, &two)]), @r#"
error: `not-worse` and `rank` are two claims
  --> study.toml:50:1
   |
50 | rank = { of = "dev-loss", with = "acc" }
   | ^^^^
   |
   = help: make a hypothesis of each
"#);
    assert_snapshot!(kind("rank = { of = \"dev-los\", with = \"acc\" }"), @r#"
error: no evaluation set has the metric `dev-los`
  --> study.toml:49:15
   |
49 | rank = { of = "dev-los", with = "acc" }
   |               ^^^^^^^^^
   |
   = help: did you mean `dev-loss`? columns: `talk/rouge-l`, `talk/nll`, `options/acc`, `options/acc-norm`, `held/nll`, `held/perplexity`, `held/bits-per-byte`, `dev-loss`, `trained-parameters`, `training-energy`
"#);
    assert_snapshot!(kind("best-differs = { of = \"acc\", by = \"acc\" }"), @r#"
error: `acc` is compared with itself
  --> study.toml:49:35
   |
49 | best-differs = { of = "acc", by = "acc" }
   |                                   ^^^^^
   |
   = help: name two columns
"#);
    assert_snapshot!(kind("best-differs = { of = \"dev-loss\", by = \"acc\" }\nmetrics = [\"acc\"]"), @r#"
error: `metrics` says nothing of a claim that names its columns itself
  --> study.toml:50:11
   |
50 | metrics = ["acc"]
   |           ^^^^^^^
   |
   = help: remove it
"#);
    assert_snapshot!(fault(claim, "interaction = { factor = \"reads\", better = \"yes\", worse = \"no\", with = \"rate\", more = \"high\", less = \"none\" }"), @r#"
error: the factor `rate` has no level `none`
  --> study.toml:49:102
   |
35 | [factors.rate]
   |          ---- the levels
...
49 | interaction = { factor = "reads", better = "yes", worse = "no", with = "rate", more = "high", less = "none" }
   |                                                                                                      ^^^^^^
   |
   = help: levels: `low`, `high`
"#);
    assert!(
        read(&[
            plain,
            full,
            (claim, "rank = { of = \"dev-loss\", with = \"held/bits-per-byte\" }"),
            ("metrics = [\"acc\"]\n", "")
        ])
        .is_ok()
    );
}

#[test]
fn what_is_learned_and_asked_alike_is_noted() {
    let study =
        read(&[("adapters = \"merge\"", "split = \"test\""), ("tuning.lora = { rank = 2 }", "training.epochs = 2")])
            .unwrap();
    let note = "the step `answer` learns from the test split of `talk`, which models are asked, too: what they answer \
                there, they have seen";
    assert!(study.notes.iter().any(|found| found == note), "{:?}", study.notes);
}
