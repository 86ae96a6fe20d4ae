//! What a user reads about tokenizers and checkpoints that are on this machine.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use insta::assert_snapshot;
use tempfile::TempDir;
use tutelage::cli::study::StudyArgs;
use tutelage::experiment::{Checked, Faults};

use super::SOUND;
use crate::fixtures::{copy, fixture};

/// Writes `SOUND` after replacing each `(from, to)` as `study.toml`; metrics need no embedding model.
fn study(edits: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut text = format!("{SOUND}\n[evaluation]\nmetrics = [\"rouge-l\"]\n");
    for (from, to) in edits {
        assert!(text.contains(from), "`{from}` is not in the experiment");
        text = text.replacen(from, to, 1);
    }
    fs::write(folder.path().join("study.toml"), text).expect("a file");
    folder
}

/// Checks `study.toml` as the commands do.
fn checked(folder: &Path) -> Result<Checked, Faults> {
    StudyArgs { experiment: folder.join("study.toml"), set: Vec::new() }.check().map(|opened| opened.checked)
}

fn faults(folder: &Path) -> String {
    let faults = checked(folder).expect_err("at least one fault");
    faults.render(false).replace(&format!("{}/", folder.display()), "")
}

/// A study whose student is the checkpoint `student`, in four shards with a tokenizer that fits.
fn with_checkpoint() -> TempDir {
    let folder = study(&[(
        "small.scratch = { tokenizer = \"a\", hidden = 32, layers = 1, heads = 2, feed-forward = 64 }",
        "small.checkpoint = \"student\"",
    )]);
    put_checkpoint(&folder.path().join("student"));
    folder
}

fn put_checkpoint(folder: &Path) {
    copy(&fixture("models/llama-sharded"), folder);
    copy(&fixture("data/byte-level-bpe"), folder);
    let config = folder.join("config.json");
    let text = fs::read_to_string(&config).expect("text");
    let text = text.replace("\"vocab_size\": 96", "\"vocab_size\": 400");
    let text = text.replace("\"max_position_embeddings\": 64", "\"max_position_embeddings\": 512");
    fs::write(config, text).expect("a file");
}

