//! Steps of recipes: that what they name is there.

use super::Checking;
use crate::experiment::document::KeyPath;
use crate::experiment::nearest::remedy;
use crate::experiment::settings::{Kind, Step, TrainStep};

impl Checking<'_, '_> {
    /// Checks that steps name data sets, teachers and algorithms that there are.
    pub(super) fn steps(&mut self) {
        let experiment = self.experiment;
        for (name, step) in &experiment.steps {
            let at = KeyPath::from("steps").key(name);
            match step {
                Step::Pretrain(step) => self.learned(step, true, &at.key("pretrain")),
                Step::Sft(step) => self.learned(step, false, &at.key("sft")),
                Step::Distill(step) => {
                    let at = at.key("distill");
                    self.step_data(step.data.as_deref(), false, &at.key("data"));
                    self.teacher(step.teacher.as_deref(), &at.key("teacher"));
                    if let Some(algorithm) = &step.algorithm
                        && self.faults.lacks("algorithms", algorithm)
                    {
                        let names = experiment.algorithms.keys().map(String::as_str);
                        let message = format!("no algorithm is named `{algorithm}`");
                        self.faults.at(at.key("algorithm"), message, remedy(algorithm, "algorithms", names));
                    }
                }
            }
        }
    }

    fn teacher(&mut self, teacher: Option<&str>, at: &KeyPath) {
        let Some(teacher) = teacher else { return };
        if self.faults.lacks("models", teacher) && self.faults.lacks("recipes", teacher) {
            let experiment = self.experiment;
            let names = experiment.models.keys().chain(experiment.recipes.keys()).map(String::as_str);
            let help = remedy(teacher, "models and recipes", names);
            self.faults.at(at, format!("no model or recipe is named `{teacher}`"), help);
        }
    }

    fn learned(&mut self, step: &TrainStep, reads_texts: bool, at: &KeyPath) {
        self.step_data(step.data.as_deref(), reads_texts, &at.key("data"));
        let replay = at.key("replay");
        let mut sum = 0.0;
        for (name, &share) in &step.replay {
            let at = replay.key(name);
            self.step_data(Some(name), reads_texts, &at);
            if step.data.as_deref() == Some(name) {
                let message = format!("`{name}` is what the step learns from, and no other set to mix in");
                self.faults.at(&at, message, "name another data set");
            }
            self.require(share > 0.0 && share < 1.0, &at, "above 0 and below 1", share);
            sum += share;
        }
        if sum >= 1.0 && step.replay.values().all(|share| (0.0..1.0).contains(share)) {
            let message = format!("the shares of other data sets sum to {sum}, and leave nothing to the step's own");
            self.faults.at(&replay, message, "let them sum to less than 1");
        }
    }

    /// Checks that a data set exists and that a step can learn from it.
    fn step_data(&mut self, named: Option<&str>, reads_texts: bool, at: &KeyPath) {
        let Some(name) = named else { return };
        let experiment = self.experiment;
        match experiment.data.get(name) {
            None if self.faults.lacks("data", name) => {
                let help = remedy(name, "data sets", experiment.data.keys().map(String::as_str));
                self.faults.at(at, format!("no data set is named `{name}`"), help);
            }
            Some(data) if !reads_texts && data.importer.kind() == Kind::Text => {
                let message = format!("`{name}` has texts, and the step learns from questions with answers");
                self.faults.at(at, message, "name another data set, or let the step be one of `pretrain`");
            }
            _ => {}
        }
    }
}
