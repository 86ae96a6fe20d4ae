//! From a study and its records to a folder of files.

use std::path::{Path, PathBuf};

use crate::document::block::Document;
use crate::document::{Findings, Pdf, markdown::markdown, outline};
use crate::plots::{Figure, Found};
use crate::record::Record;
use crate::rivals::Rivals;
use crate::scores::Scores;
use crate::statistics::Resampling;
use crate::study::{EvaluationSet, Metric, Outcome, Study};
use crate::summary::{Outcomes, SUMMARY_FORMAT, SetSummary, Summary};
use crate::write::{create_folder, write};
use crate::{Result, energy, hypotheses, plots, rivals, seeds, standings, strata, tables};

/// Says how a report is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// How often to resample, and from which seed.
    pub resampling: Resampling,
    /// Whether to set the PDF; needs the feature `pdf`.
    pub pdf: bool,
    /// Whether to draw figures.
    pub figures: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { resampling: Resampling::default(), pdf: cfg!(feature = "pdf"), figures: true }
    }
}

/// Says what was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The PDF, when one was set.
    pub pdf: Option<PathBuf>,
    /// Number of its pages.
    pub pages: Option<usize>,
    /// The report as Markdown.
    pub markdown: PathBuf,
    /// Every file, in the order of writing.
    pub files: Vec<PathBuf>,
    /// The findings for programs; also in `summary.json`.
    pub summary: Summary,
    /// Reservations of the run and of the report.
    pub warnings: Vec<String>,
}

/// Renders the report of a study into the folder `out`.
///
/// Writes `records.csv`, `summary.json`, `tables/*.{csv,tex,md}`, `figures/*.{svg,png}`,
/// `report.md` and `report.pdf`, each complete or not at all. Failed and missing arms are reported
/// as such; the rest of the report stands.
///
/// # Errors
/// Faults in the study (see [`Study::check`]) and in the records (see [`Scores::new`]), and files that cannot be
/// written.
pub fn render(study: &Study, records: &[Record], out: &Path, options: Options) -> Result<Rendered> {
    study.check()?;
    create_folder(out)?;
    let scores = Scores::new(study, records)?;
    let resampling = options.resampling;
    let answers = hypotheses::answer(study, &scores, resampling);
    let standings = standings::standings(study, &scores, resampling);
    let account = energy::account(study);
    let rivals = match study.metric(plots::chief_metric(study)) {
        Some(metric) => rivals::rivals(study, &scores, metric, resampling),
        None => Rivals::default(),
    };
    let divisions = strata::divisions(study, &scores, resampling);
    let warnings = warnings(study, &scores, &answers);
    let figures = if options.figures {
        let found = Found {
            answers: &answers,
            standings: &standings,
            account: &account,
            rivals: &rivals,
            divisions: &divisions,
        };
        plots::figures(study, &scores, &found, resampling)?
    } else {
        Vec::new()
    };
    let mut tables = vec![
        tables::arms(study, &scores),
        tables::models(study),
        tables::data(study),
        tables::metrics(study),
        tables::checks(study),
        tables::hypotheses(study, &answers),
    ];
    // A single set without a name has nothing to be listed for.
    tables.extend(Some(tables::sets(study, &scores)).filter(|table| !table.rows.is_empty()));
    tables.extend(tables::overviews(study, &standings));
    tables.extend([tables::by_stage(&account), tables::by_arm(&account)]);
    for (metric, standings) in study.metrics.iter().zip(&standings) {
        tables.push(tables::per_metric(study, metric, standings, resampling.level));
    }
    for division in &divisions {
        for values in &division.metrics {
            let metric = study.metric(&values.metric);
            tables.extend(metric.map(|metric| tables::by_stratum(study, division, metric, values)));
        }
        if !division.claims.is_empty() {
            tables.push(tables::claims_by_stratum(study, division, divisions.len() == 1));
        }
    }
    let counted = |set: &EvaluationSet| scores.counts(set.name.as_deref());
    let findings = Findings {
        study,
        answers,
        standings,
        account,
        rivals,
        divisions,
        counts: study.sets.iter().map(counted).collect(),
        resampling,
        warnings,
        tables,
        figures,
    };
    let summary = Summary {
        format: SUMMARY_FORMAT,
        name: study.name.clone(),
        question: study.question.clone(),
        alpha: study.alpha,
        sets: study.sets.iter().zip(&findings.counts).map(|(set, counts)| SetSummary::new(set, *counts)).collect(),
        hypotheses: findings.answers.clone(),
        standings: findings.standings.clone(),
        strata: findings.divisions.clone(),
        checks: study.checks.clone(),
        energy: findings.account.clone(),
        arms: Outcomes::of(study),
        resampling,
        // The report says what few seeds leave open before anything else, and not among its warnings.
        warnings: seeds::reservation(study.seeds.len()).into_iter().chain(findings.warnings.iter().cloned()).collect(),
    };
    write_all(out, records, &findings, summary, options)
}

