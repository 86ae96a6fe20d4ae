//! Where each stage of a plan stands in a store: done, to do, and why.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::files;
use crate::orchestrate::keep::failure::Failure;
use crate::orchestrate::keep::manifest::{Damage, Depth};
use crate::orchestrate::keep::store::{State, Store};
use crate::orchestrate::plan::Plan;
use crate::orchestrate::plan::stage::Stage;

/// Name of the last recorded plan in an experiment's folder.
const PLAN: &str = "plan.json";

/// Says where a stage stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Standing {
    /// All outputs are there.
    Done,
    /// A saved state is there to go on from.
    Partial,
    /// The last recorded plan had a stage of this name that differs.
    Stale {
        /// What changed since, one line each.
        because: Vec<String>,
    },
    /// Nothing is there.
    Missing,
    /// It was tried and failed.
    Failed {
        /// What went wrong.
        reason: String,
    },
    /// Its outputs differ from what was written.
    Corrupt {
        /// Files at fault.
        files: Vec<String>,
    },
}

impl Standing {
    /// Returns one word for tables.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Stale { .. } => "stale",
            Self::Missing => "missing",
            Self::Failed { .. } => "failed",
            Self::Corrupt { .. } => "corrupt",
        }
    }

    /// Returns what the word leaves out.
    #[must_use]
    pub fn details(&self) -> Vec<String> {
        match self {
            Self::Stale { because } => because.clone(),
            Self::Failed { reason } => vec![reason.clone()],
            Self::Corrupt { files } => files.clone(),
            Self::Done | Self::Partial | Self::Missing => Vec::new(),
        }
    }
}

/// Says where every stage of a plan stands, in its order. Sizes are compared, checksums are not.
///
/// # Errors
/// A store that cannot be read.
pub fn standings(plan: &Plan, store: &Store) -> io::Result<Vec<Standing>> {
    let before = recorded(store, &plan.name);
    plan.stages.iter().map(|stage| standing(stage, store, before.as_ref())).collect()
}

fn standing(stage: &Stage, store: &Store, before: Option<&Plan>) -> io::Result<Standing> {
    let folder = stage.folder(store);
    let failure = || -> Option<Failure> { serde_json::from_slice(&std::fs::read(folder.failure_json()).ok()?).ok() };
    Ok(match folder.state(Depth::Sizes)? {
        State::Done => Standing::Done,
        State::Corrupt(damages) => Standing::Corrupt { files: damages.iter().map(name).collect() },
        State::Partial | State::Absent if folder.failure_json().exists() => {
            let reasons = failure().map(|failure| failure.reasons).unwrap_or_default();
            Standing::Failed { reason: reasons.join(": ") }
        }
        State::Partial => Standing::Partial,
        State::Absent => match before.and_then(|plan| same_name(plan, stage)) {
            Some(old) if old.key != stage.key => Standing::Stale { because: changes(old, stage, before) },
            _ => Standing::Missing,
        },
    })
}

fn name(damage: &Damage) -> String {
    format!("`{}`: {}", damage.file, damage.what)
}

fn same_name<'a>(plan: &'a Plan, stage: &Stage) -> Option<&'a Stage> {
    plan.stages.iter().find(|old| (old.kind, &old.label) == (stage.kind, &stage.label))
}

