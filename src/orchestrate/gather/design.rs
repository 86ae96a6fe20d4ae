//! The design as a report tells it: factors, baseline, claims, and what a seed trains anew.

use tutelage_reports::study::{self, Factor};

use crate::experiment::claim::column;
use crate::experiment::settings::{self, Contrast, Experiment, Margin, Ranked, Retrain, Rivalled, Within};
use crate::experiment::{Checked, Claim, EvaluationSet};

pub(super) fn factors(experiment: &Experiment) -> Vec<Factor> {
    let factor = |name: &str| {
        let levels = experiment.factors.levels(name)?.into_iter().map(str::to_owned).collect();
        Some(Factor { name: name.to_owned(), levels })
    };
    experiment.factors.names().filter_map(factor).collect()
}

pub(super) fn baseline(checked: &Checked) -> Option<String> {
    let levels = &checked.experiment.baseline;
    if levels.is_empty() {
        return None;
    }
    let mut arms = checked.arms.iter().chain(&checked.controls);
    arms.find(|arm| arm.matches(levels)).map(|arm| arm.name.clone())
}

/// Says what each seed trains anew; what the experiment does not train at all is not named.
pub(super) fn retrained(checked: &Checked) -> String {
    let experiment = &checked.experiment;
    let is_scratch = |model: &settings::Model| matches!(model, settings::Model::Scratch(_));
    let any_scratch = experiment.models.values().any(is_scratch);
    let mut teachers = checked.arms.iter().flat_map(|arm| arm.course.all().skip(1));
    let teaches = teachers
        .any(|teacher| !teacher.lessons.is_empty() || experiment.models.get(&teacher.model).is_some_and(is_scratch));
    // Where nothing teaches, nothing is a student.
    if checked.arms.iter().all(|arm| arm.course.teacher().is_none()) {
        return match (experiment.retrain, any_scratch) {
            (Retrain::All, true) => "models, their pretraining included",
            _ => "models",
        }
        .to_owned();
    }
    match (experiment.retrain, teaches, any_scratch) {
        (Retrain::Students, ..) | (Retrain::All, false, false) => "students",
        (Retrain::All, true, false) => "students and teachers",
        (Retrain::All, false, true) => "students and pretrained models",
        (Retrain::All, true, true) => "students, teachers and pretrained models",
    }
    .to_owned()
}

/// Words the claims as the report tests them, each metric by its column.
pub(super) fn hypotheses(experiment: &Experiment, sets: &[EvaluationSet]) -> Vec<study::Hypothesis> {
    // Quantities are columns of their own.
    let named = |name: &String| column(name, sets).map_or_else(|_| name.clone(), |(set, metric)| set.column(metric));
    let levels = |factor: &String, better: &String, worse: &String, within: &Within| study::LevelContrast {
        factor: factor.clone(),
        better: better.clone(),
        worse: worse.clone(),
        within: within.clone(),
    };
    let margin = |claim: &Margin| levels(&claim.factor, &claim.level, &claim.reference, &claim.within);
    let convert = |hypothesis: &settings::Hypothesis| {
        let claim = match hypothesis.claims().next()? {
            Claim::Better(Contrast { factor, better, worse, within }) => {
                study::Claim::Better(levels(factor, better, worse, within))
            }
            Claim::NotWorse(claim) => study::Claim::NotWorse { contrast: margin(claim), margin: claim.margin },
            Claim::Equivalent(claim) => study::Claim::Equivalent { contrast: margin(claim), margin: claim.margin },
            Claim::Interaction(claim) => study::Claim::Interaction {
                contrast: levels(&claim.factor, &claim.better, &claim.worse, &claim.within),
                factor: claim.with.clone(),
                more: claim.more.clone(),
                less: claim.less.clone(),
            },
            Claim::Rank(Ranked { of, with, within }) => {
                study::Claim::Rank { of: named(of), with: named(with), within: within.clone() }
            }
            Claim::BestDiffers(Rivalled { of, by, within }) => {
                study::Claim::BestDiffers { of: named(of), by: named(by), within: within.clone() }
            }
        };
        Some(study::Hypothesis {
            name: hypothesis.name.clone(),
            claim,
            metrics: hypothesis.metrics.iter().map(named).collect(),
            stratum: hypothesis.stratum.clone(),
        })
    };
    experiment.hypotheses.iter().filter_map(convert).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrate::plan::tests::checked;

    #[test]
    fn what_a_seed_retrains_is_told() {
        let told = |edit: fn(&mut Experiment)| retrained(&checked(edit));
        assert_eq!(told(|_| ()), "students");
        let all = |experiment: &mut Experiment| experiment.retrain = Retrain::All;
        assert_eq!(told(all), "students, teachers and pretrained models");
        let downloaded = |experiment: &mut Experiment| {
            experiment.retrain = Retrain::All;
            for model in experiment.models.values_mut() {
                *model = settings::Model::Checkpoint("hf:org/name".to_owned());
            }
        };
        assert_eq!(told(downloaded), "students and teachers");
        let untaught = |experiment: &mut Experiment| {
            for model in experiment.models.values_mut() {
                *model = settings::Model::Checkpoint("hf:org/name".to_owned());
            }
            experiment.factors.sft = vec![settings::SftLevel::Student];
            experiment.retrain = Retrain::All;
        };
        assert_eq!(told(untaught), "students");
    }
}
