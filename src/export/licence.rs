//! The licence of a model, as its folder tells it.

use std::path::Path;

use serde::Serialize;

use super::beside::passed_on;

/// What a model folder says about its licence and its language.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Licence {
    /// Its identifier, as the hub spells it: `apache-2.0`, `llama3.2`, `other`.
    pub id: Option<String>,
    /// Its name, where the identifier is `other`.
    pub name: Option<String>,
    /// Where its text is.
    pub link: Option<String>,
    /// Which file says so.
    pub from: Option<String>,
    /// Languages of the model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
}

impl Licence {
    /// Reads the front matter of `README.md` or else what file of a licence there is; all is unknown where there is
    /// neither.
    #[must_use]
    pub fn read(model: &Path) -> Self {
        let card = std::fs::read_to_string(model.join("README.md")).unwrap_or_default();
        let mut found = Self::of_card(&card);
        let files = passed_on(model).unwrap_or_default();
        let text = files.iter().find(|name| name.to_uppercase().starts_with("LICEN"));
        if let (None, Some(name)) = (&found.id, text) {
            let text = std::fs::read_to_string(model.join(name)).unwrap_or_default();
            found.id = Some(known(&text).unwrap_or("other").to_owned());
            found.from = Some(name.clone());
        }
        found
    }

    /// Reads the front matter of a model card: of YAML, what cards have, a value or a list of them for each key.
    fn of_card(card: &str) -> Self {
        let mut values: Vec<(&str, Vec<String>)> = Vec::new();
        let mut lines = card.lines();
        if lines.next().map(str::trim_end) != Some("---") {
            return Self::default();
        }
        for line in lines.take_while(|line| line.trim_end() != "---") {
            let item = line.trim_start().strip_prefix("- ");
            match (item, values.last_mut(), line.split_once(':')) {
                (Some(item), Some((_, list)), _) => list.extend(plain(item)),
                (None, _, Some((key, value))) if !line.starts_with([' ', '\t', '#']) => {
                    let value = value.trim();
                    let several = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
                    let list = match several {
                        Some(several) => several.split(',').filter_map(plain).collect(),
                        None => plain(value).into_iter().collect(),
                    };
                    values.push((key.trim(), list));
                }
                _ => {}
            }
        }
        let all = |key: &str| values.iter().find(|(known, _)| *known == key).map(|(_, list)| list.clone());
        let first = |key: &str| all(key).and_then(|list| list.into_iter().next());
        let id = first("license");
        Self {
            from: id.is_some().then(|| "README.md".to_owned()),
            id,
            name: first("license_name"),
            link: first("license_link"),
            languages: all("language").unwrap_or_default(),
        }
    }

    /// Words it for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Some(id) = &self.id else {
            return "unknown: the base has neither a model card that names it nor a file of it".to_owned();
        };
        let mut words = id.clone();
        for more in [&self.name, &self.link].into_iter().flatten() {
            words += &format!(", {more}");
        }
        if let Some(file) = &self.from {
            words += &format!(" (by `{file}` of the base)");
        }
        words
    }
}

/// Reads a plain or quoted value; none where there is nothing.
fn plain(value: &str) -> Option<String> {
    let value = value.trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.split(quote).next());
    let value = quoted.unwrap_or_else(|| value.split(" #").next().unwrap_or(value)).trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// Recognises the text of a licence.
fn known(text: &str) -> Option<&'static str> {
    let start: String = text.chars().take(2000).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
    [
        ("Apache License Version 2.0", "apache-2.0"),
        ("MIT License", "mit"),
        ("Permission is hereby granted, free of charge", "mit"),
        ("GNU GENERAL PUBLIC LICENSE Version 3", "gpl-3.0"),
    ]
    .into_iter()
    .find_map(|(words, id)| start.contains(words).then_some(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn front_matter_is_read_as_cards_have_it() {
        let card = "---\nlanguage:\n- en\n- \"de\"\nlicense: other # of the maker\nlicense_name: 'llama3'\n\
            license_link: https://example.org/LICENSE\ntags: [a, b]\nmodel-index:\n  - license: mit\n---\nlicense: gpl\n";
        let read = Licence::of_card(card);
        assert_eq!(read.languages, ["en", "de"]);
        assert_eq!(read.in_words(), "other, llama3, https://example.org/LICENSE (by `README.md` of the base)");
        assert_eq!(Licence::of_card("---\nlanguage: [en, fr]\n---").languages, ["en", "fr"]);
        for none in ["", "# A model\nlicense: mit", "---\nlicense:\n---\n"] {
            assert_eq!(Licence::of_card(none), Licence::default(), "{none}");
        }
    }

    #[test]
    fn a_file_of_a_licence_stands_in_for_a_card() {
        let folder = tempfile::tempdir().unwrap();
        let read = || Licence::read(folder.path());
        assert_eq!(read().in_words(), "unknown: the base has neither a model card that names it nor a file of it");
        files::write(&folder.path().join("LICENSE"), b"\n   Apache License\n  Version 2.0, January 2004").unwrap();
        assert_eq!(read().in_words(), "apache-2.0 (by `LICENSE` of the base)");
        files::write(&folder.path().join("LICENSE"), b"You may look at it.").unwrap();
        assert_eq!(read().in_words(), "other (by `LICENSE` of the base)");
        files::write(&folder.path().join("README.md"), b"---\nlicense: mit\n---\n").unwrap();
        assert_eq!(read().in_words(), "mit (by `README.md` of the base)");
    }
}
