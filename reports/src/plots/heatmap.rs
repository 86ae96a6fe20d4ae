//! Significance heat maps: contrasts in rows, metrics in columns, coloured by signed effect.

use super::palette::{FAINT, INK, WHITE, diverging, is_light};
use super::panel::{MEDIUM, SMALL, fit, wrap};
use super::scene::{Colour, Scene, Style};
use crate::contrast::Contrast;
use crate::number;
use crate::statistics::P;

/// Effects at which colour may be full: the least of these that no cell exceeds. A large effect after
/// Cohen (1988) is 0.8.
const FULL: [f64; 9] = [0.8, 1.2, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0];

/// Width of the scale of standardised effects in points.
const BAR: f64 = 40.0;

/// Least width of a cell that holds the digits of a value, in points; colour alone is left in narrower ones.
const NARROW: f64 = 14.0;

/// Longest head of a column in points.
const LONGEST_HEAD: f64 = 80.0;

/// One cell of the map.
#[derive(Clone)]
pub(super) struct Cell {
    /// Standardised effect; positive favours the row.
    pub(super) effect: f64,
    /// Adjusted p value.
    pub(super) p: P,
    /// Whether the experiment declared this test.
    pub(super) declared: bool,
    /// What it says, where that is not the effect.
    pub(super) text: Option<String>,
}

impl Cell {
    /// Takes the cell of a contrast; nothing where it has no standardised effect.
    pub(super) fn of(contrast: &Contrast, p: P, declared: bool) -> Option<Self> {
        let effect = contrast.standardised?;
        Some(Self { effect, p, declared, text: None })
    }

    /// Takes the cell of a value that is by so much better than others.
    pub(super) fn of_value(better_by: f64, text: String) -> Self {
        Self { effect: better_by, p: P::exact(1.0), declared: false, text: Some(text) }
    }

    /// Stars of significance.
    fn stars(&self) -> &'static str {
        match self.p.value {
            p if p < 0.001 => "***",
            p if p < 0.01 => "**",
            p if p < 0.05 => "*",
            _ => "",
        }
    }
}

/// One row of the map.
pub(super) struct Row {
    /// Head of the row.
    pub(super) label: String,
    /// A cell per metric.
    pub(super) cells: Vec<Option<Cell>>,
}

/// Effect from which on colours go by the logarithm: a small one after Cohen (1988).
const SMALL_EFFECT: f64 = 0.2;
/// Effect that the scale marks on the way to its ends: a large one after Cohen (1988).
const LARGE_EFFECT: f64 = 0.8;

/// The colours of a map: evenly by effect where it is small and by its logarithm where it is not, so that
/// small effects are told apart beside large ones and none is beyond the scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Colours {
    /// Effect of the full colour.
    full: f64,
    /// Effect up to which colours go evenly.
    small: f64,
    /// Decimals of the scale.
    decimals: usize,
}

impl Colours {
    /// The colours of standardised effects.
    pub(super) fn of(rows: &[Row]) -> Self {
        let largest = Self::largest(rows);
        let full = FULL.into_iter().find(|full| *full >= largest).unwrap_or(largest.ceil());
        Self { full, small: SMALL_EFFECT, decimals: 1 }
    }

    /// The colours of differences in the unit of a metric, which have no size that is large as such.
    pub(super) fn of_differences(rows: &[Row]) -> Self {
        let full = Some(Self::largest(rows)).filter(|largest| *largest > 0.0).unwrap_or(1.0);
        let decimals = match full {
            full if full >= 100.0 => 0,
            full if full >= 10.0 => 1,
            full if full >= 0.1 => 2,
            _ => 3,
        };
        Self { full, small: full / 4.0, decimals }
    }

    /// Whether effects are standardised, which has a meaning of small and large.
    fn is_standardised(self) -> bool {
        self.small == SMALL_EFFECT
    }

    /// Width of the scale with its labels in points.
    fn width(self) -> f64 {
        let label = super::paint::width(&number::signed(self.full, self.decimals), SMALL, false);
        if self.is_standardised() { BAR } else { (22.0 + label).max(BAR) }
    }

