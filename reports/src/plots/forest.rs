//! The effects of all hypotheses with their intervals, on one scale free of units.

use super::axis::{Axis, Scale};
use super::paint::width as width_of;
use super::palette::{BAND, FAINT, GRID, INK, series};
use super::panel::{MEDIUM, SMALL, fit, fit_name, horizontal_axis, wrap};
use super::scene::{Colour, Scene, Style};
use crate::claims;
use crate::hypotheses::{Answer, MetricAnswer, Verdict};
use crate::number;
use crate::statistics::Interval;

/// Draws the plot; nothing when no hypothesis could be tested.
pub(super) fn forest(answers: &[Answer], width: f64) -> Option<Scene> {
    let tested = |metric: &MetricAnswer| metric.contrast.as_ref().and_then(|c| c.standardised).is_some();
    if !answers.iter().flat_map(|answer| &answer.metrics).any(tested) {
        return None;
    }
    let labels = answers.iter().flat_map(|answer| &answer.metrics).map(|metric| width_of(&metric.label, SMALL, false));
    // Names of sets behind those of metrics need more room.
    let metric_width = (labels.fold(0.0, f64::max) + 8.0).clamp(58.0, 100.0);
    let (claim, right) = (158.0, 128.0);
    let (left, end) = (claim + metric_width, width - right);
    let step = 12.0;
    let top = 18.0;
    let lines: Vec<usize> = answers.iter().map(|answer| answer.metrics.len().max(2)).collect();
    let rows = lines.iter().sum::<usize>() as f64 + 0.4 * answers.len() as f64;
    let bottom = top + rows * step;
    let mut scene = Scene::new(width, bottom + 30.0);

    let bounds = answers.iter().flat_map(|answer| &answer.metrics).filter_map(limits);
    let margins = answers.iter().flat_map(|answer| answer.metrics.iter().filter_map(|metric| margin(answer, metric)));
    let margins = margins.flat_map(|margin| [margin.low, margin.high]).filter(|limit| limit.is_finite());
    let values = bounds.flat_map(|(low, _, high)| [low, high]).chain(margins).chain([0.0]);
    let axis = Axis::spanning(values, Scale::Linear, 0.05, (left, end));
    horizontal_axis(&mut scene, &axis, top - 4.0, bottom, 5, true);
    scene.line(&[(axis.at(0.0), top - 4.0), (axis.at(0.0), bottom)], 1.0, FAINT);
    let title = Style::new(MEDIUM, INK).middle();
    let has_margins = answers.iter().any(|answer| claims::kind(&answer.claim).margin().is_some());
    let favours = if has_margins { "the better side" } else { "the claim" };
    let text = format!("Standardised effect (positive favours {favours})");
    scene.text(((left + end) / 2.0, bottom + 20.0), text, title);
    scene.text((end + 10.0, top - 10.0), "Effect [CI (Holm)], unit of the metric", Style::new(SMALL, FAINT));

    let mut y = top + step / 2.0;
    for (index, (answer, &count)) in answers.iter().zip(&lines).enumerate() {
        if index > 0 {
            let rule = y - 0.7 * step;
            scene.line(&[(0.0, rule), (width, rule)], 0.5, GRID);
        }
        scene.text((0.0, y), format!("H{}", index + 1), Style::new(MEDIUM, INK).bold());
        for (line, text) in wrap(&answer.name, MEDIUM, claim - 24.0, count.min(3)).into_iter().enumerate() {
            scene.text((15.0, y + 10.0 * line as f64), text, Style::new(MEDIUM, INK));
        }
        for (line, metric) in answer.metrics.iter().enumerate() {
            let at = y + line as f64 * step;
            let label = fit_name(&metric.label, SMALL, false, metric_width - 8.0);
            scene.text((left - 6.0, at), label, Style::new(SMALL, INK).end());
            if let Some(margin) = margin(answer, metric) {
                band(&mut scene, &axis, margin, (at, step));
            }
            row(&mut scene, &axis, metric, at, end + 10.0, right - 10.0);
        }
        y += (count as f64 + 0.4) * step;
    }
    Some(scene)
}

fn row(scene: &mut Scene, axis: &Axis, metric: &MetricAnswer, y: f64, text_at: f64, text_width: f64) {
    let (Some(estimate), Some(interval)) = (&metric.estimate, metric.interval) else {
        let text = fit("untestable", SMALL, false, text_width);
        scene.text((text_at, y), text, Style::new(SMALL, FAINT));
        return;
    };
    // Filled where the claim is significant: colour alone does not carry the meaning.
    let is_open = metric.exploratory || matches!(metric.verdict, Verdict::NotSupported);
    let ring = is_open.then_some(1.2);
    // A difference that never varies has no standardised effect: its text stands alone.
    if let Some((low, value, high)) = limits(metric) {
        let colour = colour(&metric.verdict);
        scene.line(&[(axis.at(low), y), (axis.at(high), y)], 1.3, colour);
        for end in [low, high] {
            scene.line(&[(axis.at(end), y - 2.2), (axis.at(end), y + 2.2)], 1.0, colour);
        }
        scene.circle((axis.at(value), y), 3.0, colour, ring);
    }
    if metric.contrast.is_none() {
        // Beside the line of zero, on the side that has more room.
        let zero = axis.at(0.0);
        let (right, left) = (axis.to - zero - 5.0, zero - axis.from - 5.0);
        let text = fit("not on this scale", SMALL, false, right.max(left));
        let style = Style::new(SMALL, FAINT);
        let (at, style) = if right >= left { (zero + 5.0, style) } else { (zero - 5.0, style.end()) };
        scene.text((at, y), text, style);
    }
    let digits = estimate.decimals;
    let text = format!(
        "{} [{}, {}]",
        number::signed(estimate.effect, digits),
        number::fixed(interval.low, digits),
        number::fixed(interval.high, digits)
    );
    let style = Style::new(SMALL, INK);
    let style = if ring.is_none() { style.bold() } else { style };
    scene.text((text_at, y), text, style);
}

