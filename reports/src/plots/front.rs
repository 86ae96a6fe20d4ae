//! Quality against energy: which arm gives most for what it costs.

use super::axis::{Axis, Scale};
use super::paint;
use super::palette::{FAINT, INK, series};
use super::panel::{Entry, MEDIUM, SMALL, horizontal_axis, label_width, legend, vertical_axis};
use super::scene::{Colour, Scene, Style};
use crate::energy::{Account, JOULES_PER_WATT_HOUR};
use crate::number;
use crate::record::Direction;
use crate::standings::Standings;
use crate::study::{Arm, Factor, Metric, Role, Study};

/// Range of energies from which the axis becomes logarithmic.
const LOG_RANGE: f64 = 20.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
}

const MARKERS: [Marker; 4] = [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond];

#[derive(Debug, Clone, Copy)]
struct Look {
    colour: Colour,
    marker: Marker,
    hollow: bool,
    radius: f64,
}

struct Point<'a> {
    arm: &'a Arm,
    energy: f64,
    value: f64,
    look: Look,
}

/// Draws the plot of one metric; nothing when no arm has both a value and an energy.
pub(super) fn front(
    study: &Study,
    metric: &Metric,
    standings: &Standings,
    account: &Account,
    width: f64,
) -> Option<Scene> {
    let order = by_levels(&study.factors);
    let points: Vec<Point> = study
        .arms
        .iter()
        .zip(&standings.arms)
        .filter_map(|(arm, standing)| {
            let energy = account.arms.iter().find(|row| row.arm == arm.name)?;
            let energy = energy.total.joules().filter(|joules| *joules > 0.0)? / JOULES_PER_WATT_HOUR;
            let value = standing.value?;
            let look = look(study, &order, arm);
            Some(Point { arm, energy, value, look })
        })
        .collect();
    if points.is_empty() {
        return None;
    }
    let energies = || points.iter().map(|point| point.energy);
    let range = energies().fold(0.0, f64::max) / energies().fold(f64::INFINITY, f64::min);
    let scale = if range > LOG_RANGE { Scale::Log } else { Scale::Linear };
    let (top, floor) = (6.0, 185.0);
    let y = Axis::spanning(points.iter().map(|p| p.value), Scale::Linear, 0.1, (floor, top));
    let left = label_width(&y, 5) + 20.0;
    let x = Axis::spanning(energies(), scale, 0.08, (left, width - 4.0));
    let mut scene = Scene::new(width, 0.0);
    horizontal_axis(&mut scene, &x, top, floor, 5, true);
    vertical_axis(&mut scene, &y, left, width - 4.0, 5, true);
    let middle = (left + width) / 2.0;
    scene.text((middle, floor + 18.0), "Energy per arm (Wh)", Style::new(MEDIUM, INK).middle());
    let title = format!(
        "{} ({} is better)",
        metric.label,
        match metric.direction {
            Direction::Higher => "higher",
            Direction::Lower => "lower",
        }
    );
    scene.text((5.0, (top + floor) / 2.0), title, Style::new(MEDIUM, INK).middle().up());

    let best = pareto(&points, metric.direction);
    let line = steps(&x, &y, &points, &best);
    scene.line(&line, 0.9, FAINT);
    for point in &points {
        draw(&mut scene, (x.at(point.energy), y.at(point.value)), point.look);
    }
    names(&mut scene, &x, &y, &points, &best, &line);
    let mut below = floor + 32.0;
    let groups = keys(study, &order, &points);
    let heads = groups.iter().map(|(head, _)| paint::width(head, SMALL, true));
    let indent = left + heads.fold(0.0, f64::max) + 8.0;
    for (head, entries) in &groups {
        scene.text((left, below), head.clone(), Style::new(SMALL, FAINT).bold());
        below += legend(&mut scene, (indent, below), width - indent, entries);
    }
    scene.height = below;
    Some(scene)
}

/// Factors by falling number of levels: the first gets colours, then shapes, then filling.
fn by_levels(factors: &[Factor]) -> Vec<&Factor> {
    let mut order: Vec<&Factor> = factors.iter().filter(|factor| factor.levels.len() > 1).collect();
    order.sort_by_key(|factor| std::cmp::Reverse(factor.levels.len()));
    order
}

fn look(study: &Study, order: &[&Factor], arm: &Arm) -> Look {
    let level = |rank: usize| {
        let factor = order.get(rank)?;
        let level = arm.levels.get(&factor.name)?;
        factor.levels.iter().position(|candidate| candidate == level)
    };
    Look {
        colour: level(0).map_or(FAINT, series),
        marker: MARKERS[level(1).unwrap_or(0) % MARKERS.len()],
        hollow: level(2) == Some(0),
        radius: radius(study, &arm.model),
    }
}

/// Radius in points: the area grows with the logarithm of the model's size within the study.
fn radius(study: &Study, model: &str) -> f64 {
    let size = |name: &str| study.models.iter().find(|m| m.name == name).map(|m| m.parameters as f64);
    let sizes: Vec<f64> = study.arms.iter().filter_map(|arm| size(&arm.model)).filter(|s| *s > 0.0).collect();
    let least = sizes.iter().copied().fold(f64::INFINITY, f64::min);
    let most = sizes.iter().copied().fold(0.0, f64::max);
    match size(model) {
        Some(value) if value > 0.0 && most > least => {
            let share = (value / least).ln() / (most / least).ln();
            (9.0 + share * 30.0).sqrt()
        }
        _ => 3.4,
    }
}

