//! `tutelage logits`: what a checkpoint says about given ids.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::Verdict;
use super::output::Output;
use super::outputs::{self, Force};
use super::precision::PrecisionName;
use crate::device;
use crate::evaluate;
use crate::experiment::settings::{Compute, DeviceChoice};
use crate::orchestrate::stages::with_hint;

/// Computes the logits of given token ids: the check that a checkpoint loads right.
#[derive(Debug, Args)]
#[command(after_help = "\
The input holds `input_ids` [batch, sequence] (int64) and, where rows are padded or start
elsewhere, `attention_mask` and `position_ids` of that shape; the output `logits` [batch, sequence,
vocab] (f32), 0 where the mask is 0. Both are safetensors. Compare them with those of the program
that the checkpoint comes from; in f32 they agree to about 1e-4. An existing output file is only
replaced if this command wrote it.

Examples:
  tutelage logits --model TinyLlama --input ids.safetensors --output logits.safetensors
  tutelage logits --model TinyLlama --adapter lora --input ids.safetensors --output l.safetensors

The input is made in Python by
  safetensors.torch.save_file({\"input_ids\": torch.tensor([[1, 450, 4996]])}, \"ids.safetensors\")")]
pub struct Logits {
    /// Folder of the checkpoint.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Folder of a PEFT adapter to put on it.
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// File with `input_ids`.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// File to write `logits` to.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Number format of matrix products.
    #[arg(long, value_enum, default_value_t = PrecisionName::F32)]
    precision: PrecisionName,
    #[command(flatten)]
    force: Force,
}

#[derive(Serialize)]
struct Written {
    output: PathBuf,
    shape: [i64; 3],
}

impl Logits {
    /// Computes and writes the logits.
    ///
    /// # Errors
    /// Files that are missing, damaged or do not fit, ids outside the vocabulary.
    pub fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let mut inputs = vec![("--model", self.model.as_path()), ("--input", self.input.as_path())];
        inputs.extend(self.adapter.as_deref().map(|path| ("--adapter", path)));
        outputs::claim("--output", &self.output, &inputs, self.force, evaluate::is_logits)?;
        let settings = Compute { device: DeviceChoice::Auto, precision: self.precision.into(), threads: None };
        let compute = device::start(&settings)?;
        let computed = evaluate::logits(&self.model, self.adapter.as_deref(), &self.input, &self.output, compute)
            .map_err(|error| match error.hint() {
                Some(hint) => with_hint(hint, error),
                None => error.into(),
            })
            .with_context(|| format!("cannot compute logits of `{}`", self.model.display()))?;
        computed.warnings.iter().for_each(|warning| output.warn(&format!("warning: {warning}")));
        let shape = computed.shape;
        let written = Written { output: self.output.clone(), shape };
        output.result(&written, || {
            let [batch, sequence, vocabulary] = shape;
            format!("{}: [{batch}, {sequence}, {vocabulary}]", self.output.display())
        })?;
        Ok(Verdict::Good)
    }
}
