//! Algorithms: their numbers, and whether they fit the vocabularies they are used on.

use super::range::{LR, TEMPERATURE};
use super::{Checking, Surroundings};
use crate::experiment::document::KeyPath;
use crate::experiment::faults::Fault;
use crate::experiment::settings::{Algorithm, Alignment, Experiment, Model, TokenizerSource};

/// Says whether two models of the experiment have the same vocabulary; none if that cannot be
/// known here.
///
/// Scratch models are compared by the definition of their tokenizers: training is deterministic, and
/// a trained vocabulary is taken to differ from that of any file. Two files are compared by content.
#[must_use]
pub fn same_vocabulary(
    experiment: &Experiment,
    around: &Surroundings<'_>,
    student: &str,
    teacher: &str,
) -> Option<bool> {
    if student == teacher {
        return Some(true);
    }
    let models = (experiment.models.get(student)?, experiment.models.get(teacher)?);
    match models {
        (Model::Scratch(a), Model::Scratch(b)) => {
            let tokenizers = &experiment.tokenizers;
            match (tokenizers.get(&a.tokenizer)?, tokenizers.get(&b.tokenizer)?) {
                (a, b) if a == b => Some(true),
                (TokenizerSource::File { .. }, TokenizerSource::File { .. }) => {
                    (around.same_vocabulary)(student, teacher)
                }
                _ => Some(false),
            }
        }
        (Model::Checkpoint(a), Model::Checkpoint(b)) if a == b => Some(true),
        _ => (around.same_vocabulary)(student, teacher),
    }
}

impl Checking<'_, '_> {
    pub(super) fn objectives(&mut self) {
        let experiment = self.experiment;
        for (name, algorithm) in &experiment.algorithms {
            let at = KeyPath::from("algorithms").key(name);
            let (at, temperature, rate) = match algorithm {
                Algorithm::Vanilla { temperature, rate, .. } => (at.key("vanilla"), temperature, rate),
                Algorithm::DualSpace { temperature, rate, projector_lr, .. } => {
                    let at = at.key("dual-space");
                    self.require_in(*projector_lr, at.key("projector-lr"), &LR);
                    (at, temperature, rate)
                }
                Algorithm::CrossEntropy {} => continue,
            };
            self.require_in(*temperature, at.key("temperature"), &TEMPERATURE);
            self.require((0.0..=1.0).contains(rate), at.key("rate"), "from 0 to 1", rate);
            if let Algorithm::Vanilla { alignment, .. } = algorithm {
                self.alignment(name, *alignment, &at);
            }
        }
    }

    /// Checks that a vanilla objective can compare the vocabularies of every pair it is used on.
    fn alignment(&mut self, name: &str, alignment: Option<Alignment>, at: &KeyPath) {
        let path = at.key("alignment");
        if alignment == Some(Alignment::MinEdit) {
            let message = "the alignment `min-edit` is not available yet";
            self.faults.at(&path, message, "choose `uld`, or `naive` as a control");
            return;
        }
        let factors = &self.experiment.factors;
        if !factors.algorithm.iter().any(|level| level == name) || !self.faults.is_sound(&path) {
            return;
        }
        let (mut different, mut unknown) = (Vec::new(), Vec::new());
        for student in &factors.student {
            for teacher in &factors.teacher {
                if !self.vocabulary_is_read(student) || !self.vocabulary_is_read(teacher) {
                    continue;
                }
                match same_vocabulary(self.experiment, self.around, student, teacher) {
                    Some(true) => {}
                    Some(false) => different.push((student, teacher)),
                    None => unknown.push((student, teacher)),
                }
            }
        }
        match alignment {
            Some(_) if different.is_empty() && unknown.is_empty() => {
                let note = format!("`{name}` declares an alignment but every vocabulary is the same: unused");
                self.notes.push(note);
            }
            None if !different.is_empty() => {
                let pairs: Vec<String> = different.iter().map(|(s, t)| format!("`{s}` and `{t}`")).collect();
                let pairs = pairs.join(", ");
                let message = format!("`{name}` compares token by token, but the vocabularies of {pairs} differ");
                let help = "add `alignment = \"uld\"` (sorted distributions), `\"min-edit\"` (nearest \
                            tokens; not available yet) or `\"naive\"` (ids as they are: a control), or use `dual-space`";
                let fault = Fault::new(path, message).help(help).label("no `alignment` here");
                let teacher = different[0].1;
                let level = factors.teacher.iter().position(|level| level == teacher).unwrap_or_default();
                let context = [(KeyPath::from("factors.teacher").index(level), "has another vocabulary")];
                self.faults.add_with(fault, &context);
            }
            None => {
                for (student, teacher) in unknown {
                    let unknown =
                        self.experiment.models.contains_key(student) && self.experiment.models.contains_key(teacher);
                    if unknown {
                        self.notes.push(format!(
                            "whether `{student}` and `{teacher}` share a vocabulary, as `{name}` needs, \
                             shows once both are downloaded"
                        ));
                    }
                }
            }
            Some(Alignment::Naive) => {
                self.notes.push(format!("`{name}` compares ids as they are across vocabularies: a control"));
            }
            Some(_) => {}
        }
    }

    /// Says whether what names the vocabulary of a model was read as typed.
    fn vocabulary_is_read(&self, model: &str) -> bool {
        let at = KeyPath::from("models").key(model);
        match self.experiment.models.get(model) {
            Some(Model::Scratch(scratch)) => {
                let tokenizer = KeyPath::from("tokenizers").key(&scratch.tokenizer);
                self.faults.is_sound(at.key("scratch").key("tokenizer")) && self.faults.is_sound(tokenizer)
            }
            _ => self.faults.is_sound(at),
        }
    }
}