/// Standardised margin of a claim, by the same factor as its effect; a limit that is not finite is none.
fn margin(answer: &Answer, metric: &MetricAnswer) -> Option<Interval> {
    let margin = claims::kind(&answer.claim).margin()?;
    let contrast = metric.contrast.as_ref()?;
    contrast.standardised?;
    Some(Interval { low: contrast.standardise(margin.low)?, high: contrast.standardise(margin.high)? })
}

/// Shades the differences that a claim calls none, with a line at each margin.
fn band(scene: &mut Scene, axis: &Axis, margin: Interval, (y, height): (f64, f64)) {
    let [from, to] = [margin.low, margin.high].map(|limit| axis.at(limit.clamp(axis.low, axis.high)));
    let top = y - height / 2.0 + 1.0;
    scene.area(&[(from, top), (to, top), (to, top + height - 2.0), (from, top + height - 2.0)], BAND, 1.0);
    for limit in [margin.low, margin.high].into_iter().filter(|limit| limit.is_finite()) {
        scene.line(&[(axis.at(limit), top), (axis.at(limit), top + height - 2.0)], 0.8, FAINT);
    }
}

/// Standardised limits and effect, by the same factor as the effect itself.
fn limits(metric: &MetricAnswer) -> Option<(f64, f64, f64)> {
    let contrast = metric.contrast.as_ref()?;
    let value = contrast.standardised?;
    let interval = metric.interval.unwrap_or(contrast.interval);
    let limits = (contrast.standardise(interval.low)?, value, contrast.standardise(interval.high)?);
    (limits.0.is_finite() && limits.2.is_finite()).then_some(limits)
}

fn colour(verdict: &Verdict) -> Colour {
    match verdict {
        Verdict::Supported => series(0),
        Verdict::Reversed => series(1),
        Verdict::NotSupported | Verdict::Untestable { .. } => FAINT,
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::Shape;
    use super::*;
    use crate::claims::tests::{World, levels};
    use crate::hypotheses;
    use crate::scores::Scores;
    use crate::statistics::Resampling;
    use crate::study::{Claim, Hypothesis};

    #[test]
    fn margins_are_shaded_and_ranks_are_not_on_the_scale() {
        let mut world = World::crossed(&[1], |sft, _, _, q| {
            f64::from(sft == "both") * 0.1 * (q % 7) as f64 + (q % 3) as f64 + (q * sft.len() % 5) as f64
        })
        .with_quantity(|place, _| place as f64);
        let claim = |claim: Claim, metrics: &[&str]| Hypothesis {
            name: "claim".into(),
            claim,
            metrics: metrics.iter().map(|metric| (*metric).to_owned()).collect(),
            stratum: None,
        };
        let within = std::collections::BTreeMap::new();
        world.study.hypotheses = vec![
            claim(Claim::Better(levels("sft", "both", "none")), &["f1"]),
            claim(Claim::NotWorse { contrast: levels("sft", "both", "none"), margin: 0.5 }, &["f1"]),
            claim(Claim::Equivalent { contrast: levels("sft", "both", "none"), margin: 0.5 }, &["f1"]),
            claim(Claim::Rank { of: "f1".into(), with: "dev-loss".into(), within }, &[]),
        ];
        let scores = Scores::new(&world.study, &world.records).unwrap();
        let answers = hypotheses::answer(&world.study, &scores, Resampling { resamples: 500, ..Resampling::default() });
        let scene = forest(&answers, 487.0).unwrap();
        let bands: Vec<f64> = scene
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Area { points, colour, .. } if *colour == BAND => Some(points[1].0 - points[0].0),
                _ => None,
            })
            .collect();
        // Of one the band ends with the axis, of the other at the second margin.
        let [open, closed] = bands[..] else { panic!("{bands:?}") };
        assert!(open > closed && closed > 0.0, "{bands:?}");
        let circles = scene.shapes.iter().filter(|shape| matches!(shape, Shape::Circle { .. })).count();
        let said = |wanted: &str| {
            scene.shapes.iter().any(|shape| matches!(shape, Shape::Text { text, .. } if text.contains(wanted)))
        };
        assert!(circles == 3 && said("not on this scale"), "{:?}", scene.shapes);
    }
}
