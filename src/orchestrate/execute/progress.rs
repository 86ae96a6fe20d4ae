//! What the user sees while stages run: bars on a terminal, lines elsewhere; always on stderr.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::experiment::Key;
use crate::orchestrate::execute::{Listener, News};
use crate::orchestrate::keep::event::{Event, Step};
use crate::orchestrate::plan::stage::Stage;

/// Without a terminal, a stage tells about this many of its steps.
const LINES_PER_STAGE: u64 = 10;

/// Says how much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verbosity {
    /// Bars on a terminal, lines elsewhere.
    #[default]
    Progress,
    /// Lines, also on a terminal.
    Lines,
    /// Only what went wrong.
    Quiet,
}

/// Decides what goes to stderr, and how.
pub struct Printer {
    verbosity: Verbosity,
    bar: Option<ProgressBar>,
    stages: usize,
    position: usize,
    /// The stage that was counted last.
    counted: Option<Key>,
}

impl Printer {
    /// Prepares to tell about `stages` stages.
    #[must_use]
    pub fn new(verbosity: Verbosity, stages: usize) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = (verbosity == Verbosity::Progress && terminal).then(|| {
            let bar = ProgressBar::new(0);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { verbosity, bar, stages, position: 0, counted: None }
    }

    /// Shows a line that is no failure.
    pub fn say(&self, line: &str) {
        if self.verbosity != Verbosity::Quiet {
            self.warn(line);
        }
    }

    /// Shows a line that must be seen.
    pub fn warn(&self, line: &str) {
        let write = || {
            // A closed stderr must not end a run of hours.
            let _ = writeln!(std::io::stderr(), "{line}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes the bar away.
    pub fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn place(&self) -> String {
        format!("[{}/{}]", self.position, self.stages)
    }

    fn event(&mut self, stage: &Stage, event: &Event) {
        let title = stage.title();
        match event {
            Event::Resumed { step } => self.say(&format!("{} {title}: goes on after step {step}", self.place())),
            Event::Step(step) => self.step(&title, step),
            Event::Validation { step, loss } => {
                self.say(&format!("{} {title}: dev loss {loss:.4} after step {step}", self.place()));
            }
            // That it began is told before; the failure with its reasons once it is recorded.
            Event::Started | Event::Saved { .. } | Event::Failed { .. } => {}
            Event::Objective { form } => self.say(&format!("{} {title}: runs as {form}", self.place())),
            Event::Note { text } => self.say(&format!("{} {title}: note: {text}", self.place())),
            Event::Finished { seconds } => {
                self.say(&format!("{} {title}: done in {}", self.place(), duration(*seconds)));
            }
        }
    }

    fn start(&mut self, title: &str) {
        match &self.bar {
            Some(bar) => {
                bar.reset();
                bar.set_length(0);
                bar.set_style(ProgressStyle::default_spinner());
                bar.set_message(format!("{} {title}", self.place()));
            }
            None => self.say(&format!("{} {title}: started", self.place())),
        }
    }

    /// Nothing can be done here until another process has done its part.
    fn wait(&mut self, title: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(format!("waiting for another process: {title}")),
            None => self.say(&format!("waiting for another process: {title}")),
        }
    }

    fn step(&mut self, title: &str, step: &Step) {
        if let Some(bar) = &self.bar {
            if bar.length() != Some(step.steps) {
                bar.set_length(step.steps);
                let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            }
            bar.set_position(step.step);
            bar.set_message(format!("{} {title} {}", self.place(), describe(step)));
            return;
        }
        let every = step.steps.div_ceil(LINES_PER_STAGE).max(1);
        if step.step.is_multiple_of(every) || step.step == step.steps {
            let what = describe(step);
            self.say(&format!("{} {title}: step {}/{} {what}", self.place(), step.step, step.steps));
        }
    }
}

impl Listener for Printer {
    fn hear(&mut self, stage: &Stage, news: &News<'_>) {
        let title = stage.title();
        if counts(news) && self.counted.as_ref() != Some(&stage.key) {
            self.position += 1;
            self.counted = Some(stage.key.clone());
        }
        match news {
            News::Reused => self.say(&format!("{} {title}: done before", self.place())),
            News::Elsewhere => self.say(&format!("{} {title}: done by another process", self.place())),
            News::Corrupt(damages) => {
                let files: Vec<String> =
                    damages.iter().map(|damage| format!("`{}` ({})", damage.file, damage.what)).collect();
                self.warn(&format!("{title}: stored files are damaged and redone: {}", files.join(", ")));
            }
            News::Waiting => self.wait(&title),
            News::Began => self.start(&title),
            News::Event(event) => self.event(stage, event),
            News::Failed(failure) => {
                let place = self.place();
                self.warn(&format!("{place} {title}: failed: {}", failure.reasons.join(": ")));
            }
            News::Stopped => self.say(&format!("{} {title}: stopped", self.place())),
            News::Skipped(reason) => self.warn(&format!("{} {title}: skipped: {reason}", self.place())),
        }
    }
}

/// Says whether news means that the count of stages has moved on: a stage may fail before it starts.
fn counts(news: &News<'_>) -> bool {
    matches!(news, News::Reused | News::Elsewhere | News::Skipped(_) | News::Failed(_) | News::Began)
}

fn describe(step: &Step) -> String {
    let mut parts: Vec<String> = step.losses.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
    parts.extend(step.lr.map(|lr| format!("lr {lr:.2e}")));
    parts.extend(step.tokens_per_second.map(|speed| format!("{speed:.0} tokens/s")));
    parts.extend(step.memory_bytes.map(|bytes| format!("{:.2} GB", bytes as f64 / 1e9)));
    parts.extend(step.eta_seconds.map(|seconds| format!("{} left", duration(seconds))));
    parts.join("  ")
}

/// Writes a duration for people: `4.2 s`, `3 min 5 s`, `2 h 7 min`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrate::keep::failure::Failure;

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(0.44), "0.4 s");
        assert_eq!(duration(59.7), "1 min 0 s");
        assert_eq!(duration(185.2), "3 min 5 s");
        assert_eq!(duration(7630.0), "2 h 7 min");
    }

    #[test]
    fn a_step_tells_what_it_knows_and_nothing_else() {
        let step = Step { step: 1, steps: 2, lr: Some(1e-3), ..Step::default() };
        assert_eq!(describe(&step), "lr 1.00e-3");
    }

    #[test]
    fn a_stage_that_fails_before_it_starts_is_counted_once() {
        let plan = crate::orchestrate::plan::tests::planned(|_| ());
        let mut printer = Printer::new(Verbosity::Quiet, plan.stages.len());
        let failure = Failure::new(String::new(), &anyhow::anyhow!("no such model"), std::path::PathBuf::new());
        printer.hear(&plan.stages[0], &News::Began);
        printer.hear(&plan.stages[0], &News::Event(&Event::Started));
        printer.hear(&plan.stages[0], &News::Failed(&failure));
        assert_eq!(printer.place(), format!("[1/{}]", plan.stages.len()));
        printer.hear(&plan.stages[1], &News::Failed(&failure));
        assert_eq!(printer.place(), format!("[2/{}]", plan.stages.len()));
    }
}
