//! The commands through the binary: exit code, stdout and stderr.

mod compare;
mod export;
mod generate;
mod logits;
mod outputs;
mod predictions;
mod score;
mod small_studies;
mod study;
mod tokens;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use tch::Device;
use tutelage::data::Tokenizer;
use tutelage::device::Seed;
use tutelage::experiment::settings::{Architecture, Scratch};
use tutelage::models::config::Config;
use tutelage::models::decoder::Decoder;

use crate::fixtures::fixture;

/// Writes a small random model with its tokenizer into a new folder.
pub(crate) fn checkpoint(folder: &Path) {
    let scratch = Scratch {
        data: None,
        architecture: Architecture::Llama,
        tokenizer: String::new(),
        hidden: 16,
        layers: 1,
        heads: 2,
        kv_heads: None,
        feed_forward: 32,
        tied: true,
        positions: 512,
    };
    let tokenizer = Tokenizer::load(&fixture("data/byte-level-bpe")).expect("a tokenizer");
    let config = Config::scratch(&scratch, tokenizer.len(), tokenizer.eos());
    std::fs::create_dir(folder).expect("a new folder");
    Decoder::initialise(config, Seed(1), Device::Cpu).save(folder).expect("a model");
    tokenizer.save(folder).expect("a tokenizer");
}

/// Runs the binary in a folder and returns exit code, stdout and stderr as one text to snapshot.
fn tutelage(folder: &Path, arguments: &[&str]) -> String {
    run(folder, arguments, Stdio::null())
}

/// Runs the binary as [`tutelage`] does, with a file as standard input.
fn tutelage_reading(folder: &Path, arguments: &[&str], stdin: &str) -> String {
    run(folder, arguments, File::open(folder.join(stdin)).expect("the file is there").into())
}

fn run(folder: &Path, arguments: &[&str], stdin: Stdio) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tutelage"))
        .args(arguments)
        .current_dir(folder)
        .stdin(stdin)
        .env("NO_COLOR", "1")
        // Help is wrapped at the width of the terminal.
        .env("COLUMNS", "100")
        .output()
        .expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    format!(
        "exit {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().expect("the binary ends by itself"),
        text(output.stdout),
        text(output.stderr)
    )
}

fn write(folder: &Path, name: &str, text: &str) {
    tutelage::files::write(&folder.join(name), text.as_bytes()).expect("the folder is writable");
}
