//! Opening an experiment: what the commands on experiments have in common.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use tutelage_metrics::metric::METRICS;

use super::notes::notes;
use super::output::{Format, Output};
use crate::data::template::response;
use crate::data::{
    Characters, DivideError, Divided, Example, ImportError, SplitError, Tokenizer, WordingError, wording,
};
use crate::evaluate::locate::{self, LocateError};
use crate::experiment::settings::{Data, Experiment, Kind, Lora, Model, Template, TokenizerSource};
use crate::experiment::{
    Checked, Compared, Course, Ends, Faults, KeyPath, LessonKind, Loaded, Sought, Surroundings, check, load,
};
use crate::hub::Name;
use crate::models::ModelError;
use crate::models::config::Config;
use crate::models::weights::Checkpoint;
use crate::orchestrate::keep::store::Store;
use crate::orchestrate::plan::hub;
use crate::orchestrate::stages::score::metrics_of;
use crate::tuning::lora;

/// Names an experiment and changes to it.
#[derive(Debug, Args)]
pub struct StudyArgs {
    /// The experiment file.
    #[arg(value_name = "EXPERIMENT")]
    pub experiment: PathBuf,
    /// Changes a setting, over the file and its bases; may be given several times. The value is
    /// TOML or else text: `training.distill.lr=5e-4`, `seeds=[10,20]`, `data.telequad.path=qa.json`.
    /// A relative path starts at the current folder (in a file: at that file's folder).
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// An experiment without faults, and what was learnt of its data on the way.
pub struct Opened {
    /// The experiment.
    pub checked: Checked,
    /// What its data sets of questions hold, by their settings: they need not be read again to estimate.
    pub read: Vec<(Data, Characters)>,
}

/// Names a store.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// Folder of everything that is computed; experiments and processes may share one. A relative
    /// path starts at the current folder.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub store: PathBuf,
}

/// Returns the default sentence-embedding model if it is installed.
#[must_use]
pub fn embedding_model() -> Option<PathBuf> {
    locate::embedding_model(None).ok()
}

/// Says that another process writes the report of an experiment.
pub fn tell_waiting(experiment: &str, output: &Output) {
    output.say(&format!("another process writes the report of `{experiment}`; waiting"));
}

impl StudyArgs {
    /// Reads the experiment and looks for every fault in it.
    ///
    /// # Errors
    /// All faults at once.
    pub fn check(&self) -> Result<Opened, Faults> {
        let mut loaded = load(&self.experiment, &self.set);
        let (train, read) = questions(&mut loaded);
        unreadable_models(&mut loaded);
        unreadable_templates(&mut loaded);
        wordless_models(&mut loaded);
        let told = notes(&loaded);
        let experiment = loaded.experiment.clone();
        let per_token: Vec<&str> =
            METRICS.iter().filter(|metric| metric.is_per_token()).map(|metric| metric.id).collect();
        let answers = train.as_deref().unwrap_or_default();
        let compare = |student: &str, teacher: &str| {
            let experiment = experiment.as_ref()?;
            Some(compared(&tokenizer(experiment, student)?, &tokenizer(experiment, teacher)?, answers))
        };
        // Asked more than once of a pair, and tokenizers take long to read.
        let known = RefCell::new(BTreeMap::new());
        let vocabularies = |student: &str, teacher: &str| {
            let pair = (student.to_owned(), teacher.to_owned());
            known.borrow_mut().entry(pair).or_insert_with(|| compare(student, teacher)).clone()
        };
        let around = Surroundings {
            metrics: &metrics_of,
            per_token: &per_token,
            vocabularies: &vocabularies,
            in_cache: &in_cache,
            positions: &|checkpoint| size(checkpoint, |config| config.max_position_embeddings),
            width: &|checkpoint| size(checkpoint, |config| config.hidden_size),
            adapters: &lacking,
            quantised: &|checkpoint| Config::read(&hub::locate(checkpoint)?).ok()?.quantisation,
            train_examples: train.as_ref().map(Vec::len),
            default_embedding_model: default_embedding_model(),
        };
        let mut checked = check(loaded, &around)?;
        checked.notes.extend(told);
        Ok(Opened { checked, read })
    }

