//! Hypotheses: claims that the design and its evaluation sets can answer.

use super::{Checking, same_vocabulary};
use crate::experiment::claim::{Claim, QUANTITIES, column, column_or};
use crate::experiment::document::KeyPath;
use crate::experiment::evaluation::{EvaluationSet, evaluation_sets};
use crate::experiment::faults::Fault;
use crate::experiment::nearest::{listed, remedy};
use crate::experiment::settings::{Experiment, Hypothesis, Within};

impl Checking<'_, '_> {
    pub(super) fn hypotheses(&mut self) {
        let Experiment { hypotheses, alpha, .. } = self.experiment;
        self.require(*alpha > 0.0 && *alpha < 1.0, "alpha", "above 0 and below 1", alpha);
        let sets = evaluation_sets(self.experiment);
        for (index, hypothesis) in hypotheses.iter().enumerate() {
            let at = KeyPath::from("hypotheses").index(index);
            if hypothesis.name.trim().is_empty() {
                let help = "write the claim in words: the report prints it";
                self.faults.at(at.key("name"), "the hypothesis has no name", help);
            } else if hypotheses[..index].iter().any(|other| other.name == hypothesis.name) {
                let message = format!("two hypotheses are named `{}`", hypothesis.name);
                self.faults.at(at.key("name"), message, "rename one: the report lists them by name");
            }
            let claims: Vec<Claim<'_>> = hypothesis.claims().collect();
            match claims[..] {
                [claim] => self.claim(hypothesis, claim, &sets, &at),
                [] => {
                    let message = format!("the hypothesis `{}` claims nothing", hypothesis.name);
                    let help = format!(
                        "add `contrast = {{ factor = ..., better = ..., worse = ... }}`; kinds: {}",
                        listed(Claim::KINDS)
                    );
                    if self.faults.is_sound(&at) {
                        self.faults.at(&at, message, help);
                    }
                }
                [first, second, ..] => {
                    let message = format!("`{}` and `{}` are two claims", first.key(), second.key());
                    self.faults.at(at.key(second.key()), message, "make a hypothesis of each");
                }
            }
        }
    }

    fn claim(&mut self, hypothesis: &Hypothesis, claim: Claim<'_>, sets: &[EvaluationSet], at: &KeyPath) {
        let inside = at.key(claim.key());
        match claim {
            Claim::Better(claim) => {
                let levels = [("better", claim.better.as_str()), ("worse", claim.worse.as_str())];
                self.contrast(&claim.factor, levels, &claim.within, &inside);
                self.comparable(hypothesis, &claim.factor, [&claim.better, &claim.worse], sets, &at.key("metrics"));
            }
            Claim::NotWorse(claim) | Claim::Equivalent(claim) => {
                let levels = [("level", claim.level.as_str()), ("reference", claim.reference.as_str())];
                self.contrast(&claim.factor, levels, &claim.within, &inside);
                let models = [claim.level.as_str(), claim.reference.as_str()];
                self.comparable(hypothesis, &claim.factor, models, sets, &at.key("metrics"));
                let margin = claim.margin;
                self.require(margin.is_finite() && margin > 0.0, inside.key("margin"), "above 0", margin);
            }
            Claim::Interaction(claim) => {
                let levels = [("better", claim.better.as_str()), ("worse", claim.worse.as_str())];
                self.contrast(&claim.factor, levels, &claim.within, &inside);
                let with = inside.key("with");
                if claim.with == claim.factor {
                    let message = format!("`{}` is set against itself", claim.with);
                    self.faults.at(&with, message, "name another factor, with two of its levels");
                } else if self.faults.is_sound(&with) && self.factor(&claim.with, &with) {
                    self.level(&claim.with, &claim.more, &inside.key("more"));
                    self.level(&claim.with, &claim.less, &inside.key("less"));
                    if claim.more == claim.less && self.faults.is_sound(&inside) {
                        let message = format!("`{}` is compared with itself", claim.more);
                        self.faults.at(inside.key("less"), message, "name two levels");
                    }
                }
                if claim.within.contains_key(&claim.with) {
                    self.fixes_compared(&claim.with, &inside);
                }
                let models = [claim.better.as_str(), claim.worse.as_str()];
                self.comparable(hypothesis, &claim.factor, models, sets, &at.key("metrics"));
            }
            Claim::Rank(claim) => {
                self.two_columns([("of", &claim.of), ("with", &claim.with)], sets, &inside);
                self.selection(&claim.within, &inside.key("within"));
                self.no_metrics(hypothesis, at);
                return;
            }
            Claim::BestDiffers(claim) => {
                self.two_columns([("of", &claim.of), ("by", &claim.by)], sets, &inside);
                self.selection(&claim.within, &inside.key("within"));
                self.no_metrics(hypothesis, at);
                return;
            }
        }
        self.tested_metrics(hypothesis, sets, at);
        self.stratum(hypothesis, sets, &at.key("stratum"));
    }

    fn contrast(&mut self, factor: &str, levels: [(&str, &str); 2], within: &Within, at: &KeyPath) {
        let [first, second] = levels;
        if self.faults.is_sound(at.key("factor")) && self.factor(factor, &at.key("factor")) {
            for (key, level) in levels {
                self.level(factor, level, &at.key(key));
            }
        }
        if first.1 == second.1 && self.faults.is_sound(at) {
            let message = format!("`{}` is compared with itself", first.1);
            self.faults.at(at.key(second.0), message, "name two levels");
        }
        if within.contains_key(factor) {
            self.fixes_compared(factor, at);
        }
        if let Some(level) = within.get("algorithm")
            && self.experiment.algorithms.get(level).is_some_and(|algorithm| !algorithm.has_teacher())
        {
            let message = format!("`{level}` is a control beside the design: no factor varies within it");
            let help =
                format!("compare with it: `contrast = {{ factor = \"algorithm\", better = …, worse = \"{level}\" }}`");
            self.faults.at(at.key("within").key("algorithm"), message, help);
        }
        let others = within.clone().into_iter().filter(|(other, _)| other != factor);
        self.selection(&others.collect(), &at.key("within"));
    }

