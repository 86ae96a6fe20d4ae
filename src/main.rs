//! The command line.
use clap::Parser;
#[derive(Parser)]
enum Command { #[command(subcommand)] Bench(tutelage::cli::bench::Bench) }
#[expect(clippy::print_stdout, reason="data")]
fn main() -> anyhow::Result<()> {
    let Command::Bench(bench) = Command::parse();
    println!("{}", serde_json::to_string_pretty(&tutelage::cli::bench::run(&bench)?)?);
    Ok(())
}
