//! Remedies of faults of structure: what to write instead, as it would stand in the file or after `--set`.

use super::document::{KeyPath, Node, Place, Step, Value};
use super::faults::Faults;
use super::load::{as_list, quoted};
use super::nearest::{listed, nearest};
use super::syntax::number;

/// Words the remedy for a key of the experiment that stands below the header of a table.
pub(super) fn move_up(name: &str) -> String {
    format!("move `{name}` above the first `[table]`")
}

/// Says where a setting stands, or what stands for it, that users expect in a table with keys `here`.
pub(super) fn advice(key: &str, here: &[&str]) -> Option<&'static str> {
    let (neighbour, advice) = match key.to_lowercase().replace('_', "-").as_str() {
        "warmup" | "warmup-ratio" | "warmup-steps" | "floor" | "min-lr" | "lr-scheduler" | "lr-scheduler-type" => {
            ("schedule", "write `schedule = { cosine = { warmup = 0.05, floor = 1e-7 } }`")
        }
        "temperature" | "top-p" | "top-k" | "min-p" => {
            ("decoding", "write `decoding = { sample = { temperature = 0.7, top-p = 0.9 } }`")
        }
        "repetition-penalty" | "no-repeat-ngram" | "no-repeat-ngram-size" | "stop" | "stop-strings" => {
            ("decoding", "write `decoding = { greedy = { repetition-penalty = 1.1, stop = [\"\\n\"] } }`")
        }
        "optimizer" | "optimiser" | "optim" => {
            ("lr", "remove it: the optimiser is AdamW; set its `lr` and `weight-decay`")
        }
        "alpha" => {
            ("contrast", "one significance level holds for all claims: write `alpha = 0.05` above the first `[table]`")
        }
        _ => return None,
    };
    here.contains(&neighbour).then_some(advice)
}

/// Words the remedy for a text that stands where a choice with settings belongs.
pub(super) fn choice_of_text(path: &KeyPath, text: &str, allowed: &'static [&'static str], faults: &Faults) -> String {
    let is_path = text.contains(['/', '\\']) || text.ends_with(".json");
    let meant = nearest(text, allowed.iter().copied()).filter(|_| !is_path);
    if let Some(meant) = meant {
        return format!("did you mean `{}`?", stated(path, &choice(meant), faults));
    }
    if allowed.contains(&"checkpoint") && !text.is_empty() {
        let is_hub_name =
            text.split('/').count() == 2 && !text.starts_with(['.', '/', '~']) && !text.starts_with("hf:");
        let hub = if is_hub_name { format!(", or of the hub `\"hf:{text}\"`") } else { String::new() };
        return format!("write `{}`{hub}", stated(path, &format!("{{ checkpoint = {text:?} }}"), faults));
    }
    if allowed.contains(&"file") && is_path {
        return format!("write `{}`", stated(path, &format!("{{ file = {{ path = {text:?} }} }}"), faults));
    }
    let choices: Vec<String> = allowed.iter().map(|name| format!("`{}`", choice(name))).collect();
    format!("choose one of {}", choices.join(", "))
}

/// Shows the settings of a choice that has some, as far as they must be given or mostly are; none for a
/// choice that is a word.
pub(super) fn written(choice: &str) -> Option<&'static str> {
    Some(match choice {
        "checkpoint" => "\"hf:organisation/model\"",
        "scratch" => "{ tokenizer = \"a\", hidden = 128, layers = 2, heads = 4, feed-forward = 384 }",
        "file" => "{ path = \"tokenizer.json\" }",
        "byte-level-bpe" | "unigram" => "{ vocabulary = 4096 }",
        "vanilla" | "dual-space" | "cross-entropy" | "full" | "lora" | "greedy" | "sample" | "constant" | "linear"
        | "cosine" => "{}",
        _ => return None,
    })
}

/// Writes a choice with its settings.
pub(super) fn choice(name: &str) -> String {
    format!("{{ {name} = {} }}", written(name).unwrap_or("{}"))
}

/// Writes a setting with another value, as where it stands: in a file or on the command line.
pub(super) fn stated(path: &KeyPath, value: &str, faults: &Faults) -> String {
    let node = faults.root.get(&path.0);
    let source = node.and_then(|node| faults.sources.get(node.place.source));
    match path.0.last() {
        Some(Step::Key(_)) if source.is_some_and(|source| source.is_override) => {
            format!("--set {}", quoted(&format!("{path}={value}")))
        }
        Some(Step::Key(key)) => format!("{} = {value}", KeyPath::default().key(key)),
        _ => value.to_owned(),
    }
}

