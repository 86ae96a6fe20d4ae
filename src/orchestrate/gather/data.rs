//! The data sets, and what their examples are grouped by.

use std::collections::BTreeMap;

use tutelage_reports::study::{self, Unit};

use super::{Collecting, read_json};
use crate::data::{Example, SplitName};
use crate::orchestrate::stages::{Job, data};

impl Collecting<'_> {
    pub(super) fn data(&self) -> anyhow::Result<Vec<study::Data>> {
        let mut sets = Vec::new();
        for stage in self.done()? {
            if !matches!(stage.job, Job::Data(_)) {
                continue;
            }
            let summary = data::read_summary(&stage.folder(self.store).output())?;
            let names = [SplitName::Train, SplitName::Dev, SplitName::Test].map(|split| split.to_string());
            sets.push(study::Data {
                name: stage.label.clone(),
                splits: names.into_iter().zip(summary.examples).collect(),
                skipped: summary.skipped.into_iter().collect(),
                facts: summary.facts,
                checksum: summary.checksum,
            });
        }
        Ok(sets)
    }

    /// Reads a split of the data; none where it is not there or damaged.
    pub(super) fn split(&self, name: SplitName) -> anyhow::Result<Option<Vec<Example>>> {
        let data = self.plan.stages.iter().find(|stage| matches!(stage.job, Job::Data(_)));
        let Some(data) = data else { return Ok(None) };
        self.output(&data.key)?.map(|folder| data::read_split(&folder, name)).transpose()
    }

    /// Says what the groups of the data are.
    pub(super) fn unit(&self) -> anyhow::Result<Unit> {
        let data = self.plan.stages.iter().find(|stage| matches!(stage.job, Job::Data(_)));
        let Some(data) = data else { return Ok(Unit::default()) };
        let Some(folder) = self.output(&data.key)? else { return Ok(Unit::default()) };
        let summary: serde_json::Value = read_json(&folder.join("summary.json"))?;
        let name = summary.get("unit").and_then(|unit| unit.as_str());
        Ok(name.map_or_else(Unit::default, |name| Unit { name: name.to_owned() }))
    }

    /// Says which group each example of a split belongs to. Nothing where the data is not there: all examples
    /// are of one group then, so that nothing is tested as if they were independent.
    pub(super) fn groups(&self, name: SplitName) -> anyhow::Result<BTreeMap<String, String>> {
        let examples = self.split(name)?.unwrap_or_default();
        Ok(examples.into_iter().map(|example| (example.id, example.group)).collect())
    }
}
