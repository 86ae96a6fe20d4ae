//! Training curves: one small panel per model or arm, all of a figure on the same axes and of one
//! quantity. What distillation minimises is another quantity than cross-entropy, and has its own figure.

use super::axis::{Axis, Scale};
use super::palette::{INK, series};
use super::panel::{
    Entry, MEDIUM, SMALL, fit_name, horizontal_axis, label_width, legend, legend_height, stroke, vertical_axis,
};
use super::scene::{Scene, Style};
use crate::study::{Curve, Study};

/// Panels on one figure; more go to the next one.
const PANELS: usize = 24;
/// Most panels beside each other.
const COLUMNS: usize = 6;

/// A figure of curves.
pub(super) struct Curves {
    /// What it shows, for the name of its file.
    pub(super) name: String,
    pub(super) caption: String,
    pub(super) scene: Scene,
}

/// What a figure shows: series of one quantity, each with its name in the legend.
struct Quantity {
    name: &'static str,
    title: &'static str,
    caption: &'static str,
    series: &'static [(&'static str, &'static str)],
}

/// Cross-entropy, as training on texts and fine-tuning minimise it.
const CROSS_ENTROPY: Quantity = Quantity {
    name: "cross-entropy",
    title: "Nats per token",
    caption: "cross-entropy in nats per token of each model's own vocabulary",
    series: &[("loss", "train"), ("dev-loss", "dev")],
};

/// The same during distillation, where it is one part of the loss.
const PART: Quantity = Quantity { series: &[("ce", "train"), ("dev-loss", "dev")], ..CROSS_ENTROPY };

/// What distillation minimises.
const DISTILLATION: Quantity = Quantity {
    name: "distillation-loss",
    title: "Loss per token",
    caption: "the distillation loss on the training split, (1 \u{2212} rate) cross-entropy + rate \u{d7} distillation terms, per token; algorithms add different terms, so levels compare within one only",
    series: &[("loss", "train")],
};

/// Draws the curves of every stage.
pub(super) fn curves(study: &Study, width: f64) -> Vec<Curves> {
    let mut stages: Vec<&str> = Vec::new();
    for curve in &study.curves {
        if !stages.contains(&curve.stage.as_str()) {
            stages.push(&curve.stage);
        }
    }
    let mut figures = Vec::new();
    for stage in stages {
        let quantities: &[Quantity] = if stage == "distill" { &[DISTILLATION, PART] } else { &[CROSS_ENTROPY] };
        for quantity in quantities {
            let shown = |curve: &&Curve| {
                curve.stage == stage
                    && quantity.series.iter().any(|(name, _)| *name == curve.series)
                    && curve.points.iter().any(|(_, value)| value.is_finite())
            };
            let curves: Vec<&Curve> = study.curves.iter().filter(shown).collect();
            let mut labels: Vec<&str> = Vec::new();
            for curve in &curves {
                if !labels.contains(&curve.label.as_str()) {
                    labels.push(&curve.label);
                }
            }
            for (part, labels) in labels.chunks(PANELS).enumerate() {
                let number = if part == 0 { String::new() } else { format!("-{}", part + 1) };
                figures.push(Curves {
                    name: format!("{stage}-{}{number}", quantity.name),
                    caption: format!(
                        "During {stage}: {}. One line per seed; long series are faint, their moving average bold.",
                        quantity.caption
                    ),
                    scene: grid(&curves, labels, quantity, width),
                });
            }
        }
    }
    figures
}

