//! What a report says beside its records: the design, what was run, what it cost, what was seen.
//!
//! Drawn up by whoever ran the experiment, who keeps it as `study.json`. Nothing in it is text to be
//! interpreted: names, answers and questions are data and never markup.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tutelage_metrics::energy::EnergyModel;

use crate::record::{Direction, null_is_nan};
use crate::{Error, Result};

/// Version of [`Study`].
pub const STUDY_FORMAT: u32 = 3;

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
    /// What the models were evaluated on, at least one set, in the order of tables.
    pub sets: Vec<EvaluationSet>,
    /// Metrics in the order of tables.
    pub metrics: Vec<Metric>,
    /// What arms have a value of at a seed, and single examples have not.
    pub quantities: Vec<Quantity>,
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

    /// Finds a metric by its column.
    pub(crate) fn metric(&self, column: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.key() == column)
    }

    /// Finds the evaluation set that a metric is measured on.
    pub(crate) fn set_of(&self, metric: &Metric) -> Option<&EvaluationSet> {
        self.sets.iter().find(|set| set.name == metric.set)
    }

    /// Metrics of a set, in the order of tables.
    pub(crate) fn metrics_of<'s>(&'s self, set: &'s EvaluationSet) -> impl Iterator<Item = &'s Metric> {
        self.metrics.iter().filter(|metric| metric.set == set.name)
    }

    /// Name of a metric in tables, with its set where there are several.
    pub(crate) fn label(&self, metric: &Metric) -> String {
        match self.name_of(metric.set.as_deref()) {
            Some(set) => format!("{} ({set})", metric.label),
            None => metric.label.clone(),
        }
    }

    /// Name of a set where it has to be told from others.
    pub(crate) fn name_of<'n>(&self, set: Option<&'n str>) -> Option<&'n str> {
        set.filter(|_| self.sets.len() > 1)
    }

    /// Checks that names are unique and that what is named is there.
    ///
    /// # Errors
    /// [`Error::Study`] with what is wrong.
    pub fn check(&self) -> Result<()> {
        let fault = |text: String| Err(Error::Study(text));
        if self.sets.is_empty() {
            return fault("it has no evaluation set: expected at least one".to_owned());
        }
        for (place, set) in self.sets.iter().enumerate() {
            if self.sets[..place].iter().any(|before| before.name == set.name) {
                return fault(format!("two evaluation sets are called {}", named(set.name.as_deref())));
            }
        }
        if let Some(metric) = self.metrics.iter().find(|metric| self.set_of(metric).is_none()) {
            let set = named(metric.set.as_deref());
            return fault(format!("metric `{}` is of the evaluation set {set}, which is not there", metric.name));
        }
        let is_twice = |(place, metric): &(usize, &Metric)| {
            self.metrics[..*place].iter().any(|before| before.name == metric.name && before.set == metric.set)
        };
        if let Some((_, metric)) = self.metrics.iter().enumerate().find(is_twice) {
            return fault(format!("metric `{}` is twice in one evaluation set", metric.name));
        }
        let metrics = self.metrics.iter().map(Metric::key);
        let columns: Vec<&str> = metrics.chain(self.quantities.iter().map(|quantity| quantity.name.as_str())).collect();
        match columns.iter().enumerate().find(|(place, column)| columns[..*place].contains(column)) {
            Some((_, column)) => fault(format!("two metrics or quantities have the column `{column}`")),
            None => Ok(()),
        }
    }
}

/// Words the name of a set, which may have none.
fn named(set: Option<&str>) -> String {
    set.map_or_else(|| "without a name".to_owned(), |name| format!("`{name}`"))
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

/// A claim written before the run, and what it is tested on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hypothesis {
    /// The claim in words.
    pub name: String,
    /// What is claimed.
    pub claim: Claim,
    /// Columns of the metrics on which the claim is tested; empty for claims on ranks, which name their own.
    pub metrics: Vec<String>,
    /// The only stratum of the set whose examples take part; all where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stratum: Option<String>,
}

/// What a hypothesis claims.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Claim {
    /// One level is better than another.
    Better(LevelContrast),
    /// One level is not worse than another by more than a margin: non-inferiority.
    NotWorse {
        /// The levels.
        contrast: LevelContrast,
        /// Largest loss that counts as none, in the unit of the metric; not negative.
        margin: f64,
    },
    /// Two levels differ by less than a margin in either direction.
    Equivalent {
        /// The levels.
        contrast: LevelContrast,
        /// Smallest difference that counts as one, in the unit of the metric; positive.
        margin: f64,
    },
    /// One level gains more on another at one level of a second factor than at another one.
    Interaction {
        /// The levels whose difference is the gain.
        contrast: LevelContrast,
        /// The second factor.
        factor: String,
        /// Its level at which the gain is claimed to be larger.
        more: String,
        /// Its level at which the gain is claimed to be smaller.
        less: String,
    },
    /// Two columns, metrics or quantities, rank the arms alike.
    Rank {
        /// One column.
        of: String,
        /// The other.
        with: String,
        /// Levels that the arms have; all cells where none is fixed.
        within: BTreeMap<String, String>,
    },
    /// The best arm by one column is not the best by another.
    BestDiffers {
        /// The column whose best arm is taken.
        of: String,
        /// The column on which it is claimed to be beaten.
        by: String,
        /// Levels that the arms have; all cells where none is fixed.
        within: BTreeMap<String, String>,
    },
}

