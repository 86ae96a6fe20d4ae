//! The parts that figures share: a framed area with axes, legends, labels that fit.

use super::axis::Axis;
use super::paint;
use super::palette::{FAINT, GRID, INK};
use super::scene::{Colour, Scene, Style};

/// Size of tick labels and legends in points.
pub(super) const SMALL: f64 = 7.2;
/// Size of axis titles in points.
pub(super) const MEDIUM: f64 = 8.0;

/// Draws grid lines and tick labels of a horizontal axis between `top` and `bottom`.
pub(super) fn horizontal_axis(scene: &mut Scene, axis: &Axis, top: f64, bottom: f64, count: usize, labels: bool) {
    for (value, label) in axis.ticks(count) {
        let x = axis.at(value);
        scene.line(&[(x, top), (x, bottom)], 0.5, GRID);
        if labels {
            scene.text((x, bottom + 7.0), label, Style::new(SMALL, FAINT).middle());
        }
    }
    scene.line(&[(axis.from, bottom), (axis.to, bottom)], 0.7, INK);
}

/// Draws grid lines and tick labels of a vertical axis between `left` and `right`.
pub(super) fn vertical_axis(scene: &mut Scene, axis: &Axis, left: f64, right: f64, count: usize, labels: bool) {
    for (value, label) in axis.ticks(count) {
        let y = axis.at(value);
        scene.line(&[(left, y), (right, y)], 0.5, GRID);
        if labels {
            scene.text((left - 4.0, y), label, Style::new(SMALL, FAINT).end());
        }
    }
    scene.line(&[(left, axis.from), (left, axis.to)], 0.7, INK);
}

/// Widest label of a vertical axis in points.
pub(super) fn label_width(axis: &Axis, count: usize) -> f64 {
    let labels = axis.ticks(count).into_iter();
    labels.map(|(_, label)| paint::width(&label, SMALL, false)).fold(0.0, f64::max)
}

/// Shortens text to a width in points, with an ellipsis where something is missing.
pub(super) fn fit(text: &str, size: f64, bold: bool, limit: f64) -> String {
    if paint::width(text, size, bold) <= limit {
        return text.to_owned();
    }
    let mut short: String = text.to_owned();
    while short.pop().is_some() {
        let candidate = format!("{}\u{2026}", short.trim_end());
        if paint::width(&candidate, size, bold) <= limit {
            return candidate;
        }
    }
    String::new()
}

/// Breaks text into at most `lines` lines of a width in points; the last one is shortened.
pub(super) fn wrap(text: &str, size: f64, limit: f64, lines: usize) -> Vec<String> {
    let mut wrapped: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.peek() {
        let candidate = if line.is_empty() { (*word).to_owned() } else { format!("{line} {word}") };
        if line.is_empty() || paint::width(&candidate, size, false) <= limit {
            line = candidate;
            words.next();
        } else if wrapped.len() + 1 == lines {
            break;
        } else {
            wrapped.push(std::mem::take(&mut line));
        }
    }
    let rest: Vec<&str> = words.collect();
    if !rest.is_empty() {
        line = format!("{line} {}", rest.join(" "));
    }
    wrapped.push(line);
    wrapped.iter().map(|line| fit(line, size, false, limit)).collect()
}

/// Draws the key of a legend's entry, centred on a point.
pub(super) type Key<'a> = Box<dyn Fn(&mut Scene, (f64, f64)) + 'a>;

/// An entry of a legend: draws its key at a point, and says what it means.
pub(super) type Entry<'a> = (Key<'a>, String);

/// Draws a legend in rows from left to right; returns the height it took.
pub(super) fn legend(scene: &mut Scene, at: (f64, f64), width: f64, entries: &[Entry]) -> f64 {
    let (mut x, mut y) = at;
    for (key, label) in entries {
        let taken = 16.0 + paint::width(label, SMALL, false) + 10.0;
        if x + taken > at.0 + width && x > at.0 {
            x = at.0;
            y += 11.0;
        }
        key(scene, (x + 6.0, y));
        scene.text((x + 15.0, y), label.clone(), Style::new(SMALL, INK));
        x += taken;
    }
    y - at.1 + 11.0
}

/// The key of a coloured area.
pub(super) fn swatch<'a>(colour: Colour, hatched: bool) -> Key<'a> {
    Box::new(move |scene, (x, y)| {
        scene.rectangle((x - 5.0, y - 3.5), (10.0, 7.0), colour);
        if hatched {
            scene.hatch((x - 5.0, y - 3.5), (10.0, 7.0), super::palette::WHITE);
        }
    })
}

/// The key of a line.
pub(super) fn stroke<'a>(colour: Colour, width: f64) -> Key<'a> {
    Box::new(move |scene, (x, y)| scene.line(&[(x - 5.0, y), (x + 6.0, y)], width, colour))
}
