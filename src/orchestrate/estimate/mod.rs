//! What stages will cost before they run: orders of magnitude, marked as estimates.
//!
//! Each kind of stage knows its operations, memory and disk ([`cost`](super::stages::cost)). Here they
//! become
//!
//! - time: operations divided by the speed of finished stages of the same kind in the store, else by
//!   [`ASSUMED_UTILISATION`] of the speed of a large matrix product on this device; to it comes, unless
//!   measured, the cost of starting operations, which is most of a small model's time;
//! - memory with `PROGRAM_BYTES` and `IDLE_SHARE`;
//! - energy: time by the power of finished stages, else by the declared or assumed power of the CPU.
//!   Power of a GPU is not assumed.
//!
//! For [another machine](machines) time and energy come from what its maker publishes and assumed shares
//! of it; nothing of this machine is read.

pub mod machines;
mod needs;
mod sizes;
mod ways;

use std::collections::BTreeMap;

use tutelage_metrics::energy::model::ASSUMED_WATTS_PER_CPU;
use tutelage_metrics::energy::{Account, Joules};

use self::machines::{CONTEXT_BYTES, Machine};
pub use self::needs::{Estimate, Misfit, Needs, Way};
use crate::data::{Characters, Tokenizer};
use crate::device::{self, Compute};
use crate::experiment::settings::{Data, Experiment, Scratch, TokenizerSource};
use crate::experiment::{Checked, Key};
use crate::models::config::Config;
use crate::models::product;
use crate::orchestrate::keep::manifest::Depth;
use crate::orchestrate::keep::store::{State, Store};
use crate::orchestrate::kind::StageKind;
use crate::orchestrate::plan::stage::{Input, Source, Stage};
use crate::orchestrate::plan::{Plan, hub};
use crate::orchestrate::stages::cost::{
    Cost, OPERATIONS_PER_PASS, OPERATIONS_PER_SEQUENCE, Passes, Scene, Size, Sizes,
};
use crate::orchestrate::stages::data::read_summary;
use crate::orchestrate::stages::{Job, Leaves};

/// Share of a matrix product's speed that a stage reaches, until one has been measured: an
/// assumption.
pub const ASSUMED_UTILISATION: f64 = 0.3;

/// Time to start one operation of libtorch on a CPU: dispatch, allocation of the result, and in
/// training its node of the graph. An assumption of the order of ten microseconds; it decides the
/// estimate of models whose products take less.
const SECONDS_PER_OPERATION: f64 = 15e-6;

/// Memory that the program with libtorch holds beside its model: measured, 0.16 to 0.18 GB with one of
/// 26 thousand parameters.
const PROGRAM_BYTES: f64 = 0.2e9;

/// Memory that the allocators and kernels hold for themselves, as a share of what they are asked for:
/// measured on a CPU, 0.06 to 0.27 in training models of 31 to 46 million parameters, least in large micro-batches.
const IDLE_SHARE: f64 = 0.1;

/// How well memory was estimated where it was measured.
const MEASURED: &str = "within 10 % of the peaks of 16 trainings of 31 to 46 million parameters on a CPU";

/// Estimates the stages of one plan.
pub struct Estimator<'a> {
    experiment: &'a Experiment,
    plan: &'a Plan,
    compute: Compute,
    /// By the stage that prepares them.
    sizes: BTreeMap<Key, Sizes>,
    speed: Speed,
    /// Watts of finished stages, or of the CPU model, or of another machine.
    watts: Option<f64>,
    basis: Vec<String>,
}

