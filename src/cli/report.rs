//! `tutelage report`: writes the report from what is done.

use clap::Args;

use super::Verdict;
use super::output::Output;
use super::plan::as_computed;
use super::study::{Opened, StoreArgs, StudyArgs, tell_waiting};
use crate::orchestrate::gather::report::{Written, report};

/// Writes the report from what is done, also of an unfinished run; computes no stage.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the path of report.pdf. Beside it in experiments/NAME/report/ of the store lie report.md,
tables (.csv, .tex, .md), figures (.svg, .png), records.csv and summary.json; NAME is the name of
the experiment file without its ending. `tutelage run` ends with the same report; an unchanged one
is left alone.

Arms that failed or are missing are told in the report as such. Exit code 1: nothing is scored yet.

Examples:
  tutelage report experiments/quickstart.toml
  tutelage report study.toml --store /scratch/runs --format json")]
pub struct ReportCommand {
    #[command(flatten)]
    study: StudyArgs,
    #[command(flatten)]
    store: StoreArgs,
}

impl ReportCommand {
    /// Writes the report and prints its path.
    ///
    /// # Errors
    /// Outputs that cannot be read, a folder that cannot be written.
    pub fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let Some(Opened { checked, .. }) = self.study.open(output)? else { return Ok(Verdict::Bad) };
        let store = self.store.view(output);
        let plan = as_computed(&checked, &store, output)?;
        let written = report(&checked, &plan, &store, || tell_waiting(&plan.name, output))?;
        if written.is_none() {
            output.warn(&format!("error: nothing of `{}` is scored yet", plan.name));
            output.warn("hint: `tutelage run` computes what is missing");
        }
        output.result(&written, || written.as_ref().map_or(String::new(), Written::text))?;
        Ok(if written.is_some() { Verdict::Good } else { Verdict::Bad })
    }
}
