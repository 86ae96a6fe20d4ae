//! Where models lie on this machine, folders or the hub's local cache, and what identifies them as inputs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::data::{Tokenizer, is_text};
use crate::experiment::{Key, identity};
use crate::files::checksum;
use crate::hub::{Content, Name, Settings};
use crate::models::config::Config;
use crate::orchestrate::plan::stage::Source;

/// Finds the folder of a checkpoint named by an experiment: itself, or the snapshot of a hub name in the
/// local cache. None if it is not on this machine, or not all of what is needed.
#[must_use]
pub fn locate(checkpoint: &str) -> Option<PathBuf> {
    if Name::is_meant(checkpoint) {
        let name = Name::parse(checkpoint).ok()?;
        return Settings::from_environment().cache?.snapshot(&name, Content::Model);
    }
    let folder = PathBuf::from(checkpoint);
    folder.join("config.json").is_file().then_some(folder)
}

/// Finds the tokenizer that an experiment names: a file or folder, or the snapshot of a hub name in the local
/// cache. None of the hub's if it is not on this machine.
#[must_use]
pub fn locate_tokenizer(path: &Path) -> Option<PathBuf> {
    match path.to_str().filter(|text| Name::is_meant(text)) {
        Some(name) => Settings::from_environment().cache?.snapshot(&Name::parse(name).ok()?, Content::Tokenizer),
        None => Some(path.to_owned()),
    }
}

/// Returns the commit of a checkpoint's files, where they lie in the hub's cache.
#[must_use]
pub fn commit(checkpoint: &str) -> Option<String> {
    let name = Name::parse(checkpoint).ok()?;
    Settings::from_environment().cache?.commit(&name)
}

/// Sizes of checkpoints, from their public `config.json`: a study is planned where they are not, too.
const PUBLISHED: [(&str, &str); 10] = [
    (
        "TinyLlama/TinyLlama-1.1B",
        r#"{"model_type": "llama", "vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 5632,
            "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4}"#,
    ),
    (
        "meta-llama/Llama-2-7b",
        r#"{"model_type": "llama", "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32}"#,
    ),
    (
        "mistralai/Mistral-7B",
        r#"{"model_type": "mistral", "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336,
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8}"#,
    ),
    (
        "meta-llama/Meta-Llama-3-8B",
        r#"{"model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8}"#,
    ),
    (
        "meta-llama/Llama-3.2-1B",
        r#"{"model_type": "llama", "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192,
            "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
            "tie_word_embeddings": true}"#,
    ),
    (
        "meta-llama/Llama-3.2-3B",
        r#"{"model_type": "llama", "vocab_size": 128256, "hidden_size": 3072, "intermediate_size": 8192,
            "num_hidden_layers": 28, "num_attention_heads": 24, "num_key_value_heads": 8, "head_dim": 128,
            "tie_word_embeddings": true}"#,
    ),
    (
        "Qwen/Qwen2.5-3B",
        r#"{"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 11008,
            "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 2, "tie_word_embeddings": true}"#,
    ),
    (
        "Qwen/Qwen2.5-1.5B",
        r#"{"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 1536, "intermediate_size": 8960,
            "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2, "tie_word_embeddings": true}"#,
    ),
    (
        "microsoft/Phi-4-mini",
        r#"{"model_type": "phi3", "vocab_size": 200064, "hidden_size": 3072, "intermediate_size": 8192,
            "num_hidden_layers": 32, "num_attention_heads": 24, "num_key_value_heads": 8,
            "partial_rotary_factor": 0.75, "tie_word_embeddings": true}"#,
    ),
    (
        "google/gemma-2b",
        r#"{"model_type": "gemma", "vocab_size": 256000, "hidden_size": 2048, "intermediate_size": 16384,
            "num_hidden_layers": 18, "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256,
            "tie_word_embeddings": true}"#,
    ),
];

