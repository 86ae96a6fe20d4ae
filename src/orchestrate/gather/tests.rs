use std::collections::BTreeSet;

use tutelage_metrics::energy::Joules;
use tutelage_reports::study::Outcome;

use super::*;
use crate::data::Example;
use crate::data::SplitName;
use crate::device::Compute;
use crate::experiment::settings::{Experiment, GroupBy};
use crate::files;
use crate::models::config::Config;
use crate::orchestrate::execute::engine::Engine;
use crate::orchestrate::execute::{Execution, Listener, Lost, News, Worker};
use crate::orchestrate::gather::report::report;
use crate::orchestrate::keep::environment::Environment;
use crate::orchestrate::keep::event::{Event, Step};
use crate::orchestrate::keep::store::StageFolder;
use crate::orchestrate::kind::StageKind;
use crate::orchestrate::plan::tests::{checked, planned};
use crate::orchestrate::stages::Job;
use crate::orchestrate::stages::generate::Generation;
use crate::orchestrate::stages::inputs::Inputs;
use crate::orchestrate::stages::stop::StopFlag;
use crate::orchestrate::stages::{data, rows};

/// Prepares and scores for real; models are their `config.json` and answer by rule.
struct WithoutModels;

impl Worker for WithoutModels {
    fn run(
        &self,
        stage: &Stage,
        inputs: &Inputs,
        folder: &StageFolder,
        events: &mut dyn FnMut(Event),
        stop: &StopFlag,
    ) -> anyhow::Result<()> {
        let output = folder.output();
        match &stage.job {
            Job::Pretrain(job) => {
                let config = Config::scratch(&job.model, 300, 1);
                let tokenizer = crate::orchestrate::stages::model::tokenizer(inputs.get("tokenizer")?)?;
                tokenizer.save(&output)?;
                Ok(files::write_json(&output.join("config.json"), &config.to_json())?)
            }
            Job::Sft(_) | Job::Distill(_) => {
                if stage.kind == StageKind::Distill {
                    events(Event::Objective { form: "DSKD, one vocabulary".to_owned() });
                }
                let losses = BTreeMap::from([("loss".to_owned(), 1.5)]);
                events(Event::Step(Step { step: 1, steps: 1, losses, ..Step::default() }));
                events(Event::Validation { step: 1, loss: 1.25 });
                Ok(())
            }
            Job::Capture(_) => Ok(()),
            Job::Generate(job) => {
                anyhow::ensure!(!stage.label.starts_with("none/dskd"), "the loss is not finite");
                for split in [SplitName::Test, SplitName::Dev] {
                    if split == SplitName::Test || job.dev {
                        let examples = data::read_split(inputs.get("data")?, split)?;
                        let tuned = stage.label.contains("(sft)") || stage.label.starts_with("both");
                        let answers: Vec<Generation> =
                            examples.iter().enumerate().map(|(n, example)| answer(n, example, tuned)).collect();
                        rows::write(&output.join(format!("{split}.jsonl")), &answers)?;
                    }
                }
                Ok(())
            }
            _ => Engine { compute: Compute::reference() }.run(stage, inputs, folder, events, stop),
        }
    }
}

fn answer(position: usize, example: &Example, tuned: bool) -> Generation {
    let right = tuned || position.is_multiple_of(3);
    Generation {
        id: example.id.clone(),
        answer: if right { example.answer.clone() } else { "unknown".to_owned() },
        new_tokens: 4,
        nll: Some(if tuned { 1.0 } else { 2.0 }),
        response_tokens: 4,
        response_bytes: example.answer.len() as u64,
    }
}

struct Deaf;

