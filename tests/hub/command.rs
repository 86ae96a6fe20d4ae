//! `tutelage fetch`, and `tutelage run` with a model of the hub.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use insta::assert_snapshot;

use super::server::{COMMIT, Server, Trouble, sha256};
use super::{cache, repository, weights};
use crate::cli::checkpoint;

fn command(server: &Server, cache: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tutelage"));
    command
        .args(arguments)
        .current_dir(cache)
        .stdin(Stdio::null())
        .env("NO_COLOR", "1")
        .env("HF_HUB_CACHE", cache)
        .env("HF_ENDPOINT", server.endpoint())
        .env("HF_TOKEN", "hf_secret")
        .env_remove("HF_HUB_OFFLINE");
    command
}

/// Shows exit code, stdout and stderr; addresses, folders and times by name.
fn shown(output: &Output, server: &Server, cache: &Path) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("output is UTF-8");
    let shown = format!(
        "exit {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().expect("it ends by itself"),
        text(&output.stdout),
        text(&output.stderr)
    );
    assert!(!shown.contains("hf_secret"), "{shown}");
    assert!(!shown.contains("signature"), "{shown}");
    let shown = shown.replace(&server.endpoint(), "HUB").replace(&cache.display().to_string(), "CACHE");
    // Lines of how far it is tell of time.
    let timeless = |line: &str| match line.split_once(" downloaded in ") {
        Some((before, _)) => format!("{before} downloaded in TIME\n"),
        None if line.contains("/s  ") && line.ends_with(" left") => String::new(),
        None => format!("{line}\n"),
    };
    shown.lines().map(timeless).collect()
}

fn tutelage(server: &Server, cache: &Path, arguments: &[&str]) -> String {
    let output = command(server, cache, arguments).output().expect("the binary runs");
    shown(&output, server, cache)
}

/// Fetches where files may have so many kilobytes.
pub(super) fn limited(server: &Server, cache: &Path, kilobytes: u64) -> String {
    let program = command(server, cache, &[]);
    let mut limited = Command::new("bash");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f \"$1\"; exec \"$0\" fetch hf:org/name"])
        .arg(program.get_program())
        .arg(kilobytes.to_string());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let output = limited.output().expect("bash runs");
    shown(&output, server, cache)
}

