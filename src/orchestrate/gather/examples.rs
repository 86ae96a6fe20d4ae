//! Answers side by side.

use std::collections::{BTreeMap, BTreeSet};

use tutelage_reports::study::SideBySide;

use super::Collecting;
use super::sets::on;
use crate::experiment::EvaluationSet;
use crate::experiment::settings::Task;
use crate::orchestrate::stages::data;
use crate::orchestrate::stages::generate::Generation;
use crate::orchestrate::stages::rows;

/// How [`Collecting::examples`] chooses.
pub(super) const EXAMPLES_CHOSEN: &str = "The questions stand at equal distances in the order of the test split, answers are those of the first seed; nobody picked them.";

impl Collecting<'_> {
    /// Sets the answers of all arms at the first seed side by side, for questions spread evenly
    /// over the test split.
    pub(super) fn examples(&self) -> anyhow::Result<Vec<SideBySide>> {
        let show = self.checked.experiment.evaluation.show;
        let answered = |set: &EvaluationSet| set.task == Task::Answer;
        let Some(set) = self.sets().into_iter().find(answered) else { return Ok(Vec::new()) };
        let mut asked = self.plan.trials.iter().filter_map(|trial| on(trial, &set));
        let Some((_, data)) = asked.next().map(|asked| self.data_behind(asked)).transpose()?.flatten() else {
            return Ok(Vec::new());
        };
        let mut test = data::read_split(&data, set.split)?;
        let mut answers: Vec<(&str, BTreeMap<String, String>)> = Vec::new();
        let mut seen = BTreeSet::new();
        for trial in &self.plan.trials {
            let Some(asked) = on(trial, &set) else { continue };
            let Some(output) = self.output(&asked.answers)? else { continue };
            if seen.insert(trial.arm.as_str()) {
                let rows: Vec<Generation> = rows::read(&output.join(format!("{}.jsonl", set.split)))?;
                answers.push((&trial.arm, rows.into_iter().map(|row| (row.id, row.answer)).collect()));
            }
        }
        test.retain(|example| answers.iter().any(|(_, answers)| answers.contains_key(&example.id)));
        let count = show.min(test.len());
        let pick = |position: usize| {
            let example = &test[position * test.len() / count];
            let of = |(arm, answers): &(&str, BTreeMap<String, String>)| {
                Some(((*arm).to_owned(), answers.get(&example.id)?.clone()))
            };
            SideBySide {
                id: example.id.clone(),
                question: example.question.clone(),
                references: example.references.clone(),
                answers: answers.iter().filter_map(of).collect(),
            }
        };
        Ok((0..count).map(pick).collect())
    }
}
