//! Reports of a study with two evaluation sets, strata and a claim of every kind.

use std::fs;
use std::path::Path;

use tutelage_reports::hypotheses::{Answer, Verdict};
use tutelage_reports::statistics::Resampling;
use tutelage_reports::study::Claim;
use tutelage_reports::{Options, Rendered, render};

use crate::golden;

fn rendered(folder: &Path, figures: bool) -> Rendered {
    let (study, records) = golden::sets();
    let resampling = Resampling { resamples: 500, level: 0.95, seed: 1 };
    render(&study, &records, folder, Options { resampling, pdf: cfg!(feature = "pdf"), figures }).expect("it renders")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a text file")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_report_of_two_sets_is_as_approved() {
    let folder = tempfile::tempdir().unwrap();
    let report = rendered(folder.path(), true);
    insta::assert_snapshot!("sets", read(&report.markdown));
    let tables = names(&folder.path().join("tables"));
    for name in [
        "overview-support.csv",
        "overview-manuals.csv",
        "metric-support-rouge-l.csv",
        "metric-manuals-nll.tex",
        "strata-support-rouge-l.md",
        "claims-by-stratum.csv",
        "sets.csv",
    ] {
        assert!(tables.iter().any(|table| table == name), "{name}: {tables:?}");
    }
    assert!(!tables.iter().any(|table| table == "overview.csv" || table.starts_with("strata-manuals")), "{tables:?}");
    for name in ["heatmap-arms-support", "heatmap-arms-manuals", "heatmap-hypotheses-support", "heatmap-strata-support"]
    {
        let svg = read(&folder.path().join(format!("figures/{name}.svg")));
        assert!(svg.starts_with("<svg") && !svg.contains("NaN"), "{name}");
    }
    let head = read(&folder.path().join("records.csv"));
    assert!(head.starts_with("arm,seed,set,example,group,stratum,metric,"), "{}", &head[..80]);
    // LaTeX tables fit a page.
    for name in tables.iter().filter(|name| name.ends_with(".tex")) {
        let text = read(&folder.path().join("tables").join(name));
        for line in text.lines().filter(|line| line.ends_with("\\\\") && line.contains(" & ")) {
            assert!(line.matches(" & ").count() < 8, "{name}: {line}");
        }
    }
}

#[test]
fn p_is_below_alpha_exactly_where_an_interval_leaves_out_what_the_claim_denies() {
    let folder = tempfile::tempdir().unwrap();
    let answers = rendered(folder.path(), false).summary.hypotheses;
    let verdict = |answer: &Answer| answer.verdict.label();
    assert_eq!(
        answers.iter().map(verdict).collect::<Vec<_>>(),
        [
            "supported",
            "supported",
            "supported",
            "not supported",
            "supported",
            "supported",
            "not supported",
            "not supported"
        ]
    );
    for answer in &answers {
        for metric in &answer.metrics {
            let (Some(p), Some(interval)) = (metric.p_adjusted, metric.interval) else {
                assert!(matches!(metric.verdict, Verdict::Untestable { .. }), "{metric:?}");
                continue;
            };
            let (low, high) = match &answer.claim {
                Claim::NotWorse { margin, .. } => (-margin, f64::INFINITY),
                Claim::Equivalent { margin, .. } => (-margin, *margin),
                _ => (0.0, f64::INFINITY),
            };
            let holds = interval.low > low && interval.high < high;
            let reversed = interval.high < low || interval.low > high;
            assert_eq!(p.value < 0.05, holds || reversed, "{metric:?}");
            let wanted = if holds {
                "supported"
            } else if reversed {
                "reversed"
            } else {
                "not supported"
            };
            assert_eq!(metric.verdict.label(), wanted);
        }
    }
}

#[test]
fn programs_get_sets_strata_and_claims() {
    let folder = tempfile::tempdir().unwrap();
    rendered(folder.path(), false);
    let summary: serde_json::Value = serde_json::from_str(&read(&folder.path().join("summary.json"))).unwrap();
    assert_eq!(summary["format"], 3);
    let sets = summary["sets"].as_array().unwrap();
    let held = |place: usize| ["name", "examples", "units"].map(|field| sets[place][field].clone());
    assert_eq!(held(0), [serde_json::json!("support"), 120.into(), 40.into()]);
    assert_eq!(held(1), [serde_json::json!("manuals"), 120.into(), 30.into()]);
    let strata = &summary["strata"][0];
    assert_eq!((strata["field"].as_str(), strata["strata"].as_array().unwrap().len()), (Some("use-case"), 3));
    // Roaming has 12 questions on four documents.
    assert_eq!(strata["strata"][2]["counts"], serde_json::json!({"examples": 12, "units": 4}));
    assert_eq!(summary["hypotheses"][5]["metrics"][0]["estimate"]["unit"], "arm");
    assert_eq!(summary["hypotheses"][2]["claim"]["not-worse"]["margin"], 0.1);
}

#[test]
fn strata_without_number_are_not_printed_and_it_is_said() {
    let (mut study, mut records) = golden::sets();
    let is_kept = |metric: &str| metric == "support/rouge-l";
    study.metrics.retain(|metric| is_kept(metric.key()));
    study.hypotheses.truncate(1);
    study.hypotheses[0].metrics = vec!["support/rouge-l".into()];
    records.retain(|record| record.metric == "rouge-l");
    for record in &mut records {
        let question: usize = record.example[1..].parse().unwrap();
        record.stratum = Some(format!("case {}", question % 61));
    }
    let folder = tempfile::tempdir().unwrap();
    let resampling = Resampling { resamples: 100, level: 0.95, seed: 1 };
    let report = render(&study, &records, folder.path(), Options { resampling, pdf: false, figures: true }).unwrap();
    let text = read(&report.markdown);
    assert!(
        text.contains("61 strata are too many columns for a page: see tables/strata-support-rouge-l.csv."),
        "{text}"
    );
    assert!(text.contains("No heat map: 61 strata in a row cannot be told apart."));
    assert!(!folder.path().join("figures/heatmap-strata-support.svg").exists());
    let table = read(&folder.path().join("tables/strata-support-rouge-l.csv"));
    assert!(table.lines().nth(3).unwrap().ends_with(",too few"), "{table}");
    assert!(read(&folder.path().join("tables/claims-by-stratum.csv")).contains("too few: 2 questions"));
}
