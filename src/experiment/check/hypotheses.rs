//! Hypotheses: contrasts that the design can answer.

use super::{Checking, same_vocabulary};
use crate::experiment::document::KeyPath;
use crate::experiment::faults::Fault;
use crate::experiment::settings::{Experiment, Hypothesis};

impl Checking<'_, '_> {
    pub(super) fn hypotheses(&mut self) {
        let Experiment { hypotheses, alpha, .. } = self.experiment;
        self.require(*alpha > 0.0 && *alpha < 1.0, "alpha", "above 0 and below 1", alpha);
        for (index, hypothesis) in hypotheses.iter().enumerate() {
            let at = KeyPath::from("hypotheses").index(index);
            if hypothesis.name.trim().is_empty() {
                let help = "write the claim in words: the report prints it";
                self.faults.at(at.key("name"), "the hypothesis has no name", help);
            } else if hypotheses[..index].iter().any(|other| other.name == hypothesis.name) {
                let message = format!("two hypotheses are named `{}`", hypothesis.name);
                self.faults.at(at.key("name"), message, "rename one: the report lists them by name");
            }
            self.contrast(hypothesis, &at.key("contrast"));
            self.tested_metrics(hypothesis, &at.key("metrics"));
            self.comparable(hypothesis, &at.key("metrics"));
        }
    }

    fn contrast(&mut self, hypothesis: &Hypothesis, at: &KeyPath) {
        let contrast = &hypothesis.contrast;
        let factor = contrast.factor.as_str();
        if self.faults.is_sound(at.key("factor")) && self.factor(factor, &at.key("factor")) {
            self.level(factor, &contrast.better, &at.key("better"));
            self.level(factor, &contrast.worse, &at.key("worse"));
        }
        if contrast.better == contrast.worse && self.faults.is_sound(at) {
            let message = format!("`{}` is compared with itself", contrast.better);
            self.faults.at(at.key("worse"), message, "name two levels");
        }
        if contrast.within.contains_key(factor) {
            let message = format!("`within` fixes `{factor}`, which is the factor that is compared");
            let fault = Fault::new(at.key("within").key(factor), message).help("fix other factors only");
            self.faults.add(fault);
        }
        if let Some(level) = contrast.within.get("algorithm")
            && self.experiment.algorithms.get(level).is_some_and(|algorithm| !algorithm.has_teacher())
        {
            let message = format!("`{level}` is a control beside the design: no factor varies within it");
            let help =
                format!("compare with it: `contrast = {{ factor = \"algorithm\", better = …, worse = \"{level}\" }}`");
            self.faults.at(at.key("within").key("algorithm"), message, help);
        }
        let others = contrast.within.clone().into_iter().filter(|(other, _)| other != factor);
        self.selection(&others.collect(), &at.key("within"));
    }

    /// Checks that no metric per token compares students of different vocabularies. Arms answer with the
    /// student's vocabulary: under any other factor, both sides have the same.
    fn comparable(&mut self, hypothesis: &Hypothesis, at: &KeyPath) {
        let contrast = &hypothesis.contrast;
        let models = [&contrast.better, &contrast.worse];
        if contrast.factor != "student" || !models.iter().all(|model| self.vocabulary_is_read(model)) {
            return;
        }
        let same = same_vocabulary(self.experiment, self.around, models[0], models[1]);
        if same != Some(false) {
            return;
        }
        for (index, metric) in hypothesis.metrics.iter().enumerate() {
            if !self.around.per_token.contains(&metric.as_str()) {
                continue;
            }
            let message = format!(
                "`{metric}` is per token, and the vocabularies of `{}` and `{}` differ: it cannot compare them",
                models[0], models[1]
            );
            let help = "test `bits-per-byte` instead: it is per byte of the same answers";
            self.faults.at(at.index(index), message, help);
        }
    }

    fn tested_metrics(&mut self, hypothesis: &Hypothesis, at: &KeyPath) {
        if hypothesis.metrics.is_empty() {
            let message = format!("the hypothesis `{}` has no metric", hypothesis.name);
            self.faults.at(at, message, "name at least one, such as `metrics = [\"rouge-l\"]`");
        }
        self.require_distinct(&hypothesis.metrics, at);
        let computed = &self.experiment.evaluation.metrics;
        for (index, metric) in hypothesis.metrics.iter().enumerate() {
            let at = at.index(index);
            if self.metric(metric, &at) && !computed.contains(metric) && self.faults.is_sound("evaluation.metrics") {
                let message = format!("`{metric}` is tested but not computed");
                let fault = Fault::new(at, message).help(format!("add `{metric}` to `evaluation.metrics`"));
                let context = [(KeyPath::from("evaluation.metrics"), "the metrics that are computed")];
                self.faults.add_with(fault, &context);
            }
        }
    }
}