impl Listener for Deaf {
    fn hear(&mut self, _stage: &Stage, _news: &News<'_>) {}
}

#[test]
fn a_run_becomes_records_a_study_and_a_report() {
    let edit = |experiment: &mut Experiment| {
        // Nine terms, each in all splits: of one or two nothing could be verified.
        experiment.data.values_mut().for_each(|data| {
            data.limit = Some(400);
            data.split.group_by = GroupBy::Given;
        });
        experiment.evaluation.metrics = ["token-f1", "nll"].map(str::to_owned).to_vec();
        experiment.energy.grid_kg_co2e_per_kwh = Some(0.4);
    };
    let (folder, checked, plan) = (tempfile::tempdir().unwrap(), checked(edit), planned(edit));
    let store = Store::open(folder.path()).unwrap();
    // Another process writes a report, and ends as soon as this one is told.
    let mut elsewhere = Some(store.lock_experiment(&plan.name, || ()).unwrap());
    assert_eq!(report(&checked, &plan, &store, || elsewhere = None).unwrap(), None);
    assert!(elsewhere.is_none());
    let mut execution = Execution {
        store: &store,
        worker: &WithoutModels,
        environment: &Environment::of(Compute::reference()),
        sources: &Vec::new,
        stop: &StopFlag::default(),
        depth: Depth::Changes,
        listener: &mut Deaf,
    };
    let summary = execution.run(&plan);
    assert_eq!(summary.failures.len(), 2, "{:?}", summary.failures);

    let (study, records) = collect(&checked, &plan, &store).unwrap();
    let examples = study.data[0].splits[2].1 as usize;
    assert_eq!(records.len(), (plan.trials.len() - 2) * 2 * examples);
    let groups: BTreeSet<&str> = records.iter().map(|record| record.group.as_str()).collect();
    assert!(groups.len() == 9 && records.iter().all(|record| record.example.starts_with(&record.group)));
    let arm = |name: &str| study.arms.iter().find(|arm| arm.name == name).unwrap();
    assert_eq!(arm("both/kd").outcome, Outcome::Done);
    assert_eq!(arm("both/kd").objective.as_deref(), Some("DSKD, one vocabulary"));
    assert_eq!(study.models[0].vocabulary_id, study.models[1].vocabulary_id);
    assert_eq!(study.models[0].vocabulary_id.len(), 64);
    let Outcome::Failed { reason } = &arm("none/dskd").outcome else { panic!("none/dskd failed") };
    assert_eq!(reason, "generate none/dskd seed 10: the loss is not finite");
    assert_eq!(study.energy_model.grid_kg_co2e_per_kwh, Some(0.4));
    assert_eq!(study.models.len(), 2);
    assert_eq!(study.checks.len(), 2);
    assert!(study.checks.iter().all(|check| check.passed), "{:?}", study.checks);
    assert_eq!(
        study.checks[0].evidence,
        "2.000 to 1.000 nats per token; 95 % interval of the difference \u{2212}1.000 to \u{2212}1.000, 50 questions in 9 groups, 1 seed"
    );
    let trained: Vec<(&str, usize)> =
        study.training.iter().map(|training| (training.stage.as_str(), training.labels.len())).collect();
    assert_eq!(trained, [("pretrain", 2), ("sft", 2), ("distill", 8)]);
    assert_eq!(study.training[2].seeds, [10, 20]);
    assert!(study.training[1].settings.contains(&("trained weights".to_owned(), "all".to_owned())));
    assert!(study.metrics.iter().all(|metric| !metric.source.is_empty()));
    assert!(study.environment.iter().any(|(name, value)| name == "code" && value.starts_with("Tutelage ")));
    assert!(study.provenance.iter().any(|(name, _)| name == "pretrain big"), "{:?}", study.provenance);
    // The tuned teacher, and students at two seeds; 16 trials; each a loss and a dev loss.
    assert_eq!(study.curves.len(), (1 + 2 + 16) * 2);
    assert_eq!(study.examples.len(), 5);
    assert_eq!(collect(&checked, &plan, &store).unwrap(), (study, records));

    let first = report(&checked, &plan, &store, || ()).unwrap().expect("arms are scored");
    assert!(first.renewed && first.document.exists());
    let again = report(&checked, &plan, &store, || ()).unwrap().expect("arms are scored");
    assert!(!again.renewed);
    // As if the report's own code had changed since.
    let seal_file = store.experiment(&plan.name).join("report.json");
    let mut seal: serde_json::Value = serde_json::from_slice(&std::fs::read(&seal_file).unwrap()).unwrap();
    seal["look"] = 0.into();
    files::write_json(&seal_file, &seal).unwrap();
    assert!(report(&checked, &plan, &store, || ()).unwrap().expect("arms are scored").renewed);

    // A flipped byte in an answer's score is not reported, but told.
    let trial = plan.trials.iter().find(|trial| trial.arm == "both/kd").unwrap();
    let scores = plan.stage(&trial.sets[0].score).unwrap().folder(&store).output().join("test.jsonl");
    let mut bytes = std::fs::read(&scores).unwrap();
    bytes[0] ^= 1;
    files::write(&scores, &bytes).unwrap();
    let (study, records) = collect(&checked, &plan, &store).unwrap();
    assert!(!records.iter().any(|record| record.arm == "both/kd" && record.seed == trial.seed));
    let damaged = study.arms.iter().find(|arm| arm.name == "both/kd").unwrap();
    let Outcome::Failed { reason } = &damaged.outcome else { panic!("the damage went unnoticed") };
    assert!(reason.contains("output/test.jsonl") && reason.contains("`tutelage run`"), "{reason}");

    // Nor are the energy and the losses of a stage whose files are damaged; others stay.
    let before = study;
    let stage = |title: &str| plan.stages.iter().find(|stage| stage.title() == title).unwrap();
    let (tuned, distilled) = (stage("sft big seed 10"), stage("distill both/dskd seed 20"));
    for file in [tuned.folder(&store).energy_json(), distilled.folder(&store).events_jsonl()] {
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[0] ^= 1;
        files::write(&file, &bytes).unwrap();
    }
    let lost = stage("pretrain big").folder(&store).lost_json();
    files::write_json(&lost, &Lost { joules: Joules(7.2) }).unwrap();
    let (study, after) = collect(&checked, &plan, &store).unwrap();
    assert_eq!(after, records);
    assert_eq!(study.curves.len(), before.curves.len() - 4);
    for (stage, file) in [(tuned, "energy.json"), (distilled, "events.jsonl")] {
        let told = |text: &&String| text.starts_with(&stage.title()) && text.contains(file);
        assert!(study.warnings.iter().any(|text| told(&text)), "{:?}", study.warnings);
        let energy: Vec<_> = study.energy.iter().filter(|energy| energy.key == stage.key.as_str()).collect();
        assert_eq!(energy.iter().map(|energy| energy.joules).collect::<Vec<_>>(), [None]);
    }
    let told = "pretrain big: attempts that failed or were stopped took 0.002 Wh more, which is in no table";
    assert!(study.warnings.iter().any(|text| text == told), "{:?}", study.warnings);
}