#[test]
fn a_model_is_fetched_once() {
    let (server, folder) = (repository(), cache());
    let fetch = || tutelage(&server, folder.path(), &["fetch", "hf:org/name"]);
    assert_snapshot!(fetch(), @r"
    exit 0
    --- stdout
    CACHE/models--org--name/snapshots/0123456789abcdef0123456789abcdef01234567
    --- stderr
    hf:org/name: 4 files, 701 kB, of commit 0123456789abcdef0123456789abcdef01234567; 701 kB to download
    hf:org/name: 701 kB downloaded in TIME
    ");
    let before = server.asked("").len();
    assert_snapshot!(fetch(), @r"
    exit 0
    --- stdout
    CACHE/models--org--name/snapshots/0123456789abcdef0123456789abcdef01234567
    --- stderr
    hf:org/name: is here
    ");
    assert_eq!(server.asked("").len(), before);
    // A branch may be something new.
    let updated =
        tutelage(&server, folder.path(), &["fetch", "hf:org/name", "--update", "--quiet", "--format", "json"]);
    assert!(updated.contains("\"downloaded_bytes\": 0") && updated.contains(COMMIT), "{updated}");
    assert!(server.asked("").len() > before);
}

#[test]
fn damaged_files_are_found_and_fetched_again() {
    let (server, folder) = (repository(), cache());
    tutelage(&server, folder.path(), &["fetch", "hf:org/name"]);
    let blob = folder.path().join("models--org--name/blobs").join(sha256(&weights()));
    let mut damaged = weights();
    damaged[5] ^= 1;
    fs::write(&blob, damaged).expect("a file");
    assert_snapshot!(tutelage(&server, folder.path(), &["fetch", "hf:org/name", "--verify"]), @r"
    exit 0
    --- stdout
    CACHE/models--org--name/snapshots/0123456789abcdef0123456789abcdef01234567
    --- stderr
    hf:org/name: `model.safetensors` is damaged and downloaded again
    hf:org/name: 4 files, 701 kB, of commit 0123456789abcdef0123456789abcdef01234567; 700 kB to download
    hf:org/name: 700 kB downloaded in TIME
    ");
    assert_eq!(fs::read(blob).expect("weights"), weights());
}

#[test]
fn errors_come_with_a_remedy_and_without_the_token() {
    let (server, folder) = (repository(), cache());
    server.fail("GET /api/models", &[Trouble::Status(401, vec![])]);
    assert_snapshot!(tutelage(&server, folder.path(), &["fetch", "hf:org/name"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: HUB refuses the token
    hint: make a new one at HUB/settings/tokens and set `HF_TOKEN` to it, or unset it
    ");
    assert_snapshot!(tutelage(&server, folder.path(), &["fetch", "hf:name"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: `hf:name` is no hub name
    hint: write `hf:organisation/model`, such as `hf:mistralai/Mistral-7B-v0.1`
    ");
}

#[test]
fn a_killed_download_goes_on() {
    let (server, folder) = (repository(), cache());
    server.fail("GET /store", &[Trouble::Stall(200_000)]);
    let mut child = command(&server, folder.path(), &["fetch", "hf:org/name"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let part = folder.path().join(format!("models--org--name/blobs/{}.incomplete", sha256(&weights())));
    let began = Instant::now();
    while fs::metadata(&part).map_or(0, |found| found.len()) < 200_000 {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing arrives");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("it runs");
    assert_eq!(child.wait().expect("it ended").signal(), Some(9));
    let shown = tutelage(&server, folder.path(), &["fetch", "hf:org/name"]);
    assert!(shown.contains("`model.safetensors`: goes on after 200 kB"), "{shown}");
    assert_eq!(server.asked("GET /store")[1].range.as_deref(), Some("bytes=200000-"));
    let snapshot = folder.path().join("models--org--name/snapshots").join(COMMIT);
    assert_eq!(fs::read(snapshot.join("model.safetensors")).expect("weights"), weights());
}

#[test]
fn two_processes_download_each_file_once() {
    let (server, folder) = (repository(), cache());
    server.fail("GET /store", &[Trouble::Wait(Duration::from_secs(1))]);
    let start = || command(&server, folder.path(), &["fetch", "hf:org/name"]).stderr(Stdio::null()).spawn();
    let children = [start(), start()].map(|child| child.expect("the binary runs"));
    for mut child in children {
        assert!(child.wait().expect("it ends").success());
    }
    assert_eq!(server.asked("GET /store").len(), 1);
    let snapshot = folder.path().join("models--org--name/snapshots").join(COMMIT);
    assert_eq!(fs::read(snapshot.join("model.safetensors")).expect("weights"), weights());
}

const STUDY: &str = r#"version = 1
question = "Does it come from the hub?"
seeds = [1]

[data.glossary]
importer = "glossary"
limit = 60
split = { group-by = "example" }

[models]
small.checkpoint = "hf:org/name"

[recipe]
model = "small"
steps = []

[evaluation]
metrics = ["rouge-l"]

[compute]
device = "cpu"
precision = "f32"
"#;

/// Serves a model that can be computed with.
fn model() -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("model");
    checkpoint(&model);
    let entries = fs::read_dir(&model).expect("a folder").map(|entry| entry.expect("an entry").path());
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let files: Vec<(String, Vec<u8>)> = entries.map(|path| (name(&path), fs::read(&path).expect("a file"))).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    Server::start(&files)
}

#[test]
fn a_run_downloads_what_is_missing_and_keeps_the_commit() {
    let (server, folder) = (model(), cache());
    let folder = folder.path();
    fs::write(folder.join("study.toml"), STUDY).expect("a file");
    for looking in [["check", "study.toml"], ["plan", "study.toml"], ["status", "study.toml"]] {
        let shown = tutelage(&server, folder, &looking);
        let note = "note: `hf:org/name` is not on this machine: `tutelage run` downloads it";
        assert!(looking[0] == "status" || shown.contains(note), "{shown}");
    }
    assert_eq!(server.asked(""), []);
    let shown = tutelage(&server, folder, &["run", "study.toml"]);
    assert!(shown.starts_with("exit 0\n"), "{shown}");
    let (download, stages) = (shown.find("to download").expect("a download"), shown.find("started").expect("a stage"));
    assert!(download < stages, "{shown}");
    let read = |name: &str| fs::read_to_string(folder.join("runs/experiments/study").join(name)).expect("a file");
    assert!(read("plan.json").contains(&format!("\"commit\": \"{COMMIT}\"")), "{}", read("plan.json"));
    assert!(read("study.json").contains(&format!("\"origin\": \"hf:org/name, commit {COMMIT}\"")));
    let before = server.asked("").len();
    let again = tutelage(&server, folder, &["run", "study.toml"]);
    assert!(again.starts_with("exit 0\n") && !again.contains("download"), "{again}");
    assert_eq!(server.asked("").len(), before);
}

#[test]
fn the_models_of_an_experiment_are_fetched() {
    let (server, folder) = (model(), cache());
    let folder = folder.path();
    fs::write(folder.join("study.toml"), STUDY).expect("a file");
    let set = format!("models.small.checkpoint=hf:org/name@{COMMIT}");
    let shown = tutelage(&server, folder, &["fetch", "study.toml", "--set", &set]);
    assert!(shown.starts_with("exit 0\n--- stdout\nCACHE/models--org--name/snapshots/0123"), "{shown}");
    // What means one commit for ever needs no name beside it.
    assert!(!folder.join("models--org--name/refs").exists());
    let wrong = tutelage(&server, folder, &["fetch", "study.toml", "--set", "seeds=[]"]);
    assert!(wrong.starts_with("exit 1\n"), "{wrong}");
}

#[test]
fn a_revision_that_is_none_is_a_fault_with_its_place() {
    let (server, folder) = (model(), cache());
    let text = STUDY.replace("hf:org/name", "hf:org/name@a..b");
    fs::write(folder.path().join("study.toml"), text).expect("a file");
    assert_snapshot!(tutelage(&server, folder.path(), &["run", "study.toml"]), @r#"
    exit 1
    --- stdout
    --- stderr
    error: `hf:org/name@a..b` is no hub name: `a..b` is no branch, tag or commit
      --> study.toml:11:20
       |
    11 | small.checkpoint = "hf:org/name@a..b"
       |                    ^^^^^^^^^^^^^^^^^^
       |
       = help: write `hf:organisation/model@REVISION` with a branch, a tag or a whole commit hash; without `@` it is `main`

    1 fault in `study.toml`
    "#);
    assert_eq!(server.asked(""), []);
}

#[test]
fn a_tokenizer_of_the_hub_comes_without_weights() {
    let (server, folder) = (model(), cache());
    let folder = folder.path();
    let scratch = "small.scratch = { tokenizer = \"t\", hidden = 16, layers = 1, heads = 2, feed-forward = 32 }\n\
                   [tokenizers]\nt.file.path = \"hf:org/name\"";
    fs::write(folder.join("study.toml"), STUDY.replace("small.checkpoint = \"hf:org/name\"", scratch)).expect("a file");
    let note = "note: the tokenizer of `hf:org/name` is not on this machine: `tutelage run` downloads it\n";
    let shown = tutelage(&server, folder, &["plan", "study.toml"]);
    assert!(shown.starts_with("exit 0\n") && shown.contains(note), "{shown}");
    let shown = tutelage(&server, folder, &["fetch", "study.toml"]);
    assert!(shown.starts_with("exit 0\n--- stdout\nCACHE/models--org--name/snapshots/0123"), "{shown}");
    assert_eq!(server.asked("/store"), []);
    let shown = tutelage(&server, folder, &["check", "study.toml"]);
    assert!(shown.starts_with("exit 0\n") && !shown.contains("hf:org/name"), "{shown}");
    // Its model is another thing.
    let shown = tutelage(&server, folder, &["fetch", "hf:org/name"]);
    assert!(shown.contains("to download"), "{shown}");
    assert_eq!(server.asked("GET /store").len(), 1);
    let wrong = tutelage(&server, folder, &["check", "study.toml", "--set", "tokenizers.t.file.path=hf:name"]);
    assert!(wrong.contains("error: `hf:name` is no hub name"), "{wrong}");
}
