//! The command line: one file per command.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 all done; 1 faults in the
//! experiment, failed or missing stages; 2 wrong usage or an unexpected error.

pub mod bench;
pub mod bench_generate;
pub mod bench_gpu;
pub mod check;
pub mod compare;
pub mod decoding;
pub mod doctor;
pub mod export;
pub mod fetch;
pub mod generate;
pub mod jobs;
pub mod logits;
mod notes;
pub mod output;
pub mod outputs;
pub mod plan;
pub mod precision;
pub mod predictions;
pub mod report;
pub mod run;
pub mod score;
pub mod status;
pub mod study;
pub mod table;
pub mod threads;
pub mod tokens;
pub mod transfer;

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

/// Columns that help is wrapped to, at most.
const WIDTH: usize = 100;

const EXAMPLES: &str = "\
Examples:
  tutelage check experiments/quickstart.toml     find every mistake before anything runs
  tutelage plan experiments/quickstart.toml      what is done, what is missing, what it will cost
  tutelage run experiments/quickstart.toml       compute what is missing, then write the report
  tutelage run study.toml --set training.distill.lr=5e-4 --store /scratch/runs
  tutelage doctor                                what this machine has, and remedies for the rest

Exit code: 0 all done, 1 faults in the experiment or failed stages, 2 usage or unexpected error.";

/// Turns one experiment file into teacher and student runs and a report.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = WIDTH)]
pub struct Cli {
    /// How results are printed on stdout.
    #[arg(long, global = true, help_heading = "Output", value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Tells on stderr only what went wrong.
    #[arg(long, short, global = true, help_heading = "Output")]
    quiet: bool,
    /// Tells progress in lines, also on a terminal.
    #[arg(long, global = true, help_heading = "Output")]
    no_progress: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Plan(plan::PlanCommand),
    Check(check::Check),
    Fetch(fetch::Fetch),
    Status(status::Status),
    Report(report::ReportCommand),
    Score(score::Score),
    Compare(compare::Compare),
    Generate(generate::Generate),
    Export(export::Export),
    Logits(logits::Logits),
    Tokens(tokens::Tokens),
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
            Command::Fetch(command) => command.run(&output),
            Command::Status(command) => command.run(&output),
            Command::Report(command) => command.run(&output),
            Command::Score(command) => command.run(&output),
            Command::Compare(command) => command.run(&output),
            Command::Generate(command) => command.run(&output),
            Command::Export(command) => command.run(&output),
            Command::Logits(command) => command.run(&output),
            Command::Tokens(command) => command.run(&output),
            Command::Bench(command) => command.run(&output),
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

    #[test]
    fn every_command_shows_how_it_is_used() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("tutelage {} ", command.get_name())), "{}: {help}", command.get_name());
        }
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines() {
                // Wider ones are wrapped in the middle of a table or an example.
                assert!(line.chars().count() <= WIDTH, "{}: {line}", command.get_name());
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }
}
