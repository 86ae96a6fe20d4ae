//! Settings that make a stage of training fit into less memory.

use super::{Estimator, Way};
use crate::experiment::settings::{BaseFormat, OptimizerStates, Training, Tuning};
use crate::orchestrate::plan::stage::Stage;
use crate::orchestrate::stages::Job;

/// Changes settings to save memory, and says how; none where they save it already.
type Saving = fn(&mut Training, Option<&mut Tuning>) -> Option<String>;

/// What saves memory: first what changes rounding at most, then what changes what is learned.
const SAVINGS: [Saving; 4] = [
    |training, _| {
        (!training.gradient_checkpointing).then(|| {
            training.gradient_checkpointing = true;
            "gradient-checkpointing = true".to_owned()
        })
    },
    |training, _| {
        (training.optimizer_states == OptimizerStates::F32).then(|| {
            training.optimizer_states = OptimizerStates::EightBits;
            "optimizer-states = \"8bit\"".to_owned()
        })
    },
    |_, tuning| match tuning {
        Some(Tuning::Lora(lora)) if lora.base == BaseFormat::Full => {
            lora.base = BaseFormat::Nf4;
            Some("tuning.lora.base = \"nf4\"".to_owned())
        }
        _ => None,
    },
    |training, _| {
        training.max_length /= 2;
        (training.max_length >= 2).then(|| format!("max-length = {}", training.max_length))
    },
];

impl Estimator<'_> {
    /// Lists settings of training by which a stage needs less memory, each with those before it, until it needs no
    /// more than `room` bytes; nothing for a stage that does not train, or whose cost is not known.
    #[must_use]
    pub fn ways(&self, stage: &Stage, room: f64) -> Vec<Way> {
        let mut job = stage.job.clone();
        let mut ways: Vec<Way> = Vec::new();
        let Some(mut least) = self.cost_of(stage, &job).memory else { return ways };
        // Parts of a step, twice as many each time: the largest of them that fit.
        while let Some((training, _)) = job.work_mut().optimisation()
            && training.accumulation < training.batch
            && ways.last().is_none_or(|way| way.needs_bytes as f64 > room)
        {
            training.accumulation = (2 * training.accumulation).min(training.batch);
            let setting = format!("accumulation = {}", training.accumulation);
            ways = self.way(stage, &job, setting, &mut least).into_iter().chain(ways).take(1).collect();
        }
        for saving in SAVINGS {
            if ways.last().is_some_and(|way| way.needs_bytes as f64 <= room) {
                break;
            }
            let Some((training, tuning)) = job.work_mut().optimisation() else { break };
            if let Some(setting) = saving(training, tuning) {
                ways.extend(self.way(stage, &job, setting, &mut least));
            }
        }
        ways
    }

    /// Estimates the memory of a changed job; none where it needs no less than the `least` so far.
    fn way(&self, stage: &Stage, job: &Job, setting: String, least: &mut f64) -> Option<Way> {
        let needs = self.cost_of(stage, job).memory.filter(|needs| needs < least)?;
        *least = needs;
        Some(Way { setting, needs_bytes: self.with_program(needs) as u64 })
    }

    /// Says in a line what a stage that ran out of memory was estimated to need, and what would save some.
    #[must_use]
    pub fn advice(&self, stage: &Stage) -> Option<String> {
        let size = |bytes: f64| format!("{:.1} GB", bytes / 1e9);
        let needs = self.with_program(self.cost(stage).memory?);
        let room = self.room()?;
        // Where it was estimated to fit, others have some of the memory, or the estimate is short.
        let ways = self.ways(stage, room.min(0.8 * needs));
        let mut line = format!("it was estimated to need {}, and there are {}", size(needs), size(room));
        if !ways.is_empty() {
            let ways = ways.iter().map(|way| format!("`{}` ~{}", way.setting, size(way.needs_bytes as f64)));
            line += &format!("; in `training`, each with those before it: {}", ways.collect::<Vec<_>>().join(", "));
        }
        Some(line)
    }
}
