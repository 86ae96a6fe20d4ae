//! A made-up study that exercises every part of a report: 16 arms, 3 seeds, 120 questions on 40 documents.
//!
//! Seeded, so that it is the same everywhere. Same-vocabulary teachers gain from SFT of both
//! models, DSKD helps across vocabularies, and one arm may fail.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tutelage_metrics::energy::EnergyModel;
use tutelage_metrics::ngram::tokenizer::Tokenizer;
use tutelage_metrics::ngram::{bleu, chrf};
use tutelage_reports::record::{Direction, Record};
use tutelage_reports::study::{
    Aggregation, Arm, Check, Claim, Curve, Data, EvaluationSet, Extent, Factor, Hypothesis, LevelContrast, Method,
    Metric, Model, Outcome, Quantity, QuantityValue, Role, STUDY_FORMAT, SideBySide, StageEnergy, Study, Task,
    Training, Unit,
};

/// Questions in the test split.
pub(crate) const QUESTIONS: usize = 120;
const SEEDS: [u64; 3] = [10, 20, 30];
const WORDS: [&str; 16] = [
    "the",
    "base",
    "station",
    "hands",
    "over",
    "a",
    "call",
    "when",
    "signal",
    "drops",
    "below",
    "threshold",
    "of",
    "neighbour",
    "cell",
    "quality",
];