#[test]
fn a_checkpoint_with_a_shard_missing_or_cut_short() {
    let folder = with_checkpoint();
    checked(folder.path()).unwrap_or_else(|faults| panic!("{faults}"));
    let shard = folder.path().join("student/model-00003-of-00004.safetensors");
    let bytes = fs::read(&shard).expect("a shard");
    fs::remove_file(&shard).expect("removed");
    assert_snapshot!(faults(folder.path()), @r#"
error: cannot read `student/model-00003-of-00004.safetensors`: No such file or directory (os error 2)
  --> study.toml:14:20
   |
14 | small.checkpoint = "student"
   |                    ^^^^^^^^^
   |
   = help: copy the file again; if it is a pointer of git-lfs, run `git lfs pull` beside it

1 fault in `study.toml`
"#);
    fs::write(&shard, &bytes[..bytes.len() / 2]).expect("a file");
    let shown = faults(folder.path());
    assert!(shown.contains("`student/model-00003-of-00004.safetensors` is damaged: it ends before"), "{shown}");
    assert!(shown.contains("study.toml:14:20"), "{shown}");
    fs::write(&shard, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 30792\n").expect("a file");
    let shown = faults(folder.path());
    assert!(shown.contains("is damaged: its header claims") && shown.contains("git lfs pull"), "{shown}");
}

#[test]
fn a_checkpoint_has_so_many_positions_as_it_was_made_for() {
    let folder = with_checkpoint();
    let study = fs::read_to_string(folder.path().join("study.toml")).expect("text");
    let lengths = "[training]\npretrain.max-length = 1024\nsft.max-length = 1024\n";
    fs::write(folder.path().join("study.toml"), format!("{study}\n{lengths}")).expect("a file");
    assert_snapshot!(faults(folder.path()), @r#"
error: 1024 tokens exceed the positions of `small` (512)
  --> study.toml:37:18
   |
14 | small.checkpoint = "student"
   |                    --------- positions
...
37 | sft.max-length = 1024
   |                  ^^^^
   |
   = help: choose at most 512

1 fault in `study.toml`
"#);
    let config = folder.path().join("student/config.json");
    let text = fs::read_to_string(&config).expect("text");
    let text = text.replace("\"max_position_embeddings\": 512", "\"max_position_embeddings\": 256");
    fs::write(config, text).expect("a file");
    fs::write(folder.path().join("study.toml"), study).expect("a file");
    let shown = faults(folder.path());
    let message = "256 positions are fewer than the defaults of `training.sft.max-length` (512), \
                   `training.distill.max-length` (512)";
    let help = "help: set `training.sft.max-length`, `training.distill.max-length` to at most 256";
    assert!(shown.contains(message) && shown.contains(help), "{shown}");
    assert!(shown.contains("1 fault in"), "{shown}");
}

#[test]
fn a_rank_above_the_width_of_a_checkpoint() {
    let folder = with_checkpoint();
    let study = fs::read_to_string(folder.path().join("study.toml")).expect("text");
    fs::write(folder.path().join("study.toml"), format!("{study}\n[tuning.lora]\nrank = 40\n")).expect("a file");
    let shown = faults(folder.path());
    assert!(shown.contains("a rank of 40 is more than the width of `small`, 32"), "{shown}");
    assert!(shown.contains("--------- as wide as this") && shown.contains("1 fault in"), "{shown}");
}

#[test]
fn a_checkpoint_in_few_bits_gets_adapters_on_weights_in_these() {
    let folder = with_checkpoint();
    let checkpoint = folder.path().join("student");
    fs::remove_dir_all(&checkpoint).expect("removed");
    copy(&fixture("models/quantised/llama-nf4"), &checkpoint);
    copy(&fixture("data/byte-level-bpe"), &checkpoint);
    let config = checkpoint.join("config.json");
    let text = fs::read_to_string(&config).expect("text");
    let text = text.replace("\"vocab_size\": 48", "\"vocab_size\": 400");
    let text = text.replace("\"max_position_embeddings\": 64", "\"max_position_embeddings\": 512");
    fs::write(&config, &text).expect("a file");
    let study = fs::read_to_string(folder.path().join("study.toml")).expect("text");
    let tuned = |tuning: &str| {
        fs::write(folder.path().join("study.toml"), format!("{study}\n{tuning}\n")).expect("a file");
        checked(folder.path())
    };
    let told = |tuning: &str| {
        tuned(tuning).expect_err("a fault").render(false).replace(&format!("{}/", folder.path().display()), "")
    };
    assert_snapshot!(told(""), @r#"
error: `small` keeps its weights in nf4 with double quantisation, and the step `distill` trains all of them: only adapters on them can be trained
  --> study.toml:14:20
   |
14 | small.checkpoint = "student"
   |                    ^^^^^^^^^
   |
   = help: write `[tuning.lora]` with `base = "nf4"` and `double-quantisation = true`, or name a checkpoint that is not quantised

error: `small` keeps its weights in nf4 with double quantisation, and the step `sft` trains all of them: only adapters on them can be trained
  --> study.toml:14:20
   |
14 | small.checkpoint = "student"
   |                    ^^^^^^^^^
   |
   = help: write `[tuning.lora]` with `base = "nf4"` and `double-quantisation = true`, or name a checkpoint that is not quantised

2 faults in `study.toml`
"#);
    let shown = told("[tuning.lora]\nrank = 4");
    assert!(shown.contains("trains adapters on weights in full"), "{shown}");
    let shown = told("[tuning.lora]\nbase = \"nf4\"\ndouble-quantisation = false");
    assert!(shown.contains("trains adapters on weights in nf4\n"), "{shown}");
    assert!(shown.contains("write `base = \"nf4\"` and `double-quantisation = true` for `tuning.lora`"), "{shown}");
    tuned("[tuning.lora]\nbase = \"nf4\"").unwrap_or_else(|faults| panic!("{faults}"));
    // What is not understood is refused by name.
    fs::write(&config, text.replace("\"bitsandbytes\"", "\"gptq\"")).expect("a file");
    let shown = told("");
    let expected =
        "`quantization_config` is set (`gptq`), expected weights that are not quantised, or by `bitsandbytes`";
    assert!(shown.contains(expected) && shown.contains("1 fault in"), "{shown}");
}

#[test]
fn a_hub_checkpoint_that_is_damaged_or_not_downloaded_whole() {
    let folder = with_checkpoint();
    let text = fs::read_to_string(folder.path().join("study.toml")).expect("text");
    fs::write(folder.path().join("study.toml"), text.replace("\"student\"", "\"hf:org/name\"")).expect("a file");
    let model = folder.path().join("cache/models--org--name");
    put_checkpoint(&model.join("snapshots/abc"));
    fs::create_dir_all(model.join("refs")).expect("a folder");
    fs::write(model.join("refs/main"), "abc").expect("a file");
    let shard = model.join("snapshots/abc/model-00002-of-00004.safetensors");
    fs::write(&shard, "short").expect("a file");
    let shown = faults_with(folder.path(), "HF_HUB_CACHE", &folder.path().join("cache"));
    assert!(shown.contains("model-00002-of-00004.safetensors` is damaged: 5 bytes, expected a header"), "{shown}");
    assert!(shown.contains("help: download damaged files again: `tutelage fetch --verify hf:org/name`"), "{shown}");
    fs::remove_file(shard).expect("removed");
    let output = looked(folder.path(), "HF_HUB_CACHE", &folder.path().join("cache"));
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let note = "note: `hf:org/name` is not on this machine: `tutelage run` downloads it\n";
    assert!(shown.contains(note), "{shown}");
}

#[test]
fn an_adapter_is_no_checkpoint_and_lies_beside_none() {
    let folder = with_checkpoint();
    copy(&fixture("models/llama-adapter"), &folder.path().join("student"));
    assert_snapshot!(faults(folder.path()), @r#"
error: `student` holds an adapter (`adapter_config.json`) beside a model, expected each in a folder of its own
  --> study.toml:14:20
   |
14 | small.checkpoint = "student"
   |                    ^^^^^^^^^
   |
   = help: move the adapter's files to another folder to use the model alone, or merge them with PEFT: `merge_and_unload().save_pretrained(DIR)`

1 fault in `study.toml`
"#);
    fs::remove_dir_all(folder.path().join("student")).expect("removed");
    copy(&fixture("models/llama-adapter"), &folder.path().join("student"));
    assert_snapshot!(faults(folder.path()), @r#"
error: `student` holds an adapter, no model: it has `adapter_config.json` and no `config.json`
  --> study.toml:14:20
   |
14 | small.checkpoint = "student"
   |                    ^^^^^^^^^
   |
   = help: name its base model as the checkpoint and this folder as the adapter, or merge them with PEFT: `merge_and_unload().save_pretrained(DIR)`

1 fault in `study.toml`
"#);
}

#[test]
fn a_checkpoint_without_safetensors() {
    let folder = with_checkpoint();
    for entry in fs::read_dir(folder.path().join("student")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("model")) {
            fs::remove_file(path).expect("removed");
        }
    }
    let shown = faults(folder.path());
    assert!(shown.contains("no weights in `student`: expected `model.safetensors` or"), "{shown}");
    assert!(shown.contains("help: save the weights as safetensors"), "{shown}");
    fs::write(folder.path().join("student/pytorch_model-00001-of-00002.bin"), "").expect("a file");
    assert_snapshot!(faults(folder.path()), @r#"
error: the weights in `student` are PyTorch pickles (`pytorch_model-00001-of-00002.bin`), expected safetensors
  --> study.toml:14:20
   |
14 | small.checkpoint = "student"
   |                    ^^^^^^^^^
   |
   = help: convert them with transformers: `AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(DIR)`

1 fault in `study.toml`
"#);
}

#[test]
fn tokenizers_in_files_are_compared_by_their_tokens() {
    let folder = study(&[
        ("a = { byte-level-bpe = { vocabulary = 512 } }", "a = { file = { path = \"a\" } }"),
        ("b = { unigram = { vocabulary = 512 } }", "b = { file = { path = \"b/tokenizer.json\" } }"),
        ("teacher = [\"large\"]", "teacher = [\"foreign\"]"),
    ]);
    copy(&fixture("data/byte-level-bpe"), &folder.path().join("a"));
    copy(&fixture("data/byte-level-bpe"), &folder.path().join("b"));
    checked(folder.path()).unwrap_or_else(|faults| panic!("{faults}"));
    copy(&fixture("data/unigram"), &folder.path().join("b"));
    let shown = faults(folder.path());
    assert!(shown.contains("the vocabularies of `small` and `foreign` differ"), "{shown}");
}

/// Lets the program check `study.toml` with an environment variable set.
fn looked(folder: &Path, name: &str, value: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tutelage"))
        .args(["check", "study.toml"])
        .current_dir(folder)
        .env(name, value)
        .output()
        .expect("the binary runs")
}

/// Shows the faults of `study.toml` that the program finds with an environment variable set.
fn faults_with(folder: &Path, name: &str, value: &Path) -> String {
    let output = looked(folder, name, value);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).expect("UTF-8").replace(&format!("{}/", folder.display()), "")
}

#[test]
fn an_embedding_model_that_is_named_wrongly() {
    let folder = study(&[("[\"rouge-l\"]\n\n[evaluation]\nmetrics = [\"rouge-l\"]", "[\"cosine\"]")]);
    let shown = faults_with(folder.path(), "TUTELAGE_EMBEDDING_MODEL", &folder.path().join("nowhere"));
    assert!(shown.contains("`nowhere` (TUTELAGE_EMBEDDING_MODEL) holds no embedding model"), "{shown}");
    assert!(shown.contains("help: correct or unset $TUTELAGE_EMBEDDING_MODEL"), "{shown}");
    assert!(!shown.contains("make setup"), "{shown}");
}

#[test]
fn tokenizers_of_one_vocabulary_may_end_answers_otherwise_but_not_cut_them() {
    let folder = study(&[
        ("a = { byte-level-bpe = { vocabulary = 512 } }", "a = { file = { path = \"a\" } }"),
        ("b = { unigram = { vocabulary = 512 } }", "b = { file = { path = \"b\" } }"),
        ("teacher = [\"large\"]", "teacher = [\"foreign\"]"),
    ]);
    for name in ["a", "b"] {
        copy(&fixture("data/llama"), &folder.path().join(name));
    }
    let config = folder.path().join("b/tokenizer_config.json");
    let written = fs::read_to_string(&config).expect("a file");
    fs::write(&config, written.replace("\"eos_token\":\"</s>\"", "\"eos_token\":\"<s>\"")).expect("a file");
    let checked = checked(folder.path()).unwrap_or_else(|faults| panic!("{faults}"));
    let note = "`small` ends answers with `</s>`, `foreign` with `<s>`";
    assert!(checked.notes.iter().any(|told| told.starts_with(note)), "{:?}", checked.notes);
    fs::write(&config, written.replace("LlamaTokenizer", "PreTrainedTokenizerFast")).expect("a file");
    let shown = faults(folder.path());
    assert!(shown.contains("`small` and `foreign` have the same tokens but cut \""), "{shown}");
}

#[test]
fn an_embedding_model_is_needed_where_a_set_asks_for_cosine() {
    let asking = |set: &str| {
        let set = format!("[\"rouge-l\"]\n[evaluation.asked]\ndata = \"glossary\"\nmetrics = {set}");
        study(&[("[\"rouge-l\"]\n\n[evaluation]\nmetrics = [\"rouge-l\"]", &set)])
    };
    let check = |folder: &TempDir| {
        Command::new(env!("CARGO_BIN_EXE_tutelage"))
            .args(["check", "study.toml"])
            .current_dir(folder.path())
            .env("TUTELAGE_EMBEDDING_MODEL", folder.path().join("nowhere"))
            .output()
            .expect("the binary runs")
    };
    // What every set says itself is not asked for by default.
    let output = check(&asking("[\"rouge-l\"]"));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let output = check(&asking("[\"rouge-l\", \"cosine\"]"));
    let shown = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    let place = "metrics = [\"rouge-l\", \"cosine\"]\n   |                       ^^^^^^^^\n";
    assert!(shown.contains("`cosine` needs an embedding model: ") && shown.contains(place), "{shown}");
    assert!(shown.contains("or leave `cosine` out of `evaluation.asked.metrics`"), "{shown}");
}

#[test]
fn what_adapters_name_is_looked_for_in_the_models() {
    let shown = |tuning: &str| {
        let tuning = format!("[tuning.lora]\n{tuning}\n[[hypotheses]]");
        let narrow = ("heads = 2, feed-forward = 64", "heads = 2, kv-heads = 1, feed-forward = 64");
        faults(study(&[narrow, ("[[hypotheses]]", &tuning)]).path())
    };
    assert_snapshot!(shown("target-modules = \"c_attn\""), @r#"
error: `small`, `large`: no projection of a llama is named `c_attn`, expected one of `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`, `up_proj`, `down_proj`
  --> study.toml:28:18
   |
28 | target-modules = "c_attn"
   |                  ^^^^^^^^
   |
   = help: words for several (`attention-qv`, `attention`, `mlp`, `all-linear`) mean the same in every family

1 fault in `study.toml`
"#);
    assert_snapshot!(shown("target-modules = '.*\\.7\\..*'"), @r"
error: `small`, `large`: no projection of a llama is named `.*\.7\..*`, expected one of `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`, `up_proj`, `down_proj`
  --> study.toml:28:18
   |
28 | target-modules = '.*\.7\..*'
   |                  ^^^^^^^^^^^
   |
   = help: words for several (`attention-qv`, `attention`, `mlp`, `all-linear`) mean the same in every family

1 fault in `study.toml`
");
    assert_snapshot!(shown("modules-to-save = \"lm_head\""), @r#"
error: `small`, `large`: no module beside the layers of a llama is named `lm_head`, expected one of `embed_tokens`, `norm`; its head is the embedding
  --> study.toml:28:19
   |
28 | modules-to-save = "lm_head"
   |                   ^^^^^^^^^
   |
   = help: embedding, head and last norm can be trained as a whole

1 fault in `study.toml`
"#);
    assert_snapshot!(shown("rank = 20\ninitialisation = \"olora\"\ntarget-modules = [\"q_proj\", \"k_proj\"]"), @r"
error: `small`: `model.layers.0.self_attn.k_proj` of 16 x 32 numbers has no part of rank 20, expected at most 16
  --> study.toml:28:8
   |
28 | rank = 20
   |        ^^
   |
   = help: choose a lower rank, or leave the narrow projections out of `target-modules`

1 fault in `study.toml`
");
}

#[test]
fn templates_that_are_none_are_told_before_anything_runs() {
    let shown = |template: &str| {
        let with = format!("importer = \"glossary\"\ntemplate = {template}");
        faults(study(&[("importer = \"glossary\"", &with)]).path())
    };
    assert_snapshot!(shown("{ own = { prompt = \"Q: {{ question\" } }"), @r#"
error: `template.own.prompt` cannot be read: unexpected end of input, expected end of variable block (line 1)
 --> study.toml:7:31
  |
7 | template = { own = { prompt = "Q: {{ question" } }
  |                               ^^^^^^^^^^^^^^^^
  |
  = help: it is Jinja with `question`, `context`, `answer`, `options`, `turns` (of `role` and `content`) and `fields`

1 fault in `study.toml`
"#);
    assert_snapshot!(shown("{ own = { prompt = \"Q: {{ question }}\", response = \"{% if %}\" } }"), @r#"
error: `template.own.response` cannot be read: unexpected end of block (line 1)
 --> study.toml:7:63
  |
7 | template = { own = { prompt = "Q: {{ question }}", response = "{% if %}" } }
  |                                                               ^^^^^^^^^^
  |
  = help: it is Jinja with `question`, `context`, `answer`, `options`, `turns` (of `role` and `content`) and `fields`

1 fault in `study.toml`
"#);
    assert_snapshot!(shown("\"chat\""), @r#"
error: `large` has no chat template
 --> study.toml:7:12
  |
7 | template = "chat"
  |            ^^^^^^
  |
  = help: leave `template` out, or choose models that were tuned to chat

error: `small` has no chat template
 --> study.toml:7:12
  |
7 | template = "chat"
  |            ^^^^^^
  |
  = help: leave `template` out, or choose models that were tuned to chat

2 faults in `study.toml`
"#);
}