/// Words the remedy for what stands in place of a table with `keys`.
pub(super) fn table_help(path: &KeyPath, keys: &[&str], faults: &Faults) -> String {
    let Some(node) = faults.root.get(&path.0) else { return String::new() };
    let number = |node: &Node| match node.value {
        Value::Integer(number) => Some(number as f64),
        Value::Float(number) => Some(number),
        _ => None,
    };
    if keys.starts_with(&["train", "dev", "test"]) {
        let shares = match &node.value {
            Value::Array(items) => items.iter().map(number).collect::<Option<Vec<f64>>>().unwrap_or_default(),
            _ => number(node).filter(|train| (0.0..1.0).contains(train)).map_or(vec![], |train| {
                let other = ((1.0 - train) / 2.0 * 1e6).round() / 1e6;
                vec![train, other, other]
            }),
        };
        let [train, dev, test] = shares[..] else {
            return format!("write `{}`", stated(path, "{ train = 0.8, dev = 0.1, test = 0.1 }", faults));
        };
        let value = format!("{{ train = {train}, dev = {dev}, test = {test} }}");
        return format!("write `{}`", stated(path, &value, faults));
    }
    if keys.contains(&"factor") {
        return format!("write `{}`", example("contrast"));
    }
    let names = listed(keys.iter().copied());
    if matches!(node.value, Value::Array(_)) && node.key.as_ref().is_some_and(|key| is_header(key, faults)) {
        return format!("write `[{path}]` with one pair of brackets; its keys: {names}");
    }
    let is_override = faults.sources.get(node.place.source).is_some_and(|source| source.is_override);
    match keys.first() {
        Some(first) if is_override => format!("set one of its keys, such as `--set {}=...`: {names}", path.key(first)),
        _ => format!("its keys: {names}"),
    }
}

/// Says whether a key stands in the header of a table: `[key]`.
pub(super) fn is_header(key: &Place, faults: &Faults) -> bool {
    let text = faults.sources.get(key.source).map_or("", |source| source.text.as_str());
    let before = text.get(..key.span.start).unwrap_or_default();
    before.rsplit('\n').next().is_some_and(|line| line.trim_start().starts_with('['))
}

/// Shows how a required key is written.
pub(super) fn example(key: &str) -> String {
    let value = match key {
        "version" | "layers" => "1",
        "seeds" => "[10, 20, 30]",
        "data" => return "[data.glossary]".to_owned(),
        "models" | "factors" => return format!("[{key}]"),
        "importer" => "\"glossary\"",
        "student" | "teacher" | "algorithm" => "[\"name\"]",
        "contrast" => "{ factor = \"sft\", better = \"both\", worse = \"none\" }",
        "metrics" => "[\"rouge-l\"]",
        "vocabulary" => "4096",
        "hidden" => "128",
        "heads" => "4",
        "feed-forward" => "384",
        _ => "\"...\"",
    };
    format!("{key} = {value}")
}

/// Suggests how a value of the wrong type may be meant.
pub(super) fn conversion(path: &KeyPath, expected: &str, faults: &Faults) -> Option<String> {
    let node = faults.root.get(&path.0)?;
    let source = faults.sources.get(node.place.source)?;
    if expected == "a list" && matches!(node.value, Value::Table(_)) {
        let is_header = node.key.as_ref().is_some_and(|key| is_header(key, faults));
        return Some(match is_header {
            true => format!("write `[[{path}]]` with two pairs of brackets, once for each element"),
            false => "put it in brackets: `[{ ... }]`".to_owned(),
        });
    }
    if expected == "a table" && path.0 == [Step::Key("factors".to_owned())] {
        let is_header = node.key.as_ref().is_some_and(|key| is_header(key, faults));
        return Some(match (source.is_override, is_header) {
            (true, _) => "set one factor: `--set 'factors.sft=[\"none\", \"both\"]'`".to_owned(),
            (false, true) => "write `[factors]` with one pair of brackets".to_owned(),
            (false, false) => "name factors and their levels, such as `sft = [\"none\", \"both\"]`".to_owned(),
        });
    }
    if expected == "a table" {
        let entry = path.key("NAME");
        return Some(match source.is_override {
            true => format!("set its entries by name: `--set {entry}=...`"),
            false => format!("give its entries names: `[{entry}]`"),
        });
    }
    if let (Value::Table(table), "text in quotes" | "a path in quotes") = (&node.value, expected) {
        let mut values = table.values();
        return match (values.next().map(|node| &node.value), values.next()) {
            (Some(Value::String(text)), None) => {
                Some(format!("write `{}`", stated(path, &format!("{text:?}"), faults)))
            }
            _ => None,
        };
    }
    let typed = source.text.get(node.place.span.clone()).filter(|text| !text.contains('\n'))?;
    if typed.trim().is_empty() {
        return None;
    }
    // In `--set` a text may stand without quotes.
    let in_quotes = typed.starts_with(['"', '\'']);
    let write = |value: &str| Some(format!("write `{}`", stated(path, value, faults)));
    let unquoted = |value: &str| match in_quotes {
        true => Some(format!("write it without quotes: `{value}`")),
        false => write(value),
    };
    match (&node.value, expected) {
        (Value::String(text), "a number" | "a whole number (0 or more)") => unquoted(&number(text)?),
        (Value::String(text), "`true` or `false`") => match text.to_lowercase().as_str() {
            "true" | "yes" | "on" => unquoted("true"),
            "false" | "no" | "off" => unquoted("false"),
            _ => None,
        },
        (Value::Integer(0 | 1), "`true` or `false`") => write(if typed == "1" { "true" } else { "false" }),
        (Value::Integer(_) | Value::Float(_) | Value::Boolean(_), "text in quotes" | "a path in quotes") => {
            Some(format!("put it in quotes: `\"{typed}\"`"))
        }
        (Value::Integer(_) | Value::Float(_) | Value::String(_), "a list") if source.is_override => {
            write(&as_list(typed))
        }
        (Value::Integer(_) | Value::Float(_) | Value::String(_), "a list") => {
            Some(format!("put it in brackets: `{}`", as_list(typed)))
        }
        (Value::Float(number), "a whole number (0 or more)") if number.fract() == 0.0 && *number >= 0.0 => {
            Some(format!("write it without a decimal point: `{number:.0}`"))
        }
        _ => None,
    }
}
