//! Decoding, metrics, compute and energy constants.

use super::Checking;
use super::range::{
    CPU_WATTS, DRAM_WATTS, GRID, MIN_P, MOST_SEQUENCES, PUE, REPETITION_PENALTY, SEQUENCES_HELP, TEMPERATURE,
};
use crate::experiment::document::KeyPath;
use crate::experiment::evaluation::evaluation_sets;
use crate::experiment::nearest::remedy;
use crate::experiment::settings::{Decoding, Sample, SetSettings, Task};

/// Threads beyond any machine: libtorch ends the process when it cannot start them.
const MOST_THREADS: usize = 1024;

impl Checking<'_, '_> {
    pub(super) fn evaluation(&mut self) {
        let evaluation = &self.experiment.evaluation;
        let at = KeyPath::from("evaluation");
        let metrics = at.key("metrics");
        if evaluation.metrics.is_empty() {
            let help = remedy("", "metrics", (self.around.metrics)(Task::Answer));
            self.faults.at(&metrics, "no metric is asked for", help);
        }
        self.require_distinct(&evaluation.metrics, &metrics);
        let fitting = (self.around.metrics)(Task::Answer);
        for (index, metric) in evaluation.metrics.iter().enumerate() {
            let at = metrics.index(index);
            if self.metric(metric, &at) && !fitting.contains(&metric.as_str()) {
                let message = format!("`{metric}` is no metric of answers");
                let help = "name it in a set of its task: `[evaluation.NAME]` with `metrics = [...]`";
                self.faults.at(at, message, help);
            }
        }
        self.require_at_most(evaluation.batch, at.key("batch"), MOST_SEQUENCES, SEQUENCES_HELP);
        self.require_count(evaluation.max_new_tokens, at.key("max-new-tokens"));
        self.require(evaluation.limit != Some(0), at.key("limit"), "at least 1", 0);
        self.decoding(&evaluation.decoding, &at.key("decoding"));
        self.embedding_model();
        if let Some(threads) = self.experiment.compute.threads {
            self.require((1..=MOST_THREADS).contains(&threads), "compute.threads", "from 1 to 1024", threads);
        }
        self.energy();
    }

    pub(super) fn decoding(&mut self, decoding: &Decoding, at: &KeyPath) {
        let at = at.key(if decoding.is_drawn() { "sample" } else { "greedy" });
        if let Decoding::Sample(Sample { temperature, top_p, top_k, min_p, .. }) = decoding {
            self.require_in(*temperature, at.key("temperature"), &TEMPERATURE);
            let in_range = *top_p > 0.0 && *top_p <= 1.0;
            self.require(in_range, at.key("top-p"), "above 0, at most 1", top_p);
            self.require(*top_k != Some(0), at.key("top-k"), "at least 1", 0);
            if let Some(min_p) = min_p {
                self.require_in(*min_p, at.key("min-p"), &MIN_P);
            }
        }
        if let Some(penalty) = decoding.repetition_penalty() {
            self.require_in(penalty, at.key("repetition-penalty"), &REPETITION_PENALTY);
        }
        self.require(decoding.no_repeat_ngram() != Some(0), at.key("no-repeat-ngram"), "at least 1", 0);
        let stop = at.key("stop");
        for (index, text) in decoding.stop().iter().enumerate() {
            if text.is_empty() {
                let help = "remove it, or name the text that answers end before";
                self.faults.at(stop.index(index), "an empty text would end every answer", help);
            }
        }
    }

    /// Checks that a metric exists; `at` is where it is named.
    pub(super) fn metric(&mut self, metric: &str, at: &KeyPath) -> bool {
        let mut all: Vec<&str> = Vec::new();
        for task in [Task::Answer, Task::Choice, Task::Perplexity] {
            all.extend((self.around.metrics)(task));
        }
        let known = all.contains(&metric);
        if !known {
            let mut names: Vec<&str> = Vec::new();
            for name in all {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            let message = format!("no metric is named `{metric}`");
            let help = remedy(metric, "metrics", names);
            self.faults.at(at, message, help);
        }
        known
    }

    fn embedding_model(&mut self) {
        let evaluation = &self.experiment.evaluation;
        let asked = self.cosine();
        let at = KeyPath::from("evaluation.embedding-model");
        match (&evaluation.embedding_model, asked) {
            (Some(folder), Some(_)) => {
                for name in ["config.json", "tokenizer.json", "model.safetensors"] {
                    if !folder.join(name).is_file() {
                        let message = format!("the embedding model `{}` has no `{name}`", folder.display());
                        let help = self.path_help(folder.as_os_str(), &at);
                        self.faults.at(&at, message, help);
                    }
                }
            }
            (None, Some((metrics, index))) => {
                if let Err((reason, remedy)) = &self.around.default_embedding_model {
                    let message = format!("`cosine` needs an embedding model: {reason}");
                    let help = format!("{remedy}, or leave `cosine` out of `{metrics}`");
                    self.faults.at(metrics.index(index), message, help);
                }
            }
            _ => {}
        }
    }

    /// Returns where `cosine` is asked for: the metrics, and its place among them.
    fn cosine(&self) -> Option<(KeyPath, usize)> {
        let sets = &self.experiment.evaluation.sets;
        evaluation_sets(self.experiment).into_iter().find_map(|set| {
            let index = set.metrics.iter().position(|metric| metric == "cosine")?;
            let is_own = |(name, own): &(String, SetSettings)| set.name.as_ref() == Some(name) && own.metrics.is_some();
            let at = if sets.iter().any(is_own) { set.at() } else { KeyPath::from("evaluation") };
            Some((at.key("metrics"), index))
        })
    }

    fn energy(&mut self) {
        let energy = &self.experiment.energy;
        let at = KeyPath::from("energy");
        let constants = [
            ("cpu-tdp-watts", energy.cpu_tdp_watts, &CPU_WATTS),
            ("dram-watts-per-gib", energy.dram_watts_per_gib, &DRAM_WATTS),
            ("grid-kg-co2e-per-kwh", energy.grid_kg_co2e_per_kwh, &GRID),
            ("pue", energy.pue, &PUE),
        ];
        for (key, value, range) in constants {
            if let Some(value) = value {
                self.require_in(value, at.key(key), range);
            }
        }
    }
}
