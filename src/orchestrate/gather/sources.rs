//! Objectives, optimiser, adapters and tokenizers of an experiment, each with what it computes and the
//! publication that it is from, for the report. The modules that compute them say how they deviate.

use tutelage_reports::study::Method;

use crate::experiment::settings::{
    Algorithm, Alignment, Decoding, Divergence, Model, OptimizerStates, Sample, Task, TokenizerSource, Tuning,
};
use crate::experiment::{Checked, Lesson, LessonKind, evaluation_sets};

/// Lists what the experiment uses, without repetition.
#[must_use]
pub(super) fn methods(checked: &Checked) -> Vec<Method> {
    let experiment = &checked.experiment;
    let mut methods: Vec<Method> = Vec::new();
    let mut add = |part: &str, name: String, says: String, source: &str| {
        let method = Method { part: part.to_owned(), name, says, source: source.to_owned() };
        if !methods.contains(&method) {
            methods.push(method);
        }
    };
    let lessons: Vec<&Lesson> = checked.courses().flat_map(|course| &course.lessons).collect();
    for lesson in &lessons {
        let LessonKind::Distill { algorithm: name, objective: Some(algorithm), .. } = &lesson.kind else { continue };
        for (says, source) in objective(algorithm) {
            add("objective", name.clone(), says, source);
        }
    }
    add(
        "optimiser",
        "AdamW".to_owned(),
        "beta 0.9 and 0.999, epsilon 1e\u{2212}8, decoupled weight decay".to_owned(),
        "Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization, arXiv 1711.05101, algorithm 2",
    );
    if lessons.iter().any(|lesson| lesson.training.optimizer_states == OptimizerStates::EightBits) {
        add(
            "optimiser",
            "8-bit states".to_owned(),
            "moments in blocks of 256 numbers that share a scale".to_owned(),
            "Dettmers et al. 2022, 8-bit Optimizers via Block-wise Quantization, arXiv 2110.02861",
        );
    }
    if lessons.iter().any(|lesson| matches!(lesson.tuning, Tuning::Lora(_))) {
        let says = "trains W + (alpha / rank) B A with W as it is".to_owned();
        add(
            "tuning",
            "LoRA".to_owned(),
            says,
            "Hu et al. 2021, LoRA: Low-Rank Adaptation of Large Language Models, arXiv 2106.09685",
        );
    }
    if lessons.iter().any(|lesson| lesson.kind == LessonKind::Pretrain) {
        add(
            "packing",
            "blocks of texts".to_owned(),
            "blocks of one length, no text sees another, positions begin anew with each".to_owned(),
            "Krell et al. 2021, Efficient Sequence Packing without Cross-contamination, arXiv 2107.02027",
        );
    }
    let scratch = experiment.models.values().filter_map(|model| match model {
        Model::Scratch(scratch) => experiment.tokenizers.get_key_value(&scratch.tokenizer),
        Model::Checkpoint(_) => None,
    });
    for (name, tokenizer) in scratch {
        let (says, source) = match tokenizer {
            TokenizerSource::File { .. } => continue,
            TokenizerSource::ByteLevelBpe { vocabulary, .. } => (
                format!("byte-level BPE with {vocabulary} tokens, trained on the training split"),
                "Sennrich et al. 2016, Neural Machine Translation of Rare Words with Subword Units; bytes after Radford et al. 2019, Language Models are Unsupervised Multitask Learners, section 2.2",
            ),
            TokenizerSource::Unigram { vocabulary, .. } => (
                format!("Unigram with {vocabulary} tokens, trained on the training split"),
                "Kudo 2018, Subword Regularization, section 3.2",
            ),
        };
        add("tokenizer", name.clone(), says, source);
    }
    for set in evaluation_sets(experiment).iter().filter(|set| set.task == Task::Answer) {
        for (name, says, source) in decoding(&set.decoding) {
            add("decoding", name.to_owned(), says, source);
        }
    }
    methods
}

/// Lists what answers are decoded with that was published: its name, what it does, and where it is from.
fn decoding(decoding: &Decoding) -> Vec<(&'static str, String, &'static str)> {
    let mut used = Vec::new();
    if let Some(penalty) = decoding.repetition_penalty() {
        used.push((
            "repetition penalty",
            format!("logits of tokens in prompt or answer divided by {penalty}, negative ones multiplied"),
            "Keskar et al. 2019, CTRL: A Conditional Transformer Language Model for Controllable Generation, arXiv 1909.05858, section 4.1",
        ));
    }
    if let Some(length) = decoding.no_repeat_ngram() {
        used.push((
            "no n-gram twice",
            format!("no token that would repeat {length} tokens of prompt or answer"),
            "Paulus et al. 2018, A Deep Reinforced Model for Abstractive Summarization, arXiv 1705.04304, section 2.5",
        ));
    }
    let Decoding::Sample(Sample { top_p, top_k, min_p, .. }) = decoding else { return used };
    if let Some(count) = top_k {
        used.push((
            "top-k",
            format!("drawn from the {count} most probable tokens"),
            "Fan et al. 2018, Hierarchical Neural Story Generation, arXiv 1805.04833",
        ));
    }
    if *top_p < 1.0 {
        used.push((
            "top-p",
            format!("drawn from the smallest set of tokens that holds {top_p} of the probability"),
            "Holtzman et al. 2020, The Curious Case of Neural Text Degeneration, arXiv 1904.09751, section 3.1",
        ));
    }
    if let Some(share) = min_p {
        used.push((
            "min-p",
            format!("drawn from tokens at least {share} times as probable as the most probable one"),
            "Nguyen et al. 2024, Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs, arXiv 2407.01082, section 3",
        ));
    }
    used
}

