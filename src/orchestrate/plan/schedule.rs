//! How long a plan takes when several stages run at a time.

use std::collections::BTreeMap;

use crate::experiment::Key;
use crate::orchestrate::plan::Plan;

/// Returns the time until the last stage is done when `jobs` processes each take, whenever they are
/// free, the first stage of the plan whose inputs are there; `seconds` are those of each stage.
#[must_use]
pub fn elapsed(plan: &Plan, seconds: &[f64], jobs: usize) -> f64 {
    let mut free = vec![0.0_f64; jobs.max(1)];
    let mut ends: BTreeMap<&Key, f64> = BTreeMap::new();
    let mut open: Vec<usize> = (0..plan.stages.len()).collect();
    while !open.is_empty() {
        // When the inputs of a stage are there; none while one of them has not been given a time.
        let ready = |place: &usize| {
            let reads = plan.reads(&plan.stages[*place]);
            reads
                .map(|read| ends.get(&read.key).copied())
                .try_fold(0.0_f64, |latest, end| end.map(|end| latest.max(end)))
        };
        let process = (0..free.len()).min_by(|&a, &b| free[a].total_cmp(&free[b])).unwrap_or(0);
        let startable = open.iter().enumerate().filter_map(|(position, place)| Some((position, ready(place)?)));
        // The first that can start at once, else the one that can start soonest.
        let Some((position, start)) = startable
            .map(|(position, ready)| (position, ready.max(free[process])))
            .min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)))
        else {
            break;
        };
        let place = open.remove(position);
        free[process] = start + seconds[place];
        ends.insert(&plan.stages[place].key, free[process]);
    }
    free.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrate::kind::StageKind;
    use crate::orchestrate::plan::tests::planned;

    #[test]
    fn one_process_needs_the_sum_and_many_the_longest_way() {
        let plan = planned(|_| ());
        let seconds = vec![1.0; plan.stages.len()];
        assert_eq!(elapsed(&plan, &seconds, 1), plan.stages.len() as f64);
        // Data, tokenizer, pretraining, fine-tuning, capture, distillation, answers, scores.
        assert_eq!(elapsed(&plan, &seconds, 1000), 8.0);
        let two = elapsed(&plan, &seconds, 2);
        assert!(two >= plan.stages.len() as f64 / 2.0 && two < plan.stages.len() as f64 / 2.0 + 8.0, "{two}");
    }

    #[test]
    fn a_process_without_ready_work_waits() {
        let plan = planned(|_| ());
        // Only data and tokenizer take time, and all the rest waits for them.
        let first = |kind| if kind == StageKind::Prepare { 5.0 } else { 0.0 };
        let seconds: Vec<f64> = plan.stages.iter().map(|stage| first(stage.kind)).collect();
        assert_eq!(elapsed(&plan, &seconds, 2), 10.0);
    }
}
