//! The command line of Tutelage.

use std::process::ExitCode;

use clap::Parser;
use tutelage::cli::Cli;

fn main() -> ExitCode {
    tutelage::cli::threads::sleep_soon();
    Cli::parse().run()
}
