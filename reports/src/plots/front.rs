//! Quality against energy: which arm gives most for what it costs.
//!
//! Only whole amounts compete: finished arms of the design whose energy is known as well as that of
//! the others. A reference pays for answering alone, its training being charged to the arms, so it is
//! shown as a level of quality and never takes part. Neither do differences of energy that cannot be told: of
//! those closer than their method's resolution none is cheaper. Quality goes by what was observed, since
//! with few questions hardly any difference is significant and cheap arms would beat all others; what chance
//! may explain of it is marked.

use std::collections::BTreeSet;

use super::axis::{Axis, Scale};
use super::paint;
use super::palette::{BAND, COLOURS, FAINT, INK, WHITE, series};
use super::panel::{Entry, MEDIUM, SMALL, fit_name, horizontal_axis, label_width, legend, vertical_axis};
use super::scene::{Colour, Scene, Style};
use crate::energy::{Account, JOULES_PER_WATT_HOUR};
use crate::number;
use crate::rivals::Rivals;
use crate::standings::Standings;
use crate::study::{Arm, Factor, Metric, Outcome, Study};

/// Range of energies from which the axis becomes logarithmic.
const LOG_RANGE: f64 = 20.0;
/// How far references may stretch the scale beyond the arms, in ranges of their values.
const REACH: f64 = 2.0;
/// Least distance between the names of two references in points.
const LINE: f64 = 8.6;

/// Holds the figure and what it shows.
pub(super) struct Front {
    pub(super) scene: Scene,
    pub(super) caption: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    /// Of an arm that has no level of the factor, such as of a control without a teacher.
    Down,
}

const MARKERS: [Marker; 4] = [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filling {
    Hollow,
    Full,
    Dotted,
    /// Of an arm that has no level of the factor.
    Pierced,
}

const FILLINGS: [Filling; 3] = [Filling::Hollow, Filling::Full, Filling::Dotted];

#[derive(Debug, Clone, Copy)]
struct Look {
    colour: Colour,
    marker: Marker,
    filling: Filling,
    radius: f64,
}

/// How a marker looks that says nothing by its colour, shape, filling or size.
const PLAIN: Look = Look { colour: FAINT, marker: Marker::Circle, filling: Filling::Full, radius: 3.4 };

/// An arm of the design.
struct Point<'a> {
    arm: &'a Arm,
    /// Watt-hours.
    energy: f64,
    /// Smallest difference of energy that can be told, as a share.
    resolution: f64,
    value: f64,
}

impl Point<'_> {
    /// Whether the arm takes less energy than another by more than can be told.
    fn is_cheaper(&self, other: &Self) -> bool {
        self.energy < other.energy * (1.0 - self.resolution.max(other.resolution))
    }
}

/// What the figure compares.
struct Compared<'a> {
    points: Vec<Point<'a>>,
    /// References and their values.
    levels: Vec<(&'a str, f64)>,
    /// Who is not there and why, a clause each.
    left_out: Vec<String>,
}

