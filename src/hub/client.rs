//! Requests to the hub, one at a time, and what their answers mean.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::error::HubError;
use super::name::Name;
use super::news::{News, Watch};
use super::settings::Settings;

/// Redirections that are followed; the hub uses two.
const REDIRECTIONS: usize = 5;
/// Failures in a row, without a byte between them, after which it is given up.
const FAILURES: u32 = 5;
/// Longest time that is waited when the server asks for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Time within which a connection is made or a next byte arrives.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes that a list of files may have.
const LIST_BYTES: u64 = 100_000_000;

/// Asks the hub.
pub(super) struct Client<'a> {
    settings: &'a Settings,
    agent: Agent,
}

/// What the hub has at a revision.
pub(super) struct Listing {
    /// The commit that the revision is.
    pub(super) commit: String,
    /// Paths of all files.
    pub(super) files: Vec<String>,
}

/// A file of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    /// Its name in the repository.
    pub(super) file: String,
    /// Name of its content: a hash as a rule.
    pub(super) blob: String,
    /// Its size.
    pub(super) bytes: u64,
}

/// A content that is being sent.
pub(super) struct Sending {
    /// The bytes.
    pub(super) body: Box<dyn Read>,
    /// Place in the file of the first one: 0 where the server does not resume.
    pub(super) from: u64,
}

/// A request that failed, and whether it may be tried again.
pub(super) struct Failure {
    error: Box<HubError>,
    again: Again,
}

enum Again {
    Never,
    Soon,
    After(Duration),
}

impl Failure {
    /// Something that may pass.
    pub(super) fn passing(error: HubError) -> Self {
        Self { error: Box::new(error), again: Again::Soon }
    }
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        Self { error: Box::new(error), again: Again::Never }
    }
}

/// Counts failures in a row, and waits after each, longer every time.
pub(super) struct Patience {
    failures: u32,
    first_pause: Duration,
}

impl Patience {
    /// Starts with all patience.
    pub(super) fn new(settings: &Settings) -> Self {
        Self { failures: 0, first_pause: settings.pause }
    }

    /// Waits after a failure that may pass.
    ///
    /// # Errors
    /// The failure, if it will not pass, or if there were too many.
    pub(super) fn bear(&mut self, failure: Failure, watch: &mut dyn Watch) -> Result<(), HubError> {
        self.failures += 1;
        let pause = match failure.again {
            Again::After(pause) if pause <= LONGEST_PAUSE => pause,
            Again::Soon => self.first_pause * 2_u32.saturating_pow(self.failures - 1),
            Again::Never | Again::After(_) => return Err(*failure.error),
        };
        if self.failures >= FAILURES {
            return Err(*failure.error);
        }
        watch.hear(&News::Again { error: &failure.error, pause });
        std::thread::sleep(pause);
        Ok(())
    }

    /// Something arrived: what fails from now on is another failure.
    pub(super) fn renew(&mut self) {
        self.failures = 0;
    }
}

