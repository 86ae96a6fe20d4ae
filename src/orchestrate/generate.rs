//! The stage `generate`: answers to the test questions, and how likely the references are.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use super::event::{Event, Step};
use super::generation::Generation;
use super::job::GenerateJob;
use super::stop::Stopped;
use super::training::Surroundings;
use super::{model, prepare, rows};
use crate::data::encode::{Limits, encode_prompt, encode_references};
use crate::data::{Example, SplitName, Tokenizer, sample};
use crate::device::Seed;
use crate::evaluate::likelihood::likelihood;
use crate::generate::{Generated, GenerationSettings, StopReason, generate};
use crate::models::decoder::Decoder;
use crate::tuning::lora;

/// Answers the test split, and the dev split where the job asks for it.
///
/// # Errors
/// When model or data cannot be read, or answers not written.
pub fn run(job: &GenerateJob, mut around: Surroundings<'_>) -> anyhow::Result<()> {
    let device = around.compute.device;
    let (mut decoder, tokenizer) = model::load(around.inputs, "model", "adapter", job.precision.kind(), device)?;
    // Merged, each product is one instead of three; in bf16 they stay three.
    lora::merge(&mut decoder);
    let splits: &[SplitName] = if job.dev { &[SplitName::Test, SplitName::Dev] } else { &[SplitName::Test] };
    for &split in splits {
        let examples = asked(around.inputs.get("data")?, split, job.limit)?;
        let answers = answer(job, &decoder, &tokenizer, split, &examples, &mut around)?;
        rows::write(&around.folder.output().join(format!("{split}.jsonl")), &answers)?;
    }
    Ok(())
}

/// Reads the questions of a split, or so many of them, drawn by the seed of its division: the same
/// ones for every arm and seed.
fn asked(data: &Path, split: SplitName, limit: Option<usize>) -> anyhow::Result<Vec<Example>> {
    let examples = prepare::read_split(data, split)?;
    let Some(limit) = limit else { return Ok(examples) };
    Ok(sample(examples, limit, prepare::read_summary(data)?.seed))
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
    let (prompts, cuts): (Vec<Vec<u32>>, Vec<usize>) =
        examples.iter().map(|example| encode_prompt(tokenizer, example, job.closed_book, room)).unzip();
    let clipped = cuts.into_iter().filter(|&cut| cut > 0).count();
    if clipped > 0 {
        let text =
            format!("{split}: {clipped} of {} prompts lost their left end (room for {room} tokens)", prompts.len());
        (around.events)(Event::Note { text });
    }
    let ends = tokenizer.ends_in_text();
    if !ends.is_empty() && split == SplitName::Test {
        let ends: Vec<String> = ends.into_iter().map(|end| format!("`{end}`")).collect();
        let text = format!(
            "answers end at {}, as `eos_token_id` of the model's files says, though text holds it",
            ends.join(" and ")
        );
        (around.events)(Event::Note { text });
    }
    let limits = Limits { max_length: job.max_length, max_prompt: job.max_prompt };
    let positions = usize::try_from(decoder.config.max_position_embeddings).unwrap_or(usize::MAX);
    let (sequences, lost) = encode_references(tokenizer, examples, job.closed_book, limits, positions);
    if lost > 0 {
        let (of, measured) = (examples.len(), examples.len() - lost);
        let text = format!(
            "{split}: {lost} of {of} references are longer than the {positions} positions of the model: \
             its losses are over {measured} questions"
        );
        (around.events)(Event::Note { text });
    }
    let settings = GenerationSettings {
        decoding: job.decoding,
        max_new_tokens: job.max_new_tokens,
        ends: tokenizer.ends().to_vec(),
        batch: job.batch,
    };
    // A step is an answer, and after all of them the likelihood of a reference.
    let steps = (prompts.len() + sequences.len()) as u64;
    let (events, stop) = (&mut *around.events, around.stop);
    let mut progress = |done: usize| {
        events(Event::Step(Step { step: done as u64, steps, ..Step::default() }));
        if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let generated = generate(decoder, &prompts, &settings, Seed(job.seed), &mut |done, _| progress(done));
    stop.check()?;
    let generated = generated?;
    let likelihoods = likelihood(decoder, &sequences, job.batch, &mut |done, _| progress(prompts.len() + done));
    let likelihoods = likelihoods.ok_or(Stopped)?;
    let measured: BTreeMap<usize, _> = sequences.iter().map(|sequence| sequence.example).zip(likelihoods).collect();
    let row = |(index, (example, answer)): (usize, (&Example, &Generated))| {
        let reference = measured.get(&index);
        Generation {
            id: example.id.clone(),
            answer: tokenizer.decode(&answer.tokens).trim().to_owned(),
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
    use crate::experiment::settings::Decoding;
    use crate::orchestrate::execute::Inputs;
    use crate::orchestrate::job::DataJob;
    use crate::orchestrate::small;
    use crate::orchestrate::stage::StageKind;
    use crate::orchestrate::stop::StopFlag;
    use crate::orchestrate::store::Store;

    fn job() -> GenerateJob {
        GenerateJob {
            decoding: Decoding::Greedy {},
            max_new_tokens: 2,
            max_length: 64,
            max_prompt: None,
            limit: None,
            dev: false,
            closed_book: true,
            precision: Precision::F32,
            threads: None,
            seed: 1,
            batch: 1,
        }
    }

    #[test]
    fn a_limit_draws_from_all_questions_and_grows_by_adding() {
        let folder = tempfile::tempdir().unwrap();
        let job = DataJob { data: toml::from_str("importer = \"glossary\"").unwrap(), embedded: None };
        prepare::data(&job, folder.path()).unwrap();
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
}
