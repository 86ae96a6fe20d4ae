//! Checkpoints whose weights are in few bits: what is trained on them fits what they are.

use std::collections::BTreeSet;

use super::Checking;
use crate::experiment::course::{Course, Lesson};
use crate::experiment::document::KeyPath;
use crate::experiment::settings::{Adapters, BaseFormat, Lora, Model, Tuning};

impl Checking<'_, '_> {
    /// Checks that steps on checkpoints in few bits train adapters on weights in these, until adapters are merged.
    pub(super) fn quantised_models(&mut self) {
        let mut found = BTreeSet::new();
        for course in self.design.courses().flat_map(Course::all) {
            let Some(Model::Checkpoint(checkpoint)) = self.experiment.models.get(&course.model) else { continue };
            let Some(kept) = (self.around.quantised)(checkpoint) else { continue };
            let whole = course.lessons.iter().position(|lesson| lesson.adapters == Some(Adapters::Merge));
            for lesson in &course.lessons[..whole.unwrap_or(course.lessons.len())] {
                found.extend(unfit(&course.model, kept, lesson).map(|(message, help)| (&course.model, message, help)));
            }
        }
        for (model, message, help) in found {
            self.faults.at(KeyPath::from("models").key(model).key("checkpoint"), message, help);
        }
    }
}

/// Says why a step cannot train a model whose weights are kept so, and the remedy.
fn unfit(model: &str, (format, doubles): (BaseFormat, bool), lesson: &Lesson) -> Option<(String, String)> {
    let (name, words) = (format.name(), format.in_words(doubles));
    let start = format!("`{model}` keeps its weights in {words}, and the step `{}` trains", lesson.name);
    let Tuning::Lora(Lora { base, double_quantisation, .. }) = &lesson.tuning else {
        let message = format!("{start} all of them: only adapters on them can be trained");
        let help = format!(
            "write `[tuning.lora]` with `base = \"{name}\"`{}, or name a checkpoint that is not quantised",
            doubling(format, doubles)
        );
        return Some((message, help));
    };
    let is_same = *base == format && (format == BaseFormat::Int8 || *double_quantisation == doubles);
    (!is_same).then(|| {
        let is_doubled = *double_quantisation && matches!(base, BaseFormat::Nf4 | BaseFormat::Fp4);
        let message = format!("{start} adapters on weights in {}", base.in_words(is_doubled));
        (message, format!("write `base = \"{name}\"`{} for `tuning.lora`", doubling(format, doubles)))
    })
}

/// Says what to write beside the format.
fn doubling(format: BaseFormat, doubles: bool) -> String {
    match format {
        BaseFormat::Nf4 | BaseFormat::Fp4 => format!(" and `double-quantisation = {doubles}`"),
        BaseFormat::Full | BaseFormat::Int8 => String::new(),
    }
}
