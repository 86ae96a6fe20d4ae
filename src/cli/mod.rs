//! The command line: one file per command.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 all done; 1 faults in the
//! experiment, failed or missing stages; 2 wrong usage or an unexpected error.

pub mod bench;
pub mod check;
pub mod compare;
pub mod doctor;
pub mod logits;
pub mod output;
pub mod plan;
pub mod precision;
pub mod report;
pub mod run;
pub mod score;
pub mod status;
pub mod study;
pub mod threads;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use output::{Format, Output};

/// What a command found, when nothing unexpected happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Good,
    /// Faults in the experiment, failed or missing stages; they were told.
    Bad,
}

const EXAMPLES: &str = "\
Examples:
  tutelage check experiments/quickstart.toml     find every mistake before anything runs
  tutelage plan experiments/quickstart.toml      what is done, what is missing, what it will cost
  tutelage run experiments/quickstart.toml       compute what is missing, then write the report
  tutelage run study.toml --set training.distill.lr=5e-4 --store /scratch/runs
  tutelage doctor                                what this machine has, and what to do about the rest

Exit code: 0 all done, 1 faults in the experiment or failed stages, 2 usage or unexpected error.";

/// Turns one experiment file into teacher and student runs and a report.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// How results are printed on stdout.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Tells on stderr only what went wrong.
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Tells progress in lines, also on a terminal.
    #[arg(long, global = true)]
    no_progress: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Plan(plan::PlanCommand),
    Check(check::Check),
    Status(status::Status),
    Report(report::ReportCommand),
    Score(score::Score),
    Compare(compare::Compare),
    Logits(logits::Logits),
    #[command(subcommand)]
    Bench(bench::Bench),
    Doctor(doctor::Doctor),
}

impl Cli {
    /// Runs the command.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let output = Output::new(self.format, self.quiet, self.no_progress);
        let result = match &self.command {
            Command::Run(command) => command.run(&output),
            Command::Plan(command) => command.run(&output),
            Command::Check(command) => command.run(&output),
            Command::Status(command) => command.run(&output),
            Command::Report(command) => command.run(&output),
            Command::Score(command) => command.run(&output),
            Command::Compare(command) => command.run(&output),
            Command::Logits(command) => command.run(&output),
            Command::Bench(command) => bench::run(command).map(|timing| {
                output.json(&timing);
                Verdict::Good
            }),
            Command::Doctor(command) => command.run(&output),
        };
        match result {
            Ok(Verdict::Good) => ExitCode::SUCCESS,
            Ok(Verdict::Bad) => ExitCode::from(1),
            Err(error) => {
                output.error(&error);
                ExitCode::from(2)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_holds() {
        Cli::command().debug_assert();
    }
}
