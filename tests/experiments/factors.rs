//! Factors of levels with settings, recipes and steps: what they mean, and what a user reads who slips.

use std::fs;

use insta::assert_snapshot;
use tutelage::experiment::settings::{Tuning, Validate};
use tutelage::experiment::{Checked, LessonKind};

use super::checked;

/// A sweep without a teacher: two factors of two levels.
const SWEEP: &str = r#"version = 1
question = "Which adapters?"
seeds = [10]

[data.glossary]
importer = "glossary"
split = { group-by = "given" }

[tokenizers]
a = { byte-level-bpe = { vocabulary = 512 } }

[models]
base.scratch = { tokenizer = "a", hidden = 32, layers = 1, heads = 2, feed-forward = 64 }

[recipe]
steps = ["sft"]

[factors.rank]
small = { tuning.lora.rank = 2 }
large = { tuning.lora.rank = 4, training.sft.lr = 2e-3 }

[factors.targets]
qv = { tuning.lora.target-modules = ["q_proj", "v_proj"] }
all = { tuning.lora.target-modules = ["q_proj", "k_proj", "v_proj", "o_proj"] }

[[hypotheses]]
name = "a larger rank helps"
contrast = { factor = "rank", better = "large", worse = "small" }
metrics = ["rouge-l"]
"#;

fn read(edits: &[(&str, &str)]) -> Result<Checked, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut text = SWEEP.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "`{from}` is not in the experiment");
        text = text.replacen(from, to, 1);
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

fn names(checked: &Checked) -> Vec<&str> {
    checked.arms.iter().map(|arm| arm.name.as_str()).collect()
}

#[test]
fn levels_are_laid_over_the_experiment_in_the_order_of_the_file() {
    let checked = read(&[]).unwrap();
    assert_eq!(names(&checked), ["small/qv", "small/all", "large/qv", "large/all"]);
    let settings: Vec<(usize, usize, f64)> = checked
        .arms
        .iter()
        .map(|arm| {
            let [lesson] = &arm.course.lessons[..] else { panic!("one step") };
            let Tuning::Lora(lora) = &lesson.tuning else { panic!("adapters") };
            (lora.rank, lora.target_modules.len(), lesson.training.lr)
        })
        .collect();
    assert_eq!(settings, [(2, 2, 1e-3), (2, 4, 1e-3), (4, 2, 2e-3), (4, 4, 2e-3)]);
    assert_eq!(checked.arms[2].levels["rank"], "large");
    // Nothing teaches, so the model under study is called by its name.
    let references: Vec<&str> = checked.references.iter().map(|reference| reference.name.as_str()).collect();
    assert_eq!(references, ["base"]);
    assert!(checked.controls.is_empty());
}

