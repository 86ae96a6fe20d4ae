//! What training stages did, as a report tells it: settings in words, steps, examples, tokens, parameters.

use std::path::Path;

use tutelage_reports::study::{Extent, Training};

use super::event::Event;
use super::job::Job;
use super::stage::{Stage, StageKind};
use crate::experiment::settings::{self, Lora, Schedule, Tuning, Validate};
use crate::models::config::Config;
use crate::tuning::peft;

/// Gathers stages that share kind and settings, in the order in which they come.
#[derive(Debug, Default)]
pub struct Trained {
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
    pub fn add(&mut self, stage: &Stage, label: &str, is_control: bool, events: &[Event], output: &Path) {
        let Some(settings) = settings_of(&stage.job) else { return };
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
    pub fn training(self) -> Vec<Training> {
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

/// Counts what a stage left trained: all of a model, or an adapter.
fn parameters(output: &Path) -> Option<u64> {
    match peft::parameters(output) {
        Some(parameters) => Some(parameters),
        None => Config::read(output).ok().map(|config| config.parameters()),
    }
}

fn settings_of(job: &Job) -> Option<Vec<(String, String)>> {
    let (training, tuning, kind) = match job {
        Job::Pretrain(job) => (&job.training, &Tuning::Full {}, StageKind::Pretrain),
        Job::Sft(job) => (&job.training, &job.tuning, StageKind::Sft),
        Job::Distill(job) => (&job.training, &job.tuning, StageKind::Distill),
        _ => return None,
    };
    Some(in_words(training, tuning, kind).into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn in_words(training: &settings::Training, tuning: &Tuning, kind: StageKind) -> Vec<(&'static str, String)> {
    let tokens = |count: usize| format!("{count} tokens");
    let mut words = vec![
        ("epochs", training.epochs.to_string()),
        ("batch", training.batch.to_string()),
        ("learning rate", learning_rate(training)),
        ("weight decay", training.weight_decay.to_string()),
        ("gradient norm", training.clip.map_or("not clipped".to_owned(), |norm| format!("clipped at {norm}"))),
        ("longest sequence", tokens(training.max_length)),
    ];
    if kind != StageKind::Pretrain {
        words.push(("longest prompt", training.max_prompt.map_or("no limit of its own".to_owned(), tokens)));
    }
    words.push((
        "trained weights",
        match tuning {
            Tuning::Full {} => "all".to_owned(),
            Tuning::Lora(Lora { rank, alpha, dropout, target_modules }) => {
                format!("LoRA, rank {rank}, alpha {alpha}, dropout {dropout}, on {}", target_modules.join(", "))
            }
        },
    ));
    words.push((
        "kept state",
        match (kind, training.validate) {
            (StageKind::Pretrain, _) | (_, Validate::End) => "the last".to_owned(),
            (_, Validate::Epoch) => "the epoch of the lowest dev loss".to_owned(),
        },
    ));
    words
}

fn learning_rate(training: &settings::Training) -> String {
    let number = |value: f64| if value != 0.0 && value.abs() < 0.01 { format!("{value:e}") } else { value.to_string() };
    let peak = number(training.lr);
    let (course, warmup) = match training.schedule {
        Schedule::Constant { warmup } => ("constant".to_owned(), warmup),
        Schedule::Linear { warmup, floor } => (format!("linear to {}", number(floor)), warmup),
        Schedule::Cosine { warmup, floor } => (format!("cosine to {}", number(floor)), warmup),
    };
    let warmup = if warmup > 0.0 { format!(", warm-up {} %", 100.0 * warmup) } else { String::new() };
    format!("{peak}, {course}{warmup}").replace("e-", "e\u{2212}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_in_words() {
        let words = |training: &settings::Training| in_words(training, &Tuning::default(), StageKind::Sft);
        let told = words(&settings::Training::default());
        let value = |name: &str| told.iter().find(|(known, _)| *known == name).unwrap().1.as_str();
        assert_eq!(value("learning rate"), "1e\u{2212}3, cosine to 1e\u{2212}7");
        assert_eq!((value("gradient norm"), value("kept state")), ("clipped at 1", "the epoch of the lowest dev loss"));
        let schedule = Schedule::Linear { warmup: 0.05, floor: 0.0 };
        let training = settings::Training { lr: 0.02, schedule, max_prompt: Some(64), ..settings::Training::default() };
        assert_eq!(learning_rate(&training), "0.02, linear to 0, warm-up 5 %");
        assert!(words(&training).contains(&("longest prompt", "64 tokens".to_owned())));
    }
}