/// Returns the configuration of a checkpoint: its own where it is on this machine, else the
/// published sizes of a model of that name. For estimates, never for computing.
#[must_use]
pub fn configuration(checkpoint: &str) -> Option<Config> {
    if let Some(folder) = locate(checkpoint) {
        return Config::read(&folder).ok();
    }
    let name = Name::parse(checkpoint).ok()?;
    // Sizes need no weights.
    let part = Settings::from_environment().cache.and_then(|cache| cache.files(&name));
    if let Some(config) = part.and_then(|folder| Config::read(&folder).ok()) {
        return Some(config);
    }
    let (_, json) = PUBLISHED.iter().find(|(prefix, _)| name.repository().starts_with(prefix))?;
    Config::from_json(&serde_json::from_str(json).ok()?).ok()
}

/// Describes a checkpoint as an input: hashed by content where it is on this machine, else by name.
///
/// # Errors
/// Files that cannot be read.
pub fn checkpoint(name: &str) -> io::Result<Source> {
    let origin = name.to_owned();
    match locate(name) {
        Some(path) => {
            let key = content(&path, Reach::Folder, version(&path), is_part_of_model)?;
            Ok(Source::External { commit: commit(name), origin, path: Some(path), key })
        }
        None => {
            let key = identity("not-here", 1, &name, &[])?;
            Ok(Source::External { origin, commit: None, path: None, key })
        }
    }
}

/// Returns the version of a checkpoint as an input. 2: rows of its table beyond the tokenizer's tokens, if it
/// has any, count in nothing that is computed with it. 3, and 4 with such rows: what the tokenizer puts before every
/// text, if anything, is there.
fn version(folder: &Path) -> u32 {
    let rows = Config::read(folder).ok().map(|config| config.vocab_size);
    let Ok(tokenizer) = Tokenizer::load(folder) else { return 1 };
    let has_more = rows.is_some_and(|rows| (tokenizer.len() as i64) < rows);
    1 + u32::from(has_more) + 2 * u32::from(!tokenizer.beginning().is_empty())
}

/// Describes a file, or the folder of a sentence-embedding model, as an input: such a model keeps the
/// settings of its pooling in a folder of their own.
///
/// # Errors
/// Files that cannot be read.
pub fn file(path: &Path) -> io::Result<Source> {
    let key = match path.is_dir() {
        true => content(path, Reach::Below, 1, is_part_of_model)?,
        false => identity("file", 1, &checksum(path)?, &[])?,
    };
    Ok(Source::External { origin: path.display().to_string(), commit: None, path: Some(path.to_owned()), key })
}

/// Describes the source of a data set as an input: a file, or the folder of all texts below it.
///
/// # Errors
/// Files that cannot be read.
pub fn data(path: &Path) -> io::Result<Source> {
    if !path.is_dir() {
        return file(path);
    }
    let is_read = |name: &str| !name.split('/').any(|part| part.starts_with('.')) && is_text(Path::new(name));
    let key = content(path, Reach::Below, 1, is_read)?;
    Ok(Source::External { origin: path.display().to_string(), commit: None, path: Some(path.to_owned()), key })
}

/// Describes the tokenizer in a folder or of the hub as an input: its JSON files and templates, not the weights
/// beside them. One of the hub that is not on this machine is known by its name.
///
/// # Errors
/// Files that cannot be read.
pub fn tokenizer(folder: &Path) -> io::Result<Source> {
    let name = folder.display().to_string();
    // The model of the same name is another input.
    let origin = if Name::is_meant(&name) { format!("tokenizer of {name}") } else { name.clone() };
    let Some(path) = locate_tokenizer(folder) else {
        let key = identity("not-here", 1, &origin, &[])?;
        return Ok(Source::External { origin, commit: None, path: None, key });
    };
    let is_tokenizer = |name: &str| is_template(name) || (name.ends_with(".json") && !name.ends_with(".index.json"));
    // 2: what it puts before every text, if anything, is there.
    let begins = Tokenizer::load(&path).is_ok_and(|tokenizer| !tokenizer.beginning().is_empty());
    let key = content(&path, Reach::Folder, 1 + u32::from(begins), is_tokenizer)?;
    Ok(Source::External { commit: commit(&name), origin, path: Some(path), key })
}

/// Says whether a file of a model folder can change what the model computes; weights in other
/// formats and cards cannot.
fn is_part_of_model(name: &str) -> bool {
    name.ends_with(".json") || name.ends_with(".safetensors") || name.ends_with(".model") || is_template(name)
}

