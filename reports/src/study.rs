//! What a report says beside its records: the design, what was run, what it cost, what was seen.
//!
//! Drawn up by whoever ran the experiment, who keeps it as `study.json`. Nothing in it is text to be
//! interpreted: names, answers and questions are data and never markup.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tutelage_metrics::energy::EnergyModel;

use crate::record::Direction;

/// Version of [`Study`].
pub const STUDY_FORMAT: u32 = 2;

/// Describes one experiment and what its run left behind, without the records themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// Version of this format.
    pub format: u32,
    /// Name of the experiment: its file name without the ending.
    pub name: String,
    /// The question that the experiment asks.
    pub question: String,
    /// The publication it re-runs, such as `arXiv:2504.20000`.
    pub reproduces: Option<String>,
    /// The crossed factors in the order of the experiment file.
    pub factors: Vec<Factor>,
    /// Every arm: cells, then controls, then references (teachers, untrained students).
    pub arms: Vec<Arm>,
    /// Seeds of the trials.
    pub seeds: Vec<u64>,
    /// What each seed trained anew, in words: `students`, or `students, teachers and pretrained models`.
    pub retrained: String,
    /// The arm that tables compare with, if the experiment names one.
    pub baseline: Option<String>,
    /// Claims written before the run.
    pub hypotheses: Vec<Hypothesis>,
    /// Significance level of the claims, all together.
    pub alpha: f64,
    /// What the groups of records are.
    pub unit: Unit,
    /// Metrics in the order of tables.
    pub metrics: Vec<Metric>,
    /// The models, with their sizes.
    pub models: Vec<Model>,
    /// Data sets with the size of each split and what was left out.
    pub data: Vec<Data>,
    /// What was trained, with which settings, on how much.
    pub training: Vec<Training>,
    /// Objectives, optimisers and tokenizers that were used, each with its source.
    pub methods: Vec<Method>,
    /// Loss and validation curves.
    pub curves: Vec<Curve>,
    /// What each stage consumed.
    pub energy: Vec<StageEnergy>,
    /// The declared constants of energy and emissions.
    pub energy_model: EnergyModel,
    /// What was verified along the way, such as that a teacher learned something before it taught.
    pub checks: Vec<Check>,
    /// Answers side by side.
    pub examples: Vec<SideBySide>,
    /// How these were chosen, in a sentence.
    pub examples_chosen: String,
    /// Reservations of the run: clipped prompts, few seeds, failed arms.
    pub warnings: Vec<String>,
    /// Values that the experiment assumes because the publication does not give them.
    pub assumptions: Vec<String>,
    /// Code, machine and number format: name and value.
    pub environment: Vec<(String, String)>,
    /// Keys of what others build on, such as data and weights: name and value.
    pub provenance: Vec<(String, String)>,
    /// The resolved experiment with every default written out (TOML).
    pub resolved: String,
}

impl Study {
    /// Arms that are trained in this study: cells and controls.
    pub(crate) fn trained(&self) -> impl Iterator<Item = &Arm> {
        self.arms.iter().filter(|arm| arm.is_trained())
    }

    /// Name of a metric in tables; its own where the study does not know it.
    pub(crate) fn label<'s>(&'s self, metric: &'s str) -> &'s str {
        self.metrics.iter().find(|known| known.name == metric).map_or(metric, |known| &known.label)
    }
}

/// Names a factor and its levels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factor {
    /// Name, such as `sft`.
    pub name: String,
    /// Levels in file order.
    pub levels: Vec<String>,
}

/// One combination of levels, or a reference model that is scored beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Unique name, such as `llama/both/dskd`.
    pub name: String,
    /// Whether it belongs to the crossed design.
    pub role: Role,
    /// Level of each factor; of a control without the teacher, empty for a reference.
    pub levels: BTreeMap<String, String>,
    /// Name of the model that answers, as in [`Model::name`].
    pub model: String,
    /// Of a cell: the control whose student starts as its own does.
    pub control: Option<String>,
    /// The form of the distillation objective that ran, such as `DSKD, one vocabulary`; none before it
    /// ran, and where nothing is distilled.
    pub objective: Option<String>,
    /// How the run ended.
    pub outcome: Outcome,
}

impl Arm {
    /// Whether it is trained in this study, and no reference.
    pub(crate) fn is_trained(&self) -> bool {
        self.role != Role::Reference
    }
}

/// Says what an arm is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A cell of the design.
    Cell,
    /// A student that trained without a teacher for as many steps as the cells distil.
    Control,
    /// A model scored for comparison: a teacher, an untrained student.
    Reference,
}

