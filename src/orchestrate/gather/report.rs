//! Writes an experiment's records, study and report beside its plan.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tutelage_reports::{Options, render};

use crate::experiment::Checked;
use crate::files;
use crate::orchestrate::gather::collect;
use crate::orchestrate::keep::manifest::{Depth, Manifest};
use crate::orchestrate::keep::store::Store;
use crate::orchestrate::plan::Plan;
use crate::orchestrate::stages::rows;

/// Name of the file that says what a report was made from.
const SEAL: &str = "report.json";

/// Says what a report was made from and which files it has.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    /// Version of Tutelage.
    version: String,
    /// Version of the report's results and look.
    look: u32,
    /// Whether it has a PDF.
    pdf: bool,
    study: String,
    records: String,
    files: Manifest,
}

impl Seal {
    /// Returns what decides how the report looks.
    fn made_of(&self) -> (&str, u32, bool, &str, &str) {
        (&self.version, self.look, self.pdf, &self.study, &self.records)
    }
}

/// Says where a report lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Folder of all files.
    pub folder: PathBuf,
    /// What to read first: the PDF, or Markdown in a build without PDF.
    pub document: PathBuf,
    /// Whether it was made now; an unchanged report is left alone.
    pub renewed: bool,
}

impl Written {
    /// Returns the path of the document, as commands print it.
    #[must_use]
    pub fn text(&self) -> String {
        self.document.display().to_string()
    }
}

/// Collects what is done and renders it, unless the report of just that is there. None while
/// nothing is scored. `waiting` is called once if another process writes this report.
///
/// # Errors
/// Outputs that cannot be read, a folder that cannot be written to.
pub fn report(
    checked: &Checked,
    plan: &Plan,
    store: &Store,
    waiting: impl FnOnce(),
) -> anyhow::Result<Option<Written>> {
    if !store.root().is_dir() {
        return Ok(None);
    }
    let folder = store.experiment(&plan.name);
    let out = folder.join("report");
    // Two processes at once would leave files of two reports side by side.
    let _lock = store.lock_experiment(&plan.name, waiting)?;
    let (study, records) = collect(checked, plan, store)?;
    if records.is_empty() {
        return Ok(None);
    }
    std::fs::create_dir_all(&out).map_err(|error| files::failed(&out, None, error))?;
    sweep(&out);
    let study_json = serde_json::to_vec_pretty(&study)?;
    let records_file = folder.join("records.jsonl");
    files::write(&folder.join("study.json"), &study_json)?;
    files::write(&folder.join("resolved.toml"), study.resolved.as_bytes())?;
    rows::write(&records_file, &records)?;
    let mut seal = Seal {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        look: tutelage_reports::VERSION,
        pdf: cfg!(feature = "pdf"),
        study: blake3::hash(&study_json).to_hex().to_string(),
        records: files::checksum(&records_file)?,
        files: Manifest::default(),
    };
    let seal_file = folder.join(SEAL);
    let before = sealed(&seal_file);
    let renewed = !before.as_ref().is_some_and(|before| holds(before, &seal, &out));
    if renewed {
        let rendered = render(&study, &records, &out, Options::default())?;
        let kept = |name: &str| rendered.files.contains(&out.join(name));
        // Files of the report before that this one does not have, such as a figure of a metric that
        // was taken out. Files that somebody else put there stay, and the PDF where this build has none.
        let before = before.filter(|before| before.pdf == seal.pdf);
        for old in before.iter().flat_map(|before| before.files.files.keys()).filter(|name| !kept(name)) {
            let _ = std::fs::remove_file(out.join(old));
        }
        seal.files = Manifest::of(&out, |name| out.join(name).is_file() && !kept(name))?;
        files::write_json(&seal_file, &seal)?;
    }
    // Not what is there: a build with PDF may have left one of another run.
    let document = out.join(if cfg!(feature = "pdf") { "report.pdf" } else { "report.md" });
    Ok(Some(Written { folder: out, document, renewed }))
}

/// Removes what a rendering that was killed left behind: best effort, it only costs room.
fn sweep(out: &Path) {
    for folder in [out.to_owned(), out.join("tables"), out.join("figures")] {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().ends_with(".partial") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// Reads the seal of the report before; one that cannot be read is none.
fn sealed(file: &Path) -> Option<Seal> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// Says whether the report that a seal describes was made from the same things and is whole.
fn holds(seal: &Seal, wanted: &Seal, out: &Path) -> bool {
    seal.made_of() == wanted.made_of() && seal.files.damages(out, Depth::Checksums).is_empty()
}
