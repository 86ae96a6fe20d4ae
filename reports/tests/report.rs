//! What a report says, that it says it twice in the same bytes, and that gaps do not stop it.

use std::fs;
use std::path::Path;

use tutelage_reports::hypotheses::Verdict;
use tutelage_reports::record::Record;
use tutelage_reports::statistics::Resampling;
use tutelage_reports::study::{Claim, Hypothesis, LevelContrast, Outcome, Study};
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

/// The levels of a claim that one is better.
fn levels(hypothesis: &mut Hypothesis) -> &mut LevelContrast {
    match &mut hypothesis.claim {
        Claim::Better(contrast) => contrast,
        other => panic!("{other:?}"),
    }
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
    assert_eq!((contrast.n, contrast.pairs), (golden::QUESTIONS, 6));
    assert!(contrast.interval.low > 0.0 && contrast.effect < contrast.interval.high);
    assert_eq!((contrast.units, contrast.seeds), (golden::QUESTIONS / 3, 3));
    // That of the claim is wider, as its p value is adjusted.
    let (wide, narrow) = (both.interval.unwrap(), contrast.interval);
    assert!(wide.high - wide.low > narrow.high - narrow.low && wide.low > 0.0);
    assert_eq!(
        report.summary.hypotheses[0].scope,
        "retrained students (3 seeds) and other documents (40 documents, 120 questions)"
    );
}

#[test]
fn values_per_token_are_compared_within_one_vocabulary_only() {
    let (mut study, records) = golden::study();
    // As if each side of a factor answered in a vocabulary of its own.
    for arm in study.arms.iter_mut().filter(|arm| arm.name.starts_with("other/")) {
        arm.model = "teacher-other".into();
    }
    study.hypotheses.truncate(1);
    let hypothesis = &mut study.hypotheses[0];
    let claim = levels(hypothesis);
    (claim.factor, claim.better, claim.worse) = ("teacher".into(), "same".into(), "other".into());
    claim.within.clear();
    hypothesis.metrics = vec!["rouge-l".into(), "nll".into()];
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
    let claim = levels(&mut study.hypotheses[0]);
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
        declared.contains("Cross-check of gpu: sampled power comes to 44.6 Wh, the counter to 45.0 Wh (\u{2212}1.0 %)")
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
    assert!(text.contains(&format!("on ROUGE-L is {name} (")) && !text.contains('\u{200b}'));
}

#[test]
fn the_significance_level_is_told() {
    let (mut study, records) = golden::study();
    let folder = tempfile::tempdir().unwrap();
    let text = |study: &Study| read(&render(study, &records, folder.path(), without_pictures()).unwrap().markdown);
    assert!(text(&study).contains("after Holm, is below 0.05"));
    study.alpha = 0.01;
    assert!(text(&study).contains("after Holm, is below 0.01"));
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
    assert_eq!((outcomes.done, outcomes.failed, outcomes.missing), (19, 1, 1));
    let answers = &report.summary.hypotheses;
    assert_eq!(answers[0].verdict.label(), "supported");
    let Verdict::Untestable { reason } = &answers[3].verdict else {
        panic!("{:?}", answers[3].verdict);
    };
    assert!(reason.contains("`other/both/kd` failed: loss is not finite at step 120"), "{reason}");
    let text = read(&report.markdown);
    assert!(text.contains("> **INCOMPLETE: 19 OF 21 ARMS** "), "{text}");
    assert!(text.contains("other/student/dskd has not run; other/both/kd failed (loss is not finite at step 120)."));
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
        metrics.map(|metric| metric.p_adjusted.unwrap().value).collect::<Vec<_>>()
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
    assert_eq!(best(&whole), "same/both/kd");
    assert_ne!(best(&partial), "same/both/kd");
    for (before, after) in rouge(&whole).arms.iter().zip(&rouge(&partial).arms) {
        if after.arm == "same/both/kd" {
            assert!(after.value.is_some() && after.against_baseline.is_none() && after.p_adjusted.is_none());
        } else if let (Some(before), Some(after)) = (before.p_adjusted, after.p_adjusted) {
            assert!(after.value >= before.value, "{after:?} {before:?}");
        }
    }
}