#[test]
fn a_resolved_copy_has_the_same_arms() {
    let first = read(&[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resolved.toml");
    fs::write(&path, tutelage::experiment::resolve(&first.experiment).unwrap()).unwrap();
    let again = checked(&path, &[]).unwrap();
    assert_eq!(again.experiment, first.experiment);
    assert_eq!(again.arms, first.arms);
}

#[test]
fn arms_can_be_listed_and_left_out() {
    let listed = "[[arms]]\nrank = \"large\"\ntargets = \"qv\"\n[[arms]]\nrank = \"small\"\n\n[factors.rank]";
    assert_eq!(names(&read(&[("[factors.rank]", listed)]).unwrap()), ["small/qv", "small/all", "large/qv"]);
    let left_out = "[[exclude]]\nrank = \"large\"\ntargets = \"all\"\n\n[factors.rank]";
    assert_eq!(names(&read(&[("[factors.rank]", left_out)]).unwrap()), ["small/qv", "small/all", "large/qv"]);
}

#[test]
fn no_step_is_a_recipe_too() {
    let factor =
        "[factors.adaptation]\nnone = { recipe.steps = [] }\nsft = { recipe.steps = [\"sft\"] }\n\n[factors.rank]";
    let checked = read(&[("[factors.rank]", factor)]).unwrap_err();
    // A rank makes no difference to a model that nothing is trained on.
    assert!(checked.contains("the levels `small` and `large` of `rank` are one"), "{checked}");
    let exclude = format!(
        "[[exclude]]\nadaptation = \"none\"\nrank = \"large\"\n[[exclude]]\nadaptation = \"none\"\ntargets = \"all\"\n\n{factor}"
    );
    let checked = read(&[("[factors.rank]", &exclude)]).unwrap();
    let expected = ["none/small/qv", "sft/small/qv", "sft/small/all", "sft/large/qv", "sft/large/all"];
    assert_eq!(names(&checked), expected);
    assert!(checked.references.is_empty(), "an arm is the model as it is: {:?}", checked.references);
}

#[test]
fn steps_have_settings_of_their_own_and_the_rest_of_the_experiment() {
    let steps = "[recipe]\nsteps = [\"first\", \"sft\"]\n\n[steps.first.sft]\ntraining = { epochs = 3.0, validate = \"end\" }\n\
        tuning.full = {}\n\n[training.sft]\nbatch = 8\nlr = 5e-4\n";
    let checked = read(&[("[recipe]\nsteps = [\"sft\"]\n", steps)]).unwrap();
    let lessons = &checked.arms[3].course.lessons;
    assert_eq!(lessons.iter().map(|lesson| lesson.name.as_str()).collect::<Vec<_>>(), ["first", "sft"]);
    let first = &lessons[0].training;
    assert_eq!((first.epochs, first.batch, first.lr, first.validate), (3.0, 8, 2e-3, Validate::End));
    assert_eq!((&lessons[0].tuning, &lessons[0].kind), (&Tuning::Full {}, &LessonKind::Sft));
    assert!(matches!(&lessons[1].tuning, Tuning::Lora(lora) if lora.rank == 4));
    let references: Vec<&str> = checked.references.iter().map(|reference| reference.name.as_str()).collect();
    assert_eq!(references, ["base", "base (first)", "base (first) large"]);
}

#[test]
fn a_misspelt_key_in_a_level() {
    assert_snapshot!(one_fault(&[("large = { tuning.lora.rank = 4", "large = { tuning.lora.ranks = 4")]), @r"
error: unknown key `ranks` in `tuning.lora`
  --> study.toml:20:23
   |
20 | large = { tuning.lora.ranks = 4, training.sft.lr = 2e-3 }
   |                       ^^^^^
   |
   = help: did you mean `rank`? keys here: `rank`, `alpha`, `dropout`, `target-modules`, `rank-pattern`, `alpha-pattern`, `rslora`, `dora`, `loraplus-lr-ratio`, `initialisation`, `modules-to-save`, `base`, `double-quantisation`
");
}

#[test]
fn a_value_of_another_type_in_a_level() {
    assert_snapshot!(one_fault(&[("small = { tuning.lora.rank = 2 }", "small = { tuning.lora.rank = \"two\" }")]), @r#"
error: `tuning.lora.rank` should be a whole number (0 or more), found the text "two"
  --> study.toml:19:30
   |
19 | small = { tuning.lora.rank = "two" }
   |                              ^^^^^
"#);
}

#[test]
fn a_value_out_of_range_in_a_level() {
    assert_snapshot!(one_fault(&[("training.sft.lr = 2e-3", "training.sft.lr = 200.0")]), @r#"
error: `training.sft.lr` should be from 1e-12 to 10, found 200
  --> study.toml:20:51
   |
20 | large = { tuning.lora.rank = 4, training.sft.lr = 200.0 }
   |                                                   ^^^^^
   |
   = help: AdamW moves each weight by about this much a step: 1e-5 to 1e-2 are usual
"#);
}

#[test]
fn a_level_that_sets_what_is_of_the_whole_study() {
    assert_snapshot!(one_fault(&[("small = { tuning.lora.rank = 2 }", "small = { seeds = [1] }")]), @r#"
error: `seeds` is of the whole study: no level can set it
  --> study.toml:19:11
   |
19 | small = { seeds = [1] }
   |           ^^^^^
   |
   = help: make a study of each, or remove it here
"#);
}

#[test]
fn two_factors_that_set_one_thing() {
    assert_snapshot!(one_fault(&[("qv = { ", "qv = { tuning.lora.rank = 8, ")]), @r#"
error: the factors `rank`, `targets` both set `tuning.lora.rank`
  --> study.toml:23:27
   |
20 | large = { tuning.lora.rank = 4, training.sft.lr = 2e-3 }
   |                              - set here, too
...
23 | qv = { tuning.lora.rank = 8, tuning.lora.target-modules = ["q_proj", "v_proj"] }
   |                           ^
   |
   = help: let one factor set it, with a level for each combination
"#);
}

#[test]
fn levels_that_are_one() {
    assert_snapshot!(one_fault(&[("large = { tuning.lora.rank = 4, training.sft.lr = 2e-3 }", "large = { training.distill.lr = 2e-3, tuning.lora.rank = 2 }")]), @r#"
error: the levels `small` and `large` of `rank` are one: nothing that they set makes a difference
  --> study.toml:20:1
   |
20 | large = { training.distill.lr = 2e-3, tuning.lora.rank = 2 }
   | ^^^^^
   |
   = help: let them change a setting that is used, or remove one
"#);
}

#[test]
fn names_instead_of_levels() {
    assert_snapshot!(one_fault(&[("[factors.rank]\nsmall = { tuning.lora.rank = 2 }\nlarge = { tuning.lora.rank = 4, training.sft.lr = 2e-3 }\n", "[factors]\nrank = [\"small\", \"large\"]\n")]), @r#"
error: unknown key `rank` in `factors`
  --> study.toml:19:1
   |
19 | rank = ["small", "large"]
   | ^^^^
   |
   = help: only `student`, `teacher`, `sft`, `algorithm` may be lists of names: write `[factors.rank]` with a table of settings for each level
"#);
}

#[test]
fn a_step_that_nothing_defines() {
    assert_snapshot!(one_fault(&[("steps = [\"sft\"]", "steps = [\"stf\"]")]), @r#"
error: no step is named `stf`
  --> study.toml:16:10
   |
16 | steps = ["stf"]
   |          ^^^^^
   |
   = help: did you mean `sft`? steps: `pretrain`, `sft`, `distill`
"#);
}

#[test]
fn a_model_that_nothing_defines() {
    assert_snapshot!(one_fault(&[("steps = [\"sft\"]", "steps = [\"sft\"]\nmodel = \"bases\"")]), @r#"
error: no model is named `bases`
  --> study.toml:17:9
   |
17 | model = "bases"
   |         ^^^^^^^
   |
   = help: did you mean `base`?
"#);
}

#[test]
fn a_misspelt_key_in_a_step() {
    let steps = "[recipe]\nsteps = [\"first\"]\n\n[steps.first.sft]\ntraining = { epoch = 3.0 }\n";
    assert_snapshot!(one_fault(&[("[recipe]\nsteps = [\"sft\"]\n", steps)]), @r"
error: unknown key `epoch` in `training.sft`
  --> study.toml:19:14
   |
19 | training = { epoch = 3.0 }
   |              ^^^^^
   |
   = help: did you mean `epochs`? keys here: `epochs`, `batch`, `accumulation`, `gradient-checkpointing`, `optimizer-states`, `lr`, `schedule`, `weight-decay`, `clip`, `max-length`, `max-prompt`, `validate`, `keep-best`, `patience`, `checkpoint-every`, `checkpoint-minutes`
");
}

#[test]
fn a_factor_and_a_recipe_that_say_the_same() {
    assert_snapshot!(one_fault(&[("[factors.rank]", "[factors]\nsft = [\"none\", \"student\"]\n\n[factors.rank]")]), @r#"
error: `factors.sft` and `recipe.steps` both say what happens
  --> study.toml:19:7
   |
16 | steps = ["sft"]
   |         ------- said here, too
...
19 | sft = ["none", "student"]
   |       ^^^^^^^^^^^^^^^^^^^
   |
   = help: remove one, or write the levels of `sft` as tables of settings
"#);
}

#[test]
fn a_step_that_distils_without_a_teacher() {
    let steps = "steps = [\"distill\"]\n\n[algorithms.kd.vanilla]\n";
    assert_snapshot!(one_fault(&[("steps = [\"sft\"]\n", steps)]), @r#"
error: the step `distill` distils, and nothing names its teacher
  --> study.toml:16:9
   |
16 | steps = ["distill"]
   |         ^^^^^^^^^^^
   |
   = help: write `[steps.distill.distill]` with `teacher = "NAME"`, a model or recipe
"#);
}

#[test]
fn an_arm_of_a_level_that_is_not_there() {
    assert_snapshot!(one_fault(&[("[factors.rank]", "[[arms]]\nrank = \"larger\"\n\n[factors.rank]")]), @r#"
error: the factor `rank` has no level `larger`
  --> study.toml:19:8
   |
19 | rank = "larger"
   |        ^^^^^^^^
20 |
21 | [factors.rank]
   |          ---- the levels
   |
   = help: did you mean `large`? levels: `small`, `large`
"#);
}

#[test]
fn a_teacher_and_an_algorithm_that_nothing_defines() {
    let steps = "steps = [\"distill\"]\n\n[algorithms.kd.vanilla]\n\n[steps.distill.distill]\nteacher = \"bases\"\nalgorithm = \"kdd\"\n";
    assert_snapshot!(read(&[("steps = [\"sft\"]\n", steps)]).unwrap_err(), @r#"
error: no model or recipe is named `bases`
  --> study.toml:21:11
   |
21 | teacher = "bases"
   |           ^^^^^^^
   |
   = help: did you mean `base`?

error: no algorithm is named `kdd`
  --> study.toml:22:13
   |
22 | algorithm = "kdd"
   |             ^^^^^
   |
   = help: did you mean `kd`?

2 faults in `study.toml`
"#);
}

#[test]
fn adapters_of_an_earlier_step_are_not_lost_in_silence() {
    let steps = "[recipe]\nsteps = [\"sft\", \"last\"]\n\n[steps.last.sft]\ntuning.full = {}\n";
    assert_snapshot!(one_fault(&[("[recipe]\nsteps = [\"sft\"]\n", steps)]), @r#"
error: the step `last` has another `tuning` than `sft`, and nothing says what happens to the adapters of the latter
  --> study.toml:18:8
   |
18 | [steps.last.sft]
   |        ^^^^
   |
   = help: add `adapters = "merge"` (they become part of the weights), `"stack"` (the step adds its own on top) to the step, or give both the same `tuning` to train on them
"#);
}
