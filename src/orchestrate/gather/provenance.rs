//! Code and machines of the stages, and the keys of what others build on.

use std::collections::BTreeSet;

use anyhow::Context;

use super::Collecting;
use crate::orchestrate::keep::environment::{Attempts, Environment};
use crate::orchestrate::kind::StageKind;

/// Names and values.
type Facts = Vec<(String, String)>;

impl Collecting<'_> {
    /// Lists code and machines of all stages, and the keys of data, models and tokenizers.
    pub(super) fn environment_and_keys(&self) -> anyhow::Result<(Facts, Facts)> {
        let mut facts: Vec<(&str, BTreeSet<String>)> = Vec::new();
        let mut keys = Vec::new();
        for stage in self.done()? {
            let file = stage.folder(self.store).environment_json();
            let attempts = Attempts::read(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
            for (name, value) in attempts.used().iter().flat_map(Environment::facts) {
                match facts.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, values)) => drop(values.insert(value)),
                    None => facts.push((name, BTreeSet::from([value]))),
                }
            }
            if matches!(stage.kind, StageKind::Prepare | StageKind::Pretrain) {
                keys.push((stage.title(), stage.key.to_string()));
            }
        }
        let joined = |values: BTreeSet<String>| values.into_iter().collect::<Vec<_>>().join("; ");
        Ok((facts.into_iter().map(|(name, values)| (name.to_owned(), joined(values))).collect(), keys))
    }
}
