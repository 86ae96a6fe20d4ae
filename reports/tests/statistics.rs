//! Statistics on whole metrics: corpus scores, shares of energy.

use tutelage_reports::energy::account;
use tutelage_reports::scores::Scores;

use crate::golden;

#[test]
fn corpus_scores_come_from_summed_counts() {
    use tutelage_metrics::ngram::bleu;

    let (study, records) = golden::study();
    let scores = Scores::new(&study, &records).unwrap();
    let rows: Vec<&Vec<f64>> = records
        .iter()
        .filter(|r| r.arm == "same/both/kd" && r.seed == 20 && r.metric == "bleu")
        .map(|r| &r.counts)
        .collect();
    let sums: Vec<f64> = (0..bleu::COUNTS).map(|i| rows.iter().map(|row| row[i]).sum()).collect();
    let wanted = bleu::from_counts(&sums);
    let found = scores.by_seed("bleu", "same/both/kd");
    assert_eq!(rows.len(), golden::QUESTIONS);
    assert_eq!(found[1], (20, wanted));
    assert!(wanted > 10.0 && wanted < 90.0);
}

#[test]
fn perplexity_is_the_exponential_of_the_loss() {
    let (study, records) = golden::study();
    let scores = Scores::new(&study, &records).unwrap();
    for arm in &study.arms {
        let loss = scores.by_seed("nll", &arm.name);
        let perplexity = scores.by_seed("perplexity", &arm.name);
        for ((_, loss), (_, perplexity)) in loss.into_iter().zip(perplexity) {
            assert!((loss.exp() / perplexity - 1.0).abs() < 1e-12);
        }
    }
}

#[test]
fn arms_share_the_whole_bill() {
    let (study, _) = golden::study();
    let account = account(&study);
    let shared: f64 = account.arms.iter().map(|arm| arm.total.measured + arm.total.estimated).sum();
    let known: f64 = study.energy.iter().filter_map(|row| row.joules).sum();
    assert!((shared / known - 1.0).abs() < 1e-12);
    assert!((account.total.measured + account.total.estimated - known).abs() < 1e-6);
    assert!(account.total.unavailable.contains("gpu"));
    // Sixteen arms and two controls share the student's pretraining: 0.9 of 2,400 J is known.
    let seconds: f64 = account.arms.iter().map(|arm| arm.seconds).sum();
    assert!((seconds - account.seconds).abs() < 1e-9);
    let cheapest = account.arms.iter().find(|arm| arm.arm == "same/none/kd").unwrap();
    let wanted = 0.9 * (2_400.0 / 18.0 + 5_200.0 / 8.0);
    let pretrain = &cheapest.stages["pretrain"];
    assert!((pretrain.measured + pretrain.estimated - wanted).abs() < 1e-9);
}

#[test]
fn what_is_unavailable_is_no_zero() {
    let (mut study, _) = golden::study();
    for row in &mut study.energy {
        row.joules = None;
        row.state = "unavailable".into();
    }
    let account = account(&study);
    assert_eq!(account.total.joules(), None);
    assert_eq!(account.total.state(), "cpu, dram, gpu unavailable");
}
