//! Scenes as SVG and PNG, through plotters' backends.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use plotters::prelude::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, FontTransform, IntoFont, RGBAColor, RGBColor, ShapeStyle, TextStyle};

use super::fonts;
use super::scene::{Anchor, Colour, Scene, Shape, Style, Turn};

/// Units of the SVG per point: plotters counts in whole units, so this is the precision.
const SVG_SCALE: f64 = 10.0;
/// Pixels of the PNG per point: 192 per inch, twice a screen's 96.
const PNG_SCALE: f64 = 192.0 / 72.0;
/// Samples per pixel and side when painting, averaged afterwards: plotters does not smooth edges.
const SAMPLES: usize = 3;
/// plotters divides the size of text in SVG by this.
const SVG_LINE: f64 = 1.24;
/// Half the height of Lato's capitals in em: how far below its centre a line's baseline is.
const HALF_CAPITAL: f64 = 0.36;
/// Where plotters puts the baseline of SVG text below its point: 0.5ex, in em of Lato.
const HALF_EX: f64 = 0.253;

static REGULAR: LazyLock<FontRef> = LazyLock::new(|| embedded(fonts::REGULAR));
static BOLD: LazyLock<FontRef> = LazyLock::new(|| embedded(fonts::BOLD));

fn embedded(bytes: &'static [u8]) -> FontRef<'static> {
    FontRef::try_from_slice(bytes).expect("the embedded file is a font")
}

fn font(bold: bool) -> &'static FontRef<'static> {
    if bold { &BOLD } else { &REGULAR }
}

/// Paints a scene as SVG, sized in points.
pub(super) fn svg(scene: &Scene) -> Result<String, String> {
    let size = ((scene.width * SVG_SCALE).ceil() as u32, (scene.height * SVG_SCALE).ceil() as u32);
    let mut text = String::new();
    {
        let mut backend = SVGBackend::with_string(&mut text, size);
        shapes(&mut backend, scene, SVG_SCALE, Text::Draw)?;
        backend.present().map_err(said)?;
    }
    let drawn = format!("width=\"{}\" height=\"{}\"", size.0, size.1);
    let wanted = format!("width=\"{}pt\" height=\"{}pt\"", scene.width, scene.height);
    // Viewers without the font take the next best.
    let family = format!("font-family=\"{}\"", fonts::FAMILY);
    let families = format!("font-family=\"{}, Helvetica, Arial, sans-serif\"", fonts::FAMILY);
    Ok(text.replacen(&drawn, &wanted, 1).replace(&family, &families))
}

/// Paints a scene as PNG at 192 pixels per inch.
pub(super) fn png(scene: &Scene) -> Result<Vec<u8>, String> {
    let width = (scene.width * PNG_SCALE).ceil() as usize;
    let height = (scene.height * PNG_SCALE).ceil() as usize;
    let (fine_width, fine_height) = (width * SAMPLES, height * SAMPLES);
    let mut fine = vec![255_u8; fine_width * fine_height * 3];
    {
        let size = (fine_width as u32, fine_height as u32);
        let mut backend = BitMapBackend::with_buffer(&mut fine, size);
        let scale = PNG_SCALE * SAMPLES as f64;
        shapes(&mut backend, scene, scale, Text::Leave)?;
        backend.present().map_err(said)?;
    }
    let scale = PNG_SCALE * SAMPLES as f64;
    for shape in &scene.shapes {
        if let Shape::Text { at, text, style } = shape {
            let at = (at.0 * scale, at.1 * scale);
            draw_text(&mut fine, fine_width, at, text, style, scale);
        }
    }
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let mut sum = 0_usize;
                for row in 0..SAMPLES {
                    let start = ((y * SAMPLES + row) * fine_width + x * SAMPLES) * 3 + channel;
                    sum += (0..SAMPLES).map(|s| usize::from(fine[start + 3 * s])).sum::<usize>();
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
    advances(text, font(bold), size).1
}

/// Horizontal position of every character from the start, and the width of all.
fn advances(text: &str, font: &FontRef, size: f64) -> (Vec<f64>, f64) {
    let em = size / f64::from(font.units_per_em().unwrap_or(1000.0));
    let mut positions = Vec::new();
    let mut at = 0.0;
    let mut before: Option<char> = None;
    for character in text.chars() {
        let glyph = font.glyph_id(character);
        // The font also kerns against the space, which closes gaps between words.
        if let Some(before) = before.filter(|c| *c != ' ' && character != ' ') {
            at += f64::from(font.kern_unscaled(font.glyph_id(before), glyph)) * em;
        }
        positions.push(at);
        at += f64::from(font.h_advance_unscaled(glyph)) * em;
        before = Some(character);
    }
    (positions, at)
}

/// Draws text into RGB pixels: plotters places glyphs on whole pixels and has no bold.
fn draw_text(pixels: &mut [u8], width: usize, at: (f64, f64), text: &str, style: &Style, scale: f64) {
    let font = font(style.bold);
    let size = style.size * scale;
    let (positions, length) = advances(text, font, size);
    let start = match style.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -length / 2.0,
        Anchor::End => -length,
    };
    // ab_glyph scales by line height, not by em.
    let height = font.height_unscaled() / font.units_per_em().unwrap_or(1000.0);
    let px = PxScale::from(size as f32 * height);
    let rows = pixels.len() / 3 / width;
    for (character, position) in text.chars().zip(positions) {
        let origin = point((start + position) as f32, (HALF_CAPITAL * size) as f32);
        let glyph = font.as_scaled(px).scaled_glyph(character).id;
        let Some(outline) = font.outline_glyph(glyph.with_scale_and_position(px, origin)) else {
            continue;
        };
        let bounds = outline.px_bounds();
        outline.draw(|x, y, coverage| {
            let along = f64::from(bounds.min.x) + f64::from(x);
            let across = f64::from(bounds.min.y) + f64::from(y);
            let (x, y) = match style.turn {
                Turn::None => (at.0 + along, at.1 + across),
                Turn::Up => (at.0 + across, at.1 - along),
            };
            let (x, y) = (x.round(), y.round());
            if x < 0.0 || y < 0.0 || x >= width as f64 || y >= rows as f64 {
                return;
            }
            let start = (y as usize * width + x as usize) * 3;
            let ink = [style.colour.0, style.colour.1, style.colour.2];
            for (pixel, ink) in pixels[start..start + 3].iter_mut().zip(ink) {
                let blend = f32::from(*pixel) + (f32::from(ink) - f32::from(*pixel)) * coverage.min(1.0);
                *pixel = blend.round() as u8;
            }
        });
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Draw,
    Leave,
}

fn shapes<B: DrawingBackend>(backend: &mut B, scene: &Scene, scale: f64, texts: Text) -> Result<(), String> {
    let point = |(x, y): (f64, f64)| ((x * scale).round() as i32, (y * scale).round() as i32);
    let points = |list: &[(f64, f64)]| list.iter().map(|&p| point(p)).collect::<Vec<_>>();
    let white = shape((255, 255, 255), 1.0, 0);
    backend.draw_rect((0, 0), point((scene.width, scene.height)), &white, true).map_err(said)?;
    for item in &scene.shapes {
        match item {
            Shape::Line { points: list, width, colour, opacity } => {
                let stroke = (width * scale).round().max(1.0) as u32;
                backend.draw_path(points(list), &shape(*colour, *opacity, stroke)).map_err(said)?;
            }
            Shape::Area { points: list, colour, opacity } => {
                let style = shape(*colour, *opacity, 0);
                backend.fill_polygon(points(list), &style).map_err(said)?;
            }
            Shape::Circle { centre, radius, colour, ring } => {
                // A ring is painted as two discs: plotters' bitmap ring has a width of one unit.
                let outer = (radius * scale).round() as u32;
                backend.draw_circle(point(*centre), outer, &shape(*colour, 1.0, 0), true).map_err(said)?;
                if let Some(width) = ring {
                    let inner = ((radius - width) * scale).round().max(0.0) as u32;
                    backend.draw_circle(point(*centre), inner, &white, true).map_err(said)?;
                }
            }
            Shape::Text { .. } if texts == Text::Leave => {}
            Shape::Text { at, text, style } => {
                let colour = RGBColor(style.colour.0, style.colour.1, style.colour.2);
                let lower = (HALF_CAPITAL - HALF_EX) * style.size;
                let at = match style.turn {
                    Turn::None => (at.0, at.1 + lower),
                    Turn::Up => (at.0 + lower, at.1),
                };
                let style = text_style(style, scale * SVG_LINE, &colour);
                backend.draw_text(text, &style, point(at)).map_err(said)?;
            }
        }
    }
    Ok(())
}

fn shape(colour: Colour, opacity: f64, stroke: u32) -> ShapeStyle {
    let colour: RGBAColor = RGBColor(colour.0, colour.1, colour.2).mix(opacity);
    ShapeStyle { color: colour, filled: stroke == 0, stroke_width: stroke }
}

fn text_style<'a>(style: &Style, scale: f64, colour: &'a RGBColor) -> TextStyle<'a> {
    let weight = if style.bold { FontStyle::Bold } else { FontStyle::Normal };
    let transform = match style.turn {
        Turn::None => FontTransform::None,
        Turn::Up => FontTransform::Rotate270,
    };
    let horizontal = match style.anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    let font = (fonts::FAMILY, style.size * scale).into_font().style(weight).transform(transform);
    TextStyle::from(font).color(colour).pos(Pos::new(horizontal, VPos::Center))
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup_and_always_xml() {
        let mut scene = Scene::new(100.0, 20.0);
        let hostile = "<script>alert('1')</script>&amp;\" onload=\"x\u{0}\u{1b}\u{ffff}";
        scene.text((1.0, 10.0), hostile, Style::new(8.0, (0, 0, 0)));
        let svg = svg(&scene).unwrap();
        assert!(!svg.contains("<script") && !svg.contains("onload=\""), "{svg}");
        assert!(svg.contains("&lt;script&gt;") && svg.contains("&amp;amp;&quot;"), "{svg}");
        assert!(svg.contains("x\u{fffd}\u{fffd}\u{fffd}"), "{svg}");
        assert!(png(&scene).unwrap().starts_with(b"\x89PNG"));
    }
}
