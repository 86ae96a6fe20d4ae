//! Finished models as folders that others open.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use insta::{assert_snapshot, with_settings};
use serde_json::Value;
use tch::Device;
use tutelage::device::Seed;
use tutelage::experiment::settings::{BaseFormat, Lora};
use tutelage::models::decoder::Decoder;
use tutelage::models::weights::Checkpoint;
use tutelage::tuning::{lora, peft};

use super::{checkpoint, tutelage, write};

/// Writes adapters that change what the model computes.
fn adapter(model: &Path, folder: PathBuf, settings: &Lora, seed: u64) {
    let mut decoder = Decoder::load(model, tch::Kind::Float, Device::Cpu).unwrap();
    lora::attach(&mut decoder, settings, Seed(seed));
    for (_, linear) in lora::adapted(&mut decoder, settings) {
        let adapter = linear.adapter.as_mut().unwrap();
        adapter.up = Seed(seed).stream("up", 0).uniform(&adapter.up.size(), 0.5);
        if let Some(lengths) = &mut adapter.lengths {
            lengths.learned = &lengths.learned * 1.3;
        }
    }
    fs::create_dir(&folder).unwrap();
    peft::save(&mut decoder, settings, "base", &folder).unwrap();
}

/// A model with adapters of every kind beside it.
fn models() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    checkpoint(&at.join("model"));
    let plain = Lora { rank: 2, alpha: 4.0, ..Lora::default() };
    let all = vec!["all-linear".to_owned()];
    adapter(&at.join("model"), at.join("lora"), &plain, 1);
    adapter(&at.join("model"), at.join("second"), &plain, 2);
    let dora = Lora { dora: true, rslora: true, target_modules: all.clone(), ..plain.clone() };
    adapter(&at.join("model"), at.join("dora"), &dora, 3);
    let saved = Lora { modules_to_save: vec!["embed_tokens".to_owned()], ..plain.clone() };
    adapter(&at.join("model"), at.join("saved"), &saved, 4);
    let four = Lora { base: BaseFormat::Nf4, target_modules: all, ..plain };
    adapter(&at.join("model"), at.join("four"), &four, 5);
    folder
}

fn export(at: &Path, more: &[&str]) -> String {
    tutelage(at, &[&["export", "--threads", "1"], more].concat())
}

/// Exports and returns the outcome.
fn outcome(at: &Path, more: &[&str]) -> Value {
    let shown = export(at, &[more, &["--format", "json", "--quiet"]].concat());
    let (status, rest) = shown.split_once("\n--- stdout\n").unwrap();
    assert_eq!(status, "exit 0", "{rest}");
    serde_json::from_str(rest.split_once("--- stderr").unwrap().0).unwrap()
}

