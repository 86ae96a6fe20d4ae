//! What training stages did, as a report tells it: settings in words, steps, examples, tokens, parameters.

use std::path::Path;

use tutelage_reports::study::{Extent, Training};

use super::{Collecting, label};
use crate::models::config::Config;
use crate::orchestrate::keep::event::{self, Event};
use crate::orchestrate::plan::stage::Stage;
use crate::tuning::peft;

impl Collecting<'_> {
    /// Says what was trained, with which settings, on how much.
    pub(super) fn training(&self) -> anyhow::Result<Vec<Training>> {
        let mut trained = Trained::default();
        for stage in self.done()? {
            let folder = stage.folder(self.store);
            let label = label(stage);
            let is_control = self.checked.controls.iter().any(|control| control.name == label);
            trained.add(stage, &label, is_control, &event::read(&folder.events_jsonl())?, &folder.output());
        }
        Ok(trained.training())
    }
}

/// Gathers stages that share kind and settings, in the order in which they come.
#[derive(Debug, Default)]
pub(super) struct Trained {
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    /// Told so far; its counts are filled in at the end.
    training: Training,
    steps: Vec<u64>,
    examples: Vec<Option<u64>>,
    tokens: Vec<Option<u64>>,
    parameters: Vec<Option<u64>>,
}

impl Trained {
    /// Adds a finished stage; one that trains nothing is passed over. `is_control` says that it trains a
    /// control: as the arms distil, without a teacher.
    pub(super) fn add(&mut self, stage: &Stage, label: &str, is_control: bool, events: &[Event], output: &Path) {
        let Some(mut settings) = stage.job.work().trains() else { return };
        settings.extend(earlier(stage));
        let name = if is_control { "control" } else { stage.kind.name() };
        let known = |group: &Group| group.training.stage == name && group.training.settings == settings;
        let group = match self.groups.iter().position(known) {
            Some(position) => &mut self.groups[position],
            None => {
                let training = Training {
                    stage: name.to_owned(),
                    labels: Vec::new(),
                    seeds: Vec::new(),
                    settings,
                    steps: Extent { least: 0, most: 0 },
                    examples: None,
                    tokens: None,
                    parameters: None,
                };
                let (steps, examples, tokens, parameters) = Default::default();
                self.groups.push(Group { training, steps, examples, tokens, parameters });
                self.groups.last_mut().expect("one was just added")
            }
        };
        if !group.training.labels.iter().any(|known| known == label) {
            group.training.labels.push(label.to_owned());
        }
        let seed = stage.seed.unwrap_or_default();
        if !group.training.seeds.contains(&seed) {
            group.training.seeds.push(seed);
        }
        let steps = || events.iter().filter_map(|event| if let Event::Step(step) = event { Some(step) } else { None });
        group.steps.push(steps().map(|step| step.step).max().unwrap_or_default());
        // Unknown where a step does not tell: the stage was run by a version that did not.
        group.examples.push(steps().map(|step| step.examples).sum());
        group.tokens.push(steps().map(|step| step.tokens).sum());
        group.parameters.push(parameters(output));
    }

    /// Returns what was gathered.
    #[must_use]
    pub(super) fn training(self) -> Vec<Training> {
        let all = |counts: Vec<Option<u64>>| Extent::of(counts.into_iter().collect::<Option<Vec<u64>>>()?);
        let finish = |group: Group| Training {
            steps: Extent::of(group.steps).unwrap_or(Extent { least: 0, most: 0 }),
            examples: all(group.examples),
            tokens: all(group.tokens),
            parameters: all(group.parameters),
            ..group.training
        };
        self.groups.into_iter().map(finish).collect()
    }
}

/// Says what happens to the adapters of earlier steps, where there are any.
fn earlier(stage: &Stage) -> Option<(String, String)> {
    let is_there = stage.inputs.iter().any(|input| ["adapter", "student-adapter"].contains(&input.name.as_str()));
    let what = if stage.job.work().stacks() { "stay below those that are trained" } else { "are trained on" };
    is_there.then(|| ("adapters of earlier steps".to_owned(), what.to_owned()))
}

/// Counts what a stage left trained: all of a model, or an adapter.
pub(super) fn parameters(output: &Path) -> Option<u64> {
    match peft::parameters(output) {
        Some(parameters) => Some(parameters),
        None => Config::read(output).ok().map(|config| config.parameters()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::SplitName;
    use crate::device::Precision;
    use crate::experiment::identity;
    use crate::experiment::settings::Tuning;
    use crate::orchestrate::kind::StageKind;
    use crate::orchestrate::plan::stage::{Input, Source};
    use crate::orchestrate::stages::Job;
    use crate::orchestrate::stages::continual::ContinualJob;

    #[test]
    fn what_becomes_of_earlier_adapters_is_told() {
        let told = |stack: bool, input: &str| {
            let job = ContinualJob {
                tuning: Tuning::default(),
                training: Default::default(),
                split: SplitName::Train,
                replay: vec![],
                stack,
                precision: Precision::F32,
                threads: None,
                seed: 1,
            };
            let key = identity("test", 1, &0, &[]).unwrap();
            let source = Source::External { origin: String::new(), commit: None, path: None, key: key.clone() };
            let inputs = vec![Input { name: input.to_owned(), source }];
            let stage = Stage {
                kind: StageKind::Pretrain,
                label: String::new(),
                key,
                job: Job::from(job),
                versions: Default::default(),
                inputs,
                seed: None,
                users: vec![],
            };
            earlier(&stage).map(|(_, what)| what)
        };
        assert_eq!(told(false, "model"), None);
        assert_eq!(told(false, "adapter").as_deref(), Some("are trained on"));
        assert_eq!(told(true, "adapter").as_deref(), Some("stay below those that are trained"));
    }
}