fn draw(scene: &mut Scene, (x, y): (f64, f64), look: Look) {
    let outline = |radius: f64| -> Vec<(f64, f64)> {
        let corners: &[(f64, f64)] = match look.marker {
            Marker::Circle => &[],
            Marker::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Marker::Triangle => &[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
            Marker::Diamond => &[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
        };
        corners.iter().map(|(dx, dy)| (x + radius * dx, y + radius * dy)).collect()
    };
    if look.marker == Marker::Circle {
        scene.circle((x, y), look.radius, look.colour, look.hollow.then_some(1.2));
        return;
    }
    scene.area(&outline(look.radius), look.colour, 1.0);
    if look.hollow {
        scene.area(&outline(look.radius - 1.4), super::palette::WHITE, 1.0);
    }
}

/// Positions of the points that no other one beats in both value and energy, by rising energy.
fn pareto(points: &[Point], direction: Direction) -> Vec<usize> {
    let good = |point: &Point| match direction {
        Direction::Higher => point.value,
        Direction::Lower => -point.value,
    };
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| {
        let energy = points[a].energy.total_cmp(&points[b].energy);
        energy.then(good(&points[b]).total_cmp(&good(&points[a])))
    });
    let mut front: Vec<usize> = Vec::new();
    for index in order {
        if front.last().is_none_or(|&last| good(&points[index]) > good(&points[last])) {
            front.push(index);
        }
    }
    front
}

/// The front as a line of steps.
fn steps(x: &Axis, y: &Axis, points: &[Point], best: &[usize]) -> Vec<(f64, f64)> {
    let mut line: Vec<(f64, f64)> = Vec::new();
    for &index in best {
        let at = (x.at(points[index].energy), y.at(points[index].value));
        if let Some(&(_, before)) = line.last() {
            line.push((at.0, before));
        }
        line.push(at);
    }
    if let Some(&(_, last)) = line.last() {
        line.push((x.to, last));
    }
    line
}

/// Names the arms of the front where there is room.
fn names(scene: &mut Scene, x: &Axis, y: &Axis, points: &[Point], best: &[usize], line: &[(f64, f64)]) {
    let mut taken: Vec<(f64, f64, f64, f64)> = points
        .iter()
        .map(|point| {
            let (cx, cy, r) = (x.at(point.energy), y.at(point.value), point.look.radius + 0.5);
            (cx - r, cy - r, cx + r, cy + r)
        })
        .collect();
    taken.extend(line.windows(2).map(|ends| {
        let ((ax, ay), (bx, by)) = (ends[0], ends[1]);
        (ax.min(bx), ay.min(by), ax.max(bx), ay.max(by))
    }));
    for &index in best {
        let point = &points[index];
        let (cx, cy) = (x.at(point.energy), y.at(point.value));
        let (w, r) = (paint::width(&point.arm.name, SMALL, true), point.look.radius + 3.0);
        let places = [
            (cx - r - w, cy - r - 2.0),
            (cx - w / 2.0, cy - r - 5.0),
            (cx + r, cy - r - 2.0),
            (cx - r - w, cy),
            (cx + r, cy),
            (cx + r, cy + r + 2.0),
            (cx - w / 2.0, cy + r + 5.0),
            (cx - r - w, cy + r + 2.0),
        ];
        let free = places.into_iter().find(|&(left, middle)| {
            let area = (left - 1.0, middle - 4.5, left + w + 1.0, middle + 4.5);
            let inside = area.0 >= x.from && area.2 <= x.to && area.1 >= y.to && area.3 <= y.from;
            let apart = |o: &(f64, f64, f64, f64)| area.2 < o.0 || o.2 < area.0 || area.3 < o.1 || o.3 < area.1;
            inside && taken.iter().all(apart)
        });
        if let Some((left, middle)) = free {
            scene.text((left, middle), point.arm.name.clone(), Style::new(SMALL, INK).bold());
            taken.push((left, middle - 4.5, left + w, middle + 4.5));
        }
    }
}

/// What colours, shapes, filling and size mean, one group each.
fn keys<'a>(study: &'a Study, order: &[&'a Factor], points: &[Point]) -> Vec<(String, Vec<Entry<'a>>)> {
    let plain = Look { colour: FAINT, marker: Marker::Circle, hollow: false, radius: 3.4 };
    let key = |look: Look, label: String| -> Entry<'a> { (Box::new(move |scene, at| draw(scene, at, look)), label) };
    let mut groups: Vec<(String, Vec<Entry>)> = Vec::new();
    for (rank, factor) in order.iter().take(3).enumerate() {
        let entries = factor.levels.iter().enumerate().map(|(index, level)| {
            let look = match rank {
                0 => Look { colour: series(index), ..plain },
                1 => Look { marker: MARKERS[index % MARKERS.len()], ..plain },
                _ => Look { hollow: index == 0, ..plain },
            };
            key(look, level.clone())
        });
        let mut entries: Vec<Entry> = entries.collect();
        // References have no levels: they are drawn in the colour of none.
        if rank == 0 && points.iter().any(|point| point.arm.role == Role::Reference) {
            entries.push(key(plain, "reference".to_owned()));
        }
        groups.push((factor.name.clone(), entries));
    }
    let mut names: Vec<&str> = points.iter().map(|point| point.arm.model.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let sizes = study.models.iter().filter(|model| names.contains(&model.name.as_str()));
    let entries: Vec<Entry> = sizes
        .map(|model| {
            let radius = radius(study, &model.name);
            let label = format!("{} ({})", model.name, number::parameters(model.parameters));
            key(Look { radius, ..plain }, label)
        })
        .collect();
    if !entries.is_empty() {
        groups.push(("size".to_owned(), entries));
    }
    groups
}
