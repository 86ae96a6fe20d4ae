use super::*;
use crate::experiment::Design;
use crate::experiment::settings::{Algorithm, Scratch, SftLevel};
use crate::orchestrate::kind::StageKind;

pub(crate) fn checked(edit: impl FnOnce(&mut Experiment)) -> Checked {
    let text = r#"
        version = 1
        question = "?"
        seeds = [10, 20]
        [data.glossary]
        importer = "glossary"
        [tokenizers.bpe.byte-level-bpe]
        vocabulary = 300
        [models.small.scratch]
        tokenizer = "bpe"
        hidden = 8
        layers = 1
        heads = 1
        feed-forward = 16
        [models.big.scratch]
        tokenizer = "bpe"
        hidden = 16
        layers = 1
        heads = 1
        feed-forward = 32
        [factors]
        student = ["small"]
        teacher = ["big"]
        sft = ["none", "teacher", "student", "both"]
        algorithm = ["kd", "dskd"]
        [algorithms.kd.vanilla]
        [algorithms.dskd.dual-space]
    "#;
    let mut experiment: Experiment = toml::from_str(text).expect("the experiment is valid");
    edit(&mut experiment);
    let Design { arms, controls, references, .. } = Design::of(&experiment);
    Checked {
        name: "study".to_owned(),
        arms,
        controls,
        references,
        experiment,
        notes: Vec::new(),
        objectives: Vec::new(),
    }
}

pub(crate) fn site(precision: Precision) -> Site {
    Site { precision, threads: Some(1), embedding_model: None, elsewhere: BTreeMap::new() }
}

pub(crate) fn planned(edit: impl FnOnce(&mut Experiment)) -> Plan {
    plan(&checked(edit), &site(Precision::F32)).unwrap()
}

fn count(plan: &Plan, kind: StageKind) -> usize {
    plan.stages.iter().filter(|stage| stage.kind == kind).count()
}

#[test]
fn what_arms_need_alike_is_one_stage() {
    let plan = planned(|_| ());
    let counts = StageKind::ALL.map(|kind| count(&plan, kind));
    // Data and tokenizer; two models; one teacher and a student per seed fine-tuned; two states
    // of the teacher captured; 8 arms and 2 seeds; 16 trials beside the references: teacher,
    // tuned teacher, student, and the tuned student at 2 seeds.
    assert_eq!(counts, [2, 0, 2, 3, 0, 2, 16, 21, 0, 0, 21]);
    assert_eq!(plan.trials.len(), 21);
    let titles: BTreeSet<String> = plan.stages.iter().map(Stage::title).collect();
    assert_eq!(titles.len(), plan.stages.len(), "titles are unique");
}

#[test]
fn controls_train_as_the_arms_distil_and_need_no_teacher() {
    let plan = planned(|experiment| {
        experiment.factors.algorithm.push("ce".to_owned());
        experiment.algorithms.insert("ce".to_owned(), Algorithm::CrossEntropy {});
        experiment.training.distill.epochs = 3.0;
    });
    // One from each start at 2 seeds, beside what the crossed design needs.
    let plain = planned(|experiment| experiment.training.distill.epochs = 3.0);
    assert_eq!(plan.trials.len(), plain.trials.len() + 4);
    assert_eq!(count(&plan, StageKind::Sft), count(&plain, StageKind::Sft) + 4);
    assert_eq!(count(&plan, StageKind::Capture), count(&plain, StageKind::Capture));
    let stage = plan.stages.iter().find(|stage| stage.title() == "sft student/ce seed 20").unwrap();
    let Job::Sft(job) = &stage.job else { panic!("a control is fine-tuned") };
    assert_eq!(job.training.epochs, 3.0);
    let read: Vec<String> = plan.reads(stage).map(Stage::title).collect();
    assert_eq!(read, ["prepare glossary", "sft small seed 20"]);
}

#[test]
fn students_do_not_wait_for_teachers() {
    let plan = planned(|_| ());
    let titles: Vec<String> = plan.stages.iter().map(Stage::title).collect();
    let expected = ["prepare glossary", "prepare tokenizer bpe", "pretrain small", "pretrain big"];
    assert_eq!(titles[..4], expected);
}

