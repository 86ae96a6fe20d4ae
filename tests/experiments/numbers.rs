//! What a user reads about numbers that no study can mean, and about those of the wrong form.

use insta::assert_snapshot;

use super::one_fault;

#[test]
fn a_learning_rate_below_the_default_floor() {
    assert_snapshot!(one_fault(&[("[[hypotheses]]", "[training.distill]\nlr = 5e-8\n\n[[hypotheses]]")], &[]), @r#"
error: `training.distill.lr` of 5e-8 is below the default floor of its schedule, 1e-7
  --> study.toml:28:6
   |
28 | lr = 5e-8
   |      ^^^^
   |
   = help: the learning rate would rise: write `schedule = { cosine = { warmup = 0.0, floor = 0.0 } }` in `[training.distill]`
"#);
    assert_snapshot!(one_fault(&[], &["training.pretrain.lr=1e-8"]), @r#"
error: `training.pretrain.lr` of 1e-8 is below the default floor of its schedule, 1e-7
--> --set training.pretrain.lr=1e-8
 = help: the learning rate would rise: write `schedule = { cosine = { warmup = 0.0, floor = 0.0 } }` in `[training.pretrain]`
"#);
}

#[test]
fn learning_rates_and_epochs_beyond_any_study() {
    assert_snapshot!(one_fault(&[], &["training.sft.lr=1e300"]), @r#"
error: `training.sft.lr` should be from 1e-12 to 10, found 1e300
--> --set training.sft.lr=1e300
 = help: AdamW moves each weight by about this much a step: 1e-5 to 1e-2 are usual
"#);
    assert_snapshot!(one_fault(&[], &["training.sft.epochs=1e18"]), @r#"
error: `training.sft.epochs` should be from 1e-6 to 100000, found 1e18
--> --set training.sft.epochs=1e18
 = help: one epoch shows every example once, a part of one fewer
"#);
    assert_snapshot!(one_fault(&[], &["algorithms.kd={ dual-space = { projector-lr = 100 } }"]), @r#"
error: `algorithms.kd.dual-space.projector-lr` should be from 1e-12 to 10, found 100
--> --set algorithms.kd={ dual-space = { projector-lr = 100 } }
 = help: AdamW moves each weight by about this much a step: 1e-5 to 1e-2 are usual
"#);
}

#[test]
fn a_rank_above_the_width() {
    assert_snapshot!(one_fault(&[("[[hypotheses]]", "[tuning.lora]\nrank = 4096\n\n[[hypotheses]]")], &[]), @r#"
error: a rank of 4096 is more than the width of `small`, 32
  --> study.toml:28:8
   |
14 | small.scratch = { tokenizer = "a", hidden = 32, layers = 1, heads = 2, feed-forward = 64 }
   |                                             -- as wide as this
...
28 | rank = 4096
   |        ^^^^
   |
   = help: choose less than 32, or `tuning = { full = {} }` to train all weights
"#);
    assert_snapshot!(one_fault(&[], &["tuning.lora.rank=1000000"]), @r#"
error: `tuning.lora.rank` should be at most 16384, found 1000000
--> --set tuning.lora.rank=1000000
 = help: no published model is wider, and an update has at most its rank
"#);
}

#[test]
fn a_temperature_that_leaves_nothing() {
    assert_snapshot!(one_fault(&[("temperature = 2.0", "temperature = 1e-300")], &[]), @r#"
error: `algorithms.kd.vanilla.temperature` should be from 0.001 to 1000, found 1e-300
  --> study.toml:25:15
   |
25 | temperature = 1e-300
   |               ^^^^^^
   |
   = help: logits are divided by it: below, one token takes all probability; above, all tokens are alike
"#);
    assert_snapshot!(one_fault(&[], &["evaluation.decoding={ sample = { temperature = 1e9 } }"]), @r#"
error: `evaluation.decoding.sample.temperature` should be from 0.001 to 1000, found 1e9
--> --set evaluation.decoding={ sample = { temperature = 1e9 } }
 = help: logits are divided by it: below, one token takes all probability; above, all tokens are alike
"#);
}

#[test]
fn decay_dropout_and_clip() {
    assert_snapshot!(one_fault(&[], &["training.sft.weight-decay=1e9"]), @r#"
error: `training.sft.weight-decay` should be from 0 to 100, found 1e9
--> --set training.sft.weight-decay=1e9
 = help: each step shrinks weights by this times `lr`: 0 to 0.1 are usual
"#);
    assert_snapshot!(one_fault(&[], &["training.sft.weight-decay=-0.1"]), @r#"
error: `training.sft.weight-decay` should be from 0 to 100, found -0.1
--> --set training.sft.weight-decay=-0.1
 = help: each step shrinks weights by this times `lr`: 0 to 0.1 are usual
"#);
    assert_snapshot!(one_fault(&[], &["tuning.lora={ dropout = 1.5 }"]), @r#"
error: `tuning.lora.dropout` should be from 0 to below 1, found 1.5
--> --set tuning.lora={ dropout = 1.5 }
"#);
    assert_snapshot!(one_fault(&[], &["training.sft.clip=-1"]), @r#"
error: `training.sft.clip` should be above 0, found -1
--> --set training.sft.clip=-1
 = help: gradients are scaled down to this norm: 1 is usual, `inf` is none
"#);
}

#[test]
fn counts_of_tokens_or_of_everything() {
    assert_snapshot!(one_fault(&[], &["training.pretrain.batch=1000000"]), @r#"
error: `training.pretrain.batch` should be at most 65536, found 1000000
--> --set training.pretrain.batch=1000000
 = help: it counts sequences, not tokens: 8 to 512 are usual
"#);
    assert_snapshot!(one_fault(&[], &["evaluation.max-new-tokens=1000000"]), @r#"
error: 1000000 tokens exceed the positions of `large` (2048), `small` (2048)
--> --set evaluation.max-new-tokens=1000000
 = help: choose at most 2048, or give these models more `positions`
"#);
    assert_snapshot!(one_fault(&[], &["evaluation.batch=0"]), @r#"
error: `evaluation.batch` should be at least 1, found 0
--> --set evaluation.batch=0
"#);
}

#[test]
fn grams_for_kilograms() {
    assert_snapshot!(one_fault(&[], &["energy.grid-kg-co2e-per-kwh=400"]), @r#"
error: `energy.grid-kg-co2e-per-kwh` should be from 0 to 10, found 400
--> --set energy.grid-kg-co2e-per-kwh=400
 = help: in kg per kWh: 0.4 for 400 g, as an average of the world
"#);
}

#[test]
fn steps_for_a_share() {
    assert_snapshot!(one_fault(&[("[[hypotheses]]", "[training.sft]\nschedule = { linear = { warmup = 100 } }\nepochs = 4\n\n[[hypotheses]]")], &[]), @r#"
error: `training.sft.schedule.linear.warmup` should be a share of all steps, from 0 to below 1, found 100
  --> study.toml:28:34
   |
28 | schedule = { linear = { warmup = 100 } }
   |                                  ^^^
   |
   = help: 0.05 is 5 %; 100 of this stage's 500 steps are 0.200
"#);
    assert_snapshot!(one_fault(&[], &["training.sft.schedule={ cosine = { warmup = 5 } }", "training.sft.batch=2000"]), @r#"
error: `training.sft.schedule.cosine.warmup` should be a share of all steps, from 0 to below 1, found 5
--> --set training.sft.schedule={ cosine = { warmup = 5 } }
 = help: 0.05 is 5 %; the steps of this stage are 1
"#);
}

#[test]
fn a_share_for_a_split() {
    assert_snapshot!(one_fault(&[("split = { group-by = \"given\" }", "split = 0.8")], &[]), @r#"
error: `data.glossary.split` should be a table, found the number 0.8
 --> study.toml:7:9
  |
7 | split = 0.8
  |         ^^^
  |
  = help: write `split = { train = 0.8, dev = 0.1, test = 0.1 }`
"#);
    assert_snapshot!(one_fault(&[("split = { group-by = \"given\" }", "split = [0.7, 0.1, 0.2]")], &[]), @r#"
error: `data.glossary.split` should be a table, found a list
 --> study.toml:7:9
  |
7 | split = [0.7, 0.1, 0.2]
  |         ^^^^^^^^^^^^^^^
  |
  = help: write `split = { train = 0.7, dev = 0.1, test = 0.2 }`
"#);
    assert_snapshot!(one_fault(&[], &["data.glossary.split=0.9"]), @r#"
error: `data.glossary.split` should be a table, found the number 0.9
--> --set data.glossary.split=0.9
 = help: write `--set 'data.glossary.split={ train = 0.9, dev = 0.05, test = 0.05 }'`
"#);
}

#[test]
fn numbers_in_a_form_that_toml_has_not() {
    assert_snapshot!(one_fault(&[("temperature = 2.0", "temperature = .5")], &[]), @r#"
error: invalid TOML: invalid mantissa, expected digits
  --> study.toml:25:15
   |
25 | temperature = .5
   |               ^
   |
   = help: write `0.5`
"#);
    assert_snapshot!(one_fault(&[("temperature = 2.0", "temperature = 1.")], &[]), @r#"
error: invalid TOML: invalid fraction, expected digits
  --> study.toml:25:17
   |
25 | temperature = 1.
   |                 ^
   |
   = help: write `1.0`
"#);
    assert_snapshot!(one_fault(&[("temperature = 2.0", "temperature = 05")], &[]), @r#"
error: invalid TOML: unexpected leading zero, expected nothing
  --> study.toml:25:15
   |
25 | temperature = 05
   |               ^
   |
   = help: write `5`
"#);
    assert_snapshot!(one_fault(&[("temperature = 2.0", "temperature = 2,5")], &[]), @r#"
error: invalid TOML: unexpected key or value, expected newline, `#`
  --> study.toml:25:16
   |
25 | temperature = 2,5
   |                ^
   |
   = help: write `2.5`, or brackets around several values
"#);
    assert_snapshot!(one_fault(&[("temperature = 2.0", "temperature = 50%")], &[]), @r#"
error: invalid TOML: string values must be quoted, expected literal string
  --> study.toml:25:15
   |
25 | temperature = 50%
   |               ^^^
   |
   = help: write `0.5`
"#);
    assert_snapshot!(one_fault(&[("vocabulary = 512", "vocabulary = 4,096")], &[]), @r#"
error: invalid TOML: a comma inside of a number
  --> study.toml:10:45
   |
10 | a = { byte-level-bpe = { vocabulary = 4,096 } }
   |                                             ^
   |
   = help: write `4096`, or `4_096`, for 4,096
"#);
    assert_snapshot!(one_fault(&[], &["algorithms.kd.vanilla.temperature=.5"]), @r#"
error: `algorithms.kd.vanilla.temperature` should be a number, found the text ".5"
--> --set algorithms.kd.vanilla.temperature=.5
 = help: write `--set algorithms.kd.vanilla.temperature=0.5`
"#);
    assert_snapshot!(one_fault(&[], &["training.sft.epochs=3 epochs"]), @r#"
error: `training.sft.epochs` should be a number, found the text "3 epochs"
--> --set training.sft.epochs=3 epochs
"#);
}