/// Says whether a file words dialogues, as `chat_template.jinja` does.
fn is_template(name: &str) -> bool {
    name.ends_with(".jinja")
}

/// Says which files of a folder count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Those right in it.
    Folder,
    /// Those in the folders below it, too.
    Below,
}

/// Hashes the chosen files of a folder by name and content.
///
/// The hub's cache links each file to a blob named by its SHA-256, which is taken as the content's
/// hash; everything else is read.
fn content(folder: &Path, reach: Reach, version: u32, chosen: impl Fn(&str) -> bool) -> io::Result<Key> {
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(inside) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inside))? {
            let path = entry?.path();
            let name = inside.clone() + &path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && reach == Reach::Below {
                folders.push(name + "/");
            } else if path.is_file() && chosen(&name) {
                let hash = match blob(&path) {
                    Some(hash) => hash,
                    None => checksum(&path)?,
                };
                files.push((name, hash));
            }
        }
    }
    files.sort();
    Ok(identity("folder", version, &files, &[])?)
}

fn blob(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    let name = target.file_name()?.to_str()?;
    let in_blobs = target.parent()?.file_name()? == "blobs";
    let is_sha256 = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    (in_blobs && is_sha256).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    fn key_of(folder: &Path) -> Key {
        checkpoint(&folder.display().to_string()).unwrap().key().clone()
    }

    #[test]
    fn a_checkpoint_is_known_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        files::write(&folder.path().join("config.json"), b"{}").unwrap();
        files::write(&folder.path().join("model.safetensors"), b"1").unwrap();
        let first = key_of(folder.path());
        files::write(&folder.path().join("README.md"), b"card").unwrap();
        assert_eq!(key_of(folder.path()), first);
        files::write(&folder.path().join("model.safetensors"), b"2").unwrap();
        let second = key_of(folder.path());
        assert_ne!(second, first);
        files::write(&folder.path().join("chat_template.jinja"), b"{{ messages }}").unwrap();
        let third = key_of(folder.path());
        assert_ne!(third, second);
        files::write(&folder.path().join("chat_template.jinja"), b"{% for message in messages %}").unwrap();
        assert_ne!(key_of(folder.path()), third);
    }

    #[test]
    fn an_embedding_model_is_known_by_its_pooling_too() {
        let folder = tempfile::tempdir().unwrap();
        let pooling = folder.path().join("1_Pooling/config.json");
        fs::create_dir(folder.path().join("1_Pooling")).unwrap();
        files::write(&folder.path().join("config.json"), b"{}").unwrap();
        files::write(&pooling, b"{\"pooling_mode\": \"mean\"}").unwrap();
        let key = || file(folder.path()).unwrap().key().clone();
        let mean = key();
        files::write(&pooling, b"{\"pooling_mode\": \"cls\"}").unwrap();
        assert_ne!(key(), mean);
        // A checkpoint is what lies in its folder: others may be kept below it.
        let checkpoint = key_of(folder.path());
        fs::remove_file(pooling).unwrap();
        assert_eq!(key_of(folder.path()), checkpoint);
    }

    #[test]
    fn a_checkpoint_that_is_not_here_is_known_by_its_name() {
        let Source::External { path, key, .. } = checkpoint("/nowhere/a").unwrap() else {
            panic!("a checkpoint is no stage");
        };
        assert_eq!(path, None);
        assert_ne!(&key, checkpoint("/nowhere/b").unwrap().key());
    }

    #[test]
    fn published_sizes_are_those_of_the_models() {
        let parameters = |name: &str| configuration(name).map(|config| config.parameters());
        let tiny = "hf:TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T";
        // The numbers on the models' cards.
        assert_eq!(parameters(tiny), Some(1_100_048_384));
        assert_eq!(parameters("hf:meta-llama/Llama-2-7b-hf"), Some(6_738_415_616));
        assert_eq!(parameters("hf:mistralai/Mistral-7B-v0.1"), Some(7_241_732_096));
        assert_eq!(parameters("hf:mistralai/Mistral-7B-v0.1@main"), Some(7_241_732_096));
        assert_eq!(parameters("hf:nobody/nothing"), None);
    }
}