/// Draws the plot of one metric; nothing when no arm has both a value and an energy.
pub(super) fn front(
    study: &Study,
    metric: &Metric,
    standings: &Standings,
    account: &Account,
    rivals: &Rivals,
    width: f64,
) -> Option<Front> {
    let Compared { points, levels, left_out } = compared(study, standings, account);
    if points.is_empty() {
        return None;
    }
    let order = by_levels(&study.factors);
    let energies = || points.iter().map(|point| point.energy);
    let range = energies().fold(0.0, f64::max) / energies().fold(f64::INFINITY, f64::min);
    let scale = if range > LOG_RANGE { Scale::Log } else { Scale::Linear };
    let (top, floor) = (6.0, 185.0);
    let (lowest, highest) = reach(&points);
    let near = |value: f64| (lowest..=highest).contains(&value);
    let values = points.iter().map(|point| point.value).chain(levels.iter().map(|level| level.1).filter(|v| near(*v)));
    let y = Axis::spanning(values, Scale::Linear, 0.1, (floor, top));
    let left = label_width(&y, 5) + 20.0;
    let names: Vec<String> = levels
        .iter()
        .map(|&(name, value)| {
            let text = if near(value) {
                name.to_owned()
            } else {
                format!("{} {name}", number::fixed(value, number::digits([value])))
            };
            fit_name(&text, SMALL, false, width * 0.27)
        })
        .collect();
    let margin = names.iter().map(|name| paint::width(name, SMALL, false)).fold(0.0, f64::max);
    let right = width - if levels.is_empty() { 4.0 } else { margin + 14.0 };
    let x = Axis::spanning(energies(), scale, 0.08, (left, right));
    let mut scene = Scene::new(width, 0.0);
    horizontal_axis(&mut scene, &x, top, floor, 5, true);
    vertical_axis(&mut scene, &y, left, right, 5, true);
    scene.text(((left + right) / 2.0, floor + 18.0), "Energy per arm (Wh)", Style::new(MEDIUM, INK).middle());
    let title = format!("{} ({} is better)", study.label(metric), metric.direction.label());
    scene.text((5.0, (top + floor) / 2.0), title, Style::new(MEDIUM, INK).middle().up());

    let sizes = Sizes::of(study, &points);
    let as_cheap = draw_ties(&mut scene, &x, (top, floor), &points);
    let drawn = draw_levels(&mut scene, &x, &y, &levels, &names);
    let sign = metric.direction.sign();
    let best = pareto(&points, sign);
    let open = undecided(&best, |dearer, cheaper| {
        let names = [dearer, cheaper].map(|index: usize| points[index].arm.name.as_str());
        rivals.is_better(names[0], names[1])
    });
    let looks: Vec<Look> = points.iter().map(|point| look(&order, point.arm, &sizes)).collect();
    for (point, look) in points.iter().zip(&looks) {
        draw(&mut scene, (x.at(point.energy), y.at(point.value)), *look);
    }
    for &index in &best {
        let at = (x.at(points[index].energy), y.at(points[index].value));
        ring(&mut scene, at, looks[index].radius + 2.8, open.contains(&index));
    }
    draw_names(&mut scene, &x, &y, &points, &looks, &best, &drawn);
    let mut below = floor + 32.0;
    let groups = keys(study, &points, &order, &sizes);
    let heads = groups.iter().map(|(head, _)| paint::width(head, SMALL, true));
    let indent = left + heads.fold(0.0, f64::max) + 8.0;
    for (head, entries) in &groups {
        scene.text((left, below), head.clone(), Style::new(SMALL, FAINT).bold());
        below += legend(&mut scene, (indent, below), width - indent, entries);
    }
    scene.height = below;
    let shown = match levels.iter().filter(|level| !near(level.1)).count() {
        _ if levels.is_empty() => None,
        0 => Some("Dashed"),
        _ => Some("Dashed, or an arrow where off the scale"),
    };
    Some(Front { scene, caption: caption(&study.label(metric), account, shown, as_cheap, &left_out, &order) })
}

/// Sorts the arms into those that compete, levels to compare with, and those that are left out.
fn compared<'a>(study: &'a Study, standings: &Standings, account: &Account) -> Compared<'a> {
    let done: Vec<(&Arm, f64)> = study
        .arms
        .iter()
        .zip(&standings.arms)
        .filter(|(arm, _)| arm.outcome == Outcome::Done)
        .filter_map(|(arm, standing)| Some((arm, standing.value?)))
        .collect();
    let references = || done.iter().copied().filter(|(arm, _)| !arm.is_trained());
    let trained = || done.iter().copied().filter(|(arm, _)| arm.is_trained());
    let unread: Vec<BTreeSet<_>> = trained().map(|(arm, _)| gaps(study, &arm.name)).collect();
    // What is missing from every arm alike makes none look cheap.
    let shared = unread.iter().cloned().reduce(|a, b| &a & &b).unwrap_or_default();
    let (mut points, mut partial, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for ((arm, value), gaps) in trained().zip(&unread) {
        let row = account.arms.iter().find(|row| row.arm == arm.name);
        let joules = row.and_then(|row| row.total.joules()).filter(|joules| *joules > 0.0);
        match joules {
            None => unknown.push(arm.name.as_str()),
            Some(_) if *gaps != shared => partial.push(arm.name.as_str()),
            Some(joules) => points.push(Point {
                arm,
                energy: joules / JOULES_PER_WATT_HOUR,
                resolution: row.and_then(|row| row.total.resolution()).unwrap_or_default(),
                value,
            }),
        }
    }
    let unfinished: Vec<&str> =
        study.trained().filter(|arm| arm.outcome != Outcome::Done).map(|arm| arm.name.as_str()).collect();
    let groups = [
        (unfinished, "not finished"),
        (partial, "part of the energy unavailable, which is known of others"),
        (unknown, "energy unavailable"),
    ];
    let clause = |(names, why): &(Vec<&str>, &str)| match names.len() {
        0 => None,
        1..=3 => Some(format!("{} ({why})", names.join(", "))),
        count => Some(format!("{count} arms ({why})")),
    };
    Compared {
        points,
        levels: references().map(|(arm, value)| (arm.name.as_str(), value)).collect(),
        left_out: groups.iter().filter_map(clause).collect(),
    }
}

