//! What a report says, that it says it twice in the same bytes, and that gaps do not stop it.

use std::fs;
use std::path::Path;

use tutelage_reports::hypotheses::Verdict;
use tutelage_reports::record::Record;
use tutelage_reports::statistics::Resampling;
use tutelage_reports::study::{Outcome, Study};
use tutelage_reports::{Error, Options, Rendered, render};

use crate::golden;

/// Few resamples: enough for verdicts that are meant to be clear.
const OPTIONS: Options = Options {
    resampling: Resampling { resamples: 500, level: 0.95, seed: 1 },
    pdf: cfg!(feature = "pdf"),
    figures: true,
};

fn without_pictures() -> Options {
    Options { pdf: false, figures: false, ..OPTIONS }
}

fn rendered(study: &Study, records: &[Record], folder: &Path) -> Rendered {
    render(study, records, folder, OPTIONS).expect("the golden study renders")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a text file")
}

#[test]
fn verdicts_find_what_was_put_in() {
    let (study, records) = golden::study();
    let folder = tempfile::tempdir().unwrap();
    let report = render(&study, &records, folder.path(), without_pictures()).unwrap();
    let verdicts: Vec<&str> = report.summary.hypotheses.iter().map(|answer| answer.verdict.label()).collect();
    assert_eq!(verdicts, ["supported", "not supported", "not supported", "supported", "not supported"]);
    let both = &report.summary.hypotheses[0].metrics[0];
    let contrast = both.contrast.as_ref().unwrap();
    assert_eq!((contrast.n, contrast.pairs), (golden::QUESTIONS, 4));
    assert!(contrast.interval.low > 0.0 && contrast.effect < contrast.interval.high);
    let wide = contrast.interval_with_seeds.unwrap();
    assert!(wide.high - wide.low > contrast.interval.high - contrast.interval.low);
}

#[test]
fn values_per_token_are_compared_within_one_vocabulary_only() {
    let (mut study, records) = golden::study();
    // As if each side of a factor answered in a vocabulary of its own.
    for arm in study.arms.iter_mut().filter(|arm| arm.name.starts_with("other/")) {
        arm.model = "teacher-other".into();
    }
    study.hypotheses.truncate(1);
    let claim = &mut study.hypotheses[0];
    (claim.factor, claim.better, claim.worse) = ("teacher".into(), "same".into(), "other".into());
    claim.within.clear();
    claim.metrics = vec!["rouge-l".into(), "nll".into()];
    let folder = tempfile::tempdir().unwrap();
    let report = render(&study, &records, folder.path(), without_pictures()).unwrap();
    let [rouge, loss] = &report.summary.hypotheses[0].metrics[..] else { panic!("two metrics are answered") };
    assert!(rouge.contrast.is_some());
    let Verdict::Untestable { reason } = &loss.verdict else { panic!("{loss:?}") };
    assert!(reason.contains("the vocabularies of `student` and `teacher-other` differ"), "{reason}");
    let standings = report.summary.standings.iter().find(|standings| standings.metric == "nll").unwrap();
    // The baseline is of the first vocabulary, and each has a best arm.
    let compared = |side: &str| {
        let arms = standings.arms.iter().filter(|arm| arm.arm.starts_with(side));
        arms.filter(|arm| arm.against_baseline.is_some()).count()
    };
    assert_eq!((compared("same/"), compared("other/")), (7, 0));
    assert_eq!(standings.arms.iter().filter(|arm| arm.best).count(), 2);
}

#[test]
fn a_claim_turned_round_is_reversed() {
    let (mut study, records) = golden::study();
    study.hypotheses.truncate(1);
    let claim = &mut study.hypotheses[0];
    std::mem::swap(&mut claim.better, &mut claim.worse);
    let folder = tempfile::tempdir().unwrap();
    let report = render(&study, &records, folder.path(), without_pictures()).unwrap();
    let answer = &report.summary.hypotheses[0];
    assert_eq!(answer.verdict, Verdict::Reversed);
    // Loss improves downwards; its effect still counts from the claim's side.
    assert!(answer.metrics.iter().all(|metric| metric.contrast.as_ref().unwrap().effect < 0.0));
}

