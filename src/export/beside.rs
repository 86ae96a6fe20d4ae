//! Files of a model folder that are neither weights nor tokenizer: how to generate, and what the licence asks to
//! pass on.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value, json};

use crate::files;

/// How transformers generates with a model.
const GENERATION: &str = "generation_config.json";

/// What names of files that a licence asks to pass on start with.
const PASSED_ON: [&str; 4] = ["LICENSE", "LICENCE", "NOTICE", "USE_POLICY"];

/// Writes `generation_config.json`: that of `model`, or a new one, with the tokens that end answers.
///
/// # Errors
/// A file that cannot be read, is no JSON object, or cannot be written.
pub fn generation(model: &Path, ends: &[u32], begin: Option<i64>, folder: &Path) -> anyhow::Result<()> {
    let path = model.join(GENERATION);
    let mut settings: Map<String, Value> = match path.exists() {
        true => {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            serde_json::from_str(&text).with_context(|| format!("`{}` is no JSON object", path.display()))?
        }
        false => begin.map(|begin| ("bos_token_id".to_owned(), json!(begin))).into_iter().collect(),
    };
    let ends = if let [only] = ends { json!(only) } else { json!(ends) };
    settings.insert("eos_token_id".to_owned(), ends);
    Ok(files::write_json(&folder.join(GENERATION), &settings)?)
}

/// Copies what the licence of `model` asks to pass on, and returns the names of the files.
///
/// # Errors
/// Files that cannot be read or written.
pub fn pass_on(model: &Path, folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut copied = Vec::new();
    for name in passed_on(model)? {
        let path = model.join(&name);
        let bytes = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        files::write(&folder.join(&name), &bytes)?;
        copied.push(name);
    }
    Ok(copied)
}

/// Lists the files of a folder that its licence asks to pass on.
///
/// # Errors
/// A folder that cannot be read.
pub fn passed_on(model: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(model).with_context(|| format!("cannot look into `{}`", model.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_passed_on = PASSED_ON.iter().any(|start| name.to_uppercase().starts_with(start));
        if is_passed_on && entry.path().is_file() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_goes_on_to_generate_as_its_base_did() {
        let folder = tempfile::tempdir().unwrap();
        let (model, output) = (folder.path().join("model"), folder.path().join("output"));
        fs::create_dir(&model).unwrap();
        fs::create_dir(&output).unwrap();
        let read = || -> Value { serde_json::from_slice(&fs::read(output.join(GENERATION)).unwrap()).unwrap() };
        generation(&model, &[7], Some(1), &output).unwrap();
        assert_eq!(read(), json!({"bos_token_id": 1, "eos_token_id": 7}));
        files::write(&model.join(GENERATION), br#"{"temperature": 0.6, "eos_token_id": 3}"#).unwrap();
        generation(&model, &[7, 3], Some(1), &output).unwrap();
        assert_eq!(read(), json!({"temperature": 0.6, "eos_token_id": [7, 3]}));
        files::write(&model.join(GENERATION), b"[]").unwrap();
        let error = generation(&model, &[7], None, &output).unwrap_err().to_string();
        assert!(error.ends_with("is no JSON object"), "{error}");
    }

    #[test]
    fn what_a_licence_asks_for_is_passed_on() {
        let folder = tempfile::tempdir().unwrap();
        let (model, output) = (folder.path().join("model"), folder.path().join("output"));
        fs::create_dir(&model).unwrap();
        fs::create_dir(&output).unwrap();
        for name in ["LICENSE.txt", "Notice", "USE_POLICY.md", "README.md", "model.safetensors"] {
            files::write(&model.join(name), name.as_bytes()).unwrap();
        }
        assert_eq!(pass_on(&model, &output).unwrap(), ["LICENSE.txt", "Notice", "USE_POLICY.md"]);
        assert_eq!(fs::read(output.join("LICENSE.txt")).unwrap(), b"LICENSE.txt");
        assert_eq!(fs::read_dir(&output).unwrap().count(), 3);
    }
}