#[test]
fn every_stage_comes_after_what_it_reads() {
    for retrain in [Retrain::Students, Retrain::All] {
        let plan = planned(|experiment| experiment.retrain = retrain);
        let mut seen = BTreeSet::new();
        for stage in &plan.stages {
            for input in &stage.inputs {
                if let Source::Stage { key, .. } = &input.source {
                    assert!(seen.contains(key), "{} reads ahead", stage.title());
                }
            }
            seen.insert(stage.key.clone());
        }
    }
}

#[test]
fn a_seed_retrains_teachers_and_pretrained_models_where_asked() {
    let plan = planned(|experiment| experiment.retrain = Retrain::All);
    let counts = StageKind::ALL.map(|kind| count(&plan, kind));
    // Two models at two seeds, both fine-tuned, the teacher captured in two states; 8 arms, and
    // teacher and student as they are and fine-tuned, each at two seeds.
    assert_eq!(counts, [2, 0, 4, 4, 0, 4, 16, 24, 0, 0, 24]);
    let titles: BTreeSet<String> = plan.stages.iter().map(Stage::title).collect();
    assert_eq!(titles.len(), plan.stages.len(), "titles are unique");
    let find = |title: &str| plan.stages.iter().find(|stage| stage.title() == title).expect(title);
    let reads = |title: &str| -> BTreeSet<String> { plan.reads(find(title)).map(Stage::title).collect() };
    let expected = [
        "prepare glossary",
        "sft small seed 20",
        "pretrain big seed 20",
        "sft big seed 20",
        "capture big (sft) seed 20",
    ];
    let read = reads("distill both/kd seed 20");
    assert!(read.iter().all(|title| expected.contains(&title.as_str())) && read.len() >= 4, "{read:?}");
    assert_eq!(
        reads("sft small seed 20"),
        BTreeSet::from(["prepare glossary".into(), "pretrain small seed 20".into()])
    );
    // Trials of a checkpoint that is not fine-tuned are alike at every seed.
    let folder = tempfile::tempdir().unwrap();
    let plan = planned(|experiment| {
        experiment.retrain = Retrain::All;
        let checkpoint = Model::Checkpoint(folder.path().display().to_string());
        experiment.models.insert("big".to_owned(), checkpoint);
    });
    let trials = |arm: &str| plan.trials.iter().filter(|trial| trial.arm == arm).count();
    assert_eq!([trials("teacher big"), trials("teacher big (sft)"), trials("student small")], [1, 2, 2]);
    let captured: Vec<&str> =
        plan.stages.iter().filter(|s| s.kind == StageKind::Capture).map(|s| s.label.as_str()).collect();
    assert_eq!(captured, ["big", "big (sft) seed 10", "big (sft) seed 20"]);
}

#[test]
fn arms_answer_at_the_lengths_that_they_were_trained_at() {
    let plan = planned(|experiment| {
        experiment.training.distill.max_length = 77;
        experiment.training.distill.max_prompt = Some(33);
        experiment.training.sft.max_length = 99;
    });
    for stage in &plan.stages {
        let Job::Generate(job) = &stage.job else { continue };
        let expected = if stage.label.contains('/') { (77, Some(33)) } else { (99, None) };
        assert_eq!((job.max_length, job.max_prompt), expected, "{}", stage.title());
    }
}

#[test]
fn threads_are_part_of_what_computes_and_of_nothing_else() {
    let keys = |threads| -> BTreeMap<String, Key> {
        let site = Site { threads, ..site(Precision::F32) };
        let stages = plan(&checked(|_| ()), &site).unwrap().stages;
        stages.into_iter().map(|stage| (stage.title(), stage.key)).collect()
    };
    let (one, two, none) = (keys(Some(1)), keys(Some(2)), keys(None));
    for (title, key) in &one {
        let is_alike = title.starts_with("prepare");
        assert_eq!((two[title] == *key, none[title] == *key), (is_alike, is_alike), "{title}");
    }
}

