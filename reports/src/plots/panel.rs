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

/// Shortens a name to a width in points by an ellipsis in its middle: names of arms differ at both
/// ends.
pub(super) fn fit_name(name: &str, size: f64, bold: bool, limit: f64) -> String {
    if paint::width(name, size, bold) <= limit {
        return name.to_owned();
    }
    let letters: Vec<char> = name.chars().collect();
    let shortened = |kept: usize| -> String {
        let (head, tail) = (kept.div_ceil(2), kept / 2);
        let tail = &letters[letters.len() - tail..];
        letters[..head].iter().chain(&['\u{2026}']).chain(tail).collect()
    };
    let fitting = (1..letters.len()).rev().map(shortened).find(|name| paint::width(name, size, bold) <= limit);
    fitting.unwrap_or_default()
}

/// Breaks text into at most `lines` lines of a width in points, between words and, in words that
/// no line holds, after slashes; the last line is shortened, in its middle if it is one word.
pub(super) fn wrap(text: &str, size: f64, limit: f64, lines: usize) -> Vec<String> {
    // Every part with what joins it to the part before.
    let mut parts: Vec<(&str, &str)> = Vec::new();
    for word in text.split_whitespace() {
        if paint::width(word, size, false) <= limit {
            parts.push((" ", word));
        } else {
            parts.extend(word.split_inclusive('/').enumerate().map(|(i, part)| (if i == 0 { " " } else { "" }, part)));
        }
    }
    let mut wrapped: Vec<String> = Vec::new();
    let mut line = String::new();
    for (joint, part) in parts {
        let candidate = if line.is_empty() { part.to_owned() } else { format!("{line}{joint}{part}") };
        let full = paint::width(&candidate, size, false) > limit;
        if line.is_empty() || !full || wrapped.len() + 1 == lines {
            line = candidate;
        } else {
            wrapped.push(std::mem::replace(&mut line, part.to_owned()));
        }
    }
    wrapped.push(line);
    let shorten = |line: &String| {
        if line.contains(' ') { fit(line, size, false, limit) } else { fit_name(line, size, false, limit) }
    };
    wrapped.iter().map(shorten).collect()
}

/// Draws the key of a legend's entry, centred on a point.
pub(super) type Key<'a> = Box<dyn Fn(&mut Scene, (f64, f64)) + 'a>;

/// An entry of a legend: draws its key at a point, and says what it means.
pub(super) type Entry<'a> = (Key<'a>, String);

/// Height of a legend's row in points.
const LEGEND_ROW: f64 = 11.0;

/// Draws a legend in rows from left to right; returns the height it took.
pub(super) fn legend(scene: &mut Scene, at: (f64, f64), width: f64, entries: &[Entry]) -> f64 {
    for ((key, label), (x, y)) in entries.iter().zip(legend_places(width, entries)) {
        key(scene, (at.0 + x + 6.0, at.1 + y));
        scene.text((at.0 + x + 15.0, at.1 + y), label.clone(), Style::new(SMALL, INK));
    }
    legend_height(width, entries)
}

/// Height that [`legend`] takes.
pub(super) fn legend_height(width: f64, entries: &[Entry]) -> f64 {
    legend_places(width, entries).last().map_or(0.0, |place| place.1) + LEGEND_ROW
}

/// Places of the entries from the upper left corner.
fn legend_places(width: f64, entries: &[Entry]) -> Vec<(f64, f64)> {
    let (mut x, mut y) = (0.0, 0.0);
    entries
        .iter()
        .map(|(_, label)| {
            let taken = 16.0 + paint::width(label, SMALL, false) + 10.0;
            if x + taken > width && x > 0.0 {
                (x, y) = (0.0, y + LEGEND_ROW);
            }
            let place = (x, y);
            x += taken;
            place
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legend_takes_the_height_of_its_rows() {
        let entries = |count: usize| -> Vec<Entry> {
            (0..count).map(|index| -> Entry { (stroke(INK, 1.0), format!("series {index}")) }).collect()
        };
        assert_eq!(legend_height(300.0, &entries(2)), LEGEND_ROW);
        assert_eq!(legend_height(60.0, &entries(3)), 3.0 * LEGEND_ROW);
        let mut scene = Scene::new(60.0, 60.0);
        assert_eq!(legend(&mut scene, (5.0, 7.0), 60.0, &entries(3)), 3.0 * LEGEND_ROW);
        let heights = scene.shapes.iter().filter_map(|shape| match shape {
            super::super::scene::Shape::Text { at, .. } => Some(at.1),
            _ => None,
        });
        assert_eq!(heights.collect::<Vec<_>>(), [7.0, 18.0, 29.0]);
    }

    #[test]
    fn text_that_does_not_fit_ends_in_an_ellipsis() {
        assert_eq!(fit("kd", SMALL, false, 100.0), "kd");
        let short = fit("teacher and student", SMALL, false, 40.0);
        assert!(short.ends_with('\u{2026}') && paint::width(&short, SMALL, false) <= 40.0, "{short}");
        assert_eq!(wrap("one two three", SMALL, 30.0, 2), ["one two", "three"]);
        assert_eq!(wrap("one two three", SMALL, 30.0, 1), [fit("one two three", SMALL, false, 30.0)]);
        assert_eq!(wrap("mistral/teacher/dskd", SMALL, 60.0, 2), ["mistral/teacher/", "dskd"]);
        let name = fit_name("mistral/teacher/dskd", SMALL, false, 45.0);
        assert!(name.starts_with("mis") && name.ends_with("skd") && name.contains('\u{2026}'), "{name}");
        assert!(paint::width(&name, SMALL, false) <= 45.0);
    }
}