/// Lists what differs between two stages of one name: settings with both values, inputs by name.
fn changes(old: &Stage, new: &Stage, before: Option<&Plan>) -> Vec<String> {
    let settings = |stage: &Stage| -> BTreeMap<String, Value> {
        let mut flat = BTreeMap::new();
        let job = serde_json::to_value(stage.job.essential()).unwrap_or_default();
        // The outermost name is the job's own.
        if let Some(job) = job.as_object().and_then(|object| object.values().next()) {
            flatten("", job, &mut flat);
        }
        flat
    };
    let (was, is) = (settings(old), settings(new));
    let mut changes = Vec::new();
    for (name, version) in &new.versions {
        // Older records have none.
        if let Some(old) = old.versions.get(name).filter(|old| *old != version) {
            changes.push(format!("version of {name}: {old} -> {version}"));
        }
    }
    let mut keys: Vec<&String> = was.keys().chain(is.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let text = |value: Option<&Value>| value.map_or("none".to_owned(), Value::to_string);
        if was.get(key) != is.get(key) {
            changes.push(format!("`{key}`: {} -> {}", text(was.get(key)), text(is.get(key))));
        }
    }
    for input in &new.inputs {
        match old.inputs.iter().find(|old| old.name == input.name) {
            None => changes.push(format!("input `{}` is new", input.name)),
            Some(old) if old.source.key() != input.source.key() => {
                let from = before.and_then(|plan| plan.stage(old.source.key()));
                let from = from.map_or(String::new(), |stage| format!(" (`{}`)", stage.title()));
                changes.push(format!("input `{}`{from} changed", input.name));
            }
            Some(_) => {}
        }
    }
    for input in &old.inputs {
        if !new.inputs.iter().any(|new| new.name == input.name) {
            changes.push(format!("input `{}` is gone", input.name));
        }
    }
    if changes.is_empty() {
        changes.push("this version of Tutelage computes it differently".to_owned());
    }
    changes
}

fn flatten(path: &str, value: &Value, flat: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (key, value) in object {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, flat);
            }
        }
        other => {
            flat.insert(path.to_owned(), other.clone());
        }
    }
}

/// Keeps a plan in the experiment's folder, to compare the next one with. `waiting` is called once
/// if another process has the folder.
///
/// # Errors
/// A folder that cannot be written to.
pub fn record(store: &Store, plan: &Plan, waiting: impl FnOnce()) -> anyhow::Result<()> {
    let _lock = store.lock_experiment(&plan.name, waiting)?;
    Ok(files::write_json(&plan_file(&store.experiment(&plan.name)), plan)?)
}

/// Reads the last recorded plan of an experiment. One that an older version wrote in another form
/// is no plan: it only serves to say what changed.
#[must_use]
pub fn recorded(store: &Store, name: &str) -> Option<Plan> {
    serde_json::from_slice(&std::fs::read(plan_file(&store.experiment(name))).ok()?).ok()
}

fn plan_file(folder: &Path) -> PathBuf {
    folder.join(PLAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::template;
    use crate::device::Precision;
    use crate::orchestrate::kind::StageKind;
    use crate::orchestrate::plan::tests::{checked, planned, site};
    use crate::orchestrate::plan::{Site, plan};

    #[test]
    fn a_changed_setting_is_named_where_it_was_made_and_as_an_input_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let before = planned(|_| ());
        record(&store, &before, || ()).unwrap();
        assert_eq!(recorded(&store, "study"), Some(before));
        let plan = planned(|experiment| experiment.training.sft.lr = 0.5);
        let standings = standings(&plan, &store).unwrap();
        let find = |title: &str| {
            let position = plan.stages.iter().position(|stage| stage.title() == title);
            &standings[position.expect("there is such a stage")]
        };
        let because = |text: &str| Standing::Stale { because: vec![text.to_owned()] };
        assert_eq!(*find("sft big seed 10"), because("`training.lr`: 0.001 -> 0.5"));
        let capture = because("input `teacher` (`sft big seed 10`) changed");
        assert_eq!(*find("capture big (sft)"), capture);
        assert_eq!(*find("pretrain big"), Standing::Missing);
    }

    #[test]
    fn another_wording_and_other_threads_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (checked, site) = (checked(|_| ()), site(Precision::F32));
        let mut before = plan(&checked, &Site { threads: Some(7), ..site.clone() }).unwrap();
        before.stages.iter_mut().filter_map(|stage| stage.versions.get_mut("wording")).for_each(|version| *version = 0);
        record(&store, &before, || ()).unwrap();
        let plan = plan(&checked, &site).unwrap();
        let standings = standings(&plan, &store).unwrap();
        let because = |kind: StageKind| {
            let position = plan.stages.iter().position(|stage| stage.kind == kind);
            let Standing::Stale { because } = &standings[position.unwrap()] else { panic!("{kind:?} is not stale") };
            because.clone()
        };
        let threads = "`threads`: 7 -> 1".to_owned();
        assert_eq!(because(StageKind::Pretrain), std::slice::from_ref(&threads));
        let wording = format!("version of wording: 0 -> {}", template::VERSION);
        assert_eq!(because(StageKind::Capture)[..2], [wording, threads]);
    }
}
