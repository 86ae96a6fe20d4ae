//! Training curves: one small panel per model or arm, all of a stage on the same axes.

use std::collections::BTreeSet;

use super::axis::{Axis, Scale};
use super::palette::{INK, series};
use super::panel::{
    Entry, MEDIUM, SMALL, fit_name, horizontal_axis, label_width, legend, legend_height, stroke, vertical_axis,
};
use super::scene::{Scene, Style};
use crate::study::{Curve, Study};

/// Panels beside each other.
const COLUMNS: usize = 4;
/// Panels on one figure; more go to the next one.
const PANELS: usize = 20;

/// Draws the curves of every stage; returns stage, part and figure.
pub(super) fn curves(study: &Study, width: f64) -> Vec<(String, usize, Scene)> {
    let mut stages: Vec<&str> = Vec::new();
    for curve in &study.curves {
        if !stages.contains(&curve.stage.as_str()) {
            stages.push(&curve.stage);
        }
    }
    let mut figures = Vec::new();
    for stage in stages {
        let of_stage: Vec<&Curve> = shown(study.curves.iter().filter(|c| c.stage == stage).collect());
        let mut labels: Vec<&str> = Vec::new();
        for curve in &of_stage {
            if !labels.contains(&curve.label.as_str()) {
                labels.push(&curve.label);
            }
        }
        for (part, labels) in labels.chunks(PANELS).enumerate() {
            figures.push((stage.to_owned(), part, grid(&of_stage, labels, width)));
        }
    }
    figures
}

/// Keeps the loss on training and development data where there are such, else everything.
fn shown(curves: Vec<&Curve>) -> Vec<&Curve> {
    let main = |curve: &&Curve| matches!(curve.series.as_str(), "loss" | "dev-loss");
    let finite = |curve: &&Curve| curve.points.iter().any(|(_, value)| value.is_finite());
    let chosen: Vec<&Curve> = curves.iter().copied().filter(main).filter(finite).collect();
    if chosen.is_empty() { curves.into_iter().filter(finite).collect() } else { chosen }
}

fn grid(curves: &[&Curve], labels: &[&str], width: f64) -> Scene {
    let names: BTreeSet<&str> = curves.iter().map(|curve| curve.series.as_str()).collect();
    let names: Vec<&str> = names.into_iter().rev().collect();
    let columns = labels.len().min(COLUMNS);
    let rows = labels.len().div_ceil(COLUMNS);
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let steps = points().map(|(step, _)| *step as f64).fold(1.0, f64::max);
    // Losses from smoothed curves: one early spike must not flatten all the rest.
    let values: Vec<f64> = curves.iter().flat_map(|curve| smooth(&curve.points)).map(|(_, v)| v).collect();
    let probe = Axis::spanning(values.iter().copied(), Scale::Linear, 0.04, (1.0, 0.0));
    let margin = label_width(&probe, 4) + 20.0;
    let entries: Vec<Entry> = names
        .iter()
        .enumerate()
        .map(|(index, name)| -> Entry { (stroke(series(index), 1.5), (*name).to_owned()) })
        .collect();
    let top = 5.0 + legend_height(width - margin, &entries);
    let (gap, panel_height, edge) = (15.0, 68.0, 9.0);
    let panel_width = (width - margin - edge - gap * (columns - 1) as f64) / columns as f64;
    let titles: Vec<Vec<String>> = labels.iter().map(|label| title_lines(label, panel_width)).collect();
    let lines = titles.iter().map(Vec::len).max().unwrap_or(1);
    let title = 6.0 + 9.0 * lines as f64;
    let bottom = top + rows as f64 * (panel_height + title);
    let mut scene = Scene::new(width, bottom + 28.0);
    legend(&mut scene, (margin, 6.0), width - margin, &entries);

    for (index, label) in labels.iter().enumerate() {
        let (column, row) = (index % columns, index / columns);
        let left = margin + column as f64 * (panel_width + gap);
        let floor = top + (row + 1) as f64 * (panel_height + title);
        let ceiling = floor - panel_height;
        let y = Axis { from: floor, to: ceiling, ..probe };
        let x = Axis { low: 0.0, high: steps, scale: Scale::Linear, from: left, to: left + panel_width };
        let lowest = index + columns >= labels.len();
        horizontal_axis(&mut scene, &x, ceiling, floor, 3, lowest);
        vertical_axis(&mut scene, &y, left, left + panel_width, 4, column == 0);
        for (line, text) in titles[index].iter().rev().enumerate() {
            let y = ceiling - 5.5 - 9.0 * line as f64;
            scene.text((left, y), text.clone(), Style::new(SMALL, INK).bold());
        }
        for curve in curves.iter().filter(|curve| curve.label == **label) {
            let colour = series(names.iter().position(|name| *name == curve.series).unwrap_or(0));
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
    scene.text((middle, bottom + 20.0), "Optimiser step", Style::new(MEDIUM, INK).middle());
    let centre = (top + bottom) / 2.0;
    scene.text((7.0, centre), "Loss (nats per token)", Style::new(MEDIUM, INK).middle().up());
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
