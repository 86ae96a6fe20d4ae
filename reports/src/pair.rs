//! Which arms stand against which in a claim.

use crate::study::{Arm, LevelContrast, Outcome, Role, Study};

/// Pairs the arms of both sides of a claim: cells that agree in every other factor, or each cell
/// with its control where one of the levels is a control's.
///
/// # Errors
/// Why the sides cannot be paired, in words: an arm that is not done, or has no counterpart.
pub(crate) fn pair<'s>(study: &'s Study, contrast: &LevelContrast) -> Result<Vec<(&'s str, &'s str)>, String> {
    let [better, worse] = [&contrast.better, &contrast.worse].map(|level| cells(study, contrast, level));
    let pairs = match [&contrast.better, &contrast.worse].map(|level| is_control(study, contrast, level)) {
        [false, false] => alike(&contrast.factor, &better, &worse),
        [false, true] => controlled(study, &better),
        [true, false] => controlled(study, &worse).map(|pairs| pairs.into_iter().map(|(a, b)| (b, a)).collect()),
        [true, true] => Err("both levels are controls".to_owned()),
    };
    let sides = [(&better, &contrast.better), (&worse, &contrast.worse)];
    let empty = sides.iter().filter(|(arms, level)| arms.is_empty() && !is_control(study, contrast, level));
    let mut problems: Vec<String> =
        empty.map(|(_, level)| format!("no arm has `{}` = `{level}`", contrast.factor)).collect();
    let mut named: Vec<&Arm> = better.iter().chain(&worse).copied().collect();
    named.extend(pairs.iter().flatten().flat_map(|(a, b)| [*a, *b]).filter(|arm| arm.role == Role::Control));
    problems.extend(gaps(&named));
    if !problems.is_empty() {
        return Err(problems.join("; "));
    }
    Ok(pairs?.into_iter().map(|(first, second)| (first.name.as_str(), second.name.as_str())).collect())
}

/// Says of each arm that is not done why not, once.
pub(crate) fn gaps(arms: &[&Arm]) -> Vec<String> {
    let mut gaps = Vec::new();
    let mut told = Vec::new();
    for arm in arms {
        if told.contains(&&arm.name) {
            continue;
        }
        told.push(&arm.name);
        match &arm.outcome {
            Outcome::Done => {}
            Outcome::Failed { reason } => gaps.push(format!("arm `{}` failed: {reason}", arm.name)),
            Outcome::Missing => gaps.push(format!("arm `{}` has not run", arm.name)),
        }
    }
    gaps
}

/// Whether a level of the claim's factor is an algorithm without a teacher.
fn is_control(study: &Study, contrast: &LevelContrast, level: &str) -> bool {
    let has = |arm: &Arm| arm.levels.get(&contrast.factor).is_some_and(|own| own == level);
    let mut arms = study.arms.iter().filter(|arm| has(arm));
    contrast.factor == "algorithm" && arms.next().is_some_and(|arm| arm.role == Role::Control)
}

/// Selects the cells at a level of the claim's factor, within the levels that it fixes.
fn cells<'s>(study: &'s Study, contrast: &LevelContrast, level: &str) -> Vec<&'s Arm> {
    let selected = |arm: &&Arm| {
        arm.role == Role::Cell
            && arm.levels.get(&contrast.factor).is_some_and(|own| own == level)
            && contrast.within.iter().all(|(factor, level)| arm.levels.get(factor) == Some(level))
    };
    study.arms.iter().filter(selected).collect()
}

type Pairs<'s> = Vec<(&'s Arm, &'s Arm)>;

