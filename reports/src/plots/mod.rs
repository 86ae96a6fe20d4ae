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

use crate::contrast::Contrast;
use crate::energy::Account;
use crate::hypotheses::{self, Answer};
use crate::rivals::Rivals;
use crate::scores::Scores;
use crate::standings::Standings;
use crate::statistics::{P, Resampling, holm::multipliers};
use crate::study::{Role, Study};
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

/// Names the metric that figures of one metric show: the one that most hypotheses name, the
/// first of the study among equals. One whose values do not all compare is none; empty if all are such.
pub fn chief_metric(study: &Study) -> &str {
    let named = |metric: &str| {
        let hypotheses = study.hypotheses.iter();
        hypotheses.filter(|hypothesis| hypothesis.metrics.iter().any(|m| m == metric)).count()
    };
    let mut chief = "";
    let mut most = None;
    for metric in study.metrics.iter().filter(|metric| !vocabulary::spans(study, metric)) {
        let count = Some(named(&metric.name));
        if count > most {
            (chief, most) = (&metric.name, count);
        }
    }
    chief
}

/// Draws all figures that the study has data for.
///
/// # Errors
/// [`Error::Figure`] for what cannot be painted.
pub fn figures(
    study: &Study,
    scores: &Scores,
    answers: &[Answer],
    standings: &[Standings],
    account: &Account,
    rivals: &Rivals,
    resampling: Resampling,
) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let chief = chief_metric(study);
    let metric = study.metrics.iter().find(|metric| metric.name == chief);
    let standing = standings.iter().find(|standing| standing.metric == chief);
    if let (Some(metric), Some(standing)) = (metric, standing)
        && let Some(front) = front::front(study, metric, standing, account, rivals, FRONT_WIDTH)
    {
        figures.push(Figure::new("front", front.caption, front.scene)?);
    }
    if let Some(scene) = forest::forest(study, answers, FULL_WIDTH) {
        let caption = "Effects of the declared hypotheses with intervals (Holm), each over the standard deviation of units (d_z where every question is one). Filled: significant after Holm, as its claim is; hollow: not; no mark: the difference never varies, or its interval has no limits.";
        figures.push(Figure::new("forest", caption, scene)?);
    }
    let columns: Vec<String> = study.metrics.iter().map(|metric| metric.label.clone()).collect();
    let rows = contrast_rows(study, scores, answers, resampling);
    if !rows.is_empty() && !columns.is_empty() {
        let caption = "Every hypothesis on every metric: standardised effect, positive (blue) where it favours the claim. Outlined cells were declared and carry their adjusted p values; the others are exploratory, with Holm's adjustment over them. *, **, ***: adjusted p below 0.05, 0.01, 0.001.";
        let scene = heatmap::heatmap(&columns, &rows, FULL_WIDTH);
        figures.push(Figure::new("heatmap-hypotheses", caption, scene)?);
    }
    let rows = arm_rows(study, standings);
    if !rows.is_empty() && !columns.is_empty() {
        let caption = format!(
            "Every arm against the baseline {}: standardised effect, positive (blue) where the arm is better. *, **, ***: p below 0.05, 0.01, 0.001 after Holm over the arms, metric by metric (exploratory).",
            study.baseline.as_deref().unwrap_or_default()
        );
        let scene = heatmap::heatmap(&columns, &rows, FULL_WIDTH);
        figures.push(Figure::new("heatmap-arms", caption, scene)?);
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

/// Rows of hypotheses: declared metrics with their answers, the rest tested for exploration.
fn contrast_rows(study: &Study, scores: &Scores, answers: &[Answer], resampling: Resampling) -> Vec<heatmap::Row> {
    let cells: Vec<(usize, usize)> = (0..study.hypotheses.len())
        .flat_map(|hypothesis| (0..study.metrics.len()).map(move |metric| (hypothesis, metric)))
        .collect();
    let tested: Vec<Tested> = cells
        .par_iter()
        .map(|&(hypothesis, metric)| {
            let name = &study.metrics[metric].name;
            let declared = answers[hypothesis].metrics.iter().find(|answer| answer.metric == *name);
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
    study
        .hypotheses
        .iter()
        .enumerate()
        .map(|(index, hypothesis)| heatmap::Row {
            label: format!("H{} {}", index + 1, hypothesis.name),
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
