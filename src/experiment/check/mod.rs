//! Faults of meaning, all at once and before anything is loaded.
//!
//! Works on settings and file names only; what needs a tokenizer, a data set or a hub cache is
//! asked of the caller through [`Surroundings`].

mod data;
mod design;
mod evaluation;
mod hypotheses;
mod models;
mod objectives;
mod quantised;
mod range;
mod sets;
mod steps;
mod training;
mod tuning;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use super::course::{Course, LessonKind};
use super::design::{Arm, Design, Reference};
use super::document::KeyPath;
use super::faults::{Fault, Faults};
use super::lay::Overlaid;
use super::load::Loaded;
use super::settings::{BaseFormat, Experiment, Lora, Model, Task, TokenizerSource};

pub use objectives::same_vocabulary;

/// What is wrong, and the remedy.
pub type Wrong = (String, String);

/// Answers what settings alone cannot tell.
pub struct Surroundings<'a> {
    /// Names of the metrics that can be computed of a task.
    pub metrics: &'a dyn Fn(Task) -> Vec<&'static str>,
    /// Those of them whose values are per token of a model's own vocabulary.
    pub per_token: &'a [&'a str],
    /// How the vocabularies of two models of the experiment, student and teacher by name, compare; none
    /// when a tokenizer cannot be read here. Of two scratch models only asked where both read a file.
    pub vocabularies: &'a dyn Fn(&str, &str) -> Option<Compared>,
    /// Whether all that is sought of a hub model (`hf:org/name`, `hf:org/name@revision`) is in the local cache;
    /// else what is wrong with its name, and the remedy.
    pub in_cache: &'a dyn Fn(&str, Sought) -> Result<bool, Wrong>,
    /// Longest sequence that a checkpoint, as the experiment names it, was made for; none where it is
    /// not here.
    pub positions: &'a dyn Fn(&str) -> Option<usize>,
    /// Width of the hidden states of a checkpoint, as the experiment names it; none where it is not here.
    pub width: &'a dyn Fn(&str) -> Option<usize>,
    /// What a model lacks that the settings of its adapters name: the setting, and the problem in words; none
    /// where the model is not here.
    pub adapters: &'a dyn Fn(&Model, &Lora) -> Option<Lack>,
    /// How a checkpoint, as the experiment names it, keeps its weights in few bits: the format, and whether scales
    /// are quantised, too; none where it does not, and where it is not here.
    pub quantised: &'a dyn Fn(&str) -> Option<(BaseFormat, bool)>,
    /// Examples of the training split, if the data was read.
    pub train_examples: Option<usize>,
    /// Whether the default embedding model is there; else why not, and the remedy.
    pub default_embedding_model: Result<(), Wrong>,
}

/// Says what of a hub model is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// Weights, configuration and tokenizer.
    Model,
    /// The tokenizer alone.
    Tokenizer,
}

/// What a model lacks that settings name: the setting's key, and the problem in words.
pub type Lack = (&'static str, String);

/// Says how the vocabularies of a student and a teacher compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Text is encoded to the same ids with the same tokens.
    pub same: bool,
    /// The tokens that end their answers, where they are not the same.
    pub ends: Option<Ends>,
    /// An answer of the training split that they cut into different tokens, if there is one.
    pub split: Option<String>,
}

/// The tokens that end the answers of a student and a teacher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// The student's.
    pub student: String,
    /// The teacher's.
    pub teacher: String,
    /// The teacher has the student's as well, so that the one can be read as the other.
    pub is_shared: bool,
}

/// Holds an experiment in which nothing is wrong.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Name of the experiment.
    pub name: String,
    /// Its settings.
    pub experiment: Experiment,
    /// The crossed design.
    pub arms: Vec<Arm>,
    /// Students that train without a teacher, beside it.
    pub controls: Vec<Arm>,
    /// Models scored for comparison.
    pub references: Vec<Reference>,
    /// What the user may want to know, though nothing is wrong.
    pub notes: Vec<String>,
    /// The forms in which objectives run where the vocabularies decide it, in words.
    pub objectives: Vec<String>,
}

impl Checked {
    /// Lists what happens to models: to those under study, those of controls, and their teachers.
    pub fn courses(&self) -> impl Iterator<Item = &Course> {
        self.arms.iter().chain(&self.controls).flat_map(|arm| arm.course.all())
    }

    /// Lists the checkpoints that are used, as the experiment names them.
    #[must_use]
    pub fn checkpoints(&self) -> BTreeSet<&str> {
        let models = self.models().filter_map(|(_, model)| match model {
            Model::Checkpoint(checkpoint) => Some(checkpoint.as_str()),
            Model::Scratch(_) => None,
        });
        models.collect()
    }

    /// Lists the tokenizers that are used and read from files, as the experiment names them.
    #[must_use]
    pub fn tokenizers(&self) -> BTreeSet<&Path> {
        let tokenizers = self.models().filter_map(|(settings, model)| match model {
            Model::Scratch(scratch) => settings.tokenizers.get(&scratch.tokenizer),
            Model::Checkpoint(_) => None,
        });
        let files = tokenizers.filter_map(|tokenizer| match tokenizer {
            TokenizerSource::File { path } => Some(path.as_path()),
            TokenizerSource::ByteLevelBpe { .. } | TokenizerSource::Unigram { .. } => None,
        });
        files.collect()
    }

