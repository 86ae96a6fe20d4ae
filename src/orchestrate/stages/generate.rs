//! The stage `generate`: answers to the test questions, and how likely the references are.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::around::Surroundings;
use super::cost::{CHARACTERS_PER_TOKEN, Cost, Passes, Scene, Split, TokenSteps};
use super::kept::Kept;
use super::stop::{StopFlag, Stopped};
use super::{Text, Work, data, model, questions, rows};

use crate::data::encode::{Limits, Sequence, encode_prompt, encode_references};
use crate::data::{Example, SplitName, Tokenizer, sample};
use crate::device::{Precision, Seed};
use crate::evaluate::likelihood::{Likelihood, likelihood};
use crate::experiment::settings::{Decoding, Template};
use crate::files;
use crate::generate::{Ends, Generated, GenerationSettings, Progress, StopReason, complete, ends};
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
        // 5: prompts are read in blocks, few rows by another product: logits differ by rounding.
        5
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
        let size = engine.settled(size);
        // Keys and values of one token in every row.
        let cache = 2.0 * engine.bytes * size.keys * size.layers * rows;
        let held = engine.weights(&size);
        // Of a step: all weights that are multiplied with, and what the rows have seen by then.
        let read = |split: &Split| {
            let seen = split.prompts / split.examples.max(1.0) + self.max_new_tokens as f64;
            steps(split) * (engine.streamed(&size) + cache * seen)
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
/// Each answer is on disk as soon as it is finished, and a stage that was killed goes on from there: in f32 to
/// the same answers. In bf16 a product may round a row in another way beside other rows, and the answers that
/// are left may differ, as they may with another batch. Likelihoods are measured after all answers, and all
/// again after a kill: that takes about as long as reading the prompts once, and their last digits depend on
/// which references are read together.
///
/// # Errors
/// When model or data cannot be read, or answers not written.
fn run(job: &GenerateJob, mut around: Surroundings<'_>) -> anyhow::Result<()> {
    let device = around.compute.device;
    let (mut decoder, tokenizer) = model::load(around.inputs, "model", "adapter", job.precision.kind(), device)?;
    // Merged, each product is one instead of three; in bf16 they stay three.
    lora::merge(&mut decoder);
    let mut parts = Vec::new();
    for split in std::iter::once(job.split).chain(job.dev.then_some(SplitName::Dev)) {
        // A division that the data come with may have no dev split.
        if split != job.split && data::read_split(around.inputs.get("data")?, split)?.is_empty() {
            continue;
        }
        parts.push((split, asked(around.inputs.get("data")?, split, job.limit)?));
    }
    let answers = answer(job, &decoder, &tokenizer, &parts, &mut around)?;
    for ((split, _), answers) in parts.iter().zip(&answers) {
        rows::write(&around.folder.output().join(format!("{split}.jsonl")), answers)?;
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

/// Questions of a split as a model reads them.
struct Part<'e> {
    split: SplitName,
    examples: &'e [Example],
    prompts: Vec<Vec<u32>>,
    /// Prompts with their references.
    sequences: Vec<Sequence>,
}

impl<'e> Part<'e> {
    /// Encodes questions, and notes what does not fit.
    fn new(
        job: &GenerateJob,
        decoder: &Decoder,
        tokenizer: &Tokenizer,
        (split, examples): (SplitName, &'e [Example]),
        note: &mut dyn FnMut(String),
    ) -> anyhow::Result<Self> {
        // The prompt leaves room for the answer, as in training it does for the response.
        let room = job.max_length.saturating_sub(job.max_new_tokens).max(1);
        let room = job.max_prompt.map_or(room, |longest| longest.min(room));
        let wording = questions::wording((&job.template, job.closed_book), tokenizer)?;
        let encoded = examples.iter().map(|example| encode_prompt(tokenizer, example, &wording, room));
        let encoded: Vec<(Vec<u32>, usize)> = encoded.collect::<Result<_, _>>().map_err(questions::unworded)?;
        let (prompts, cuts): (Vec<Vec<u32>>, Vec<usize>) = encoded.into_iter().unzip();
        let clipped = cuts.into_iter().filter(|&cut| cut > 0).count();
        if clipped > 0 {
            let of = prompts.len();
            note(format!("{split}: {clipped} of {of} prompts lost their left end (room for {room} tokens)"));
        }
        let limits = Limits { max_length: job.max_length, max_prompt: job.max_prompt };
        let positions = usize::try_from(decoder.config.max_position_embeddings).unwrap_or(usize::MAX);
        let (sequences, lost) =
            encode_references(tokenizer, examples, &wording, limits, positions).map_err(questions::unworded)?;
        if lost > 0 {
            let (of, measured) = (examples.len(), examples.len() - lost);
            note(format!(
                "{split}: {lost} of {of} references are longer than the {positions} positions of the model: \
                 its losses are over {measured} questions"
            ));
        }
        Ok(Self { split, examples, prompts, sequences })
    }

    /// Returns a digest of what decides the answers, but for the model, which the stage's key holds.
    fn digest(&self, settings: &GenerationSettings<'_>, job: &GenerateJob) -> anyhow::Result<String> {
        let mut hasher = blake3::Hasher::new();
        let seed = settings.decoding.is_drawn().then_some(job.seed);
        let ends = settings.ends.tokens();
        let decides = (&settings.decoding, settings.max_new_tokens, ends, seed, job.precision, &self.prompts);
        serde_json::to_writer(&mut hasher, &decides)?;
        Ok(hasher.finalize().to_hex().to_string())
    }
}

fn answer(
    job: &GenerateJob,
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    parts: &[(SplitName, Vec<Example>)],
    around: &mut Surroundings<'_>,
) -> anyhow::Result<Vec<Vec<Generation>>> {
    let mut note = |text: String| (around.events)(Event::Note { text });
    let ends = tokenizer.ends_in_text();
    if !ends.is_empty() {
        let ends: Vec<String> = ends.into_iter().map(|end| format!("`{end}`")).collect();
        note(format!(
            "answers end at {}, as `eos_token_id` of the model's files says, though text holds it",
            ends.join(" and ")
        ));
    }
    let parts = parts.iter().map(|(split, examples)| (*split, examples.as_slice()));
    let parts: Vec<Part<'_>> =
        parts.map(|part| Part::new(job, decoder, tokenizer, part, &mut note)).collect::<anyhow::Result<_>>()?;
    let settings = GenerationSettings {
        decoding: job.decoding.clone(),
        max_new_tokens: job.max_new_tokens,
        ends: Ends::of(tokenizer, job.decoding.stop()),
        batch: job.batch,
    };
    let folder = around.folder.checkpoint();
    std::fs::create_dir_all(&folder).map_err(|error| files::failed(&folder, None, error))?;
    let mut kept = Vec::new();
    for part in &parts {
        let path = folder.join(format!("answers-{}.jsonl", part.split));
        let (file, found) = Kept::open(path, part.digest(&settings, job)?, part.prompts.len())?;
        found.note.into_iter().for_each(&mut note);
        kept.push((file, found.answers));
    }
    let mut steps = Steps::new(&parts, &kept, around);
    let mut generated = Vec::new();
    for (part, (mut file, known)) in parts.iter().zip(kept) {
        let mut failure = None;
        let all = complete(decoder, &part.prompts, known, &settings, Seed(job.seed), &mut |progress| {
            let Progress::Answer { example, answer } = progress else { return steps.wish() };
            let told = file.add(example, answer).and_then(|()| steps.answered(answer, &file));
            told.unwrap_or_else(|error| {
                failure = Some(error);
                ControlFlow::Break(())
            })
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        steps.save(&file)?;
        steps.stop.check()?;
        generated.push(all?);
    }
    let mut rows = Vec::new();
    for (part, answers) in parts.iter().zip(&generated) {
        let before = steps.step;
        let measured = likelihood(decoder, &part.sequences, job.batch, &mut |done, _| steps.measured(before, done));
        let measured = part.sequences.iter().map(|sequence| sequence.example).zip(measured.ok_or(Stopped)?).collect();
        rows.push(generations(tokenizer, job, part, answers, &measured));
    }
    Ok(rows)
}

/// Counts what is done, and tells it: a step is an answer, and after all of them the likelihood of a reference.
struct Steps<'a> {
    events: &'a mut dyn FnMut(Event),
    stop: &'a StopFlag,
    step: u64,
    steps: u64,
    /// Answers that are still to come.
    left: u64,
    /// Answers of this attempt and their tokens.
    answers: u64,
    tokens: u64,
    since: Instant,
    /// When [`Event::Saved`] was told last, and of which step.
    saved: Option<(Instant, u64)>,
}

/// Time between two [`Event::Saved`], in seconds. Answers are kept in any case: it is the energy of this time,
/// at most, that a kill takes out of the account.
const SAVE_SECONDS: f64 = 5.0;

impl<'a> Steps<'a> {
    fn new(parts: &[Part<'_>], kept: &[(Kept, Vec<Option<Generated>>)], around: &'a mut Surroundings<'_>) -> Self {
        let count = |count: &dyn Fn(&Part<'_>) -> usize| parts.iter().map(count).sum::<usize>() as u64;
        let answers = count(&|part| part.prompts.len());
        let step = kept.iter().map(|(_, known)| known.iter().flatten().count() as u64).sum();
        if step > 0 {
            (around.events)(Event::Resumed { step });
        }
        Self {
            events: &mut *around.events,
            stop: around.stop,
            step,
            steps: answers + count(&|part| part.sequences.len()),
            left: answers - step,
            answers: 0,
            tokens: 0,
            since: Instant::now(),
            saved: None,
        }
    }

    fn wish(&self) -> ControlFlow<()> {
        if self.stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn answered(&mut self, answer: &Generated, file: &Kept) -> anyhow::Result<ControlFlow<()>> {
        self.step += 1;
        self.left -= 1;
        self.answers += 1;
        self.tokens += answer.tokens.len() as u64;
        let seconds = self.since.elapsed().as_secs_f64();
        (self.events)(Event::Step(Step {
            step: self.step,
            steps: self.steps,
            tokens_per_second: Some(self.tokens as f64 / seconds),
            eta_seconds: Some(seconds / self.answers as f64 * self.left as f64),
            ..Step::default()
        }));
        if self.saved.is_none_or(|(when, _)| when.elapsed().as_secs_f64() >= SAVE_SECONDS) {
            self.save(file)?;
        }
        Ok(self.wish())
    }

    /// Tells that the answers so far are safe on disk, unless that was told of all of them or there is none.
    fn save(&mut self, file: &Kept) -> anyhow::Result<()> {
        if self.answers > 0 && self.saved.is_none_or(|(_, step)| step < self.step) {
            file.sync()?;
            (self.events)(Event::Saved { step: self.step });
            self.saved = Some((Instant::now(), self.step));
        }
        Ok(())
    }

    fn measured(&mut self, before: u64, done: usize) -> ControlFlow<()> {
        self.step = before + done as u64;
        (self.events)(Event::Step(Step { step: self.step, steps: self.steps, ..Step::default() }));
        self.wish()
    }
}

fn generations(
    tokenizer: &Tokenizer,
    job: &GenerateJob,
    part: &Part<'_>,
    answers: &[Generated],
    measured: &BTreeMap<usize, Likelihood>,
) -> Vec<Generation> {
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
    part.examples.iter().zip(answers).enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Compute, Precision};
    use crate::experiment::identity;
    use crate::experiment::settings::{Greedy, Sample};
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
        let answers =
            answer(&job, &decoder, &tokenizer, &[(SplitName::Test, examples)], &mut around).unwrap().remove(0);
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
        let error = answer(&job, &decoder, &tokenizer, &[(SplitName::Test, examples)], &mut around).unwrap_err();
        assert!(error.is::<Stopped>(), "{error}");
        assert_eq!(steps, [(1, 6), (2, 6), (3, 6), (4, 6)]);
    }

    /// Answers three questions in a folder; stops after so many answers. Returns rows and events.
    fn attempt(
        job: &GenerateJob,
        root: &Path,
        stop_after: Option<u64>,
    ) -> (anyhow::Result<Vec<Generation>>, Vec<Event>) {
        let (examples, tokenizer) = (small::examples(3), small::tokenizer());
        let decoder = small::decoder(&tokenizer);
        let place = Store::view(root).stage(StageKind::Generate, &identity("generate", 1, &0, &[]).unwrap());
        let (stop, mut told) = (StopFlag::default(), Vec::new());
        let mut around = Surroundings {
            compute: Compute::reference(),
            inputs: &Inputs::default(),
            folder: &place,
            events: &mut |event| {
                if stop_after.is_some_and(|last| matches!(&event, Event::Step(step) if step.step == last)) {
                    stop.raise();
                }
                told.push(event);
            },
            stop: &stop,
        };
        let parts = [(SplitName::Test, examples)];
        let rows = answer(job, &decoder, &tokenizer, &parts, &mut around).map(|mut rows| rows.remove(0));
        (rows, told)
    }

    #[test]
    fn a_stage_goes_on_from_the_answers_that_are_finished() {
        let drawn = Decoding::Sample(Sample { min_p: Some(0.01), ..Sample::default() });
        for decoding in [Decoding::default(), drawn] {
            let job = GenerateJob { decoding, max_new_tokens: 5, ..job() };
            let [whole, broken] = [(); 2].map(|()| tempfile::tempdir().unwrap());
            let (expected, _) = attempt(&job, whole.path(), None);
            let expected = expected.unwrap();
            let (stopped, told) = attempt(&job, broken.path(), Some(2));
            assert!(stopped.unwrap_err().is::<Stopped>());
            assert_eq!(told.last(), Some(&Event::Saved { step: 2 }));
            let (rows, told) = attempt(&job, broken.path(), None);
            assert_eq!(rows.unwrap(), expected);
            assert_eq!(told[0], Event::Resumed { step: 2 });
            let steps: Vec<u64> = told
                .iter()
                .filter_map(|event| if let Event::Step(step) = event { Some(step.step) } else { None })
                .collect();
            assert_eq!(steps, [3, 4, 5, 6]);
            // Another longest answer is another question.
            let (rows, told) = attempt(&GenerateJob { max_new_tokens: 4, ..job }, broken.path(), None);
            assert!(rows.unwrap().iter().all(|row| row.new_tokens <= 4));
            let text = "`answers-test.jsonl`: kept answers belong to other prompts or settings, and are computed again";
            assert_eq!(told[0], Event::Note { text: text.to_owned() });
        }
    }

    #[test]
    fn an_answer_is_what_comes_before_a_text_that_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let job = GenerateJob { max_new_tokens: 12, ..job() };
        let free = attempt(&job, folder.path(), None).0.unwrap();
        let text = &free[0].answer;
        let second = text.char_indices().nth(2).map(|(at, _)| at).unwrap();
        let stop = vec![text[second..].chars().take(2).collect::<String>()];
        let decoding = Decoding::Greedy(Greedy { stop: stop.clone(), ..Greedy::default() });
        let stopped = attempt(&GenerateJob { decoding, ..job }, folder.path(), None).0.unwrap();
        for (free, stopped) in free.iter().zip(&stopped) {
            assert_eq!(stopped.answer, ends::before(&free.answer, &stop).trim());
            assert!(stopped.new_tokens <= free.new_tokens);
        }
        assert!(stopped[0].new_tokens < free[0].new_tokens, "{free:?} {stopped:?}");
    }

    #[test]
    fn the_seed_matters_to_drawn_answers_only() {
        let essential = |decoding, seed| Job::from(GenerateJob { decoding, seed, ..job() }).essential();
        let drawn = Decoding::Sample(Sample::default());
        assert_eq!(essential(Decoding::default(), 1), essential(Decoding::default(), 2));
        assert_ne!(essential(drawn.clone(), 1), essential(drawn, 2));
    }
}
