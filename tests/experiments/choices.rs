//! What a user reads who writes a choice without its settings, or settings without their choice.

use insta::assert_snapshot;

use super::{SMALL, SOUND, checked, one_fault};

#[test]
fn a_path_where_a_model_is_described() {
    assert_snapshot!(one_fault(&[(SMALL, "small = \"models/TinyLlama\"")], &[]), @r#"
error: `models.small` should be a table with one of `checkpoint`, `scratch`, found the text "models/TinyLlama"
  --> study.toml:14:9
   |
14 | small = "models/TinyLlama"
   |         ^^^^^^^^^^^^^^^^^^
   |
   = help: write `small = { checkpoint = "models/TinyLlama" }`, or of the hub `"hf:models/TinyLlama"`
"#);
    assert_snapshot!(one_fault(&[(SMALL, "small = \"./TinyLlama\"")], &[]), @r#"
error: `models.small` should be a table with one of `checkpoint`, `scratch`, found the text "./TinyLlama"
  --> study.toml:14:9
   |
14 | small = "./TinyLlama"
   |         ^^^^^^^^^^^^^
   |
   = help: write `small = { checkpoint = "./TinyLlama" }`
"#);
    assert_snapshot!(one_fault(&[(SMALL, "small = \"hf:TinyLlama/TinyLlama_v1.1\"")], &[]), @r#"
error: `models.small` should be a table with one of `checkpoint`, `scratch`, found the text "hf:TinyLlama/TinyLlama_v1.1"
  --> study.toml:14:9
   |
14 | small = "hf:TinyLlama/TinyLlama_v1.1"
   |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
   = help: write `small = { checkpoint = "hf:TinyLlama/TinyLlama_v1.1" }`
"#);
}

#[test]
fn a_model_on_the_command_line() {
    assert_snapshot!(one_fault(&[], &["models.small=models/TinyLlama"]), @r#"
error: `models.small` should be a table with one of `checkpoint`, `scratch`, found the text "models/TinyLlama"
--> --set models.small=models/TinyLlama
 = help: write `--set 'models.small={ checkpoint = "models/TinyLlama" }'`, or of the hub `"hf:models/TinyLlama"`
"#);
}

#[test]
fn a_word_for_a_tokenizer() {
    assert_snapshot!(one_fault(&[("a = { byte-level-bpe = { vocabulary = 512 } }", "a = \"byte-level-bpe\"")], &[]), @r#"
error: the choice `byte-level-bpe` is a table of settings, found a word
  --> study.toml:10:5
   |
10 | a = "byte-level-bpe"
   |     ^^^^^^^^^^^^^^^^
   |
   = help: write `a = { byte-level-bpe = { vocabulary = 4096 } }`
"#);
    assert_snapshot!(one_fault(&[("a = { byte-level-bpe = { vocabulary = 512 } }", "a = \"bpe\"")], &[]), @r#"
error: `tokenizers.a` should be a table with one of `file`, `byte-level-bpe`, `unigram`, found the text "bpe"
  --> study.toml:10:5
   |
10 | a = "bpe"
   |     ^^^^^
   |
   = help: did you mean `a = { byte-level-bpe = { vocabulary = 4096 } }`?
"#);
    assert_snapshot!(one_fault(&[("a = { byte-level-bpe = { vocabulary = 512 } }", "a = \"tokenizers/a/tokenizer.json\"")], &[]), @r#"
error: `tokenizers.a` should be a table with one of `file`, `byte-level-bpe`, `unigram`, found the text "tokenizers/a/tokenizer.json"
  --> study.toml:10:5
   |
10 | a = "tokenizers/a/tokenizer.json"
   |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
   = help: write `a = { file = { path = "tokenizers/a/tokenizer.json" } }`
"#);
    assert_snapshot!(one_fault(&[("a = { byte-level-bpe = { vocabulary = 512 } }", "a = 4096")], &[]), @r#"
error: `tokenizers.a` should be a table with one of `file`, `byte-level-bpe`, `unigram`, found the number 4096
  --> study.toml:10:5
   |
10 | a = 4096
   |     ^^^^
   |
   = help: write it as in `a = { byte-level-bpe = { vocabulary = 4096 } }`
"#);
}

#[test]
fn a_word_for_an_algorithm() {
    let shown = one_fault(&[("[algorithms.kd.vanilla]\ntemperature = 2.0", "[algorithms]\nkd = \"forward-kl\"")], &[]);
    assert!(
        shown.contains("`algorithms.kd` should be a table with one of `vanilla`, ")
            && shown.contains("help: choose one of `{ vanilla = {} }`, "),
        "{shown}"
    );
}

#[test]
fn a_word_for_tuning_schedule_and_decoding() {
    assert_snapshot!(one_fault(&[("[[hypotheses]]", "[training]\nsft = { schedule = \"cosine\" }\n\n[[hypotheses]]")], &[]), @r#"
error: the choice `cosine` is a table of settings, found a word
  --> study.toml:28:20
   |
28 | sft = { schedule = "cosine" }
   |                    ^^^^^^^^
   |
   = help: write `schedule = { cosine = {} }`, with its settings between the inner braces
"#);
    assert_snapshot!(one_fault(&[], &["tuning=lora"]), @r#"
error: the choice `lora` is a table of settings, found a word
--> --set tuning=lora
 = help: write `--set 'tuning={ lora = {} }'`, with its settings between the inner braces
"#);
    assert_snapshot!(one_fault(&[("[[hypotheses]]", "[evaluation]\ndecoding = \"beam\"\n\n[[hypotheses]]")], &[]), @r#"
error: `evaluation.decoding` should be a table with one of `greedy`, `sample`, found the text "beam"
  --> study.toml:28:12
   |
28 | decoding = "beam"
   |            ^^^^^^
   |
   = help: choose one of `{ greedy = {} }`, `{ sample = {} }`
"#);
}

#[test]
fn two_kinds_in_one() {
    assert_snapshot!(one_fault(&[("a = { byte-level-bpe = { vocabulary = 512 } }", "a = { byte-level-bpe = { vocabulary = 512 }, unigram = { vocabulary = 512 } }")], &[]), @r#"
error: `tokenizers.a` needs one choice, found `byte-level-bpe`, `unigram`
  --> study.toml:10:1
   |
10 | a = { byte-level-bpe = { vocabulary = 512 }, unigram = { vocabulary = 512 } }
   | ^
   |
   = help: choose one of `file`, `byte-level-bpe`, `unigram`
"#);
    assert_snapshot!(one_fault(&[(SMALL, "small.scratch = { tokenizer = \"a\", hidden = 32, layers = 1, heads = 2, feed-forward = 64 }\nsmall.checkpoint = \"models/small\"")], &[]), @r#"
error: `models.small` needs one choice, found `checkpoint`, `scratch`
  --> study.toml:14:1
   |
14 | small.scratch = { tokenizer = "a", hidden = 32, layers = 1, heads = 2, feed-forward = 64 }
   | ^^^^^
   |
   = help: choose one of `checkpoint`, `scratch`
"#);
    let shown = one_fault(
        &[(
            "[algorithms.kd.vanilla]\ntemperature = 2.0",
            "[algorithms.kd.vanilla]\ntemperature = 2.0\n[algorithms.kd.dual-space]",
        )],
        &[],
    );
    assert!(
        shown.contains("`algorithms.kd` needs one choice, found `dual-space`, `vanilla`")
            && shown.contains("help: choose one of `vanilla`, "),
        "{shown}"
    );
}

#[test]
fn settings_without_their_choice() {
    assert_snapshot!(one_fault(&[("a = { byte-level-bpe = { vocabulary = 512 } }", "a = { vocabulary = 512 }")], &[]), @r#"
error: `vocabulary` belongs to `byte-level-bpe` or `unigram` of `tokenizers.a`, not to `tokenizers.a` itself
  --> study.toml:10:7
   |
10 | a = { vocabulary = 512 }
   |       ^^^^^^^^^^
   |
   = help: write `a = { byte-level-bpe = { ... } }`
"#);
    assert_snapshot!(one_fault(&[("[algorithms.kd.vanilla]\ntemperature = 2.0", "[algorithms.kd]\ntemperature = 2.0")], &[]), @r#"
error: `temperature` belongs to `vanilla` or `dual-space` of `algorithms.kd`, not to `algorithms.kd` itself
  --> study.toml:25:1
   |
25 | temperature = 2.0
   | ^^^^^^^^^^^
   |
   = help: write `[algorithms.kd.vanilla]`
"#);
    assert_snapshot!(one_fault(&[], &["tuning.rank=8"]), @r#"
error: `rank` belongs to `lora` of `tuning`, not to `tuning` itself
--> --set tuning.rank=8
 = help: write `--set tuning.lora.rank=8`
"#);
    assert_snapshot!(one_fault(&[], &["algorithms.kd.temperature=3"]), @r#"
error: `temperature` belongs to `vanilla` of `algorithms.kd`, not to `algorithms.kd` itself
--> --set algorithms.kd.temperature=3
 = help: write `--set algorithms.kd.vanilla.temperature=3`
"#);
    assert_snapshot!(one_fault(&[(SMALL, "small = { tokenizer = \"a\", hidden = 32, layers = 1, heads = 2, feed-forward = 64 }")], &[]), @r#"
error: `tokenizer`, `hidden`, `layers`, `heads`, `feed-forward` belong to `scratch` of `models.small`, not to `models.small` itself
  --> study.toml:14:11
   |
14 | small = { tokenizer = "a", hidden = 32, layers = 1, heads = 2, feed-forward = 64 }
   |           ^^^^^^^^^
   |
   = help: write `small = { scratch = { ... } }`
"#);
}

#[test]
fn names_from_elsewhere() {
    assert_snapshot!(one_fault(&[("[[hypotheses]]", "[compute]\ndevice = \"gpu\"\n\n[[hypotheses]]")], &[]), @r#"
error: `compute.device` has no choice `gpu`
  --> study.toml:28:10
   |
28 | device = "gpu"
   |          ^^^^^
   |
   = help: did you mean `cuda`? choices: `auto`, `cpu`, `cuda`
"#);
    assert_snapshot!(one_fault(&[], &["compute.precision=fp32"]), @r#"
error: `compute.precision` has no choice `fp32`
--> --set compute.precision=fp32
 = help: did you mean `f32`? choices: `auto`, `f32`, `bf16`
"#);
    assert_snapshot!(one_fault(&[], &["compute.precision=bfloat16"]), @r#"
error: `compute.precision` has no choice `bfloat16`
--> --set compute.precision=bfloat16
 = help: did you mean `bf16`? choices: `auto`, `f32`, `bf16`
"#);
    assert_snapshot!(one_fault(&[], &["evaluation.metrics=[\"rouge-l\", \"f1\"]"]), @r#"
error: no metric is named `f1`
--> --set evaluation.metrics=["rouge-l", "f1"]
 = help: did you mean `token-f1`? metrics: `bleu`, `chrf`, `rouge-1`, `rouge-2`, `rouge-l`, `exact-match`, `token-f1`, `cosine`, `nll`, `perplexity`, `bits-per-byte`, `acc`, `acc-norm`
"#);
    assert_snapshot!(one_fault(&[], &["evaluation.metrics=[\"rouge-l\", \"em\"]"]), @r#"
error: no metric is named `em`
--> --set evaluation.metrics=["rouge-l", "em"]
 = help: did you mean `exact-match`? metrics: `bleu`, `chrf`, `rouge-1`, `rouge-2`, `rouge-l`, `exact-match`, `token-f1`, `cosine`, `nll`, `perplexity`, `bits-per-byte`, `acc`, `acc-norm`
"#);
    assert_snapshot!(one_fault(&[], &["evaluation.metrics=[\"rouge-l\", \"ppl\"]"]), @r#"
error: no metric is named `ppl`
--> --set evaluation.metrics=["rouge-l", "ppl"]
 = help: did you mean `perplexity`? metrics: `bleu`, `chrf`, `rouge-1`, `rouge-2`, `rouge-l`, `exact-match`, `token-f1`, `cosine`, `nll`, `perplexity`, `bits-per-byte`, `acc`, `acc-norm`
"#);
    assert_snapshot!(one_fault(&[], &["evaluation.metrics=[\"rouge-l\", \"rouge\"]"]), @r#"
error: no metric is named `rouge`
--> --set evaluation.metrics=["rouge-l", "rouge"]
 = help: did you mean `rouge-l`? metrics: `bleu`, `chrf`, `rouge-1`, `rouge-2`, `rouge-l`, `exact-match`, `token-f1`, `cosine`, `nll`, `perplexity`, `bits-per-byte`, `acc`, `acc-norm`
"#);
    assert_snapshot!(one_fault(&[("temperature = 2.0", "divergence = \"rkl\"")], &[]), @r#"
error: `algorithms.kd.vanilla.divergence` has no choice `rkl`
  --> study.toml:25:14
   |
25 | divergence = "rkl"
   |              ^^^^^
   |
   = help: did you mean `reverse-kl`? choices: `forward-kl`, `reverse-kl`, `js-divergence`, `skewed-forward-kl`, `skewed-reverse-kl`, `adaptive-kl`
"#);
    let shown = one_fault(&[("[[hypotheses]]", "[training.sft]\nlearning_rate = 1e-4\n\n[[hypotheses]]")], &[]);
    assert!(
        shown.contains("unknown key `learning_rate` in `training.sft`") && shown.contains("did you mean `lr`?"),
        "{shown}"
    );
    assert_snapshot!(one_fault(&[("[[hypotheses]]", "[training.sft]\nwarmup = 0.1\n\n[[hypotheses]]")], &[]), @r#"
error: unknown key `warmup` in `training.sft`
  --> study.toml:28:1
   |
28 | warmup = 0.1
   | ^^^^^^
   |
   = help: write `schedule = { cosine = { warmup = 0.05, floor = 1e-7 } }`
"#);
    assert_snapshot!(one_fault(&[("[[hypotheses]]", "[training.sft]\noptimizer = \"adamw\"\n\n[[hypotheses]]")], &[]), @r#"
error: unknown key `optimizer` in `training.sft`
  --> study.toml:28:1
   |
28 | optimizer = "adamw"
   | ^^^^^^^^^
   |
   = help: remove it: the optimiser is AdamW; set its `lr` and `weight-decay`
"#);
}

#[test]
fn modules_in_a_word_and_a_word_that_is_none() {
    for word in ["\"all-linear\"", "\"q_proj\"", "[\"attention-qv\", \"mlp\"]"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.toml");
        std::fs::write(&path, format!("{SOUND}\n[tuning.lora]\ntarget-modules = {word}\n")).unwrap();
        assert!(checked(&path, &[]).is_ok(), "{word}");
    }
    assert_snapshot!(one_fault(&[], &["tuning.lora.target-modules=\"all-layers\""]), @r#"
error: no module is named `all-layers`
--> --set tuning.lora.target-modules="all-layers"
 = help: modules: `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`, `up_proj`, `down_proj`, `qkv_proj`, `gate_up_proj`, `dense`, `fc1`, `fc2`, `c_attn`, `c_fc`, `c_proj`, `attention-qv`, `attention`, `mlp`, `all-linear`
"#);
    assert_snapshot!(one_fault(&[], &["tuning.lora.target-modules=7"]), @r"
error: `tuning.lora.target-modules` should be a list, found the number 7
--> --set tuning.lora.target-modules=7
 = help: write `--set 'tuning.lora.target-modules=[7]'`
");
}

#[test]
fn settings_beside_their_key() {
    let stage = ("[[hypotheses]]", "[training]\nlr = 1e-4\nepochs = 3\n\n[[hypotheses]]");
    assert_snapshot!(one_fault(&[stage], &[]), @r#"
error: `lr`, `epochs` belong to `pretrain` or `sft` or `distill` of `training`, not to `training` itself
  --> study.toml:28:1
   |
28 | lr = 1e-4
   | ^^
   |
   = help: write `pretrain = { lr = ... }`
"#);
    assert_snapshot!(one_fault(&[], &["training.lr=1e-4"]), @r#"
error: `lr` belongs to `pretrain` or `sft` or `distill` of `training`, not to `training` itself
--> --set training.lr=1e-4
 = help: write `--set training.pretrain.lr=1e-4`
"#);
    let contrast = (
        "contrast = { factor = \"sft\", better = \"both\", worse = \"none\" }",
        "factor = \"sft\"\nbetter = \"both\"\nworse = \"none\"",
    );
    assert_snapshot!(one_fault(&[contrast], &[]), @r#"
error: `factor`, `better`, `worse` belong to `contrast` or `interaction` of `hypotheses[0]`, not to `hypotheses[0]` itself
  --> study.toml:29:1
   |
29 | factor = "sft"
   | ^^^^^^
   |
   = help: write `contrast = { factor = ... }`
"#);
}

#[test]
fn an_entry_without_a_name() {
    assert_snapshot!(one_fault(&[("[data.glossary]", "[data]")], &[]), @r#"
error: `importer`, `split` belong to an entry of `data`, not to `data` itself
 --> study.toml:6:1
  |
6 | importer = "glossary"
  | ^^^^^^^^
  |
  = help: give the entry a name: `[data.NAME]`
"#);
    assert_snapshot!(one_fault(&[("[algorithms.kd.vanilla]", "[algorithms.vanilla]")], &[]), @r#"
error: `vanilla` belongs to an entry of `algorithms`, not to `algorithms` itself
  --> study.toml:24:13
   |
24 | [algorithms.vanilla]
   |             ^^^^^^^
   |
   = help: give the entry a name: `[algorithms.NAME]`
"#);
}

#[test]
fn a_misspelt_key_with_a_value_of_another_kind() {
    let shown = one_fault(&[("seeds = [10]", "seed = 10")], &[]);
    assert!(
        shown.contains("unknown key `seed` in the experiment")
            && shown.contains("did you mean `seeds`?")
            && shown.contains("; put it in brackets: `[10]`"),
        "{shown}"
    );
    let modules = ("[[hypotheses]]", "[tuning.lora]\ntarget_modules = \"q_proj,v_proj\"\n\n[[hypotheses]]");
    assert_snapshot!(one_fault(&[modules], &[]), @r#"
error: unknown key `target_modules` in `tuning.lora`
  --> study.toml:28:1
   |
28 | target_modules = "q_proj,v_proj"
   | ^^^^^^^^^^^^^^
   |
   = help: did you mean `target-modules`? keys here: `rank`, `alpha`, `dropout`, `target-modules`, `rank-pattern`, `alpha-pattern`, `rslora`, `dora`, `loraplus-lr-ratio`, `initialisation`, `modules-to-save`, `base`, `double-quantisation`; put it in brackets: `["q_proj", "v_proj"]`
"#);
}