/// Says what an algorithm minimises, part by part, and where each is from.
fn objective(algorithm: &Algorithm) -> Vec<(String, &'static str)> {
    let loss = |rate: f64, kd: &str, temperature: f64| {
        format!("{} CE + {rate} {kd}; temperature {temperature}, no factor temperature\u{b2}", 1.0 - rate)
    };
    match algorithm {
        Algorithm::CrossEntropy {} => {
            vec![(
                "cross-entropy of the reference answer, no teacher".to_owned(),
                "Jelinek et al. 1977, Perplexity: a measure of the difficulty of speech recognition tasks",
            )]
        }
        Algorithm::Vanilla { divergence, temperature, rate, alignment } => {
            let (says, source) = self::divergence(*divergence);
            let mut parts = vec![
                (
                    loss(*rate, "divergence", *temperature),
                    "Hinton et al. 2015, Distilling the Knowledge in a Neural Network, arXiv 1503.02531, section 2",
                ),
                (format!("divergence: {says}"), source),
            ];
            parts.extend(alignment.map(|alignment| match alignment {
                Alignment::Uld => (
                    "across vocabularies instead: distance of sorted probabilities, temperature 1".to_owned(),
                    "Boizard et al. 2024, Towards Cross-Tokenizer Distillation: the Universal Logit Distillation Loss, arXiv 2402.12030, eq. 5",
                ),
                Alignment::MinEdit => (
                    "across vocabularies: tokens matched by least edit distance".to_owned(),
                    "Wan et al. 2024, Knowledge Fusion of Large Language Models, arXiv 2401.10491",
                ),
                Alignment::Naive => {
                    ("across vocabularies: ids compared as they are, a control".to_owned(), "of no publication")
                }
            }));
            parts
        }
        Algorithm::DualSpace { divergence, temperature, rate, .. } => {
            let (says, source) = self::divergence(*divergence);
            vec![
                (
                    loss(*rate, "(L1 + L2 + L3) in the spaces of both models", *temperature),
                    "Zhang et al. 2024, Dual-Space Knowledge Distillation for Large Language Models, arXiv 2406.17328, section 3.2; across vocabularies with cross-model attention, section 3.3",
                ),
                (format!("divergence in the student's space: {says}"), source),
            ]
        }
    }
}

/// Says a divergence of the student's q from the teacher's p as a formula, and where it is from.
fn divergence(divergence: Divergence) -> (&'static str, &'static str) {
    match divergence {
        Divergence::ForwardKl => {
            ("sum p (ln p \u{2212} ln q)", "Kullback and Leibler 1951, On information and sufficiency")
        }
        Divergence::ReverseKl => ("sum q (ln q \u{2212} ln p)", "Gu et al. 2024, MiniLLM, arXiv 2306.08543"),
        Divergence::JsDivergence => (
            "half of KL(p, m) + KL(q, m), m = (p + q) / 2",
            "Lin 1991, Divergence measures based on the Shannon entropy",
        ),
        Divergence::SkewedForwardKl => ("KL(p, 0.1 p + 0.9 q)", "Ko et al. 2024, DistiLLM, arXiv 2402.03898"),
        Divergence::SkewedReverseKl => ("KL(q, 0.9 p + 0.1 q)", "Ko et al. 2024, DistiLLM, arXiv 2402.03898"),
        Divergence::AdaptiveKl => (
            "forward and reverse KL by the gaps in head and tail",
            "Wu et al. 2024, Rethinking Kullback-Leibler Divergence in Knowledge Distillation for Large Language Models, arXiv 2404.02657",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrate::plan::tests::checked;

    #[test]
    fn whatever_an_experiment_uses_has_its_source() {
        let text = "version = 1\nquestion = \"?\"\nseeds = [1]\n[data.d]\nimporter = \"glossary\"\n\
            [tokenizers]\nt = { unigram = { vocabulary = 300 } }\n\
            [models]\ns.scratch = { tokenizer = \"t\", hidden = 8, layers = 1, heads = 1, feed-forward = 8 }\n[factors]\n\
            student = [\"s\"]\nteacher = [\"s\"]\nalgorithm = [\"kd\", \"dskd\", \"ce\"]\n[algorithms]\n\
            kd.vanilla = { divergence = \"js-divergence\", alignment = \"uld\" }\ndskd.dual-space = {}\nce.cross-entropy = {}\n\
            [tuning.lora]\n[evaluation.decoding.sample]\nmin-p = 0.1\ntop-p = 0.9\ntop-k = 5\nrepetition-penalty = 1.1\n\
            no-repeat-ngram = 3";
        let experiment = toml::from_str(text).unwrap();
        let methods = methods(&checked(|study| *study = experiment));
        let named = |name: &str| methods.iter().filter(|method| method.name == name).count();
        assert_eq!([named("kd"), named("dskd"), named("ce")], [3, 2, 1]);
        assert_eq!([named("AdamW"), named("LoRA"), named("t")], [1, 1, 1]);
        let decoding: Vec<&str> =
            methods.iter().filter(|method| method.part == "decoding").map(|method| method.name.as_str()).collect();
        assert_eq!(decoding, ["repetition penalty", "no n-gram twice", "top-k", "top-p", "min-p"]);
        for method in &methods {
            assert!(method.source.contains(|c: char| c.is_ascii_digit()), "{method:?} names no year");
        }
    }
}
