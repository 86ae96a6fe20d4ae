//! `tutelage check`: every mistake in an experiment file, before anything runs.

use clap::Args;
use serde_json::json;

use super::Verdict;
use super::output::Output;
use super::study::{Opened, StudyArgs};

/// Finds every mistake in an experiment file at once; reads data and runs nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tutelage check experiments/quickstart.toml
  tutelage check study.toml --set data.telequad.path=qa.json --format json")]
pub struct Check {
    #[command(flatten)]
    study: StudyArgs,
}

impl Check {
    /// Checks the experiment.
    ///
    /// # Errors
    /// A stdout that cannot be written to; faults are the result.
    pub fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let Some(Opened { checked, .. }) = self.study.open(output)? else { return Ok(Verdict::Bad) };
        let arms: Vec<&str> = checked.arms.iter().map(|arm| arm.name.as_str()).collect();
        let value = json!({
            "faults": [], "name": checked.name, "arms": arms,
            "seeds": checked.experiment.seeds, "notes": checked.notes,
            "objectives": checked.objectives,
        });
        output.result(&value, || {
            let (arms, seeds) = (arms.len(), checked.experiment.seeds.len());
            let mut text = format!("{}: no faults; arms: {arms}, seeds: {seeds}\n", checked.name);
            for note in checked.objectives.iter().chain(&checked.notes) {
                text += &format!("note: {note}\n");
            }
            text
        })?;
        Ok(Verdict::Good)
    }
}