    /// Reads the experiment; none if it has faults, which are told: underlined on stderr, as JSON
    /// on stdout if asked for.
    ///
    /// # Errors
    /// A stdout that cannot be written to.
    pub fn open(&self, output: &Output) -> anyhow::Result<Option<Opened>> {
        let faults = match self.check() {
            Ok(opened) => return Ok(Some(opened)),
            Err(faults) => faults,
        };
        if output.format() == Format::Text {
            output.warn(faults.render(output.color()).trim_end());
        }
        output.result(&faults.to_json(), String::new)?;
        Ok(None)
    }
}

impl StoreArgs {
    /// Views the store; one that is not there is empty, which is told.
    #[must_use]
    pub fn view(&self, output: &Output) -> Store {
        if !self.store.exists() {
            output.say(&format!("note: there is no store at `{}` yet", self.store.display()));
        }
        Store::view(&self.store)
    }
}

/// Compares the vocabularies of a student and a teacher, and how they cut `answers`.
fn compared(student: &Tokenizer, teacher: &Tokenizer, answers: &[Example]) -> Compared {
    let end = |tokenizer: &Tokenizer| tokenizer.end().unwrap_or_default().to_owned();
    // That a model has a row for each of its tokens is told by `unusable`.
    let exchanged = teacher.exchanged_ends(student, teacher.len());
    let ends = (exchanged != Ok(None)).then(|| Ends {
        student: end(student),
        teacher: end(teacher),
        is_shared: exchanged.is_ok(),
    });
    let same = student.same_vocabulary(teacher);
    let differs = |example: &&Example| {
        let response = response(&example.answer);
        student.encode(&response) != teacher.encode(&response)
    };
    let split = if same { answers.iter().find(differs).map(|example| example.answer.clone()) } else { None };
    Compared { same, ends, split }
}

/// Returns a size of a checkpoint, if it is here.
fn size(checkpoint: &str, of: fn(&Config) -> i64) -> Option<usize> {
    let config = Config::read(&hub::locate(checkpoint)?).ok()?;
    usize::try_from(of(&config)).ok()
}

/// Says what a model lacks that the settings of its adapters name.
fn lacking(model: &Model, settings: &Lora) -> Option<(&'static str, String)> {
    let config = match model {
        Model::Checkpoint(checkpoint) => Config::read(&hub::locate(checkpoint)?).ok()?,
        // Its vocabulary, which is not known before its tokenizer is trained, says nothing here.
        Model::Scratch(scratch) => Config::scratch(scratch, 1, 0),
    };
    lora::check(&config, settings).err()
}

/// Says whether all that is sought of a hub model is in the local cache; else what is wrong with its name, and
/// the remedy.
fn in_cache(name: &str, sought: Sought) -> Result<bool, (String, String)> {
    Name::parse(name).map_err(|error| (error.to_string(), error.hint().to_owned()))?;
    let found = match sought {
        Sought::Model => hub::locate(name),
        Sought::Tokenizer => hub::locate_tokenizer(Path::new(name)),
    };
    Ok(found.is_some())
}

/// Says why the default embedding model is not there, and what to do about it.
fn default_embedding_model() -> Result<(), (String, String)> {
    locate::embedding_model(None).map(drop).map_err(|error| {
        let remedy = match error {
            // `make setup` cannot help: the search ends at what is named.
            LocateError::NotThere { .. } => {
                format!("correct or unset ${}, name a folder as `evaluation.embedding-model`", locate::VARIABLE)
            }
            LocateError::NoneFound { .. } => error.hint(),
        };
        (error.to_string(), remedy)
    })
}

