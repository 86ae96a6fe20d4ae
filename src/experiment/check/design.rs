//! The question, the seeds, the factors and the baseline.

use std::collections::{BTreeMap, BTreeSet};

use super::Checking;
use crate::experiment::course::STEPS;
use crate::experiment::document::KeyPath;
use crate::experiment::factors::LISTED;
use crate::experiment::faults::Fault;
use crate::experiment::nearest::{listed, remedy};
use crate::experiment::settings::SftLevel;

/// The version of the format that this code reads.
const VERSION: u32 = 1;

impl Checking<'_, '_> {
    pub(super) fn design(&mut self) {
        let experiment = self.experiment;
        if experiment.version != VERSION {
            let message = format!("version {} of the format is unknown", experiment.version);
            self.faults.at("version", message, "write `version = 1`");
        }
        if experiment.question.trim().is_empty() {
            let help = "write down what the experiment is to find out: the report answers it";
            self.faults.at("question", "the question is empty", help);
        }
        if experiment.seeds.is_empty() {
            self.faults.at("seeds", "there are no seeds", "write `seeds = [10]`, better three or more");
        }
        self.require_distinct(&experiment.seeds, &KeyPath::from("seeds"));
        self.factors();
        self.baseline();
    }

    fn factors(&mut self) {
        let experiment = self.experiment;
        let factors = &experiment.factors;
        let models: Vec<&str> = experiment.models.keys().map(String::as_str).collect();
        let algorithms: Vec<&str> = experiment.algorithms.keys().map(String::as_str).collect();
        self.levels("student", &factors.student, "model", &models);
        self.levels("teacher", &factors.teacher, "model", &models);
        self.levels("algorithm", &factors.algorithm, "algorithm", &algorithms);
        let at = KeyPath::from("factors.sft");
        if factors.sft.is_empty() && self.faults.is_stated(&at) && !factors.is_free("sft") {
            let help = format!("levels: {}", listed(SftLevel::ALL.map(SftLevel::name)));
            self.faults.at(&at, "the factor `sft` has no levels", help);
        }
        for (name, levels) in &factors.free {
            let at = KeyPath::from("factors").key(name);
            if levels.is_empty() {
                let help = format!("write `[{at}]` with a table of settings for each level");
                self.faults.at(&at, format!("the factor `{name}` has no levels"), help);
            }
        }
        for (key, rows) in [("exclude", &experiment.exclude), ("arms", &experiment.arms)] {
            for (index, levels) in rows.iter().enumerate() {
                self.selection(levels, &KeyPath::from(key).index(index));
            }
        }
        let sft: Vec<&str> = factors.sft.iter().map(|level| level.name()).collect();
        self.require_distinct(&sft, &at);
        self.controls();
        for name in algorithms {
            if !self.uses_algorithm(name) {
                self.notes.push(format!("no factor uses the algorithm `{name}`"));
            }
        }
    }

    /// Checks that recipes name what there is, and that no factor says the same in another way.
    pub(super) fn recipes(&mut self) {
        let experiment = self.experiment;
        let main = experiment.recipe.iter().map(|recipe| (KeyPath::from("recipe"), recipe));
        let others = experiment.recipes.iter().map(|(name, recipe)| (KeyPath::from("recipes").key(name), recipe));
        let all: Vec<_> = main.chain(others).collect();
        for (at, recipe) in all {
            if let Some(model) = &recipe.model
                && self.faults.lacks("models", model)
            {
                let names = experiment.models.keys().map(String::as_str);
                let help = remedy(model, "models", names);
                self.faults.at(at.key("model"), format!("no model is named `{model}`"), help);
            }
            for (index, step) in recipe.steps.iter().flatten().enumerate() {
                if !STEPS.contains(&step.as_str()) && self.faults.lacks("steps", step) {
                    let help = remedy(step, "steps", experiment.steps.keys().map(String::as_str).chain(STEPS));
                    let message = format!("no step is named `{step}`");
                    self.faults.at(at.key("steps").index(index), message, help);
                }
            }
        }
        self.steps();
        let Some(recipe) = &experiment.recipe else { return };
        let twice = [
            ("student", recipe.model.is_some() && !experiment.factors.student.is_empty(), "model"),
            ("sft", recipe.steps.is_some() && self.faults.is_stated("factors.sft"), "steps"),
        ];
        for (factor, both, key) in twice {
            if both && !experiment.factors.is_free(factor) {
                let at = KeyPath::from("factors").key(factor);
                let message = format!("`{at}` and `recipe.{key}` both say what happens");
                let context = [(KeyPath::from("recipe").key(key), "said here, too")];
                let help = format!("remove one, or write the levels of `{factor}` as tables of settings");
                self.faults.add_with(Fault::new(at, message).help(help), &context);
            }
        }
    }

