//! What the environment says: where the cache is, whom to ask, and with which token.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::cache::Cache;

const ENDPOINT: &str = "https://huggingface.co";

/// Pause before the first new attempt; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// A secret that opens what the hub gives to some only. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Keeps a token, without the spaces and line ends around it; none if nothing is left.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// Returns what is sent with a request.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Says whether it can be sent at all.
    pub(super) fn is_sendable(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(..)")
    }
}

/// Says where the hub and its cache are, by the same variables as the hub's own tools.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The cache: `HF_HUB_CACHE`, else `hub` in `HF_HOME`, in `XDG_CACHE_HOME/huggingface` or in
    /// `~/.cache/huggingface`. None where no variable says where that would be.
    pub cache: Option<Cache>,
    /// Address of the hub or of a mirror, without `/` at its end: `HF_ENDPOINT`.
    pub endpoint: String,
    /// `HF_TOKEN`, else the content of `HF_TOKEN_PATH` or of `token` beside the cache; none with
    /// `HF_HUB_DISABLE_IMPLICIT_TOKEN`.
    pub token: Option<Token>,
    /// Nothing may be asked of the network: `HF_HUB_OFFLINE`.
    pub is_offline: bool,
    /// Certificates to trust instead of Mozilla's, where a company's proxy has its own: `SSL_CERT_FILE`.
    pub certificates: Option<PathBuf>,
    /// Pause before the first new attempt after a failure; each further one is twice as long.
    pub pause: Duration,
}

impl Settings {
    /// Reads the environment.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::read(|name| std::env::var_os(name))
    }

    /// Reads variables.
    fn read(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let text = |name| variable(name).and_then(|value| value.into_string().ok());
        let path = |name| variable(name).map(PathBuf::from);
        let is_set = |name| {
            let word = text(name).unwrap_or_default().to_ascii_uppercase();
            ["1", "ON", "YES", "TRUE"].contains(&word.as_str())
        };
        let home = path("HF_HOME")
            .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| path("HOME").map(|home| home.join(".cache/huggingface")));
        let token = || {
            let named = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN"));
            let file = path("HF_TOKEN_PATH").or_else(|| home.as_ref().map(|home| home.join("token")));
            named.or_else(|| std::fs::read_to_string(file?).ok()).as_deref().and_then(Token::new)
        };
        let folder = path("HF_HUB_CACHE")
            .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| home.as_ref().map(|home| home.join("hub")));
        Self {
            token: if is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN") { None } else { token() },
            cache: folder.map(Cache::new),
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned()).trim_end_matches('/').to_owned(),
            is_offline: is_set("HF_HUB_OFFLINE"),
            certificates: path("SSL_CERT_FILE"),
            pause: PAUSE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    fn read(variables: &[(&str, &str)]) -> Settings {
        Settings::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value)))
    }

    #[test]
    fn the_cache_is_where_the_hubs_own_tools_have_it() {
        let folder = |variables: &[(&str, &str)]| read(variables).cache.map(|cache| cache.folder().to_owned());
        let all = [("HF_HUB_CACHE", "/a"), ("HF_HOME", "/b"), ("XDG_CACHE_HOME", "/c"), ("HOME", "/d")];
        let expected = ["/a", "/b/hub", "/c/huggingface/hub", "/d/.cache/huggingface/hub"];
        for (first, expected) in expected.iter().enumerate() {
            assert_eq!(folder(&all[first..]), Some(PathBuf::from(expected)));
        }
        assert_eq!(folder(&[("HF_HOME", ""), ("HOME", "/d")]), Some(PathBuf::from(expected[3])));
        assert_eq!(folder(&[]), None);
    }

    #[test]
    fn a_token_comes_from_its_variable_or_the_file_of_the_hubs_tools() {
        let home = tempfile::tempdir().unwrap();
        files::write(&home.path().join("token"), b"of-file\n").unwrap();
        let home = ("HF_HOME", home.path().to_str().unwrap());
        let token = |variables: &[(&str, &str)]| read(variables).token.map(|token| token.0);
        assert_eq!(token(&[home]).as_deref(), Some("of-file"));
        assert_eq!(token(&[home, ("HF_TOKEN", "of-variable")]).as_deref(), Some("of-variable"));
        assert_eq!(token(&[home, ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        assert_eq!(token(&[("HF_TOKEN_PATH", "/nowhere")]), None);
    }

    #[test]
    fn a_token_is_not_shown() {
        let settings = read(&[("HF_TOKEN", "hf_secret")]);
        assert!(settings.token.is_some());
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn a_mirror_and_no_network_are_heeded() {
        assert_eq!(read(&[]).endpoint, ENDPOINT);
        assert_eq!(read(&[("HF_ENDPOINT", "http://mirror:81/hf/")]).endpoint, "http://mirror:81/hf");
        assert!(read(&[("HF_HUB_OFFLINE", "1")]).is_offline && read(&[("HF_HUB_OFFLINE", "true")]).is_offline);
        assert!(!read(&[("HF_HUB_OFFLINE", "0")]).is_offline);
    }
}
