//! The data set: there, readable, divided sensibly.

use std::fs::{self, File};

use super::Checking;
use crate::experiment::document::KeyPath;
use crate::experiment::faults::Fault;
use crate::experiment::nearest::listed;
use crate::experiment::settings::{Data, GroupBy, Importer, Split, WindowAt};

/// Largest distance from 1 that shares may sum to: `0.7 + 0.2 + 0.1` is not exactly 1.
const ROUNDING: f64 = 1e-9;

impl Checking<'_, '_> {
    pub(super) fn data(&mut self) {
        let experiment = self.experiment;
        if experiment.data.len() != 1 && self.faults.is_sound("data") {
            let names = listed(experiment.data.keys().map(String::as_str));
            let (found, help) = match experiment.data.len() {
                0 => ("none".to_owned(), "add `[data.glossary]` with `importer = \"glossary\"`"),
                _ => (names, "keep one, and make an experiment of each"),
            };
            let message = format!("an experiment has one data set, found {found}");
            self.faults.at("data", message, help);
        }
        for (name, data) in &experiment.data {
            let at = KeyPath::from("data").key(name);
            self.data_path(data, &at);
            self.window(data, &at);
            self.require(data.limit != Some(0), at.key("limit"), "at least 1", 0);
            self.split(data, &at);
        }
    }

    fn window(&mut self, data: &Data, at: &KeyPath) {
        if let Some(window) = data.window {
            self.require_count(window, at.key("window"));
        }
        if data.window_at == WindowAt::Answer {
            if data.window.is_none() && self.faults.is_sound(at.key("window")) {
                let message = "there is no window to centre on the answer";
                self.faults.at(
                    at.key("window-at"),
                    message,
                    "add `window = 100`, characters on each side of the answer",
                );
            }
            self.notes.push(format!(
                "`{at}` centres windows on the gold answer, in dev and test too: a control, because the middle gives it away"
            ));
        }
    }

    fn data_path(&mut self, data: &Data, at: &KeyPath) {
        let importer = data.importer;
        if !self.faults.is_sound(at.key("importer")) {
            return;
        }
        match (&data.path, importer) {
            (Some(_), Importer::Glossary) => {
                let message = "the glossary is embedded and has no path";
                self.faults.at(at.key("path"), message, "remove `path`, or choose another importer");
            }
            (None, Importer::Glossary) => {}
            (None, _) => {
                let path = at.key("path");
                let message = format!("`{at}` names no file to import");
                let help = format!("add `path = \"...\"`, or pass `--set {path}=FILE`");
                self.faults.add(Fault::new(path, message).help(help).label("no `path` here"));
            }
            (Some(path), _) => {
                let shown = path.display();
                // Opening a named pipe would wait for its writer.
                let open = |data: fs::Metadata| if data.is_file() { File::open(path).map(Some) } else { Ok(None) };
                let message = match fs::metadata(path).and_then(open) {
                    Ok(Some(_)) => return,
                    Ok(None) => format!("`{shown}` is no file"),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        format!("no file at `{shown}`")
                    }
                    Err(error) => format!("cannot read `{shown}`: {error}"),
                };
                let help = self.path_help(path.as_os_str(), &at.key("path"));
                self.faults.at(at.key("path"), message, help);
            }
        }
    }

    /// Says what a relative path is relative to.
    pub(super) fn path_help(&self, path: &std::ffi::OsStr, at: &KeyPath) -> String {
        if path.to_string_lossy().contains("/~/") {
            "`~` stands for nothing here: write the path in full".to_owned()
        } else {
            format!(
                "correct it or pass `--set {at}=PATH`; a path in a file starts at that file's folder, \
                 in `--set` at the current one"
            )
        }
    }

    fn split(&mut self, data: &Data, at: &KeyPath) {
        let (importer, at) = (at.key("importer"), &at.key("split"));
        let Split { train, dev, test, group_by, .. } = data.split;
        if group_by == GroupBy::Given {
            let read = self.faults.is_sound(importer) && self.faults.is_sound(at);
            if data.importer != Importer::Glossary && read {
                let message = "only the glossary comes with its own division";
                self.faults.at(at.key("group-by"), message, "choose `document` or `example`");
            }
            return;
        }
        let mut in_range = true;
        for (share, key) in [(train, "train"), (dev, "dev"), (test, "test")] {
            in_range &= (0.0..=1.0).contains(&share);
            self.require((0.0..=1.0).contains(&share), at.key(key), "from 0 to 1", share);
        }
        let sum = train + dev + test;
        if in_range && (sum - 1.0).abs() > ROUNDING && self.faults.is_sound(at) {
            let sum = (sum * 1e6).round() / 1e6;
            let message = format!("the shares of train, dev and test sum to {sum}, not to 1");
            let help = "give all three; those left out are 0.8, 0.1 and 0.1";
            self.faults.at(at, message, help);
        } else if in_range {
            // Dev too: the report shows whether a teacher learned something before it taught.
            for (share, key) in [(train, "train"), (dev, "dev"), (test, "test")] {
                self.require(share > 0.0, at.key(key), "above 0", share);
            }
        }
    }
}
