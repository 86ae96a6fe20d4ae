//! What one attempt at a stage leaves behind, however it ends: its log and its energy.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tutelage_metrics::energy::{Account, Joules, Meter, PowerSource, SinceBoot};

use super::{Listener, News};
use crate::files;
use crate::orchestrate::keep::board::Board;
use crate::orchestrate::keep::environment::Attempts;
use crate::orchestrate::keep::event::{self, Event, EventLog};
use crate::orchestrate::keep::failure::brief;
use crate::orchestrate::keep::store::StageFolder;
use crate::orchestrate::plan::stage::Stage;
use crate::orchestrate::stages::stop::Stopped;

/// One attempt at a stage.
pub(super) struct Attempt<'a> {
    stage: &'a Stage,
    folder: &'a StageFolder,
    /// This attempt and those before it.
    attempts: Attempts,
    listener: &'a mut dyn Listener,
    meter: Meter,
    log: EventLog,
    /// The curves of a stage that trains, for TensorBoard, as long as they can be written.
    board: Option<Board>,
    has_begun: bool,
    /// What was told before it is known whether the stage goes on from a saved state.
    early: Vec<Event>,
    /// Energy of earlier attempts, as far as their work is used.
    earlier: Option<Account>,
    /// Energy of this attempt up to the state that it saved last, and whether it has worked since.
    saved: Option<(Joules, bool)>,
    /// Why the log cannot be written.
    broken: Option<anyhow::Error>,
}

impl<'a> Attempt<'a> {
    /// Begins to measure an attempt at `stage`, whose `folder` is locked.
    pub(super) fn start(
        stage: &'a Stage,
        folder: &'a StageFolder,
        attempts: Attempts,
        sources: Vec<Box<dyn PowerSource>>,
        listener: &'a mut dyn Listener,
    ) -> Self {
        Self {
            stage,
            folder,
            attempts,
            listener,
            meter: Meter::start(sources, Arc::new(SinceBoot)),
            log: EventLog::new(folder.events_jsonl()),
            board: stage.job.work().trains().map(|_| Board::new(folder.path())),
            has_begun: false,
            early: Vec::new(),
            earlier: None,
            saved: None,
            broken: None,
        }
    }

    /// Notes and passes on what happens.
    pub(super) fn tell(&mut self, event: Event) {
        match event {
            Event::Note { .. } | Event::Objective { .. } if !self.has_begun => self.early.push(event),
            Event::Resumed { step } if !self.has_begun => {
                self.has_begun = true;
                self.earlier = Some(read_account(&self.folder.energy_json()));
                self.pass(event);
                self.compare(step);
                // The attempt that saved the state has told what it found in the data.
                let told = event::read(&self.folder.events_jsonl()).unwrap_or_default();
                let early = std::mem::take(&mut self.early);
                early.into_iter().filter(|note| !told.contains(note)).for_each(|note| self.pass(note));
            }
            event => {
                if !self.has_begun {
                    self.has_begun = true;
                    self.pass(Event::Started);
                    std::mem::take(&mut self.early).into_iter().for_each(|note| self.pass(note));
                }
                self.pass(event);
            }
        }
    }

    /// Notes what the state of a step was computed with, where it was something else than now: the rest
    /// is rounded in another way than if it had not been interrupted.
    fn compare(&mut self, step: u64) {
        match self.attempts.resume(&self.folder.environment_json(), step) {
            Ok(differences) if differences.is_empty() => {}
            Ok(differences) => {
                let text = format!("goes on from step {step}, which was computed with: {}", differences.join("; "));
                self.pass(Event::Note { text });
            }
            Err(error) => self.broken = Some(error.into()),
        }
    }

