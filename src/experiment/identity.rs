//! Keys of stages: a hash of everything that can change a result, and of nothing else.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Identifies the result of a stage: 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

impl Key {
    /// Returns the digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first 12 digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says that a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no key: 32 hexadecimal digits expected")]
pub struct NotAKey(String);

impl TryFrom<String> for Key {
    type Error = NotAKey;

    fn try_from(text: String) -> Result<Self, NotAKey> {
        let digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if text.len() == 32 && text.chars().all(digit) { Ok(Self(text)) } else { Err(NotAKey(text)) }
    }
}

impl std::str::FromStr for Key {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        Self::try_from(text.to_owned())
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

/// Hashes a stage: its kind, the version of its code's results, its settings and the keys of its
/// inputs in order.
///
/// The order of keys in maps does not matter. A number is hashed in the shortest form that reads
/// back the same; as JSON has no infinity, an infinite number equals an absent one, which for the
/// one setting that may be infinite (`clip`) means the same.
///
/// # Errors
/// Settings that are no JSON: a map whose keys are no text.
pub fn identity(kind: &str, version: u32, settings: &impl Serialize, inputs: &[Key]) -> Result<Key, serde_json::Error> {
    let mut hasher = blake3::Hasher::new();
    // Lengths keep the parts apart: ("ab", "c") and ("a", "bc") differ.
    let mut part = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    part(kind);
    part(&version.to_string());
    let mut canonical = String::new();
    write_canonical(&serde_json::to_value(settings)?, &mut canonical);
    part(&canonical);
    for input in inputs {
        part(&input.0);
    }
    Ok(Key(hasher.finalize().to_hex()[..32].to_owned()))
}

/// Writes JSON without spaces and with sorted keys, whatever order the map type keeps.
fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (position, (key, item)) in entries.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                *text += &Value::from(key.as_str()).to_string();
                text.push(':');
                write_canonical(item, text);
            }
            text.push('}');
        }
        scalar => *text += &scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(settings: &Value) -> Key {
        identity("sft", 1, settings, &[]).expect("plain JSON")
    }

    #[test]
    fn the_order_of_keys_does_not_matter() {
        let a: Value = serde_json::from_str(r#"{"b": {"y": 1, "x": 2.5}, "a": [1, 2]}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"a": [1, 2], "b": {"x": 2.5, "y": 1}}"#).unwrap();
        assert_eq!(key(&a), key(&b));
    }

    #[test]
    fn everything_else_matters() {
        let base = identity("sft", 1, &json!({"lr": 0.001}), &[]).unwrap();
        let other = [
            identity("distill", 1, &json!({"lr": 0.001}), &[]),
            identity("sft", 2, &json!({"lr": 0.001}), &[]),
            identity("sft", 1, &json!({"lr": 0.002}), &[]),
            identity("sft", 1, &json!({"lr": "0.001"}), &[]),
            identity("sft", 1, &json!({"lr": 0.001}), std::slice::from_ref(&base)),
        ];
        for other in other {
            assert_ne!(base, other.unwrap());
        }
        assert_ne!(key(&json!([1, 2])), key(&json!([2, 1])));
    }

    #[test]
    fn the_key_of_fixed_settings_never_changes() {
        // A changed value orphans every finished stage in every store.
        let known = identity("pretrain", 1, &json!({"epochs": 1.0, "batch": 16}), &[]).unwrap();
        assert_eq!(known.as_str(), "");
    }

    #[test]
    fn a_key_reads_back() {
        let original = key(&json!(1));
        assert_eq!(original.to_string().parse::<Key>(), Ok(original));
        assert!("xyz".parse::<Key>().is_err());
    }
}