/// Repeats a request while it fails with what may pass.
///
/// # Errors
/// What did not pass.
pub(super) fn patiently<T>(
    settings: &Settings,
    watch: &mut dyn Watch,
    mut request: impl FnMut() -> Result<T, Failure>,
) -> Result<T, HubError> {
    let mut patience = Patience::new(settings);
    loop {
        match request() {
            Ok(answer) => return Ok(answer),
            Err(failure) => patience.bear(failure, watch)?,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Head,
}

/// What is asked for, for messages.
#[derive(Clone, Copy)]
struct Asked<'a> {
    name: &'a Name,
    file: Option<&'a str>,
}

impl<'a> Client<'a> {
    /// Prepares to ask; sends nothing.
    ///
    /// # Errors
    /// An address, a token or certificates that are none.
    pub(super) fn new(settings: &'a Settings) -> Result<Self, HubError> {
        let host = ["https://", "http://"].iter().find_map(|scheme| settings.endpoint.strip_prefix(scheme));
        // A password in an address would be told with it.
        if host.is_none_or(|host| host.is_empty() || host.contains(['@', ' ', '?', '#'])) {
            let shown = settings.endpoint.rsplit('@').next().unwrap_or_default();
            return Err(HubError::Endpoint(shown.to_owned()));
        }
        if settings.token.as_ref().is_some_and(|token| !token.is_sendable()) {
            return Err(HubError::Token);
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // Followed here, where it is known who may see the token.
            .max_redirects(0)
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .user_agent(concat!("tutelage/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &settings.certificates {
            let certificates = std::fs::read(path).map(|pem| certificates(&pem)).unwrap_or_default();
            if certificates.is_empty() {
                return Err(HubError::Certificates(path.clone()));
            }
            config =
                config.tls_config(TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(certificates))).build());
        }
        Ok(Self { settings, agent: config.build().new_agent() })
    }

    /// Asks what a revision is.
    ///
    /// # Errors
    /// See [`HubError`].
    pub(super) fn list(&self, name: &Name) -> Result<Listing, Failure> {
        #[derive(Deserialize)]
        struct Answer {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let path = format!("/api/models/{}/revision/{}", name.repository(), encoded(name.revision()));
        let (response, _) = self.send(Method::Get, &path, None, Asked { name, file: None })?;
        let bytes = response.into_body().into_with_config().limit(LIST_BYTES).read_to_vec();
        let bytes = bytes.map_err(|error| self.unsent(error, &self.settings.endpoint, name))?;
        let answer: Answer =
            serde_json::from_slice(&bytes).map_err(|error| self.odd(format!("its list of files: {error}")))?;
        if answer.sha.is_empty() || !answer.sha.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(self.odd(format!("`{}` is no commit", answer.sha)).into());
        }
        let files = answer.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        Ok(Listing { commit: answer.sha, files })
    }

    /// Asks for the size and the hash of a file.
    ///
    /// # Errors
    /// See [`HubError`].
    pub(super) fn describe(&self, name: &Name, commit: &str, file: &str) -> Result<Remote, Failure> {
        let path = resolve(name, commit, file);
        let (response, passed) = self.send(Method::Head, &path, None, Asked { name, file: Some(file) })?;
        // Large files lie elsewhere: the hub's own answer tells of them under names of its own.
        let headers = || passed.iter().chain([response.headers()]);
        let told = |name: &str| headers().find_map(|headers| text(headers, name));
        let blob = told("x-linked-etag").or_else(|| text(response.headers(), "etag"));
        let blob = blob.map(|tag| tag.trim_start_matches("W/").trim_matches('"').to_owned());
        let is_name = |blob: &String| {
            !blob.is_empty() && blob.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        let blob = blob.filter(is_name).ok_or_else(|| self.odd(format!("no hash of `{file}`")))?;
        let is_here = response.status().is_success();
        let size = told("x-linked-size").or_else(|| text(response.headers(), "content-length").filter(|_| is_here));
        let bytes = size.and_then(|size| size.parse().ok()).ok_or_else(|| self.odd(format!("no size of `{file}`")))?;
        Ok(Remote { file: file.to_owned(), blob, bytes })
    }

    /// Asks for the content of a file from a byte on.
    ///
    /// # Errors
    /// See [`HubError`].
    pub(super) fn open(&self, name: &Name, commit: &str, file: &str, from: u64) -> Result<Sending, Failure> {
        let range = (from > 0).then(|| format!("bytes={from}-"));
        let asked = Asked { name, file: Some(file) };
        let (response, _) = self.send(Method::Get, &resolve(name, commit, file), range.as_deref(), asked)?;
        let from = match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let told = text(response.headers(), "content-range").unwrap_or_default();
                let first = told.strip_prefix("bytes ").and_then(|rest| rest.split_once('-')?.0.parse::<u64>().ok());
                match first {
                    Some(first) if first == from => from,
                    _ => return Err(self.odd(format!("`{told}` of `{file}`, asked from byte {from}")).into()),
                }
            }
            _ => 0,
        };
        Ok(Sending { body: Box::new(response.into_body().into_reader()), from })
    }

    /// Says what it means that a content broke off.
    pub(super) fn cut(&self, remote: &Remote, received: u64) -> Failure {
        Failure::passing(HubError::Cut { file: remote.file.clone(), received, bytes: remote.bytes })
    }

    /// Sends a request and follows redirections; the token goes to the hub only. Returns the last answer, and
    /// the headers of those before it. A `HEAD` ends where the hub points to another server.
    fn send(
        &self,
        method: Method,
        path: &str,
        range: Option<&str>,
        asked: Asked<'_>,
    ) -> Result<(Response<Body>, Vec<HeaderMap>), Failure> {
        let mut address = format!("{}{path}", self.settings.endpoint);
        let home = origin(&address).to_owned();
        let mut passed = Vec::new();
        for _ in 0..=REDIRECTIONS {
            let mut request = match method {
                Method::Get => self.agent.get(&address),
                Method::Head => self.agent.head(&address),
            };
            // Sizes are those of files, not of what a server packs for the way.
            request = request.header(header::ACCEPT_ENCODING, "identity");
            if let Some(token) = self.settings.token.as_ref().filter(|_| origin(&address) == home) {
                request = request.header(header::AUTHORIZATION, token.header());
            }
            if let Some(range) = range {
                request = request.header(header::RANGE, range);
            }
            let response = request.call().map_err(|error| self.unsent(error, origin(&address), asked.name))?;
            let status = response.status();
            if status.is_success() {
                return Ok((response, passed));
            }
            let target = text(response.headers(), "location").filter(|_| status.is_redirection());
            let Some(target) = target.map(|target| joined(&address, &target)) else {
                return Err(self.failure(&response, asked));
            };
            if method == Method::Head && origin(&target) != home {
                return Ok((response, passed));
            }
            passed.push(response.headers().clone());
            address = target;
        }
        Err(self.odd("it redirects without end".to_owned()).into())
    }

    /// Says what a status means.
    fn failure(&self, response: &Response<Body>, asked: Asked<'_>) -> Failure {
        let (endpoint, name) = (self.settings.endpoint.clone(), asked.name.clone());
        let has_token = self.settings.token.is_some();
        let code = text(response.headers(), "x-error-code").unwrap_or_default();
        let message = text(response.headers(), "x-error-message").unwrap_or_default();
        let what = asked.file.map_or_else(|| format!("`{name}`"), |file| format!("`{file}` of `{name}`"));
        let status = response.status().as_u16();
        let error = match (status, code.as_str()) {
            (401 | 403, "GatedRepo") => HubError::Gated { name, endpoint, has_token },
            (404, "RevisionNotFound") => HubError::NoRevision { name, endpoint },
            (404, "EntryNotFound") => HubError::Status { endpoint, status, what },
            (401 | 404, "RepoNotFound") => HubError::NoRepository { name, endpoint, has_token },
            (401, _) if has_token || message.contains("Invalid credentials") => HubError::Refused { endpoint },
            // Without a token the hub does not say whether there is such a repository.
            (401, _) => HubError::NoRepository { name, endpoint, has_token },
            (403, _) => HubError::Gated { name, endpoint, has_token },
            (404, _) if asked.file.is_none() && name.revision() != "main" => HubError::NoRevision { name, endpoint },
            (404, _) if asked.file.is_none() => HubError::NoRepository { name, endpoint, has_token },
            (429, _) => {
                let wait = pause(response.headers());
                let again = wait.map_or(Again::Soon, Again::After);
                return Failure { error: Box::new(HubError::TooMany { endpoint, wait }), again };
            }
            _ => HubError::Status { endpoint, status, what },
        };
        match status {
            408 | 500..=599 => Failure::passing(error),
            _ => error.into(),
        }
    }

    /// Says what it means that no answer came.
    fn unsent(&self, error: ureq::Error, host: &str, name: &Name) -> Failure {
        let may_pass = match &error {
            // So certificates are told that are not trusted.
            ureq::Error::Io(error) => error.kind() != ErrorKind::InvalidData,
            ureq::Error::Timeout(_) | ureq::Error::HostNotFound => true,
            ureq::Error::ConnectionFailed | ureq::Error::Protocol(_) => true,
            _ => false,
        };
        let cache = self.settings.cache.as_ref().map(|cache| cache.folder().to_owned()).unwrap_or_default();
        let error = HubError::Unreachable { host: host.to_owned(), name: name.clone(), cache, source: Box::new(error) };
        if may_pass { Failure::passing(error) } else { error.into() }
    }

    fn odd(&self, problem: String) -> HubError {
        HubError::Answer { endpoint: self.settings.endpoint.clone(), problem }
    }
}

fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    parse_pem(pem).filter_map(certificate).collect()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// Returns how long a server asks to wait: `Retry-After` in seconds, or `t` of the hub's own `RateLimit`.
fn pause(headers: &HeaderMap) -> Option<Duration> {
    let after = text(headers, "retry-after").and_then(|seconds| seconds.trim().parse().ok());
    let limit = || text(headers, "ratelimit")?.split(';').find_map(|part| part.trim().strip_prefix("t=")?.parse().ok());
    after.or_else(limit).map(Duration::from_secs)
}

fn resolve(name: &Name, commit: &str, file: &str) -> String {
    format!("/{}/resolve/{commit}/{}", name.repository(), encoded(file))
}

/// Writes a text as one part of an address.
fn encoded(text: &str) -> String {
    let letter = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(letter).collect()
}

/// Returns scheme, host and port of an address: `https://host:443`.
fn origin(address: &str) -> &str {
    let start = address.find("://").map_or(0, |place| place + 3);
    let end = address[start..].find(['/', '?', '#']).map_or(address.len(), |place| start + place);
    &address[..end]
}

/// Returns the address that a redirection from another one means.
fn joined(address: &str, target: &str) -> String {
    let home = origin(address);
    if target.contains("://") && !target.starts_with('/') {
        target.to_owned()
    } else if target.starts_with("//") {
        let scheme = address.split("//").next().unwrap_or_default();
        format!("{scheme}{target}")
    } else if target.starts_with('/') {
        format!("{home}{target}")
    } else {
        let path = address[home.len()..].split(['?', '#']).next().unwrap_or_default();
        let folder = path.rfind('/').map_or("/", |place| &path[..=place]);
        format!("{home}{folder}{target}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_leads_where_it_says() {
        let address = "https://hub.co/org/name/resolve/main/a?x=1";
        let cases = [
            ("https://cdn.co:81/b?sign=1", "https://cdn.co:81/b?sign=1", "https://cdn.co:81"),
            ("//cdn.co/b", "https://cdn.co/b", "https://cdn.co"),
            ("/api/b?to=http://x", "https://hub.co/api/b?to=http://x", "https://hub.co"),
            ("b", "https://hub.co/org/name/resolve/main/b", "https://hub.co"),
        ];
        for (target, expected, host) in cases {
            let found = joined(address, target);
            assert_eq!((found.as_str(), origin(&found)), (expected, host));
        }
    }

    #[test]
    fn a_host_that_starts_like_the_hub_is_another() {
        assert_ne!(origin("https://hub.co.evil.org/a"), origin("https://hub.co/a"));
        assert_ne!(origin("https://hub.co:444/a"), origin("https://hub.co/a"));
        assert_ne!(origin("http://hub.co/a"), origin("https://hub.co/a"));
        assert_ne!(origin("https://hub.co@evil.org/a"), origin("https://hub.co/a"));
    }

    #[test]
    fn parts_of_addresses_are_encoded() {
        assert_eq!(encoded("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(encoded("a b+ü.json"), "a%20b%2B%C3%BC.json");
    }

    #[test]
    fn a_server_says_how_long_to_wait() {
        let pause = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            pause(&headers).map(|pause| pause.as_secs())
        };
        assert_eq!(pause("retry-after", "7"), Some(7));
        assert_eq!(pause("ratelimit", "\"api\";r=0;t=55"), Some(55));
        assert_eq!(pause("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"), None);
    }
}
