//! Tuning: which parameters are trained.

use std::collections::{BTreeMap, BTreeSet};

use super::Checking;
use super::range::{LORA_ALPHA, LORAPLUS_RATIO};
use crate::experiment::course::{Course, Lesson};
use crate::experiment::document::KeyPath;
use crate::experiment::faults::Fault;
use crate::experiment::nearest::remedy;
use crate::experiment::settings::{Adapters, BaseFormat, Lora, Model, Tuning, is_pattern, pattern};

/// Linear layers of decoders that can carry an adapter: those of most families, those that families with
/// fused or other projections have, and words for several.
const TARGET_MODULES: [&str; 19] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
    "qkv_proj",
    "gate_up_proj",
    "dense",
    "fc1",
    "fc2",
    "c_attn",
    "c_fc",
    "c_proj",
    "attention-qv",
    "attention",
    "mlp",
    "all-linear",
];

/// Width of the widest published models.
const WIDEST: usize = 16_384;

impl<'a> Checking<'a, '_> {
    pub(super) fn lora(&mut self, lora: &Lora) {
        let at = KeyPath::from("tuning.lora");
        self.rank(lora.rank);
        self.require_in(lora.alpha, at.key("alpha"), &LORA_ALPHA);
        self.require_share(lora.dropout, at.key("dropout"));
        if let Some(ratio) = lora.loraplus_lr_ratio {
            self.require_in(ratio, at.key("loraplus-lr-ratio"), &LORAPLUS_RATIO);
        }
        for (word, &rank) in &lora.rank_pattern {
            self.require_some(rank, at.key("rank-pattern").key(word));
        }
        for (word, &alpha) in &lora.alpha_pattern {
            self.require_in(alpha, at.key("alpha-pattern").key(word), &LORA_ALPHA);
        }
        self.patterns(&lora.rank_pattern, &at.key("rank-pattern"));
        self.patterns(&lora.alpha_pattern, &at.key("alpha-pattern"));
        self.target_modules(&lora.target_modules, &at.key("target-modules"));
        self.require_distinct(&lora.modules_to_save, &at.key("modules-to-save"));
        if lora.initialisation.changes_base() && lora.base != BaseFormat::Full {
            let bits = if lora.base == BaseFormat::Int8 { "eight" } else { "four" };
            let message = format!("what adapters start with cannot be taken out of weights in {bits} bits");
            let help = "choose `initialisation = \"kaiming\"` or `\"gaussian\"`, or `base = \"full\"`";
            self.faults.at(at.key("initialisation"), message, help);
        }
    }

    /// Checks that rows whose lengths are learned apart have one adapter only.
    fn stacked(&mut self, course: &Course, lesson: &Lesson, lora: &Lora) {
        let is_dora = |lesson: &Lesson| matches!(&lesson.tuning, Tuning::Lora(lora) if lora.dora);
        let before = course.lessons.iter().take_while(|before| before.name != lesson.name).last();
        if lesson.adapters == Some(Adapters::Stack) && (lora.dora || before.is_some_and(is_dora)) {
            let message = format!("the step `{}` stacks adapters, and with `dora` a projection has one", lesson.name);
            let help = "write `adapters = \"merge\"`, or leave `dora` out of both steps";
            self.faults.at(KeyPath::from("steps").key(&lesson.name), message, help);
        }
    }

    fn target_modules(&mut self, modules: &[String], at: &KeyPath) {
        if modules.is_empty() {
            self.faults.at(at, "no module gets an adapter", remedy("", "modules", TARGET_MODULES));
        }
        self.require_distinct(modules, at);
        for (index, module) in modules.iter().enumerate() {
            let at = at.index(index);
            if is_pattern(module) {
                self.pattern(module, false, &at);
            } else if !TARGET_MODULES.contains(&module.rsplit('.').next().unwrap_or_default()) {
                let message = format!("no module is named `{module}`");
                self.faults.at(at, message, remedy(module, "modules", TARGET_MODULES));
            }
        }
    }

    fn patterns<T>(&mut self, patterns: &BTreeMap<String, T>, at: &KeyPath) {
        for word in patterns.keys() {
            self.pattern(word, true, &at.key(word));
        }
    }

    fn pattern(&mut self, word: &str, at_end: bool, at: &KeyPath) {
        if let Err(problem) = pattern(word, at_end) {
            let help =
                "write one like `.*\\.(q|v)_proj`; it is matched with names such as `model.layers.0.self_attn.q_proj`";
            self.faults.at(at, problem, help);
        }
    }

    /// Checks that the models that get adapters have what the settings name.
    pub(super) fn adapted_models(&mut self) {
        let mut lacking: Vec<(KeyPath, &'static str, String, Vec<&str>)> = Vec::new();
        for course in self.design.courses().flat_map(Course::all) {
            let Some(model) = self.experiment.models.get(&course.model) else { continue };
            for lesson in &course.lessons {
                let Tuning::Lora(lora) = &lesson.tuning else { continue };
                self.stacked(course, lesson, lora);
                let Some((key, problem)) = (self.around.adapters)(model, lora) else { continue };
                let at = match lesson.tuning == self.experiment.tuning {
                    true => KeyPath::from("tuning.lora").key(key),
                    false => KeyPath::from("steps").key(&lesson.name).key("tuning"),
                };
                // What is wrong by itself is told once, there.
                if !self.faults.is_sound(KeyPath::from("tuning.lora").key(key)) {
                    continue;
                }
                match lacking.iter_mut().find(|(known, _, told, _)| (known, told) == (&at, &problem)) {
                    Some((.., models)) if models.contains(&&*course.model) => {}
                    Some((.., models)) => models.push(&course.model),
                    None => lacking.push((at, key, problem, vec![&course.model])),
                }
            }
        }
        for (at, key, problem, models) in lacking {
            let models: Vec<String> = models.into_iter().map(|model| format!("`{model}`")).collect();
            let help = match key {
                "modules-to-save" => "embedding, head and last norm can be trained as a whole",
                "rank" => "choose a lower rank, or leave the narrow projections out of `target-modules`",
                _ => {
                    "words for several (`attention-qv`, `attention`, `mlp`, `all-linear`) mean the same in every family"
                }
            };
            self.faults.at(at, format!("{}: {problem}", models.join(", ")), help);
        }
    }

    /// Checks that an update is not of a higher rank than the models it is for are wide.
    fn rank(&mut self, rank: usize) {
        let at = KeyPath::from("tuning.lora.rank");
        self.require_at_most(rank, &at, WIDEST, "no published model is wider, and an update has at most its rank");
        if rank > WIDEST {
            return;
        }
        let courses = self.design.courses().flat_map(Course::all).filter(|course| !course.lessons.is_empty());
        let tuned: BTreeSet<&str> = courses.map(|course| course.model.as_str()).collect();
        let width = |(name, model): (&'a String, &'a Model)| {
            let at = KeyPath::from("models").key(name);
            let (at, width) = match model {
                Model::Scratch(scratch) => (at.key("scratch").key("hidden"), scratch.hidden),
                Model::Checkpoint(checkpoint) => (at.key("checkpoint"), (self.around.width)(checkpoint)?),
            };
            (tuned.contains(name.as_str()) && self.faults.is_sound(&at)).then_some((width, name, at))
        };
        let narrowest = self.experiment.models.iter().filter_map(width).min_by_key(|(width, ..)| *width);
        if let Some((width, name, model_at)) = narrowest.filter(|(width, ..)| (1..rank).contains(width)) {
            let message = format!("a rank of {rank} is more than the width of `{name}`, {width}");
            let help = format!("choose less than {width}, or `tuning = {{ full = {{}} }}` to train all weights");
            self.faults.add_with(Fault::new(&at, message).help(help), &[(model_at, "as wide as this")]);
        }
    }
}
