//! The data sets.

use tutelage_reports::study;

use super::Collecting;
use crate::data::SplitName;
use crate::experiment::settings::Kind;
use crate::orchestrate::stages::{Job, data};

impl Collecting<'_> {
    pub(super) fn data(&self) -> anyhow::Result<Vec<study::Data>> {
        let mut sets = Vec::new();
        for stage in self.done()? {
            if !matches!(stage.job, Job::Data(_)) {
                continue;
            }
            let summary = data::read_summary(&stage.folder(self.store).output())?;
            let names = SplitName::ALL.map(|split| split.to_string());
            sets.push(study::Data {
                name: stage.label.clone(),
                are_texts: summary.kind == Kind::Text,
                splits: names.into_iter().zip(summary.examples).collect(),
                skipped: summary.skipped.into_iter().collect(),
                facts: summary.facts,
                checksum: summary.checksum,
            });
        }
        Ok(sets)
    }
}
