//! The stage `pretrain`: a scratch model learns texts.

use serde::{Deserialize, Serialize};

use super::around::Surroundings;
use super::cost::{Cost, Read, Scene};
use super::{Leaves, Text, Work, data, model, training};
use crate::data::encode::pretraining_sequences;
use crate::device::{Precision, Seed};
use crate::experiment::settings::{Scratch, Training, Tuning};
use crate::models::config::Config;
use crate::models::decoder::Decoder;
use crate::orchestrate::kind::StageKind;
use crate::train::student::Student;
use crate::train::supervised::Supervised;

/// Trains a scratch model on the corpus of the training split. Inputs: `data`, `tokenizer`.
/// Output: a model folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PretrainJob {
    /// The decoder; the name of its tokenizer is for people.
    pub model: Scratch,
    /// Optimisation.
    pub training: Training,
    /// Number format.
    pub precision: Precision,
    /// CPU threads that sums are divided among; none on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Seed of initial weights and order.
    pub seed: u64,
}

impl Work for PretrainJob {
    fn kind(&self) -> StageKind {
        StageKind::Pretrain
    }

    fn version(&self) -> u32 {
        // 2: in bf16, a step in one piece that followed one in several had lost its gradient.
        training::version(2, self.precision, &Tuning::Full {})
    }

    fn texts(&self) -> &'static [Text] {
        // Texts have no prompt.
        &[Text::Encoding]
    }

    fn precision(&self) -> Option<Precision> {
        Some(self.precision)
    }

    fn threads(&self) -> Option<usize> {
        self.threads
    }

    fn reset(&mut self) {
        self.model.tokenizer.clear();
        self.model.data = None;
        training::reset(&mut self.training);
    }

    fn optimisation(&mut self) -> Option<(&mut Training, Option<&mut Tuning>)> {
        Some((&mut self.training, None))
    }

    fn leaves(&self) -> Leaves<'_> {
        Leaves::Scratch(&self.model)
    }

    fn cost(&self, scene: &Scene<'_>) -> Cost {
        let read = Read::texts(scene.sizes.map(|sizes| sizes.corpus), self.training.max_length);
        scene.training((scene.scratch)(&self.model), &Tuning::Full {}, &self.training, read)
    }

    fn trains(&self) -> Option<Vec<(String, String)>> {
        Some(training::in_words(&self.training, &Tuning::Full {}, false))
    }

    fn run(&self, around: Surroundings<'_>) -> anyhow::Result<()> {
        pretrain(self, around)
    }
}

/// Trains a scratch model on the corpus.
///
/// # Errors
/// When an input cannot be read, an output not written, or training fails.
fn pretrain(job: &PretrainJob, mut around: Surroundings<'_>) -> anyhow::Result<()> {
    let compute = around.compute_in(job.precision);
    let tokenizer = model::tokenizer(around.inputs.get("tokenizer")?)?;
    let texts = data::texts(around.inputs.get("data")?)?.collect::<anyhow::Result<Vec<String>>>()?;
    let length = job.training.max_length.min(job.model.positions);
    let sequences = pretraining_sequences(&tokenizer, &texts, length);
    let config = Config::scratch(&job.model, tokenizer.len(), tokenizer.eos());
    let decoder = Decoder::initialise(config, Seed(job.seed), compute.device);
    let student = Student::new(decoder, &Tuning::Full {}, job.training.weight_decay, compute, Seed(job.seed))
        .recomputing(job.training.gradient_checkpointing);
    let mut objective = Supervised::new(student, sequences, vec![]);
    let finished = around.train(&mut objective, &job.training, job.seed)?;
    around.keep_model(objective.student, &finished, &tokenizer)
}
