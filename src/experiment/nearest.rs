//! Suggestions: the valid name that was meant by one that is not.

/// What a setting or choice is called here, with the names it has elsewhere: in transformers, PEFT, TRL,
/// papers and everyday speech. Lower case, words joined by `-`.
const SYNONYMS: [(&str, &[&str]); 62] = [
    // Devices and number formats.
    ("cuda", &["gpu", "nvidia", "cuda:0", "gpu:0"]),
    ("f32", &["fp32", "float32", "float", "single", "full", "32"]),
    ("bf16", &["bfloat16", "bf", "half", "fp16", "float16", "f16", "mixed", "16"]),
    // Metrics.
    ("token-f1", &["f1", "f1-score", "squad-f1"]),
    ("exact-match", &["em", "exact"]),
    ("acc", &["accuracy"]),
    ("rouge-l", &["rouge"]),
    ("rouge-lsum", &["rouge-sum"]),
    ("bleu", &["sacrebleu", "bleu-4", "bleu4"]),
    ("chrf++", &["chrfpp", "chrf2"]),
    ("cosine", &["similarity", "cosine-similarity", "sbert"]),
    ("perplexity", &["ppl"]),
    ("nll", &["loss", "cross-entropy", "log-likelihood"]),
    // Algorithms, divergences, alignments.
    ("vanilla", &["kd", "logits", "word-level"]),
    ("dual-space", &["dskd", "dskd-cma"]),
    ("cross-entropy", &["ce", "sft", "no-teacher"]),
    ("forward-kl", &["kl", "fkl", "kld", "kl-divergence"]),
    ("reverse-kl", &["rkl"]),
    ("js-divergence", &["js", "jsd", "jensen-shannon"]),
    ("adaptive-kl", &["akl"]),
    ("skewed-forward-kl", &["sfkl", "skew-kl", "skewed-kl", "skl"]),
    ("skewed-reverse-kl", &["srkl"]),
    // Models and tokenizers.
    ("checkpoint", &["pretrained", "path", "hf", "hub", "huggingface", "name-or-path", "model-name-or-path"]),
    ("llama", &["tinyllama", "llama2", "llama3", "llama-2", "llama-3"]),
    ("qwen2", &["qwen", "qwen2.5"]),
    ("byte-level-bpe", &["bpe", "bbpe", "gpt2"]),
    ("unigram", &["sentencepiece", "spm"]),
    ("vocabulary", &["vocab", "vocab-size", "vocabulary-size", "size"]),
    ("hidden", &["hidden-size", "width", "d-model", "n-embd", "dim"]),
    ("layers", &["num-hidden-layers", "num-layers", "n-layers", "n-layer", "depth"]),
    ("heads", &["num-attention-heads", "num-heads", "n-heads", "n-head"]),
    ("kv-heads", &["num-key-value-heads", "n-kv-heads"]),
    ("feed-forward", &["intermediate-size", "ffn", "mlp", "d-ff"]),
    ("positions", &["max-position-embeddings", "context", "context-length", "block-size"]),
    ("tied", &["tie-word-embeddings", "tie"]),
    // Tuning and training.
    ("lora", &["peft", "adapter", "adapters"]),
    ("rank", &["r", "lora-r"]),
    ("alpha", &["lora-alpha"]),
    ("dropout", &["lora-dropout"]),
    ("lr", &["learning-rate", "peak-lr", "max-lr"]),
    ("epochs", &["num-epochs", "num-train-epochs", "n-epochs"]),
    ("batch", &["batch-size", "bs", "per-device-train-batch-size", "train-batch-size"]),
    ("accumulation", &["gradient-accumulation", "gradient-accumulation-steps", "grad-accum", "accumulate"]),
    ("clip", &["max-grad-norm", "grad-clip", "gradient-clipping", "clip-grad", "clip-norm"]),
    ("max-length", &["max-len", "max-seq-length", "max-seq-len", "sequence-length", "seq-len", "cutoff-len"]),
    ("floor", &["min-lr", "end-lr", "lr-end"]),
    ("warmup", &["warmup-ratio"]),
    ("checkpoint-every", &["save-steps", "save-every"]),
    // Data, decoding, the rest.
    ("group-by", &["group", "groups"]),
    ("qa", &["json", "json-lines", "ndjson", "csv", "parquet", "question-answer", "alpaca"]),
    ("messages", &["chat", "chatml", "openai"]),
    ("sharegpt", &["conversation", "conversations"]),
    ("text", &["txt", "texts", "corpus", "documents"]),
    ("choice", &["mcq", "mmlu", "multiple-choice"]),
    ("squad", &["squad2", "squad-2.0", "squad-v2", "squad1", "squad-1.1"]),
    ("sample", &["sampling", "nucleus", "random"]),
    ("greedy", &["argmax"]),
    ("repetition-penalty", &["repeat-penalty", "rep-penalty"]),
    ("no-repeat-ngram", &["no-repeat-ngram-size", "ngram"]),
    ("stop", &["stop-strings", "stop-sequences", "stop-words", "until"]),
    ("max-new-tokens", &["max-tokens", "max-gen-len", "max-answer"]),
    ("precision", &["dtype", "torch-dtype"]),
];