    /// Lists the models of all arms and references with the settings that describe them.
    fn models(&self) -> impl Iterator<Item = (&Experiment, &Model)> {
        let arms = self.arms.iter().chain(&self.controls).map(|arm| (&*arm.settings, &arm.course));
        let references = self.references.iter().map(|reference| (&*reference.settings, &reference.course));
        let used = arms.chain(references).flat_map(|(settings, course)| course.all().map(move |it| (settings, it)));
        used.filter_map(|(settings, course)| Some((settings, settings.models.get(&course.model)?)))
    }

    /// Says whether anything is fine-tuned, apart from what learns from a teacher.
    #[must_use]
    pub fn tunes(&self) -> bool {
        self.courses().flat_map(|course| &course.lessons).any(|lesson| lesson.kind == LessonKind::Sft)
    }
}

/// Looks for every fault of meaning in what was loaded.
///
/// # Errors
/// All faults of structure and meaning together.
pub fn check(loaded: Loaded, around: &Surroundings<'_>) -> Result<Checked, Faults> {
    let Loaded { name, experiment, design, overlaid, mut faults } = loaded;
    let Some(experiment) = experiment else {
        return Err(faults);
    };
    let mut checking = Checking::new(&experiment, &design, around, &mut faults);
    checking.design();
    checking.settings();
    checking.names();
    checking.parts();
    checking.hypotheses();
    checking.adapted_models();
    checking.quantised_models();
    let (notes, objectives) = (checking.notes, checking.forms);
    // What a level or a step says instead: in place of what it replaces.
    for Overlaid { experiment, faults: mut inside } in overlaid {
        Checking::new(&experiment, &design, around, &mut inside).settings();
        faults.take(&inside);
    }
    if faults.is_empty() && design.arms.is_empty() {
        faults.at("", "the design has no arm", "name levels that exist in `arms`, and leave some in `exclude`");
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let Design { arms, controls, references, .. } = design;
    Ok(Checked { name, arms, controls, references, experiment, notes, objectives })
}

/// Carries the check through its parts, one file each.
struct Checking<'a, 'b> {
    experiment: &'a Experiment,
    design: &'a Design,
    around: &'a Surroundings<'b>,
    faults: &'a mut Faults,
    notes: Vec<String>,
    forms: Vec<String>,
}

impl<'a, 'b> Checking<'a, 'b> {
    fn new(
        experiment: &'a Experiment,
        design: &'a Design,
        around: &'a Surroundings<'b>,
        faults: &'a mut Faults,
    ) -> Self {
        Self { experiment, design, around, faults, notes: Vec::new(), forms: Vec::new() }
    }

    /// Checks what any level may set.
    fn settings(&mut self) {
        self.recipes();
        self.data();
        self.models();
        self.objectives();
        self.training();
        self.evaluation();
        self.evaluation_sets();
    }
}

impl Checking<'_, '_> {
    /// Says whether a model learns or teaches in the design.
    fn is_used(&self, model: &str) -> bool {
        self.design.models().contains(model)
    }

    /// Lists the students and their teachers, by name, that an algorithm is used on; those of all
    /// algorithms where none is named.
    fn pairs(&self, algorithm: Option<&str>) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for course in self.design.courses() {
            for lesson in &course.lessons {
                let LessonKind::Distill { teacher: Some(Course { model: teacher, .. }), algorithm: own, .. } =
                    &lesson.kind
                else {
                    continue;
                };
                let pair = (course.model.clone(), teacher.clone());
                if algorithm.is_none_or(|name| name == own) && !pairs.contains(&pair) {
                    pairs.push(pair);
                }
            }
        }
        pairs
    }

    /// Says whether an algorithm is used in the design.
    fn uses_algorithm(&self, name: &str) -> bool {
        let lessons = self.design.courses().flat_map(|course| &course.lessons);
        let mut named = lessons.filter_map(|lesson| match &lesson.kind {
            LessonKind::Distill { algorithm, .. } => Some(algorithm),
            LessonKind::Pretrain | LessonKind::Sft => None,
        });
        named.any(|algorithm| algorithm == name)
    }

    /// Returns where a teacher is named.
    fn teacher_at(&self, teacher: &str) -> KeyPath {
        match self.experiment.factors.teacher.iter().position(|level| level == teacher) {
            Some(level) => KeyPath::from("factors.teacher").index(level),
            None => KeyPath::from("models").key(teacher),
        }
    }

    /// Adds a fault unless `holds`: "`path` should be `expected`, found `found`".
    fn require(&mut self, holds: bool, path: impl Into<KeyPath>, expected: &str, found: impl fmt::Display) {
        if !holds {
            let path = path.into();
            let message = format!("`{path}` should be {expected}, found {found}");
            self.faults.add(Fault::new(path, message));
        }
    }

    /// Adds a fault if the count is 0.
    fn require_some(&mut self, value: usize, path: impl Into<KeyPath>) {
        self.require(value > 0, path, "at least 1", value);
    }

    /// Adds a fault unless the number lies in `[0, 1)`.
    fn require_share(&mut self, value: f64, path: impl Into<KeyPath>) {
        self.require((0.0..1.0).contains(&value), path, "from 0 to below 1", value);
    }

    /// Adds a fault for every value of a list that an earlier one equals; one that could not be read
    /// equals none.
    fn require_distinct<T: PartialEq + fmt::Display>(&mut self, values: &[T], path: &KeyPath) {
        for (index, value) in values.iter().enumerate() {
            let mut earlier = values[..index].iter().enumerate();
            if earlier.any(|(other, earlier)| earlier == value && self.faults.is_sound(path.index(other))) {
                let message = format!("`{value}` appears twice in `{path}`");
                self.faults.at(path.index(index), message, "remove one of them");
            }
        }
    }
}
