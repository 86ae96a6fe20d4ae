//! Levels and steps laid over an experiment: each is a table of settings, and wins over what the file says.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::deserialize::{Problem, Reader};
use super::design::{Design, Laid, combinations};
use super::document::{KeyPath, Node, Step, Value};
use super::faults::{Fault, Faults};
use super::load::anchored;
use super::nearest::listed;
use super::settings::{Changes, Experiment};
use super::structure::structure;

/// Keys that are of the whole study: no level can set them.
const OF_THE_STUDY: [&str; 14] = [
    "version",
    "extends",
    "question",
    "reproduces",
    "seeds",
    "retrain",
    "baseline",
    "alpha",
    "assumptions",
    "factors",
    "exclude",
    "arms",
    "hypotheses",
    "compute",
];

/// One level or step laid over the experiment.
#[derive(Debug, Clone)]
pub(crate) struct Overlaid {
    /// The experiment with it.
    pub(super) experiment: Experiment,
    /// Its tree: what the level says stands where the level says it.
    pub(super) faults: Faults,
}

/// Gives a tree and all below it one rank.
fn rank(node: &mut Node, layer: isize) {
    node.layer = layer;
    match &mut node.value {
        Value::Table(table) => table.values_mut().for_each(|node| rank(node, layer)),
        Value::Array(items) => items.iter_mut().for_each(|node| rank(node, layer)),
        _ => {}
    }
}

/// Returns the tree of an experiment with levels laid over it, the last on top.
fn laid(root: &Node, levels: &Laid) -> Node {
    let mut whole = root.clone();
    for (place, (factor, level)) in levels.iter().enumerate() {
        let Some(mut settings) = root.get(&path_of(factor, level).0).cloned() else { continue };
        // Above everything that was typed.
        rank(&mut settings, isize::MAX - levels.len().cast_signed() + place.cast_signed());
        whole.merge(settings);
    }
    whole
}

/// Returns settings with changes laid over them.
///
/// # Errors
/// Changes that these settings do not know.
pub(super) fn changed<T: Serialize + DeserializeOwned + Clone>(settings: &T, changes: &Changes) -> Result<T, Problem> {
    if changes.is_empty() {
        return Ok(settings.clone());
    }
    let node = |text: Result<String, toml::ser::Error>, layer| {
        let text = text.map_err(<Problem as serde::de::Error>::custom)?;
        Node::parse(&text, 0, layer)
            .map_err(|_| <Problem as serde::de::Error>::custom("what was written cannot be read"))
    };
    let mut whole = node(toml::to_string(settings), 0)?;
    whole.merge(node(toml::to_string(changes), 1)?);
    T::deserialize(Reader::new(&whole))
}

/// Returns the tree of an experiment in which a step's settings are those of the experiment.
fn stepped(root: &Node, name: &str) -> Option<Node> {
    let at = KeyPath::from("steps").key(name);
    let Value::Table(kinds) = &root.get(&at.0)?.value else { return None };
    let mut whole = root.clone();
    for (kind, settings) in kinds {
        let of_step = |key: &str| settings.get(&KeyPath::from(key).0).cloned();
        for (key, path) in [("training", KeyPath::from("training").key(kind)), ("tuning", KeyPath::from("tuning"))] {
            let Some(mut changes) = of_step(key) else { continue };
            rank(&mut changes, isize::MAX);
            let Value::Table(tables) = &mut whole.value else { return None };
            if let [Step::Key(table), rest @ ..] = &path.0[..] {
                let table = tables.entry(table.clone()).or_insert_with(Node::empty);
                match (rest, &mut table.value) {
                    ([Step::Key(kind)], Value::Table(kinds)) => {
                        kinds.entry(kind.clone()).or_insert_with(Node::empty).merge(changes);
                    }
                    _ => table.merge(changes),
                }
            }
        }
    }
    Some(whole)
}

/// Reads an experiment with levels laid over it.
#[cfg(test)]
pub(super) fn read(root: &Node, levels: &Laid) -> Result<Experiment, Problem> {
    Experiment::deserialize(Reader::new(&laid(root, levels)))
}

fn path_of(factor: &str, level: &str) -> KeyPath {
    KeyPath::from("factors").key(factor).key(level)
}

