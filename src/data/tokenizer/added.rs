//! Tokens that only the files beside `tokenizer.json` name, added as transformers adds them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokenizers::{AddedToken, Tokenizer};

use super::class::Class;
use super::vocabulary::is_placeholder;

/// What the files beside `tokenizer.json` say of tokens.
#[derive(Debug)]
pub(super) struct Beside<'a> {
    /// `tokenizer_config.json`.
    pub(super) config: Option<&'a Value>,
    /// `special_tokens_map.json`.
    pub(super) special: Option<&'a Value>,
    /// `added_tokens.json`.
    pub(super) added: Option<&'a Value>,
    /// Rows of the model's embedding, where there is a model.
    pub(super) rows: Option<u64>,
}

/// Keys that name a special token.
pub(super) const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// Keys that list more of them.
const LISTED: [&str; 2] = ["additional_special_tokens", "extra_special_tokens"];

impl Beside<'_> {
    /// Adds to `inner` what stands beside it only.
    ///
    /// Special and placeholder tokens beyond the model's embedding are left out, as are those that are
    /// named and stand in no vocabulary: no text should be read as a token that the model cannot read.
    ///
    /// # Errors
    /// A token whose id is not the one that transformers would give it, in words.
    pub(super) fn add(&self, inner: &mut Tokenizer, class: Class) -> Result<(), String> {
        let named = self.named(class);
        for (id, token) in self.declared(&named)? {
            let set_aside = token.special || is_placeholder(&token.content);
            if set_aside && self.rows.is_some_and(|rows| u64::from(id) >= rows) {
                continue;
            }
            let content = token.content.clone();
            inner.add_tokens([token]).map_err(|error| error.to_string())?;
            if let Some(found) = inner.token_to_id(&content).filter(|&found| found != id) {
                return Err(format!("the added token `{content}` gets the id {found}, expected {id} as declared"));
            }
        }
        let added: BTreeSet<String> =
            inner.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
        for content in named.iter().filter(|&content| !added.contains(content)) {
            if inner.token_to_id(content).is_some() {
                let special = AddedToken::from(content.as_str(), true);
                inner.add_tokens([special]).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Lists the special tokens that are named, those of the class included.
    fn named(&self, class: Class) -> BTreeSet<String> {
        // The map is that of older files.
        let map = self.special.filter(|_| self.decoder().is_none());
        let files = [map, self.config];
        let files: Vec<&Value> = files.into_iter().flatten().collect();
        let of_key = |key: &str| files.iter().find_map(|file| file.get(key).filter(|value| !value.is_null()));
        let content = |value: &Value| Some(value.as_str().or_else(|| value.get("content")?.as_str())?.to_owned());
        let mut named: BTreeSet<String> = NAMED.iter().filter_map(|key| content(of_key(key)?)).collect();
        for list in LISTED.iter().filter_map(|key| of_key(key)?.as_array()) {
            named.extend(list.iter().filter_map(content));
        }
        let defaults = class.default_tokens().iter().filter(|(key, _)| of_key(key).is_none());
        named.extend(defaults.map(|&(_, token)| token.to_owned()));
        named
    }

    fn decoder(&self) -> Option<&Value> {
        self.config?.get("added_tokens_decoder")
    }

    /// Lists the tokens that are declared with an id: those of `added_tokens_decoder` or, without it,
    /// of `added_tokens.json`.
    fn declared(&self, named: &BTreeSet<String>) -> Result<BTreeMap<u32, AddedToken>, String> {
        let table = |value: &Value, name: &str| {
            value.as_object().cloned().ok_or_else(|| format!("`{name}` is no table of tokens"))
        };
        let mut declared = BTreeMap::new();
        if let Some(decoder) = self.decoder() {
            for (id, token) in table(decoder, "added_tokens_decoder")? {
                let wrong = || format!("`added_tokens_decoder` holds `{id}`: {token}, expected an id and its token");
                let number: u32 = id.parse().map_err(|_| wrong())?;
                let content = token.get("content").and_then(Value::as_str).ok_or_else(wrong)?;
                let flag = |name: &str, default| token.get(name).and_then(Value::as_bool).unwrap_or(default);
                let special = flag("special", false) || named.contains(content);
                let token = AddedToken::from(content, special)
                    .single_word(flag("single_word", false))
                    .lstrip(flag("lstrip", false))
                    .rstrip(flag("rstrip", false))
                    .normalized(flag("normalized", !special));
                declared.insert(number, token);
            }
        } else if let Some(added) = self.added {
            for (content, id) in table(added, "added_tokens.json")? {
                let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
                let number =
                    number.ok_or_else(|| format!("`added_tokens.json` gives `{content}` {id}, expected an id"))?;
                let special = named.contains(&content);
                declared.insert(number, AddedToken::from(content, special).normalized(!special));
            }
        }
        Ok(declared)
    }
}
