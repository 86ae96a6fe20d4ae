//! The arms, how each ended, and in which form its objective ran.

use std::collections::BTreeMap;

use tutelage_reports::study::{Arm, Outcome, Role};

use super::Collecting;
use crate::experiment::Key;
use crate::orchestrate::keep::event::{self, Event};
use crate::orchestrate::keep::failure::Failure;
use crate::orchestrate::keep::store::State;
use crate::orchestrate::kind::StageKind;

impl Collecting<'_> {
    pub(super) fn arms(&self) -> anyhow::Result<Vec<Arm>> {
        let mut arms = Vec::new();
        let cells = self.checked.arms.iter().map(|arm| (arm, Role::Cell));
        let controls = self.checked.controls.iter().map(|control| (control, Role::Control));
        for (arm, role) in cells.chain(controls) {
            arms.push(Arm {
                name: arm.name.clone(),
                role,
                levels: arm.levels.clone(),
                model: arm.course.model.clone(),
                control: arm.control.clone(),
                objective: self.objective(&arm.name)?,
                outcome: self.outcome(&arm.name)?,
            });
        }
        for reference in &self.checked.references {
            arms.push(Arm {
                name: reference.name.clone(),
                role: Role::Reference,
                levels: BTreeMap::new(),
                model: reference.course.model.clone(),
                control: None,
                objective: None,
                outcome: self.outcome(&reference.name)?,
            });
        }
        Ok(arms)
    }

    /// Returns the form in which an arm's objective ran, as its stages recorded it; none before one did.
    fn objective(&self, arm: &str) -> anyhow::Result<Option<String>> {
        for trial in self.plan.trials.iter().filter(|trial| trial.arm == arm) {
            let answers = trial.sets.first().and_then(|asked| self.plan.stage(&asked.answers));
            let distilled =
                answers.and_then(|stage| self.plan.reads(stage).find(|read| read.kind == StageKind::Distill));
            let Some(stage) = distilled else { continue };
            if self.output(&stage.key)?.is_none() {
                continue;
            }
            let events = event::read(&stage.folder(self.store).events_jsonl())?;
            let mut forms = events.into_iter().filter_map(|event| match event {
                Event::Objective { form } => Some(form),
                _ => None,
            });
            if let Some(form) = forms.next_back() {
                return Ok(Some(form));
            }
        }
        Ok(None)
    }

    fn outcome(&self, arm: &str) -> anyhow::Result<Outcome> {
        let mut missing = false;
        let trials = self.plan.trials.iter().filter(|trial| trial.arm == arm);
        for asked in trials.flat_map(|trial| &trial.sets) {
            if self.output(&asked.score)?.is_none() {
                missing = true;
                if let Some(reason) = self.failure_behind(&asked.score)? {
                    return Ok(Outcome::Failed { reason });
                }
            }
        }
        Ok(if missing { Outcome::Missing } else { Outcome::Done })
    }

    /// Finds the recorded failure of a stage or of anything it needs, or its damage.
    fn failure_behind(&self, key: &Key) -> anyhow::Result<Option<String>> {
        let Some(stage) = self.plan.stage(key) else { return Ok(None) };
        if self.state(stage)? == State::Done {
            return Ok(None);
        }
        if let Some(damage) = self.damage(stage)? {
            return Ok(Some(format!("{}: {damage}", stage.title())));
        }
        let file = stage.folder(self.store).failure_json();
        let failure = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Failure>(&bytes).ok());
        if let Some(failure) = failure {
            let reason = failure.reasons.join(": ").replace('\n', "; ");
            return Ok(Some(format!("{}: {reason}", failure.stage)));
        }
        for read in self.plan.reads(stage) {
            if let Some(reason) = self.failure_behind(&read.key)? {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }
}
