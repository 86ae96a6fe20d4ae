//! Where words go: data to stdout, everything else to stderr.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;

use crate::orchestrate::execute::progress::Verbosity;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Prints results and messages.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
    verbosity: Verbosity,
}

impl Output {
    /// Prints as asked for on the command line.
    #[must_use]
    pub fn new(format: Format, quiet: bool, no_progress: bool) -> Self {
        let verbosity = match (quiet, no_progress) {
            (true, _) => Verbosity::Quiet,
            (false, true) => Verbosity::Lines,
            (false, false) => Verbosity::Progress,
        };
        Self { format, verbosity }
    }

    /// Returns how results are printed.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Returns how much progress is told.
    #[must_use]
    pub fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Prints a result: `text` for people, nothing if it is empty; `value` for programs.
    ///
    /// # Errors
    /// A stdout that cannot be written to, such as a file on a full disk.
    pub fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Json => serde_json::to_string_pretty(value).context("the result is no JSON")?,
            Format::Text => text(),
        };
        stdout(text.trim_end()).context("cannot write the result to stdout")
    }

    /// Tells something that went well.
    pub fn say(&self, line: &str) {
        if self.verbosity != Verbosity::Quiet {
            self.warn(line);
        }
    }

    /// Tells something that must be seen.
    pub fn warn(&self, line: &str) {
        // A closed stderr must not end a command.
        let _ = writeln!(io::stderr(), "{line}");
    }

    /// Tells an error with its causes.
    pub fn error(&self, error: &anyhow::Error) {
        self.warn(&format!("error: {error}"));
        for cause in error.chain().skip(1) {
            self.warn(&format!("  caused by: {cause}"));
        }
    }

    /// Says whether messages on stderr may have colours.
    #[must_use]
    pub fn color(&self) -> bool {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        io::stderr().is_terminal() && !refused
    }
}

/// Prints a text and a line end; a reader that went away (`| head`) is no error.
fn stdout(text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Lays rows out in columns, two spaces between them, the last one free.
#[must_use]
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line += &format!("{cell:width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}
