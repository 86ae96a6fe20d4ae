//! What stages will cost before they run: orders of magnitude, marked as estimates.
//!
//! Formulas, with `P` parameters and `T` tokens (a token is taken to be four characters, an
//! assumption that holds for English):
//!
//! - operations: training `6 P T` per epoch with all parameters, `4 P T` with adapters (no gradient
//!   of frozen weights), a forward pass `2 P T` (Kaplan et al. 2020, arXiv 2001.08361, section 2.1);
//! - time: operations divided by the speed of finished stages of the same kind in the store, else by
//!   [`ASSUMED_UTILISATION`] of the speed of a large matrix product on this device;
//!   to it comes, unless measured, the cost of starting operations, which is most of a small model's
//!   time: `SECONDS_PER_OPERATION` for each of `OPERATIONS_PER_PASS` per layer and pass, and of
//!   `OPERATIONS_PER_SEQUENCE` per layer and sequence;
//! - memory: weights, gradients and two moments in f32, `16 P`, with adapters the weights only, and
//!   `PROGRAM_BYTES`; activations come on top;
//! - disk: outputs and the state of unfinished work;
//! - energy: time by the power of finished stages, else by the declared or assumed power of the CPU.
//!   Power of a GPU is not assumed.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use tutelage_metrics::energy::model::ASSUMED_WATTS_PER_CPU;
use tutelage_metrics::energy::{Account, Joules};

use super::hub;
use super::job::Job;
use super::manifest::Depth;
use super::plan::Plan;
use super::stage::{Input, Source, Stage, StageKind};
use super::store::{State, Store};
use crate::data::{Tokenizer, import, split};
use crate::device::{self, Compute, Precision};
use crate::experiment::Checked;
use crate::experiment::settings::{Algorithm, Experiment, Scratch, TokenizerSource, Training, Tuning};
use crate::models::config::Config;
use crate::models::product;

/// Share of a matrix product's speed that a stage reaches, until one has been measured: an
/// assumption.
pub const ASSUMED_UTILISATION: f64 = 0.3;

/// Time to start one operation of libtorch on a CPU: dispatch, allocation of the result, and in
/// training its node of the graph. An assumption of the order of ten microseconds; it decides the
/// estimate of models whose products take less.
const SECONDS_PER_OPERATION: f64 = 15e-6;

/// Operations of one decoder layer in a forward pass over a whole batch: projections, norms,
/// rotation; an assumption.
const OPERATIONS_PER_PASS: f64 = 20.0;

/// Operations of one decoder layer for each sequence of a pass: attention; an assumption.
const OPERATIONS_PER_SEQUENCE: f64 = 10.0;

/// A forward pass with its backward, and the step of the optimiser, in forward passes: an assumption.
const PASSES_PER_STEP: f64 = 3.0;

/// Memory that the program with libtorch holds before any model is loaded: measured.
const PROGRAM_BYTES: f64 = 0.4e9;

const CHARACTERS_PER_TOKEN: f64 = 4.0;

/// Estimates one stage; what cannot be known is none.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Estimate {
    /// Floating-point operations.
    pub operations: Option<f64>,
    /// Duration.
    pub seconds: Option<f64>,
    /// Memory without activations.
    pub memory_bytes: Option<u64>,
    /// Disk while it runs.
    pub disk_bytes: Option<u64>,
    /// Energy.
    pub kilowatt_hours: Option<f64>,
}

/// Sums the estimates of several stages.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Needs {
    /// Stages that were summed.
    pub stages: usize,
    /// Of them, stages whose duration is not known.
    pub unknown: usize,
    /// Duration of the others, one after another.
    pub seconds: f64,
    /// Memory of the largest.
    pub memory_bytes: u64,
    /// Disk of all together.
    pub disk_bytes: u64,
    /// Energy; none if it is not known for any stage of known duration.
    pub kilowatt_hours: Option<f64>,
}

impl Needs {
    /// Sums estimates.
    pub fn of<'a>(estimates: impl Iterator<Item = &'a Estimate>) -> Self {
        let mut needs = Self { kilowatt_hours: Some(0.0), ..Self::default() };
        for estimate in estimates {
            needs.stages += 1;
            needs.unknown += usize::from(estimate.seconds.is_none());
            needs.seconds += estimate.seconds.unwrap_or_default();
            needs.memory_bytes = needs.memory_bytes.max(estimate.memory_bytes.unwrap_or_default());
            needs.disk_bytes += estimate.disk_bytes.unwrap_or_default();
            if estimate.seconds.is_some() {
                needs.kilowatt_hours = needs.kilowatt_hours.zip(estimate.kilowatt_hours).map(|(a, b)| a + b);
            }
        }
        needs
    }
}