/// Stages of an arm in which a component could not be read that some stage could read.
fn gaps<'s>(study: &'s Study, arm: &str) -> BTreeSet<(&'s str, &'s str)> {
    let known: BTreeSet<&str> =
        study.energy.iter().filter(|row| row.joules.is_some()).map(|row| row.component.as_str()).collect();
    let rows = study.energy.iter().filter(|row| row.joules.is_none() && row.arms.iter().any(|name| name == arm));
    rows.map(|row| (row.key.as_str(), row.component.as_str())).filter(|(_, name)| known.contains(name)).collect()
}

fn caption(
    label: &str,
    account: &Account,
    references: Option<&str>,
    as_cheap: usize,
    left_out: &[String],
    order: &[&Factor],
) -> String {
    let mut caption = format!(
        "{label} against the energy of each arm of the design, shared stages divided. Ringed and named: the Pareto front, arms than which no other one is at least as good and at most as dear, and better or cheaper; energies that cannot be told apart count as equal. Broken ring: chance may explain what the arm gains on the next cheaper one of the front (p after Holm over all pairs)."
    );
    if as_cheap > 1 {
        caption.push_str(&format!(" Shaded: the {as_cheap} arms whose energy cannot be told from the least."));
    }
    if let Some(shown) = references {
        caption.push_str(&format!(" {shown}: references (answering only; their training is charged to the arms)."));
    }
    if !left_out.is_empty() {
        caption.push_str(&format!(" Left out: {}.", left_out.join("; ")));
    }
    let untold = untold(order);
    if !untold.is_empty() {
        caption.push_str(&format!(" Not told apart by colour, shape or filling: {}.", untold.join("; ")));
    }
    caption.push_str(&format!(" Energy is {}.", account.total.state()));
    if let Some(precision) = account.precision() {
        caption.push_str(&format!(" {precision}"));
    }
    caption
}

/// Factors by falling number of levels: the first gets colours, then shapes, then filling.
fn by_levels(factors: &[Factor]) -> Vec<&Factor> {
    let mut order: Vec<&Factor> = factors.iter().filter(|factor| factor.levels.len() > 1).collect();
    order.sort_by_key(|factor| std::cmp::Reverse(factor.levels.len()));
    order
}

/// Factors and levels that have no look of their own.
fn untold(order: &[&Factor]) -> Vec<String> {
    let looks = [COLOURS, MARKERS.len(), FILLINGS.len()];
    let ranked = order.iter().enumerate();
    ranked
        .filter_map(|(rank, factor)| match looks.get(rank) {
            None => Some(format!("levels of {}", factor.name)),
            Some(&count) if factor.levels.len() > count => {
                Some(format!("levels of {} beyond {count}, which repeat", factor.name))
            }
            Some(_) => None,
        })
        .collect()
}

fn look(order: &[&Factor], arm: &Arm, sizes: &Sizes) -> Look {
    let level = |rank: usize| {
        let factor = order.get(rank)?;
        let level = arm.levels.get(&factor.name)?;
        factor.levels.iter().position(|candidate| candidate == level)
    };
    let mut look = Look { radius: sizes.radius(&arm.model), ..PLAIN };
    for rank in 0..order.len() {
        look = of_level(look, rank, level(rank));
    }
    look
}

