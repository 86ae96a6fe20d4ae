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
//! - memory: weights, gradients and two moments in f32, `16 P`, and the best weights, `4 P`, where dev
//!   is measured; with adapters the weights in the format of the products, and the same of the
//!   adapters; keys and values of the answers that are decoded together; and `PROGRAM_BYTES`;
//!   activations come on top;
//! - disk: outputs, and while a stage trains two of its states (weights, two moments, best weights),
//!   as one is there until the next is whole;
//! - energy: time by the power of finished stages, else by the declared or assumed power of the CPU.
//!   Power of a GPU is not assumed.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use tutelage_metrics::energy::model::ASSUMED_WATTS_PER_CPU;
use tutelage_metrics::energy::{Account, Joules};

use super::hub;
use super::job::{GenerateJob, Job};
use super::manifest::Depth;
use super::plan::Plan;
use super::stage::{Input, Source, Stage, StageKind};
use super::store::{State, Store};
use crate::data::{Example, Tokenizer, corpus, import, split, window};
use crate::device::{self, Compute, Precision};
use crate::experiment::Checked;
use crate::experiment::settings::{Algorithm, Experiment, Scratch, TokenizerSource, Training, Tuning, Validate};
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

/// Adapters' share of a model's parameters: an assumption.
const ADAPTERS: f64 = 0.01;

/// Answers that are decoded together at most, on a CPU and on a GPU: as in `generate::decode`, which
/// computes that many however few there are.
const TILE_ROWS: (f64, f64) = (16.0, 32.0);

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
    /// Disk of what it leaves.
    pub kept_bytes: Option<u64>,
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
    /// Disk of what all leave, and of the largest unfinished work.
    pub disk_bytes: u64,
    /// Energy; none if it is not known for any stage of known duration.
    pub kilowatt_hours: Option<f64>,
}

impl Needs {
    /// Sums estimates.
    pub fn of<'a>(estimates: impl Iterator<Item = &'a Estimate>) -> Self {
        let mut needs = Self { kilowatt_hours: Some(0.0), ..Self::default() };
        let mut unfinished = 0;
        for estimate in estimates {
            needs.stages += 1;
            needs.unknown += usize::from(estimate.seconds.is_none());
            needs.seconds += estimate.seconds.unwrap_or_default();
            needs.memory_bytes = needs.memory_bytes.max(estimate.memory_bytes.unwrap_or_default());
            let kept = estimate.kept_bytes.unwrap_or_default();
            needs.disk_bytes += kept;
            unfinished = unfinished.max(estimate.disk_bytes.unwrap_or_default().saturating_sub(kept));
            if estimate.seconds.is_some() {
                needs.kilowatt_hours = needs.kilowatt_hours.zip(estimate.kilowatt_hours).map(|(a, b)| a + b);
            }
        }
        needs.disk_bytes += unfinished;
        needs
    }
}

/// Sizes of the data, for one pass.
#[derive(Debug, Clone, Copy, Default)]
struct Sizes {
    /// Tokens of the corpus.
    corpus: f64,
    train: Split,
    dev: Split,
    test: Split,
}

/// Sizes of a split: examples, and the rest in tokens.
#[derive(Debug, Clone, Copy, Default)]
struct Split {
    examples: f64,
    prompts: f64,
    /// With their end.
    responses: f64,
    /// Prompts with responses.
    whole: f64,
    longest_prompt: f64,
}

impl Split {
    /// Returns the sizes of the first so many examples.
    fn first(self, limit: Option<usize>) -> Self {
        let share = limit.map_or(1.0, |limit| (limit as f64 / self.examples).min(1.0));
        Self {
            examples: share * self.examples,
            prompts: share * self.prompts,
            responses: share * self.responses,
            whole: share * self.whole,
            ..self
        }
    }
}

/// Size of a model.
#[derive(Debug, Clone, Copy)]
struct Size {
    parameters: f64,
    hidden: f64,
    layers: f64,
    /// Width of the keys of one token in a layer, and of the values.
    keys: f64,
}