/// Two levels of a factor, the other factors being equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelContrast {
    /// Factor that is contrasted.
    pub factor: String,
    /// Level that the claim says is better.
    pub better: String,
    /// Level it is compared with.
    pub worse: String,
    /// Fixed levels of other factors; factors not named are averaged over.
    pub within: BTreeMap<String, String>,
}

/// What models were evaluated on: one split of one data set, and what was asked of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationSet {
    /// Its name; none for the only set of an experiment that names none.
    pub name: Option<String>,
    /// Data set, as in [`Data::name`].
    pub data: String,
    /// Split of the data set, such as `test`.
    pub split: String,
    /// What was asked of the models.
    pub task: Task,
    /// What its examples are grouped by.
    pub unit: Unit,
    /// Name of the field that strata come from, such as `use-case`; none where nothing divides the examples.
    pub by: Option<String>,
    /// How answers were decoded, in words; none where nothing was answered, or nobody noted how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoding: Option<String>,
}

/// Says what was asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// To answer a question in words.
    Answer,
    /// To choose among given answers.
    Choice,
    /// To predict a text.
    Perplexity,
}

impl Task {
    /// What an example is called.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::Answer | Self::Choice => "question",
            Self::Perplexity => "text",
        }
    }
}

/// A value that an arm has at a seed and that is no mean over examples: dev loss, trained parameters, energy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    /// Name by which claims refer to it: `dev-loss`.
    pub name: String,
    /// Name in tables.
    pub label: String,
    /// Unit of the values.
    pub unit: String,
    /// Which way it improves.
    pub direction: Direction,
    /// The values, in any order.
    pub values: Vec<QuantityValue>,
}

/// The value of a quantity of one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantityValue {
    /// Name of the arm, as in [`Arm::name`].
    pub arm: String,
    /// Seed of the trial.
    pub seed: u64,
    /// The value, in the unit of the quantity; `null` in JSON where it is not finite.
    #[serde(deserialize_with = "null_is_nan")]
    pub value: f64,
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
    /// Name of the evaluation set that it is measured on, as in [`EvaluationSet::name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// Name that is unique in the study and that claims refer to: `rouge-l`, of a named set `support/rouge-l`. Empty
    /// where that is the metric's own name.
    // Stages of scoring know of no set.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub column: String,
}

impl Metric {
    /// The name that is unique in the study: its column, or its own name where none is given.
    pub fn key(&self) -> &str {
        if self.column.is_empty() { &self.name } else { &self.column }
    }
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
    /// Its examples are texts, not questions.
    #[serde(default)]
    pub are_texts: bool,
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
            sets: vec![set(None, "group")],
            metrics: Vec::new(),
            quantities: Vec::new(),
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

    /// A set of questions whose groups are called so.
    pub(crate) fn set(name: Option<&str>, unit: &str) -> EvaluationSet {
        EvaluationSet {
            name: name.map(str::to_owned),
            data: "d".into(),
            split: "test".into(),
            task: Task::Answer,
            unit: Unit { name: unit.into() },
            by: None,
            decoding: None,
        }
    }

    /// A metric of the unnamed set: a mean of points, the higher the better.
    pub(crate) fn metric(name: &str) -> Metric {
        Metric {
            name: name.into(),
            label: name.to_uppercase(),
            unit: "points".into(),
            direction: Direction::Higher,
            signature: String::new(),
            source: String::new(),
            aggregation: Aggregation::Mean,
            set: None,
            column: String::new(),
        }
    }

    #[test]
    fn names_are_unique_and_sets_are_there() {
        let of = |set: &str, name: &str, column: &str| Metric {
            set: Some(set.into()),
            column: column.into(),
            ..metric(name)
        };
        let mut study = Study { sets: vec![set(Some("a"), "group"), set(Some("b"), "group")], ..empty() };
        study.metrics = vec![of("a", "f1", "a/f1"), of("b", "f1", "b/f1")];
        assert!(study.check().is_ok());
        assert_eq!((study.label(&study.metrics[1]), study.metrics[1].key()), ("F1 (b)".into(), "b/f1"));
        let fault = |change: &dyn Fn(&mut Study)| {
            let mut study = study.clone();
            change(&mut study);
            study.check().unwrap_err().to_string()
        };
        assert!(fault(&|s| s.metrics[1].column = "a/f1".into()).contains("have the column `a/f1`"));
        assert!(fault(&|s| s.metrics[1].set = None).contains("`f1` is of the evaluation set without a name, which"));
        assert!(fault(&|s| s.sets[1].name = Some("a".into())).contains("two evaluation sets are called `a`"));
        assert!(fault(&|s| s.metrics[1].set = Some("a".into())).contains("metric `f1` is twice"));
        assert!(fault(&|s| s.sets.clear()).contains("no evaluation set"));
    }

    #[test]
    fn claims_read_as_they_are_written() {
        let claim: Claim = serde_json::from_str(
            r#"{"not-worse": {"contrast": {"factor": "sft", "better": "both", "worse": "none", "within": {}}, "margin": 0.02}}"#,
        )
        .unwrap();
        assert!(matches!(&claim, Claim::NotWorse { margin, .. } if *margin == 0.02));
        let text = serde_json::to_string(&Claim::BestDiffers {
            of: "dev-loss".into(),
            by: "f1".into(),
            within: BTreeMap::new(),
        })
        .unwrap();
        assert_eq!(text, r#"{"best-differs":{"of":"dev-loss","by":"f1","within":{}}}"#);
        assert!(serde_json::from_str::<Claim>(r#"{"rank": {"of": "a", "with": "b", "within": {}, "x": 1}}"#).is_err());
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
