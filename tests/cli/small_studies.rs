//! The small studies of this repository, run to their reports at a smaller size.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// A model and trainings that take a second.
const SMALLER: [&str; 6] = [
    "seeds=[10]",
    "models.base.scratch.hidden=32",
    "models.base.scratch.layers=1",
    "models.base.scratch.heads=2",
    "models.base.scratch.feed-forward=64",
    "training.pretrain.epochs=0.5",
];

/// What a run left: its records, and the report in Markdown.
struct Left {
    records: Vec<Value>,
    report: String,
}

fn run(study: &str, overrides: &[&str]) -> Left {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_tutelage"));
    command.current_dir(root).args(["run", &format!("experiments/{study}.toml"), "--store"]).arg(folder.path());
    for change in SMALLER.iter().chain(overrides) {
        command.args(["--set", change]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results = folder.path().join("experiments").join(study);
    let records = fs::read_to_string(results.join("records.jsonl")).unwrap();
    Left {
        records: records.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        report: fs::read_to_string(results.join("report/report.md")).unwrap(),
    }
}

impl Left {
    /// Lists the different values of a field of the records.
    fn all(&self, field: &str) -> BTreeSet<&str> {
        self.records.iter().filter_map(|record| record[field].as_str()).collect()
    }

    fn says(&self, what: &str) {
        assert!(self.report.contains(what), "`{what}` is not in the report:\n{}", self.report);
    }
}

#[test]
fn a_sweep_without_a_teacher_ranks_its_arms() {
    let left =
        run("lora-sweep-scratch", &["training.sft.epochs=0.3", "evaluation.limit=30", "evaluation.max-new-tokens=4"]);
    assert_eq!(left.records.iter().filter(|record| record["metric"] == "token-f1").count(), 9 * 30);
    assert!(left.all("set").is_empty() && left.all("stratum").is_empty());
    left.says("the order by dev loss is the order by answers");
    left.says("the lowest dev loss does not answer best");
    assert!(!left.report.contains("retrained students"), "{}", left.report);
}

#[test]
fn continual_pretraining_is_measured_on_texts_and_options() {
    let left = run("continual-scratch", &["training.sft.epochs=0.3"]);
    assert_eq!(left.all("set"), BTreeSet::from(["telecom", "world", "facts"]));
    assert_eq!(left.all("metric"), BTreeSet::from(["nll", "perplexity", "bits-per-byte", "acc", "acc-norm"]));
    assert_eq!(left.all("stratum"), BTreeSet::from(["capital", "continent", "currency", "language"]));
    assert_eq!(left.all("arm"), BTreeSet::from(["none", "full", "lora", "base"]));
    // Reading telecom texts makes them likelier, whatever the size.
    let mean = |arm: &str| {
        let values = left
            .records
            .iter()
            .filter(|record| record["arm"] == arm && record["set"] == "telecom" && record["metric"] == "bits-per-byte");
        let values: Vec<f64> = values.map(|record| record["value"].as_f64().unwrap()).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    assert!(mean("full") < mean("none"), "{} {}", mean("full"), mean("none"));
    left.says("adapters lose at most 5 points of facts on the world");
}

#[test]
fn results_are_divided_by_strata() {
    let left = run("strata-scratch", &["training.sft.epochs=0.3", "evaluation.glossary.max-new-tokens=4"]);
    assert_eq!(left.all("set"), BTreeSet::from(["glossary"]));
    let facts = ["domain", "expansion", "fault", "interface", "role", "specification"];
    assert_eq!(left.all("stratum"), BTreeSet::from(facts));
    left.says("fine-tuning helps to write out abbreviations");
    left.says("By fact");
}