fn number(outcome: &Value, name: &str) -> f64 {
    outcome["difference"][name].as_f64().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn whatever_adapters_there_are_what_is_written_computes_the_same() {
    let folder = models();
    let at = folder.path();
    for (output, adapters) in [
        ("none", vec![]),
        ("plain", vec!["lora"]),
        ("stacked", vec!["lora", "second"]),
        ("d", vec!["dora"]),
        ("s", vec!["saved"]),
    ] {
        let named: Vec<&str> = adapters.iter().flat_map(|adapter| ["--adapter", adapter]).collect();
        let outcome = outcome(at, &[&["--model", "model", "--output", output], named.as_slice()].concat());
        assert!(number(&outcome, "largest") < 1e-4, "{output}: {outcome:#}");
        assert!(number(&outcome, "divergence_nats") < 1e-8, "{output}: {outcome:#}");
        assert_eq!((number(&outcome, "same_likeliest"), number(&outcome, "tokens")), (1.0, 512.0), "{output}");
        assert_eq!(outcome["merge"]["adapters"], adapters.len());
        assert_eq!(outcome["merge"]["base"], if adapters.is_empty() { Value::Null } else { "full".into() });
        let files = [
            "README.md",
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer_config.json",
        ];
        assert_eq!(names(&at.join(output)), files);
    }
    // The adapters do change the model: the first alone is not both.
    let weights = |output: &str| Checkpoint::open(&at.join(output)).unwrap();
    let of = |output: &str| {
        let name = "model.layers.0.self_attn.q_proj.weight";
        weights(output).read(name, tch::Kind::Float, Device::Cpu).unwrap().unwrap()
    };
    for (one, other) in [("none", "plain"), ("plain", "stacked"), ("none", "d")] {
        assert!((of(one) - of(other)).abs().max().double_value(&[]) > 1e-3, "{one} {other}");
    }
}

#[test]
fn halves_are_told_by_the_difference_and_in_the_configuration() {
    let folder = models();
    let at = folder.path();
    let bytes = |output: &str| fs::metadata(at.join(output).join("model.safetensors")).unwrap().len();
    let full = outcome(at, &["--model", "model", "--adapter", "lora", "--output", "f32"]);
    let mut differences = vec![number(&full, "largest")];
    for (dtype, long) in [("f16", "float16"), ("bf16", "bfloat16")] {
        let outcome = outcome(at, &["--model", "model", "--adapter", "lora", "--output", dtype, "--dtype", dtype]);
        differences.push(number(&outcome, "largest"));
        assert_eq!(outcome["numbers"], dtype);
        let text = fs::read_to_string(at.join(dtype).join("config.json")).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(config["torch_dtype"], long);
        assert!(bytes(dtype) < bytes("f32") * 6 / 10);
    }
    assert!(differences.is_sorted() && differences[1] > 1e-6 && differences[2] < 0.1, "{differences:?}");
}

#[test]
fn adapters_of_a_base_in_four_bits_ask_which_base() {
    let folder = models();
    let at = folder.path();
    assert_snapshot!(export(at, &["--model", "model", "--adapter", "four", "--output", "out"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: the adapters were trained on a base in nf4 with double quantisation: there are two bases to add them to
    hint: `--base dequantised` adds them to what its codes stand for: the model computes what it did in training
    hint: `--base full` adds them to the base's own weights, which they never saw in training: what they learned to make up for is not there; often done, because it is one model with the published base
    ");
    let of = |base: &str| outcome(at, &["--model", "model", "--adapter", "four", "--output", base, "--base", base]);
    let (dequantised, full) = (of("dequantised"), of("full"));
    assert!(number(&dequantised, "largest") < 1e-4, "{dequantised:#}");
    assert!(number(&full, "largest") > 1e-2, "{full:#}");
    assert_eq!(full["merge"]["trained_on"], "nf4 with double quantisation");
    assert_eq!((&full["merge"]["base"], &dequantised["merge"]["base"]), (&"full".into(), &"dequantised".into()));
    let card = fs::read_to_string(at.join("full/README.md")).unwrap();
    let said =
        "trained on a base in nf4 with double quantisation and added to the base's own weights, which are others";
    assert!(card.contains(said), "{card}");
}

#[test]
fn what_cannot_be_exported_comes_with_a_remedy() {
    let folder = models();
    let at = folder.path();
    fs::create_dir(at.join("theirs")).unwrap();
    write(at, "theirs/notes.txt", "mine");
    assert_snapshot!(export(at, &["--model", "model", "--output", "theirs"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `theirs` is there and not empty: it is not overwritten
    hint: name another folder, or remove this one
    ");
    assert_snapshot!(export(at, &["--model", "hf:org/none", "--output", "out"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `hf:org/none` is not in the local hub cache
    hint: `tutelage fetch hf:org/none` downloads it
    ");
    assert_snapshot!(export(at, &["--model", "model", "--output", "out", "--as", "gguf-f16", "--dtype", "bf16"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `--dtype` is for safetensors
    hint: leave it out: `--as` names the format of a GGUF file
    ");
    assert_snapshot!(export(at, &["--model", "model", "--output", "out", "--base", "full"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `--base full` is given, but there are no adapters
    hint: leave it out: the model is written as it is
    ");
    let missing = export(at, &["--model", "nowhere", "--output", "out"]);
    assert!(missing.starts_with("exit 2") && missing.contains("cannot read `nowhere/config.json`"), "{missing}");
    let alone = export(at, &["--model", "lora", "--output", "out"]);
    assert!(alone.contains("`lora` holds an adapter, no model"), "{alone}");
    // Numbers that a format does not hold are told, and nothing is left.
    let config = fs::read_to_string(at.join("model/config.json")).unwrap();
    let mut decoder = Decoder::load(&at.join("model"), tch::Kind::Float, Device::Cpu).unwrap();
    decoder.norm.weight = &decoder.norm.weight * 1e6;
    decoder.save(&at.join("model")).unwrap();
    assert_eq!(fs::read_to_string(at.join("model/config.json")).unwrap(), config);
    assert_snapshot!(export(at, &["--model", "model", "--output", "out", "--dtype", "f16", "--quiet"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `model.norm.weight` holds 16 numbers beyond the range of f16
    hint: `--dtype bf16` has the range of f32
    ");
    assert!(!names(at).iter().any(|name| name.starts_with(".exporting") || name == "out"), "{:?}", names(at));
}

#[test]
fn the_card_says_what_is_known_and_what_is_not() {
    let folder = models();
    let at = folder.path();
    write(at, "model/README.md", "---\nlicense: other\nlicense_name: telco\nlanguage:\n- en\n---\n# Base\n");
    write(at, "model/LICENSE.txt", "You may look at it.");
    write(at, "texts.txt", "What is a cell?\nThe terminal");
    export(at, &["--model", "model", "--adapter", "lora", "--output", "out", "--texts", "texts.txt"]);
    let card = fs::read_to_string(at.join("out/README.md")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    with_settings!({filters => vec![
        (r"\| [0-9.e-]+ \| [0-9.e-]+ \| [0-9.e-]+ nats \|", "| LARGEST | MEAN | KL nats |"),
        (version, "VERSION"),
    ]}, {
        assert_snapshot!(card, @r##"
        ---
        library_name: transformers
        pipeline_tag: text-generation
        license: "other"
        license_name: "telco"
        language:
        - "en"
        tags:
        - "tutelage"
        - "lora"
        ---

        # out

        A `llama` model of 9,008 parameters, written by Tutelage VERSION as safetensors in f32.

        - Trained from: model

        ## Data

        Not known: the model was exported without the study that made it.

        ## Training

        Not known: the model was exported without the study that made it.

        ## Energy of training

        Not known: the model was exported without the study that made it.

        ## Metrics

        Not measured.

        ## Merge and difference of logits

        The adapter was added to the base's weights in f32. Base of the merge: full.

        What was written was read back from the disk and compared with what was trained (adapters beside the base), both computed in f32, on the first 2 texts of \`texts.txt\`, at most 64 tokens of each (11 tokens):

        | largest absolute difference of a logit | mean | mean KL(trained, written) | same likeliest token |
        |---|---|---|---|
        | LARGEST | MEAN | KL nats | 100 % of tokens |

        ## Licence

        Licence of the base: other, telco (by \`README.md\` of the base). Passed on: LICENSE.txt.

        ## Use

        In the folder of out:

        ```python
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = AutoModelForCausalLM.from_pretrained(".", dtype="auto")
        tokenizer = AutoTokenizer.from_pretrained(".")
        prompt = tokenizer("What is a cell?", return_tensors="pt")
        print(tokenizer.decode(model.generate(**prompt, max_new_tokens=64)[0]))
        ```
        "##);
    });
    assert_eq!(fs::read_to_string(at.join("out/LICENSE.txt")).unwrap(), "You may look at it.");
}

#[test]
fn a_killed_export_leaves_nothing_that_looks_finished() {
    let folder = models();
    let at = folder.path();
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_tutelage"))
            .args(["export", "--model", "model", "--adapter", "lora", "--output", "out", "--threads", "1"])
            .current_dir(at)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs")
    };
    for milliseconds in [20, 60, 120, 200, 300] {
        let mut child = start();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        if at.join("out").exists() {
            // It was faster: the folder is whole then.
            assert!(at.join("out/README.md").exists() && at.join("out/model.safetensors").exists());
            fs::remove_dir_all(at.join("out")).unwrap();
        }
    }
    assert!(start().wait().unwrap().success());
    let left: Vec<String> = names(at).into_iter().filter(|name| name.starts_with('.')).collect();
    assert_eq!(left, Vec::<String>::new());
    assert!(at.join("out/README.md").exists());
}

#[test]
fn weights_in_few_bits_are_read_back_as_their_codes_say() {
    let folder = models();
    let at = folder.path();
    let config = |folder: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(at.join(folder).join("config.json")).unwrap()).unwrap()
    };
    let mut differences = Vec::new();
    for (format, key) in [("int8", "load_in_8bit"), ("nf4", "load_in_4bit"), ("fp4", "load_in_4bit")] {
        let arguments = ["--model", "model", "--adapter", "lora", "--output", format, "--quantize", format];
        let written = outcome(at, &arguments);
        assert_eq!((&written["numbers"], &written["quantised"]), (&format.into(), &true.into()));
        differences.push(number(&written, "largest"));
        assert_eq!(config(format)["quantization_config"][key], true);
        // Its codes are the model: written out in f32, it computes the same.
        let again = format!("{format}-f32");
        let plain = outcome(at, &["--model", format, "--output", &again]);
        assert!(number(&plain, "largest") < 1e-4, "{plain:#}");
        assert_eq!(config(&again)["quantization_config"], Value::Null);
    }
    assert!(differences[0] > 1e-6 && differences[0] < differences[1], "{differences:?}");
    for (wrong, said) in [
        (&["--quantize", "nf4", "--as", "gguf-f16"][..], "`--quantize` is for safetensors"),
        (&["--quantize", "int8", "--double-quantisation"], "`--double-quantisation` is for four bits"),
    ] {
        let told = export(at, &[&["--model", "model", "--output", "out"], wrong].concat());
        assert!(told.starts_with("exit 2") && told.contains(said), "{told}");
    }
}

#[test]
fn a_gguf_file_is_read_back_with_the_logits_of_its_numbers() {
    let folder = models();
    let at = folder.path();
    for (form, file, most) in [("gguf-f16", "model-f16.gguf", 0.01), ("gguf-q8-0", "model-q8_0.gguf", 0.2)] {
        let outcome = outcome(at, &["--model", "model", "--adapter", "lora", "--output", form, "--as", form]);
        let largest = number(&outcome, "largest");
        assert!(largest > 1e-6 && largest < most, "{form}: {largest}");
        assert_eq!(names(&at.join(form)), ["README.md", file]);
        let bytes = fs::read(at.join(form).join(file)).unwrap();
        assert_eq!(&bytes[..8], b"GGUF\x03\0\0\0");
        let again = outcome_of(at, form);
        assert_eq!(fs::read(again.join(file)).unwrap(), bytes, "the same bytes every time");
        let card = fs::read_to_string(at.join(form).join("README.md")).unwrap();
        assert!(card.contains("library_name: gguf") && card.contains(&format!("llama-cli -m {file}")), "{card}");
    }
    let config = fs::read_to_string(at.join("model/config.json")).unwrap();
    write(at, "model/config.json", &config.replace("\"model_type\": \"llama\"", "\"model_type\": \"olmo2\""));
    assert_snapshot!(export(at, &["--model", "model", "--output", "out", "--as", "gguf-f16", "--quiet"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: a `olmo2` is not written as GGUF, but `gemma2`, `gemma3_text`, `gpt2`, `llama`, `mistral`, `phi3`, `qwen2`, `qwen3` are
    hint: `--as safetensors`
    ");
}

/// Exports once more, and returns the folder.
fn outcome_of(at: &Path, form: &str) -> PathBuf {
    // Its title is in the file, and is the name of the folder.
    let output = format!("again/{form}");
    outcome(at, &["--model", "model", "--adapter", "lora", "--output", &output, "--as", form]);
    at.join(output)
}

const STUDY: &str = r#"version = 1
question = "Does it run?"
seeds = [10]

[data.glossary]
importer = "glossary"
split = { group-by = "given" }
limit = 60

[tokenizers.bpe.byte-level-bpe]
vocabulary = 600

[models.small.scratch]
tokenizer = "bpe"
hidden = 16
layers = 1
heads = 2
feed-forward = 32

[models.big.scratch]
tokenizer = "bpe"
hidden = 32
layers = 1
heads = 2
feed-forward = 64

[factors]
student = ["small"]
teacher = ["big"]
algorithm = ["kd"]

[algorithms.kd.vanilla]

[training.pretrain]
epochs = 0.2
[training.distill]
epochs = 0.2

[evaluation]
metrics = ["token-f1"]
max-new-tokens = 4
limit = 10

[compute]
device = "cpu"
precision = "f32"
threads = 1
"#;

#[test]
fn an_arm_of_a_study_tells_what_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "study.toml", STUDY);
    let early = export(at, &["study.toml", "--arm", "kd", "--output", "out", "--quiet"]);
    assert!(early.contains("is not done\nhint: `tutelage run` computes what is missing"), "{early}");
    let ran = tutelage(at, &["run", "study.toml", "--quiet"]);
    assert!(ran.starts_with("exit 0"), "{ran}");
    let arms = export(at, &["study.toml", "--arm", "none", "--output", "out", "--quiet"]);
    let listed = "error: `study` has no arm `none`\nhint: it has `kd`, `teacher big`, `student small`";
    assert!(arms.contains(listed), "{arms}");
    let seeds = export(at, &["study.toml", "--arm", "kd", "--seed", "7", "--output", "out", "--quiet"]);
    assert!(seeds.contains("error: `kd` has no seed 7\nhint: it has 10"), "{seeds}");

    let outcome = outcome(at, &["study.toml", "--arm", "kd", "--output", "out"]);
    assert!(number(&outcome, "largest") < 1e-5, "{outcome:#}");
    let rows = outcome["difference"]["rows_of"].as_str().unwrap();
    assert_eq!(rows, "the first 8 rows of the test split of `glossary`, at most 64 tokens of each");
    let card = fs::read_to_string(at.join("out/README.md")).unwrap();
    for said in [
        "datasets:\n- \"glossary\"\n",
        "- \"knowledge-distillation\"",
        "- question: Does it run?",
        "- seed: 10 of 10",
        "- teacher: big",
        "- glossary (learned): rows in train",
        "licence: not stated by the experiment",
        "1. pretrain, seed 10\n   - steps: ",
        "2. distill, seed 10\n   - steps: ",
        "Sum of these steps: ",
        "| token-f1 | fraction | higher | ",
        "95 % interval of the mean",
        "one seed says nothing about training again",
        "There is no base: the model was trained from nothing. No licence is stated.",
    ] {
        assert!(card.contains(said), "`{said}` is not in\n{card}");
    }
    // What is damaged is not passed on.
    let outputs = at.join("runs/stages/distill");
    let stage = fs::read_dir(outputs).unwrap().next().unwrap().unwrap().path();
    let weights = stage.join("output/model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    let damaged = export(at, &["study.toml", "--arm", "kd", "--output", "other", "--quiet"]);
    assert!(
        damaged.contains("are damaged: output/model.safetensors\nhint: `tutelage run` makes them again"),
        "{damaged}"
    );
    assert!(!at.join("other").exists());
}
