//! How far a download is: a bar on a terminal, lines elsewhere.

use std::error::Error;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::output::Output;
use super::plan::size;
use crate::hub::{News, Watch};
use crate::orchestrate::execute::progress::{Verbosity, duration};

/// Without a terminal, a download tells about this many times how far it is.
const LINES: u64 = 10;
/// Time that a line waits for the next, at most: a slow download is seen to live.
const SILENCE: Duration = Duration::from_secs(60);

/// Tells how far a download is.
pub struct Transfer {
    output: Output,
    bar: Option<ProgressBar>,
    name: String,
    /// Bytes to download.
    total: u64,
    done: u64,
    /// Bytes that came over the network, by which speed goes.
    received: u64,
    began: Instant,
    /// Bytes and time that the last line told of.
    told: (u64, Instant),
}

impl Transfer {
    /// Prepares to tell of the download of `total` bytes of a model.
    #[must_use]
    pub fn new(output: Output, name: String, total: u64) -> Self {
        let is_shown = total > 0 && output.verbosity() == Verbosity::Progress && std::io::stderr().is_terminal();
        let bar = is_shown.then(|| {
            let bar = ProgressBar::new(total);
            let style = ProgressStyle::with_template("{bar:24} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let now = Instant::now();
        Self { output, bar, name, total, done: 0, received: 0, began: now, told: (0, now) }
    }

    /// Takes the bar away and tells how long it took.
    pub fn close(mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.total > 0 {
            let took = duration(self.began.elapsed().as_secs_f64());
            self.say(&format!("{}: {} downloaded in {took}", self.name, size(self.total)));
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.output.say(line)),
            None => self.output.say(line),
        }
    }

    fn advance(&mut self) {
        let seconds = self.began.elapsed().as_secs_f64();
        let far = far(&self.name, self.done, self.total, self.received as f64 / seconds.max(1e-3));
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
            bar.set_message(far);
            return;
        }
        let (bytes, time) = self.told;
        let is_due = self.done.saturating_sub(bytes) >= self.total.div_ceil(LINES).max(1);
        // The end is told by `close`.
        if (is_due || time.elapsed() >= SILENCE) && self.done < self.total {
            self.told = (self.done, Instant::now());
            self.say(&far);
        }
    }
}

impl Watch for Transfer {
    fn hear(&mut self, news: &News<'_>) {
        match news {
            News::Waiting { file } => self.say(&format!("waiting for another process that downloads `{file}`")),
            News::Resumed { file, bytes } => self.say(&format!("`{file}`: goes on after {}", size(*bytes))),
            News::Received { bytes } => {
                self.done += bytes;
                self.received += bytes;
                self.advance();
            }
            News::Corrected { bytes } => {
                self.done = self.done.saturating_add_signed(*bytes);
                self.advance();
            }
            News::Spoiled { file } => {
                self.say(&format!("`{file}`: what was here of it is damaged; it is downloaded from the start"));
            }
            News::Again { error, pause } => {
                let cause = error.source().map_or(String::new(), |cause| format!(": {cause}"));
                self.say(&format!("{error}{cause}; trying again in {}", duration(pause.as_secs_f64())));
            }
        }
    }
}

/// Says how far a download is, at a speed in bytes per second.
fn far(name: &str, done: u64, total: u64, speed: f64) -> String {
    let mut text = format!("{name}: {} of {}", size(done), size(total));
    if speed >= 1.0 {
        let left = total.saturating_sub(done) as f64 / speed;
        text += &format!("  {}/s  {} left", size(speed as u64), duration(left));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_tells_bytes_speed_and_time_left() {
        let told = far("hf:org/name", 1_000_000_000, 3_000_000_000, 10e6);
        assert_eq!(told, "hf:org/name: 1.0 GB of 3.0 GB  10.0 MB/s  3 min 20 s left");
        assert_eq!(far("hf:org/name", 0, 2000, 0.0), "hf:org/name: 0 kB of 2 kB");
    }
}