fn alike<'s>(factor: &str, better: &[&'s Arm], worse: &[&'s Arm]) -> Result<Pairs<'s>, String> {
    let others = |arm: &Arm| {
        let mut levels = arm.levels.clone();
        levels.remove(factor);
        levels
    };
    if better.len() != worse.len() {
        return Err(format!("the sides differ in their number of arms: {}, {}", better.len(), worse.len()));
    }
    let partner = |arm: &Arm| worse.iter().find(|other| others(other) == others(arm)).copied();
    better
        .iter()
        .map(|arm| Ok((*arm, partner(arm).ok_or_else(|| format!("arm `{}` has no counterpart", arm.name))?)))
        .collect()
}

fn controlled<'s>(study: &'s Study, cells: &[&'s Arm]) -> Result<Pairs<'s>, String> {
    let control = |cell: &Arm| study.arms.iter().find(|arm| Some(&arm.name) == cell.control.as_ref());
    cells
        .iter()
        .map(|cell| Ok((*cell, control(cell).ok_or_else(|| format!("arm `{}` has no control", cell.name))?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::tests::{arm, empty};

    fn study() -> Study {
        let mut study = empty();
        for (name, role, levels) in [
            ("none/kd", Role::Cell, [("sft", "none"), ("algorithm", "kd")]),
            ("none/dskd", Role::Cell, [("sft", "none"), ("algorithm", "dskd")]),
            ("student/kd", Role::Cell, [("sft", "student"), ("algorithm", "kd")]),
            ("student/dskd", Role::Cell, [("sft", "student"), ("algorithm", "dskd")]),
            ("none/ce", Role::Control, [("sft", "none"), ("algorithm", "ce")]),
            ("student/ce", Role::Control, [("sft", "student"), ("algorithm", "ce")]),
        ] {
            let levels = levels.map(|(factor, level)| (factor.to_owned(), level.to_owned())).into();
            let start = name.split('/').next().unwrap_or_default();
            let control = (role == Role::Cell).then(|| format!("{start}/ce"));
            study.arms.push(Arm { levels, control, ..arm(name, role) });
        }
        study
    }

    fn claim(factor: &str, better: &str, worse: &str, within: &[(&str, &str)]) -> LevelContrast {
        let owned = |(factor, level): &(&str, &str)| ((*factor).to_owned(), (*level).to_owned());
        LevelContrast {
            factor: factor.into(),
            better: better.into(),
            worse: worse.into(),
            within: within.iter().map(owned).collect(),
        }
    }

    #[test]
    fn controls_take_no_part_in_what_is_averaged_over() {
        let study = study();
        let pairs = pair(&study, &claim("sft", "student", "none", &[])).unwrap();
        assert_eq!(pairs, [("student/kd", "none/kd"), ("student/dskd", "none/dskd")]);
    }

    #[test]
    fn every_cell_stands_against_the_control_that_starts_alike() {
        let study = study();
        let pairs = pair(&study, &claim("algorithm", "dskd", "ce", &[])).unwrap();
        assert_eq!(pairs, [("none/dskd", "none/ce"), ("student/dskd", "student/ce")]);
        let turned = pair(&study, &claim("algorithm", "ce", "kd", &[("sft", "student")])).unwrap();
        assert_eq!(turned, [("student/ce", "student/kd")]);
    }

    #[test]
    fn what_is_not_done_is_named_controls_too() {
        let mut study = study();
        study.arms[5].outcome = Outcome::Missing;
        let error = pair(&study, &claim("algorithm", "dskd", "ce", &[])).unwrap_err();
        assert_eq!(error, "arm `student/ce` has not run");
        study.arms[3].outcome = Outcome::Failed { reason: "no memory".into() };
        let error = pair(&study, &claim("algorithm", "dskd", "kd", &[])).unwrap_err();
        assert_eq!(error, "arm `student/dskd` failed: no memory");
        let error = pair(&study, &claim("sft", "student", "both", &[])).unwrap_err();
        assert_eq!(error, "no arm has `sft` = `both`; arm `student/dskd` failed: no memory");
        study.arms.remove(1);
        let error = pair(&study, &claim("algorithm", "kd", "dskd", &[("sft", "none")])).unwrap_err();
        assert_eq!(error, "no arm has `algorithm` = `dskd`");
    }
}
