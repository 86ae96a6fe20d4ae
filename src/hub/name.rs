//! Names of repositories: `hf:org/name` or `hf:org/name@revision`.

use std::fmt;

/// Prefix that tells a name of the hub from a path.
pub(super) const PREFIX: &str = "hf:";

/// The branch that is meant where no revision is named.
const MAIN: &str = "main";

/// Digits of a whole commit hash.
const COMMIT_DIGITS: usize = 40;

/// Names a repository of the hub at a revision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    repository: String,
    revision: String,
}

/// Says why a text is no name of the hub.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It does not name an organisation and a model.
    #[error("`{0}` is no hub name")]
    Repository(String),
    /// What stands behind `@` can be no branch, tag or commit.
    #[error("`{name}` is no hub name: `{revision}` is no branch, tag or commit")]
    Revision {
        /// The whole text.
        name: String,
        /// What stands behind `@`.
        revision: String,
    },
}

impl NameError {
    /// Returns the remedy.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Repository(_) => "write `hf:organisation/model`, such as `hf:mistralai/Mistral-7B-v0.1`",
            Self::Revision { .. } => {
                "write `hf:organisation/model@REVISION` with a branch, a tag or a whole commit hash; without `@` it is `main`"
            }
        }
    }
}

impl Name {
    /// Says whether a text names something of the hub, rightly or wrongly, and is no path.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Reads `hf:org/name` or `hf:org/name@revision`; without a revision it is `main`.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Repository(text.to_owned());
        let named = text.strip_prefix(PREFIX).ok_or_else(wrong)?;
        let (repository, revision) = match named.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (named, None),
        };
        if !is_repository(repository) {
            return Err(wrong());
        }
        match revision {
            Some(revision) if !is_revision(revision) => {
                Err(NameError::Revision { name: text.to_owned(), revision: revision.to_owned() })
            }
            _ => Ok(Self { repository: repository.to_owned(), revision: revision.unwrap_or(MAIN).to_owned() }),
        }
    }

    /// Returns `organisation/model`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the branch, tag or commit.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Returns the revision where it is a whole commit hash, which means the same for ever.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        let is_hash = |text: &str| text.len() == COMMIT_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        Some(self.revision.as_str()).filter(|revision| is_hash(revision))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}{}", self.repository)?;
        if self.revision == MAIN { Ok(()) } else { write!(formatter, "@{}", self.revision) }
    }
}

/// Says whether a text has the form `organisation/model`.
fn is_repository(name: &str) -> bool {
    let part = |part: &str| {
        let valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(valid)
    };
    name.split_once('/').is_some_and(|(organisation, model)| part(organisation) && part(model))
}

/// Says whether a text can name a revision: it is a part of an address, and of a path in the cache.
fn is_revision(revision: &str) -> bool {
    let part = |part: &str| {
        let valid = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
        !part.is_empty() && !part.starts_with('.') && !part.contains("..") && part.chars().all(valid)
    };
    revision.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_repository_and_a_revision() {
        let parts = |text: &str| Name::parse(text).map(|name| (name.repository, name.revision)).unwrap();
        let named = |repository: &str, revision: &str| (repository.to_owned(), revision.to_owned());
        assert_eq!(parts("hf:org/name"), named("org/name", "main"));
        assert_eq!(parts("hf:Org-1/N_2.5@refs/pr/3"), named("Org-1/N_2.5", "refs/pr/3"));
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(Name::parse(&format!("hf:org/name@{commit}")).unwrap().commit(), Some(commit));
        assert_eq!(Name::parse("hf:org/name@0123456").unwrap().commit(), None);
    }

    #[test]
    fn a_name_is_written_as_it_is_read() {
        for text in ["hf:org/name", "hf:org/name@v1.0"] {
            assert_eq!(Name::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Name::parse("hf:org/name@main").unwrap().to_string(), "hf:org/name");
    }

    #[test]
    fn what_is_no_name_is_told() {
        for text in
            ["hf:name", "hf:/name", "hf:org/", "hf:a/b/c", "hf:org/na me", "hf:../name", "hf:org/@main", "org/name"]
        {
            assert_eq!(Name::parse(text), Err(NameError::Repository(text.to_owned())));
        }
        for revision in ["", "a b", "../x", "a..b", "/a", "a/", "a@b", ".hidden"] {
            let name = format!("hf:org/name@{revision}");
            let error = Name::parse(&name).unwrap_err();
            assert_eq!(error.to_string(), format!("`{name}` is no hub name: `{revision}` is no branch, tag or commit"));
        }
    }
}