    fn largest(rows: &[Row]) -> f64 {
        let cells = rows.iter().flat_map(|row| row.cells.iter().flatten());
        cells.map(|cell| cell.effect.abs()).fold(0.0, f64::max)
    }

    fn at(self, effect: f64) -> Colour {
        diverging(self.share(effect))
    }

    /// Place on the scale, -1 to 1.
    fn share(self, effect: f64) -> f64 {
        let grown = |effect: f64| (effect / self.small).ln_1p();
        effect.signum() * grown(effect.abs()) / grown(self.full)
    }
}

/// Draws a map of the given width in points.
pub(super) fn heatmap(columns: &[String], rows: &[Row], colours: Colours, width: f64) -> Scene {
    let longest = rows.iter().map(|row| super::paint::width(&row.label, MEDIUM, false));
    let head = (longest.fold(0.0, f64::max) + 9.0).min(width * 0.3);
    let bar = colours.width();
    let cell_width = (width - head - bar) / columns.len() as f64;
    // Heads stand upright where a word would touch its neighbour: all alike, at one size.
    let fits = |word: &str| super::paint::width(word, SMALL, true) <= cell_width - 4.0;
    let upright = !columns.iter().flat_map(|column| column.split_whitespace()).all(fits);
    let longest = columns.iter().map(|column| super::paint::width(column, SMALL, true)).fold(0.0, f64::max);
    let top = if upright { longest.min(LONGEST_HEAD) + 9.0 } else { 26.0 };
    let wrapped: Vec<Vec<String>> = rows.iter().map(|row| wrap(&row.label, MEDIUM, head - 8.0, 2)).collect();
    let tall = if wrapped.iter().any(|lines| lines.len() > 1) { 21.0 } else { 12.5 };
    let height = top + tall * rows.len() as f64 + 6.0;
    let mut scene = Scene::new(width, height.max(top + 66.0));
    for (index, column) in columns.iter().enumerate() {
        let x = head + (index as f64 + 0.5) * cell_width;
        if upright {
            let text = fit(column, SMALL, true, LONGEST_HEAD);
            scene.text((x, top - 5.0), text, Style::new(SMALL, INK).bold().up());
            continue;
        }
        let lines = wrap(column, SMALL, cell_width - 1.0, 2);
        for (line, text) in lines.iter().enumerate() {
            let y = top - 7.0 - 9.0 * (lines.len() - 1 - line) as f64;
            scene.text((x, y), text.clone(), Style::new(SMALL, INK).bold().middle());
        }
    }
    for (index, (row, label)) in rows.iter().zip(&wrapped).enumerate() {
        let y = top + index as f64 * tall;
        for (line, text) in label.iter().enumerate() {
            let shift = 9.0 * (line as f64 - (label.len() as f64 - 1.0) / 2.0);
            scene.text((head - 6.0, y + tall / 2.0 + shift), text.clone(), Style::new(MEDIUM, INK).end());
        }
        for (column, cell) in row.cells.iter().enumerate() {
            let x = head + column as f64 * cell_width;
            paint_cell(&mut scene, colours, cell.as_ref(), (x, y), (cell_width, tall));
        }
    }
    // Outlines last, so that neighbours do not cover them.
    for (index, row) in rows.iter().enumerate() {
        for (column, cell) in row.cells.iter().enumerate() {
            if cell.as_ref().is_some_and(|cell| cell.declared) {
                let at = (head + column as f64 * cell_width, top + index as f64 * tall);
                scene.frame(at, (cell_width, tall), 1.3, INK);
            }
        }
    }
    colour_bar(&mut scene, colours, (width - bar + 10.0, top), height - top - 6.0);
    scene
}

