//! The evaluation sets, and what their examples belong to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use tutelage_reports::study::{self, Unit};

use super::{Collecting, decoding};
use crate::experiment::evaluation::GROUP;
use crate::experiment::settings::{SplitName, Task};
use crate::experiment::{EvaluationSet, Key, evaluation_sets};
use crate::orchestrate::plan::stage::Source;
use crate::orchestrate::plan::{Asked, Trial};
use crate::orchestrate::stages::data;

/// Group and fields of each example of a split, by its id.
pub(super) type Places = BTreeMap<String, Place>;

/// What an example belongs to.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) group: String,
    fields: BTreeMap<String, String>,
}

impl Place {
    /// Returns what the results of a set are divided by.
    pub(super) fn stratum(&self, set: &EvaluationSet) -> Option<String> {
        match set.by.as_deref()? {
            GROUP => Some(self.group.clone()),
            field => self.fields.get(field).cloned(),
        }
    }
}

/// Splits that were read before.
pub(super) type Known = RefCell<BTreeMap<(Key, SplitName), Rc<Places>>>;

impl Collecting<'_> {
    /// Lists the evaluation sets.
    pub(super) fn sets(&self) -> Vec<EvaluationSet> {
        evaluation_sets(&self.checked.experiment)
    }

    /// Describes the evaluation sets.
    pub(super) fn described_sets(&self) -> anyhow::Result<Vec<study::EvaluationSet>> {
        let describe = |set: EvaluationSet| {
            Ok(study::EvaluationSet {
                unit: self.unit(&set)?,
                decoding: decoding::in_words(self.plan, &set),
                name: set.name,
                data: set.data,
                split: set.split.to_string(),
                task: match set.task {
                    Task::Answer => study::Task::Answer,
                    Task::Choice => study::Task::Choice,
                    Task::Perplexity => study::Task::Perplexity,
                },
                by: set.by,
            })
        };
        self.sets().into_iter().map(describe).collect()
    }

    /// Says what the groups of a set are.
    fn unit(&self, set: &EvaluationSet) -> anyhow::Result<Unit> {
        for trial in &self.plan.trials {
            let Some(asked) = on(trial, set) else { continue };
            if let Some((_, folder)) = self.data_behind(asked)? {
                return Ok(Unit { name: data::read_summary(&folder)?.unit });
            }
        }
        Ok(Unit::default())
    }

    /// Finds the data set that a trial was asked, if it is there and whole.
    pub(super) fn data_behind(&self, asked: &Asked) -> anyhow::Result<Option<(Key, PathBuf)>> {
        let scored = self.plan.stage(&asked.score);
        let input = scored.and_then(|stage| stage.inputs.iter().find(|input| input.name == "data"));
        let Some(Source::Stage { key, .. }) = input.map(|input| &input.source) else { return Ok(None) };
        Ok(self.output(key)?.map(|folder| (key.clone(), folder)))
    }

    /// Says what each example of a split belongs to. Nothing where the data is not there: all examples are of
    /// one group then, so that nothing is tested as if they were independent.
    pub(super) fn places(&self, asked: &Asked, task: Task, split: SplitName) -> anyhow::Result<Rc<Places>> {
        let Some((key, folder)) = self.data_behind(asked)? else { return Ok(Rc::default()) };
        let known = self.places.borrow().get(&(key.clone(), split)).cloned();
        if let Some(places) = known {
            return Ok(places);
        }
        let mut places = Places::new();
        if task == Task::Perplexity {
            for document in data::documents(&folder, split)? {
                let document = document?;
                places.insert(document.id, Place { group: document.group, fields: document.fields });
            }
        } else {
            for example in data::read_split(&folder, split)? {
                places.insert(example.id, Place { group: example.group, fields: example.fields });
            }
        }
        let places = Rc::new(places);
        self.places.borrow_mut().insert((key, split), Rc::clone(&places));
        Ok(places)
    }
}

/// Returns what a trial was asked on a set.
pub(super) fn on<'t>(trial: &'t Trial, set: &EvaluationSet) -> Option<&'t Asked> {
    trial.sets.iter().find(|asked| asked.set == set.name)
}