    fn fixes_compared(&mut self, factor: &str, at: &KeyPath) {
        let message = format!("`within` fixes `{factor}`, which is the factor that is compared");
        let fault = Fault::new(at.key("within").key(factor), message).help("fix other factors only");
        self.faults.add(fault);
    }

    /// Checks that no metric per token compares students of different vocabularies. Arms answer with the
    /// student's vocabulary: under any other factor, both sides have the same.
    fn comparable(
        &mut self,
        hypothesis: &Hypothesis,
        factor: &str,
        models: [&str; 2],
        sets: &[EvaluationSet],
        at: &KeyPath,
    ) {
        if factor != "student" || !models.iter().all(|model| self.vocabulary_is_read(model)) {
            return;
        }
        if same_vocabulary(self.experiment, self.around, models[0], models[1]) != Some(false) {
            return;
        }
        for (index, named) in hypothesis.metrics.iter().enumerate() {
            let metric = column(named, sets).map_or(named.as_str(), |(_, metric)| metric);
            if !self.around.per_token.contains(&metric) {
                continue;
            }
            let message = format!(
                "`{named}` is per token, and the vocabularies of `{}` and `{}` differ: it cannot compare them",
                models[0], models[1]
            );
            let help = "test `bits-per-byte` instead: it is per byte of the same answers";
            self.faults.at(at.index(index), message, help);
        }
    }

    fn tested_metrics(&mut self, hypothesis: &Hypothesis, sets: &[EvaluationSet], at: &KeyPath) {
        let inside = at.key("metrics");
        if hypothesis.metrics.is_empty() && self.faults.is_sound(&inside) {
            let message = format!("the hypothesis `{}` has no metric", hypothesis.name);
            let help = "name at least one, such as `metrics = [\"rouge-l\"]`";
            let place = if self.faults.is_stated(&inside) { &inside } else { at };
            self.faults.at(place, message, help);
        }
        self.require_distinct(&hypothesis.metrics, &inside);
        for (index, metric) in hypothesis.metrics.iter().enumerate() {
            self.column(metric, sets, &[], &inside.index(index));
        }
    }

    /// Checks that a metric is computed; `others` may be meant, too, `at` is where it is named.
    fn column(&mut self, named: &str, sets: &[EvaluationSet], others: &[&str], at: &KeyPath) {
        let evaluation = &self.experiment.evaluation;
        if !evaluation.sets.is_empty() {
            if let Err((message, help)) = column_or(named, sets, others) {
                self.faults.at(at, message, help);
            }
            return;
        }
        if self.metric(named, at)
            && !evaluation.metrics.iter().any(|metric| metric == named)
            && self.faults.is_sound("evaluation.metrics")
        {
            let message = format!("`{named}` is tested but not computed");
            let fault = Fault::new(at, message).help(format!("add `{named}` to `evaluation.metrics`"));
            let context = [(KeyPath::from("evaluation.metrics"), "the metrics that are computed")];
            self.faults.add_with(fault, &context);
        }
    }

    /// Checks the two columns of a claim on arms: metrics or quantities.
    fn two_columns(&mut self, named: [(&str, &String); 2], sets: &[EvaluationSet], at: &KeyPath) {
        for (key, name) in named {
            let at = at.key(key);
            if !QUANTITIES.contains(&name.as_str()) && self.faults.is_sound(&at) {
                self.column(name, sets, &QUANTITIES, &at);
            }
        }
        if named[0].1 == named[1].1 && self.faults.is_sound(at) {
            let message = format!("`{}` is compared with itself", named[0].1);
            self.faults.at(at.key(named[1].0), message, "name two columns");
        }
    }

    /// Checks that a claim which names its columns itself has no metrics beside them.
    fn no_metrics(&mut self, hypothesis: &Hypothesis, at: &KeyPath) {
        let beside = [("metrics", !hypothesis.metrics.is_empty()), ("stratum", hypothesis.stratum.is_some())];
        for (key, _) in beside.into_iter().filter(|(_, is_stated)| *is_stated) {
            let message = format!("`{key}` says nothing of a claim that names its columns itself");
            self.faults.at(at.key(key), message, "remove it");
        }
    }

    fn stratum(&mut self, hypothesis: &Hypothesis, sets: &[EvaluationSet], at: &KeyPath) {
        let Some(stratum) = &hypothesis.stratum else { return };
        for named in &hypothesis.metrics {
            let Ok((set, _)) = column(named, sets) else { continue };
            if set.by.is_none() {
                let message =
                    format!("`{named}` is of a set without strata, and the claim is of the stratum `{stratum}`");
                let known: Vec<&str> = sets.iter().filter_map(|set| set.by.as_deref()).collect();
                let help = match known[..] {
                    [] => "add `by = ...` to an evaluation set".to_owned(),
                    _ => remedy(
                        "",
                        "sets with strata",
                        sets.iter().filter(|set| set.by.is_some()).filter_map(|set| set.name.as_deref()),
                    ),
                };
                self.faults.at(at, message, help);
            }
        }
    }
}