/// Tokens of the data, by split, for one pass.
#[derive(Debug, Clone, Copy, Default)]
struct Tokens {
    corpus: f64,
    train: f64,
    dev: f64,
    test_prompts: f64,
    test_examples: f64,
    responses: f64,
    /// Examples of train and dev.
    examples: f64,
}

/// Size of a model.
#[derive(Debug, Clone, Copy)]
struct Size {
    parameters: f64,
    hidden: f64,
    layers: f64,
}

/// Estimates the stages of one plan.
pub struct Estimator<'a> {
    experiment: &'a Experiment,
    plan: &'a Plan,
    compute: Compute,
    tokens: Option<Tokens>,
    /// Operations per second by kind, from finished stages.
    measured: BTreeMap<StageKind, f64>,
    /// Operations per second of a matrix product.
    product_speed: f64,
    /// Watts of finished stages, or of the CPU model.
    watts: Option<f64>,
    basis: Vec<String>,
}

impl<'a> Estimator<'a> {
    /// Reads the sizes of data and models, measures this device shortly, and looks for finished
    /// stages to learn from.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn new(checked: &'a Checked, plan: &'a Plan, store: &Store, compute: Compute) -> anyhow::Result<Self> {
        let experiment = &checked.experiment;
        let mut estimator = Self {
            experiment,
            plan,
            compute,
            tokens: tokens(experiment),
            measured: BTreeMap::new(),
            product_speed: product::speed(compute),
            watts: None,
            basis: Vec::new(),
        };
        estimator.basis.push(
            "memory is without activations, with 0.4 GB of the program itself; a token is taken to be 4 characters"
                .to_owned(),
        );
        estimator.learn(store)?;
        Ok(estimator)
    }

    /// Says what the numbers rest on.
    #[must_use]
    pub fn basis(&self) -> &[String] {
        &self.basis
    }

    fn learn(&mut self, store: &Store) -> anyhow::Result<()> {
        let mut by_kind: BTreeMap<StageKind, (f64, f64, usize)> = BTreeMap::new();
        let (mut joules, mut seconds) = (0.0, 0.0);
        for stage in &self.plan.stages {
            let folder = store.folder_of(stage);
            if folder.state(Depth::Sizes)? != State::Done {
                continue;
            }
            let account = std::fs::read(folder.energy_json()).ok();
            let Some(account) = account.and_then(|bytes| serde_json::from_slice::<Account>(&bytes).ok()) else {
                continue;
            };
            let Some(duration) = account.components.first().map(|measured| measured.seconds) else { continue };
            if let Some((Joules(known), _)) = account.known() {
                joules += known;
                seconds += duration;
            }
            if let Some(operations) = self.operations(stage) {
                let sum = by_kind.entry(stage.kind).or_default();
                *sum = (sum.0 + operations, sum.1 + duration, sum.2 + 1);
            }
        }
        for (kind, (operations, seconds, count)) in by_kind {
            if seconds > 0.0 && operations > 0.0 {
                self.measured.insert(kind, operations / seconds);
                let kind = kind.name();
                self.basis.push(format!("speed of `{kind}` as in {count} finished stages of this experiment"));
            }
        }
        let computes = |stage: &&Stage| self.operations(stage).is_none_or(|operations| operations > 0.0);
        if self.plan.stages.iter().filter(computes).any(|stage| !self.measured.contains_key(&stage.kind)) {
            let share = ASSUMED_UTILISATION * 100.0;
            let speed = self.product_speed / 1e9;
            let start = SECONDS_PER_OPERATION * 1e6;
            self.basis.push(format!(
                "stages without a measurement at {share:.0} % (assumed) of {speed:.0} GFLOP/s, measured with a \
                 matrix product, and {start:.0} us (assumed, not measured here) to start each of {OPERATIONS_PER_PASS:.0} operations of a \
                 layer and pass and {OPERATIONS_PER_SEQUENCE:.0} more by sequence (assumed); scoring and preparing \
                 data count as nothing"
            ));
        }
        self.learn_power(joules, seconds);
        Ok(())
    }

    fn learn_power(&mut self, joules: f64, seconds: f64) {
        if seconds > 0.0 && joules > 0.0 {
            let watts = joules / seconds;
            self.watts = Some(watts);
            self.basis.push(format!("power of {watts:.0} W as in finished stages"));
        } else if self.compute.device == tch::Device::Cpu {
            let declared = self.experiment.energy.cpu_tdp_watts;
            let assumed = ASSUMED_WATTS_PER_CPU * device::threads() as f64;
            let watts = declared.unwrap_or(assumed);
            self.watts = Some(watts);
            let how = if declared.is_some() { "declared" } else { "assumed: 10 W per thread" };
            self.basis.push(format!("power of {watts:.0} W ({how})"));
        } else {
            self.basis.push("the power of this device is unknown until a stage has been measured".to_owned());
        }
    }

    /// Estimates a stage.
    #[must_use]
    pub fn stage(&self, stage: &Stage) -> Estimate {
        let operations = self.operations(stage);
        let seconds = match self.measured.get(&stage.kind) {
            Some(speed) => operations.map(|operations| operations / speed),
            None => {
                let speed = self.product_speed * ASSUMED_UTILISATION;
                operations.zip(self.overhead(stage)).map(|(operations, overhead)| operations / speed + overhead)
            }
        };
        let kilowatt_hours = seconds.zip(self.watts).map(|(seconds, watts)| Joules(seconds * watts).kilowatt_hours());
        Estimate {
            operations,
            seconds,
            memory_bytes: self.memory(stage).map(|bytes| (bytes + PROGRAM_BYTES) as u64),
            disk_bytes: self.disk(stage).map(|bytes| bytes as u64),
            kilowatt_hours,
        }
    }

    /// Returns the seconds that starting operations takes, from the forward passes of a stage and the
    /// sequences in them.
    fn overhead(&self, stage: &Stage) -> Option<f64> {
        let tokens = self.tokens?;
        let start = |size: Size, passes: f64, sequences: f64| {
            let operations = passes * OPERATIONS_PER_PASS + sequences * OPERATIONS_PER_SEQUENCE;
            size.layers * operations * SECONDS_PER_OPERATION
        };
        let steps = |size: Size, training: &Training, sequences: f64| {
            PASSES_PER_STEP * training.epochs * start(size, sequences / training.batch as f64, sequences)
        };
        match &stage.job {
            Job::Data(_) | Job::Tokenizer(_) | Job::Score(_) => Some(0.0),
            Job::Pretrain(job) => {
                let sequences = tokens.corpus / job.training.max_length as f64;
                Some(steps(self.scratch(&job.model)?, &job.training, sequences))
            }
            Job::Sft(job) => Some(steps(self.model(stage, "model")?, &job.training, tokens.examples)),
            Job::Distill(job) => Some(steps(self.model(stage, "student")?, &job.training, tokens.examples)),
            Job::Capture(job) => {
                Some(start(self.model(stage, "teacher")?, tokens.examples / job.batch as f64, tokens.examples))
            }
            Job::Generate(job) => {
                let examples = job.limit.map_or(tokens.test_examples, |limit| tokens.test_examples.min(limit as f64));
                let batches = (examples / self.experiment.evaluation.batch as f64).ceil();
                // A prompt is read alone, references are read in batches, a token is decoded for a batch.
                let decoded = batches * job.max_new_tokens as f64;
                Some(start(self.model(stage, "model")?, examples + batches + decoded, 2.0 * examples + decoded))
            }
        }
    }

    fn operations(&self, stage: &Stage) -> Option<f64> {
        let tokens = self.tokens?;
        let per_token = |tuning: &Tuning| match tuning {
            Tuning::Full {} => 6.0,
            Tuning::Lora(_) => 4.0,
        };
        match &stage.job {
            // Text and small models: seconds, whatever the experiment.
            Job::Data(_) | Job::Tokenizer(_) | Job::Score(_) => Some(0.0),
            Job::Pretrain(job) => {
                let size = self.scratch(&job.model)?;
                Some(6.0 * size.parameters * tokens.corpus * job.training.epochs)
            }
            Job::Sft(job) => {
                let size = self.model(stage, "model")?;
                let epoch = per_token(&job.tuning) * tokens.train + 2.0 * tokens.dev;
                Some(size.parameters * epoch * job.training.epochs)
            }
            Job::Distill(job) => {
                let student = self.model(stage, "student")?;
                let epoch = per_token(&job.tuning) * tokens.train + 2.0 * tokens.dev;
                // The captured hidden states pass the teacher's head again, and the projectors.
                let teacher = self.model(stage, "teacher")?;
                let widths = match job.algorithm {
                    Algorithm::Vanilla { .. } => teacher.hidden,
                    Algorithm::DualSpace { .. } => teacher.hidden + student.hidden,
                };
                let head = 2.0 * widths * self.vocabulary() * tokens.responses;
                Some((student.parameters * epoch + head) * job.training.epochs)
            }
            Job::Capture(_) => Some(2.0 * self.model(stage, "teacher")?.parameters * (tokens.train + tokens.dev)),
            Job::Generate(job) => {
                let size = self.model(stage, "model")?;
                let limit = job.limit.map_or(1.0, |limit| (limit as f64 / tokens.test_examples).min(1.0));
                let answers = tokens.test_examples * job.max_new_tokens as f64;
                // Prompts twice: once to answer, once for the likelihood of the reference.
                Some(2.0 * size.parameters * limit * (2.0 * tokens.test_prompts + answers))
            }
        }
    }

    fn memory(&self, stage: &Stage) -> Option<f64> {
        let training = |size: Size, tuning: &Tuning| match tuning {
            Tuning::Full {} => 16.0 * size.parameters,
            Tuning::Lora(_) => self.bytes_per_weight() * size.parameters,
        };
        match &stage.job {
            Job::Data(_) | Job::Tokenizer(_) | Job::Score(_) => Some(0.0),
            Job::Pretrain(job) => Some(training(self.scratch(&job.model)?, &Tuning::Full {})),
            Job::Sft(job) => Some(training(self.model(stage, "model")?, &job.tuning)),
            Job::Distill(job) => {
                let teacher = self.model(stage, "teacher")?;
                let head = 2.0 * teacher.hidden * self.vocabulary() * self.bytes_per_weight();
                Some(training(self.model(stage, "student")?, &job.tuning) + head)
            }
            Job::Capture(_) => Some(self.bytes_per_weight() * self.model(stage, "teacher")?.parameters),
            Job::Generate(_) => Some(self.bytes_per_weight() * self.model(stage, "model")?.parameters),
        }
    }

    fn disk(&self, stage: &Stage) -> Option<f64> {
        // Weights, and master weights, two moments and the best weights of unfinished work.
        let training = |size: Size, tuning: &Tuning| match tuning {
            Tuning::Full {} => 20.0 * size.parameters,
            // Adapters are a small share of the model: one per cent is taken.
            Tuning::Lora(_) => 0.2 * size.parameters,
        };
        match &stage.job {
            Job::Data(_) => {
                let tokens = self.tokens?;
                Some(CHARACTERS_PER_TOKEN * (tokens.corpus + tokens.train + tokens.dev + tokens.test_prompts))
            }
            Job::Tokenizer(_) => Some(1e6),
            Job::Pretrain(job) => Some(training(self.scratch(&job.model)?, &Tuning::Full {})),
            Job::Sft(job) => Some(training(self.model(stage, "model")?, &job.tuning)),
            Job::Distill(job) => Some(training(self.model(stage, "student")?, &job.tuning)),
            Job::Capture(_) => {
                let teacher = self.model(stage, "teacher")?;
                Some(self.tokens?.responses * teacher.hidden * self.bytes_per_weight())
            }
            Job::Generate(job) => Some(self.tokens?.test_examples * job.max_new_tokens as f64 * CHARACTERS_PER_TOKEN),
            Job::Score(job) => Some(self.tokens?.test_examples * 100.0 * job.metrics.len() as f64),
        }
    }

    fn bytes_per_weight(&self) -> f64 {
        match self.compute.precision {
            Precision::F32 => 4.0,
            Precision::Bf16 => 2.0,
        }
    }

    fn scratch(&self, scratch: &Scratch) -> Option<Size> {
        let tokens = match self.experiment.tokenizers.get(&scratch.tokenizer)? {
            TokenizerSource::ByteLevelBpe { vocabulary } | TokenizerSource::Unigram { vocabulary } => *vocabulary,
            TokenizerSource::File { path } => Tokenizer::load(path).ok()?.len(),
        };
        let config = Config::scratch(scratch, tokens, 0);
        Some(Size {
            parameters: config.parameters() as f64,
            hidden: scratch.hidden as f64,
            layers: scratch.layers as f64,
        })
    }

    /// Returns the size of the model that a stage reads under a name, whichever stages made it.
    fn model(&self, stage: &Stage, name: &str) -> Option<Size> {
        let named = |inputs: &'a [Input], name: &str| inputs.iter().find(|input| input.name == name);
        let stage = self.plan.stage(&stage.key)?;
        match &named(&stage.inputs, name)?.source {
            Source::External { origin, .. } => {
                let config = hub::configuration(origin)?;
                Some(Size {
                    parameters: config.parameters() as f64,
                    hidden: config.hidden_size as f64,
                    layers: config.num_hidden_layers as f64,
                })
            }
            Source::Stage { key, .. } => {
                let stage = self.plan.stage(key)?;
                match &stage.job {
                    Job::Pretrain(job) => self.scratch(&job.model),
                    Job::Sft(_) => self.model(stage, "model"),
                    Job::Distill(_) => self.model(stage, "student"),
                    _ => None,
                }
            }
        }
    }

    /// Returns the largest vocabulary of the experiment's tokenizers, or Llama's for checkpoints.
    fn vocabulary(&self) -> f64 {
        let trained = self.experiment.tokenizers.values().filter_map(|tokenizer| match tokenizer {
            TokenizerSource::ByteLevelBpe { vocabulary } | TokenizerSource::Unigram { vocabulary } => Some(*vocabulary),
            TokenizerSource::File { .. } => None,
        });
        trained.max().unwrap_or(32_000) as f64
    }
}

