//! Models from a hub on this machine: downloads that are cut, killed, refused or damaged.

mod command;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use insta::assert_snapshot;
use tempfile::TempDir;
use tutelage::hub::{Cache, Content, Fetched, Hub, HubError, Name, News, Settings, Token, Watch};

use server::{COMMIT, Server, Trouble, git_hash, sha256};

/// Bytes of the weights: several reads of a connection.
const WEIGHTS_BYTES: usize = 700_000;

fn weights() -> Vec<u8> {
    (0..WEIGHTS_BYTES).map(|place| (place * place / 7 % 251) as u8).collect()
}

/// Serves a repository with weights in one file, and more than is used.
fn repository() -> Server {
    Server::start(&[
        (".gitattributes", b"x"),
        ("README.md", b"card"),
        ("config.json", b"{\"model_type\": \"llama\"}"),
        ("chat_template.jinja", b"{{ messages }}"),
        ("model.safetensors", &weights()),
        ("pytorch_model.bin", b"pickle"),
        ("tokenizer.json", b"{\"model\": {}}"),
        ("model.gguf", b"gguf"),
    ])
}

/// Remembers what was told.
#[derive(Default)]
struct Told(Vec<String>);

impl Watch for Told {
    fn hear(&mut self, news: &News<'_>) {
        match news {
            News::Waiting { file } => self.0.push(format!("waiting {file}")),
            News::Resumed { file, bytes } => self.0.push(format!("resumed {file} {bytes}")),
            News::Spoiled { file } => self.0.push(format!("spoiled {file}")),
            News::Again { error, .. } => self.0.push(format!("again {error}")),
            News::Received { .. } | News::Corrected { .. } => {}
        }
    }
}

fn settings(server: &Server, folder: &Path) -> Settings {
    Settings {
        cache: Some(Cache::new(folder.to_owned())),
        endpoint: server.endpoint(),
        token: None,
        is_offline: false,
        certificates: None,
        pause: Duration::from_millis(1),
    }
}

fn name() -> Name {
    Name::parse("hf:org/name").expect("a name")
}

fn fetch_with(settings: Settings, name: &Name) -> (Result<Fetched, HubError>, Vec<String>) {
    let mut told = Told::default();
    let fetch = || {
        let hub = Hub::open(settings)?;
        let order = hub.order(name, Content::Model, &mut told)?;
        hub.check_room(std::slice::from_ref(&order))?;
        hub.fetch(&order, &mut told)
    };
    (fetch(), told.0)
}

/// Fetches the repository into a folder, and returns where its files are and what was told.
fn fetch(server: &Server, folder: &TempDir) -> (PathBuf, Vec<String>) {
    let (fetched, told) = fetch_with(settings(server, folder.path()), &name());
    let fetched = fetched.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(fetched.commit, COMMIT);
    (fetched.folder, told)
}

/// Returns error and remedy of a fetch.
fn refused(server: &Server) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let (fetched, _) = fetch_with(settings(server, folder.path()), &name());
    told(&fetched.expect_err("an error"), server)
}

fn told(error: &HubError, server: &Server) -> String {
    format!("{error}\nhint: {}", error.hint()).replace(&server.endpoint(), "HUB")
}

fn cache() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_is_used_is_downloaded_and_laid_out_as_the_hubs_tools_do() {
    let (server, folder) = (repository(), cache());
    let (snapshot, told) = fetch(&server, &folder);
    assert_eq!(told, [""; 0]);
    let model = folder.path().join("models--org--name");
    assert_eq!(snapshot, model.join("snapshots").join(COMMIT));
    assert_eq!(names(&snapshot), ["chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json"]);
    assert_eq!(fs::read(snapshot.join("model.safetensors")).expect("weights"), weights());
    assert_eq!(fs::read(snapshot.join("tokenizer.json")).expect("a tokenizer"), b"{\"model\": {}}");
    assert_eq!(fs::read_to_string(model.join("refs/main")).expect("a ref"), COMMIT);
    let link = |file: &str| fs::read_link(snapshot.join(file)).expect("a link");
    assert_eq!(link("model.safetensors"), Path::new("../../blobs").join(sha256(&weights())));
    assert_eq!(link("tokenizer.json"), Path::new("../../blobs").join(git_hash(b"{\"model\": {}}")));
    assert_eq!(names(&model.join("blobs")).len(), 4);
    for file in ["pytorch_model", "README", "gguf", "gitattributes"] {
        assert_eq!(server.asked(file), [], "{file}");
    }
}

