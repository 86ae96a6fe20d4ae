//! Algorithms: their numbers, and whether they fit the vocabularies they are used on.

use super::range::{LR, TEMPERATURE};
use super::{Checking, Compared, Surroundings};
use crate::experiment::document::KeyPath;
use crate::experiment::faults::Fault;
use crate::experiment::form::Form;
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
    compared(experiment, around, student, teacher).map(|compared| compared.same)
}

/// Says how two models of the experiment compare, as [`same_vocabulary`] does.
fn compared(experiment: &Experiment, around: &Surroundings<'_>, student: &str, teacher: &str) -> Option<Compared> {
    let known = |same| Some(Compared { same, ends: None, split: None });
    if student == teacher {
        return known(true);
    }
    let models = (experiment.models.get(student)?, experiment.models.get(teacher)?);
    match models {
        (Model::Scratch(a), Model::Scratch(b)) => {
            let tokenizers = &experiment.tokenizers;
            match (tokenizers.get(&a.tokenizer)?, tokenizers.get(&b.tokenizer)?) {
                (a, b) if a == b => known(true),
                (TokenizerSource::File { .. }, TokenizerSource::File { .. }) => (around.vocabularies)(student, teacher),
                _ => known(false),
            }
        }
        (Model::Checkpoint(a), Model::Checkpoint(b)) if a == b => known(true),
        _ => (around.vocabularies)(student, teacher),
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
            if self.uses_algorithm(name) {
                self.form(name, algorithm);
            }
        }
        self.answers();
    }

    /// Lists the pairs of a student and a teacher that an algorithm is used on, or any where none is named,
    /// whose vocabularies were read as typed.
    fn pairs_read(&self, algorithm: Option<&str>) -> Vec<(String, String)> {
        let mut pairs = self.pairs(algorithm);
        pairs.retain(|(student, teacher)| self.vocabulary_is_read(student) && self.vocabulary_is_read(teacher));
        pairs
    }

    /// Says in which form an algorithm runs for which pairs, where that is theirs to decide.
    fn form(&mut self, name: &str, algorithm: &Algorithm) {
        let decided = Form::of(algorithm, true) != Form::of(algorithm, false)
            && !matches!(algorithm, Algorithm::Vanilla { alignment: None, .. });
        if !decided {
            return;
        }
        let (mut forms, mut unknown): (Vec<(Form, Vec<String>)>, Vec<String>) = (Vec::new(), Vec::new());
        for (student, teacher) in self.pairs_read(Some(name)) {
            let pair = format!("`{student}` and `{teacher}`");
            let same = same_vocabulary(self.experiment, self.around, &student, &teacher);
            match same.map(|same| Form::of(algorithm, same)) {
                None => unknown.push(pair),
                Some(None) => {}
                Some(Some(form)) => match forms.iter_mut().find(|(known, _)| *known == form) {
                    Some((_, pairs)) => pairs.push(pair),
                    None => forms.push((form, vec![pair])),
                },
            }
        }
        let runs = forms.iter().map(|(form, pairs)| format!("`{name}` runs as {form} for {}", pairs.join(", ")));
        self.forms.extend(runs);
        if let (false, Some(one), Some(two)) =
            (unknown.is_empty(), Form::of(algorithm, true), Form::of(algorithm, false))
        {
            let pairs = unknown.join(", ");
            self.forms
                .push(format!("whether `{name}` runs as {one} or as {two} for {pairs} shows once both are downloaded"));
        }
    }

    /// Checks that models of one vocabulary read the same answers: the same tokens, and ends that can be
    /// taken for one another.
    fn answers(&mut self) {
        for (student, teacher) in self.pairs_read(None) {
            let compared = compared(self.experiment, self.around, &student, &teacher);
            let Some(Compared { same: true, ends, split }) = compared else { continue };
            let at = self.teacher_at(&teacher);
            if let Some(answer) = split {
                let message = format!(
                    "`{student}` and `{teacher}` have the same tokens but cut {answer:?} into different ones: their \
                     predictions cannot be compared token by token"
                );
                let help = "give both checkpoints the same `tokenizer.json` and `tokenizer_config.json`";
                self.faults.at(&at, message, help);
            }
            let Some(ends) = ends else { continue };
            let (mine, theirs) = (&ends.student, &ends.teacher);
            if ends.is_shared {
                self.notes.push(format!(
                    "`{student}` ends answers with `{mine}`, `{teacher}` with `{theirs}`: distillation takes the \
                     teacher's end for the student's"
                ));
                continue;
            }
            let message = format!(
                "`{student}` ends answers with `{mine}`, which `{teacher}` does not have: it ends them with `{theirs}`"
            );
            let help = "name one `eos_token` in `tokenizer_config.json` of both checkpoints, or choose another teacher";
            self.faults.at(&at, message, help);
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
        if !self.uses_algorithm(name) || !self.faults.is_sound(&path) {
            return;
        }
        let (mut different, mut unknown) = (Vec::new(), Vec::new());
        for (student, teacher) in self.pairs_read(Some(name)) {
            match same_vocabulary(self.experiment, self.around, &student, &teacher) {
                Some(true) => {}
                Some(false) => different.push((student, teacher)),
                None => unknown.push((student, teacher)),
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
                let context = [(self.teacher_at(&different[0].1), "has another vocabulary")];
                self.faults.add_with(fault, &context);
            }
            None => {
                for (student, teacher) in unknown {
                    let unknown =
                        self.experiment.models.contains_key(&student) && self.experiment.models.contains_key(&teacher);
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
    pub(super) fn vocabulary_is_read(&self, model: &str) -> bool {
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