/// Counts the tokens of the data; none if it cannot be read here.
fn tokens(experiment: &Experiment) -> Option<Tokens> {
    let data = experiment.data.values().next()?;
    let imported = import(data, Path::new("")).ok()?;
    let splits = split(&imported.examples, &data.split, data.limit).ok()?;
    let longest = experiment.training.distill.max_length as f64;
    let count = |characters: usize| characters as f64 / CHARACTERS_PER_TOKEN;
    let prompt = |example: &crate::data::Example| {
        let context = if data.closed_book { 0 } else { example.context.as_ref().map_or(0, String::len) };
        count(context + example.question.len()).min(longest)
    };
    let whole = |example: &crate::data::Example| (prompt(example) + count(example.answer.len())).min(longest);
    let corpus = crate::data::corpus::texts(&splits.train, &imported.passages, data.closed_book);
    let learned = splits.train.iter().chain(&splits.dev);
    Some(Tokens {
        corpus: corpus.iter().map(|text| count(text.len())).sum(),
        train: splits.train.iter().map(whole).sum(),
        dev: splits.dev.iter().map(whole).sum(),
        test_prompts: splits.test.iter().map(prompt).sum(),
        test_examples: splits.test.len() as f64,
        examples: (splits.train.len() + splits.dev.len()) as f64,
        responses: learned.map(|example| count(example.answer.len()) + 1.0).sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrate::plan::tests::{checked, planned};

    #[test]
    fn training_costs_six_operations_per_parameter_and_token() {
        let (folder, checked, plan) = (tempfile::tempdir().unwrap(), checked(|_| ()), planned(|_| ()));
        let store = Store::open(folder.path()).unwrap();
        let estimator = Estimator::new(&checked, &plan, &store, Compute::reference()).unwrap();
        let find = |title: &str| plan.stages.iter().find(|stage| stage.title() == title).unwrap();
        let pretrain = find("pretrain big");
        // Tied embedding 300 x 16; attention 4 x 16 x 16; feed-forward 3 x 16 x 32; norms 3 x 16.
        let parameters = 300.0 * 16.0 + 4.0 * 256.0 + 3.0 * 512.0 + 48.0;
        let corpus = estimator.tokens.unwrap().corpus;
        let estimate = estimator.stage(pretrain);
        assert_eq!(estimate.operations, Some(6.0 * parameters * corpus));
        assert_eq!(estimate.memory_bytes, Some(400_000_000 + 16 * parameters as u64));
        // So small a model costs the start of its operations: one layer, by pass and by sequence.
        let training = &checked.experiment.training.pretrain;
        let sequences = corpus / training.max_length as f64;
        let operations = 20.0 * sequences / training.batch as f64 + 10.0 * sequences;
        let least = 3.0 * operations * 15e-6 * training.epochs;
        assert!(estimate.seconds.unwrap() > least);
        assert!(estimator.basis().iter().any(|basis| basis.contains("15 us (assumed")));
        let captured = estimator.stage(find("capture big (sft)")).operations.unwrap();
        let tokens = estimator.tokens.unwrap();
        assert_eq!(captured, 2.0 * parameters * (tokens.train + tokens.dev));
    }

    #[test]
    fn what_is_not_known_makes_the_sum_unknown() {
        let known = Estimate { seconds: Some(2.0), kilowatt_hours: Some(1.0), ..Estimate::default() };
        let no_power = Estimate { seconds: Some(3.0), ..Estimate::default() };
        let needs = Needs::of([&known, &no_power, &Estimate::default()].into_iter());
        assert_eq!((needs.stages, needs.unknown, needs.seconds), (3, 1, 5.0));
        assert_eq!(needs.kilowatt_hours, None);
    }
}