#[test]
fn emissions_and_cross_checks_are_printed_with_how_they_came_about() {
    let (mut study, records) = golden::study();
    for row in study.energy.iter_mut().filter(|row| row.component == "gpu") {
        (row.joules, row.state) = (Some(3600.0), "measured".into());
        row.cross_check_joules = Some(3564.0);
    }
    let folder = tempfile::tempdir().unwrap();
    let text = |study: &Study| read(&render(study, &records, folder.path(), without_pictures()).unwrap().markdown);
    let declared = text(&study);
    assert!(declared.contains("grid 0.4 kg CO2e/kWh (declared), PUE 1 (assumed: none declared)."), "{declared}");
    assert!(
        declared
            .contains("Cross-check of gpu: sampled power comes to 40.59 Wh, the counter to 41.00 Wh (\u{2212}1.0 %)")
    );
    study.energy_model.grid_kg_co2e_per_kwh = None;
    let undeclared = text(&study);
    assert!(undeclared.contains("- CO2e: unavailable\n"), "{undeclared}");
    assert!(undeclared.contains("CO2e is unavailable: the experiment declares no grid factor"));
}

#[test]
fn markdown_holds_names_as_they_are() {
    let (mut study, mut records) = golden::study();
    let name = "same/a-level-with-a-really-long-name/dskd";
    study.arms.iter_mut().filter(|arm| arm.name == "same/both/kd").for_each(|arm| arm.name = name.into());
    records.iter_mut().filter(|record| record.arm == "same/both/kd").for_each(|record| record.arm = name.into());
    let folder = tempfile::tempdir().unwrap();
    let text = read(&render(&study, &records, folder.path(), without_pictures()).unwrap().markdown);
    assert!(text.contains(&format!("- reached by: {name}\n")) && !text.contains('\u{200b}'));
}

#[test]
fn the_significance_level_is_told() {
    let (mut study, records) = golden::study();
    let folder = tempfile::tempdir().unwrap();
    let text = |study: &Study| read(&render(study, &records, folder.path(), without_pictures()).unwrap().markdown);
    let usual = text(&study);
    assert!(usual.contains("is below 0.05 on every metric") && !usual.contains("; significance level"), "{usual}");
    study.hypotheses[1].alpha = 0.01;
    let mixed = text(&study);
    assert!(mixed.contains("below its significance level (0.05 unless another is given)"), "{mixed}");
    assert!(mixed.contains("teacher = same; mean over algorithm; significance level 0.01)"), "{mixed}");
    study.hypotheses.iter_mut().for_each(|hypothesis| hypothesis.alpha = 0.01);
    assert!(text(&study).contains("is below 0.01 on every metric"));
}

#[test]
fn markdown_is_as_approved() {
    let (study, records) = golden::study();
    let folder = tempfile::tempdir().unwrap();
    let report = rendered(&study, &records, folder.path());
    insta::assert_snapshot!("report", read(&report.markdown));
    insta::assert_snapshot!("hypotheses.tex", read(&folder.path().join("tables/hypotheses.tex")));
    insta::assert_snapshot!("metric-rouge-l.csv", read(&folder.path().join("tables/metric-rouge-l.csv")));
}

#[test]
fn failed_and_missing_arms_are_reported_and_the_rest_stands() {
    let (mut study, mut records) = golden::study();
    golden::fail_some(&mut study, &mut records);
    let folder = tempfile::tempdir().unwrap();
    let report = rendered(&study, &records, folder.path());
    let outcomes = report.summary.arms;
    assert_eq!((outcomes.done, outcomes.failed, outcomes.missing), (17, 1, 1));
    let answers = &report.summary.hypotheses;
    assert_eq!(answers[0].verdict.label(), "supported");
    let Verdict::Untestable { reason } = &answers[3].verdict else {
        panic!("{:?}", answers[3].verdict);
    };
    assert!(reason.contains("`other/both/kd` failed: loss is not finite at step 120"), "{reason}");
    let text = read(&report.markdown);
    assert!(text.contains("**Arm other/both/kd failed:**"));
    assert!(text.contains("**Arm other/student/dskd has not run.**"));
    assert!(report.files.iter().all(|file| file.exists()));
}

