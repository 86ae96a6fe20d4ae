//! `tutelage report`: writes the report from what is done.

use clap::Args;

use super::Verdict;
use super::output::Output;
use super::plan::on_this_machine;
use super::study::{StoreArgs, StudyArgs};
use crate::orchestrate::report::report;
use crate::orchestrate::store::Store;

/// Writes the report from what is done, also of an unfinished run; computes no stage.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  tutelage report experiments/quickstart.toml")]
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
        let Some(checked) = self.study.open(output) else { return Ok(Verdict::Bad) };
        let (plan, _) = on_this_machine(&checked)?;
        let store = Store::open(&self.store.store)?;
        let Some(written) = report(&checked, &plan, &store)? else {
            output.warn(&format!("error: nothing of `{}` is scored yet", plan.name));
            output.warn("hint: `tutelage run` computes what is missing");
            return Ok(Verdict::Bad);
        };
        output.result(&written, || written.document.display().to_string());
        Ok(Verdict::Good)
    }
}
