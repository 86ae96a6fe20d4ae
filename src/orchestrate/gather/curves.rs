//! Losses over steps.

use std::collections::BTreeMap;

use tutelage_reports::study::Curve;

use super::{Collecting, label};
use crate::orchestrate::keep::event::{self, Event};

impl Collecting<'_> {
    pub(super) fn curves(&self) -> anyhow::Result<Vec<Curve>> {
        let mut curves = Vec::new();
        for stage in self.done()? {
            if stage.job.work().trains().is_none() {
                continue;
            }
            let mut series: BTreeMap<String, Vec<(u64, f64)>> = BTreeMap::new();
            for event in event::read(&stage.folder(self.store).events_jsonl())? {
                match event {
                    Event::Step(step) => {
                        for (name, value) in step.losses {
                            series.entry(name).or_default().push((step.step, value));
                        }
                    }
                    Event::Validation { step, loss } => {
                        series.entry("dev-loss".to_owned()).or_default().push((step, loss));
                    }
                    _ => {}
                }
            }
            let label = label(stage);
            curves.extend(series.into_iter().map(|(series, points)| Curve {
                stage: stage.kind.name().to_owned(),
                label: label.clone(),
                seed: stage.seed.unwrap_or_default(),
                series,
                points,
            }));
        }
        Ok(curves)
    }
}
