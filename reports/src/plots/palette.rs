//! Colours: told apart by readers of all kinds of colour vision.

use super::scene::Colour;

/// Text and axes.
pub(super) const INK: Colour = (26, 31, 43);
/// Secondary text.
pub(super) const FAINT: Colour = (104, 112, 127);
/// Grid lines.
pub(super) const GRID: Colour = (226, 229, 235);
/// Areas behind everything.
pub(super) const BAND: Colour = (238, 241, 247);
/// Paper.
pub(super) const WHITE: Colour = (255, 255, 255);

/// Okabe and Ito (2008), "Color universal design", without yellow, which fades on white.
const SERIES: [Colour; 7] =
    [(0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (90, 90, 90)];

/// How many series have a colour of their own.
pub(super) const COLOURS: usize = SERIES.len();

/// Colour of a series; they repeat after [`COLOURS`].
pub(super) fn series(index: usize) -> Colour {
    SERIES[index % SERIES.len()]
}

/// Colour of a signed value in -1..1: orange below zero, white at it, blue above.
pub(super) fn diverging(value: f64) -> Colour {
    let value = value.clamp(-1.0, 1.0);
    let end = if value < 0.0 { (191, 84, 0) } else { (0, 90, 160) };
    let blend = |to: u8| (255.0 + (f64::from(to) - 255.0) * value.abs()).round() as u8;
    (blend(end.0), blend(end.1), blend(end.2))
}

/// Whether dark text is readable on a colour, by its relative luminance.
pub(super) fn is_light((red, green, blue): Colour) -> bool {
    0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue) > 140.0
}
