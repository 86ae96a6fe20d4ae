//! The files of a tokenizer, kept as they were read so that saving changes nothing.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::added::{Beside, NAMED};
use super::class::Class;
use super::{TokenizerError, train};
use crate::files;

const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";

/// Holds the contents of a tokenizer's files.
pub(super) struct Files {
    /// Folder they were read from; empty for a trained tokenizer.
    pub(super) folder: PathBuf,
    /// The file that is called `tokenizer.json` as a rule; empty for a trained tokenizer.
    pub(super) file: PathBuf,
    /// Its contents.
    pub(super) tokenizer: Vec<u8>,
    config: Option<Value>,
    special: Option<Value>,
    added: Option<Value>,
    /// A chat template that is a file of its own.
    chat: Option<String>,
    /// First id that the model's `generation_config.json` or else its `config.json` names as an end.
    model_eos: Option<u32>,
    /// Ids at which the model's answers end: those of `generation_config.json` or, only where there is no
    /// such file, of `config.json`, as transformers has it.
    model_ends: Ends,
    /// The model's own `config.json`.
    model: Option<Value>,
}

const MODEL: &str = "config.json";
const GENERATION: &str = "generation_config.json";
const ADDED: &str = "added_tokens.json";
const CHAT: &str = "chat_template.jinja";
const CLASS: &str = "tokenizer_class";
/// The class that takes `tokenizer.json` at its word.
const GENERIC_CLASS: &str = "PreTrainedTokenizerFast";

impl Files {
    pub(super) fn read(path: &Path) -> Result<Self, TokenizerError> {
        let (folder, file) = match path.is_dir() {
            true => (path.to_owned(), path.join(TOKENIZER)),
            false => (path.parent().unwrap_or(Path::new("")).to_owned(), path.to_owned()),
        };
        let tokenizer = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(source) => return Err(TokenizerError::Read { file, source }),
        };
        let model = read_json(&folder.join(MODEL))?;
        let generation = read_json(&folder.join(GENERATION))?;
        let of_model = Ends::read(folder.join(MODEL), model.as_ref())?;
        let of_generation = Ends::read(folder.join(GENERATION), generation.as_ref())?;
        let model_eos = of_generation.first().or(of_model.first());
        let model_ends = if generation.is_some() { of_generation } else { of_model };
        Ok(Self {
            tokenizer,
            config: read_json(&folder.join(CONFIG))?,
            special: read_json(&folder.join(SPECIAL))?,
            added: read_json(&folder.join(ADDED))?,
            chat: read_text(&folder.join(CHAT))?,
            model_eos,
            model_ends,
            model,
            folder,
            file,
        })
    }

    /// Returns the files of a tokenizer that was trained here.
    pub(super) fn trained(inner: &tokenizers::Tokenizer) -> Result<Self, TokenizerError> {
        let text = inner.to_string(false).map_err(TokenizerError::Train)?;
        let special = train::special_tokens(inner);
        let mut config = special.clone();
        config[CLASS] = json!(GENERIC_CLASS);
        config["clean_up_tokenization_spaces"] = json!(false);
        Ok(Self {
            folder: PathBuf::new(),
            file: PathBuf::new(),
            tokenizer: text.into_bytes(),
            config: Some(config),
            special: Some(special),
            added: None,
            chat: None,
            model_eos: None,
            model_ends: Ends::default(),
            model: None,
        })
    }

    /// Applies what the files beside `tokenizer.json` change, and keeps it for saving.
    pub(super) fn complete(&mut self, inner: &mut tokenizers::Tokenizer) -> Result<(), TokenizerError> {
        let text = |inner: &tokenizers::Tokenizer| {
            let format = |source| TokenizerError::Format { file: self.file.clone(), source };
            inner.to_string(false).map_err(format)
        };
        let before = text(inner)?;
        let of_model = |key: &str| self.model.as_ref()?.get(key);
        let (config, model_type) = (self.config.as_ref(), of_model("model_type").and_then(Value::as_str));
        let named = config.and_then(|config| config.get(CLASS)).or_else(|| of_model(CLASS)).and_then(Value::as_str);
        let folder = || self.folder.clone();
        let class =
            Class::find(named, model_type, inner).map_err(|class| TokenizerError::Class { folder: folder(), class })?;
        class.apply(inner, config).map_err(|problem| TokenizerError::Misfit {
            folder: folder(),
            class: named.unwrap_or("Qwen2Tokenizer").to_owned(),
            problem,
        })?;
        let beside = Beside {
            config,
            special: self.special.as_ref(),
            added: self.added.as_ref(),
            rows: of_model("vocab_size").and_then(Value::as_u64),
        };
        beside.add(inner, class).map_err(|problem| TokenizerError::Added { folder: folder(), problem })?;
        let after = text(inner)?;
        if after != before {
            self.tokenizer = after.into_bytes();
        }
        let split = config.and_then(|config| config.get("split_special_tokens")).and_then(Value::as_bool);
        inner.set_encode_special_tokens(split.unwrap_or(false));
        Ok(())
    }

    /// Finds the id of the end-of-sequence token: by name in the tokenizer's own files, else by id
    /// in the model's, of several the first.
    pub(super) fn eos(&self, inner: &tokenizers::Tokenizer, length: usize) -> Result<u32, TokenizerError> {
        let unknown = |token: String| TokenizerError::UnknownEos { folder: self.folder.clone(), token };
        for file in [&self.config, &self.special].into_iter().flatten() {
            let token = match file.get("eos_token") {
                Some(Value::String(token)) => token,
                Some(Value::Object(token)) => match token.get("content") {
                    Some(Value::String(content)) => content,
                    _ => continue,
                },
                _ => continue,
            };
            let id = inner.token_to_id(token);
            return id.ok_or_else(|| unknown(token.clone()));
        }
        let Some(id) = self.model_eos else {
            let folder = self.folder.clone();
            return Err(TokenizerError::NoEos { folder });
        };
        if (id as usize) < length { Ok(id) } else { Err(unknown(id.to_string())) }
    }

    /// Lists `eos` and the other tokens that the model's files name as ends of an answer, whatever they
    /// stand for: transformers stops at each of them.
    ///
    /// # Errors
    /// An id that neither the tokenizer, of `length` ids, nor the model's embedding has.
    pub(super) fn ends(&self, eos: u32, length: usize) -> Result<Vec<u32>, TokenizerError> {
        let Ends { file, ids } = &self.model_ends;
        let rows = self.model.as_ref().and_then(|model| model.get("vocab_size")?.as_u64()).unwrap_or(0);
        let limit = rows.max(length as u64);
        let mut ends = vec![eos];
        for &id in ids {
            if u64::from(id) >= limit {
                let expected = format!("ids below {limit}");
                return Err(TokenizerError::End { file: file.clone(), value: id.to_string(), expected });
            }
            if !ends.contains(&id) {
                ends.push(id);
            }
        }
        Ok(ends)
    }

    /// Lists the ids that the model's files name as ends.
    pub(super) fn named_ends(&self) -> &[u32] {
        &self.model_ends.ids
    }

    pub(super) fn write(&self, folder: &Path, eos: &str) -> Result<(), TokenizerError> {
        let minimal = json!({ "eos_token": eos });
        let mut config = self.config.clone().unwrap_or_else(|| minimal.clone());
        // What a class changes is in `tokenizer.json` by now, and must not be changed again beside
        // a model of another type.
        config[CLASS] = json!(GENERIC_CLASS);
        let special = self.special.as_ref().unwrap_or(&minimal);
        std::fs::create_dir_all(folder).map_err(|source| files::failed(folder, None, source))?;
        let pretty = |value: &Value| format!("{value:#}\n").into_bytes();
        for (name, bytes) in
            [(TOKENIZER, self.tokenizer.clone()), (CONFIG, pretty(&config)), (SPECIAL, pretty(special))]
        {
            files::write(&folder.join(name), &bytes)?;
        }
        if let Some(chat) = &self.chat {
            files::write(&folder.join(CHAT), chat.as_bytes())?;
        }
        Ok(())
    }

    /// Returns the chat template: a file of its own or else a key of `tokenizer_config.json`, where of several the
    /// one that is called `default` counts.
    pub(super) fn chat_template(&self) -> Option<&str> {
        let named = |list: &'_ Value| -> Option<usize> {
            list.as_array()?.iter().position(|one| one.get("name").and_then(Value::as_str) == Some("default"))
        };
        let key = self.config.as_ref().and_then(|config| config.get("chat_template"));
        self.chat.as_deref().or_else(|| {
            let key = key?;
            key.as_str().or_else(|| key.get(named(key)?)?.get("template")?.as_str())
        })
    }

    /// Lists the special tokens by name, as the tokenizer spells them.
    pub(super) fn special_tokens(&self) -> Vec<(String, String)> {
        let spelled = |name: &str| {
            let files = [&self.config, &self.special].into_iter().flatten();
            let mut found = files.filter_map(|file| file.get(name));
            found.find_map(|token| token.as_str().or_else(|| token.get("content")?.as_str()).map(str::to_owned))
        };
        NAMED.iter().filter_map(|&name| Some((name.to_owned(), spelled(name)?))).collect()
    }
}