fn write_all(
    out: &Path,
    records: &[Record],
    findings: &Findings,
    summary: Summary,
    options: Options,
) -> Result<Rendered> {
    let mut files = Vec::new();
    let mut put = |path: PathBuf, bytes: &[u8]| -> Result<PathBuf> {
        write(&path, bytes)?;
        files.push(path.clone());
        Ok(path)
    };
    put(out.join("records.csv"), tables::records_csv(records).as_bytes())?;
    let json = serde_json::to_vec_pretty(&summary).expect("a summary is JSON");
    put(out.join("summary.json"), &json)?;
    let folder = out.join("tables");
    create_folder(&folder)?;
    for table in &findings.tables {
        put(folder.join(format!("{}.csv", table.name)), table.to_csv().as_bytes())?;
        put(folder.join(format!("{}.tex", table.name)), table.to_latex().as_bytes())?;
        put(folder.join(format!("{}.md", table.name)), table.to_markdown().as_bytes())?;
    }
    let folder = out.join("figures");
    create_folder(&folder)?;
    for figure in &findings.figures {
        put(folder.join(format!("{}.svg", figure.name)), figure.svg.as_bytes())?;
        put(folder.join(format!("{}.png", figure.name)), &figure.png()?)?;
    }
    let document = outline(findings);
    let markdown = put(out.join("report.md"), markdown(&document).as_bytes())?;
    let set = if options.pdf { set_pdf(&document, &findings.figures)? } else { None };
    let pages = set.as_ref().map(|pdf| pdf.pages);
    let pdf = set.map(|pdf| put(out.join("report.pdf"), &pdf.bytes)).transpose()?;
    Ok(Rendered { pdf, pages, markdown, files, warnings: summary.warnings.clone(), summary })
}

#[cfg(feature = "pdf")]
fn set_pdf(document: &Document<'_>, figures: &[Figure]) -> Result<Option<Pdf>> {
    crate::document::pdf::pdf(document, figures).map(Some)
}

#[cfg(not(feature = "pdf"))]
fn set_pdf(_document: &Document<'_>, _figures: &[Figure]) -> Result<Option<Pdf>> {
    Ok(None)
}

/// Gathers the reservations of the run, the records and the answers.
fn warnings(study: &Study, scores: &Scores, answers: &[hypotheses::Answer]) -> Vec<String> {
    let mut warnings = study.warnings.clone();
    warnings.extend(scores.warnings().iter().cloned());
    for arm in study.arms.iter().filter(|arm| arm.outcome == Outcome::Done) {
        let metrics = study.metrics.iter();
        let short: Vec<&str> = metrics
            .filter(|metric| scores.seeds(metric.key(), &arm.name).len() < study.seeds.len())
            .map(Metric::key)
            .collect();
        if !short.is_empty() && arm.role == crate::study::Role::Cell {
            warnings.push(format!("arm `{}` is done but lacks records at some seed: {}", arm.name, short.join(", ")));
        }
    }
    for answer in answers {
        for metric in &answer.metrics {
            let Some(contrast) = &metric.contrast else {
                continue;
            };
            if contrast.unpaired > 0 {
                let set = study.metric(&metric.metric).and_then(|metric| study.set_of(metric));
                warnings.push(format!(
                    "\u{201c}{}\u{201d} on `{}`: {} {}s have no partner and take no part",
                    answer.name,
                    metric.metric,
                    contrast.unpaired,
                    set.map_or("question", |set| set.task.example())
                ));
            }
        }
    }
    warnings
}
