//! Energy as stacked bars: by kind of stage, and by arm.

use std::collections::BTreeSet;

use super::axis::{Axis, Scale};
use super::palette::{FAINT, INK, WHITE, series};
use super::panel::{Entry, MEDIUM, SMALL, fit_name, horizontal_axis, legend, legend_height, swatch};
use super::scene::{Colour, Scene, Style};
use crate::energy::{Account, Amount, JOULES_PER_WATT_HOUR};
use crate::number;

struct Bar {
    label: String,
    /// Colour, measured and estimated watt-hours of each part.
    parts: Vec<(Colour, f64, f64)>,
    /// What stands behind the bar.
    note: String,
}

/// Draws a bar per kind of stage, divided by component; nothing when no energy is known.
pub(super) fn by_stage(account: &Account, width: f64) -> Option<Scene> {
    let missing = missing(account.stages.iter().map(|stage| &stage.total));
    let bars: Vec<Bar> = account
        .stages
        .iter()
        .map(|stage| Bar {
            label: stage.stage.clone(),
            parts: account
                .components
                .iter()
                .enumerate()
                .filter_map(|(index, name)| part(index, stage.components.get(name)))
                .collect(),
            note: note(&stage.total, &missing),
        })
        .collect();
    stacked(&bars, &account.components, &title("Energy by kind of stage", &missing), width)
}

/// Draws a bar per arm, divided by kind of stage; nothing when no energy is known.
pub(super) fn by_arm(account: &Account, width: f64) -> Option<Scene> {
    let kinds: Vec<String> = account.stages.iter().map(|stage| stage.stage.clone()).collect();
    let missing = missing(account.arms.iter().map(|arm| &arm.total));
    let bars: Vec<Bar> = account
        .arms
        .iter()
        .map(|arm| Bar {
            label: format!("{}{}", arm.arm, arm.outcome.remark()),
            parts: kinds.iter().enumerate().filter_map(|(index, kind)| part(index, arm.stages.get(kind))).collect(),
            note: note(&arm.total, &missing),
        })
        .collect();
    stacked(&bars, &kinds, &title("Energy by arm, shared stages divided", &missing), width)
}

fn part(index: usize, amount: Option<&Amount>) -> Option<(Colour, f64, f64)> {
    let amount = amount?;
    let hours = |joules: f64| joules / JOULES_PER_WATT_HOUR;
    Some((series(index), hours(amount.measured), hours(amount.estimated)))
}

/// What stands behind a bar: its amount, and what is missing from it but not from all bars.
fn note(amount: &Amount, missing: &BTreeSet<&str>) -> String {
    let total = hours(amount);
    let names: Vec<&str> =
        amount.unavailable.iter().map(String::as_str).filter(|name| !missing.contains(name)).collect();
    if names.is_empty() {
        return total;
    }
    format!("{total} without {}", names.join(", ")).trim_start().to_owned()
}

/// Components that are missing from all amounts alike.
fn missing<'a>(amounts: impl Iterator<Item = &'a Amount>) -> BTreeSet<&'a str> {
    let names = |amount: &'a Amount| amount.unavailable.iter().map(String::as_str).collect::<BTreeSet<_>>();
    amounts.map(names).reduce(|a, b| &a & &b).unwrap_or_default()
}

/// The title of an axis of watt-hours, with what holds of all bars.
fn title(what: &str, missing: &BTreeSet<&str>) -> String {
    let without: Vec<&str> = missing.iter().copied().collect();
    if without.is_empty() { format!("{what} (Wh)") } else { format!("{what} (Wh, without {})", without.join(", ")) }
}

/// All bars in one unit, each with the digits that its method can tell.
fn hours(amount: &Amount) -> String {
    let shown = |joules: f64| number::approximate(joules / JOULES_PER_WATT_HOUR, amount.digits(), amount.is_estimate());
    amount.joules().map_or(String::new(), |joules| format!("{} Wh", shown(joules)))
}

