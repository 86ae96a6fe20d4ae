//! How far back the tokens of each layer see.

use std::collections::BTreeSet;

use serde_json::Value;

use super::keys::Keys;

const FULL_ATTENTION: &str = "full_attention";
const SLIDING_ATTENTION: &str = "sliding_attention";

/// A window, and the layers that see all tokens though there is one.
pub type Windows = (Option<i64>, BTreeSet<i64>);

/// Reads how far back a token sees: `window` tokens in all layers but those that `layer_types` or else
/// `is_full` leaves out.
///
/// # Errors
/// When `layer_types` is no list of known kinds, one for each layer.
pub fn read(
    keys: &Keys<'_>,
    window: Option<i64>,
    layers: i64,
    is_full: impl Fn(i64) -> bool,
) -> Result<Windows, String> {
    let Some(types) = keys.read("layer_types", "a list", Value::as_array)? else {
        // A size is as large as the file says; without a window nothing is to be listed.
        let full =
            if window.is_some() { (0..layers).filter(|&layer| is_full(layer)).collect() } else { BTreeSet::new() };
        return Ok(windows(window, full, layers));
    };
    if types.len() as i64 != layers {
        return Err(format!("`layer_types` has {} entries, expected one for each of {layers} layers", types.len()));
    }
    let mut full = BTreeSet::new();
    for (layer, kind) in (0..).zip(types) {
        match kind.as_str() {
            Some(FULL_ATTENTION) => drop(full.insert(layer)),
            Some(SLIDING_ATTENTION) if window.is_some() => {}
            Some(SLIDING_ATTENTION) => {
                return Err(format!(
                    "`layer_types` has `{SLIDING_ATTENTION}`, expected a `sliding_window`, which is not set or not in use"
                ));
            }
            _ => {
                return Err(format!(
                    "`layer_types` holds {kind}, expected `{FULL_ATTENTION}` or `{SLIDING_ATTENTION}`"
                ));
            }
        }
    }
    Ok(windows(window, full, layers))
}

/// Leaves the window out where no layer has one, and the list where all have.
fn windows(window: Option<i64>, full: BTreeSet<i64>, layers: i64) -> Windows {
    match window {
        Some(window) if (full.len() as i64) < layers => (Some(window), full),
        _ => (None, BTreeSet::new()),
    }
}

/// Reads `sliding_window`: a null is no window, an absent key what transformers takes for granted.
///
/// # Errors
/// When it is no size.
pub fn stated(keys: &Keys<'_>, default: Option<i64>) -> Result<Option<i64>, String> {
    if keys.has("sliding_window") { keys.size("sliding_window") } else { Ok(default) }
}
