//! Why a stage failed, in words that a person can act on.
//!
//! Errors of libtorch carry a C++ backtrace, and panics the wrapping of `Result::unwrap`. Both are
//! cut to their first line here; the whole text is kept beside it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Stands first among the reasons where memory ran out.
const OUT_OF_MEMORY: &str = "out of memory";

/// Says why a stage failed; kept as `failure.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Kind and label of the stage.
    pub stage: String,
    /// What went wrong, outermost first, one line each; a remedy last where one is known.
    pub reasons: Vec<String>,
    /// Folder of the stage.
    pub folder: PathBuf,
    /// The whole text of the error, where `reasons` leave out some of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Failure {
    /// Describes an error of a stage, with the remedy where memory ran out.
    #[must_use]
    pub fn new(stage: String, error: &anyhow::Error, folder: PathBuf) -> Self {
        let whole: Vec<String> = error.chain().map(ToString::to_string).collect();
        let mut reasons: Vec<String> = whole.iter().map(|text| brief(text)).collect();
        let detail = (reasons != whole).then(|| whole.join("\n"));
        if whole.iter().any(|text| is_out_of_memory(text)) {
            reasons.insert(0, OUT_OF_MEMORY.to_owned());
            reasons.push(
                "hint: in `training`, raise `accumulation` (a step of the same `batch` in more parts), or lower \
                 `max-length`; for answers, lower `evaluation.batch`"
                    .to_owned(),
            );
        }
        Self { stage, reasons, folder, detail }
    }

    /// Says whether memory ran out.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.reasons.first().is_some_and(|reason| reason == OUT_OF_MEMORY)
    }
}

/// What `Result::unwrap` and `Result::expect` put before an error of libtorch, and what follows
/// its first line; escaped where a panic shows the error as a debug string.
const WRAPPING: &str = "`Err` value: Torch(\"";
const BACKTRACES: [&str; 4] = ["\nException raised from", "\\nException raised from", "\nframe #", "\\nframe #"];

/// Cuts an error's text to its first line if a C++ backtrace follows, and takes the wrapping of a
/// panic off. Other text stays as it is.
#[must_use]
pub fn brief(text: &str) -> String {
    let (before, inner) = match text.split_once(WRAPPING) {
        Some((before, inner)) => (before, inner.strip_suffix("\")").unwrap_or(inner)),
        None => ("", text),
    };
    let is_wrapped = inner.len() < text.len();
    let end = BACKTRACES.iter().filter_map(|mark| inner.find(mark)).min();
    if end.is_none() && !is_wrapped {
        return text.to_owned();
    }
    let first = inner[..end.unwrap_or(inner.len())].lines().next().unwrap_or_default();
    if !is_wrapped {
        return first.to_owned();
    }
    let first = first.split("\\n").next().unwrap_or_default().replace("\\\"", "\"").replace("\\'", "'");
    let before = before.trim_end().trim_end_matches("called `Result::unwrap()` on an").trim_end();
    match before {
        "" => first,
        before => format!("{} {first}", before.trim_end()),
    }
}

/// Says whether a text is what libtorch's or CUDA's allocators say when memory runs out.
fn is_out_of_memory(text: &str) -> bool {
    ["out of memory", "can't allocate memory", "ALLOC_FAILED"].iter().any(|mark| text.contains(mark))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    const SIZES: &str = "The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 0";
    const TRACE: &str = "Exception raised from infer_size_impl at ExpandUtils.cpp:31 (most recent call first):\n\
                         frame #0: c10::Error::Error(...) + 0x9d (0x7f in libc10.so)\n";

    #[test]
    fn a_libtorch_error_is_cut_before_its_backtrace_and_kept_whole_in_the_detail() {
        let error = tch::TchError::Torch(format!("{SIZES}\n{TRACE}"));
        let error = anyhow::Error::new(error).context("step 3");
        let failure = Failure::new("sft a".to_owned(), &error, PathBuf::new());
        assert_eq!(failure.reasons, ["step 3".to_owned(), format!("Internal torch error: {SIZES}")]);
        assert!(failure.detail.unwrap().contains("frame #0"));
    }

    #[test]
    fn a_panic_of_unwrap_is_told_by_its_error() {
        let fail = || -> tch::Result<()> { Err(tch::TchError::Torch(format!("{SIZES}\n{TRACE}"))) };
        let panic = catch_unwind(AssertUnwindSafe(|| fail().unwrap())).unwrap_err();
        let text = format!("the stage panicked: {}", panic.downcast_ref::<String>().unwrap());
        assert!(text.contains("frame #0"));
        assert_eq!(brief(&text), format!("the stage panicked: {SIZES}"));
    }

    #[test]
    fn text_without_a_backtrace_stays() {
        let text = "no tokenizer\nhint: name one";
        let failure = Failure::new(String::new(), &anyhow::anyhow!(text), PathBuf::new());
        assert_eq!((failure.reasons, failure.detail), (vec![text.to_owned()], None));
    }

    #[test]
    fn out_of_memory_comes_first_and_ends_with_a_remedy() {
        for text in [
            "CUDA out of memory. Tried to allocate 2.00 GiB.",
            "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried \
             to allocate 8 bytes. Error code 12 (Cannot allocate memory)",
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        ] {
            let failure = Failure::new(String::new(), &anyhow::anyhow!("{text}\n{TRACE}"), PathBuf::new());
            assert_eq!(failure.reasons[..2], ["out of memory", text]);
            assert!(failure.is_out_of_memory());
            assert!(failure.reasons[2].starts_with("hint: ") && failure.reasons[2].contains("`accumulation`"));
        }
    }
}
