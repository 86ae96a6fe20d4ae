//! What the findings do not show, drawn from how the study was made.

use super::Findings;
use crate::number;
use crate::scores::Counts;
use crate::study::{Claim, EvaluationSet, Role};
use crate::vocabulary;

/// Lists the limits of the study, the widest first.
pub(super) fn limitations(findings: &Findings) -> Vec<String> {
    let study = findings.study;
    let mut limits = Vec::new();
    limits.extend(shared(findings));
    let holds = |set: &EvaluationSet, counts: Counts| {
        let examples = number::counted(counts.examples, set.task.example());
        match counts.units {
            units if units == counts.examples => examples,
            units => format!("{examples} on {}", number::counted(units, &set.unit.name)),
        }
    };
    let sets: Vec<(&EvaluationSet, Counts)> = findings.sets().collect();
    let test = match sets.as_slice() {
        [(set, counts)] => format!("The test is one split ({})", holds(set, *counts)),
        several => {
            let each = several.iter().map(|(set, counts)| {
                format!("{}: {}", set.name.as_deref().unwrap_or("without a name"), holds(set, *counts))
            });
            format!("Each evaluation set is one split ({})", each.collect::<Vec<_>>().join("; "))
        }
    };
    limits.push(format!("{test}: intervals say what to expect of others like them, and nothing of other subjects."));
    // Where it is told what was trained and nothing was distilled, there is nothing to be told apart.
    let distils = study.training.is_empty() || study.training.iter().any(|training| training.stage == "distill");
    if !study.arms.is_empty() && distils && !study.arms.iter().any(|arm| arm.role == Role::Control) {
        limits.push(
            "No arm was trained without a teacher for as many steps: what distillation adds to longer training is not told apart."
                .to_owned(),
        );
    }
    if !study.training.is_empty() {
        limits
            .push("No search of hyper-parameters is recorded: other settings may rank the arms otherwise.".to_owned());
    }
    let scratch: Vec<_> = study.models.iter().filter(|model| model.origin == "trained from scratch").collect();
    if let Some(largest) = scratch.iter().map(|model| model.parameters).max() {
        limits.push(format!(
            "Models trained from scratch are small (at most {} parameters) and read the texts of this data set only: they say nothing of large ones.",
            number::parameters(largest)
        ));
    }
    limits.extend(vocabulary::note(study, &study.metrics));
    if !findings.divisions.is_empty() {
        limits.push(
            "Strata are looked at for exploration: what is found in one of them was not claimed, and they are smaller than their set."
                .to_owned(),
        );
    }
    if study.hypotheses.iter().any(|hypothesis| matches!(hypothesis.claim, Claim::BestDiffers { .. })) {
        limits.push(
            "Where a claim takes the best arm by a column, it is the arm that was best as observed: which arm would be best of other trials is not part of the test."
                .to_owned(),
        );
    }
    if findings.account.total.is_estimate() {
        limits.push(
            "Energy is estimated at least in part: from time and declared powers, not from a counter.".to_owned(),
        );
    }
    if !findings.account.total.unavailable.is_empty() {
        let names: Vec<&str> = findings.account.total.unavailable.iter().map(String::as_str).collect();
        limits.push(format!("The energy of {} is not known and in no sum.", names.join(", ")));
    }
    if study.baseline.is_some() {
        limits.push(
            "Only the declared claims are tested as such; marks against the baseline, stars outside of outlined cells and the Pareto front are exploratory."
                .to_owned(),
        );
    }
    limits
}

/// What was trained once for all seeds.
fn shared(findings: &Findings) -> Option<String> {
    let study = findings.study;
    if study.seeds.len() < 2 {
        return None;
    }
    let once = study.training.iter().filter(|training| training.seeds.len() == 1);
    let labels: Vec<String> =
        once.map(|training| format!("{} ({})", training.labels.join(", "), training.stage)).collect();
    (!labels.is_empty()).then(|| {
        format!(
            "Trained once and shared by all seeds: {}; seeds say nothing of how these would vary.",
            labels.join("; ")
        )
    })
}