#[test]
fn a_setting_changes_its_stages_and_what_follows() {
    let before = planned(|_| ());
    let after = planned(|experiment| experiment.training.sft.lr *= 2.0);
    let keys = |plan: &Plan| -> BTreeSet<Key> { plan.stages.iter().map(|s| s.key.clone()).collect() };
    let (before_keys, after_keys) = (keys(&before), keys(&after));
    for stage in &after.stages {
        let kept = before_keys.contains(&stage.key);
        let expected = match stage.kind {
            StageKind::Prepare | StageKind::Pretrain => true,
            StageKind::Sft => false,
            _ => !stage.label.contains("(sft)") && (stage.label.starts_with("none/") || !stage.label.contains('/')),
        };
        assert_eq!(kept, expected, "{}", stage.title());
    }
    assert_eq!(before_keys.len(), after_keys.len());
    let accumulated = planned(|experiment| experiment.training.sft.accumulation = 4);
    assert_eq!(keys(&accumulated), before_keys);
}

#[test]
fn answers_keep_to_lengths_of_a_stage_that_runs() {
    let lengths = |sft: SftLevel| -> BTreeSet<usize> {
        let plan = planned(|experiment| {
            experiment.factors.sft = vec![sft];
            experiment.training.sft.max_length = 100;
            experiment.training.distill.max_length = 90;
        });
        let length = |stage: &Stage| match &stage.job {
            Job::Generate(job) => Some(job.max_length),
            _ => None,
        };
        plan.stages.iter().filter_map(length).collect()
    };
    assert_eq!(lengths(SftLevel::None), [90].into());
    assert!(lengths(SftLevel::Both).contains(&100));
}

#[test]
fn embedded_data_are_known_by_their_content_and_by_how_their_corpus_is_laid_out() {
    let data = |plan: &Plan| plan.stages.iter().find(|stage| stage.label == "glossary").unwrap().clone();
    let plan = planned(|_| ());
    let Job::Data(job) = data(&plan).job else { panic!("data are prepared by a data job") };
    assert_eq!(job.embedded, Some(crate::data::import(&job.data, Path::new("")).unwrap().checksum));
    let closed = planned(|experiment| experiment.data.values_mut().for_each(|data| data.closed_book = true));
    assert_ne!(data(&closed).key, data(&plan).key);
}

#[test]
fn users_share_what_they_need() {
    let plan = planned(|_| ());
    let users = |title: &str| -> Vec<&str> {
        let stage = plan.stages.iter().find(|stage| stage.title() == title);
        stage.expect("there is such a stage").users.iter().map(String::as_str).collect()
    };
    assert_eq!(users("sft big seed 10"), ["teacher/kd", "teacher/dskd", "both/kd", "both/dskd"]);
    assert_eq!(users("distill none/kd seed 20"), ["none/kd"]);
    assert_eq!(users("score teacher big (sft) seed 10"), ["teacher big (sft)"]);
    assert_eq!(users("pretrain big").len(), 8);
}

#[test]
fn adapters_are_read_beside_the_model_they_belong_to() {
    let plan = planned(|experiment| {
        experiment.tuning = crate::experiment::settings::Tuning::Lora(crate::experiment::settings::Lora::default());
        experiment.factors.sft = vec![SftLevel::Both];
    });
    let distill = plan.stages.iter().find(|stage| stage.kind == StageKind::Distill).unwrap();
    let names: Vec<&str> = distill.inputs.iter().map(|input| input.name.as_str()).collect();
    let expected = ["data", "student", "student-adapter", "teacher", "teacher-adapter", "capture"];
    assert_eq!(names, expected);
    let generate = plan.stages.iter().rfind(|stage| stage.kind == StageKind::Generate).unwrap();
    assert_eq!(generate.inputs.len(), 3);
}

#[test]
fn a_scratch_model_is_known_by_its_shape_and_not_by_its_name() {
    let plan = planned(|experiment| {
        let small = experiment.models["small"].clone();
        let Model::Scratch(scratch) = &small else { panic!("small is a scratch model") };
        let same = Scratch { tokenizer: "bpe".to_owned(), ..scratch.clone() };
        experiment.models.insert("big".to_owned(), Model::Scratch(same));
    });
    assert_eq!(count(&plan, StageKind::Pretrain), 1);
}
