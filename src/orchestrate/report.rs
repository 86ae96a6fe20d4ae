//! Writes an experiment's records, study and report beside its plan.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tutelage_reports::{Options, render};

use super::collect::collect;
use super::manifest::{Depth, Manifest};
use super::plan::Plan;
use super::rows;
use super::store::Store;
use crate::experiment::Checked;
use crate::files;

/// Name of the file that says what a report was made from.
const SEAL: &str = "report.json";

/// Says what a report was made from and which files it has.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    version: String,
    study: String,
    records: String,
    files: Manifest,
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

/// Collects what is done and renders it, unless the report of just that is there. None while
/// nothing is scored.
///
/// # Errors
/// Outputs that cannot be read, a folder that cannot be written to.
pub fn report(checked: &Checked, plan: &Plan, store: &Store) -> anyhow::Result<Option<Written>> {
    let folder = store.experiment(&plan.name);
    let out = folder.join("report");
    let (study, records) = collect(checked, plan, store)?;
    if records.is_empty() {
        return Ok(None);
    }
    std::fs::create_dir_all(&out).map_err(|error| files::failed(&out, None, error))?;
    let study_json = serde_json::to_vec_pretty(&study)?;
    let records_file = folder.join("records.jsonl");
    files::write(&folder.join("study.json"), &study_json)?;
    files::write(&folder.join("resolved.toml"), study.resolved.as_bytes())?;
    rows::write(&records_file, &records)?;
    let mut seal = Seal {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        study: blake3::hash(&study_json).to_hex().to_string(),
        records: super::manifest::checksum(&records_file)?,
        files: Manifest::default(),
    };
    let seal_file = folder.join(SEAL);
    let renewed = !holds(&seal_file, &seal, &out);
    if renewed {
        render(&study, &records, &out, Options::default())?;
        seal.files = Manifest::of(&out, |_| false)?;
        files::write_json(&seal_file, &seal)?;
    }
    let pdf = out.join("report.pdf");
    let document = if pdf.exists() { pdf } else { out.join("report.md") };
    Ok(Some(Written { folder: out, document, renewed }))
}

/// Says whether the report that a seal describes was made from the same things and is whole.
fn holds(seal_file: &Path, wanted: &Seal, out: &Path) -> bool {
    let seal = std::fs::read(seal_file).ok().and_then(|bytes| serde_json::from_slice::<Seal>(&bytes).ok());
    seal.is_some_and(|seal| {
        let files = seal.files;
        let same = (&seal.version, &seal.study, &seal.records) == (&wanted.version, &wanted.study, &wanted.records);
        same && files.damages(out, Depth::Checksums).is_empty()
    })
}