/// Changes a look by the level of the factor at a rank, or by its having none.
fn of_level(look: Look, rank: usize, level: Option<usize>) -> Look {
    match rank {
        0 => Look { colour: level.map_or(INK, series), ..look },
        1 => Look { marker: level.map_or(Marker::Down, |level| MARKERS[level % MARKERS.len()]), ..look },
        2 => Look { filling: level.map_or(Filling::Pierced, |level| FILLINGS[level % FILLINGS.len()]), ..look },
        _ => look,
    }
}

/// The models that answer, with their parameters.
struct Sizes<'a>(Vec<(&'a str, u64)>);

impl<'a> Sizes<'a> {
    fn of(study: &'a Study, points: &[Point]) -> Self {
        let answers = |name: &str| points.iter().any(|point| point.arm.model == name);
        let models = study.models.iter().filter(|model| model.parameters > 0 && answers(&model.name));
        Self(models.map(|model| (model.name.as_str(), model.parameters)).collect())
    }

    /// Radius in points: the area grows with the logarithm of the model's size.
    fn radius(&self, model: &str) -> f64 {
        let sizes = || self.0.iter().map(|(_, size)| *size as f64);
        let (least, most) = (sizes().fold(f64::INFINITY, f64::min), sizes().fold(0.0, f64::max));
        match self.0.iter().find(|(name, _)| *name == model) {
            Some(&(_, size)) if most > least => {
                let share = (size as f64 / least).ln() / (most / least).ln();
                (9.0 + share * 20.0).sqrt()
            }
            _ => PLAIN.radius,
        }
    }
}

