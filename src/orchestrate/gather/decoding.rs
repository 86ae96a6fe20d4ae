//! How answers were decoded, in words.

use crate::experiment::EvaluationSet;
use crate::experiment::settings::{Decoding, Sample};
use crate::orchestrate::plan::Plan;
use crate::orchestrate::stages::Job;

use super::sets;

/// Says how the answers on a set were decoded; where arms differ, how those of each. None where nothing is
/// answered.
pub(super) fn in_words(plan: &Plan, set: &EvaluationSet) -> Option<String> {
    let mut ways: Vec<(String, Vec<&str>)> = Vec::new();
    for trial in &plan.trials {
        let stage = sets::on(trial, set).and_then(|asked| plan.stage(&asked.answers));
        let Some(Job::Generate(job)) = stage.map(|stage| &stage.job) else { continue };
        let way = words(&job.decoding, job.max_new_tokens);
        let position = ways.iter().position(|(known, _)| *known == way).unwrap_or_else(|| {
            ways.push((way, Vec::new()));
            ways.len() - 1
        });
        let arms = &mut ways[position].1;
        if !arms.contains(&trial.arm.as_str()) {
            arms.push(&trial.arm);
        }
    }
    match ways.as_slice() {
        [] => None,
        [(way, _)] => Some(way.clone()),
        several => {
            let told: Vec<String> = several.iter().map(|(way, arms)| format!("{}: {way}", arms.join(", "))).collect();
            Some(told.join("; "))
        }
    }
}

fn words(decoding: &Decoding, longest: usize) -> String {
    let mut parts = Vec::new();
    match decoding {
        Decoding::Greedy(_) => parts.push("the most probable token each time".to_owned()),
        Decoding::Sample(Sample { temperature, top_p, top_k, min_p, .. }) => {
            parts.push(format!("tokens drawn at temperature {temperature}"));
            parts.extend(top_k.map(|count| format!("of the {count} most probable")));
            if *top_p < 1.0 {
                parts.push(format!("top-p {top_p}"));
            }
            parts.extend(min_p.map(|share| format!("min-p {share}")));
        }
    }
    parts.extend(decoding.repetition_penalty().map(|penalty| format!("repetition penalty {penalty}")));
    parts.extend(decoding.no_repeat_ngram().map(|length| format!("no {length} tokens twice")));
    if !decoding.stop().is_empty() {
        let stop: Vec<String> = decoding.stop().iter().map(|text| format!("{text:?}")).collect();
        parts.push(format!("up to the first {}", stop.join(" or ")));
    }
    parts.push(format!("at most {longest} tokens"));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::evaluation_sets;
    use crate::experiment::settings::Greedy;
    use crate::orchestrate::plan::tests::{checked, planned};

    #[test]
    fn every_setting_is_told() {
        assert_eq!(words(&Decoding::default(), 64), "the most probable token each time, at most 64 tokens");
        let ruled = Greedy {
            repetition_penalty: Some(1.2),
            no_repeat_ngram: Some(4),
            stop: vec!["\n".to_owned(), "Question:".to_owned()],
        };
        assert_eq!(
            words(&Decoding::Greedy(ruled), 8),
            "the most probable token each time, repetition penalty 1.2, no 4 tokens twice, \
             up to the first \"\\n\" or \"Question:\", at most 8 tokens"
        );
        let drawn = Sample { temperature: 0.7, top_p: 0.9, top_k: Some(50), min_p: Some(0.05), ..Sample::default() };
        assert_eq!(
            words(&Decoding::Sample(drawn), 8),
            "tokens drawn at temperature 0.7, of the 50 most probable, top-p 0.9, min-p 0.05, at most 8 tokens"
        );
    }

    #[test]
    fn a_study_tells_how_its_answers_were_decoded() {
        let (checked, plan) = (checked(|_| ()), planned(|_| ()));
        let sets = evaluation_sets(&checked.experiment);
        let longest = checked.experiment.evaluation.max_new_tokens;
        let told = format!("the most probable token each time, at most {longest} tokens");
        assert_eq!(in_words(&plan, &sets[0]), Some(told));
    }
}
