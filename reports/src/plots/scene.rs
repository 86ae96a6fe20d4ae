//! A figure as a list of shapes in points, independent of any file format.

/// Colour of a shape: red, green, blue.
pub(super) type Colour = (u8, u8, u8);

/// Where text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// The point is at its left end.
    Start,
    /// The point is at its middle.
    Middle,
    /// The point is at its right end.
    End,
}

/// Which way text runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// From left to right.
    None,
    /// From bottom to top.
    Up,
}

/// How text is set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Style {
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) colour: Colour,
    pub(super) anchor: Anchor,
    pub(super) turn: Turn,
}

/// A shape; coordinates in points from the upper left corner.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// A line through points.
    Line { points: Vec<(f64, f64)>, width: f64, colour: Colour, opacity: f64 },
    /// A filled polygon.
    Area { points: Vec<(f64, f64)>, colour: Colour, opacity: f64 },
    /// A circle: filled, or a ring of the given width.
    Circle { centre: (f64, f64), radius: f64, colour: Colour, ring: Option<f64> },
    /// Text, vertically centred on its point.
    Text { at: (f64, f64), text: String, style: Style },
}

/// Holds the shapes of one figure.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scene {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) shapes: Vec<Shape>,
}

impl Style {
    pub(super) fn new(size: f64, colour: Colour) -> Self {
        Self { size, bold: false, colour, anchor: Anchor::Start, turn: Turn::None }
    }

    pub(super) fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub(super) fn middle(self) -> Self {
        Self { anchor: Anchor::Middle, ..self }
    }

    pub(super) fn end(self) -> Self {
        Self { anchor: Anchor::End, ..self }
    }

    pub(super) fn up(self) -> Self {
        Self { turn: Turn::Up, ..self }
    }
}

impl Scene {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, shapes: Vec::new() }
    }

    pub(super) fn line(&mut self, points: &[(f64, f64)], width: f64, colour: Colour) {
        self.faint_line(points, width, colour, 1.0);
    }

    pub(super) fn faint_line(&mut self, points: &[(f64, f64)], width: f64, colour: Colour, opacity: f64) {
        if points.len() > 1 {
            self.shapes.push(Shape::Line { points: points.to_vec(), width, colour, opacity });
        }
    }

    pub(super) fn area(&mut self, points: &[(f64, f64)], colour: Colour, opacity: f64) {
        self.shapes.push(Shape::Area { points: points.to_vec(), colour, opacity });
    }

    pub(super) fn rectangle(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), colour: Colour) {
        self.area(&[(x, y), (x + w, y), (x + w, y + h), (x, y + h)], colour, 1.0);
    }

    pub(super) fn frame(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), width: f64, colour: Colour) {
        self.line(&[(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)], width, colour);
    }

    /// Draws diagonal stripes inside a rectangle.
    pub(super) fn hatch(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), colour: Colour) {
        let gap = 3.5;
        let mut offset = gap / 2.0;
        while offset < w + h {
            let start = (x + (offset - h).max(0.0), y + offset.min(h));
            let end = (x + offset.min(w), y + (offset - w).max(0.0));
            self.line(&[start, end], 0.8, colour);
            offset += gap;
        }
    }

    pub(super) fn circle(&mut self, centre: (f64, f64), radius: f64, colour: Colour, ring: Option<f64>) {
        self.shapes.push(Shape::Circle { centre, radius, colour, ring });
    }

    /// Writes a line of text; what XML cannot hold becomes U+FFFD.
    pub(super) fn text(&mut self, at: (f64, f64), text: impl Into<String>, style: Style) {
        let drawn = |c: char| match c {
            '\n' | '\r' | '\t' => ' ',
            '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
            control if control.is_control() => '\u{fffd}',
            other => other,
        };
        let text = text.into().chars().map(drawn).collect();
        self.shapes.push(Shape::Text { at, text, style });
    }
}
