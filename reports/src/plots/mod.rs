//! Figures: drawn once as a list of shapes, printed as SVG and PNG.
//!
//! Every figure is a function from findings to a scene in points; `paint` alone knows file
//! formats. Colours never carry meaning alone: shape, filling, hatching, stars or text say it too.

mod axis;
mod bars;
mod curves;
pub mod fonts;
mod forest;
mod front;
mod heatmap;
mod paint;
mod palette;
mod panel;
mod scene;

use rayon::prelude::*;

use crate::claims;
use crate::contrast::Contrast;
use crate::energy::Account;
use crate::hypotheses::{self, Answer};
use crate::number;
use crate::rivals::Rivals;
use crate::scores::Scores;
use crate::standings::Standings;
use crate::statistics::{P, Resampling, holm::multipliers, moments};
use crate::strata::{Division, Values};
use crate::study::{EvaluationSet, Metric, Role, Study};
use crate::tables::set_stem;
use crate::vocabulary;
use crate::{Error, Result};

/// Width of a page's text in points.
const FULL_WIDTH: f64 = 487.0;
/// Width of the figure on the first page in points.
const FRONT_WIDTH: f64 = 312.0;

/// Holds a figure.
#[derive(Debug)]
pub struct Figure {
    /// Name of its files.
    pub name: String,
    /// What it shows.
    pub caption: String,
    /// Share of the text width it takes in the PDF.
    pub share: f64,
    /// The figure as SVG, painted once for its file and for the PDF.
    pub svg: String,
    scene: scene::Scene,
}

impl Figure {
    /// Paints a scene.
    ///
    /// # Errors
    /// [`Error::Figure`] with what the backend said.
    fn new(name: impl Into<String>, caption: impl Into<String>, scene: scene::Scene) -> Result<Self> {
        let name = name.into();
        let svg = paint::svg(&scene).map_err(|reason| Error::Figure { figure: name.clone(), reason })?;
        Ok(Self { name, caption: caption.into(), share: (scene.width / FULL_WIDTH).min(1.0), svg, scene })
    }

    /// Paints the figure as PNG, twice a screen's resolution.
    ///
    /// # Errors
    /// [`Error::Figure`] with what the backend said.
    pub fn png(&self) -> Result<Vec<u8>> {
        paint::png(&self.scene).map_err(|reason| Error::Figure { figure: self.name.clone(), reason })
    }
}

/// Names the metric that figures of one metric show, by its column: the one that most hypotheses name, the
/// first of the study among equals. One whose values do not all compare is none; empty if all are such.
pub fn chief_metric(study: &Study) -> &str {
    chief(study, study.metrics.iter()).map_or("", Metric::key)
}

/// The metric of a set that stands for it: see [`chief_metric`].
pub(crate) fn chief_of<'s>(study: &'s Study, set: &'s EvaluationSet) -> Option<&'s Metric> {
    chief(study, study.metrics_of(set))
}

fn chief<'s>(study: &Study, metrics: impl Iterator<Item = &'s Metric>) -> Option<&'s Metric> {
    let named = |metric: &str| {
        let hypotheses = study.hypotheses.iter();
        hypotheses.filter(|hypothesis| hypothesis.metrics.iter().any(|m| m == metric)).count()
    };
    let (mut chief, mut most) = (None, None);
    for metric in metrics.filter(|metric| !vocabulary::spans(study, metric)) {
        let count = Some(named(metric.key()));
        if count > most {
            (chief, most) = (Some(metric), count);
        }
    }
    chief
}

/// What was found, for figures to show.
pub struct Found<'a> {
    /// Answers to the hypotheses.
    pub answers: &'a [Answer],
    /// Arms on metrics.
    pub standings: &'a [Standings],
    /// The energy account.
    pub account: &'a Account,
    /// Trained arms against each other on the chief metric.
    pub rivals: &'a Rivals,
    /// Strata of the sets that are divided.
    pub divisions: &'a [Division],
}