/// Reads the data sets of questions. Returns the training examples of the one that questions are learned from,
/// and what each of them holds; adds what is wrong inside any of them to the faults. What the settings alone show
/// to be wrong is told by the check.
fn questions(loaded: &mut Loaded) -> (Option<Vec<Example>>, Vec<(Data, Characters)>) {
    let Some(experiment) = loaded.experiment.clone() else { return (None, Vec::new()) };
    let lessons = loaded.design.courses().flat_map(Course::all).flat_map(|course| &course.lessons);
    let learned: BTreeSet<String> =
        lessons.filter(|lesson| lesson.kind != LessonKind::Pretrain).map(|lesson| lesson.data.clone()).collect();
    let (mut found, mut read) = (None, Vec::new());
    for (name, data) in &experiment.data {
        let Some(divided) = divided(name, data, loaded) else { continue };
        read.push((data.clone(), divided.characters(&divided.texts(), data.closed_book)));
        // Of several, none stands for all.
        if experiment.data.len() == 1 || learned.len() == 1 && learned.contains(name) {
            found = Some(divided.splits.train);
        }
    }
    (found, read)
}

/// Imports and divides a data set of questions.
fn divided(name: &str, data: &Data, loaded: &mut Loaded) -> Option<Divided> {
    let at = KeyPath::from("data").key(name);
    // Texts have no questions, and may be too many to be read for a check.
    let is_text = data.importer.kind() == Kind::Text;
    if is_text || data.path.as_ref().is_some_and(|path| !path.is_file()) || !loaded.faults.is_sound(&at) {
        return None;
    }
    let error = match Divided::read(data, Path::new("")) {
        Ok(divided) => return Some(divided),
        Err(error) => error,
    };
    let path = match &error {
        DivideError::Split(SplitError::Shares(..) | SplitError::NotGiven(_)) => return None,
        DivideError::Split(_) if data.limit == Some(0) => return None,
        DivideError::Split(_) => at.key("split"),
        DivideError::Import(error) => match **error {
            ImportError::NoPath { .. } | ImportError::Embedded { .. } => return None,
            _ => at.key("path"),
        },
    };
    let hint = error.hint();
    loaded.faults.at(path, in_full(error), hint);
    None
}

/// Adds to the faults what keeps checkpoints and tokenizers that are here from being used: another
/// architecture, weights that are damaged or of another format. Reads small files, and of weights the
/// headers; other files that are not there are told by the check.
fn unreadable_models(loaded: &mut Loaded) {
    let Some(experiment) = &loaded.experiment else { return };
    let mut found = Vec::new();
    let used = loaded.design.models();
    for (name, model) in experiment.models.iter().filter(|(name, _)| used.contains(name.as_str())) {
        let Model::Checkpoint(checkpoint) = model else { continue };
        let at = KeyPath::from("models").key(name).key("checkpoint");
        let unusable = unusable(checkpoint).into_iter();
        found.extend(unusable.map(|(message, help)| (at.clone(), message, help)));
    }
    for (name, tokenizer) in &experiment.tokenizers {
        let TokenizerSource::File { path } = tokenizer else { continue };
        let Some(path) = hub::locate_tokenizer(path) else { continue };
        if !path.is_file() && !path.join("tokenizer.json").is_file() {
            continue;
        }
        if let Err(error) = Tokenizer::load(&path) {
            let help = error.hint().to_owned();
            let at = KeyPath::from("tokenizers").key(name).key("file").key("path");
            found.push((at, in_full(error), help));
        }
    }
    for (at, message, help) in found {
        loaded.faults.at(at, message, help);
    }
}

/// Adds to the faults templates of the experiment that are none.
fn unreadable_templates(loaded: &mut Loaded) {
    let Some(experiment) = loaded.experiment.clone() else { return };
    for (name, data) in &experiment.data {
        let Template::Own { prompt, response } = &data.template else { continue };
        let Err(error) = wording::own(prompt, response) else { continue };
        let part = if let WordingError::Own { name, .. } = &error { name } else { "prompt" };
        let at = KeyPath::from("data").key(name).key("template").key("own").key(part);
        loaded.faults.at(at, error.to_string(), error.hint());
    }
}