/// Says how an arm ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All seeds have records.
    Done,
    /// At least one seed failed; the reason is the first failure.
    Failed {
        /// What went wrong, one line.
        reason: String,
    },
    /// Not run yet.
    Missing,
}

impl Outcome {
    /// What stands behind the name of an arm whose numbers are not those of all its seeds.
    pub(crate) fn remark(&self) -> &'static str {
        match self {
            Self::Done => "",
            Self::Failed { .. } => " (failed)",
            Self::Missing => " (not run)",
        }
    }
}

/// A claim: `better` beats `worse` on `metrics`, within the cells that `within` selects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hypothesis {
    /// The claim in words.
    pub name: String,
    /// Factor that is contrasted.
    pub factor: String,
    /// Level that the claim says is better.
    pub better: String,
    /// Level it is compared with.
    pub worse: String,
    /// Fixed levels of other factors; factors not named are averaged over.
    pub within: BTreeMap<String, String>,
    /// Metrics on which the claim is tested.
    pub metrics: Vec<String>,
}

/// Says what examples are grouped by: what counts as independent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// What one group is called: `document`, `term`, `context`, `group`, or `question` where every question
    /// is one of its own.
    pub name: String,
}

impl Default for Unit {
    fn default() -> Self {
        Self { name: "group".to_owned() }
    }
}

/// Describes a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Name in records: `rouge-l`.
    pub name: String,
    /// Name in tables: `ROUGE-L`.
    pub label: String,
    /// Unit of the values.
    pub unit: String,
    /// Which way it improves.
    pub direction: Direction,
    /// How it was computed, as the reference tools print it.
    pub signature: String,
    /// The publication that defines it.
    // Stages of scoring write none: the report knows it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// How example values combine.
    pub aggregation: Aggregation,
}

/// Says how the values of examples become one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Arithmetic mean of `value`.
    Mean,
    /// `sum(value * counts[0]) / sum(counts[0])`: a loss per token over examples of many lengths.
    WeightedMean,
    /// exp of the weighted mean of ln(value): perplexity from example perplexities, `counts[0]`
    /// tokens each; `counts[1]`, where it is given, is ln(value).
    WeightedGeometricMean,
    /// Corpus BLEU from the summed counts of [`tutelage_metrics::ngram::bleu`].
    Bleu,
    /// Corpus chrF from the summed counts of [`tutelage_metrics::ngram::chrf`].
    Chrf,
}

/// Describes a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Name in the experiment file.
    pub name: String,
    /// Architecture, such as `llama`.
    pub architecture: String,
    /// All parameters, embeddings included.
    pub parameters: u64,
    /// Rows of its embedding: the tokens of its vocabulary, padding included.
    pub vocabulary: u64,
    /// Hash of the tokens that text is encoded to, each with its id: values per token compare between
    /// models that have the same ([`crate::vocabulary`]).
    pub vocabulary_id: String,
    /// Where its weights come from: a path, a hub name or `trained from scratch`.
    pub origin: String,
}

/// Describes a data set as used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Name in the experiment file.
    pub name: String,
    /// Examples per split, in the order train, dev, test.
    pub splits: Vec<(String, u64)>,
    /// Rows left out, by reason.
    pub skipped: Vec<(String, u64)>,
    /// What a reader must know, name and value: what the test asks, what prompts show, what stands in
    /// two splits, what pretraining read.
    pub facts: Vec<(String, String)>,
    /// Checksum of the source file.
    pub checksum: String,
}

/// Describes training stages of one kind that share their settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Stage kind: `pretrain`, `sft`, `distill`.
    pub stage: String,
    /// What was trained: models or arms, in order.
    pub labels: Vec<String>,
    /// Seeds it was trained at; one where all trials share the result.
    pub seeds: Vec<u64>,
    /// Settings in words: name and value.
    pub settings: Vec<(String, String)>,
    /// Optimiser steps of a stage.
    pub steps: Extent,
    /// Examples that a stage saw, repetitions counted.
    pub examples: Option<Extent>,
    /// Tokens that a stage saw, prompts and repetitions counted.
    pub tokens: Option<Extent>,
    /// Parameters that were trained.
    pub parameters: Option<Extent>,
}

/// Least and most of a count over several stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The least.
    pub least: u64,
    /// The most.
    pub most: u64,
}

impl Extent {
    /// Spans counts; nothing where there are none.
    pub fn of(counts: impl IntoIterator<Item = u64>) -> Option<Self> {
        counts
            .into_iter()
            .map(|count| Self { least: count, most: count })
            .reduce(|a, b| Self { least: a.least.min(b.least), most: a.most.max(b.most) })
    }
}