/// Draws all figures that the study has data for.
///
/// # Errors
/// [`Error::Figure`] for what cannot be painted.
pub fn figures(study: &Study, scores: &Scores, found: &Found<'_>, resampling: Resampling) -> Result<Vec<Figure>> {
    let &Found { answers, standings, account, rivals, divisions } = found;
    let mut figures = Vec::new();
    let chief = chief_metric(study);
    let metric = study.metric(chief);
    let standing = standings.iter().find(|standing| standing.metric == chief);
    if let (Some(metric), Some(standing)) = (metric, standing)
        && let Some(front) = front::front(study, metric, standing, account, rivals, FRONT_WIDTH)
    {
        figures.push(Figure::new("front", front.caption, front.scene)?);
    }
    if let Some(scene) = forest::forest(answers, FULL_WIDTH) {
        let mut caption = "Effects of the declared hypotheses with intervals (Holm), each over the standard deviation of units (d_z where every question is one). Filled: significant after Holm, as its claim is; hollow: not; no mark: the difference never varies, or its interval has no limits.".to_owned();
        if answers.iter().any(|answer| claims::kind(&answer.claim).margin().is_some()) {
            caption.push_str(" Shaded: differences within the margin of the claim.");
        }
        if answers.iter().any(|answer| claims::kind(&answer.claim).factors().is_none()) {
            caption.push_str(" Claims on ranks and on quantities have no such scale: their numbers stand alone.");
        }
        figures.push(Figure::new("forest", caption, scene)?);
    }
    let rows = contrast_rows(study, scores, answers, resampling);
    let left_out = study.hypotheses.len() - rows.len();
    for Map { name, set, columns, rows } in maps(study, &rows, "heatmap-hypotheses") {
        let of = set.map_or(String::new(), |set| format!(" of {set}"));
        let all = if left_out == 0 { "Every hypothesis" } else { "Hypotheses that one side is better" };
        let caption = format!(
            "{all} on every metric{of}: standardised effect, positive (blue) where it favours the claim. Outlined cells were declared and carry their adjusted p values; the others are exploratory, with Holm's adjustment over them. *, **, ***: adjusted p below 0.05, 0.01, 0.001."
        );
        let scene = heatmap::heatmap(&columns, &rows, heatmap::Colours::of(&rows), FULL_WIDTH);
        figures.push(Figure::new(name, caption, scene)?);
    }
    let rows = arm_rows(study, standings);
    for Map { name, set, columns, rows } in maps(study, &rows, "heatmap-arms") {
        let on = set.map_or(String::new(), |set| format!(" on the metrics of {set}"));
        let caption = format!(
            "Every arm against the baseline {}{on}: standardised effect, positive (blue) where the arm is better. *, **, ***: p below 0.05, 0.01, 0.001 after Holm over the arms, metric by metric (exploratory).",
            study.baseline.as_deref().unwrap_or_default()
        );
        let scene = heatmap::heatmap(&columns, &rows, heatmap::Colours::of(&rows), FULL_WIDTH);
        figures.push(Figure::new(name, caption, scene)?);
    }
    for division in divisions {
        figures.extend(strata(study, division)?);
    }
    for curves in curves::curves(study, FULL_WIDTH) {
        let name = format!("curves-{}", file_stem(&curves.name));
        figures.push(Figure::new(name, curves.caption, curves.scene)?);
    }
    if let Some(scene) = bars::by_stage(account, FULL_WIDTH) {
        let caption = "Energy by kind of stage and component; every stage counted once.";
        figures.push(Figure::new("energy-stages", caption, scene)?);
    }
    if let Some(scene) = bars::by_arm(account, FULL_WIDTH) {
        let mut caption = "Energy by arm and kind of stage, over all seeds; shared stages divided equally.".to_owned();
        if account.arms.iter().any(|arm| arm.role == Role::Reference) {
            caption.push_str(" References: answering only; their training is charged to the arms.");
        }
        figures.push(Figure::new("energy-arms", caption, scene)?);
    }
    Ok(figures)
}

/// A heat map of the metrics of one set, or of all.
struct Map {
    name: String,
    /// Names the set, where there are several.
    set: Option<String>,
    columns: Vec<String>,
    rows: Vec<heatmap::Row>,
}

