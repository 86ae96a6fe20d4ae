//! A small hub on this machine, with a second server for large files, as the real one has: answers as the hub
//! does, fails as it is told to, and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// The commit that `main` is.
pub(super) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Something that goes wrong.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// The answer is a status with headers.
    Status(u16, Vec<(&'static str, &'static str)>),
    /// The connection closes after so many bytes of the content.
    Cut(usize),
    /// After so many bytes nothing more comes, until the other side goes away.
    Stall(usize),
    /// One byte of the content is another.
    Flip(usize),
    /// The whole content is sent, whatever part was asked for.
    Whole,
    /// The content comes after a while.
    Wait(Duration),
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// Method and path: `GET /org/name/resolve/...`.
    pub(super) line: String,
    /// Whether it came to the server of large files.
    pub(super) is_elsewhere: bool,
    pub(super) range: Option<String>,
    pub(super) authorization: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    /// Sizes that are told instead of the real ones.
    sizes: BTreeMap<String, u64>,
    /// By a part of the request's line.
    troubles: Vec<(String, Trouble)>,
    requests: Vec<Request>,
}

/// The servers.
#[derive(Debug)]
pub(super) struct Server {
    state: Arc<Mutex<State>>,
    hub: SocketAddr,
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no request panicked")
}

impl Server {
    /// Serves files as `org/name`; those that end in `.safetensors` or `.bin` from the second server.
    pub(super) fn start(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
        let state = Arc::new(Mutex::new(State { files, ..State::default() }));
        let [hub, store] = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let addresses = [&hub, &store].map(|listener| listener.local_addr().expect("an address"));
        for (listener, is_elsewhere) in [(hub, false), (store, true)] {
            let state = Arc::clone(&state);
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = Arc::clone(&state);
                    // A client that goes away ends its connection only.
                    thread::spawn(move || answer(stream, &state, addresses[1], is_elsewhere).ok());
                }
            });
        }
        Self { state, hub: addresses[0] }
    }

    /// Returns the address of the hub.
    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.hub)
    }

    /// Lets the next requests whose line holds `part` fail, one for each trouble.
    pub(super) fn fail(&self, part: &str, troubles: &[Trouble]) {
        let troubles = troubles.iter().map(|trouble| (part.to_owned(), trouble.clone()));
        locked(&self.state).troubles.extend(troubles);
    }

    /// Tells another size of a file than it has.
    pub(super) fn pretend(&self, file: &str, bytes: u64) {
        locked(&self.state).sizes.insert(file.to_owned(), bytes);
    }

    /// Returns all requests so far whose line holds `part`.
    pub(super) fn asked(&self, part: &str) -> Vec<Request> {
        locked(&self.state).requests.iter().filter(|request| request.line.contains(part)).cloned().collect()
    }
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(super) fn git_hash(bytes: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_large(file: &str) -> bool {
    file.ends_with(".safetensors") || file.ends_with(".bin")
}

fn answer(mut stream: TcpStream, state: &Mutex<State>, store: SocketAddr, is_elsewhere: bool) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let line = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let line = line.trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = BTreeMap::new();
    for header in lines {
        let header = header?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let range = headers.get("range").cloned();
    let authorization = headers.get("authorization").cloned();
    let (trouble, files, sizes) = {
        let mut state = locked(state);
        state.requests.push(Request { line: line.clone(), is_elsewhere, range: range.clone(), authorization });
        let place = state.troubles.iter().position(|(part, _)| line.contains(part.as_str()));
        (place.map(|place| state.troubles.remove(place).1), state.files.clone(), state.sizes.clone())
    };
    if let Some(Trouble::Status(status, headers)) = &trouble {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        return reply(&mut stream, *status, &headers, b"");
    }
    let (_, path) = line.split_once(' ').unwrap_or_default();
    if path.starts_with("/api/models/org/name/revision/") {
        let siblings: Vec<_> = files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let body = serde_json::json!({ "sha": COMMIT, "siblings": siblings }).to_string();
        return reply(&mut stream, 200, "Content-Type: application/json\r\n", body.as_bytes());
    }
    let file = path.rsplit('/').next().unwrap_or_default();
    let file = file.split('?').next().unwrap_or_default();
    let Some(content) = files.get(file) else {
        return reply(&mut stream, 404, "X-Error-Code: RepoNotFound\r\n", b"");
    };
    let size = sizes.get(file).copied().unwrap_or(content.len() as u64);
    let commit = format!("X-Repo-Commit: {COMMIT}\r\n");
    if path.starts_with("/org/name/resolve/") && is_large(file) {
        let linked = format!("X-Linked-Etag: \"{}\"\r\nX-Linked-Size: {size}\r\n", sha256(content));
        let target = format!("Location: http://{store}/store/{file}?signature=abc\r\n");
        return reply(&mut stream, 302, &(commit + &linked + &target), b"");
    }
    if path.starts_with("/org/name/resolve/") {
        return reply(&mut stream, 307, &(commit + &format!("Location: /api/resolve-cache/{file}\r\n")), b"");
    }
    let mut content = content.clone();
    let mut from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()).unwrap_or(0);
    let mut end = content.len();
    match trouble {
        Some(Trouble::Cut(bytes) | Trouble::Stall(bytes)) => end = from + bytes,
        Some(Trouble::Flip(place)) => content[place] ^= 1,
        Some(Trouble::Whole) => from = 0,
        Some(Trouble::Wait(time)) => thread::sleep(time),
        Some(Trouble::Status(..)) | None => {}
    }
    let etag = if is_elsewhere { String::new() } else { format!("ETag: \"{}\"\r\n", git_hash(&content)) };
    let status = if from > 0 { 206 } else { 200 };
    let part = format!("Content-Range: bytes {from}-{}/{}\r\n", content.len() - 1, content.len());
    let head = format!(
        "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n{etag}{}\r\n",
        content.len() - from,
        if from > 0 { part } else { String::new() },
    );
    stream.write_all(head.as_bytes())?;
    if line.starts_with("HEAD") {
        return Ok(());
    }
    stream.write_all(&content[from..end.min(content.len())])?;
    if let Some(Trouble::Stall(_)) = trouble {
        stream.read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

fn reply(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}
