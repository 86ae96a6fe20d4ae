//! Data sets: there, readable, divided sensibly.

use std::collections::BTreeMap;
use std::fs::{self, File};

use super::Checking;
use crate::experiment::document::KeyPath;
use crate::experiment::faults::Fault;
use crate::experiment::nearest::remedy;
use crate::experiment::settings::{Column, Data, GroupBy, Importer, Origin, Split, WindowAt};

/// The field that may have a column for each of its elements.
const OPTIONS: &str = "options";

/// Largest distance from 1 that shares may sum to: `0.7 + 0.2 + 0.1` is not exactly 1.
const ROUNDING: f64 = 1e-9;

impl Checking<'_, '_> {
    pub(super) fn data(&mut self) {
        let experiment = self.experiment;
        if experiment.data.is_empty() && self.faults.is_sound("data") {
            let help = "add `[data.glossary]` with `importer = \"glossary\"`";
            self.faults.at("data", "an experiment has a data set, found none", help);
        }
        for (name, data) in &experiment.data {
            let at = KeyPath::from("data").key(name);
            self.data_path(data, &at);
            self.columns(data, &at);
            self.fields(data, &at);
            self.window(data, &at);
            self.require(data.limit != Some(0), at.key("limit"), "at least 1", 0);
            self.split(data, &at);
        }
    }

    /// Checks what rows call the fields of their importer.
    fn columns(&mut self, data: &Data, at: &KeyPath) {
        let (importer, at) = (at.key("importer"), at.key("columns"));
        if data.columns.is_empty() || !self.faults.is_sound(importer) {
            return;
        }
        let (name, fields) = (data.importer.name(), data.importer.fields());
        if fields.is_empty() {
            let message = format!("the fields of `{name}` have fixed names");
            self.faults.at(at, message, "remove `columns`, or choose another importer");
            return;
        }
        let mut seen = BTreeMap::<&str, &str>::new();
        for (field, column) in &data.columns {
            let place = at.key(field);
            if !fields.contains(&field.as_str()) {
                let message = format!("`{name}` has no field `{field}`");
                self.faults.at(place, message, remedy(field, "fields", fields.iter().copied()));
                continue;
            }
            if !self.faults.is_sound(&place) {
                continue;
            }
            if let (Column::Several(names), true) = (column, field != OPTIONS || column.names().len() < 2) {
                let (message, help) = match field == OPTIONS {
                    true => (
                        format!("`{field}` has {} column in a list, expected two or more", names.len()),
                        "without brackets, it is the column that holds the list of options",
                    ),
                    false => (
                        format!("`{field}` has {} columns, expected one", names.len()),
                        "only `options` may have a column each",
                    ),
                };
                self.faults.at(place, message, help);
                continue;
            }
            for column in column.names() {
                let message = match seen.insert(column, field) {
                    _ if column.is_empty() => "a column has a name, found none".to_owned(),
                    Some(other) => format!("the column `{column}` is `{other}` and `{field}`"),
                    None => continue,
                };
                self.faults.at(&place, message, "name the column that is meant");
            }
        }
    }

    /// Checks which further fields are kept, and what unlocks the source.
    fn fields(&mut self, data: &Data, at: &KeyPath) {
        self.require_distinct(&data.fields, &at.key("fields"));
        if !self.faults.is_sound(at.key("importer")) {
            return;
        }
        if data.importer == Importer::Glossary {
            for (index, field) in data.fields.iter().enumerate().filter(|(_, field)| *field != "fact") {
                let message = format!("the glossary has no field `{field}`");
                self.faults.at(
                    at.key("fields").index(index),
                    message,
                    "its field is `fact`: what of a term is asked for",
                );
            }
        }
        if data.password.is_some() && data.importer != Importer::Teleqna {
            let message = format!("`{}` reads no locked archive", data.importer.name());
            self.faults.at(at.key("password"), message, "remove `password`, and unpack the file yourself");
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
        let may_be_folder = importer.origin() == Origin::FileOrFolder;
        match (&data.path, importer.origin()) {
            (Some(_), Origin::Embedded) => {
                let message = "the glossary is embedded and has no path";
                self.faults.at(at.key("path"), message, "remove `path`, or choose another importer");
            }
            (None, Origin::Embedded) => {}
            (None, _) => {
                let path = at.key("path");
                let message = format!("`{at}` names no file to import");
                let help = format!("add `path = \"...\"`, or pass `--set {path}=FILE`");
                self.faults.add(Fault::new(path, message).help(help).label("no `path` here"));
            }
            (Some(path), _) => {
                let shown = path.display();
                // Opening a named pipe would wait for its writer.
                let open = |found: fs::Metadata| match (found.is_file(), found.is_dir() && may_be_folder) {
                    (true, _) => File::open(path).map(|_| Some(())),
                    (_, true) => fs::read_dir(path).map(|_| Some(())),
                    _ => Ok(None),
                };
                let message = match fs::metadata(path).and_then(open) {
                    Ok(Some(())) => return,
                    Ok(None) if may_be_folder => format!("`{shown}` is no file and no folder"),
                    Ok(None) => format!("`{shown}` is no file"),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound && may_be_folder => {
                        format!("no file or folder at `{shown}`")
                    }
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
        let Split { train, dev, test, all, group_by, .. } = data.split;
        if group_by == GroupBy::Given {
            let read = self.faults.is_sound(importer) && self.faults.is_sound(at);
            if !data.importer.divides() && read {
                let message = format!("`{}` comes without its own division", data.importer.name());
                self.faults.at(at.key("group-by"), message, "choose `document` or `example`");
            } else if all.is_some() && read {
                let message = "all is one split, and each example is in the one it says";
                self.faults.at(at.key("all"), message, "remove `all`, or `group-by`");
            }
            return;
        }
        if all.is_some() {
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
        }
    }
}