/// What a configuration names as ends.
#[derive(Default)]
struct Ends {
    file: PathBuf,
    ids: Vec<u32>,
}

impl Ends {
    /// Reads `eos_token_id` of a configuration, if there is one: an id, or a list of them.
    fn read(file: PathBuf, config: Option<&Value>) -> Result<Self, TokenizerError> {
        let value = config.and_then(|config| config.get("eos_token_id")).unwrap_or(&Value::Null);
        let id = |value: &Value| u32::try_from(value.as_u64()?).ok();
        let ids = match value {
            Value::Null => Some(Vec::new()),
            Value::Array(ids) => ids.iter().map(id).collect(),
            one => id(one).map(|id| vec![id]),
        };
        match ids {
            Some(ids) => Ok(Self { file, ids }),
            None => {
                let expected = "a token id or a list of them".to_owned();
                Err(TokenizerError::End { file, value: value.to_string(), expected })
            }
        }
    }

    fn first(&self) -> Option<u32> {
        self.ids.first().copied()
    }
}

/// Reads a text; none where there is no file.
fn read_text(file: &Path) -> Result<Option<String>, TokenizerError> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TokenizerError::Read { file: file.to_owned(), source }),
    }
}

/// Reads a JSON object; none where there is no file.
fn read_json(file: &Path) -> Result<Option<Value>, TokenizerError> {
    let file = file.to_owned();
    let bytes = match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(TokenizerError::Read { file, source }),
    };
    match serde_json::from_slice(&bytes) {
        Ok(value @ Value::Object(_)) => Ok(Some(value)),
        Ok(_) => Err(TokenizerError::Format { file, source: "expected a JSON object".into() }),
        Err(error) => Err(TokenizerError::Format { file, source: error.into() }),
    }
}
