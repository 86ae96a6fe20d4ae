//! What stages will cost before they run: orders of magnitude, marked as estimates.
//!
//! Each kind of stage knows its operations, memory and disk ([`cost`](super::stages::cost)). Here they
//! become
//!
//! - time: operations divided by the speed of finished stages of the same kind in the store, else by
//!   [`ASSUMED_UTILISATION`] of the speed of a large matrix product on this device; to it comes, unless
//!   measured, the cost of starting operations, which is most of a small model's time;
//! - memory with `PROGRAM_BYTES`;
//! - energy: time by the power of finished stages, else by the declared or assumed power of the CPU.
//!   Power of a GPU is not assumed.

mod needs;
mod sizes;

use std::collections::BTreeMap;

use tutelage_metrics::energy::model::ASSUMED_WATTS_PER_CPU;
use tutelage_metrics::energy::{Account, Joules};

pub use self::needs::{Estimate, Needs};
use crate::data::Tokenizer;
use crate::device::{self, Compute};
use crate::experiment::Checked;
use crate::experiment::settings::{Experiment, Scratch, TokenizerSource};
use crate::models::config::Config;
use crate::models::product;
use crate::orchestrate::keep::manifest::Depth;
use crate::orchestrate::keep::store::{State, Store};
use crate::orchestrate::kind::StageKind;
use crate::orchestrate::plan::stage::{Input, Source, Stage};
use crate::orchestrate::plan::{Plan, hub};
use crate::orchestrate::stages::Leaves;
use crate::orchestrate::stages::cost::{Cost, OPERATIONS_PER_PASS, OPERATIONS_PER_SEQUENCE, Scene, Size, Sizes};

/// Share of a matrix product's speed that a stage reaches, until one has been measured: an
/// assumption.
pub const ASSUMED_UTILISATION: f64 = 0.3;

/// Time to start one operation of libtorch on a CPU: dispatch, allocation of the result, and in
/// training its node of the graph. An assumption of the order of ten microseconds; it decides the
/// estimate of models whose products take less.
const SECONDS_PER_OPERATION: f64 = 15e-6;

/// Memory that the program with libtorch holds before any model is loaded: measured.
const PROGRAM_BYTES: f64 = 0.4e9;

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
            sizes: sizes::of(experiment),
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
        for (kind, (operations, seconds, count)) in by_kind {
            if seconds > 0.0 && operations > 0.0 {
                self.measured.insert(kind, operations / seconds);
                let kind = kind.name();
                self.basis.push(format!("speed of `{kind}` as in {count} finished stages of this experiment"));
            }
        }
        let computes = |stage: &&Stage| self.cost(stage).operations.is_none_or(|operations| operations > 0.0);
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
        let Cost { operations, starts, memory, kept, disk } = self.cost(stage);
        let seconds = match self.measured.get(&stage.kind) {
            Some(speed) => operations.map(|operations| operations / speed),
            None => {
                let speed = self.product_speed * ASSUMED_UTILISATION;
                operations.zip(starts).map(|(operations, starts)| operations / speed + starts * SECONDS_PER_OPERATION)
            }
        };
        let kilowatt_hours = seconds.zip(self.watts).map(|(seconds, watts)| Joules(seconds * watts).kilowatt_hours());
        Estimate {
            operations,
            seconds,
            memory_bytes: memory.map(|bytes| (bytes + PROGRAM_BYTES) as u64),
            disk_bytes: disk.map(|bytes| bytes as u64),
            kept_bytes: kept.map(|bytes| bytes as u64),
            kilowatt_hours,
        }
    }

    fn cost(&self, stage: &Stage) -> Cost {
        let scene = Scene {
            sizes: self.sizes,
            compute: self.compute,
            vocabulary: self.vocabulary(),
            model: &|name| self.model(stage, name),
            scratch: &|scratch| self.scratch(scratch),
        };
        stage.job.work().cost(&scene)
    }

    fn scratch(&self, scratch: &Scratch) -> Option<Size> {
        let tokens = match self.experiment.tokenizers.get(&scratch.tokenizer)? {
            TokenizerSource::ByteLevelBpe { vocabulary, .. } | TokenizerSource::Unigram { vocabulary, .. } => {
                *vocabulary
            }
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
                match stage.job.work().leaves() {
                    Leaves::Scratch(scratch) => self.scratch(scratch),
                    Leaves::Like(name) => self.model(stage, name),
                    Leaves::NoModel => None,
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Precision;
    use crate::experiment::settings::{Lora, Tuning};
    use crate::orchestrate::plan::tests::{checked, planned};
    use crate::orchestrate::stages::cost::Split;

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
}