    /// Checks that an algorithm without a teacher has others beside it, and no twin.
    fn controls(&mut self) {
        let experiment = self.experiment;
        let levels = &experiment.factors.algorithm;
        let at = KeyPath::from("factors.algorithm");
        let untaught: Vec<usize> = (0..levels.len())
            .filter(|&index| {
                experiment.algorithms.get(&levels[index]).is_some_and(|algorithm| !algorithm.has_teacher())
            })
            .collect();
        let Some(&first) = untaught.first() else { return };
        if untaught.len() == levels.len() {
            let message = format!("`{}` learns from no teacher, and nothing else is compared with it", levels[first]);
            self.faults.at(
                at.index(first),
                message,
                "add an algorithm that distils, such as `[algorithms.kd.vanilla]`",
            );
        }
        for &index in untaught.iter().skip(1).filter(|&&index| levels[index] != levels[first]) {
            let message = format!("`{}` and `{}` are one: cross-entropy has no settings", levels[first], levels[index]);
            self.faults.at(at.index(index), message, "remove one of them");
        }
    }

    /// Checks that every level of a factor names something of `kind`.
    fn levels(&mut self, factor: &str, levels: &[String], kind: &str, defined: &[&str]) {
        let at = KeyPath::from("factors").key(factor);
        let kinds = format!("{kind}s");
        if levels.is_empty() {
            if self.faults.is_stated(&at) && !self.experiment.factors.is_free(factor) {
                let help = format!("{kinds}: {}", listed(defined.iter().copied()));
                self.faults.at(&at, format!("the factor `{factor}` has no levels"), help);
            }
            return;
        }
        self.require_distinct(levels, &at);
        if defined.is_empty() {
            if self.faults.is_sound(kinds.as_str()) {
                let message = format!("the experiment defines no {kinds}, the factor `{factor}` names {}", {
                    listed(levels.iter().map(String::as_str))
                });
                let settings = if kind == "algorithm" { ".vanilla" } else { "" };
                let help = format!("define `[{}{settings}]`", KeyPath::from(kinds.as_str()).key(&levels[0]));
                self.faults.at(&at, message, help);
            }
            return;
        }
        for (index, level) in levels.iter().enumerate() {
            if !defined.contains(&level.as_str()) && self.faults.lacks(kinds.as_str(), level) {
                let message = format!("no {kind} is named `{level}`");
                let remedy = remedy(level, &kinds, defined.iter().copied());
                let or = if remedy.ends_with('?') { " or" } else { "; or" };
                let help = format!("{remedy}{or} define `[{}]`", KeyPath::from(kinds.as_str()).key(level));
                self.faults.at(at.index(index), message, help);
            }
        }
    }

    fn baseline(&mut self) {
        let baseline = &self.experiment.baseline;
        if baseline.is_empty() || !self.selection(baseline, &KeyPath::from("baseline")) {
            return;
        }
        // By their levels: one that is stated twice is a fault of its own.
        let arms = self.design.arms.iter().chain(&self.design.controls);
        let chosen = arms.filter(|arm| arm.matches(baseline)).map(|arm| &arm.levels).collect::<BTreeSet<_>>().len();
        if chosen == 0 && self.faults.is_sound("factors") {
            let message = "the baseline is no arm of the design: a control is fine-tuned as its student only";
            self.faults.at("baseline", message, "write `sft = \"none\"` or `sft = \"student\"` beside the control");
        }
        if chosen > 1 {
            let open = self.experiment.factors.names().filter(|factor| {
                let levels = self.experiment.factors.levels(factor);
                let distinct = levels.map_or(0, |levels| levels.into_iter().collect::<BTreeSet<_>>().len());
                !baseline.contains_key(*factor) && distinct > 1
            });
            let open = listed(open);
            let message = format!("the baseline should be one arm, found {chosen}");
            self.faults.at("baseline", message, format!("name a level of {open}"));
        }
    }

    /// Checks that `levels` names factors and levels of the design; true if it does.
    pub(super) fn selection(&mut self, levels: &BTreeMap<String, String>, at: &KeyPath) -> bool {
        let mut all = true;
        for (factor, level) in levels {
            all &= self.factor(factor, &at.key(factor)) && self.level(factor, level, &at.key(factor));
        }
        all
    }

    /// Checks that a factor exists; `at` is where it is named.
    pub(super) fn factor(&mut self, factor: &str, at: &KeyPath) -> bool {
        let factors = &self.experiment.factors;
        // A list whose levels could not be read is there all the same.
        let known = factors.names().any(|name| name == factor)
            || LISTED.contains(&factor) && self.faults.is_stated(KeyPath::from("factors").key(factor));
        if !known && self.faults.is_sound("factors") {
            let message = format!("no factor is named `{factor}`");
            let fault = Fault::new(at, message).help(remedy(factor, "factors", factors.names()));
            self.faults.add(fault);
        }
        known
    }

    /// Checks that a factor has a level; `at` is where it is named.
    pub(super) fn level(&mut self, factor: &str, level: &str, at: &KeyPath) -> bool {
        let path = KeyPath::from("factors").key(factor);
        let Some(levels) = self.experiment.factors.levels(factor) else {
            return false;
        };
        if levels.contains(&level) {
            return true;
        }
        if self.faults.is_sound(&path) {
            let message = format!("the factor `{factor}` has no level `{level}`");
            let help = remedy(level, "levels", levels.iter().copied());
            let fault = Fault::new(at, message).help(help);
            self.faults.add_with(fault, &[(path, "the levels")]);
        }
        false
    }
}