fn stacked(bars: &[Bar], keys: &[String], title: &str, width: f64) -> Option<Scene> {
    let total = |bar: &Bar| bar.parts.iter().map(|(_, measured, estimated)| measured + estimated).sum::<f64>();
    let most = bars.iter().map(total).fold(0.0, f64::max);
    if most <= 0.0 {
        return None;
    }
    let widest = |texts: &mut dyn Iterator<Item = &str>| {
        texts.map(|text| super::paint::width(text, SMALL, false)).fold(0.0, f64::max)
    };
    let left = (widest(&mut bars.iter().map(|bar| bar.label.as_str())) + 10.0).min(width * 0.35);
    let right = widest(&mut bars.iter().map(|bar| bar.note.as_str())) + 10.0;
    let mut entries: Vec<Entry> = keys
        .iter()
        .enumerate()
        .filter(|(index, _)| {
            bars.iter().flat_map(|bar| &bar.parts).any(|part| part.0 == series(*index) && part.1 + part.2 > 0.0)
        })
        .map(|(index, key)| -> Entry { (swatch(series(index), false), key.clone()) })
        .collect();
    let some = |of: fn(&(Colour, f64, f64)) -> f64| bars.iter().flat_map(|bar| &bar.parts).any(|part| of(part) > 0.0);
    // Where everything is an estimate, hatching would tell nothing apart.
    let (measured, estimated) = (some(|part| part.1), some(|part| part.2));
    let hatches = measured && estimated;
    if estimated {
        entries.push(if hatches {
            (swatch(FAINT, true), "estimated".to_owned())
        } else {
            (Box::new(|_: &mut Scene, _| ()), "all estimated".to_owned())
        });
    }
    let top = 7.0 + legend_height(width - left, &entries);
    let (step, thick) = (11.0, 7.5);
    let bottom = top + step * bars.len() as f64;
    let mut scene = Scene::new(width, bottom + 28.0);
    let axis = Axis { low: 0.0, high: most, scale: Scale::Linear, from: left, to: width - right };
    horizontal_axis(&mut scene, &axis, top - 2.0, bottom, 6, true);
    for (index, bar) in bars.iter().enumerate() {
        let y = top + (index as f64 + 0.5) * step;
        let label = fit_name(&bar.label, SMALL, false, left - 8.0);
        scene.text((left - 5.0, y), label, Style::new(SMALL, INK).end());
        let mut from = 0.0;
        for &(colour, measured, estimated) in &bar.parts {
            for (amount, is_estimate) in [(measured, false), (estimated, true)] {
                if amount <= 0.0 {
                    continue;
                }
                let at = (axis.at(from), y - thick / 2.0);
                let size = (axis.at(from + amount) - axis.at(from), thick);
                scene.rectangle(at, size, colour);
                if is_estimate && hatches {
                    scene.hatch(at, size, WHITE);
                }
                from += amount;
            }
        }
        scene.text((axis.at(from) + 5.0, y), bar.note.clone(), Style::new(SMALL, FAINT));
    }
    let middle = (left + width - right) / 2.0;
    scene.text((middle, bottom + 20.0), title, Style::new(MEDIUM, INK).middle());
    legend(&mut scene, (left, 7.0), width - left, &entries);
    Some(scene)
}

#[cfg(test)]
mod tests {
    use super::super::scene::Shape;
    use super::*;
    use crate::energy::account;
    use crate::study::tests::{arm, empty, energy};
    use crate::study::{Outcome, Role};

    #[test]
    fn an_arm_whose_card_could_not_be_read_is_no_whole() {
        let mut study = empty();
        study.arms = vec![arm("a", Role::Cell), arm("b", Role::Cell)];
        study.arms[1].outcome = Outcome::Failed { reason: "x".into() };
        study.energy = vec![
            energy("1", "a", "cpu", "measured", Some(7200.0)),
            energy("1", "a", "gpu", "unavailable", None),
            energy("2", "b", "cpu", "measured", Some(3600.0)),
        ];
        let scene = by_arm(&account(&study), 400.0).unwrap();
        let said =
            |wanted: &str| scene.shapes.iter().any(|shape| matches!(shape, Shape::Text { text, .. } if text == wanted));
        assert!(said("2.00 Wh without gpu") && said("1.00 Wh") && said("b (failed)"), "{:?}", scene.shapes);
    }
}