#[test]
fn what_is_here_is_not_asked_for() {
    let (server, folder) = (repository(), cache());
    let (snapshot, _) = fetch(&server, &folder);
    let before = server.asked("").len();
    let hub = Hub::open(settings(&server, folder.path())).expect("a cache");
    let found = Fetched { commit: COMMIT.to_owned(), folder: snapshot };
    assert_eq!(hub.found(&name(), Content::Model), Some(found.clone()));
    let commit = Name::parse(&format!("hf:org/name@{COMMIT}")).expect("a name");
    assert_eq!(hub.found(&commit, Content::Model), Some(found));
    assert_eq!(hub.found(&Name::parse("hf:org/name@v2").expect("a name"), Content::Model), None);
    assert_eq!(server.asked("").len(), before);
    // What is asked for again is not downloaded again.
    fetch(&server, &folder);
    assert_eq!(server.asked("GET /store").len(), 1);
}

#[test]
fn a_revision_is_kept_under_its_name() {
    let (server, folder) = (repository(), cache());
    let revision = Name::parse("hf:org/name@refs/pr/1").expect("a name");
    fetch_with(settings(&server, folder.path()), &revision).0.expect("fetched");
    assert_eq!(server.asked("/api/models/org/name/revision/refs%2Fpr%2F1").len(), 1);
    let kept = folder.path().join("models--org--name/refs/refs/pr/1");
    assert_eq!(fs::read_to_string(kept).expect("a ref"), COMMIT);
}

#[test]
fn a_download_that_is_cut_goes_on_where_it_stopped() {
    let (server, folder) = (repository(), cache());
    server.fail("GET /store", &[Trouble::Cut(100_000), Trouble::Cut(200_000)]);
    let (snapshot, told) = fetch(&server, &folder);
    let cut = |byte: usize| {
        format!("again the connection broke off at byte {byte} of {WEIGHTS_BYTES} of `model.safetensors`")
    };
    assert_eq!(told, [cut(100_000), cut(300_000)]);
    let ranges: Vec<_> = server.asked("GET /store").into_iter().map(|request| request.range).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-".to_owned()), Some("bytes=300000-".to_owned())]);
    assert_eq!(fs::read(snapshot.join("model.safetensors")).expect("weights"), weights());
}

/// Leaves a part of the weights as a killed process would.
fn leave_part(folder: &TempDir, bytes: &[u8]) {
    let blobs = folder.path().join("models--org--name/blobs");
    fs::create_dir_all(&blobs).expect("a folder");
    fs::write(blobs.join(format!("{}.incomplete", sha256(&weights()))), bytes).expect("a file");
}

#[test]
fn what_a_killed_process_left_is_used() {
    let (server, folder) = (repository(), cache());
    leave_part(&folder, &weights()[..50_000]);
    let (snapshot, told) = fetch(&server, &folder);
    assert_eq!(told, ["resumed model.safetensors 50000"]);
    assert_eq!(server.asked("GET /store")[0].range.as_deref(), Some("bytes=50000-"));
    assert_eq!(fs::read(snapshot.join("model.safetensors")).expect("weights"), weights());
}

#[test]
fn a_part_that_is_damaged_or_too_long_is_fetched_anew() {
    let (server, folder) = (repository(), cache());
    leave_part(&folder, &[7; 50_000]);
    let (snapshot, told) = fetch(&server, &folder);
    assert_eq!(told, ["resumed model.safetensors 50000", "spoiled model.safetensors"]);
    assert_eq!(fs::read(snapshot.join("model.safetensors")).expect("weights"), weights());
    let folder = cache();
    leave_part(&folder, &[7; WEIGHTS_BYTES + 1]);
    assert_eq!(fetch(&server, &folder).1, [""; 0]);
}

