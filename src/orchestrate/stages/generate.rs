//! The stage `generate`: answers to the test questions, and how likely the references are.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::around::Surroundings;
use super::cost::{CHARACTERS_PER_TOKEN, Cost, Passes, Scene, Split, TokenSteps};
use super::stop::Stopped;
use super::{Text, Work, data, model, questions, rows};

use crate::data::encode::{Limits, encode_prompt, encode_references};
use crate::data::{Example, SplitName, Tokenizer, sample};
use crate::device::{Precision, Seed};
use crate::evaluate::likelihood::likelihood;
use crate::experiment::settings::{Decoding, Template};
use crate::generate::{Ends, Generated, GenerationSettings, Progress, StopReason, ends, generate};
use crate::models::decoder::Decoder;
use crate::orchestrate::keep::event::{Event, Step};
use crate::orchestrate::kind::StageKind;
use crate::tuning::lora;

/// Answers the test split and measures the likelihood of its references. Inputs: `data`, `model`,
/// and `adapter` if it was tuned by adapters. Output: `test.jsonl` and, if asked, `dev.jsonl`, rows
/// of [`Generation`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GenerateJob {
    /// How the next token is chosen.
    pub decoding: Decoding,
    /// Longest answer, in tokens.
    pub max_new_tokens: usize,
    /// Longest sequence, in tokens: prompt and answer, prompt and reference.
    pub max_length: usize,
    /// Longest prompt, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_prompt: Option<usize>,
    /// Answers so many examples of each split only, drawn by the seed of its division.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Part of the data set that is answered.
    #[serde(default = "test", skip_serializing_if = "is_test")]
    pub split: SplitName,
    /// Answers the dev split too.
    pub dev: bool,
    /// Leaves the context out of prompts.
    pub closed_book: bool,
    /// How prompts and answers are worded.
    #[serde(default, skip_serializing_if = "Template::is_plain")]
    pub template: Template,
    /// Number format.
    pub precision: Precision,
    /// CPU threads that sums are divided among; none on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Seed of sampling; of no effect on greedy answers.
    pub seed: u64,
    /// Sequences decoded at a time; changes no answer.
    pub batch: usize,
}

impl Work for GenerateJob {
    fn kind(&self) -> StageKind {
        StageKind::Generate
    }

    fn version(&self) -> u32 {
        // 2: every end token that a checkpoint names ends an answer. 3: adapters stay beside bf16 weights.
        // 4: references that training leaves out for their length are measured; a limit is a random sample;
        // ends that are no special tokens, too; bytes of references; tokenizers, windows by layer.
        4
    }

