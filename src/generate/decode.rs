//! The decoding loop: prompts enter a tile, one step chooses a token for every row, finished
//! answers leave and waiting prompts take their rows.
//!
//! Prompts enter in the order of their tokens, so that those with a common beginning follow each other: a tile
//! reads it once.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tch::no_grad;

use super::tile::Tile;
use super::{GenerateError, Generated, GenerationSettings, Progress, StopReason};
use crate::device::Seed;
use crate::models::decoder::Decoder;
use crate::models::packed::rounded;

/// Least room of a sequence in the cache, in tokens.
const LEAST_ROOM: usize = 64;

/// Generates an answer to every prompt, in the order of `prompts`.
///
/// In f32 an answer depends on its prompt, its index and `seed`, not on `settings.batch` or on the
/// other prompts: a prompt is read in blocks that only its own tokens decide, and decoded in a tile of
/// constant shape. `progress` is told what is written and what is finished, and may ask to stop.
///
/// # Errors
/// When a prompt is empty or of another vocabulary, the logits are not finite, or `progress` asked
/// to stop.
pub fn generate(
    decoder: &Decoder,
    prompts: &[Vec<u32>],
    settings: &GenerationSettings<'_>,
    seed: Seed,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<Vec<Generated>, GenerateError> {
    complete(decoder, prompts, vec![None; prompts.len()], settings, seed, progress)
}

/// Generates the answers that are not `known`, one of each prompt, and returns all: in f32 those of [`generate`].
///
/// # Errors
/// As for [`generate`].
///
/// # Panics
/// When there are more known answers, or places for them, than prompts, or fewer.
pub fn complete(
    decoder: &Decoder,
    prompts: &[Vec<u32>],
    known: Vec<Option<Generated>>,
    settings: &GenerationSettings<'_>,
    seed: Seed,
    progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<Vec<Generated>, GenerateError> {
    assert_eq!(known.len(), prompts.len(), "one place for each prompt");
    check(prompts, decoder.config.vocab_size)?;
    let mut answers = known;
    let is_known: Vec<bool> = answers.iter().map(Option::is_some).collect();
    let mut left = is_known.iter().filter(|is_known| !**is_known).count();
    let mut finish = |example: usize, answer: Generated, progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>| {
        left -= 1;
        let wish = progress(Progress::Answer { example, answer: &answer });
        answers[example] = Some(answer);
        // After the last one nothing is left to stop.
        if wish.is_break() && left > 0 { Err(GenerateError::Stopped) } else { Ok(()) }
    };
    let mut queues: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (example, prompt) in prompts.iter().enumerate().filter(|(example, _)| !is_known[*example]) {
        if settings.max_new_tokens == 0 {
            finish(example, Generated { tokens: Vec::new(), stopped: StopReason::Length }, progress)?;
            continue;
        }
        let longest = (prompt.len() + settings.max_new_tokens).max(rounded(prompt.len()));
        queues.entry(room(longest)).or_default().push(example);
    }
    if !decoder.device().is_cuda() {
        queues = together(queues);
    }
    no_grad(|| {
        for (room, mut queue) in queues {
            queue.sort_by_key(|&example| &prompts[example]);
            let mut tile = Tile::new(decoder, room, settings);
            let mut waiting = queue.into_iter();
            loop {
                while let Some(row) = tile.free_row() {
                    let Some(example) = waiting.next() else { break };
                    let generator = seed.stream("sample", example as u64).generator();
                    if let Some(answer) = tile.enter(row, example, &prompts[example], generator)? {
                        finish(example, answer, progress)?;
                    }
                }
                if tile.is_empty() {
                    break;
                }
                for (example, answer) in tile.step()? {
                    finish(example, answer, progress)?;
                }
                for (example, answer) in tile.answers() {
                    if progress(Progress::Token { example, answer }).is_break() {
                        return Err(GenerateError::Stopped);
                    }
                }
            }
        }
        Ok(())
    })?;
    Ok(answers.into_iter().flatten().collect())
}

fn check(prompts: &[Vec<u32>], vocabulary: i64) -> Result<(), GenerateError> {
    for (example, prompt) in prompts.iter().enumerate() {
        if prompt.is_empty() {
            return Err(GenerateError::EmptyPrompt { example });
        }
        if let Some(&token) = prompt.iter().find(|&&token| i64::from(token) >= vocabulary) {
            return Err(GenerateError::UnknownToken { example, token, vocabulary });
        }
    }
    Ok(())
}

/// Returns the room that a sequence of `tokens` gets: rounded up to an eighth of a power of two,
/// so that few sequences differ in it and little of it is idle.
fn room(tokens: usize) -> usize {
    tokens.next_multiple_of((tokens.next_power_of_two() / 8).max(LEAST_ROOM))
}

/// Puts all sequences into the queue with the largest room: a CPU attends to what a row holds, not to its room.
fn together(queues: BTreeMap<usize, Vec<usize>>) -> BTreeMap<usize, Vec<usize>> {
    let largest = queues.last_key_value().map(|(&room, _)| room);
    largest.map(|room| (room, queues.into_values().flatten().collect())).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::data::Tokenizer;
    use crate::experiment::settings::{Architecture, Decoding, Greedy, Lora, Sample, Scratch, TokenizerSource};
    use crate::generate::Ends;
    use crate::generate::tile::CPU_ROWS;
    use crate::models::cache::Place;
    use crate::models::config::Config;
    use crate::models::config::rope::Rope;
    use crate::models::layers::Mode;
    use crate::models::packed::Packed;
    use crate::tuning::lora;
    use crate::tuning::targets::Target;

    fn decoder(sliding_window: Option<i64>) -> Decoder {
        let scratch = Scratch {
            data: None,
            architecture: Architecture::Mistral,
            tokenizer: String::new(),
            hidden: 48,
            layers: 2,
            heads: 6,
            kv_heads: Some(2),
            feed_forward: 72,
            tied: false,
            positions: 512,
        };
        let config = Config {
            sliding_window,
            // Windowed and full layers are decoded side by side.
            full_attention_layers: sliding_window.map(|_| 1).into_iter().collect(),
            // Wide, so that answers differ.
            initializer_range: 0.3,
            ..Config::scratch(&scratch, 50, 0)
        };
        Decoder::initialise(config, Seed(5), Device::Cpu)
    }

    fn prompts(lengths: &[usize]) -> Vec<Vec<u32>> {
        let prompt = |(example, &length): (usize, &usize)| {
            (0..length).map(|i| ((example * 31 + i * i + 7 * i) % 49 + 1) as u32).collect()
        };
        lengths.iter().enumerate().map(prompt).collect()
    }

    fn settings(decoding: &Decoding, batch: usize) -> GenerationSettings<'static> {
        GenerationSettings { decoding: decoding.clone(), max_new_tokens: 12, ends: Ends::at(vec![0]), batch }
    }

    fn drawn() -> Decoding {
        Decoding::Sample(Sample { top_p: 0.9, ..Sample::default() })
    }

    fn go_on(_: Progress<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn answers(decoder: &Decoder, prompts: &[Vec<u32>], decoding: &Decoding, batch: usize) -> Vec<Generated> {
        generate(decoder, prompts, &settings(decoding, batch), Seed(9), &mut go_on).unwrap()
    }

    /// Gives every projection an adapter that changes answers.
    fn adapt(decoder: &mut Decoder) {
        let projections = decoder.config.projections();
        let target_modules = projections.iter().map(|projection| projection.name.to_owned()).collect();
        let settings = Lora { target_modules, ..Lora::default() };
        lora::attach(decoder, &settings, Seed(3));
        for (Target { name, .. }, linear) in lora::adapted(decoder, &settings) {
            let adapter = linear.adapter.as_mut().unwrap();
            adapter.up = Seed(3).stream(&name, 1).normal(&adapter.up.size());
        }
    }

    #[test]
    fn greedy_answers_are_those_of_the_model_without_a_cache() {
        for (window, adapted) in [(None, false), (Some(5), false), (None, true)] {
            let mut decoder = decoder(window);
            if adapted {
                adapt(&mut decoder);
            }
            let prompts = prompts(&[1, 3, 50, 9, 70]);
            for (prompt, answer) in prompts.iter().zip(answers(&decoder, &prompts, &Decoding::default(), 4)) {
                let mut expected = Vec::new();
                let mut tokens = prompt.clone();
                let stopped = loop {
                    let hidden = decoder.hidden(&Packed::new(&[&tokens], None, Device::Cpu), Mode::Infer);
                    let last = decoder.logits(&hidden.narrow(0, tokens.len() as i64 - 1, 1));
                    let token = last.argmax(-1, false).int64_value(&[0]) as u32;
                    if token == 0 {
                        break StopReason::Eos;
                    }
                    expected.push(token);
                    tokens.push(token);
                    if expected.len() == 12 {
                        break StopReason::Length;
                    }
                };
                assert_eq!(answer, Generated { tokens: expected, stopped }, "{window:?} {adapted}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

        #[test]
        fn an_answer_does_not_depend_on_the_batch(lengths in prop::collection::vec(1usize..140, 1..20)) {
            let decoder = decoder(None);
            let prompts = prompts(&lengths);
            let ruled = Greedy { repetition_penalty: Some(1.3), no_repeat_ngram: Some(2), ..Greedy::default() };
            for decoding in [Decoding::default(), drawn(), Decoding::Greedy(ruled)] {
                let alone = answers(&decoder, &prompts, &decoding, 1);
                for batch in [3, 8, 32] {
                    prop_assert_eq!(&answers(&decoder, &prompts, &decoding, batch), &alone, "batch {}", batch);
                }
            }
        }
    }

    #[test]
    fn the_logits_of_a_row_do_not_depend_on_the_other_rows() {
        // Bit for bit, at a size where libtorch's kernels and threads divide the work.
        let config = Config {
            hidden_size: 256,
            intermediate_size: 688,
            num_attention_heads: 8,
            num_key_value_heads: 4,
            head_dim: 32,
            ropes: vec![Rope::plain(10_000.0, 32)],
            vocab_size: 4096,
            ..decoder(None).config
        };
        let decoder = Decoder::initialise(config, Seed(6), Device::Cpu);
        let prompts = prompts(&[90, 75, 100, 88]);
        let run = |examples: &[usize], row: usize| {
            let mut cache = decoder.tile(CPU_ROWS as i64, 128);
            let (mut ids, mut positions) = (vec![0i64; CPU_ROWS], vec![None; CPU_ROWS]);
            for (slot, &example) in examples.iter().enumerate() {
                let prompt = &prompts[example];
                let block = Packed::new(&[prompt], None, Device::Cpu);
                let place = Place { row: slot as i64, start: 0 };
                let _ = decoder.hidden_block(&block, &block.tails(&[1]), prompt.len(), &mut cache, place);
                ids[slot] = 7 + example as i64;
                positions[slot] = Some(prompt.len() as i64);
            }
            decoder.head().of_few(&decoder.hidden_tile(&ids, &positions, &mut cache)).get(row as i64)
        };
        let alone = run(&[2], 0);
        assert!(alone.equal(&run(&[0, 1, 2, 3], 2)));
        assert!(alone.equal(&run(&[3, 3, 0, 1, 1, 0, 3, 3, 1, 0, 1, 3, 2], 12)));
    }

    #[test]
    fn a_beginning_that_was_read_before_changes_no_answer() {
        for (window, adapted) in [(None, false), (Some(5), false), (None, true)] {
            let mut decoder = decoder(window);
            if adapted {
                adapt(&mut decoder);
            }
            // A context of two blocks and a part, several questions, one of them twice; a whole block alone.
            let context = &prompts(&[150])[0];
            let ends = prompts(&[9, 20, 9, 40]);
            let mut asked: Vec<Vec<u32>> = ends.iter().map(|end| [context.as_slice(), end].concat()).collect();
            asked.push(context[..64].to_vec());
            asked.push(context[..65].to_vec());
            for decoding in [Decoding::default(), drawn()] {
                let together = answers(&decoder, &asked, &decoding, 3);
                for (example, answer) in together.iter().enumerate() {
                    let known = |other: usize| (other != example).then(|| together[other].clone());
                    let known = (0..asked.len()).map(known).collect();
                    let settings = settings(&decoding, 3);
                    let alone = complete(&decoder, &asked, known, &settings, Seed(9), &mut go_on).unwrap();
                    assert_eq!(&alone[example], answer, "{window:?} {adapted} {example}");
                }
            }
        }
    }

    #[test]
    fn samples_follow_the_seed_and_the_example() {
        let decoder = decoder(None);
        let prompts = vec![vec![3, 4, 5]; 6];
        let first = answers(&decoder, &prompts, &drawn(), 6);
        assert_eq!(first, answers(&decoder, &prompts, &drawn(), 6));
        assert!(first.iter().any(|answer| *answer != first[0]), "equal prompts are sampled apart");
        let other = generate(&decoder, &prompts, &settings(&drawn(), 6), Seed(10), &mut go_on).unwrap();
        assert_ne!(first, other);
    }

    #[test]
    fn answers_end_at_the_end_token_or_the_longest_length_and_progress_counts_them() {
        let decoder = decoder(None);
        let prompts = prompts(&[4, 5, 6, 7, 8]);
        let long = answers(&decoder, &prompts, &Decoding::default(), 2);
        let eos = long[0].tokens[3];
        let ends = long[0].tokens.iter().position(|&token| token == eos).unwrap();
        let mut told = Vec::new();
        // The second of several ends is as good as the first.
        let settings = GenerationSettings { ends: Ends::at(vec![0, eos]), ..settings(&Decoding::default(), 2) };
        let mut lengths = [0; 5];
        let mut tell = |progress: Progress<'_>| {
            match progress {
                Progress::Token { example, answer } => {
                    let more = answer.len() - std::mem::replace(&mut lengths[example], answer.len());
                    assert!((1..=2).contains(&more) && answer == &long[example].tokens[..answer.len()]);
                }
                Progress::Answer { example, answer } => told.push((example, answer.clone())),
            }
            ControlFlow::Continue(())
        };
        let ended = generate(&decoder, &prompts, &settings, Seed(9), &mut tell).unwrap();
        assert_eq!(ended[0], Generated { tokens: long[0].tokens[..ends].to_vec(), stopped: StopReason::Eos });
        told.sort_unstable_by_key(|(example, _)| *example);
        assert_eq!(told, ended.into_iter().enumerate().collect::<Vec<_>>());
        let none = GenerationSettings { max_new_tokens: 0, ..settings };
        let none = generate(&decoder, &prompts, &none, Seed(9), &mut go_on).unwrap();
        assert!(none.iter().all(|answer| answer.tokens.is_empty() && answer.stopped == StopReason::Length));
    }

    #[test]
    fn answers_that_are_known_are_not_generated_again_and_change_no_other() {
        let decoder = decoder(None);
        let prompts = prompts(&[4, 90, 6, 7, 8]);
        for decoding in [Decoding::default(), drawn()] {
            let all = answers(&decoder, &prompts, &decoding, 3);
            let known = |example: usize| (example != 1 && example != 3).then(|| all[example].clone());
            let mut told = Vec::new();
            let mut tell = |progress: Progress<'_>| {
                if let Progress::Answer { example, .. } = progress {
                    told.push(example);
                }
                ControlFlow::Continue(())
            };
            let known = (0..5).map(known).collect();
            let settings = settings(&decoding, 3);
            assert_eq!(complete(&decoder, &prompts, known, &settings, Seed(9), &mut tell).unwrap(), all);
            told.sort_unstable();
            assert_eq!(told, [1, 3]);
        }
    }

    #[test]
    fn an_answer_ends_with_the_token_that_completes_a_text() {
        let decoder = decoder(None);
        let texts = ["abc".to_owned()];
        let tokenizer =
            Tokenizer::train(&TokenizerSource::ByteLevelBpe { vocabulary: 258, data: None }, &texts).unwrap();
        let prompts = prompts(&[4, 5, 6]);
        let answers = |stop: &[String]| {
            let settings = GenerationSettings { ends: Ends::of(&tokenizer, stop), ..settings(&Decoding::default(), 2) };
            generate(&decoder, &prompts, &settings, Seed(9), &mut go_on).unwrap()
        };
        let free = answers(&[]);
        // The model's 50 tokens are two special ones and bytes.
        let mut pairs = free[1].tokens.windows(2).enumerate();
        let (first, pair) = pairs.find(|(_, pair)| pair.iter().all(|&token| token > 1)).unwrap();
        let stop = [tokenizer.decode(pair)];
        assert_eq!(stop[0].len(), 2, "{stop:?}");
        let tokens = free[1].tokens[..first + 2].to_vec();
        assert_eq!(answers(&stop)[1], Generated { tokens, stopped: StopReason::Stop });
    }

    #[test]
    fn a_caller_may_stop_before_the_last_answer() {
        let (decoder, prompts) = (decoder(None), prompts(&[4, 5, 6, 7, 8]));
        let settings = settings(&Decoding::default(), 2);
        let run = |last: usize| {
            let mut done = 0;
            let mut stop = |progress: Progress<'_>| {
                done += usize::from(matches!(progress, Progress::Answer { .. }));
                assert!(done <= last);
                if done == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            generate(&decoder, &prompts, &settings, Seed(9), &mut stop)
        };
        assert_eq!(run(2), Err(GenerateError::Stopped));
        assert_eq!(run(5).unwrap().len(), 5);
    }

    #[test]
    fn impossible_prompts_and_damaged_models_are_told() {
        let mut decoder = decoder(None);
        let greedy = settings(&Decoding::default(), 2);
        let message = |decoder: &Decoder, prompts: &[Vec<u32>]| {
            generate(decoder, prompts, &greedy, Seed(1), &mut go_on).unwrap_err().to_string()
        };
        assert_eq!(message(&decoder, &[vec![1], vec![]]), "prompt 1 is empty, expected at least one token");
        assert_eq!(message(&decoder, &[vec![1, 50]]), "prompt 0 holds token 50, expected less than 50");
        decoder.norm.weight = Tensor::full([48], f64::NAN, (Kind::Float, Device::Cpu));
        assert!(message(&decoder, &[vec![1]]).contains("not finite"));
    }

    #[test]
    fn room_is_little_more_than_needed() {
        for tokens in 1..5000 {
            let room = room(tokens);
            assert!(room >= tokens && room <= (tokens + LEAST_ROOM).max(tokens + tokens / 4), "{tokens}: {room}");
        }
    }
}