/// Names something that was used, and where it is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// What it is for: `objective`, `optimiser`, `tokenizer`.
    pub part: String,
    /// Its name.
    pub name: String,
    /// What it computes, in a line.
    pub says: String,
    /// The publication that defines it.
    pub source: String,
}

/// One series of values over optimiser steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// Stage kind: `pretrain`, `sft`, `distill`.
    pub stage: String,
    /// What was trained: a model or an arm.
    pub label: String,
    /// Seed of the stage.
    pub seed: u64,
    /// Name of the value: `loss`, `ce`, `kd`, `dev-loss`.
    pub series: String,
    /// Pairs of step and value.
    pub points: Vec<(u64, f64)>,
}

/// Energy of one component during one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageEnergy {
    /// Stage kind.
    pub stage: String,
    /// What it worked on.
    pub label: String,
    /// Key of the stage in the store.
    pub key: String,
    /// Arms that use the stage's result; its cost is shared equally between them.
    pub arms: Vec<String>,
    /// Component: `cpu`, `dram`, `gpu`.
    pub component: String,
    /// Joules; absent when unavailable.
    pub joules: Option<f64>,
    /// Joules by integrating sampled power, where a counter gave `joules`.
    pub cross_check_joules: Option<f64>,
    /// `measured`, `estimated` or `unavailable`.
    pub state: String,
    /// How it was measured or estimated, or why it could not be.
    pub method: String,
    /// Duration of the stage in seconds.
    pub seconds: f64,
}

/// Something verified during the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What should hold, in words.
    pub name: String,
    /// Whether it held.
    pub passed: bool,
    /// The numbers behind the verdict.
    pub evidence: String,
}

/// One question with the answers of several arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SideBySide {
    /// Example identifier.
    pub id: String,
    /// The question.
    pub question: String,
    /// Accepted answers.
    pub references: Vec<String>,
    /// Arm and its answer.
    pub answers: Vec<(String, String)>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A study of nothing, for tests to fill.
    pub(crate) fn empty() -> Study {
        Study {
            format: STUDY_FORMAT,
            name: "n".into(),
            question: "q".into(),
            reproduces: None,
            factors: Vec::new(),
            arms: Vec::new(),
            seeds: Vec::new(),
            retrained: "students".into(),
            baseline: None,
            hypotheses: Vec::new(),
            alpha: 0.05,
            unit: Unit::default(),
            metrics: Vec::new(),
            models: Vec::new(),
            data: Vec::new(),
            training: Vec::new(),
            methods: Vec::new(),
            curves: Vec::new(),
            energy: Vec::new(),
            energy_model: EnergyModel::default(),
            checks: Vec::new(),
            examples: Vec::new(),
            examples_chosen: String::new(),
            warnings: Vec::new(),
            assumptions: Vec::new(),
            environment: Vec::new(),
            provenance: Vec::new(),
            resolved: String::new(),
        }
    }

    #[test]
    fn a_field_that_is_missing_is_a_fault_and_no_empty_one() {
        let mut study = serde_json::to_value(Study { arms: vec![arm("a", Role::Cell)], ..empty() }).unwrap();
        assert!(serde_json::from_value::<Study>(study.clone()).is_ok());
        let fields: Vec<String> = study.as_object().unwrap().keys().cloned().collect();
        for field in fields.iter().filter(|field| !["reproduces", "baseline"].contains(&field.as_str())) {
            let mut less = study.clone();
            less.as_object_mut().unwrap().remove(field);
            let error = serde_json::from_value::<Study>(less).unwrap_err().to_string();
            assert!(error.contains(&format!("missing field `{field}`")), "{field}: {error}");
        }
        study["arms"][0].as_object_mut().unwrap().remove("levels");
        assert!(serde_json::from_value::<Study>(study).is_err());
    }

    /// A finished arm without levels.
    pub(crate) fn arm(name: &str, role: Role) -> Arm {
        Arm {
            name: name.into(),
            role,
            levels: BTreeMap::new(),
            model: "m".into(),
            control: None,
            objective: None,
            outcome: Outcome::Done,
        }
    }

    /// What one component used for one arm.
    pub(crate) fn energy(key: &str, arm: &str, component: &str, state: &str, joules: Option<f64>) -> StageEnergy {
        StageEnergy {
            stage: "sft".into(),
            label: "m".into(),
            key: key.into(),
            arms: vec![arm.into()],
            component: component.into(),
            joules,
            cross_check_joules: None,
            state: state.into(),
            method: "test".into(),
            seconds: 1.0,
        }
    }
}