fn draw(scene: &mut Scene, (x, y): (f64, f64), look: Look) {
    let outline = |radius: f64| -> Vec<(f64, f64)> {
        let corners: &[(f64, f64)] = match look.marker {
            Marker::Circle => &[],
            Marker::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Marker::Triangle => &[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
            Marker::Diamond => &[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
            Marker::Down => &[(0.0, 1.2), (-1.1, -0.8), (1.1, -0.8)],
        };
        corners.iter().map(|(dx, dy)| (x + radius * dx, y + radius * dy)).collect()
    };
    let is_full = matches!(look.filling, Filling::Full | Filling::Pierced);
    if look.marker == Marker::Circle {
        scene.circle((x, y), look.radius, look.colour, (!is_full).then_some(1.2));
    } else {
        scene.area(&outline(look.radius), look.colour, 1.0);
        if !is_full {
            scene.area(&outline(look.radius - 1.4), WHITE, 1.0);
        }
    }
    match look.filling {
        Filling::Dotted => scene.circle((x, y), 1.1, look.colour, None),
        Filling::Pierced => scene.circle((x, y), 1.3, WHITE, None),
        Filling::Hollow | Filling::Full => {}
    }
}

/// Range of values that the scale may show: that of the arms and [`REACH`] times as much around it.
fn reach(points: &[Point]) -> (f64, f64) {
    let values = || points.iter().map(|point| point.value);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let range = (high - low).max(0.1 * low.abs().max(high.abs()));
    (low - REACH * range, high + REACH * range)
}

/// Draws references as dashed levels named in the right margin, those off the scale as arrows at its
/// end; returns the areas that the dashes take.
fn draw_levels(scene: &mut Scene, x: &Axis, y: &Axis, levels: &[(&str, f64)], names: &[String]) -> Vec<Area> {
    let mut order: Vec<usize> = (0..levels.len()).collect();
    let (top, floor) = (y.to, y.from);
    let at = |index: usize| y.at(levels[index].1).clamp(top, floor);
    order.sort_by(|&a, &b| at(a).total_cmp(&at(b)));
    let wanted: Vec<f64> = order.iter().map(|&index| at(index)).collect();
    let mut dashed = Vec::new();
    for (&index, text_at) in order.iter().zip(spread(&wanted, LINE, (top, floor))) {
        let exact = y.at(levels[index].1);
        let height = at(index);
        if exact == height {
            let mut from = x.from;
            while from < x.to {
                scene.line(&[(from, height), ((from + 2.5).min(x.to), height)], 0.7, FAINT);
                from += 5.0;
            }
            dashed.push((x.from, height - 0.5, x.to, height + 0.5));
        } else {
            // The arrow points to where the level is.
            let point = if exact < height { -4.0 } else { 4.0 };
            let base = height - point;
            scene.area(&[(x.to + 1.5, base), (x.to + 6.5, base), (x.to + 4.0, base + point)], FAINT, 1.0);
        }
        if exact == height {
            scene.line(&[(x.to, height), (x.to + 7.0, text_at)], 0.5, FAINT);
        }
        scene.text((x.to + 10.0, text_at), names[index].clone(), Style::new(SMALL, FAINT));
    }
    dashed
}

/// Moves rising positions apart to a gap, or as far as the room allows, as little as needed.
fn spread(wanted: &[f64], gap: f64, (low, high): (f64, f64)) -> Vec<f64> {
    let gap = gap.min((high - low) / wanted.len().saturating_sub(1).max(1) as f64);
    let mut places = wanted.to_vec();
    for index in 1..places.len() {
        places[index] = places[index].max(places[index - 1] + gap);
    }
    let mut limit = high;
    for place in places.iter_mut().rev() {
        *place = place.min(limit);
        limit = *place - gap;
    }
    places
}

/// Positions of the points of the Pareto front, by rising energy: those than which no other one is at least
/// as good and at most as dear, and better or cheaper. Values are better the larger they are times `sign`.
fn pareto(points: &[Point], sign: f64) -> Vec<usize> {
    let dominates = |a: &Point, b: &Point| {
        let gain = sign * (a.value - b.value);
        gain >= 0.0 && !b.is_cheaper(a) && (gain > 0.0 || a.is_cheaper(b))
    };
    let undominated = |index: &usize| !points.iter().any(|other| dominates(other, &points[*index]));
    let mut front: Vec<usize> = (0..points.len()).filter(undominated).collect();
    front.sort_by(|&a, &b| points[a].energy.total_cmp(&points[b].energy));
    front
}

/// Positions on a front, given by rising energy, that are not better than the next cheaper one beyond chance.
fn undecided(front: &[usize], is_better: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let neighbours = front.windows(2).filter(|pair| !is_better(pair[1], pair[0]));
    neighbours.map(|pair| pair[1]).collect()
}

/// Shades the energies that cannot be told from the least; returns how many arms have such.
fn draw_ties(scene: &mut Scene, x: &Axis, (top, floor): (f64, f64), points: &[Point]) -> usize {
    let Some(cheapest) = points.iter().min_by(|a, b| a.energy.total_cmp(&b.energy)) else { return 0 };
    let end = cheapest.energy / (1.0 - cheapest.resolution);
    let (from, to) = (x.from.max(x.at(cheapest.energy)), x.at(end).min(x.to));
    scene.rectangle((from, top), (to - from, floor - top), BAND);
    points.iter().filter(|point| !cheapest.is_cheaper(point)).count()
}

/// Draws a ring around a marker, or a broken one.
fn ring(scene: &mut Scene, centre: (f64, f64), radius: f64, is_broken: bool) {
    let corner = |step: i32| {
        let angle = f64::from(step) * std::f64::consts::TAU / 36.0;
        (centre.0 + radius * angle.cos(), centre.1 + radius * angle.sin())
    };
    let arcs: Vec<(i32, i32)> =
        if is_broken { (0..6).map(|arc| (6 * arc, 6 * arc + 3)).collect() } else { vec![(0, 36)] };
    for (from, to) in arcs {
        scene.line(&(from..=to).map(corner).collect::<Vec<_>>(), 0.9, INK);
    }
}

/// Left, upper, right and lower edge.
type Area = (f64, f64, f64, f64);

/// Names the arms of the front: beside their marker or, where there is no room, farther away with a
/// line to it; away from dashes if possible.
fn draw_names(
    scene: &mut Scene,
    x: &Axis,
    y: &Axis,
    points: &[Point],
    looks: &[Look],
    best: &[usize],
    dashed: &[Area],
) {
    let mut taken: Vec<Area> = points
        .iter()
        .zip(looks)
        .map(|(point, look)| {
            let (cx, cy, r) = (x.at(point.energy), y.at(point.value), look.radius + 1.5);
            (cx - r, cy - r, cx + r, cy + r)
        })
        .collect();
    for &index in best {
        let point = &points[index];
        let (cx, cy) = (x.at(point.energy), y.at(point.value));
        let (w, r) = (paint::width(&point.arm.name, SMALL, true), looks[index].radius + 5.0);
        let area = |(left, middle): (f64, f64)| (left - 1.0, middle - 4.5, left + w + 1.0, middle + 4.5);
        let free = |avoided: &[Area], place: &(f64, f64)| {
            let area = area(*place);
            let inside = area.0 >= x.from && area.2 <= x.to && area.1 >= y.to && area.3 <= y.from;
            let apart = |o: &Area| area.2 < o.0 || o.2 < area.0 || area.3 < o.1 || o.3 < area.1;
            inside && taken.iter().chain(avoided).all(apart)
        };
        // Rings of places around the marker, each farther out than the one before.
        let places = (0..9).flat_map(|ring| {
            let (dx, dy) = (r + 9.0 * f64::from(ring), 2.0 + 9.0 * f64::from(ring));
            [
                (cx + dx, cy),
                (cx - dx - w, cy),
                (cx + r, cy - dy),
                (cx - r - w, cy - dy),
                (cx + r, cy + dy),
                (cx - r - w, cy + dy),
                (cx - w / 2.0, cy - dy - r),
                (cx - w / 2.0, cy + dy + r),
                (cx + dx, cy - dy),
                (cx - dx - w, cy - dy),
                (cx + dx, cy + dy),
                (cx - dx - w, cy + dy),
            ]
        });
        let places: Vec<(f64, f64)> = places.collect();
        let found =
            places.iter().find(|place| free(dashed, place)).or_else(|| places.iter().find(|place| free(&[], place)));
        // No room anywhere: named all the same, as far inside as it goes.
        let inside = ((cx + r).min(x.to - w), cy.clamp(y.to + 5.0, y.from - 5.0));
        let &(left, middle) = found.unwrap_or(&inside);
        let end = (cx.clamp(left, left + w), middle + (cy - middle).signum() * if cy == middle { 0.0 } else { 4.0 });
        if (end.0 - cx).hypot(end.1 - cy) > r + 5.0 {
            scene.line(&[(cx, cy), end], 0.4, FAINT);
        }
        scene.text((left, middle), point.arm.name.clone(), Style::new(SMALL, INK).bold());
        taken.push(area((left, middle)));
    }
}

/// What colours, shapes, filling and size mean, one group each.
fn keys<'a>(
    study: &'a Study,
    points: &[Point<'_>],
    order: &[&'a Factor],
    sizes: &Sizes,
) -> Vec<(String, Vec<Entry<'a>>)> {
    let key = |look: Look, label: String| -> Entry<'a> { (Box::new(move |scene, at| draw(scene, at, look)), label) };
    let mut groups: Vec<(String, Vec<Entry>)> = Vec::new();
    for (rank, factor) in order.iter().take(3).enumerate() {
        let levels = factor.levels.iter().enumerate();
        let mut entries: Vec<Entry> =
            levels.map(|(index, level)| key(of_level(PLAIN, rank, Some(index)), level.clone())).collect();
        if points.iter().any(|point| !point.arm.levels.contains_key(&factor.name)) {
            entries.push(key(of_level(PLAIN, rank, None), "none".to_owned()));
        }
        groups.push((factor.name.clone(), entries));
    }
    // One model, one size: nothing to explain.
    if sizes.0.len() > 1 {
        let models = study.models.iter().filter(|model| sizes.0.iter().any(|(name, _)| *name == model.name));
        let entries = models.map(|model| {
            let label = format!("{} ({})", model.name, number::parameters(model.parameters));
            key(Look { radius: sizes.radius(&model.name), ..PLAIN }, label)
        });
        groups.push(("size".to_owned(), entries.collect()));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::energy::account;
    use crate::standings::Standing;
    use crate::study::Role;
    use crate::study::tests::{arm, empty, energy};

    #[test]
    fn the_front_is_what_nothing_beats_at_energies_that_can_be_told() {
        let arms = ["a", "b", "c", "d", "e"].map(|name| arm(name, Role::Cell));
        let front = |energies: &[f64], values: &[f64], resolution: f64, sign: f64| -> Vec<usize> {
            let point = |((arm, &energy), &value)| Point { arm, energy, resolution, value };
            let points: Vec<Point> = arms.iter().zip(energies).zip(values).map(point).collect();
            pareto(&points, sign)
        };
        // By energy: a is cheapest, b better, c dearer and worse than b, d best.
        let (energies, values) = ([1.0, 2.0, 3.0, 4.0], [0.2, 0.5, 0.4, 0.9]);
        assert_eq!(front(&energies, &values, 0.0, 1.0), [0, 1, 3]);
        assert_eq!(front(&energies, &values, 0.0, -1.0), [0], "where less is better, the cheapest is best");
        // Of energies within 25 % the better one alone, whatever the order; of equal values both.
        assert_eq!(front(&[1.03, 1.0], &[0.55, 0.5], 0.25, 1.0), [0]);
        assert_eq!(front(&[1.0, 1.2], &[0.2, 0.5], 0.25, 1.0), [1]);
        assert_eq!(front(&[1.03, 1.0], &[0.5, 0.5], 0.25, 1.0), [1, 0]);
        // Cheaper by more than can be told: with equal values the cheaper one alone, otherwise both.
        assert_eq!(front(&[1.0, 1.4], &[0.5, 0.5], 0.25, 1.0), [0]);
        assert_eq!(front(&[1.0, 1.4], &[0.5, 0.55], 0.25, 1.0), [0, 1]);
        assert!(front(&[], &[], 0.25, 1.0).is_empty());
    }

    #[test]
    fn what_chance_may_explain_of_a_front_is_marked() {
        // Of the front 4, 2, 7 the second is no better than the first beyond chance; the cheapest stands by itself.
        assert_eq!(undecided(&[4, 2, 7], |dearer, cheaper| (dearer, cheaper) == (7, 2)), [2]);
        assert_eq!(undecided(&[4, 2, 7], |_, _| false), [2, 7]);
        assert!(undecided(&[4], |_, _| false).is_empty() && undecided(&[], |_, _| true).is_empty());
        let lines = |is_broken| {
            let mut scene = Scene::new(20.0, 20.0);
            ring(&mut scene, (10.0, 10.0), 5.0, is_broken);
            scene.shapes.len()
        };
        assert_eq!((lines(false), lines(true)), (1, 6));
    }

    #[test]
    fn an_arm_without_a_level_looks_like_none_that_has_one() {
        let factor = |name: &str, levels: &[&str]| Factor {
            name: name.into(),
            levels: levels.iter().map(|level| (*level).to_owned()).collect(),
        };
        let mut study = empty();
        study.factors =
            vec![factor("sft", &["none", "both"]), factor("teacher", &["x", "y"]), factor("algorithm", &["kd", "ce"])];
        let levels = |levels: &[(&str, &str)]| levels.iter().map(|(f, l)| ((*f).to_owned(), (*l).to_owned())).collect();
        let cell = |teacher: &str| Arm {
            levels: levels(&[("sft", "none"), ("teacher", teacher), ("algorithm", "kd")]),
            ..arm(teacher, Role::Cell)
        };
        let control = Arm { levels: levels(&[("sft", "none"), ("algorithm", "ce")]), ..arm("ce", Role::Control) };
        let arms = [cell("x"), cell("y"), control];
        let points: Vec<Point> =
            arms.iter().map(|arm| Point { arm, energy: 1.0, resolution: 0.0, value: 0.5 }).collect();
        let (order, sizes) = (by_levels(&study.factors), Sizes::of(&study, &points));
        let markers: Vec<Marker> = arms.iter().map(|arm| look(&order, arm, &sizes).marker).collect();
        assert_eq!(markers, [Marker::Circle, Marker::Square, Marker::Down]);
        let labels = |points: &[Point]| -> Vec<Vec<String>> {
            let groups = keys(&study, points, &order, &sizes);
            groups.into_iter().map(|(_, entries)| entries.into_iter().map(|(_, label)| label).collect()).collect()
        };
        assert_eq!(labels(&points), [vec!["none", "both"], vec!["x", "y", "none"], vec!["kd", "ce"]]);
        assert_eq!(labels(&points[..2])[1], ["x", "y"]);
        let none = of_level(PLAIN, 0, None);
        assert!((0..COLOURS).all(|level| of_level(PLAIN, 0, Some(level)).colour != none.colour));
        assert!((0..3).all(|level| of_level(PLAIN, 2, Some(level)).filling != of_level(PLAIN, 2, None).filling));
    }

    fn standings(study: &Study) -> Standings {
        let standing = |(index, arm): (usize, &Arm)| Standing {
            arm: arm.name.clone(),
            value: Some(0.1 * (index + 1) as f64),
            interval: None,
            deviation: None,
            seeds: 1,
            against_baseline: None,
            p_adjusted: None,
            diverged: false,
            best: false,
        };
        Standings { metric: "m".into(), arms: study.arms.iter().enumerate().map(standing).collect() }
    }

    #[test]
    fn only_whole_amounts_of_finished_arms_compete() {
        let mut study = empty();
        study.arms = ["whole", "no card", "failed"].map(|name| arm(name, Role::Cell)).to_vec();
        study.arms[2].outcome = Outcome::Failed { reason: "x".into() };
        study.arms.push(arm("teacher", Role::Reference));
        study.energy = vec![
            energy("1", "whole", "cpu", "measured", Some(10.0)),
            energy("1", "whole", "gpu", "measured", Some(900.0)),
            energy("2", "no card", "cpu", "measured", Some(10.0)),
            energy("2", "no card", "gpu", "unavailable", None),
            energy("3", "failed", "cpu", "measured", Some(1.0)),
            energy("4", "teacher", "cpu", "measured", Some(1.0)),
        ];
        let result = compared(&study, &standings(&study), &account(&study));
        let names: Vec<&str> = result.points.iter().map(|point| point.arm.name.as_str()).collect();
        assert_eq!((names, result.levels), (vec!["whole"], vec![("teacher", 0.4)]));
        assert_eq!(
            result.left_out,
            ["failed (not finished)", "no card (part of the energy unavailable, which is known of others)"]
        );
    }

    #[test]
    fn what_is_missing_from_all_alike_leaves_nobody_out() {
        let mut study = empty();
        study.arms = ["a", "b"].map(|name| arm(name, Role::Cell)).to_vec();
        let mut shared = energy("1", "a", "gpu", "unavailable", None);
        shared.arms.push("b".into());
        study.energy = vec![
            shared,
            energy("2", "a", "gpu", "measured", Some(10.0)),
            energy("3", "b", "gpu", "measured", Some(10.0)),
            // Memory is known nowhere.
            energy("3", "b", "dram", "unavailable", None),
        ];
        let result = compared(&study, &standings(&study), &account(&study));
        assert_eq!((result.points.len(), result.left_out), (2, Vec::new()));
    }

    #[test]
    fn names_of_levels_stand_apart_and_inside() {
        assert_eq!(spread(&[10.0, 12.0, 40.0], 8.0, (0.0, 50.0)), [10.0, 18.0, 40.0]);
        assert_eq!(spread(&[48.0, 49.0, 50.0], 8.0, (0.0, 50.0)), [34.0, 42.0, 50.0]);
        assert_eq!(spread(&[20.0; 6], 20.0, (0.0, 50.0)), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert!(spread(&[], 8.0, (0.0, 50.0)).is_empty());
    }

    #[test]
    fn looks_that_repeat_are_told() {
        let factor = |name: &str, count: usize| Factor {
            name: name.into(),
            levels: (0..count).map(|level| level.to_string()).collect(),
        };
        let few = [factor("sft", 4), factor("teacher", 3), factor("algorithm", 3)];
        assert!(untold(&by_levels(&few)).is_empty());
        let many = [factor("sft", 8), factor("teacher", 5), factor("algorithm", 4), factor("student", 2)];
        assert_eq!(
            untold(&by_levels(&many)),
            [
                "levels of sft beyond 7, which repeat",
                "levels of teacher beyond 4, which repeat",
                "levels of algorithm beyond 3, which repeat",
                "levels of student"
            ]
        );
    }
}
