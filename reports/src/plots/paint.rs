//! Scenes as SVG and PNG, through plotters' backends.

use std::sync::Once;

use plotters::prelude::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontDesc, FontFamily, FontStyle, FontTransform, IntoFont, RGBAColor, RGBColor,
    ShapeStyle, TextStyle, register_font,
};

use super::fonts;
use super::scene::{Anchor, Colour, Scene, Shape, Style, Turn};

/// Units of the SVG per point: plotters counts in whole units, so this is the precision.
const SVG_SCALE: f64 = 10.0;
/// Pixels of the PNG per point: 192 per inch, twice a screen's 96.
const PNG_SCALE: f64 = 192.0 / 72.0;
/// Samples per pixel and side when painting, averaged afterwards: plotters does not smooth edges.
const SAMPLES: usize = 3;
/// plotters takes a font's size as its line height: 1.24 em in SVG, the font's own 1.2 in bitmaps.
const SVG_LINE: f64 = 1.24;
const BITMAP_LINE: f64 = 1.2;

/// Paints a scene as SVG, sized in points.
pub(super) fn svg(scene: &Scene) -> Result<String, String> {
    register();
    let size = (
        (scene.width * SVG_SCALE).ceil() as u32,
        (scene.height * SVG_SCALE).ceil() as u32,
    );
    let mut text = String::new();
    {
        let mut backend = SVGBackend::with_string(&mut text, size);
        paint(&mut backend, scene, SVG_SCALE, SVG_LINE)?;
        backend.present().map_err(said)?;
    }
    let drawn = format!("width=\"{}\" height=\"{}\"", size.0, size.1);
    let wanted = format!("width=\"{}pt\" height=\"{}pt\"", scene.width, scene.height);
    Ok(text.replacen(&drawn, &wanted, 1))
}

/// Paints a scene as PNG at 192 pixels per inch.
pub(super) fn png(scene: &Scene) -> Result<Vec<u8>, String> {
    register();
    let width = (scene.width * PNG_SCALE).ceil() as usize;
    let height = (scene.height * PNG_SCALE).ceil() as usize;
    let (fine_width, fine_height) = (width * SAMPLES, height * SAMPLES);
    let mut fine = vec![255_u8; fine_width * fine_height * 3];
    {
        let size = (fine_width as u32, fine_height as u32);
        let mut backend = BitMapBackend::with_buffer(&mut fine, size);
        let scale = PNG_SCALE * SAMPLES as f64;
        paint(&mut backend, scene, scale, BITMAP_LINE)?;
        backend.present().map_err(said)?;
    }
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let mut sum = 0_usize;
                for row in 0..SAMPLES {
                    let start = ((y * SAMPLES + row) * fine_width + x * SAMPLES) * 3 + channel;
                    sum += (0..SAMPLES)
                        .map(|s| usize::from(fine[start + 3 * s]))
                        .sum::<usize>();
                }
                pixels.push(((sum + SAMPLES * SAMPLES / 2) / (SAMPLES * SAMPLES)) as u8);
            }
        }
    }
    encode(&pixels, width as u32, height as u32).map_err(said)
}

fn encode(pixels: &[u8], width: u32, height: u32) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: (PNG_SCALE * 72.0 / 0.0254).round() as u32,
        yppu: (PNG_SCALE * 72.0 / 0.0254).round() as u32,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// Measures the width of text in points.
pub(super) fn width(text: &str, size: f64, bold: bool) -> f64 {
    register();
    // Measured large, because plotters rounds to whole units.
    let large = 1000.0;
    let style = if bold {
        FontStyle::Bold
    } else {
        FontStyle::Normal
    };
    let font: FontDesc = (FontFamily::Name(fonts::FAMILY), large * BITMAP_LINE, style).into();
    font.box_size(text)
        .map_or(0.0, |(width, _)| f64::from(width) * size / large)
}

fn register() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        for (style, bytes) in [
            (FontStyle::Normal, fonts::REGULAR),
            (FontStyle::Bold, fonts::BOLD),
        ] {
            // The embedded files are fonts; a test draws with both.
            let _ = register_font(fonts::FAMILY, style, bytes);
        }
    });
}

fn paint<B: DrawingBackend>(
    backend: &mut B,
    scene: &Scene,
    scale: f64,
    line_height: f64,
) -> Result<(), String> {
    let point = |(x, y): (f64, f64)| ((x * scale).round() as i32, (y * scale).round() as i32);
    let points = |list: &[(f64, f64)]| list.iter().map(|&p| point(p)).collect::<Vec<_>>();
    let white = shape((255, 255, 255), 1.0, 0);
    backend
        .draw_rect((0, 0), point((scene.width, scene.height)), &white, true)
        .map_err(said)?;
    for item in &scene.shapes {
        match item {
            Shape::Line {
                points: list,
                width,
                colour,
                opacity,
            } => {
                let stroke = (width * scale).round().max(1.0) as u32;
                backend
                    .draw_path(points(list), &shape(*colour, *opacity, stroke))
                    .map_err(said)?;
            }
            Shape::Area {
                points: list,
                colour,
                opacity,
            } => {
                let style = shape(*colour, *opacity, 0);
                backend.fill_polygon(points(list), &style).map_err(said)?;
            }
            Shape::Circle {
                centre,
                radius,
                colour,
                ring,
            } => {
                // A ring is painted as two discs: plotters' bitmap ring has a width of one unit.
                let outer = (radius * scale).round() as u32;
                backend
                    .draw_circle(point(*centre), outer, &shape(*colour, 1.0, 0), true)
                    .map_err(said)?;
                if let Some(width) = ring {
                    let inner = ((radius - width) * scale).round().max(0.0) as u32;
                    backend
                        .draw_circle(point(*centre), inner, &white, true)
                        .map_err(said)?;
                }
            }
            Shape::Text { at, text, style } => {
                let colour = RGBColor(style.colour.0, style.colour.1, style.colour.2);
                let style = text_style(style, scale * line_height, &colour);
                backend.draw_text(text, &style, point(*at)).map_err(said)?;
            }
        }
    }
    Ok(())
}

fn shape(colour: Colour, opacity: f64, stroke: u32) -> ShapeStyle {
    let colour: RGBAColor = RGBColor(colour.0, colour.1, colour.2).mix(opacity);
    ShapeStyle {
        color: colour,
        filled: stroke == 0,
        stroke_width: stroke,
    }
}

fn text_style<'a>(style: &Style, scale: f64, colour: &'a RGBColor) -> TextStyle<'a> {
    let weight = if style.bold {
        FontStyle::Bold
    } else {
        FontStyle::Normal
    };
    let transform = match style.turn {
        Turn::None => FontTransform::None,
        Turn::Up => FontTransform::Rotate270,
    };
    let horizontal = match style.anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    let font = (fonts::FAMILY, style.size * scale)
        .into_font()
        .style(weight)
        .transform(transform);
    TextStyle::from(font)
        .color(colour)
        .pos(Pos::new(horizontal, VPos::Center))
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