    fn texts(&self) -> &'static [Text] {
        Text::ALL
    }

    fn precision(&self) -> Option<Precision> {
        Some(self.precision)
    }

    fn threads(&self) -> Option<usize> {
        self.threads
    }

    fn reset(&mut self) {
        self.batch = 0;
        if !self.decoding.is_drawn() {
            self.seed = 0;
        }
    }

    fn cost(&self, scene: &Scene<'_>) -> Cost {
        let answered = scene.sizes.map(|sizes| {
            let dev = self.dev.then_some(sizes.dev);
            let splits: Vec<Split> =
                std::iter::once(sizes.of(self.split)).chain(dev).map(|split| split.first(self.limit)).collect();
            splits
        });
        let bytes = answered.as_ref().map(|splits| {
            let examples: f64 = splits.iter().map(|split| split.examples).sum();
            examples * self.max_new_tokens as f64 * CHARACTERS_PER_TOKEN
        });
        let Some(size) = (scene.model)("model") else {
            return Cost { kept: bytes, disk: bytes, ..Cost::default() };
        };
        let rows = scene.tile_rows();
        // Decoding steps that a split takes.
        let steps = |split: &Split| (split.examples / rows.min(self.batch as f64)).ceil() * self.max_new_tokens as f64;
        // Prompts twice: once to answer, once for the likelihood of the reference.
        let tokens = |split: &Split| split.prompts + split.whole + steps(split) * rows;
        // A prompt is read alone, references are read in batches, a token is decoded for a tile.
        let starts = |split: &Split| {
            let (examples, decoded) = (split.examples, steps(split));
            let batches = (examples / self.batch as f64).ceil();
            size.starts(examples + batches + decoded, 2.0 * examples + decoded)
        };
        let longest = answered.as_ref().map_or(f64::INFINITY, |splits| {
            splits.iter().map(|split| split.longest_prompt).fold(0.0, f64::max) + self.max_new_tokens as f64
        });
        let longest = longest.min(self.max_length as f64);
        let engine = scene.engine();
        // Keys and values of one token in every row.
        let cache = 2.0 * engine.bytes * size.keys * size.layers * rows;
        let held = engine.bytes * size.parameters;
        // Of a step: all weights that are multiplied with, and what the rows have seen by then.
        let read = |split: &Split| {
            let seen = split.prompts / split.examples.max(1.0) + self.max_new_tokens as f64;
            steps(split) * (engine.bytes * (size.parameters - size.looked_up) + cache * seen)
        };
        // References are read in batches, when no answer is decoded.
        let references = answered.as_ref().map_or(f64::INFINITY, |splits| {
            splits.iter().map(|split| split.whole.min(self.batch as f64 * split.longest)).fold(0.0, f64::max)
        });
        let references = references.min((self.batch * self.max_length) as f64);
        let passing = (cache * longest + engine.reading(&size, longest))
            .max(engine.reading(&size, references) + engine.logits(size.vocabulary, references));
        Cost {
            operations: answered.as_ref().map(|splits| 2.0 * size.parameters * splits.iter().map(tokens).sum::<f64>()),
            starts: answered.as_ref().map(|splits| splits.iter().map(starts).sum()),
            passes: Passes::Forward,
            decoding: answered.as_ref().map_or_else(TokenSteps::default, |splits| TokenSteps {
                operations: 2.0 * size.parameters * rows * splits.iter().map(steps).sum::<f64>(),
                bytes: splits.iter().map(read).sum(),
            }),
            memory: Some(held + passing),
            held: Some(held),
            kept: bytes,
            disk: bytes,
        }
    }

    fn run(&self, around: Surroundings<'_>) -> anyhow::Result<()> {
        run(self, around)
    }
}

/// The part of data that results are reported on.
pub(super) fn test() -> SplitName {
    SplitName::Test
}

// What serde asks with takes a reference.
#[expect(clippy::trivially_copy_pass_by_ref)]
pub(super) fn is_test(split: &SplitName) -> bool {
    *split == SplitName::Test
}

/// Holds one answer and how likely the model finds the reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Identifier of the example.
    pub id: String,
    /// What the model wrote, without special tokens and surrounding white space.
    pub answer: String,
    /// Tokens that it wrote, end of sequence included.
    pub new_tokens: u64,
    /// Mean negative log-likelihood of the reference response, end of sequence included, in nats
    /// per token; none if the response does not fit the positions of the model. Not finite if the model
    /// diverged, which JSON cannot say: it is none then, too, but of some tokens.
    pub nll: Option<f64>,
    /// Tokens that `nll` is the mean over.
    pub response_tokens: u64,
    /// Bytes of the reference answer in UTF-8. The space before it and the end of sequence, which `nll`
    /// covers, are none of them: they are the same for every model.
    pub response_bytes: u64,
}

/// Answers the test split, and the dev split where the job asks for it.
///
/// # Errors
/// When model or data cannot be read, or answers not written.
fn run(job: &GenerateJob, mut around: Surroundings<'_>) -> anyhow::Result<()> {
    let device = around.compute.device;
    let (mut decoder, tokenizer) = model::load(around.inputs, "model", "adapter", job.precision.kind(), device)?;
    // Merged, each product is one instead of three; in bf16 they stay three.
    lora::merge(&mut decoder);
    for split in std::iter::once(job.split).chain(job.dev.then_some(SplitName::Dev)) {
        // A division that the data come with may have no dev split.
        if split != job.split && data::read_split(around.inputs.get("data")?, split)?.is_empty() {
            continue;
        }
        let examples = asked(around.inputs.get("data")?, split, job.limit)?;
        let answers = answer(job, &decoder, &tokenizer, split, &examples, &mut around)?;
        rows::write(&around.folder.output().join(format!("{split}.jsonl")), &answers)?;
    }
    Ok(())
}

/// Reads the questions of a split, or so many of them, drawn by the seed of its division: the same
/// ones for every arm and seed.
pub(super) fn asked(data: &Path, split: SplitName, limit: Option<usize>) -> anyhow::Result<Vec<Example>> {
    let examples = data::read_split(data, split)?;
    if examples.is_empty() {
        return Err(nothing(split));
    }
    let Some(limit) = limit else { return Ok(examples) };
    Ok(sample(examples, limit, data::read_summary(data)?.seed))
}