/// Writes a name as names here are written, whatever pasted or foreign signs it has.
fn normal(name: &str) -> String {
    let quotes = |c: char| "\"'“”‘’".contains(c);
    name.trim_matches(quotes).to_lowercase().replace(['_', ' ', '–', '—', '−'], "-")
}

/// Returns the candidate that was meant by `name`: one that is called so elsewhere, else the one with the
/// smallest edit distance if it is close enough, at most a third of the longer name or one edit, but not
/// every character.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = normal(name);
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let is_synonym = |candidate: &str| {
        SYNONYMS.iter().any(|(here, elsewhere)| *here == candidate && elsewhere.contains(&name.as_str()))
    };
    if let Some(meant) = candidates.iter().find(|candidate| is_synonym(candidate)) {
        return Some(meant);
    }
    let close = |candidate: &'a str| {
        let other = normal(candidate);
        let longest = name.chars().count().max(other.chars().count());
        let most = (longest / 3).max(1).min(longest.saturating_sub(1));
        // One letter is like too many names of two.
        let is_single = name.chars().count().min(other.chars().count()) == 1 && longest > 1;
        // Swapped neighbours count once: `teh` is one edit from `the`.
        let distance = strsim::osa_distance(&name, &other);
        (distance <= most && !is_single).then_some((distance, candidate))
    };
    let closest = candidates.into_iter().filter_map(close).min_by_key(|(distance, _)| *distance);
    closest.map(|(_, candidate)| candidate)
}

/// Writes names as a list in backticks.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// Words the remedy for a name that is none of `candidates`; `what` names them in the plural.
pub(crate) fn remedy<'a>(name: &str, what: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let all = listed(candidates.clone());
    match nearest(name, candidates) {
        _ if all.is_empty() => format!("there are no {what}"),
        Some(meant) if all == format!("`{meant}`") => format!("did you mean `{meant}`?"),
        Some(meant) => format!("did you mean `{meant}`? {what}: {all}"),
        None => format!("{what}: {all}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_close_names_are_suggested() {
        let names = ["forward-kl", "reverse-kl", "uld"];
        assert_eq!(nearest("forward_kl", names), Some("forward-kl"));
        assert_eq!(nearest("reverze-kl", names), Some("reverse-kl"));
        assert_eq!(nearest("mle", names), None);
        assert_eq!(nearest("ceosin", ["cosine", "uld"]), Some("cosine"));
        assert_eq!(nearest("c", ["a", "b"]), None);
        assert_eq!(nearest("A", ["a", "b"]), Some("a"));
        assert_eq!(nearest("a", ["qa"]), None);
    }

    #[test]
    fn what_others_call_it_comes_before_what_looks_alike() {
        assert_eq!(nearest("gpu", ["auto", "cpu", "cuda"]), Some("cuda"));
        assert_eq!(nearest("learning_rate", ["epochs", "lr"]), Some("lr"));
        assert_eq!(nearest("“F1”", ["rouge-1", "token-f1"]), Some("token-f1"));
        assert_eq!(nearest("gpu", ["auto"]), None);
    }

    #[test]
    fn a_synonym_stands_for_one_name() {
        for (here, elsewhere) in SYNONYMS {
            for name in elsewhere {
                assert_eq!(normal(name), **name, "is never found");
                assert_ne!(*name, here);
                let others: Vec<&str> =
                    SYNONYMS.iter().filter(|(_, names)| names.contains(name)).map(|(here, _)| *here).collect();
                assert_eq!(others, [here], "`{name}`");
            }
        }
    }
}