/// Builds the design of the experiment in `faults`, and adds what is wrong with its levels.
pub(super) fn designed(experiment: &Experiment, faults: &mut Faults) -> (Design, Vec<Overlaid>) {
    let mut overlaid = Vec::new();
    let mut sound = true;
    for name in experiment.steps.keys() {
        let Some(tree) = stepped(&faults.root, name) else { continue };
        let mut inside = faults.over(tree);
        let found = structure(&mut inside);
        sound &= inside.is_empty();
        faults.take(&inside);
        if let Some(found) = found.filter(|_| inside.is_empty()) {
            overlaid.push(Overlaid { experiment: anchored(found, &inside), faults: inside });
        }
    }
    for (factor, levels) in &experiment.factors.free {
        for level in levels {
            sound &= of_the_study(factor, &level.name, level.settings.keys(), faults);
            let single = vec![(factor.clone(), level.name.clone())];
            let mut inside = faults.over(laid(&faults.root, &single));
            let found = structure(&mut inside);
            sound &= inside.is_empty();
            faults.take(&inside);
            if let Some(found) = found.filter(|_| inside.is_empty()) {
                overlaid.push(Overlaid { experiment: anchored(found, &inside), faults: inside });
            }
        }
    }
    sound &= disjoint(experiment, faults);
    let base = Arc::new(experiment.clone());
    let lay = |levels: Laid| {
        if levels.is_empty() {
            return Some((levels, Arc::clone(&base)));
        }
        let inside = faults.over(laid(&faults.root, &levels));
        let found = Experiment::deserialize(Reader::new(&inside.root)).ok()?;
        Some((levels, Arc::new(anchored(found, &inside))))
    };
    let all = if sound { combinations(experiment).into_iter().map(lay).collect() } else { None };
    let Some(all) = all else { return (Design::default(), overlaid) };
    let design = Design::new(experiment, all);
    // What could not be read says nothing of what the rest means.
    if faults.is_empty() {
        for (path, message, help) in &design.problems {
            faults.at(path.as_str(), message, help);
        }
    }
    (design, overlaid)
}

/// Checks that a level sets nothing that is of the whole study.
fn of_the_study<'k>(factor: &str, level: &str, keys: impl Iterator<Item = &'k String>, faults: &mut Faults) -> bool {
    let mut sound = true;
    for key in keys.filter(|key| OF_THE_STUDY.contains(&key.as_str())) {
        sound = false;
        let message = format!("`{key}` is of the whole study: no level can set it");
        let path = path_of(factor, level).key(key);
        let mut fault = Fault::new(&path, message).help("make a study of each, or remove it here");
        fault.place = faults.root.get(&path.0).and_then(|node| node.key.clone());
        faults.add(fault);
    }
    sound
}

/// Checks that no setting is set by two factors: which one would hold, a reader could not tell.
fn disjoint(experiment: &Experiment, faults: &mut Faults) -> bool {
    let mut owners: BTreeMap<String, (String, KeyPath)> = BTreeMap::new();
    let mut found = Vec::new();
    for (factor, levels) in &experiment.factors.free {
        for level in levels {
            let at = path_of(factor, &level.name);
            let Some(node) = faults.root.get(&at.0) else { continue };
            let mut leaves = Vec::new();
            leaves_of(node, &KeyPath::default(), &mut leaves);
            for leaf in leaves {
                let place = KeyPath([at.0.clone(), leaf.0.clone()].concat());
                match owners.get(&leaf.to_string()) {
                    Some((owner, first)) if owner != factor => {
                        let names = listed([owner.as_str(), factor.as_str()]);
                        let message = format!("the factors {names} both set `{leaf}`");
                        found.push((place, message, first.clone()));
                    }
                    _ => drop(owners.insert(leaf.to_string(), (factor.clone(), place))),
                }
            }
        }
    }
    for (place, message, first) in &found {
        let fault = Fault::new(place, message).help("let one factor set it, with a level for each combination");
        faults.add_with(fault, &[(first.clone(), "set here, too")]);
    }
    found.is_empty()
}

fn leaves_of(node: &Node, path: &KeyPath, leaves: &mut Vec<KeyPath>) {
    match &node.value {
        Value::Table(table) if !table.is_empty() => {
            table.iter().for_each(|(key, node)| leaves_of(node, &path.key(key), leaves));
        }
        _ => leaves.push(path.clone()),
    }
}