impl Size {
    fn of(config: &Config) -> Self {
        Self {
            parameters: config.parameters() as f64,
            hidden: config.hidden_size as f64,
            layers: config.num_hidden_layers as f64,
            keys: (config.num_key_value_heads * config.head_dim) as f64,
        }
    }
}

/// Estimates the stages of one plan.
pub struct Estimator<'a> {
    experiment: &'a Experiment,
    plan: &'a Plan,
    compute: Compute,
    sizes: Option<Sizes>,
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
            sizes: sizes(experiment),
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
            disk_bytes: self.disk(stage).map(|(_, whole)| whole as u64),
            kept_bytes: self.disk(stage).map(|(kept, _)| kept as u64),
            kilowatt_hours,
        }
    }

    /// Returns the seconds that starting operations takes, from the forward passes of a stage and the
    /// sequences in them.
    fn overhead(&self, stage: &Stage) -> Option<f64> {
        let sizes = self.sizes?;
        let start = |size: Size, passes: f64, sequences: f64| {
            let operations = passes * OPERATIONS_PER_PASS + sequences * OPERATIONS_PER_SEQUENCE;
            size.layers * operations * SECONDS_PER_OPERATION
        };
        let steps = |size: Size, training: &Training, sequences: f64| {
            PASSES_PER_STEP * training.epochs * start(size, sequences / training.batch as f64, sequences)
        };
        // Dev passes are large, hence few: their sequences count.
        let tuning = |size: Size, training: &Training| {
            steps(size, training, sizes.train.examples) + validations(training) * start(size, 1.0, sizes.dev.examples)
        };
        match &stage.job {
            Job::Data(_) | Job::Tokenizer(_) | Job::Score(_) => Some(0.0),
            Job::Pretrain(job) => {
                let sequences = sizes.corpus / job.training.max_length as f64;
                Some(steps(self.scratch(&job.model)?, &job.training, sequences))
            }
            Job::Sft(job) => Some(tuning(self.model(stage, "model")?, &job.training)),
            Job::Distill(job) => Some(tuning(self.model(stage, "student")?, &job.training)),
            Job::Capture(job) => {
                let examples = sizes.train.examples;
                Some(start(self.model(stage, "teacher")?, examples / job.batch as f64, examples))
            }
            Job::Generate(job) => {
                let size = self.model(stage, "model")?;
                let seconds = answered(&sizes, job).map(|split| {
                    // A prompt is read alone, references are read in batches, a token is decoded for a tile.
                    let (examples, decoded) = (split.examples, self.tile_steps(split, job));
                    let batches = (examples / job.batch as f64).ceil();
                    start(size, examples + batches + decoded, 2.0 * examples + decoded)
                });
                Some(seconds.sum())
            }
        }
    }

    /// Returns how many answers a decoding step computes.
    fn tile_rows(&self) -> f64 {
        if self.compute.device.is_cuda() { TILE_ROWS.1 } else { TILE_ROWS.0 }
    }

    /// Returns the decoding steps that answering a split takes.
    fn tile_steps(&self, split: Split, job: &GenerateJob) -> f64 {
        let together = self.tile_rows().min(job.batch as f64);
        (split.examples / together).ceil() * job.max_new_tokens as f64
    }

    fn operations(&self, stage: &Stage) -> Option<f64> {
        let sizes = self.sizes?;
        let tuning = |tuning: &Tuning, training: &Training| {
            let per_token = match tuning {
                Tuning::Full {} => 6.0,
                Tuning::Lora(_) => 4.0,
            };
            per_token * sizes.train.whole * training.epochs + 2.0 * sizes.dev.whole * validations(training)
        };
        match &stage.job {
            // Text and small models: seconds, whatever the experiment.
            Job::Data(_) | Job::Tokenizer(_) | Job::Score(_) => Some(0.0),
            Job::Pretrain(job) => {
                let size = self.scratch(&job.model)?;
                Some(6.0 * size.parameters * sizes.corpus * job.training.epochs)
            }
            Job::Sft(job) => Some(self.model(stage, "model")?.parameters * tuning(&job.tuning, &job.training)),
            Job::Distill(job) => {
                let student = self.model(stage, "student")?;
                // The captured hidden states pass the teacher's head again, and the projectors.
                let teacher = self.model(stage, "teacher")?;
                let widths = match job.algorithm {
                    Algorithm::Vanilla { .. } => teacher.hidden,
                    Algorithm::DualSpace { .. } => teacher.hidden + student.hidden,
                    Algorithm::CrossEntropy {} => 0.0,
                };
                let head = 2.0 * widths * self.vocabulary() * sizes.train.responses * job.training.epochs;
                Some(student.parameters * tuning(&job.tuning, &job.training) + head)
            }
            Job::Capture(_) => Some(2.0 * self.model(stage, "teacher")?.parameters * sizes.train.whole),
            Job::Generate(job) => {
                let size = self.model(stage, "model")?;
                // Prompts twice: once to answer, once for the likelihood of the reference.
                let tokens = answered(&sizes, job)
                    .map(|split| split.prompts + split.whole + self.tile_steps(split, job) * self.tile_rows());
                Some(2.0 * size.parameters * tokens.sum::<f64>())
            }
        }
    }

    fn memory(&self, stage: &Stage) -> Option<f64> {
        let training = |size: Size, tuning: &Tuning| match tuning {
            Tuning::Full {} => (16.0 + self.best_bytes()) * size.parameters,
            Tuning::Lora(_) => (self.bytes_per_weight() + ADAPTERS * (16.0 + self.best_bytes())) * size.parameters,
        };
        match &stage.job {
            Job::Data(_) | Job::Tokenizer(_) | Job::Score(_) => Some(0.0),
            Job::Pretrain(job) => Some(16.0 * self.scratch(&job.model)?.parameters),
            Job::Sft(job) => Some(training(self.model(stage, "model")?, &job.tuning)),
            Job::Distill(job) => {
                let head = self.head_bytes(self.model(stage, "teacher")?);
                Some(training(self.model(stage, "student")?, &job.tuning) + head)
            }
            Job::Capture(_) => Some(self.bytes_per_weight() * self.model(stage, "teacher")?.parameters),
            Job::Generate(job) => {
                let size = self.model(stage, "model")?;
                let longest = self.sizes.map_or(f64::INFINITY, |sizes| {
                    let prompt = answered(&sizes, job).map(|split| split.longest_prompt).fold(0.0, f64::max);
                    prompt + job.max_new_tokens as f64
                });
                let tokens = self.tile_rows() * longest.min(job.max_length as f64);
                Some(self.bytes_per_weight() * (size.parameters + 2.0 * size.keys * size.layers * tokens))
            }
        }
    }

    /// Returns the disk that a stage takes in the end, and the most while it runs.
    fn disk(&self, stage: &Stage) -> Option<(f64, f64)> {
        let training = |size: Size, tuning: &Tuning, best: f64| {
            let share = match tuning {
                Tuning::Full {} => 1.0,
                Tuning::Lora(_) => ADAPTERS,
            };
            (4.0 * share * size.parameters, 2.0 * (12.0 + best) * share * size.parameters)
        };
        let all = |bytes: f64| Some((bytes, bytes));
        match &stage.job {
            Job::Data(_) => {
                let sizes = self.sizes?;
                all(CHARACTERS_PER_TOKEN * (sizes.corpus + sizes.train.whole + sizes.dev.whole + sizes.test.whole))
            }
            Job::Tokenizer(_) => all(1e6),
            Job::Pretrain(job) => Some(training(self.scratch(&job.model)?, &Tuning::Full {}, 0.0)),
            Job::Sft(job) => Some(training(self.model(stage, "model")?, &job.tuning, self.best_bytes())),
            Job::Distill(job) => Some(training(self.model(stage, "student")?, &job.tuning, self.best_bytes())),
            Job::Capture(_) => {
                let teacher = self.model(stage, "teacher")?;
                let states = self.sizes?.train.responses * teacher.hidden * self.bytes_per_weight();
                all(states + self.head_bytes(teacher))
            }
            Job::Generate(job) => {
                let examples: f64 = answered(&self.sizes?, job).map(|split| split.examples).sum();
                all(examples * job.max_new_tokens as f64 * CHARACTERS_PER_TOKEN)
            }
            Job::Score(job) => all(self.sizes?.test.examples * 100.0 * job.metrics.len() as f64),
        }
    }

    /// Returns the bytes of the best weights by parameter: they are kept where there is a dev split.
    fn best_bytes(&self) -> f64 {
        if self.sizes.is_none_or(|sizes| sizes.dev.examples > 0.0) { 4.0 } else { 0.0 }
    }

    /// Returns the bytes of a teacher's head and embedding.
    fn head_bytes(&self, teacher: Size) -> f64 {
        2.0 * teacher.hidden * self.vocabulary() * self.bytes_per_weight()
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
        Some(Size::of(&Config::scratch(scratch, tokens, 0)))
    }

    /// Returns the size of the model that a stage reads under a name, whichever stages made it.
    fn model(&self, stage: &Stage, name: &str) -> Option<Size> {
        let named = |inputs: &'a [Input], name: &str| inputs.iter().find(|input| input.name == name);
        let stage = self.plan.stage(&stage.key)?;
        match &named(&stage.inputs, name)?.source {
            Source::External { origin, .. } => Some(Size::of(&hub::configuration(origin)?)),
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

/// Returns how often dev is measured.
fn validations(training: &Training) -> f64 {
    match training.validate {
        Validate::Epoch => training.epochs.ceil(),
        Validate::End => 1.0,
    }
}

/// Lists what a stage answers of each split.
fn answered(sizes: &Sizes, job: &GenerateJob) -> impl Iterator<Item = Split> {
    let dev = job.dev.then_some(sizes.dev);
    let limit = job.limit;
    std::iter::once(sizes.test).chain(dev).map(move |split| split.first(limit))
}

/// Counts the tokens of the data; none if it cannot be read here.
fn sizes(experiment: &Experiment) -> Option<Sizes> {
    let data = experiment.data.values().next()?;
    let imported = import(data, Path::new("")).ok()?;
    let mut splits = split(&imported.examples, &data.split, data.limit).ok()?;
    window::cut(&mut splits, &imported, data);
    let longest = experiment.training.distill.max_length as f64;
    let count = |characters: usize| characters as f64 / CHARACTERS_PER_TOKEN;
    let sizes_of = |examples: &[Example]| {
        let mut sizes = Split::default();
        for example in examples {
            let context = if data.closed_book { 0 } else { example.context.as_ref().map_or(0, String::len) };
            let prompt = count(context + example.question.len()).min(longest);
            sizes.examples += 1.0;
            sizes.prompts += prompt;
            sizes.responses += count(example.answer.len()) + 1.0;
            sizes.whole += (prompt + count(example.answer.len())).min(longest);
            sizes.longest_prompt = sizes.longest_prompt.max(prompt);
        }
        sizes
    };
    let corpus = corpus::texts(&splits.train, &imported.passages);
    Some(Sizes {
        corpus: corpus.iter().map(|text| count(text.len())).sum(),
        train: sizes_of(&splits.train),
        dev: sizes_of(&splits.dev),
        test: sizes_of(&splits.test),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::settings::Lora;
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
        let sizes = estimator.sizes.unwrap();
        let corpus = sizes.corpus;
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
        // The training split is captured, and nothing else.
        let captured = estimator.stage(find("capture big (sft)"));
        assert_eq!(captured.operations, Some(2.0 * parameters * sizes.train.whole));
        let head = 2.0 * 16.0 * 300.0;
        assert_eq!(captured.disk_bytes, Some((4.0 * (16.0 * sizes.train.responses + head)) as u64));
        assert_eq!(captured.kept_bytes, captured.disk_bytes);
    }

    #[test]
    fn the_best_weights_are_held_where_dev_is_measured() {
        let (folder, checked, plan) = (tempfile::tempdir().unwrap(), checked(|_| ()), planned(|_| ()));
        let store = Store::open(folder.path()).unwrap();
        let estimator = Estimator::new(&checked, &plan, &store, Compute::reference()).unwrap();
        let estimate = |title: &str| estimator.stage(plan.stages.iter().find(|stage| stage.title() == title).unwrap());
        let (pretrained, tuned) = (estimate("pretrain small"), estimate("sft small seed 10"));
        let parameters = 300 * 8 + 4 * 64 + 3 * 128 + 24;
        assert_eq!(pretrained.memory_bytes, Some(400_000_000 + 16 * parameters));
        assert_eq!(tuned.memory_bytes, Some(400_000_000 + 20 * parameters));
        // Of two states one has been replaced by the other once it is whole.
        assert_eq!((pretrained.kept_bytes, pretrained.disk_bytes), (Some(4 * parameters), Some(24 * parameters)));
        assert_eq!((tuned.kept_bytes, tuned.disk_bytes), (Some(4 * parameters), Some(32 * parameters)));
        assert_eq!(Needs::of([&pretrained, &tuned].into_iter()).disk_bytes, (8 + 28) * parameters);
    }

    #[test]
    fn adapters_need_the_weights_in_the_format_of_the_products() {
        let edit = |experiment: &mut Experiment| experiment.tuning = Tuning::Lora(Lora::default());
        let (folder, checked, plan) = (tempfile::tempdir().unwrap(), checked(edit), planned(edit));
        let store = Store::open(folder.path()).unwrap();
        let sft = plan.stages.iter().find(|stage| stage.title() == "sft small seed 10").unwrap();
        let memory = |precision| {
            let compute = Compute { precision, ..Compute::reference() };
            Estimator::new(&checked, &plan, &store, compute).unwrap().stage(sft).memory_bytes.unwrap()
        };
        let parameters = 300 * 8 + 4 * 64 + 3 * 128 + 24;
        assert_eq!(memory(Precision::F32) - memory(Precision::Bf16), 2 * parameters);
    }

    #[test]
    fn answers_are_decoded_in_tiles_and_references_answer_dev_too() {
        let edit = |experiment: &mut Experiment| {
            experiment.evaluation.batch = 64;
            experiment.evaluation.max_new_tokens = 5;
        };
        let (folder, checked, plan) = (tempfile::tempdir().unwrap(), checked(edit), planned(edit));
        let store = Store::open(folder.path()).unwrap();
        let estimator = Estimator::new(&checked, &plan, &store, Compute::reference()).unwrap();
        let stage = |title: &str| plan.stages.iter().find(|stage| stage.title() == title).unwrap();
        let Sizes { dev, test, .. } = estimator.sizes.unwrap();
        let parameters = 300.0 * 8.0 + 4.0 * 64.0 + 3.0 * 128.0 + 24.0;
        // A tile of 16 rows is computed whole: 5 steps for each 16 answers.
        let operations = |split: Split| {
            let decoded = (split.examples / 16.0).ceil() * 5.0 * 16.0;
            2.0 * parameters * (split.prompts + split.whole + decoded)
        };
        let close = |title: &str, expected: f64| {
            let found = estimator.stage(stage(title)).operations.unwrap();
            assert!((found / expected - 1.0).abs() < 1e-12, "{title}: {found} {expected}");
        };
        close("generate none/kd seed 10", operations(test));
        close("generate student small seed 10", operations(test) + operations(dev));
        // Keys and values of 8 numbers in the one layer.
        let longest = test.longest_prompt + 5.0;
        let cache = 16.0 * longest * 2.0 * 8.0;
        let memory = estimator.stage(stage("generate none/kd seed 10")).memory_bytes;
        assert_eq!(memory, Some((4e8 + 4.0 * (parameters + cache)) as u64));
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