#[test]
fn a_server_that_sends_the_whole_instead_of_the_rest_is_understood() {
    let (server, folder) = (repository(), cache());
    leave_part(&folder, &weights()[..50_000]);
    server.fail("GET /store", &[Trouble::Whole]);
    let (snapshot, _) = fetch(&server, &folder);
    assert_eq!(fs::read(snapshot.join("model.safetensors")).expect("weights"), weights());
    assert_eq!(server.asked("GET /store").len(), 1);
}

#[test]
fn what_arrives_damaged_is_not_kept() {
    let (server, folder) = (repository(), cache());
    server.fail("GET /store", &[Trouble::Flip(1000)]);
    let (fetched, _) = fetch_with(settings(&server, folder.path()), &name());
    let mut wrong = weights();
    wrong[1000] ^= 1;
    let told = told(&fetched.expect_err("an error"), &server);
    let told = told.replace(&sha256(&weights()), "RIGHT").replace(&sha256(&wrong), "WRONG");
    assert_snapshot!(told, @r"
    `model.safetensors` of `hf:org/name` arrived damaged: expected the hash RIGHT, found WRONG
    hint: try again; if it stays so, what lies between here and the hub changes files
    ");
    let hub = Hub::open(settings(&server, folder.path())).expect("a cache");
    assert_eq!(hub.found(&name(), Content::Model), None);
    assert!(!folder.path().join("models--org--name/blobs").join(sha256(&weights())).exists());
    assert!(!folder.path().join("models--org--name/snapshots").exists());
    // The next attempt starts with nothing of it.
    fetch(&server, &folder);
    assert_eq!(server.asked("GET /store")[1].range, None);
}

#[test]
fn shards_are_those_of_the_index() {
    let index = br#"{"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}"#;
    let (config, tokenizer) = (("config.json", b"{}".as_slice()), ("tokenizer.json", b"{}".as_slice()));
    let index = ("model.safetensors.index.json", index.as_slice());
    let shards = [("model-1-of-2.safetensors", b"one".as_slice()), ("model-2-of-2.safetensors", b"two".as_slice())];
    let other = ("consolidated.safetensors", b"all".as_slice());
    let server = Server::start(&[config, tokenizer, index, shards[0], shards[1], other]);
    let folder = cache();
    let (snapshot, _) = fetch(&server, &folder);
    let hub = Hub::open(settings(&server, folder.path())).expect("a cache");
    assert_eq!(hub.found(&name(), Content::Model).map(|found| found.folder), Some(snapshot.clone()));
    assert_eq!(fs::read(snapshot.join(shards[1].0)).expect("a shard"), b"two");
    assert_eq!(server.asked("consolidated"), []);
    let lacking = Server::start(&[config, tokenizer, index, shards[0]]);
    assert_snapshot!(refused(&lacking), @r"
    HUB answered in another form than the hub does: `model.safetensors.index.json` names `model-2-of-2.safetensors`, which is not beside it
    hint: check `HF_ENDPOINT`, and that no proxy answers instead of the hub
    ");
}

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let (server, folder) = (repository(), cache());
    let settings = Settings { token: Token::new("hf_secret\n"), ..settings(&server, folder.path()) };
    fetch_with(settings, &name()).0.expect("fetched");
    let requests = server.asked("");
    assert!(requests.iter().any(|request| request.is_elsewhere));
    for request in requests {
        let expected = (!request.is_elsewhere).then(|| "Bearer hf_secret".to_owned());
        assert_eq!(request.authorization, expected, "{}", request.line);
    }
}

#[test]
fn what_passes_is_tried_again() {
    let (server, folder) = (repository(), cache());
    server.fail("GET /api/models", &[Trouble::Status(503, vec![]), Trouble::Status(429, vec![("Retry-After", "0")])]);
    server.fail("HEAD /org/name/resolve", &[Trouble::Status(500, vec![])]);
    server.fail("GET /store", &[Trouble::Status(502, vec![])]);
    let (_, told) = fetch(&server, &folder);
    let told: Vec<String> = told.iter().map(|told| told.replace(&server.endpoint(), "HUB")).collect();
    let expected = [
        "again HUB answered 503 when asked for `hf:org/name`",
        "again HUB takes no more requests for now and asks to wait 0 s",
        "again HUB answered 500 when asked for `chat_template.jinja` of `hf:org/name`",
        "again HUB answered 502 when asked for `model.safetensors` of `hf:org/name`",
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_does_not_pass_is_told_after_five_attempts() {
    let server = repository();
    server.fail("GET /api/models", &vec![Trouble::Status(500, vec![]); 9]);
    assert_snapshot!(refused(&server), @r"
    HUB answered 500 when asked for `hf:org/name`
    hint: try again later: what is here stays
    ");
    assert_eq!(server.asked("GET /api/models").len(), 5);
    let server = repository();
    server.fail("GET /api/models", &vec![Trouble::Status(429, vec![]); 9]);
    assert_snapshot!(refused(&server), @r"
    HUB takes no more requests for now
    hint: try again later; what is here stays. With a token (`HF_TOKEN`) the hub takes more requests
    ");
    assert_eq!(server.asked("GET /api/models").len(), 5);
}

#[test]
fn a_long_pause_is_told_and_not_waited_for() {
    let server = repository();
    server.fail("GET /api/models", &[Trouble::Status(429, vec![("Retry-After", "3600")])]);
    assert_snapshot!(refused(&server), @r"
    HUB takes no more requests for now and asks to wait 3600 s
    hint: try again later; what is here stays. With a token (`HF_TOKEN`) the hub takes more requests
    ");
    assert_eq!(server.asked("").len(), 1);
}

#[test]
fn a_repository_or_revision_that_is_not_there() {
    let server = repository();
    let refused = |status, headers: &[(&'static str, &'static str)]| {
        server.fail("GET /api/models", &[Trouble::Status(status, headers.to_vec())]);
        refused(&server)
    };
    let private = refused(401, &[]);
    assert_snapshot!(private, @r"
    there is no repository `org/name` at HUB, or it is private
    hint: correct the name; if it is private, set `HF_TOKEN` to a token that may read it
    ");
    assert_eq!(refused(404, &[("X-Error-Code", "RepoNotFound")]), private);
    assert_snapshot!(refused(404, &[("X-Error-Code", "RevisionNotFound")]), @r"
    the repository `org/name` has no branch, tag or commit `main`
    hint: see HUB/org/name/tree/main for what there is; `main` needs no `@`
    ");
}

#[test]
fn a_licence_that_is_to_be_accepted() {
    let server = repository();
    let gated = [Trouble::Status(401, vec![("X-Error-Code", "GatedRepo")]), Trouble::Status(403, vec![])];
    server.fail("HEAD /org/name/resolve", &gated[..1]);
    assert_snapshot!(refused(&server), @r"
    `hf:org/name` is only for those who accepted its licence, and no token says who asks
    hint: accept the licence at HUB/org/name, then set `HF_TOKEN` to a token of yours (HUB/settings/tokens)
    ");
    server.fail("HEAD /org/name/resolve", &gated[1..]);
    let folder = cache();
    let settings = Settings { token: Token::new("hf_secret"), ..settings(&server, folder.path()) };
    let error = fetch_with(settings.clone(), &name()).0.expect_err("an error");
    assert_snapshot!(told(&error, &server), @r"
    `hf:org/name` is only for those who accepted its licence; the token's owner did not
    hint: accept the licence at HUB/org/name with the account of the token; a fine-grained token must be allowed to read gated repositories
    ");
    server.fail("GET /api/models", &[Trouble::Status(401, vec![])]);
    let error = fetch_with(settings, &name()).0.expect_err("an error");
    assert_snapshot!(told(&error, &server), @r"
    HUB refuses the token
    hint: make a new one at HUB/settings/tokens and set `HF_TOKEN` to it, or unset it
    ");
}

#[test]
fn a_repository_that_is_no_model_that_is_read() {
    let pickles = [("config.json", b"{}".as_slice()), ("pytorch_model.bin", b"x"), ("tokenizer.json", b"{}")];
    assert_snapshot!(refused(&Server::start(&pickles)), @r"
    the weights of `hf:org/name` are PyTorch pickles (`pytorch_model.bin`), expected safetensors
    hint: convert them with transformers: `AutoModelForCausalLM.from_pretrained(NAME).save_pretrained(DIR)`, and name that folder
    ");
    let tokens = [("config.json", b"{}".as_slice()), ("model.safetensors", b"x"), ("tokenizer.model", b"x")];
    assert_snapshot!(refused(&Server::start(&tokens)), @r"
    `hf:org/name` has no `tokenizer.json`
    hint: make one with transformers: `AutoTokenizer.from_pretrained(NAME).save_pretrained(DIR)`, save the model beside it, and name that folder
    ");
    assert_snapshot!(refused(&Server::start(&[("adapter_config.json", b"{}")])), @r"
    `hf:org/name` has no `config.json`
    hint: name a repository that transformers loads a causal language model from
    ");
}

#[test]
fn a_disk_that_is_too_small_is_told_before_anything_is_downloaded() {
    let (server, folder) = (repository(), cache());
    server.pretend("model.safetensors", 1 << 60);
    let (fetched, _) = fetch_with(settings(&server, folder.path()), &name());
    let error = fetched.expect_err("an error");
    let HubError::Room { needed_bytes, free_bytes, .. } = error else { panic!("{error}") };
    // The small files, too.
    assert_eq!(needed_bytes, (1 << 60) + 14 + 23 + 13);
    assert!(free_bytes < needed_bytes);
    let told = told(&error, &server).replace(&free_bytes.to_string(), "FREE");
    assert_eq!(
        told.replace(&folder.path().display().to_string(), "CACHE"),
        "disk full: 1152921504606847026 bytes are needed in `CACHE`, FREE are free\n\
         hint: free some, or set `HF_HOME` to a folder on a larger disk"
    );
    assert_eq!(server.asked("GET /store"), []);
}

#[test]
fn a_disk_that_fills_up_is_told_and_what_is_here_stays() {
    // A limit on the size of files stands in for the disk.
    let (server, folder) = (repository(), cache());
    let output = command::limited(&server, folder.path(), 300);
    assert!(output.contains("cannot write"), "{output}");
    let part = folder.path().join(format!("models--org--name/blobs/{}.incomplete", sha256(&weights())));
    let kept = fs::metadata(part).expect("a part").len();
    assert!(kept > 0 && kept <= 300 * 1024, "{kept}");
    assert_eq!(fetch(&server, &folder).1, [format!("resumed model.safetensors {kept}")]);
}

#[test]
fn without_network_the_way_round_is_told() {
    let (server, folder) = (repository(), cache());
    let cache = |text: String| text.replace(&folder.path().display().to_string(), "CACHE");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let away = Settings { endpoint: format!("http://{nobody}"), ..settings(&server, folder.path()) };
    let (fetched, again) = fetch_with(away, &name());
    assert_eq!(again.len(), 4);
    let told_of = |error: &HubError| cache(told(error, &server).replace(&format!("http://{nobody}"), "NOBODY"));
    assert_snapshot!(told_of(&fetched.expect_err("an error")), @r"
    cannot reach `NOBODY`
    hint: set `HTTPS_PROXY` if there is a proxy, and `SSL_CERT_FILE` if it has certificates of its own; without network, copy `models--org--name` from the hub cache of a machine that has it to `CACHE`, and set `HF_HUB_OFFLINE=1`
    ");
    let offline = Settings { is_offline: true, ..settings(&server, folder.path()) };
    assert_snapshot!(told_of(&fetch_with(offline, &name()).0.expect_err("an error")), @r"
    `hf:org/name` is not in the hub cache `CACHE`, and `HF_HUB_OFFLINE` is set
    hint: unset it to download, or copy `models--org--name` from the hub cache of a machine that has it to `CACHE`
    ");
    assert_eq!(server.asked(""), []);
}

#[test]
fn an_address_that_is_none() {
    let (server, folder) = (repository(), cache());
    let wrong = |endpoint: &str| {
        let settings = Settings { endpoint: endpoint.to_owned(), ..settings(&server, folder.path()) };
        fetch_with(settings, &name()).0.expect_err("an error").to_string()
    };
    assert_eq!(wrong("huggingface.co"), "`HF_ENDPOINT` is no address: expected `https://HOST`, found `huggingface.co`");
    // A password is not told.
    assert_eq!(wrong("https://me:word@mirror"), "`HF_ENDPOINT` is no address: expected `https://HOST`, found `mirror`");
}