/// Adds to the faults models without the chat template that a data set words prompts by.
fn wordless_models(loaded: &mut Loaded) {
    let Some(experiment) = &loaded.experiment else { return };
    let chats = experiment.data.iter().filter(|(_, data)| data.template == Template::Chat);
    let chats: Vec<KeyPath> = chats.map(|(name, _)| KeyPath::from("data").key(name).key("template")).collect();
    let mut found = Vec::new();
    for name in loaded.design.models().into_iter().filter(|_| !chats.is_empty()) {
        let trained = matches!(
            experiment.models.get(name),
            Some(Model::Scratch(scratch)) if !matches!(experiment.tokenizers.get(&scratch.tokenizer), Some(TokenizerSource::File { .. }))
        );
        let problem = match tokenizer(experiment, name).map(|tokenizer| tokenizer.chat_template()) {
            Some(Ok(Some(_))) => continue,
            Some(Err(error)) => (format!("`{name}`: {error}"), error.hint()),
            None if !trained => continue,
            Some(Ok(None)) | None => (
                format!("`{name}` has no chat template"),
                "leave `template` out, or choose models that were tuned to chat",
            ),
        };
        found.extend(chats.iter().map(|at| (at.clone(), problem.clone())));
    }
    for (at, (message, help)) in found {
        loaded.faults.at(at, message, help);
    }
}

/// Lists what keeps a checkpoint that is here from being used, each with its remedy.
fn unusable(checkpoint: &str) -> Vec<(String, String)> {
    let folder = PathBuf::from(checkpoint);
    let Some(folder) = hub::locate(checkpoint).or_else(|| folder.is_dir().then_some(folder)) else {
        return Vec::new();
    };
    let is_there = |name: &str| folder.join(name).is_file();
    let mut found = Vec::new();
    let has_config = is_there("config.json") || is_there("adapter_config.json");
    let config = has_config.then(|| Config::read(&folder)).transpose();
    if let Err(error @ (ModelError::OnlyAdapter { .. } | ModelError::AdapterBeside { .. })) = config {
        let help = error.hint().unwrap_or_default().to_owned();
        return vec![(in_full(error), help)];
    }
    let tokenizer = is_there("tokenizer.json").then(|| Tokenizer::load(&folder)).transpose();
    if let (Ok(Some(config)), Ok(Some(tokenizer))) = (&config, &tokenizer)
        && tokenizer.len() as i64 > config.vocab_size
    {
        let (tokens, rows) = (tokenizer.len(), config.vocab_size);
        let message = format!("the tokenizer of `{checkpoint}` has {tokens} tokens, its model {rows} embeddings");
        found.push((message, "use the tokenizer that the model was trained with".to_owned()));
    }
    if let Err(error) = config {
        let help = "choose another checkpoint, or fetch it again if it is damaged";
        found.push((in_full(error), help.to_owned()));
    }
    if let Err(error) = tokenizer {
        let help = error.hint().to_owned();
        found.push((in_full(error), help));
    }
    if let Err(error) = Checkpoint::open(&folder) {
        let help = weights_help(&error, checkpoint);
        found.push((in_full(error), help));
    }
    found
}

/// Says how to come by the weights of a checkpoint that cannot be opened.
fn weights_help(error: &ModelError, checkpoint: &str) -> String {
    let convert = "convert them with transformers: `AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(DIR)`";
    match error {
        // What the hub has is verified against its hashes; what is missing is told before.
        _ if Name::is_meant(checkpoint) => {
            format!("download damaged files again: `tutelage fetch --verify {checkpoint}`")
        }
        ModelError::Pickled { .. } => convert.to_owned(),
        ModelError::NoWeights { .. } => {
            "save the weights as safetensors, whole or in shards with their index".to_owned()
        }
        _ => "copy the file again; if it is a pointer of git-lfs, run `git lfs pull` beside it".to_owned(),
    }
}

/// Writes an error with its causes.
fn in_full(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

/// Loads the tokenizer of a model where it can be had without training.
pub(super) fn tokenizer(experiment: &Experiment, model: &str) -> Option<Tokenizer> {
    let folder = match experiment.models.get(model)? {
        Model::Checkpoint(checkpoint) => hub::locate(checkpoint)?,
        Model::Scratch(scratch) => match experiment.tokenizers.get(&scratch.tokenizer)? {
            TokenizerSource::File { path } => hub::locate_tokenizer(path)?,
            _ => return None,
        },
    };
    Tokenizer::load(&folder).ok()
}