/// How fast stages are computed.
enum Speed {
    /// As this machine was measured.
    Here {
        /// Operations per second by kind, from finished stages.
        stages: BTreeMap<StageKind, f64>,
        /// Operations per second of a matrix product.
        product: f64,
    },
    /// As another machine is assumed to.
    On(&'static Machine),
}

impl<'a> Estimator<'a> {
    /// Reads the sizes of data and models, measures this device shortly, and looks for finished
    /// stages to learn from. Data that are `known` are not read again.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn new(
        checked: &'a Checked,
        plan: &'a Plan,
        store: &Store,
        known: &[(Data, Characters)],
        compute: Compute,
    ) -> anyhow::Result<Self> {
        let speed = Speed::Here { stages: BTreeMap::new(), product: product::speed(compute) };
        let mut estimator = Self::of(checked, plan, store, known, compute, speed)?;
        estimator.learn(store)?;
        Ok(estimator)
    }

    /// Estimates for another machine; nothing is measured here, and finished stages are not learnt from, but for
    /// the sizes of data that were prepared.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn on(
        checked: &'a Checked,
        plan: &'a Plan,
        store: &Store,
        known: &[(Data, Characters)],
        machine: &'static Machine,
    ) -> anyhow::Result<Self> {
        let compute = machine.compute(&checked.experiment.compute);
        let mut estimator = Self::of(checked, plan, store, known, compute, Speed::On(machine))?;
        estimator.basis.extend(machine.basis(compute.precision));
        estimator.watts = Some(machine.drawn());
        Ok(estimator)
    }

    /// Estimates memory on this machine: nothing is measured.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn of_memory(checked: &'a Checked, plan: &'a Plan, store: &Store, compute: Compute) -> anyhow::Result<Self> {
        let speed = Speed::Here { stages: BTreeMap::new(), product: 0.0 };
        Self::of(checked, plan, store, &[], compute, speed)
    }

    fn of(
        checked: &'a Checked,
        plan: &'a Plan,
        store: &Store,
        known: &[(Data, Characters)],
        compute: Compute,
        speed: Speed,
    ) -> anyhow::Result<Self> {
        let experiment = &checked.experiment;
        let program = program_bytes(compute) / 1e9;
        let own = if compute.device.is_cuda() { "CUDA and its libraries (assumed)" } else { "the program itself" };
        let elsewhere = if compute.device.is_cuda() { ", not measured on a GPU" } else { "" };
        let basis = vec![format!(
            "memory: weights, gradients, moments and the activations of a micro-batch of the longest sequences, by \
             formula, {:.0} % for the allocator and {program:.1} GB of {own}: {MEASURED}{elsewhere}; a token is taken \
             to be 4 characters, of texts that are not prepared yet the size of their files is taken",
            100.0 * IDLE_SHARE
        )];
        let longest = experiment.training.distill.max_length.max(experiment.training.sft.max_length) as f64;
        let mut sizes = BTreeMap::new();
        for stage in &plan.stages {
            let Job::Data(job) = &stage.job else { continue };
            let folder = stage.folder(store);
            let prepared = match folder.state(Depth::Sizes)? == State::Done {
                true => read_summary(&folder.output())?.characters(),
                false => None,
            };
            let seen = || known.iter().find(|(data, _)| *data == job.data).map(|(_, characters)| *characters);
            let characters = prepared.or_else(seen);
            let told = characters.map(|characters| sizes::of_characters(&characters, longest));
            if let Some(found) = told.or_else(|| sizes::of(&job.data, longest)) {
                sizes.insert(stage.key.clone(), found);
            }
        }
        Ok(Self { experiment, plan, compute, sizes, speed, watts: None, basis })
    }

    /// Returns the sizes of the data set that a stage works on.
    fn sizes(&self, stage: &Stage) -> Option<Sizes> {
        if matches!(stage.job, Job::Data(_)) {
            return self.sizes.get(&stage.key).copied();
        }
        // Tokens are those of a data set.
        let input = stage.inputs.iter().find(|input| ["data", "tokens"].contains(&input.name.as_str()))?;
        let Source::Stage { key, .. } = &input.source else { return None };
        self.sizes(self.plan.stage(key)?)
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
            let folder = stage.folder(store);
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
            if let Some(operations) = self.cost(stage).operations {
                let sum = by_kind.entry(stage.kind).or_default();
                *sum = (sum.0 + operations, sum.1 + duration, sum.2 + 1);
            }
        }
        let mut measured = BTreeMap::new();
        for (kind, (operations, seconds, count)) in by_kind {
            if seconds > 0.0 && operations > 0.0 {
                measured.insert(kind, operations / seconds);
                let kind = kind.name();
                self.basis.push(format!("speed of `{kind}` as in {count} finished stages of this experiment"));
            }
        }
        let computes = |stage: &&Stage| self.cost(stage).operations.is_none_or(|operations| operations > 0.0);
        let unmeasured = self.plan.stages.iter().filter(computes).any(|stage| !measured.contains_key(&stage.kind));
        let Speed::Here { stages, product } = &mut self.speed else { return Ok(()) };
        *stages = measured;
        if unmeasured {
            let share = ASSUMED_UTILISATION * 100.0;
            let speed = *product / 1e9;
            let start = SECONDS_PER_OPERATION * 1e6;
            self.basis.push(format!(
                "stages without a measurement at {share:.0} % (assumed) of {speed:.0} GFLOP/s, measured with a \
                 matrix product, and {start:.0} us (assumed, not measured here) to start each of \
                 {OPERATIONS_PER_PASS:.0} operations of a layer and pass and {OPERATIONS_PER_SEQUENCE:.0} more by \
                 sequence (assumed); scoring and preparing data count as nothing"
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
        let cost = self.cost(stage);
        let Cost { operations, starts, memory, kept, disk, .. } = cost;
        let seconds = match &self.speed {
            Speed::On(machine) => machine.seconds(&cost, self.compute.precision),
            Speed::Here { stages, product } => match stages.get(&stage.kind) {
                Some(speed) => operations.map(|operations| operations / speed),
                None => operations.zip(starts).map(|(operations, starts)| {
                    operations / (product * ASSUMED_UTILISATION) + starts * SECONDS_PER_OPERATION
                }),
            },
        };
        let kilowatt_hours = seconds.zip(self.watts).map(|(seconds, watts)| Joules(seconds * watts).kilowatt_hours());
        Estimate {
            operations,
            seconds,
            memory_bytes: memory.map(|bytes| self.with_program(bytes) as u64),
            disk_bytes: disk.map(|bytes| bytes as u64),
            kept_bytes: kept.map(|bytes| bytes as u64),
            kilowatt_hours,
        }
    }

    /// Tells of a stage that does not fit the memory of the machine.
    #[must_use]
    pub fn misfit(&self, stage: &Stage) -> Option<Misfit> {
        let cost = self.cost(stage);
        let needs = self.with_program(cost.memory?);
        let room = self.room()?;
        if needs <= room {
            return None;
        }
        let held = self.with_program(cost.held?);
        let remedy = match (held > room, cost.passes) {
            (false, Passes::Training) => {
                "raise `accumulation` or lower `batch` or `max-length` of its `training`, or train adapters \
                 (`[tuning.lora]`) where all weights are trained"
            }
            (false, Passes::Forward) => "lower `batch` or `max-length` of what it reads",
            (true, Passes::Training) => {
                "train adapters (`[tuning.lora]`) where all weights are trained, take a smaller model, or a machine \
                 with more memory: no smaller batch helps"
            }
            (true, Passes::Forward) => "take a smaller model, or a machine with more memory: no smaller batch helps",
        };
        Some(Misfit {
            stage: stage.title(),
            needs_bytes: needs as u64,
            held_bytes: held as u64,
            has_bytes: room as u64,
            remedy,
            ways: self.ways(stage, room),
        })
    }

    /// Returns the memory that stages are computed in; none where the system does not tell.
    fn room(&self) -> Option<f64> {
        match &self.speed {
            Speed::On(machine) => Some(machine.memory_bytes),
            Speed::Here { .. } => device::memory_of(self.compute.device).map(|bytes| bytes as f64),
        }
    }

    /// Adds what the allocator and the program hold beside what a stage asks for; one that computes
    /// nothing is on the CPU.
    fn with_program(&self, bytes: f64) -> f64 {
        if bytes == 0.0 { PROGRAM_BYTES } else { bytes * (1.0 + IDLE_SHARE) + program_bytes(self.compute) }
    }

    /// Says whether products are convolutions where the plan is computed.
    fn is_convolution(&self) -> bool {
        let (kind, is_cuda) = (self.compute.kind(), self.compute.device.is_cuda());
        match &self.speed {
            Speed::Here { .. } => product::is_convolution(kind, is_cuda),
            // The processor among them is AMD's, with AVX-512.
            Speed::On(_) => kind == tch::Kind::Float && !is_cuda,
        }
    }

    fn cost(&self, stage: &Stage) -> Cost {
        self.cost_of(stage, &stage.job)
    }

    /// Estimates a stage with another job.
    fn cost_of(&self, stage: &Stage, job: &Job) -> Cost {
        let scene = Scene {
            sizes: self.sizes(stage),
            compute: self.compute,
            is_convolution: self.is_convolution(),
            vocabulary: self.vocabulary(),
            model: &|name| self.model(stage, name),
            scratch: &|scratch| self.scratch(scratch),
        };
        job.work().cost(&scene)
    }

    fn scratch(&self, scratch: &Scratch) -> Option<Size> {
        let tokens = match self.experiment.tokenizers.get(&scratch.tokenizer)? {
            TokenizerSource::ByteLevelBpe { vocabulary, .. } | TokenizerSource::Unigram { vocabulary, .. } => {
                *vocabulary
            }
            TokenizerSource::File { path } => Tokenizer::load(&hub::locate_tokenizer(path)?).ok()?.len(),
        };
        Some(Size::of(&Config::scratch(scratch, tokens, 0)))
    }

    /// Returns the size of the model that a stage reads under a name, whichever stages made it.
    fn model(&self, stage: &Stage, name: &str) -> Option<Size> {
        let named = |inputs: &'a [Input], name: &str| inputs.iter().find(|input| input.name == name);
        let stage = self.plan.stage(&stage.key)?;
        let size = match &named(&stage.inputs, name)?.source {
            Source::External { origin, .. } => Some(Size::of(&hub::configuration(origin)?)),
            Source::Stage { key, .. } => {
                let stage = self.plan.stage(key)?;
                let size = match stage.job.work().leaves() {
                    Leaves::Scratch(scratch) => self.scratch(scratch),
                    Leaves::Like(name) => self.model(stage, name),
                    Leaves::NoModel => None,
                };
                // A model that is written is written number by number.
                size.map(|size| Size { kept: None, ..size })
            }
        }?;
        // Adapters stay on weights that are kept as they were trained on.
        let adapter = if name == "model" { "adapter".to_owned() } else { format!("{name}-adapter") };
        let kept = match named(&stage.inputs, &adapter).map(|input| &input.source) {
            Some(Source::Stage { key, .. }) => self.plan.stage(key).and_then(|stage| stage.job.work().base()),
            Some(Source::External { .. }) | None => None,
        };
        Some(Size { kept: size.kept.or(kept), ..size })
    }

    /// Returns the largest vocabulary of the experiment's tokenizers, or Llama's for checkpoints.
    fn vocabulary(&self) -> f64 {
        let trained = self.experiment.tokenizers.values().filter_map(|tokenizer| match tokenizer {
            TokenizerSource::ByteLevelBpe { vocabulary, .. } | TokenizerSource::Unigram { vocabulary, .. } => {
                Some(*vocabulary)
            }
            TokenizerSource::File { .. } => None,
        });
        trained.max().unwrap_or(32_000) as f64
    }
}

/// Returns what the program holds in the memory that stages compute in.
fn program_bytes(compute: Compute) -> f64 {
    if compute.device.is_cuda() { CONTEXT_BYTES } else { PROGRAM_BYTES }
}

#[cfg(test)]
mod tests;
