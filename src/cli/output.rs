//! Where words go: data to stdout, everything else to stderr.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::orchestrate::progress::Verbosity;

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

    /// Prints a result: `text` for people, `value` for programs.
    pub fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        match self.format {
            Format::Json => self.json(value),
            Format::Text => stdout(text().trim_end()),
        }
    }

    /// Prints a result as JSON whatever the format.
    pub fn json(&self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => stdout(&text),
            Err(error) => self.warn(&format!("error: the result is no JSON: {error}")),
        }
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
        let _ = writeln!(std::io::stderr(), "{line}");
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
        std::io::stderr().is_terminal() && !refused
    }
}

/// Prints to stdout; a reader that went away (`| head`) is no error.
fn stdout(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
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