/// Divides a heat map by sets where there are several, so that no page has the metrics of all in one row.
fn maps(study: &Study, rows: &[heatmap::Row], name: &str) -> Vec<Map> {
    let map = |set: &EvaluationSet| {
        let named = study.name_of(set.name.as_deref());
        let is_shown = |place: &usize| study.metrics[*place].set == set.name;
        let shown: Vec<usize> = (0..study.metrics.len()).filter(is_shown).collect();
        let of_row = |row: &heatmap::Row| heatmap::Row {
            label: row.label.clone(),
            cells: shown.iter().map(|&place| row.cells[place].clone()).collect(),
        };
        Map {
            name: named.map_or(name.to_owned(), |_| format!("{name}-{}", set_stem(study, named))),
            set: named.map(str::to_owned),
            columns: shown.iter().map(|&place| study.metrics[place].label.clone()).collect(),
            rows: rows.iter().map(of_row).collect(),
        }
    };
    let is_empty = |map: &Map| map.rows.is_empty() || map.columns.is_empty();
    // Of a set on which nothing was compared there is nothing to show.
    let says_nothing =
        |map: &Map| study.sets.len() > 1 && map.rows.iter().all(|row| row.cells.iter().all(Option::is_none));
    study.sets.iter().map(map).filter(|map| !is_empty(map) && !says_nothing(map)).collect()
}

/// Most strata of a heat map: more cells in a row are too narrow to be told apart.
pub(crate) const MOST_STRATA: usize = 60;

/// Name of the heat map of a set's strata.
pub(crate) fn strata_name(study: &Study, division: &Division) -> String {
    let name = "heatmap-strata";
    let named = study.name_of(division.set.as_deref());
    named.map_or(name.to_owned(), |_| format!("{name}-{}", set_stem(study, named)))
}

/// Draws arms by strata on the chief metric of a set; nothing where its values do not compare or strata are too many.
fn strata(study: &Study, division: &Division) -> Result<Option<Figure>> {
    let set = study.sets.iter().find(|set| set.name == division.set);
    let metric = set.and_then(|set| chief_of(study, set));
    let values = metric.and_then(|metric| division.metrics.iter().find(|values| values.metric == metric.key()));
    let (Some(metric), Some(values)) = (metric, values) else { return Ok(None) };
    let rows = strata_rows(study, metric, values);
    if division.strata.len() > MOST_STRATA || rows.iter().all(|row| row.cells.iter().all(Option::is_none)) {
        return Ok(None);
    }
    let columns: Vec<String> = division.strata.iter().map(|stratum| stratum.name.clone()).collect();
    let caption = format!(
        "{} of every arm by {}; coloured by how much better (blue) or worse it is than the mean of the trained arms there. n/a: too few units, or no records. What each stratum holds is in tables/strata-{}.csv.",
        study.label(metric),
        division.field,
        crate::tables::stem(study, metric)
    );
    let scene = heatmap::heatmap(&columns, &rows, heatmap::Colours::of_differences(&rows), FULL_WIDTH);
    Figure::new(strata_name(study, division), caption, scene).map(Some)
}

/// Rows of arms with their values in each stratum.
fn strata_rows(study: &Study, metric: &Metric, values: &Values) -> Vec<heatmap::Row> {
    let strata = values.arms.first().map_or(0, Vec::len);
    let trained = |stratum: usize| {
        let arms = study.arms.iter().zip(&values.arms).filter(|(arm, _)| arm.is_trained());
        moments::mean(&arms.filter_map(|(_, values)| values[stratum]).collect::<Vec<_>>())
    };
    let means: Vec<f64> = (0..strata).map(trained).collect();
    let digits = number::digits(values.arms.iter().flatten().flatten().copied());
    let cell = |value: Option<f64>, mean: f64| {
        let better_by = metric.direction.sign() * (value? - mean);
        better_by.is_finite().then(|| heatmap::Cell::of_value(better_by, number::fixed(value.unwrap_or(mean), digits)))
    };
    study
        .arms
        .iter()
        .zip(&values.arms)
        .map(|(arm, values)| heatmap::Row {
            label: format!("{}{}", arm.name, arm.outcome.remark()),
            cells: values.iter().zip(&means).map(|(value, mean)| cell(*value, *mean)).collect(),
        })
        .collect()
}