#[test]
fn what_diverged_is_named_and_the_rest_stands() {
    let (study, mut records) = golden::study();
    for record in records.iter_mut().filter(|r| r.metric == "token-f1" && r.arm.starts_with("other")) {
        record.value = f64::MAX;
    }
    let spoilt = |record: &&mut Record| record.metric == "perplexity" && record.arm == "same/none/kd";
    records.iter_mut().find(spoilt).unwrap().value = f64::INFINITY;
    let folder = tempfile::tempdir().unwrap();
    let report = render(&study, &records, folder.path(), without_pictures()).unwrap();
    let Verdict::Untestable { reason } = &report.summary.hypotheses[4].verdict else {
        panic!("{:?}", report.summary.hypotheses[4].verdict);
    };
    let whole = "the value over all examples is not a finite number";
    assert_eq!(*reason, format!("arm `other/none/kd` diverged on metric `token-f1`: {whole}"));
    let told = |text: &str| report.warnings.iter().any(|warning| warning.contains(text));
    assert!(told(
        "arm `same/none/kd` diverged on metric `perplexity`: 1 of 360 values are not finite numbers; none is used"
    ));
    assert_eq!(report.summary.hypotheses[0].verdict, Verdict::Supported);
    let perplexity = report.summary.standings.iter().find(|standings| standings.metric == "perplexity").unwrap();
    let diverged: Vec<bool> = perplexity.arms.iter().map(|arm| arm.diverged && arm.value.is_none()).collect();
    assert!(diverged[0] && diverged[1..].iter().all(|diverged| !diverged), "{diverged:?}");
    assert!(read(&report.markdown).contains("diverged"));
    // What a reader of the records as JSON gets.
    let json = serde_json::to_string(records.iter().find(|record| record.value == f64::INFINITY).unwrap()).unwrap();
    assert!(serde_json::from_str::<Record>(&json).unwrap().value.is_nan());
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
    assert!(report.pages.is_some_and(|pages| (6..=10).contains(&pages)), "{:?}", report.pages);
    let bytes = fs::read(report.pdf.unwrap()).unwrap();
    assert!(bytes.starts_with(b"%PDF-") && bytes.len() > 100_000);
}