    fn pass(&mut self, event: Event) {
        self.listener.hear(self.stage, &News::Event(&event));
        if let (Event::Step(_), Some((_, is_ahead))) = (&event, &mut self.saved) {
            *is_ahead = true;
        }
        if self.broken.is_some() {
            // The log may end within a line: nothing may follow it.
            return;
        }
        let written = self.log.write(&event).and_then(|()| match event {
            Event::Saved { .. } => {
                let account = self.meter.account();
                self.saved = Some((known(&account), false));
                let account = total(self.earlier.clone(), account);
                Ok(files::write_json(&self.folder.energy_json(), &account)?)
            }
            _ => Ok(()),
        });
        self.broken = written.err();
        if let Some(Err(error)) = self.board.as_mut().map(|board| board.write(&event)) {
            // They are for looking at: the stage goes on without them.
            self.board = None;
            let text = format!("curves for TensorBoard end here, they cannot be written: {error}");
            self.pass(Event::Note { text });
        }
    }

    /// Ends an attempt whose outputs are whole, and keeps its energy.
    ///
    /// # Errors
    /// A log or an account that could not be written.
    pub(super) fn succeed(mut self, seconds: f64) -> anyhow::Result<()> {
        self.tell(Event::Finished { seconds });
        match self.broken.take() {
            None => Ok(files::write_json(&self.folder.energy_json(), &total(self.earlier, self.meter.finish()))?),
            Some(error) => {
                self.leave();
                Err(error)
            }
        }
    }

    /// Ends an attempt that failed or was stopped.
    pub(super) fn fail(mut self, error: &anyhow::Error) {
        self.note(error);
        self.leave();
    }

    /// Notes a failure. A stage that failed before it began leaves the log of earlier attempts; what
    /// it noted until then may be the reason, and is heard.
    fn note(&mut self, error: &anyhow::Error) {
        if !self.has_begun {
            self.early.iter().for_each(|note| self.listener.hear(self.stage, &News::Event(note)));
        } else if self.broken.is_none() && !error.is::<Stopped>() {
            let reasons: Vec<String> = error.chain().map(|cause| brief(&cause.to_string())).collect();
            // Where the log cannot be written, the error of the stage is still the one to tell.
            let _ = self.log.write(&Event::Failed { reason: reasons.join(": ") });
        }
    }

    /// Keeps the account of an attempt that failed or was stopped: with the state that it saved last,
    /// or, of what it did since and the next attempt does again, as lost.
    ///
    /// Best effort: on a full disk it may not fit, and the error of the stage is the one to tell.
    fn leave(self) {
        let account = self.meter.finish();
        let (saved, is_ahead) = self.saved.unwrap_or((Joules(0.0), true));
        if !is_ahead {
            let _ = files::write_json(&self.folder.energy_json(), &total(self.earlier, account));
            return;
        }
        let lost = known(&account) - saved;
        if lost > Joules(0.0) {
            let joules = Lost::read(self.folder).joules + lost;
            let _ = files::write_json(&self.folder.lost_json(), &Lost { joules });
        }
    }
}

/// Energy of attempts at a stage that failed or were stopped, where the work had to be done again:
/// in no account of the stage, and kept beside it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lost {
    /// What is known of it.
    pub joules: Joules,
}

impl Lost {
    /// Reads what was lost on a stage: nothing where there is no file.
    #[must_use]
    pub fn read(folder: &StageFolder) -> Self {
        let lost = std::fs::read(folder.lost_json()).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        lost.unwrap_or_default()
    }
}

/// Returns the energy of what has a value in an account.
pub(super) fn known(account: &Account) -> Joules {
    account.known().map_or(Joules(0.0), |(joules, _)| joules)
}

fn total(earlier: Option<Account>, now: Account) -> Account {
    match earlier {
        Some(earlier) => earlier.then(now),
        None => now,
    }
}

/// Reads the energy of an earlier attempt. One that cannot be read makes the total unavailable, as
/// an account without devices does.
pub(super) fn read_account(path: &Path) -> Account {
    let account = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    account.unwrap_or(Account { components: Vec::new() })
}