/// Rows of hypotheses that one side is better: declared metrics with their answers, the rest tested for exploration.
fn contrast_rows(study: &Study, scores: &Scores, answers: &[Answer], resampling: Resampling) -> Vec<heatmap::Row> {
    let is_shown = |place: &usize| claims::kind(&study.hypotheses[*place].claim).is_of_any_metric();
    let shown: Vec<usize> = (0..study.hypotheses.len()).filter(is_shown).collect();
    let cells: Vec<(usize, usize)> =
        shown.iter().flat_map(|&hypothesis| (0..study.metrics.len()).map(move |metric| (hypothesis, metric))).collect();
    let tested: Vec<Tested> = cells
        .par_iter()
        .map(|&(hypothesis, metric)| {
            let name = study.metrics[metric].key();
            let declared = answers[hypothesis].metrics.iter().find(|answer| answer.metric == name);
            match declared {
                Some(answer) => Tested::Declared(answer.contrast.clone(), answer.p_adjusted),
                None => {
                    let hypothesis = &study.hypotheses[hypothesis];
                    Tested::Exploratory(hypotheses::test(study, scores, hypothesis, name, resampling).ok())
                }
            }
        })
        .collect();
    let mut multipliers = multipliers(&exploratory(&tested)).into_iter();
    let mut cells = tested.into_iter().map(|tested| match tested {
        Tested::Declared(contrast, p) => heatmap::Cell::of(&contrast?, p?, true),
        Tested::Exploratory(contrast) => {
            let multiplier = multipliers.next()?;
            let contrast = contrast?;
            heatmap::Cell::of(&contrast, contrast.p.times(multiplier), false)
        }
    });
    shown
        .into_iter()
        .map(|index| heatmap::Row {
            label: format!("H{} {}", index + 1, study.hypotheses[index].name),
            cells: cells.by_ref().take(study.metrics.len()).collect(),
        })
        .collect()
}

/// A hypothesis on a metric, which it names or not.
enum Tested {
    /// With the p value adjusted over the declared family.
    Declared(Option<Contrast>, Option<P>),
    Exploratory(Option<Contrast>),
}

/// The family of exploratory p values: what cannot be tested counts with p = 1, so that a failed arm
/// makes no other cell significant.
fn exploratory(tested: &[Tested]) -> Vec<f64> {
    let p = |tested: &Tested| match tested {
        Tested::Declared(..) => None,
        Tested::Exploratory(contrast) => Some(contrast.as_ref().map_or(1.0, |contrast| contrast.p.value)),
    };
    tested.iter().filter_map(p).collect()
}

/// Rows of arms against the baseline.
fn arm_rows(study: &Study, standings: &[Standings]) -> Vec<heatmap::Row> {
    let Some(baseline) = &study.baseline else {
        return Vec::new();
    };
    study
        .arms
        .iter()
        .enumerate()
        .filter(|(_, arm)| arm.role == Role::Cell && arm.name != *baseline)
        .map(|(index, arm)| heatmap::Row {
            label: arm.name.clone(),
            cells: standings
                .iter()
                .map(|standing| {
                    let standing = &standing.arms[index];
                    heatmap::Cell::of(standing.against_baseline.as_ref()?, standing.p_adjusted?, false)
                })
                .collect(),
        })
        .collect()
}

/// Makes the name of a stage or a metric fit for a file, whatever it holds.
pub(crate) fn file_stem(text: &str) -> String {
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '+') { c } else { '-' }
    };
    text.chars().map(allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_explored_stays_in_the_family() {
        let tested = [Tested::Exploratory(None), Tested::Declared(None, None), Tested::Exploratory(None)];
        assert_eq!(exploratory(&tested), [1.0, 1.0]);
    }
}
