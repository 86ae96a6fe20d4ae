//! Evaluation sets: their data, task, metrics and what belongs to the task.

use std::collections::BTreeSet;

use super::Checking;
use crate::experiment::course::Course;
use crate::experiment::document::KeyPath;
use crate::experiment::evaluation::{EvaluationSet, GROUP, SEPARATOR, data_of, evaluation_sets};
use crate::experiment::nearest::{listed, remedy};
use crate::experiment::settings::{Kind, SetSettings, SplitName, Task};

impl Checking<'_, '_> {
    pub(super) fn evaluation_sets(&mut self) {
        let experiment = self.experiment;
        let named = &experiment.evaluation.sets;
        if named.is_empty() {
            if experiment.data.len() > 1 && evaluation_sets(experiment).is_empty() && self.faults.is_sound("data") {
                let names = listed(experiment.data.keys().map(String::as_str));
                let message = "nothing says which data set models are evaluated on";
                let help = format!("add `[evaluation.NAME]` with `data = ...`, one or several; data sets: {names}");
                self.faults.at("data", message, help);
            }
            return;
        }
        for (name, settings) in named {
            self.evaluation_set(name, settings, &KeyPath::from("evaluation").key(name));
        }
    }

    fn evaluation_set(&mut self, name: &str, settings: &SetSettings, at: &KeyPath) {
        let experiment = self.experiment;
        if name.trim().is_empty() || name.contains(|c: char| c == SEPARATOR || c.is_control()) {
            let message = format!("an evaluation set cannot be named `{}`", name.escape_debug());
            self.faults.at(at, message, "name it in words, without `/`: metrics are `NAME/METRIC`");
        }
        match &settings.data {
            Some(data) if self.faults.lacks("data", data) => {
                let message = format!("no data set is named `{data}`");
                let help = remedy(data, "data sets", experiment.data.keys().map(String::as_str));
                self.faults.at(at.key("data"), message, help);
                return;
            }
            _ => {}
        }
        if let Err(candidates) = data_of(experiment, Some(name), settings) {
            if self.faults.is_sound("data") && !experiment.data.is_empty() {
                let message = format!("nothing says which data set `{at}` is a part of");
                let help = format!("add `data = \"NAME\"`; data sets: {}", listed(candidates));
                self.faults.at(at, message, help);
            }
            return;
        }
        let Some(set) = evaluation_sets(experiment).into_iter().find(|set| set.name.as_deref() == Some(name)) else {
            return;
        };
        let Some(data) = experiment.data.get(&set.data) else { return };
        self.task(&set, settings, data.importer.kind(), at);
        self.set_metrics(&set, settings, at);
        if let Some(by) = &set.by
            && by != GROUP
            && !data.fields.contains(by)
        {
            let message = format!("`{}` keeps no field `{by}`", KeyPath::from("data").key(&set.data));
            let known = remedy(by, "fields", data.fields.iter().map(String::as_str).chain([GROUP]));
            let help = format!("{known}; or add `fields = [{by:?}]` to the data set");
            self.faults.at(at.key("by"), message, help);
        }
        self.require(settings.limit != Some(0), at.key("limit"), "at least 1", 0);
        if let Some(length) = settings.max_length {
            self.require(length >= 2, at.key("max-length"), "at least 2", length);
        }
        if let Some(decoding) = &settings.decoding {
            self.decoding(decoding, &at.key("decoding"));
        }
        if let Some(tokens) = settings.max_new_tokens {
            self.require_count(tokens, at.key("max-new-tokens"));
        }
    }

    /// Checks that what steps learn from and models are asked is no empty part of its data, and notes where it is
    /// the same part.
    pub(super) fn parts(&mut self) {
        let experiment = self.experiment;
        let mut asked = Vec::new();
        for set in evaluation_sets(experiment) {
            self.part(&set.data, set.split, &format!("`{}` asks it", set.at()));
            asked.push((set.data, set.split));
        }
        let mut learned = BTreeSet::new();
        for lesson in self.design.courses().flat_map(Course::all).flat_map(|course| &course.lessons) {
            learned.insert((lesson.data.clone(), lesson.split, lesson.name.clone()));
            let replayed = lesson.replay.keys().map(|name| (name.clone(), SplitName::Train, lesson.name.clone()));
            learned.extend(replayed);
        }
        let mut told = BTreeSet::new();
        for (data, split, step) in learned {
            if told.insert((data.clone(), split)) {
                self.part(&data, split, &format!("the step `{step}` learns from it"));
            }
            if asked.contains(&(data.clone(), split)) {
                self.notes.push(format!(
                    "the step `{step}` learns from the {split} split of `{data}`, which models are asked, too: what they \
                     answer there, they have seen"
                ));
            }
        }
    }

    fn part(&mut self, data: &str, split: SplitName, user: &str) {
        let at = KeyPath::from("data").key(data).key("split");
        let Some(settings) = self.experiment.data.get(data) else { return };
        let is_division = SplitName::ALL.iter().any(|&part| settings.split.has(part));
        if is_division && !settings.split.has(split) && self.faults.is_sound(&at) {
            let message = format!("`data.{data}` has nothing in {split}, and {user}");
            self.faults.at(at, message, format!("give {split} a share, or name another split"));
        }
    }

    /// Checks that the data have what is asked of them, and that nothing is set that the task has no use for.
    fn task(&mut self, set: &EvaluationSet, settings: &SetSettings, kind: Kind, at: &KeyPath) {
        let (task, needs, fits) = match set.task {
            Task::Answer => ("answer", "questions with answers", kind != Kind::Text),
            Task::Choice => ("choice", "questions with options", kind == Kind::Choice),
            Task::Perplexity => ("perplexity", "texts", kind == Kind::Text),
        };
        if !fits {
            let found = match kind {
                Kind::QuestionAnswer => "questions with answers",
                Kind::Chat => "conversations",
                Kind::Text => "texts",
                Kind::Choice => "questions with options",
            };
            let message = format!("the task `{task}` needs {needs}, and `{}` has {found}", set.data);
            let usual = match kind {
                Kind::QuestionAnswer | Kind::Chat => "answer",
                Kind::Text => "perplexity",
                Kind::Choice => "choice` or `answer",
            };
            self.faults.at(at.key("task"), message, format!("choose `{usual}`, or another data set"));
        }
        let answers = set.task == Task::Answer;
        let unused = [
            ("decoding", settings.decoding.is_some() && !answers),
            ("max-new-tokens", settings.max_new_tokens.is_some() && !answers),
            ("options", settings.options.is_some() && set.task != Task::Choice),
        ];
        for (key, _) in unused.into_iter().filter(|(_, is_unused)| *is_unused) {
            let message = format!("`{}` says nothing of the task `{task}`", at.key(key));
            self.faults.at(at.key(key), message, "remove it");
        }
    }

    fn set_metrics(&mut self, set: &EvaluationSet, settings: &SetSettings, at: &KeyPath) {
        let Some(metrics) = &settings.metrics else { return };
        let at = at.key("metrics");
        let fitting = (self.around.metrics)(set.task);
        if metrics.is_empty() {
            let help = remedy("", "metrics", fitting.iter().copied());
            self.faults.at(&at, "no metric is asked for", help);
        }
        self.require_distinct(metrics, &at);
        for (index, metric) in metrics.iter().enumerate() {
            let at = at.index(index);
            if self.metric(metric, &at) && !fitting.contains(&metric.as_str()) {
                let message = format!("`{metric}` is no metric of this task");
                self.faults.at(at, message, remedy(metric, "metrics of it", fitting.iter().copied()));
            }
        }
    }
}
