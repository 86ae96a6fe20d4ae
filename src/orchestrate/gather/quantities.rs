//! Values that an arm has at a seed and no example has: what its own steps cost, and the loss they ended with.

use tutelage_metrics::energy::Account;
use tutelage_metrics::metric::Direction;
use tutelage_reports::study::{Quantity, QuantityValue};

use super::{Collecting, read_json, trained};
use crate::experiment::claim::QUANTITIES;
use crate::orchestrate::keep::event::{self, Event};
use crate::orchestrate::plan::Trial;
use crate::orchestrate::plan::stage::{Source, Stage};
use crate::orchestrate::stages::Job;

impl Collecting<'_> {
    /// Lists the quantities of every arm whose steps are done.
    pub(super) fn quantities(&self) -> anyhow::Result<Vec<Quantity>> {
        let mut found = Vec::new();
        for name in QUANTITIES {
            let mut values = Vec::new();
            let (label, unit, measure): (_, _, Measure<'_>) = match name {
                "dev-loss" => ("Dev loss", "nats/token", &|steps| self.dev_loss(steps)),
                "trained-parameters" => ("Trained parameters", "parameters", &|steps| Ok(self.parameters(steps))),
                _ => ("Energy of training", "Wh", &|steps| self.training_energy(steps)),
            };
            for trial in &self.plan.trials {
                let steps = self.steps(trial)?;
                if let Some(value) = measure(&steps)? {
                    values.push(QuantityValue { arm: trial.arm.clone(), seed: trial.seed, value });
                }
            }
            if !values.is_empty() {
                let (name, label, unit) = (name.to_owned(), label.to_owned(), unit.to_owned());
                found.push(Quantity { name, label, unit, direction: Direction::Lower, values });
            }
        }
        Ok(found)
    }

    /// Lists the steps of what happened to the model of a trial, the last one first; none where one of them is
    /// not done. What a scratch model starts from is no step.
    fn steps(&self, trial: &Trial) -> anyhow::Result<Vec<&Stage>> {
        let mut next = trial.sets.first().and_then(|asked| self.plan.stage(&asked.answers));
        let mut steps = Vec::new();
        while let Some(stage) = next {
            let is_step = stage.job.work().trains().is_some() && !matches!(stage.job, Job::Pretrain(_));
            if is_step {
                if self.output(&stage.key)?.is_none() {
                    return Ok(Vec::new());
                }
                steps.push(stage);
            }
            next = self.trained_before(stage);
        }
        Ok(steps)
    }

    /// Returns the stage that left the weights which a stage starts from: its last adapters, or its model.
    pub(super) fn trained_before(&self, stage: &Stage) -> Option<&Stage> {
        let is_of = |name: &str, start: &str| {
            name == start || name.strip_prefix(start).is_some_and(|rest| rest.starts_with('-'))
        };
        let adapters = stage
            .inputs
            .iter()
            .rev()
            .find(|input| ["adapter", "student-adapter"].into_iter().any(|start| is_of(&input.name, start)));
        let model = stage.inputs.iter().find(|input| ["model", "student"].contains(&input.name.as_str()));
        match &adapters.or(model)?.source {
            Source::Stage { key, .. } => self.plan.stage(key),
            Source::External { .. } => None,
        }
    }

    /// Returns the loss on dev of the state that the last step kept: the lowest one, or the last.
    fn dev_loss(&self, steps: &[&Stage]) -> anyhow::Result<Option<f64>> {
        let Some(last) = steps.first() else { return Ok(None) };
        let events = event::read(&last.folder(self.store).events_jsonl())?;
        let losses = events.into_iter().filter_map(|event| match event {
            Event::Validation { loss, .. } => Some(loss),
            _ => None,
        });
        // With one measurement at the end, the last is the lowest, too.
        Ok(losses.reduce(f64::min))
    }

    fn parameters(&self, steps: &[&Stage]) -> Option<f64> {
        let last = steps.first()?;
        trained::parameters(&last.folder(self.store).output()).map(|count| count as f64)
    }

    /// Returns the energy of all steps in watt hours; none where that of one is not known.
    fn training_energy(&self, steps: &[&Stage]) -> anyhow::Result<Option<f64>> {
        let mut hours = 0.0;
        for stage in steps {
            let account: Account = read_json(&stage.folder(self.store).energy_json())?;
            let Some((joules, _)) = account.known() else { return Ok(None) };
            hours += 1000.0 * joules.kilowatt_hours();
        }
        Ok((!steps.is_empty()).then_some(hours))
    }
}

/// Measures the steps of one trial.
type Measure<'m> = &'m dyn Fn(&[&Stage]) -> anyhow::Result<Option<f64>>;
