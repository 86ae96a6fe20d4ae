//! The command line of Tutelage.

use std::process::ExitCode;

use clap::Parser;
use tutelage::cli::Cli;

fn main() -> ExitCode {
    tutelage::cli::threads::wait_asleep();
    Cli::parse().run()
}
