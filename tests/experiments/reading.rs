//! Bases, overrides and paths: what the settings are in the end.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tutelage::experiment::settings::{Algorithm, Alignment, Decoding, Experiment, Model, Sample, Schedule, Tuning};
use tutelage::experiment::{load, resolve};

use super::SOUND;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

fn read(path: &Path, overrides: &[&str]) -> Experiment {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    let loaded = load(path, &overrides);
    assert!(loaded.faults.is_empty(), "{}", loaded.faults);
    loaded.experiment.expect("a sound experiment")
}

#[test]
fn the_extending_file_wins_over_its_bases_and_overrides_win_over_all() {
    let files = folder(&[
        ("base/first.toml", SOUND),
        ("base/second.toml", "extends = \"first.toml\"\nseeds = [2]\n[evaluation]\nbatch = 2\nshow = 2"),
        ("study.toml", "extends = \"base/second.toml\"\n[evaluation]\nbatch = 3\nlimit = 3"),
    ]);
    let path = files.path().join("study.toml");
    let experiment = read(&path, &["evaluation.limit=4", "reproduces=arXiv:2504.20000"]);
    assert_eq!(experiment.seeds, [2]);
    assert_eq!(experiment.question, "Does distillation help?");
    let evaluation = &experiment.evaluation;
    assert_eq!((evaluation.show, evaluation.batch, evaluation.limit), (2, 3, Some(4)));
    assert_eq!(experiment.reproduces.as_deref(), Some("arXiv:2504.20000"));
    assert_eq!(load(&path, &[]).name, "study");
}

#[test]
fn a_choice_replaces_that_of_a_base() {
    let base = format!("{SOUND}\n[tuning.lora]\nrank = 4\n");
    let files = folder(&[
        ("base.toml", base.as_str()),
        ("study.toml", "extends = \"base.toml\"\n[algorithms.kd.dual-space]\nrate = 0.25"),
    ]);
    let path = files.path().join("study.toml");
    let experiment = read(&path, &["tuning.full={}"]);
    assert_eq!(experiment.tuning, Tuning::Full {});
    match &experiment.algorithms["kd"] {
        Algorithm::DualSpace { rate, .. } => assert_eq!(*rate, 0.25),
        other => panic!("the base's choice: {other:?}"),
    }
    match read(&path, &["tuning.lora.alpha=16"]).tuning {
        Tuning::Lora(lora) => assert_eq!((lora.rank, lora.alpha), (4, 16.0)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn paths_start_at_the_file_that_states_them_or_at_the_current_folder() {
    let base = SOUND.replace(
        "small.scratch = { tokenizer = \"a\", hidden = 32, layers = 1, heads = 2, feed-forward = 64 }",
        "small.checkpoint = \"../small\"",
    );
    let study = "extends = \"base/base.toml\"\n[evaluation]\nembedding-model = \"encoder\"";
    let files = folder(&[("base/base.toml", base.as_str()), ("study.toml", study)]);
    let path = files.path().join("study.toml");
    let overrides = ["data.glossary.path=data/x.json", "models.large={ checkpoint = \"hf:a/b\" }"];
    let experiment = read(&path, &overrides);
    let small = files.path().join("base/../small").display().to_string();
    assert_eq!(experiment.models["small"], Model::Checkpoint(small));
    assert_eq!(experiment.models["large"], Model::Checkpoint("hf:a/b".to_owned()));
    assert_eq!(experiment.evaluation.embedding_model, Some(files.path().join("encoder")));
    let here = std::env::current_dir().expect("a current folder");
    assert_eq!(experiment.data["glossary"].path, Some(here.join("data/x.json")));
}

#[test]
fn overrides_are_toml_or_else_text() {
    let files = folder(&[("study.toml", SOUND)]);
    let path = files.path().join("study.toml");
    let overrides = [
        "seeds=[1, 2]",
        "question=why = not?",
        "reproduces = arXiv:2504.20000 ",
        "training.sft.lr=1e-4",
        "training.sft.clip=inf",
    ];
    let experiment = read(&path, &overrides);
    assert_eq!(experiment.seeds, [1, 2]);
    assert_eq!(experiment.question, "why = not?");
    assert_eq!(experiment.reproduces.as_deref(), Some("arXiv:2504.20000"));
    assert_eq!(experiment.training.sft.lr, 1e-4);
    assert_eq!(experiment.training.sft.clip, Some(f64::INFINITY));
}

#[test]
fn every_choice_reads_back_from_the_resolved_copy() {
    let text = format!(
        "{SOUND}\n
        [algorithms.naive.vanilla]\nalignment = \"naive\"\ndivergence = \"adaptive-kl\"
        [algorithms.dskd.dual-space]\nprojector-lr = 5e-4
        [tuning.lora]\nrank = 16\ntarget-modules = [\"q_proj\"]
        [training.pretrain]\nschedule.constant.warmup = 0.1\nclip = inf
        [training.sft]\nschedule.linear = {{}}\nmax-prompt = 100\nvalidate = \"end\"
        [evaluation.ruled]\ndecoding.greedy = {{ repetition-penalty = 1.2, no-repeat-ngram = 3 }}
        [evaluation]\ndecoding.sample = {{ top-p = 0.9, top-k = 50, min-p = 0.1, stop = [\"\\n\"] }}\nembedding-model = \"/e\"
        [compute]\ndevice = \"cpu\"\nprecision = \"bf16\"\nthreads = 2
        [energy]\ncpu-tdp-watts = 65\npue = 1.2"
    );
    let files = folder(&[("study.toml", text.as_str())]);
    let original = read(&files.path().join("study.toml"), &[]);
    assert!(matches!(original.training.sft.schedule, Schedule::Linear { warmup: 0.0, floor: 0.0 }));
    assert!(matches!(original.evaluation.decoding, Decoding::Sample(Sample { top_k: Some(50), .. })));
    assert!(matches!(original.algorithms["naive"], Algorithm::Vanilla { alignment: Some(Alignment::Naive), .. }));
    let copy = files.path().join("copy.toml");
    fs::write(&copy, resolve(&original).expect("TOML")).expect("a file");
    assert_eq!(read(&copy, &[]), original);
}