#[test]
fn an_untestable_claim_does_not_help_the_others() {
    let (study, records) = golden::study();
    let (mut broken, mut fewer) = golden::study();
    golden::fail_some(&mut broken, &mut fewer);
    let folder = tempfile::tempdir().unwrap();
    let whole = render(&study, &records, folder.path(), without_pictures()).unwrap();
    let partial = render(&broken, &fewer, folder.path(), without_pictures()).unwrap();
    let adjusted = |report: &Rendered| {
        let metrics = report.summary.hypotheses[1].metrics.iter();
        metrics.map(|metric| metric.p_adjusted.unwrap()).collect::<Vec<_>>()
    };
    for (partial, whole) in adjusted(&partial).into_iter().zip(adjusted(&whole)) {
        assert!(partial >= whole, "{partial} {whole}");
    }
}

#[test]
fn a_failed_arm_is_not_ranked_and_helps_no_other() {
    let (study, records) = golden::study();
    let (mut broken, fewer) = golden::study();
    // Its records of one seed stay, and it would be best.
    let best = broken.arms.iter_mut().find(|arm| arm.name == "same/both/kd").unwrap();
    best.outcome = Outcome::Failed { reason: "x".into() };
    let fewer: Vec<Record> = fewer.into_iter().filter(|r| r.arm != "same/both/kd" || r.seed == 10).collect();
    let folder = tempfile::tempdir().unwrap();
    let whole = render(&study, &records, folder.path(), without_pictures()).unwrap();
    let partial = render(&broken, &fewer, folder.path(), without_pictures()).unwrap();
    let rouge = |report: &Rendered| report.summary.standings.iter().find(|s| s.metric == "rouge-l").unwrap().clone();
    let best = |report: &Rendered| rouge(report).arms.iter().find(|arm| arm.best).unwrap().arm.clone();
    assert_eq!((best(&whole), best(&partial)), ("same/both/kd".to_owned(), "same/both/dskd".to_owned()));
    for (before, after) in rouge(&whole).arms.iter().zip(&rouge(&partial).arms) {
        if after.arm == "same/both/kd" {
            assert!(after.value.is_some() && after.against_baseline.is_none() && after.p_adjusted.is_none());
        } else if let (Some(before), Some(after)) = (before.p_adjusted, after.p_adjusted) {
            assert!(after >= before, "{after} {before}");
        }
    }
}

