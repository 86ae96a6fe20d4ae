//! JSON as people have it: the text of a file, values in which no key is given twice, and what values are.

mod strict;

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use thiserror::Error;

pub(crate) use self::strict::{elements, parse};

/// The first bytes of a file that gzip made (RFC 1952, section 2.3.1).
pub(crate) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Some editors on Windows start a file with it.
pub(crate) const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Says why bytes are no text.
#[derive(Debug, Error)]
pub(crate) enum NoText {
    /// They start as gzip does and cannot be unpacked.
    #[error("cannot be unpacked")]
    Packed(#[source] io::Error),
    /// They are no UTF-8 at a byte, counted from 0 in what is unpacked, of a line, counted from 1.
    #[error("not UTF-8 at byte {byte} (line {line})")]
    Encoding { byte: usize, line: usize },
}

/// Decodes the bytes of a file, gzipped or not.
///
/// # Errors
/// Bytes that cannot be unpacked or are no UTF-8.
pub(crate) fn text(mut bytes: Vec<u8>) -> Result<String, NoText> {
    if bytes.starts_with(&GZIP) {
        let mut unpacked = Vec::new();
        // Of several parts, as `cat a.gz b.gz` leaves them, all are read.
        MultiGzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).map_err(NoText::Packed)?;
        bytes = unpacked;
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let byte = error.utf8_error().valid_up_to();
        NoText::Encoding { byte, line: line_of(error.as_bytes(), byte) }
    })?;
    Ok(match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Returns the line, counted from 1, on which a byte stands.
pub(crate) fn line_of(bytes: &[u8], byte: usize) -> usize {
    1 + bytes[..byte].iter().filter(|&&byte| byte == b'\n').count()
}

/// Says why a value identifies nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoIdentifier {
    /// A number that may read as its neighbours do: beyond 64 bits or with a fraction.
    Inexact,
    /// Neither text nor a number.
    Mistyped,
}

impl NoIdentifier {
    /// Says what was expected.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Inexact => "text or a whole number below 2^64",
            Self::Mistyped => "text or a whole number",
        }
    }

    /// Returns what value to show as the one found.
    pub(crate) fn found(self, value: &Value) -> String {
        match self {
            Self::Inexact => value.to_string(),
            Self::Mistyped => described(value),
        }
    }
}

/// What to do about a number that identifies nothing.
pub(crate) const QUOTE: &str = "put the number in quotes";

/// Reads an identifier: text, or a whole number as many programs write it. 1 and "1" are the same.
///
/// # Errors
/// Any other value.
pub(crate) fn identifier(value: &Value) -> Result<String, NoIdentifier> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if number.is_u64() || number.is_i64() => Ok(number.to_string()),
        Value::Number(_) => Err(NoIdentifier::Inexact),
        _ => Err(NoIdentifier::Mistyped),
    }
}

/// Says in few words what a value is.
pub(crate) fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "text".to_owned(),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}
