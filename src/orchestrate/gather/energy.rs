//! What each stage consumed.

use std::collections::BTreeSet;

use tutelage_metrics::energy::{Account, Component, State};
use tutelage_reports::study::StageEnergy;

use super::{Collecting, read_json};
use crate::orchestrate::plan::stage::Stage;

impl Collecting<'_> {
    /// Lists the components of every stage that is done, and of damaged ones as unknown.
    pub(super) fn energy(&self) -> anyhow::Result<Vec<StageEnergy>> {
        let mut entries = Vec::new();
        let entry = |stage: &Stage, component, joules, state: &str, method, seconds| StageEnergy {
            stage: stage.kind.name().to_owned(),
            label: stage.label.clone(),
            key: stage.key.to_string(),
            arms: stage.users.clone(),
            component: match component {
                Component::Cpu => "cpu",
                Component::Dram => "dram",
                Component::Gpu => "gpu",
            }
            .to_owned(),
            joules,
            cross_check_joules: None,
            state: state.to_owned(),
            method,
            seconds,
        };
        let mut components = BTreeSet::from([Component::Cpu]);
        for stage in self.done()? {
            let account: Account = read_json(&stage.folder(self.store).energy_json())?;
            components.extend(account.components.iter().map(|measured| measured.component));
            entries.extend(account.components.into_iter().map(|measured| {
                let state = match measured.state {
                    State::Measured => "measured",
                    State::Estimated => "estimated",
                    State::Unavailable => "unavailable",
                };
                let method = format!("{}: {}", measured.name, measured.method);
                let joules = measured.joules.map(|joules| joules.0);
                StageEnergy {
                    cross_check_joules: measured.cross_check_joules.map(|joules| joules.0),
                    ..entry(stage, measured.component, joules, state, method, measured.seconds)
                }
            }));
        }
        for stage in &self.plan.stages {
            let Some(damage) = self.damage(stage)? else { continue };
            // It took energy that is not known: a sum without it must say so.
            let unknown = |component: &Component| entry(stage, *component, None, "unavailable", damage.clone(), 0.0);
            entries.extend(components.iter().map(unknown));
        }
        Ok(entries)
    }
}