fn grid(curves: &[&Curve], labels: &[&str], quantity: &Quantity, width: f64) -> Scene {
    let (columns, panel_height) = (labels.len().min(COLUMNS), 48.0);
    let rows = labels.len().div_ceil(columns);
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let steps = points().map(|(step, _)| *step as f64).fold(1.0, f64::max);
    // Losses from smoothed curves: one early spike must not flatten all the rest.
    let values: Vec<f64> = curves.iter().flat_map(|curve| smooth(&curve.points)).map(|(_, v)| v).collect();
    let probe = Axis::spanning(values.iter().copied(), Scale::Linear, 0.04, (1.0, 0.0));
    let margin = label_width(&probe, 4) + 20.0;
    let drawn = quantity.series.iter().enumerate();
    let entries: Vec<Entry> = drawn
        .filter(|(_, (name, _))| curves.iter().any(|curve| curve.series == *name))
        .map(|(index, (_, label))| -> Entry { (stroke(series(index), 1.5), (*label).to_owned()) })
        .collect();
    // One series needs no key: the caption names it.
    let entries = if entries.len() > 1 { entries } else { Vec::new() };
    let top = 4.0 + if entries.is_empty() { 0.0 } else { legend_height(width - margin, &entries) };
    let (gap, edge) = (12.0, 9.0);
    let panel_width = (width - margin - edge - gap * (columns - 1) as f64) / columns as f64;
    let titles: Vec<Vec<String>> = labels.iter().map(|label| title_lines(label, panel_width)).collect();
    let lines = titles.iter().map(Vec::len).max().unwrap_or(1);
    let title = 6.0 + 9.0 * lines as f64;
    let bottom = top + rows as f64 * (panel_height + title);
    let mut scene = Scene::new(width, bottom + 26.0);
    legend(&mut scene, (margin, 6.0), width - margin, &entries);

    for (index, label) in labels.iter().enumerate() {
        let (column, row) = (index % columns, index / columns);
        let left = margin + column as f64 * (panel_width + gap);
        let floor = top + (row + 1) as f64 * (panel_height + title);
        let ceiling = floor - panel_height;
        let y = Axis { from: floor, to: ceiling, ..probe };
        let x = Axis { low: 0.0, high: steps, scale: Scale::Linear, from: left, to: left + panel_width };
        let lowest = index + columns >= labels.len();
        horizontal_axis(&mut scene, &x, ceiling, floor, 2, lowest);
        vertical_axis(&mut scene, &y, left, left + panel_width, 4, column == 0);
        for (line, text) in titles[index].iter().rev().enumerate() {
            let y = ceiling - 5.5 - 9.0 * line as f64;
            scene.text((left, y), text.clone(), Style::new(SMALL, INK).bold());
        }
        for curve in curves.iter().filter(|curve| curve.label == **label) {
            let colour = series(quantity.series.iter().position(|(name, _)| *name == curve.series).unwrap_or(0));
            let place = |(step, value): (u64, f64)| (x.at(step as f64), y.at(value).clamp(ceiling, floor));
            let raw: Vec<(f64, f64)> = finite(&curve.points).map(place).collect();
            let sparse = raw.len() < 25;
            scene.faint_line(&raw, if sparse { 1.1 } else { 0.5 }, colour, if sparse { 1.0 } else { 0.28 });
            if sparse {
                for point in &raw {
                    scene.circle(*point, 1.3, colour, None);
                }
            } else {
                let smoothed: Vec<(f64, f64)> = smooth(&curve.points).into_iter().map(place).collect();
                scene.line(&smoothed, 1.1, colour);
            }
        }
    }
    let middle = (margin + width) / 2.0;
    scene.text((middle, bottom + 18.0), "Optimiser step", Style::new(MEDIUM, INK).middle());
    let centre = (top + bottom) / 2.0;
    scene.text((7.0, centre), quantity.title, Style::new(MEDIUM, INK).middle().up());
    scene
}

/// Sets a name in one line or, broken after the slash nearest its middle, in two.
fn title_lines(label: &str, limit: f64) -> Vec<String> {
    let whole = fit_name(label, SMALL, true, limit);
    if whole == label {
        return vec![whole];
    }
    let middle = label.len() / 2;
    let slashes = label.match_indices('/').map(|(at, _)| at + 1);
    match slashes.min_by_key(|at| at.abs_diff(middle)) {
        Some(at) => {
            let (head, tail) = label.split_at(at);
            vec![fit_name(head, SMALL, true, limit), fit_name(tail, SMALL, true, limit)]
        }
        None => vec![whole],
    }
}

fn finite(points: &[(u64, f64)]) -> impl Iterator<Item = (u64, f64)> + '_ {
    points.iter().copied().filter(|(_, value)| value.is_finite())
}

/// Exponential moving average over a twentieth of the points, corrected for its start.
fn smooth(points: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let span = (points.len() as f64 / 20.0).max(1.0);
    let keep = 1.0 - 2.0 / (span + 1.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    finite(points)
        .map(|(step, value)| {
            sum = keep * sum + value;
            weight = keep * weight + 1.0;
            (step, sum / weight)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::tests::empty;

    #[test]
    fn what_distillation_minimises_is_no_cross_entropy() {
        let mut study = empty();
        let curve = |stage: &str, series: &str| Curve {
            stage: stage.into(),
            label: "a".into(),
            seed: 1,
            series: series.into(),
            points: vec![(1, 2.0), (2, 1.0)],
        };
        study.curves = ["loss", "ce", "kd", "dev-loss"].map(|series| curve("distill", series)).to_vec();
        study.curves.extend(["loss", "dev-loss"].map(|series| curve("sft", series)));
        let figures = curves(&study, 400.0);
        let names: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
        assert_eq!(names, ["distill-distillation-loss", "distill-cross-entropy", "sft-cross-entropy"]);
        assert!(figures[1].caption.contains("nats per token") && !figures[0].caption.contains("nats"));
    }
}
