//! `check`, `plan`, `status`, `report` and `doctor` on a small experiment.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use insta::{assert_snapshot, with_settings};

use super::{checkpoint, tutelage, write};
use crate::fixtures::{self, copy};

const STUDY: &str = r#"version = 1
question = "Does it run?"
seeds = [10]

[data.glossary]
importer = "glossary"
split = { group-by = "given" }

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
sft = ["none", "both"]
algorithm = ["kd"]

[algorithms.kd.vanilla]

[evaluation]
metrics = ["rouge-l", "token-f1", "nll"]

[compute]
device = "cpu"
precision = "f32"
"#;

fn study(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "study.toml", text);
    folder
}

fn json(folder: &tempfile::TempDir, arguments: &[&str]) -> serde_json::Value {
    let text = tutelage(folder.path(), &[arguments, &["--format", "json"]].concat());
    let (_, rest) = text.split_once("--- stdout\n").unwrap();
    let (stdout, _) = rest.split_once("--- stderr\n").unwrap();
    serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_sound_study_has_no_faults() {
    assert_snapshot!(tutelage(study(STUDY).path(), &["check", "study.toml"]), @r"
    exit 0
    --- stdout
    study: no faults; arms: 2, seeds: 1
    --- stderr
    ");
}

#[test]
fn every_fault_is_shown_at_once() {
    let text = STUDY.replace("layers = 1\nheads = 2\nfeed-forward = 64", "layer = 1\nheads = 2\nfeed-forward = 64");
    let text = text.replace("teacher = [\"big\"]", "teacher = [\"huge\"]");
    let shown = tutelage(study(&text).path(), &["check", "study.toml"]);
    assert!(shown.starts_with("exit 1\n--- stdout\n--- stderr\n"), "{shown}");
    assert!(shown.contains("`layer`") && shown.contains("`huge`"), "{shown}");
    assert!(shown.contains("study.toml:22:1"), "{shown}");
}

#[test]
fn faults_are_json_for_programs() {
    let folder = study(&STUDY.replace("teacher = [\"big\"]", "teacher = [\"huge\"]"));
    let faults = json(&folder, &["run", "study.toml"]);
    assert_eq!(faults["faults"].as_array().map(Vec::len), Some(1));
    assert!(!folder.path().join("runs").exists(), "nothing was written");
}

#[test]
fn a_damaged_data_file_is_a_fault_before_anything_runs() {
    let text = STUDY.replace(
        "importer = \"glossary\"\nsplit = { group-by = \"given\" }",
        "importer = \"jsonl\"\npath = \"qa.jsonl\"",
    );
    let folder = study(&text);
    write(
        folder.path(),
        "qa.jsonl",
        "{\"id\": \"1\", \"question\": \"q?\", \"answer\": \"a\"}\n{\"id\": \"2\", \"quest\n",
    );
    let shown = tutelage(folder.path(), &["check", "study.toml"]);
    assert!(shown.starts_with("exit 1\n") && shown.contains("qa.jsonl"), "{shown}");
}

#[test]
fn a_misspelt_context_is_not_a_closed_book() {
    let text = STUDY.replace(
        "importer = \"glossary\"\nsplit = { group-by = \"given\" }",
        "importer = \"jsonl\"\npath = \"qa.jsonl\"",
    );
    let folder = study(&text);
    let row = |id: usize, rest: &str| format!("{{\"id\": {id}, \"question\": \"q{id}?\", \"answer\": \"a\"{rest}}}\n");
    let rows = |rest: &str| (0..60).map(|id| row(id, rest)).collect::<String>();
    write(folder.path(), "qa.jsonl", &rows(", \"contexts\": \"c\""));
    let shown = tutelage(folder.path(), &["check", "study.toml"]);
    assert!(shown.contains("row 1, line 1, field `contexts` is not read, and there is no `context`"), "{shown}");
    let with_contexts = (0..60).map(|id| row(id, &format!(", \"context\": \"c{id}\""))).collect();
    for rows in [rows(""), with_contexts] {
        write(folder.path(), "qa.jsonl", &rows);
        let shown = tutelage(folder.path(), &["check", "study.toml"]);
        assert!(shown.starts_with("exit 0\n"), "{shown}");
    }
}

#[test]
fn a_plan_lists_every_stage_with_its_cost() {
    let plan = json(&study(STUDY), &["plan", "study.toml"]);
    let stages = plan["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 22);
    for stage in stages {
        assert_eq!(stage["state"], "missing");
        assert!(stage["estimate"]["seconds"].is_number(), "{stage}");
    }
    assert_eq!(plan["remaining"]["stages"], 22);
    assert_eq!(plan["remaining"]["unknown"], 0);
}

#[test]
fn another_machine_is_planned_without_measuring_this_one() {
    // The experiment asks for a CPU in f32: the format is kept, the device is not.
    let folder = study(STUDY);
    let plan = json(&folder, &["plan", "study.toml", "--on", "h100"]);
    assert_eq!((&plan["on"]["name"], &plan["on"]["title"]), (&"h100".into(), &"NVIDIA H100 SXM 80 GB".into()));
    assert_eq!((&plan["jobs"], &plan["remaining"]["stages"]), (&1.into(), &22.into()));
    assert!(plan["remaining"]["kilowatt_hours"].as_f64() > Some(0.0), "{plan}");
    assert!(plan["misfits"].is_null(), "{plan}");
    let shown = tutelage(folder.path(), &["plan", "study.toml", "--on", "h100"]);
    for told in [
        "--- stdout\nplanned for `h100`: NVIDIA H100 SXM 80 GB\n",
        "estimate: planned for NVIDIA H100 SXM 80 GB, one stage at a time in f32, not for this machine\n",
        "estimate: peak 67.0 TFLOP/s, 3350 GB/s, 700 W: NVIDIA H100 Tensor Core GPU data sheet, SXM",
        "note: `compute.device` is `cpu`; planned for NVIDIA H100 SXM 80 GB all the same\n",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    assert!(!shown.contains("GFLOP/s"), "nothing is measured: {shown}");
    // A GPU that is asked for need not be here.
    let folder = study(&STUDY.replace("device = \"cpu\"", "device = \"cuda\"").replace("\"f32\"", "\"auto\""));
    let plan = json(&folder, &["plan", "study.toml", "--on", "a100-40gb"]);
    assert!(plan["basis"][1].as_str().unwrap().contains("one stage at a time in bf16"), "{plan}");
    assert!(!folder.path().join("runs").exists(), "nothing was written");
}

#[test]
fn a_stage_that_is_too_large_for_a_machine_is_told_with_what_it_needs() {
    let text = STUDY.replace(
        "hidden = 32\nlayers = 1\nheads = 2\nfeed-forward = 64",
        "hidden = 4096\nlayers = 32\nheads = 32\nfeed-forward = 11008",
    );
    let shown = tutelage(study(&text).path(), &["plan", "study.toml", "--on", "a100-40gb"]);
    let told = "does not fit: `pretrain big` needs ~";
    let line = shown.lines().find(|line| line.starts_with(told)).unwrap_or_else(|| panic!("{shown}"));
    assert!(
        line.contains(" of it whatever the batch, and there are 40.0 GB; train adapters (`[tuning.lora]`)"),
        "{line}"
    );
    // A model of 7 billion parameters in f32 is read all the same.
    assert!(!shown.contains("does not fit: `capture big`"), "{shown}");
}

#[test]
fn an_unknown_machine_is_told_those_that_can_be_planned_for() {
    assert_snapshot!(tutelage(study(STUDY).path(), &["plan", "study.toml", "--on", "h1000"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: invalid value 'h1000' for '--on <NAME>'
      [possible values: h100, h200, a100-40gb, a100-80gb, rtx-4090, l40s, cpu-64]

      tip: a similar value exists: 'h100'

    For more information, try '--help'.
    ");
}

#[test]
fn a_checkpoint_that_is_not_here_can_be_planned() {
    let text = STUDY.replace(
        "[models.big.scratch]\ntokenizer = \"bpe\"\nhidden = 32\nlayers = 1\nheads = 2\nfeed-forward = 64",
        "[models.big]\ncheckpoint = \"hf:nobody/nothing\"",
    );
    let text = text.replace("[algorithms.kd.vanilla]", "[algorithms.kd.vanilla]\nalignment = \"uld\"");
    let folder = study(&text);
    let plan = json(&folder, &["plan", "study.toml"]);
    assert_eq!(plan["remaining"]["stages"], 21);
    assert!(plan["remaining"]["unknown"].as_u64() > Some(0), "{plan}");
}

#[test]
fn status_and_report_say_what_is_missing() {
    let folder = study(STUDY);
    assert_snapshot!(tutelage(folder.path(), &["status", "study.toml"]), @r"
    exit 1
    --- stdout
    study: 0 of 22 stages done
    prepare   2 missing
    pretrain  2 missing
    sft       2 missing
    capture   2 missing
    distill   2 missing
    generate  6 missing
    score     6 missing
    --- stderr
    note: there is no store at `runs` yet
    ");
    assert_snapshot!(tutelage(folder.path(), &["report", "study.toml"]), @r"
    exit 1
    --- stdout
    --- stderr
    note: there is no store at `runs` yet
    error: nothing of `study` is scored yet
    hint: `tutelage run` computes what is missing
    ");
    assert_eq!(json(&folder, &["report", "study.toml"]), serde_json::Value::Null);
    assert!(!folder.path().join("runs").exists(), "looking wrote nothing");
}

#[test]
fn a_mistake_in_the_data_is_told_once() {
    let data = "importer = \"glossary\"\nsplit = { group-by = \"given\" }";
    for (wrong, key) in [
        ("importer = \"telequad\"", "data.glossary.path"),
        ("importer = \"glossary\"\npath = \"study.toml\"", "data.glossary.path"),
        ("importer = \"glossary\"\nlimit = 0", "data.glossary.limit"),
        ("importer = \"glossary\"\nsplit = { train = 0.9, dev = 0.1, test = 0.0 }", "data.glossary.split"),
        ("importer = \"glossary\"\nsplit = { train = 0.9 }", "data.glossary.split"),
    ] {
        let folder = study(&STUDY.replace(data, wrong));
        let faults = json(&folder, &["check", "study.toml"]);
        let keys: Vec<&str> =
            faults["faults"].as_array().unwrap().iter().filter_map(|row| row["key"].as_str()).collect();
        assert_eq!(keys, [key], "{wrong}: {faults}");
    }
}

#[test]
fn what_a_configuration_says_and_nothing_computes_is_told() {
    let text = STUDY.replace(
        "[models.big.scratch]\ntokenizer = \"bpe\"\nhidden = 32\nlayers = 1\nheads = 2\nfeed-forward = 64",
        "[models.big]\ncheckpoint = \"big\"",
    );
    let folder = study(&text.replace("[algorithms.kd.vanilla]", "[algorithms.kd.vanilla]\nalignment = \"uld\""));
    checkpoint(&folder.path().join("big"));
    let path = folder.path().join("big/config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    (config["shine"], config["resid_pdrop"], config["use_cache"]) = (3.into(), 0.1.into(), true.into());
    write(folder.path(), "big/config.json", &config.to_string());
    let shown = tutelage(folder.path(), &["check", "study.toml"]);
    let notes: Vec<&str> = shown.lines().filter(|line| line.contains("config.json")).collect();
    assert_eq!(
        notes,
        [
            "note: `models.big`, its `config.json`: `resid_pdrop` is 0.1: training here drops out nothing but inputs of adapters",
            "note: `models.big`, its `config.json`: `shine` is not known here: what it changes, if anything, is not computed",
        ]
    );
}

#[test]
fn a_checkpoint_that_cannot_be_used_is_a_fault_before_anything_runs() {
    let text = STUDY.replace(
        "[models.big.scratch]\ntokenizer = \"bpe\"\nhidden = 32\nlayers = 1\nheads = 2\nfeed-forward = 64",
        "[models.big]\ncheckpoint = \"big\"",
    );
    let text = text.replace("[algorithms.kd.vanilla]", "[algorithms.kd.vanilla]\nalignment = \"uld\"");
    let folder = study(&text);
    std::fs::create_dir(folder.path().join("big")).unwrap();
    write(folder.path(), "big/config.json", "{\"model_type\": \"bloom\"}");
    write(folder.path(), "big/model.safetensors", "");
    write(folder.path(), "big/tokenizer.json", "version https://git-lfs.github.com/spec/v1\n");
    let shown = tutelage(folder.path(), &["check", "study.toml"]);
    assert!(shown.starts_with("exit 1\n") && shown.contains("`model_type` is `bloom`"), "{shown}");
    assert!(shown.contains("study.toml:20:14"), "{shown}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_result_that_cannot_be_written_is_an_error() {
    let folder = study(STUDY);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tutelage"))
        .args(["check", "study.toml"])
        .current_dir(folder.path())
        .stdout(full)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("cannot write the result to stdout"), "{told}");
}

/// A study that runs in seconds.
fn tiny() -> String {
    let text = STUDY.replace("sft = [\"none\", \"both\"]", "sft = [\"none\"]");
    let text = text.replace("group-by = \"given\" }", "group-by = \"given\" }\nlimit = 160");
    let text = text.replace("metrics = [\"rouge-l\", \"token-f1\", \"nll\"]", "metrics = [\"token-f1\", \"nll\"]");
    text.replace("[compute]", "max-new-tokens = 4\nlimit = 8\nshow = 1\n\n[compute]\nthreads = 1")
        + "\n[training]\npretrain.max-length = 64\nsft.max-length = 64\ndistill.max-length = 64\n"
}

fn start(folder: &Path, store: &str, jobs: &str) -> Child {
    start_with(folder, store, jobs, &["env"])
}

/// Starts a run by way of another program.
fn start_with(folder: &Path, store: &str, jobs: &str, by: &[&str]) -> Child {
    Command::new(by[0])
        .args(&by[1..])
        .arg(env!("CARGO_BIN_EXE_tutelage"))
        .args(["run", "study.toml", "--quiet", "--format", "json", "--store", store, "--jobs", jobs])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs")
}

/// Closes the terminal of a run, as it were, again and again until it ends.
fn hung_up(mut run: Child) -> Child {
    let name = format!("/proc/{}/comm", run.id());
    while run.try_wait().unwrap().is_none() {
        // Before, it is the shell that has yet to ignore the signal.
        if std::fs::read_to_string(&name).is_ok_and(|name| name.trim() == "tutelage") {
            let _ = Command::new("sh").args(["-c", &format!("kill -HUP {}", run.id())]).status();
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    run
}

/// Waits for a run to end well and returns its summary.
fn summary(run: Child) -> serde_json::Value {
    let output = run.wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

#[test]
fn two_processes_share_a_store_and_a_kill_changes_no_record() {
    let folder = study(&tiny());
    let stages = json(&folder, &["plan", "study.toml"])["stages"].as_array().unwrap().len() as u64;
    let both = [start(folder.path(), "shared", "1"), start(folder.path(), "shared", "1")].map(summary);
    let count = |key: &str| both.iter().filter_map(|summary| summary[key].as_u64()).sum::<u64>();
    // Each stage was computed by one of them and found by the other.
    assert_eq!((count("ran"), count("elsewhere") + count("reused")), (stages, stages), "{both:?}");

    // From a machine that would compute in another format, or has not the device that is asked for.
    for other in ["compute.precision=auto", "compute.device=cuda"] {
        let status = json(&folder, &["status", "study.toml", "--store", "shared", "--set", other]);
        assert_eq!(status["done"], stages, "{other}: {status}");
    }

    let mut killed = start(folder.path(), "alone", "1");
    let trained = folder.path().join("alone/stages/pretrain");
    while !trained.exists() && killed.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(10));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    summary(hung_up(start_with(folder.path(), "alone", "1", &["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\""])));
    let records = |store: &str| std::fs::read(folder.path().join(store).join("experiments/study/records.jsonl"));
    let records = [records("shared").unwrap(), records("alone").unwrap()];
    assert!(!records[0].is_empty());
    assert_eq!(records[0], records[1]);
}

#[test]
fn verify_finds_what_changed_without_a_trace() {
    let folder = study(&tiny());
    summary(start(folder.path(), "runs", "1"));
    let stages = std::fs::read_dir(folder.path().join("runs/stages/pretrain")).unwrap();
    let stage = stages.map(|stage| stage.unwrap().path()).find(|stage| stage.is_dir()).unwrap();
    let weights = stage.join("output/model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    let mut bytes = whole.clone();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    // As a disk would that loses a bit: the file is as it was when it was verified last.
    let verified = stage.join("verified");
    let mut seen: serde_json::Value = serde_json::from_slice(&std::fs::read(&verified).unwrap()).unwrap();
    let found = std::fs::metadata(&weights).unwrap();
    seen["files"]["output/model.safetensors"]["changed"] = serde_json::json!([found.ctime(), found.ctime_nsec()]);
    write(&stage, "verified", &seen.to_string());
    let ran = |more: &[&str]| json(&folder, &[&["run", "study.toml", "--jobs", "1"], more].concat())["ran"].clone();
    assert_eq!(ran(&[]), 0);
    assert_eq!(ran(&["--verify"]), 1);
    assert!(std::fs::read(&weights).unwrap() == whole, "the stage is made anew as it was");
}

#[test]
fn a_bench_refuses_an_end_that_the_teacher_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "qa.jsonl", "{\"id\": \"1\", \"question\": \"q?\", \"answer\": \"a\"}\n");
    for name in ["student", "teacher"] {
        copy(&fixtures::fixture("data/byte-level-bpe"), &at.join(name));
    }
    std::fs::copy(fixtures::model("llama").join("config.json"), at.join("teacher/config.json")).unwrap();
    let path = at.join("student/tokenizer_config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["eos_token"] = "<end>".into();
    config["added_tokens_decoder"]["400"] = serde_json::json!({"content": "<end>", "special": true});
    std::fs::write(path, config.to_string()).unwrap();
    let arguments = ["bench", "distill", "--model", "student", "--teacher", "teacher", "--importer", "jsonl"];
    let more = ["--data", "qa.jsonl", "--examples", "1", "--method", "kd"];
    assert_snapshot!(tutelage(at, &[&arguments[..], &more].concat()), @r"
    exit 2
    --- stdout
    --- stderr
    error: the student ends answers with `<end>`, which the teacher does not have: it ends them with `</s>`
    hint: name one `eos_token` in `tokenizer_config.json` of both models
    ");
}

/// Says whether a process that was started with `argument` is there.
fn is_running(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut commands = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    commands.any(|command| command.split(|byte| *byte == 0).any(|part| part == argument.as_bytes()))
}

#[test]
fn one_run_computes_several_stages_at_a_time_and_leaves_no_process_behind() {
    let folder = study(&tiny());
    let [mine, alone] = ["mine", "alone"].map(|name| folder.path().join(name).display().to_string());
    let stages = json(&folder, &["plan", "study.toml"])["stages"].as_array().unwrap().len() as u64;
    let mut killed = start(folder.path(), &mine, "3");
    while !folder.path().join("mine/stages/pretrain").exists() && killed.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(10));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    // Those that helped it find out by themselves.
    let patience = std::time::Instant::now();
    while is_running(&mine) {
        assert!(patience.elapsed() < Duration::from_secs(60), "a process goes on without its run");
        std::thread::sleep(Duration::from_millis(20));
    }
    let together = summary(start(folder.path(), &mine, "3"));
    let count = |key: &str| together[key].as_u64().unwrap();
    assert_eq!(count("ran") + count("elsewhere") + count("reused"), stages, "{together:?}");
    assert!(!is_running(&mine));

    let single = summary(start(folder.path(), &alone, "1"));
    assert_eq!(single["ran"].as_u64(), Some(stages));
    let records = |store: &str| std::fs::read(Path::new(store).join("experiments/study/records.jsonl")).unwrap();
    assert!(!records(&mine).is_empty());
    assert_eq!(records(&mine), records(&alone));
}

#[test]
fn stages_at_a_time_do_not_change_the_threads_of_a_stage() {
    let folder = study(STUDY);
    let shown = tutelage(folder.path(), &["run", "study.toml", "--jobs", "64"]);
    assert!(shown.starts_with("exit 2\n--- stdout\n--- stderr\nerror: "), "{shown}");
    assert!(shown.contains("hint:") && shown.contains("--set compute.threads="), "{shown}");
    assert!(!folder.path().join("runs").exists(), "nothing was written");
    // What threads a plan has is shown where they change.
    let keys = |threads: &str| {
        let set = format!("compute.threads={threads}");
        let plan = json(&folder, &["plan", "study.toml", "--set", &set, "--jobs", "2"]);
        plan["stages"].as_array().unwrap().iter().map(|stage| stage["key"].to_string()).collect::<Vec<_>>()
    };
    let (one, two) = (keys("1"), keys("2"));
    let alike = one.iter().zip(&two).filter(|(one, two)| one == two).count();
    assert_eq!(alike, 2, "data and tokenizer");
}

#[test]
fn a_store_that_cannot_be_made_is_an_error() {
    let folder = study(STUDY);
    write(folder.path(), "file", "");
    let shown = tutelage(folder.path(), &["run", "study.toml", "--store", "file/runs"]);
    with_settings!({filters => vec![(r"\(os error \d+\)", "(os error N)")]}, {
        assert_snapshot!(shown, @r"
        exit 2
        --- stdout
        --- stderr
        error: cannot open the store `file/runs`
          caused by: cannot write `file/runs/stages`
          caused by: Not a directory (os error N)
        ");
    });
}

#[test]
fn a_gpu_that_is_not_there_is_told_before_anything_is_written() {
    if ["/dev/nvidiactl", "/dev/dxg"].iter().any(|device| Path::new(device).exists()) {
        return;
    }
    let folder = study(STUDY);
    assert_snapshot!(tutelage(folder.path(), &["run", "study.toml", "--set", "compute.device=cuda"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `compute.device` is `cuda`, but no CUDA device is usable: no NVIDIA driver (/dev/nvidiactl is not there)
    hint: `--set compute.device=auto` computes on the CPU where there is no GPU; `tutelage doctor` says what is missing
    ");
    assert!(!folder.path().join("runs").exists(), "nothing was written");
}

#[test]
fn what_a_benchmark_cannot_use_comes_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixtures::model("llama");
    let bench = |data: &str, examples: &str| {
        let model = model.to_str().unwrap();
        let arguments =
            ["bench", "sft", "--model", model, "--importer", "jsonl", "--data", data, "--examples", examples];
        tutelage(folder.path(), &arguments).replace(model, "MODEL")
    };
    write(folder.path(), "qa.jsonl", "{\"id\": \"1\", \"question\": \"q?\", \"answer\": \"a\"}\n");
    with_settings!({filters => vec![(r"\(os error \d+\)", "(os error N)")]}, {
        assert_snapshot!(bench("absent.jsonl", "1"), @r"
        exit 2
        --- stdout
        --- stderr
        error: cannot read `absent.jsonl`: No such file or directory (os error N)
        hint: check `--data`; a relative path starts at the current folder
        ");
    });
    assert_snapshot!(bench("qa.jsonl", "2"), @r"
    exit 2
    --- stdout
    --- stderr
    error: `qa.jsonl` has 1 usable rows, expected at least 2
    hint: `--examples 1` takes them all
    ");
    let shown = bench("qa.jsonl", "1");
    assert!(shown.starts_with("exit 2\n--- stdout\n--- stderr\nerror: cannot read `MODEL/tokenizer.json`"), "{shown}");
    assert!(shown.contains("hint: name a `tokenizer.json` or the folder that holds it"), "{shown}");
}

#[test]
fn the_doctor_has_a_remedy_for_everything_that_is_missing() {
    let findings = json(&study(STUDY), &["doctor"]);
    let findings = findings.as_array().unwrap();
    let names: Vec<&str> = findings.iter().filter_map(|finding| finding["what"].as_str()).collect();
    for name in
        ["libtorch", "CUDA", "threads", "waiting threads", "NVML", "WordNet", "embedding model", "Slurm", "disk"]
    {
        assert!(names.contains(&name), "{name} is not examined: {names:?}");
    }
    for finding in findings.iter().filter(|finding| finding["state"] != "ok") {
        assert!(finding["remedy"].is_string(), "{finding}");
    }
}

#[test]
fn wrong_usage_ends_with_two() {
    let folder = study(STUDY);
    let bench = ["bench", "sft", "--model", "m", "--data", "d"];
    for arguments in [
        vec!["rum"],
        vec!["check", ""],
        [&bench[..], &["--batch-size", "0"]].concat(),
        [&bench[..], &["--threads", "0"]].concat(),
        [&bench[..], &["--lr", "nan"]].concat(),
    ] {
        let shown = tutelage(folder.path(), &arguments);
        assert!(shown.starts_with("exit 2\n--- stdout\n--- stderr\nerror: "), "{shown}");
    }
}
