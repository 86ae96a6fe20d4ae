//! The design as a report tells it: factors, baseline, claims, and what a seed trains anew.

use tutelage_reports::study::{self, Factor};

use crate::experiment::Checked;
use crate::experiment::settings::{self, Experiment, Retrain};

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
    match (experiment.retrain, teaches, any_scratch) {
        (Retrain::Students, ..) | (Retrain::All, false, false) => "students",
        (Retrain::All, true, false) => "students and teachers",
        (Retrain::All, false, true) => "students and pretrained models",
        (Retrain::All, true, true) => "students, teachers and pretrained models",
    }
    .to_owned()
}

pub(super) fn hypotheses(experiment: &Experiment) -> Vec<study::Hypothesis> {
    let convert = |hypothesis: &settings::Hypothesis| {
        let contrast = hypothesis.contrast.as_ref()?;
        Some(study::Hypothesis {
            name: hypothesis.name.clone(),
            factor: contrast.factor.clone(),
            better: contrast.better.clone(),
            worse: contrast.worse.clone(),
            within: contrast.within.clone(),
            metrics: hypothesis.metrics.clone(),
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