#[test]
fn figures_are_complete_svg_with_text() {
    let (study, records) = golden::study();
    let folder = tempfile::tempdir().unwrap();
    rendered(&study, &records, folder.path());
    for name in [
        "front",
        "forest",
        "heatmap-hypotheses",
        "heatmap-arms",
        "curves-distill-distillation-loss",
        "curves-distill-cross-entropy",
        "energy-stages",
        "energy-arms",
    ] {
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
    let group = fault(&|records| records[9].group = "d99".into());
    assert_eq!(
        group.to_string(),
        "example `q001` is in group `d00` and in group `d99`: expected one group in all records"
    );
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

#[test]
fn arms_that_were_asked_other_questions_have_no_best_one() {
    let (study, mut records) = golden::study();
    // Two arms miss a question each, so that all trials of a metric but theirs are of one set.
    for (arm, example) in [("same/none/kd", "q000"), ("other/none/kd", "q001")] {
        records.retain(|r| !(r.metric == "rouge-l" && r.arm == arm && r.example == example));
    }
    records.retain(|r| {
        r.metric != "chrf" || r.example != "q000" || ["same/", "other/"].iter().all(|t| !r.arm.starts_with(t))
    });
    let folder = tempfile::tempdir().unwrap();
    let report = render(&study, &records, folder.path(), without_pictures()).unwrap();
    let best = |metric: &str| {
        let standings = report.summary.standings.iter().find(|standings| standings.metric == metric).unwrap();
        standings.arms.iter().filter(|arm| arm.best).count()
    };
    // References and controls may have other questions than the cells, which are ranked among themselves.
    assert_eq!((best("rouge-l"), best("chrf"), best("token-f1")), (0, 1, 1));
    assert!(
        report.warnings.iter().any(|warning| warning.contains("no arm is marked as best")),
        "{:?}",
        report.warnings
    );
    assert!(!read(&report.markdown).contains("Best of 16 arms"));
}

#[test]
fn methods_say_what_is_independent() {
    let (study, mut records) = golden::study();
    let folder = tempfile::tempdir().unwrap();
    let text = |records: &[Record]| read(&render(&study, records, folder.path(), without_pictures()).unwrap().markdown);
    let by_document = text(&records);
    assert!(by_document.contains("is the document, not the question"));
    assert!(by_document.contains("the sign of whole documents is flipped"));
    assert!(by_document.contains("The test takes differences of documents to be symmetric about their mean"));
    for record in &mut records {
        record.group.clone_from(&record.example);
    }
    let by_question = text(&records);
    assert!(by_question.contains("Questions count as independent of each other."));
    assert!(
        by_question.contains("the sign of whole questions is flipped") && !by_question.contains("not the question")
    );
}

#[test]
fn intervals_are_headed_by_their_level() {
    let (study, records) = golden::study();
    let folder = tempfile::tempdir().unwrap();
    let options = without_pictures();
    let resampling = Resampling { level: 0.9, ..options.resampling };
    let report = render(&study, &records, folder.path(), Options { resampling, ..options }).unwrap();
    let head = read(&folder.path().join("tables/metric-rouge-l.csv"));
    assert!(head.starts_with("Arm,ROUGE-L,90 % CI low,90 % CI high,"), "{head}");
    assert!(head.contains(",90 % CI of gain (not adjusted) low,"), "{head}");
    assert!(read(&report.markdown).contains("Intervals of arms are 90 % each, of fractions after Wilson"));
}

#[test]
fn the_first_page_sums_up_and_warns_of_one_seed() {
    let (mut study, mut records) = golden::study();
    study.seeds.truncate(1);
    records.retain(|record| record.seed == study.seeds[0]);
    let folder = tempfile::tempdir().unwrap();
    let text = read(&render(&study, &records, folder.path(), without_pictures()).unwrap().markdown);
    let place = |wanted: &str| text.find(wanted).unwrap_or_else(|| panic!("no `{wanted}` in {text}"));
    let order = [
        "**FEW SEEDS** One seed: every verdict is of these trained models",
        "1. **",
        "What the verdicts generalise over: these trained models (1 seed)",
        "Of 5 claims declared: ",
        "Best of 16 arms on ROUGE-L is ",
        "Against their controls, ",
        "## Design and data",
        "**Objectives that ran**",
        "- DSKD with cross-model attention: other/none/dskd, other/teacher/dskd, other/student/dskd, other/both/dskd",
    ];
    assert!(order.map(place).is_sorted(), "{text}");
}

#[test]
fn everything_that_was_used_has_its_source() {
    let (study, records) = golden::study();
    let folder = tempfile::tempdir().unwrap();
    let text = read(&render(&study, &records, folder.path(), without_pictures()).unwrap().markdown);
    let sources = &text[text.find("## Methods and sources").unwrap()..];
    for method in &study.methods {
        assert!(sources.contains(&method.source), "{method:?}");
    }
    for metric in &study.metrics {
        assert!(sources.contains(&metric.source), "{metric:?}");
    }
    for name in ["Holm 1979", "Fisher 1935", "Berger 1982", "Bloom 1995", "Wilcoxon 1945"] {
        assert!(sources.contains(name), "{name}");
    }
}

#[test]
fn estimates_have_two_digits_and_say_what_they_can_tell() {
    let (mut study, records) = golden::study();
    for row in study.energy.iter_mut().filter(|row| row.joules.is_some()) {
        row.state = "estimated".into();
    }
    let folder = tempfile::tempdir().unwrap();
    let text = read(&render(&study, &records, folder.path(), without_pictures()).unwrap().markdown);
    assert!(text.contains("All stages together took \\~14 Wh (estimated; gpu unavailable)"), "{text}");
    assert!(text.contains("differences below 25 % are not told apart"));
    let rows =
        text.lines().skip_while(|line| !line.contains("Energy by kind of stage")).filter(|l| l.starts_with("| "));
    let cells = rows.skip(2).flat_map(|row| row.split('|')).filter(|cell| cell.contains('~'));
    let estimates: Vec<&str> = cells.collect();
    for cell in &estimates {
        let digits = cell.trim().trim_start_matches(['\\', '~', '0', '.']).chars().filter(char::is_ascii_digit);
        assert!(digits.count() <= 2, "{cell}");
    }
    // Four kinds of stages and all of them, each by cpu, dram and in total.
    assert_eq!(estimates.len(), 15, "{estimates:?}");
}

#[test]
fn latex_tables_fit_a_page() {
    let (study, records) = golden::study();
    let folder = tempfile::tempdir().unwrap();
    render(&study, &records, folder.path(), without_pictures()).unwrap();
    for file in fs::read_dir(folder.path().join("tables")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "tex") {
            continue;
        }
        for line in read(&path).lines().filter(|line| line.ends_with("\\\\") && line.contains(" & ")) {
            assert!(line.matches(" & ").count() < 8, "{}: {line}", path.display());
        }
    }
}