#[test]
fn a_difference_beyond_all_numbers_is_untestable_and_no_verdict() {
    let (study, mut records) = golden::study();
    for record in records.iter_mut().filter(|r| r.metric == "token-f1" && r.arm.starts_with("other")) {
        record.value = f64::MAX;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = render(&study, &records, folder.path(), without_pictures()).unwrap();
    let Verdict::Untestable { reason } = &report.summary.hypotheses[4].verdict else {
        panic!("{:?}", report.summary.hypotheses[4].verdict);
    };
    assert_eq!(reason, "the difference is not a finite number: inf");
}

#[test]
fn nothing_but_a_question_still_makes_a_report() {
    let (mut study, _) = golden::study();
    study.arms.clear();
    study.hypotheses.clear();
    study.curves.clear();
    study.energy.clear();
    study.checks.clear();
    study.examples.clear();
    study.baseline = None;
    let folder = tempfile::tempdir().unwrap();
    let report = rendered(&study, &[], folder.path());
    let text = read(&report.markdown);
    assert!(text.contains(&study.question) && !text.contains("0.0 J"), "{text}");
}

#[test]
fn two_renders_give_the_same_bytes() {
    let (study, records) = golden::study();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = rendered(&study, &records, one.path());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let second = pool.install(|| rendered(&study, &records, two.path()));
    assert_eq!(first.files.len(), second.files.len());
    for (left, right) in first.files.iter().zip(&second.files) {
        assert!(fs::read(left).unwrap() == fs::read(right).unwrap(), "{}", left.display());
    }
}

#[cfg(feature = "pdf")]
#[test]
fn the_pdf_has_pages_and_survives_hostile_text() {
    let (mut study, records) = golden::study();
    study.question = "#panic() $ * ] [ \\ \u{5d0} \u{1f4f6} @x <y> `z` ".repeat(3);
    study.hypotheses[0].name = "x".repeat(300);
    // Drawn in figures, where a character that XML forbids would make the whole file unreadable.
    study.hypotheses[1].name = "</text><script> & \u{0} \u{1b}[31m \u{ffff}".into();
    study.arms[0].outcome = Outcome::Failed { reason: "#eval(\"1\") \u{0} ]".into() };
    let folder = tempfile::tempdir().unwrap();
    let report = rendered(&study, &records, folder.path());
    assert!(report.pages.is_some_and(|pages| (9..16).contains(&pages)), "{:?}", report.pages);
    let bytes = fs::read(report.pdf.unwrap()).unwrap();
    assert!(bytes.starts_with(b"%PDF-") && bytes.len() > 100_000);
}

#[test]
fn figures_are_complete_svg_with_text() {
    let (study, records) = golden::study();
    let folder = tempfile::tempdir().unwrap();
    rendered(&study, &records, folder.path());
    for name in
        ["front", "forest", "heatmap-hypotheses", "heatmap-arms", "curves-distill", "energy-stages", "energy-arms"]
    {
        let svg = read(&folder.path().join(format!("figures/{name}.svg")));
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{name}");
        assert!(svg.contains("<text") && !svg.contains("NaN"), "{name}");
        let png = fs::read(folder.path().join(format!("figures/{name}.png"))).unwrap();
        assert!(png.starts_with(b"\x89PNG"), "{name}");
    }
}

#[test]
fn faults_in_records_are_named() {
    let (study, records) = golden::study();
    let folder = tempfile::tempdir().unwrap();
    let fault = |change: &dyn Fn(&mut Vec<Record>)| {
        let mut changed = records[..50].to_vec();
        change(&mut changed);
        let result = render(&study, &changed, folder.path(), without_pictures());
        result.map(|_| ()).expect_err("a fault")
    };
    let double = fault(&|records| records.push(records[0].clone()));
    assert!(matches!(double, Error::Duplicate { .. }), "{double}");
    assert!(double.to_string().contains("arm `same/none/kd`, seed 10, example `q000`, metric `bleu`"));
    let infinite = fault(&|records| records[2].value = f64::INFINITY);
    assert!(infinite.to_string().ends_with("expected a finite number, found inf"), "{infinite}");
    let counts = fault(&|records| records[0].counts.clear());
    assert!(counts.to_string().contains("expected the 10 counts of BLEU"), "{counts}");
    let unit = fault(&|records| records[2].unit = "percent".into());
    assert_eq!(unit.to_string(), "metric `rouge-l`: unit in the study and in the records differ: fraction, percent");
}

#[test]
fn strangers_are_left_out_and_counted() {
    let (study, mut records) = golden::study();
    records[0].arm = "nobody".into();
    let folder = tempfile::tempdir().unwrap();
    let report = render(&study, &records, folder.path(), without_pictures()).unwrap();
    let told = |text: &str| report.warnings.iter().any(|warning| warning.contains(text));
    assert!(told("1 records left out: the study names no arm `nobody`"), "{:?}", report.warnings);
    assert!(told("metric `bleu`: trials have between 119 and 120 examples"));
}