/// Builds the study and its records.
pub(crate) fn study() -> (Study, Vec<Record>) {
    let arms = arms();
    let records = records(&arms);
    let study = Study {
        format: STUDY_FORMAT,
        name: "golden".into(),
        question: "Does fine-tuning before distillation help, and does it depend on whether teacher and student share a vocabulary?".into(),
        reproduces: Some("arXiv:2504.20000".into()),
        factors: vec![
            factor("teacher", &["same", "other"]),
            factor("sft", &["none", "teacher", "student", "both"]),
            factor("algorithm", &["kd", "dskd", "ce"]),
        ],
        seeds: SEEDS.to_vec(),
        retrained: "students".into(),
        baseline: Some("same/none/kd".into()),
        hypotheses: hypotheses(),
        alpha: 0.05,
        sets: vec![EvaluationSet {
            name: None,
            data: "glossary".into(),
            split: "test".into(),
            task: Task::Answer,
            unit: Unit { name: "document".into() },
            by: None,
            decoding: None,
        }],
        metrics: metrics(),
        quantities: Vec::new(),
        models: vec![
            model("student", 1_200_000, 2_048),
            model("teacher-same", 5_800_000, 2_048),
            model("teacher-other", 6_100_000, 4_096),
        ],
        data: vec![Data {
            name: "glossary".into(),
            are_texts: false,
            splits: vec![("train".into(), 1_840), ("dev".into(), 120), ("test".into(), QUESTIONS as u64)],
            skipped: vec![("impossible".into(), 57)],
            checksum: "blake3:9f2b6c0e4d".into(),
            facts: vec![
                ("the test asks".into(), "recall of trained facts, in other words than training asked for them".into()),
                ("unit of the data".into(), "term: 52 in train, 52 in dev, 52 in test".into()),
            ],
        }],
        training: training(&arms),
        methods: methods(),
        curves: curves(&arms),
        energy: energy(&arms),
        energy_model: EnergyModel { grid_kg_co2e_per_kwh: Some(0.4), ..EnergyModel::default() },
        checks: vec![
            Check {
                name: "teacher-same: the SFT teacher beats the untrained one".into(),
                passed: true,
                evidence: "dev loss 5.16 to 3.02; token F1 0.041 to 0.288".into(),
            },
            Check {
                name: "teacher-other: the SFT teacher beats the untrained one".into(),
                passed: false,
                evidence: "dev loss 5.31 to 5.30; token F1 0.039 to 0.040".into(),
            },
        ],
        examples: examples(&arms),
        examples_chosen: "Questions are those at equal distances in the order of the test split; nobody picked them.".into(),
        warnings: vec!["12 prompts were cut on the left to 256 tokens".into()],
        assumptions: vec![
            "batch size 8: the publication gives none".into(),
            "learning rate 5e-4: the publication gives none".into(),
        ],
        environment: [
            ("code", "tutelage 0.1.0, commit 0123456789ab"),
            ("libtorch", "2.11.0"),
            ("device", "cpu"),
            ("processor", "Imaginary CPU 9000"),
            ("cores", "2"),
            ("threads", "1"),
            ("memory", "16.0 GiB"),
            ("precision", "f32 (the CPU has no bf16 instructions)"),
            ("system", "linux x86_64"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec(),
        provenance: vec![("prepare glossary".into(), "0123456789abcdef".repeat(4))],
        resolved: "version = 1\nquestion = \"Does it help?\"\nseeds = [10, 20]\n\n[factors]\nteacher = [\"same\", \"other\"]\n".into(),
        arms,
    };
    (study, records)
}

/// The same study evaluated on two sets whose examples share their identifiers: the questions, divided by use-case,
/// and as many texts; with a quantity of each arm and a claim of every kind.
pub(crate) fn sets() -> (Study, Vec<Record>) {
    let (mut study, records) = study();
    study.name = "sets".into();
    let set = |name: &str, task: Task, unit: &str, by: Option<&str>| EvaluationSet {
        name: Some(name.into()),
        data: "glossary".into(),
        split: "test".into(),
        task,
        unit: Unit { name: unit.into() },
        by: by.map(str::to_owned),
        decoding: (task == Task::Answer).then(|| "the most probable token each time, at most 64 tokens".to_owned()),
    };
    study.sets = vec![
        set("support", Task::Answer, "document", Some("use-case")),
        set("manuals", Task::Perplexity, "manual", None),
    ];
    let is_of_texts = |metric: &str| ["nll", "perplexity"].contains(&metric);
    for metric in &mut study.metrics {
        let set = if is_of_texts(&metric.name) { "manuals" } else { "support" };
        (metric.set, metric.column) = (Some(set.into()), format!("{set}/{}", metric.name));
    }
    let use_case = |question: usize| match question {
        0..48 => "billing",
        48..108 => "network",
        _ => "roaming",
    };
    let moved = records.into_iter().map(|mut record| {
        let question: usize = record.example[1..].parse().expect("questions are numbered");
        if is_of_texts(&record.metric) {
            (record.set, record.group) = (Some("manuals".into()), format!("m{:02}", question / 4));
        } else {
            (record.set, record.stratum) = (Some("support".into()), Some(use_case(question).into()));
        }
        record
    });
    let records = moved.collect();
    let mut values = Vec::new();
    for (index, arm) in study.arms.iter().enumerate().filter(|(_, arm)| arm.role != Role::Reference) {
        for (place, seed) in SEEDS.into_iter().enumerate() {
            let noise = 0.01 * ((place * (5 + index)) % 19) as f64;
            values.push(QuantityValue { arm: arm.name.clone(), seed, value: 4.3 - 3.0 * skill(arm) + noise });
        }
    }
    study.quantities = vec![Quantity {
        name: "dev-loss".into(),
        label: "Dev loss".into(),
        unit: "nats/token".into(),
        direction: Direction::Lower,
        values,
    }];
    study.hypotheses = claims_of_every_kind();
    (study, records)
}

fn claims_of_every_kind() -> Vec<Hypothesis> {
    let levels = |factor: &str, better: &str, worse: &str, within: &[(&str, &str)]| LevelContrast {
        factor: factor.into(),
        better: better.into(),
        worse: worse.into(),
        within: within.iter().map(|(f, l)| ((*f).into(), (*l).into())).collect(),
    };
    let claim = |name: &str, claim: Claim, metrics: &[&str]| Hypothesis {
        name: name.into(),
        claim,
        metrics: metrics.iter().map(|metric| (*metric).into()).collect(),
        stratum: None,
    };
    let both = levels("sft", "both", "none", &[("teacher", "same")]);
    let better = Claim::Better(both.clone());
    vec![
        claim("SFT of both models helps", better.clone(), &["support/rouge-l", "manuals/perplexity"]),
        Hypothesis {
            stratum: Some("network".into()),
            ..claim("SFT of both models helps with networks", better, &["support/rouge-l"])
        },
        claim(
            "DSKD loses nothing where vocabularies agree",
            Claim::NotWorse { contrast: levels("algorithm", "dskd", "kd", &[("teacher", "same")]), margin: 0.1 },
            &["support/rouge-l"],
        ),
        claim(
            "SFT of the teacher alone changes nothing",
            Claim::Equivalent { contrast: levels("sft", "teacher", "none", &[]), margin: 0.04 },
            &["support/token-f1"],
        ),
        claim(
            "DSKD gains more across vocabularies",
            Claim::Interaction {
                contrast: levels("algorithm", "dskd", "kd", &[]),
                factor: "teacher".into(),
                more: "other".into(),
                less: "same".into(),
            },
            &["support/rouge-l"],
        ),
        claim(
            "Dev loss ranks arms as answers do",
            Claim::Rank { of: "dev-loss".into(), with: "support/rouge-l".into(), within: BTreeMap::new() },
            &[],
        ),
        claim(
            "The least dev loss gives not the best answers",
            Claim::BestDiffers {
                of: "dev-loss".into(),
                by: "support/rouge-l".into(),
                within: [("teacher".to_owned(), "other".to_owned())].into(),
            },
            &[],
        ),
        claim(
            "The best answers come not from the least dev loss",
            Claim::BestDiffers { of: "support/rouge-l".into(), by: "dev-loss".into(), within: BTreeMap::new() },
            &[],
        ),
    ]
}

/// Lets one arm fail and another be missing, and takes their records away.
pub(crate) fn fail_some(study: &mut Study, records: &mut Vec<Record>) {
    for arm in &mut study.arms {
        match arm.name.as_str() {
            "other/both/kd" => {
                arm.outcome = Outcome::Failed { reason: "loss is not finite at step 120".into() };
            }
            "other/student/dskd" => arm.outcome = Outcome::Missing,
            _ => continue,
        }
        records.retain(|record| record.arm != arm.name);
    }
}

fn factor(name: &str, levels: &[&str]) -> Factor {
    Factor { name: name.into(), levels: levels.iter().map(|level| (*level).to_owned()).collect() }
}

fn model(name: &str, parameters: u64, vocabulary: u64) -> Model {
    Model {
        name: name.into(),
        architecture: "llama".into(),
        parameters,
        vocabulary,
        vocabulary_id: format!("v{vocabulary}"),
        origin: "trained from scratch".into(),
    }
}

fn arms() -> Vec<Arm> {
    let mut arms = Vec::new();
    for teacher in ["same", "other"] {
        for sft in ["none", "teacher", "student", "both"] {
            for algorithm in ["kd", "dskd"] {
                let levels = [("teacher", teacher), ("sft", sft), ("algorithm", algorithm)];
                arms.push(Arm {
                    name: format!("{teacher}/{sft}/{algorithm}"),
                    role: Role::Cell,
                    levels: levels.map(|(f, l)| (f.to_owned(), l.to_owned())).into(),
                    model: "student".into(),
                    control: Some(if matches!(sft, "student" | "both") { "student/ce" } else { "none/ce" }.into()),
                    objective: Some(
                        match (algorithm, teacher) {
                            ("kd", "same") => "vanilla distillation, one vocabulary",
                            ("kd", _) => "universal logit distillation",
                            (_, "same") => "DSKD, one vocabulary",
                            _ => "DSKD with cross-model attention",
                        }
                        .into(),
                    ),
                    outcome: Outcome::Done,
                });
            }
        }
    }
    for sft in ["none", "student"] {
        arms.push(Arm {
            name: format!("{sft}/ce"),
            role: Role::Control,
            levels: [("sft", sft), ("algorithm", "ce")].map(|(f, l)| (f.to_owned(), l.to_owned())).into(),
            model: "student".into(),
            control: None,
            objective: None,
            outcome: Outcome::Done,
        });
    }
    for (name, model) in [
        ("reference/student", "student"),
        ("reference/teacher-same", "teacher-same"),
        ("reference/teacher-other", "teacher-other"),
    ] {
        arms.push(Arm {
            name: name.into(),
            role: Role::Reference,
            levels: BTreeMap::new(),
            model: model.into(),
            control: None,
            objective: None,
            outcome: Outcome::Done,
        });
    }
    arms
}

/// Chance that an arm gets a word right.
fn skill(arm: &Arm) -> f64 {
    let level = |factor: &str| arm.levels.get(factor).map_or("", String::as_str);
    if arm.role == Role::Reference {
        return match arm.model.as_str() {
            "teacher-same" => 0.74,
            "teacher-other" => 0.70,
            _ => 0.15,
        };
    }
    if arm.role == Role::Control {
        return if level("sft") == "student" { 0.37 } else { 0.33 };
    }
    let same = level("teacher") == "same";
    let tuned = match level("sft") {
        "teacher" if same => 0.05,
        "student" => 0.08,
        "both" if same => 0.20,
        "both" => 0.10,
        _ => 0.0,
    };
    let algorithm = match level("algorithm") {
        "dskd" if same => -0.02,
        "dskd" => 0.16,
        _ => 0.0,
    };
    0.34 + tuned + algorithm + if same { 0.065 } else { 0.0 }
}

fn records(arms: &[Arm]) -> Vec<Record> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let questions: Vec<(Vec<&str>, f64)> = (0..QUESTIONS)
        .map(|_| {
            let length = rng.random_range(2..9);
            let words = (0..length).map(|_| WORDS[rng.random_range(0..WORDS.len())]).collect();
            (words, rng.random_range(-0.25..0.25))
        })
        .collect();
    let mut records = Vec::new();
    for arm in arms {
        for seed in SEEDS {
            let shift = rng.random_range(-0.02..0.02);
            for (index, (words, ease)) in questions.iter().enumerate() {
                let chance = (skill(arm) + ease + shift).clamp(0.02, 0.98);
                let said: Vec<&str> = words
                    .iter()
                    .map(|word| if rng.random_bool(chance) { *word } else { WORDS[rng.random_range(0..WORDS.len())] })
                    .collect();
                let right = said.iter().zip(words).filter(|(a, b)| a == b).count() as f64;
                let share = right / words.len() as f64;
                let (prediction, reference) = (said.join(" "), [words.join(" ")]);
                let loss = 4.2 - 3.0 * chance + rng.random_range(-0.3..0.3);
                let tokens = (words.len() + 2) as f64;
                let bleu_counts = bleu::counts(Tokenizer::default(), &prediction, &reference);
                let chrf_counts = chrf::counts(chrf::Variant::Characters, &prediction, &reference);
                let values = [
                    ("bleu", bleu::sentence_from_counts(&bleu_counts), bleu_counts),
                    ("chrf", chrf::from_counts(&chrf_counts), chrf_counts),
                    ("rouge-l", share, vec![]),
                    ("exact-match", f64::from(prediction == reference[0]), vec![]),
                    ("token-f1", (share * 1.05).min(1.0), vec![]),
                    ("cosine", 0.3 + 0.6 * share + rng.random_range(0.0..0.1), vec![]),
                    ("nll", loss, vec![tokens]),
                    ("perplexity", loss.exp(), vec![tokens]),
                ];
                for (metric, value, counts) in values {
                    let metric = metrics().into_iter().find(|m| m.name == metric).unwrap();
                    records.push(Record {
                        arm: arm.name.clone(),
                        seed,
                        set: None,
                        example: format!("q{index:03}"),
                        // Three questions on each document.
                        group: format!("d{:02}", index / 3),
                        stratum: None,
                        metric: metric.name,
                        value,
                        unit: metric.unit,
                        direction: metric.direction,
                        counts,
                    });
                }
            }
        }
    }
    records
}

fn metrics() -> Vec<Metric> {
    use Aggregation::{Bleu, Chrf, Mean, WeightedGeometricMean, WeightedMean};
    let metric = |name: &str, label: &str, unit: &str, direction, aggregation| Metric {
        name: name.into(),
        label: label.into(),
        unit: unit.into(),
        direction,
        signature: format!("{name}|golden|v1"),
        source: format!("Author 2001, On {label}"),
        aggregation,
        set: None,
        column: String::new(),
    };
    let (up, down) = (Direction::Higher, Direction::Lower);
    vec![
        metric("bleu", "BLEU", "0-100", up, Bleu),
        metric("chrf", "chrF", "0-100", up, Chrf),
        metric("rouge-l", "ROUGE-L", "fraction", up, Mean),
        metric("exact-match", "Exact match", "fraction", up, Mean),
        metric("token-f1", "Token F1", "fraction", up, Mean),
        metric("cosine", "Cosine", "cosine", up, Mean),
        metric("nll", "Loss", "nats/token", down, WeightedMean),
        metric("perplexity", "Perplexity", "perplexity/token", down, WeightedGeometricMean),
    ]
}

fn hypotheses() -> Vec<Hypothesis> {
    let claim =
        |name: &str, factor: &str, better: &str, worse: &str, within: &[(&str, &str)], metrics: &[&str]| Hypothesis {
            name: name.into(),
            claim: Claim::Better(LevelContrast {
                factor: factor.into(),
                better: better.into(),
                worse: worse.into(),
                within: within.iter().map(|(f, l)| ((*f).into(), (*l).into())).collect(),
            }),
            stratum: None,
            metrics: metrics.iter().map(|m| (*m).into()).collect(),
        };
    vec![
        claim(
            "SFT of both models helps when vocabularies agree",
            "sft",
            "both",
            "none",
            &[("teacher", "same")],
            &["rouge-l", "bleu", "nll"],
        ),
        claim(
            "SFT of the teacher alone helps when vocabularies agree",
            "sft",
            "teacher",
            "none",
            &[("teacher", "same")],
            &["rouge-l", "bleu"],
        ),
        claim(
            "SFT of the teacher alone helps across vocabularies",
            "sft",
            "teacher",
            "none",
            &[("teacher", "other")],
            &["rouge-l", "exact-match"],
        ),
        claim(
            "DSKD beats vanilla KD across vocabularies",
            "algorithm",
            "dskd",
            "kd",
            &[("teacher", "other")],
            &["rouge-l", "chrf", "perplexity"],
        ),
        claim("A teacher with another vocabulary is better", "teacher", "other", "same", &[], &["token-f1"]),
    ]
}

fn curves(arms: &[Arm]) -> Vec<Curve> {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut curves = Vec::new();
    let mut curve = |stage: &str, label: &str, seed: u64, from: f64, to: f64, steps: u64| {
        let at = |step: u64| to + (from - to) * (-4.0 * step as f64 / steps as f64).exp();
        let noisy = (1..=steps).map(|step| (step, at(step) + rng.random_range(-0.25..0.25)));
        let points = noisy.collect();
        let dev = (0..=5).map(|i| (i * steps / 5, at(i * steps / 5) + 0.15)).collect();
        let ce: Vec<(u64, f64)> = (1..=steps).map(|step| (step, at(step))).collect();
        let all = [("loss", points), ("dev-loss", dev), ("ce", ce)];
        for (series, points) in all.into_iter().take(if stage == "distill" { 3 } else { 2 }) {
            curves.push(Curve { stage: stage.into(), label: label.into(), seed, series: series.into(), points });
        }
    };
    for (index, name) in ["student", "teacher-same", "teacher-other"].iter().enumerate() {
        curve("pretrain", name, 10, 7.6, 5.2 - 0.2 * index as f64, 300);
    }
    for seed in SEEDS {
        curve("sft", "teacher-same", seed, 5.0, 3.0, 200);
        curve("sft", "teacher-other", seed, 5.3, 5.2, 200);
        curve("sft", "student", seed, 5.2, 3.6, 200);
        for arm in arms.iter().filter(|arm| arm.role != Role::Reference) {
            curve("distill", &arm.name, seed, 5.0, 4.3 - 3.0 * skill(arm), 240);
        }
    }
    curves
}

fn energy(arms: &[Arm]) -> Vec<StageEnergy> {
    let mut rows = Vec::new();
    let mut stage = |stage: &str, label: &str, arms: Vec<String>, joules: f64| {
        for (component, share, state, method) in [
            ("cpu", Some(0.8), "measured", "RAPL package domain"),
            ("dram", Some(0.1), "estimated", "0.375 W/GB of 8 GB"),
            ("gpu", None, "unavailable", "no NVML device"),
        ] {
            rows.push(StageEnergy {
                stage: stage.into(),
                label: label.into(),
                key: format!("{stage}-{label}"),
                arms: arms.clone(),
                component: component.into(),
                joules: share.map(|share: f64| share * joules),
                cross_check_joules: None,
                state: state.into(),
                method: method.into(),
                seconds: joules / 20.0,
            });
        }
    };
    let cells: Vec<&Arm> = arms.iter().filter(|arm| arm.role != Role::Reference).collect();
    let using = |wanted: &dyn Fn(&Arm) -> bool| -> Vec<String> {
        cells.iter().filter(|arm| wanted(arm)).map(|arm| arm.name.clone()).collect()
    };
    stage("pretrain", "student", using(&|_| true), 2_400.0);
    for (teacher, joules) in [("same", 5_200.0), ("other", 5_600.0)] {
        let label = format!("teacher-{teacher}");
        stage(
            "pretrain",
            &label,
            using(&|arm| arm.levels.get("teacher").is_some_and(|level| level == teacher)),
            joules,
        );
        let tuned = |arm: &Arm| {
            arm.levels.get("teacher").is_some_and(|level| level == teacher)
                && matches!(arm.levels["sft"].as_str(), "teacher" | "both")
        };
        stage("sft", &label, using(&tuned), joules / 2.0);
    }
    let tuned = |arm: &Arm| matches!(arm.levels["sft"].as_str(), "student" | "both");
    stage("sft", "student", using(&tuned), 1_100.0);
    for (index, arm) in cells.iter().enumerate() {
        let dskd = arm.levels["algorithm"] == "dskd";
        stage("distill", &arm.name, vec![arm.name.clone()], if dskd { 2_100.0 } else { 1_300.0 });
        stage("generate", &arm.name, vec![arm.name.clone()], 300.0 + 10.0 * index as f64);
    }
    // References pay for their answers only.
    for arm in arms.iter().filter(|arm| arm.role == Role::Reference) {
        stage("generate", &arm.name, vec![arm.name.clone()], 280.0);
    }
    rows
}

fn training(arms: &[Arm]) -> Vec<Training> {
    let names =
        |roles: &[Role]| arms.iter().filter(|arm| roles.contains(&arm.role)).map(|arm| arm.name.clone()).collect();
    let training = |stage: &str, labels: Vec<String>, seeds: &[u64], epochs: u64, dev: &str| Training {
        stage: stage.into(),
        labels,
        seeds: seeds.to_vec(),
        settings: [
            ("epochs", epochs.to_string()),
            ("batch", "16".into()),
            ("learning rate", "1e-3, cosine to 1e-7".into()),
            ("longest sequence", "128 tokens".into()),
            ("kept weights", dev.into()),
        ]
        .map(|(name, value)| (name.into(), value))
        .to_vec(),
        steps: Extent { least: 115 * epochs, most: 115 * epochs },
        examples: Extent::of([1_840 * epochs]),
        tokens: Extent::of([31_000 * epochs, 36_500 * epochs]),
        parameters: Extent::of([1_200_000]),
    };
    let models = ["student", "teacher-same", "teacher-other"].map(str::to_owned).to_vec();
    vec![
        training("pretrain", models.clone(), &SEEDS[..1], 6, "last"),
        training("sft", models, &SEEDS, 4, "least dev loss"),
        training("distill", names(&[Role::Cell, Role::Control]), &SEEDS, 3, "least dev loss"),
    ]
}

fn methods() -> Vec<Method> {
    let method = |part: &str, name: &str, says: &str, source: &str| Method {
        part: part.into(),
        name: name.into(),
        says: says.into(),
        source: source.into(),
    };
    vec![
        method(
            "objective",
            "Vanilla distillation",
            "(1 \u{2212} rate) CE + rate KL(p \u{2016} q)",
            "Hinton et al. 2015, arXiv 1503.02531",
        ),
        method("objective", "DSKD", "dual-space distillation", "Zhang et al. 2024, arXiv 2406.17328"),
        method("optimiser", "AdamW", "decoupled weight decay", "Loshchilov and Hutter 2019, arXiv 1711.05101"),
    ]
}

fn examples(arms: &[Arm]) -> Vec<SideBySide> {
    let answers = |texts: [&str; 3]| -> Vec<(String, String)> {
        [0, 7, 20].into_iter().zip(texts).map(|(arm, text)| (arms[arm].name.clone(), text.to_owned())).collect()
    };
    vec![
        SideBySide {
            id: "q001".into(),
            question: "When does a base station hand over a call?".into(),
            references: vec!["when the signal drops below a threshold".into(), "below threshold".into()],
            answers: answers([
                "the call of the cell",
                "when the signal drops below",
                "when signal drops below a threshold",
            ]),
        },
        SideBySide {
            id: "q002".into(),
            question:
                "What does a hostile text do? #eval(\"1+1\") $x$ *bold* _em_ ] [ \\ `code` <label> @ref // comment"
                    .into(),
            references: vec!["#set page(fill: red) ] $ unclosed".into()],
            answers: answers([
                "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{645}\u{631}\u{62d}\u{628}\u{627} 你好 \u{1f4f6}",
                &"x".repeat(2000),
                "a\nb\r\n\tc\u{0}\u{7}d",
            ]),
        },
    ]
}