/// Says that a part of a data set that models are asked is empty.
pub(super) fn nothing(split: SplitName) -> anyhow::Error {
    anyhow::anyhow!(
        "the {split} split of the data set is empty\nhint: give it a share in `split`, or rows whose column `split` says so"
    )
}

fn answer(
    job: &GenerateJob,
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    split: SplitName,
    examples: &[Example],
    around: &mut Surroundings<'_>,
) -> anyhow::Result<Vec<Generation>> {
    // The prompt leaves room for the answer, as in training it does for the response.
    let room = job.max_length.saturating_sub(job.max_new_tokens).max(1);
    let room = job.max_prompt.map_or(room, |longest| longest.min(room));
    let wording = questions::wording((&job.template, job.closed_book), tokenizer)?;
    let encoded = examples.iter().map(|example| encode_prompt(tokenizer, example, &wording, room));
    let encoded: Vec<(Vec<u32>, usize)> = encoded.collect::<Result<_, _>>().map_err(questions::unworded)?;
    let (prompts, cuts): (Vec<Vec<u32>>, Vec<usize>) = encoded.into_iter().unzip();
    let clipped = cuts.into_iter().filter(|&cut| cut > 0).count();
    if clipped > 0 {
        let text =
            format!("{split}: {clipped} of {} prompts lost their left end (room for {room} tokens)", prompts.len());
        (around.events)(Event::Note { text });
    }
    let ends = tokenizer.ends_in_text();
    if !ends.is_empty() && split == job.split {
        let ends: Vec<String> = ends.into_iter().map(|end| format!("`{end}`")).collect();
        let text = format!(
            "answers end at {}, as `eos_token_id` of the model's files says, though text holds it",
            ends.join(" and ")
        );
        (around.events)(Event::Note { text });
    }
    let limits = Limits { max_length: job.max_length, max_prompt: job.max_prompt };
    let positions = usize::try_from(decoder.config.max_position_embeddings).unwrap_or(usize::MAX);
    let (sequences, lost) =
        encode_references(tokenizer, examples, &wording, limits, positions).map_err(questions::unworded)?;
    if lost > 0 {
        let (of, measured) = (examples.len(), examples.len() - lost);
        let text = format!(
            "{split}: {lost} of {of} references are longer than the {positions} positions of the model: \
             its losses are over {measured} questions"
        );
        (around.events)(Event::Note { text });
    }
    let settings = GenerationSettings {
        decoding: job.decoding.clone(),
        max_new_tokens: job.max_new_tokens,
        ends: Ends::of(tokenizer, job.decoding.stop()),
        batch: job.batch,
    };
    // A step is an answer, and after all of them the likelihood of a reference.
    let steps = (prompts.len() + sequences.len()) as u64;
    let (events, stop) = (&mut *around.events, around.stop);
    let mut progress = |done: usize| {
        events(Event::Step(Step { step: done as u64, steps, ..Step::default() }));
        if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut done = 0;
    let generated = generate(decoder, &prompts, &settings, Seed(job.seed), &mut |told| match told {
        Progress::Token { .. } => ControlFlow::Continue(()),
        Progress::Answer { .. } => {
            done += 1;
            progress(done)
        }
    });
    stop.check()?;
    let generated = generated?;
    let likelihoods = likelihood(decoder, &sequences, job.batch, &mut |done, _| progress(prompts.len() + done));
    let likelihoods = likelihoods.ok_or(Stopped)?;
    let measured: BTreeMap<usize, _> = sequences.iter().map(|sequence| sequence.example).zip(likelihoods).collect();
    let row = |(index, (example, answer)): (usize, (&Example, &Generated))| {
        let reference = measured.get(&index);
        let text = tokenizer.decode(&answer.tokens);
        Generation {
            id: example.id.clone(),
            answer: ends::before(&text, job.decoding.stop()).trim().to_owned(),
            new_tokens: answer.tokens.len() as u64 + u64::from(answer.stopped == StopReason::Eos),
            nll: reference.map(|reference| reference.per_token()),
            response_tokens: reference.map_or(0, |reference| reference.tokens),
            response_bytes: example.answer.len() as u64,
        }
    };
    Ok(examples.iter().zip(&generated).enumerate().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Compute, Precision};
    use crate::experiment::identity;
    use crate::experiment::settings::Sample;
    use crate::orchestrate::keep::store::Store;
    use crate::orchestrate::kind::StageKind;
    use crate::orchestrate::stages::Job;
    use crate::orchestrate::stages::inputs::Inputs;
    use crate::orchestrate::stages::small;
    use crate::orchestrate::stages::stop::StopFlag;

    fn job() -> GenerateJob {
        GenerateJob {
            decoding: Decoding::default(),
            max_new_tokens: 2,
            max_length: 64,
            max_prompt: None,
            limit: None,
            split: SplitName::Test,
            dev: false,
            closed_book: true,
            template: Template::Plain,
            precision: Precision::F32,
            threads: None,
            seed: 1,
            batch: 1,
        }
    }

    #[test]
    fn a_limit_draws_from_all_questions_and_grows_by_adding() {
        let folder = tempfile::tempdir().unwrap();
        data::prepare(&toml::from_str("importer = \"glossary\"").unwrap(), folder.path()).unwrap();
        let ids = |limit| -> Vec<String> {
            asked(folder.path(), SplitName::Test, limit).unwrap().into_iter().map(|example| example.id).collect()
        };
        let (all, few, more) = (ids(None), ids(Some(20)), ids(Some(40)));
        assert_eq!((few.len(), more.len()), (20, 40));
        assert!(few.iter().all(|id| more.contains(id)) && few != all[..20]);
        assert_eq!(ids(Some(10_000)), all);
    }

    #[test]
    fn a_loss_covers_references_that_training_left_out_and_tells_those_it_cannot() {
        let (mut examples, tokenizer) = (small::examples(3), small::tokenizer());
        let decoder = small::decoder(&tokenizer);
        // Longer than what was trained, and longer than the model's 64 positions.
        examples[1].answer = "a cell ".repeat(6).trim().to_owned();
        examples[2].answer = "a cell ".repeat(90).trim().to_owned();
        let job = GenerateJob { max_length: 12, ..job() };
        let (folder, mut notes) = (tempfile::tempdir().unwrap(), Vec::new());
        let place = Store::view(folder.path()).stage(StageKind::Generate, &identity("generate", 1, &0, &[]).unwrap());
        let mut around = Surroundings {
            compute: Compute::reference(),
            inputs: &Inputs::default(),
            folder: &place,
            events: &mut |event| {
                if let Event::Note { text } = event {
                    notes.push(text);
                }
            },
            stop: &StopFlag::default(),
        };
        let answers = answer(&job, &decoder, &tokenizer, SplitName::Test, &examples, &mut around).unwrap();
        let measured: Vec<bool> = answers.iter().map(|answer| answer.nll.is_some()).collect();
        assert_eq!(measured, [true, true, false]);
        assert!(answers[1].response_tokens > 12);
        let told =
            "test: 1 of 3 references are longer than the 64 positions of the model: its losses are over 2 questions";
        assert!(notes.iter().any(|note| note == told), "{notes:?}");
    }

    #[test]
    fn a_stage_stops_among_the_references_too() {
        let (examples, tokenizer) = (small::examples(3), small::tokenizer());
        let decoder = small::decoder(&tokenizer);
        let job = job();
        let (folder, stop, mut steps) = (tempfile::tempdir().unwrap(), StopFlag::default(), Vec::new());
        let place = Store::view(folder.path()).stage(StageKind::Generate, &identity("generate", 1, &0, &[]).unwrap());
        let mut events = |event: Event| {
            let Event::Step(step) = event else { return };
            steps.push((step.step, step.steps));
            if step.step == 4 {
                stop.raise();
            }
        };
        let mut around = Surroundings {
            compute: Compute::reference(),
            inputs: &Inputs::default(),
            folder: &place,
            events: &mut events,
            stop: &stop,
        };
        let error = answer(&job, &decoder, &tokenizer, SplitName::Test, &examples, &mut around).unwrap_err();
        assert!(error.is::<Stopped>(), "{error}");
        assert_eq!(steps, [(1, 6), (2, 6), (3, 6), (4, 6)]);
    }

    #[test]
    fn the_seed_matters_to_drawn_answers_only() {
        let essential = |decoding, seed| Job::from(GenerateJob { decoding, seed, ..job() }).essential();
        let drawn = Decoding::Sample(Sample::default());
        assert_eq!(essential(Decoding::default(), 1), essential(Decoding::default(), 2));
        assert_ne!(essential(drawn.clone(), 1), essential(drawn, 2));
    }
}
