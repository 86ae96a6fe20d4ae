//! Which files of a repository are used.

use super::cache::{CONFIG, Content, INDEX, TOKENIZER, WEIGHTS};
use super::error::HubError;
use super::name::Name;

/// Endings of pickles, which are programs and never fetched.
const PICKLES: [&str; 4] = [".bin", ".pth", ".pt", ".ckpt"];

/// Says where the weights are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weights {
    /// None are needed.
    None,
    /// In one file.
    One,
    /// In those that the index names.
    Divided,
}

/// Returns the small files that are used and says where the weights are.
///
/// A checkpoint is known by every JSON file, `.model` and template beside its weights, so all of them are
/// fetched: it is then the same one as where all of the repository was downloaded. Folders hold other forms of
/// the model.
///
/// # Errors
/// A repository that lacks what is needed.
pub(super) fn select<'a>(
    name: &Name,
    files: &'a [String],
    content: Content,
) -> Result<(Vec<&'a str>, Weights), HubError> {
    let files = || files.iter().map(String::as_str).filter(|file| !file.contains('/') && !file.starts_with('.'));
    let has = |wanted: &str| files().any(|file| file == wanted);
    let small = [".json", ".jinja", ".model"];
    let chosen = files().filter(|file| small.iter().any(|ending| file.ends_with(ending))).collect();
    let lacks = |file| HubError::Lacks { name: name.clone(), file };
    let weights = match content {
        Content::Tokenizer => Weights::None,
        Content::Model if !has(CONFIG) => return Err(lacks(CONFIG)),
        Content::Model if has(WEIGHTS) => Weights::One,
        Content::Model if has(INDEX) => Weights::Divided,
        Content::Model => {
            let pickle = files().find(|file| PICKLES.iter().any(|ending| file.ends_with(ending)));
            return Err(match pickle {
                Some(file) => HubError::Pickled { name: name.clone(), file: file.to_owned() },
                None => lacks(WEIGHTS),
            });
        }
    };
    if !has(TOKENIZER) {
        return Err(lacks(TOKENIZER));
    }
    Ok((chosen, weights))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(files: &str, content: Content) -> Result<(String, Weights), String> {
        let files: Vec<String> = files.split(' ').map(str::to_owned).collect();
        let name = Name::parse("hf:org/name").unwrap();
        match select(&name, &files, content) {
            Ok((chosen, weights)) => Ok((chosen.join(" "), weights)),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn only_what_is_used_is_chosen() {
        let files = ".gitattributes README.md chat_template.jinja config.json consolidated.safetensors model.gguf \
                     model.safetensors onnx/config.json pytorch_model.bin tokenizer.json tokenizer.model";
        let small = "chat_template.jinja config.json tokenizer.json tokenizer.model";
        assert_eq!(selected(files, Content::Model), Ok((small.to_owned(), Weights::One)));
        assert_eq!(selected(files, Content::Tokenizer), Ok((small.to_owned(), Weights::None)));
        let divided = "config.json model-1.safetensors model.safetensors.index.json tokenizer.json";
        let small = "config.json model.safetensors.index.json tokenizer.json";
        assert_eq!(selected(divided, Content::Model), Ok((small.to_owned(), Weights::Divided)));
    }

    #[test]
    fn what_is_missing_is_told() {
        let error = |files: &str| selected(files, Content::Model).unwrap_err();
        assert_eq!(
            error("config.json pytorch_model.bin tokenizer.json"),
            "the weights of `hf:org/name` are PyTorch pickles (`pytorch_model.bin`), expected safetensors"
        );
        assert_eq!(error("config.json tokenizer.json"), "`hf:org/name` has no `model.safetensors`");
        assert_eq!(error("config.json model.safetensors"), "`hf:org/name` has no `tokenizer.json`");
        assert_eq!(error("adapter_config.json"), "`hf:org/name` has no `config.json`");
    }
}