fn paint_cell(scene: &mut Scene, colours: Colours, cell: Option<&Cell>, at: (f64, f64), (w, h): (f64, f64)) {
    let inner = ((at.0 + 0.5, at.1 + 0.5), (w - 1.0, h - 1.0));
    let middle = (at.0 + w / 2.0, at.1 + h / 2.0);
    let Some(cell) = cell else {
        scene.rectangle(inner.0, inner.1, (240, 241, 244));
        scene.text(middle, "n/a", Style::new(SMALL, FAINT).middle());
        return;
    };
    let colour = colours.at(cell.effect);
    scene.rectangle(inner.0, inner.1, colour);
    let stars = cell.stars();
    if cell.text.is_some() && w < NARROW {
        return;
    }
    let ink = if is_light(colour) { INK } else { WHITE };
    let text = cell.text.clone().unwrap_or_else(|| format!("{}{stars}", number::signed(cell.effect, 2)));
    let bold = !stars.is_empty();
    let taken = super::paint::width(&text, SMALL, bold);
    let size = (SMALL * (w - 4.0) / taken).clamp(5.0, SMALL);
    let style = Style::new(size, ink).middle();
    scene.text(middle, text, if bold { style.bold() } else { style });
}

fn colour_bar(scene: &mut Scene, colours: Colours, (x, y): (f64, f64), height: f64) {
    let height = height.clamp(60.0, 150.0);
    let steps = 60;
    for step in 0..steps {
        let share = f64::from(step) / f64::from(steps - 1);
        let at = (x, y + height * f64::from(step) / f64::from(steps));
        let size = (8.0, height / f64::from(steps) + 0.3);
        scene.rectangle(at, size, diverging(1.0 - 2.0 * share));
    }
    scene.frame((x, y), (8.0, height), 0.5, FAINT);
    let full = colours.full;
    let is_long = colours.is_standardised() && full > 1.5 * LARGE_EFFECT;
    let inner = [LARGE_EFFECT, -LARGE_EFFECT].into_iter().filter(|_| is_long);
    for value in [full, 0.0, -full].into_iter().chain(inner) {
        let share = colours.share(value);
        // At the ends the label stays beside the bar.
        let inset = if value.abs() == full { 4.0 * share } else { 0.0 };
        let at = (x + 11.0, y + height * (1.0 - share) / 2.0 + inset);
        scene.text(at, number::signed(value, colours.decimals), Style::new(SMALL, FAINT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_beyond_the_colours_and_small_ones_show() {
        let cell = |effect| Some(Cell { effect, p: P::exact(0.01), declared: false, text: None });
        let rows = [Row { label: "a".into(), cells: vec![cell(-2.6), cell(0.1), None] }];
        let colours = Colours::of(&rows);
        assert_eq!(colours.full, 3.0);
        assert_ne!(colours.at(-2.6), colours.at(-3.0));
        // A thirtieth of the scale has a seventh of the colour, the ends have all of it.
        assert!((colours.share(0.1) - 1.5_f64.ln() / 16.0_f64.ln()).abs() < 1e-12);
        assert_eq!((colours.share(3.0), colours.share(-3.0), colours.share(0.0)), (1.0, -1.0, 0.0));
        let beyond = [Row { label: "a".into(), cells: vec![cell(33.3)] }];
        assert_eq!((Colours::of(&beyond).full, Colours::of(&[]).full), (34.0, 0.8));
    }

    #[test]
    fn differences_take_the_whole_scale_whatever_their_unit() {
        let row =
            |largest: f64| [Row { label: "a".into(), cells: vec![Some(Cell::of_value(largest, "0.45".into())), None] }];
        for largest in [0.02, 30.0] {
            let colours = Colours::of_differences(&row(largest));
            assert_eq!((colours.share(largest), colours.share(-largest)), (1.0, -1.0));
            assert!(colours.share(largest / 4.0) > 0.4);
        }
        assert_eq!(Colours::of_differences(&row(0.0)).share(0.0), 0.0);
    }

    #[test]
    fn stars_say_how_small_p_is() {
        let stars = |p| Cell { effect: 0.3, p: P::exact(p), declared: true, text: None }.stars();
        assert_eq!([0.0005, 0.005, 0.04, 0.05].map(stars), ["***", "**", "*", ""]);
    }
}
