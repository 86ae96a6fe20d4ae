//! What a stage costs before it ran: operations, passes, memory and disk from the sizes of its data and
//! models. [`estimate`](crate::orchestrate::estimate) makes time and energy of them.
//!
//! With `P` parameters and `T` tokens:
//!
//! - operations: training `6 P T` per epoch with all parameters, `4 P T` with adapters (no gradient
//!   of frozen weights), a forward pass `2 P T` (Kaplan et al. 2020, arXiv 2001.08361, section 2.1);
//! - memory: [`memory`](super::memory): in training weights, gradients and moments with the activations
//!   of a micro-batch, and the best weights, `4 P`, where dev is measured; else weights, and the
//!   activations of a pass or keys and values of the answers that are decoded together;
//! - disk: outputs, and while a stage trains two of its states (weights, two moments, best weights),
//!   as one is there until the next is whole.

use std::collections::BTreeMap;

use super::memory::{Engine, MicroBatch};
use crate::device::Compute;
use crate::experiment::settings::{Lora, Scratch, SplitName, Training, Tuning, Validate};
use crate::models::config::{Config, Projection};
use crate::models::families::{Family, Places};
use crate::models::quantised::Quantisation;
use crate::train::moments;
use crate::train::student::INFERENCE_TOKENS;
use crate::tuning::lora;
use crate::tuning::targets::{Layers, Target, Targets, is_named};

/// Operations of one decoder layer in a forward pass over a whole batch: projections, norms,
/// rotation; an assumption.
pub const OPERATIONS_PER_PASS: f64 = 20.0;

/// Operations of one decoder layer for each sequence of a pass: attention; an assumption.
pub const OPERATIONS_PER_SEQUENCE: f64 = 10.0;

/// A forward pass with its backward, and the step of the optimiser, in forward passes: an assumption.
const PASSES_PER_STEP: f64 = 3.0;

/// Answers that are decoded together at most, on a CPU and on a GPU: as in `generate::tile`, which
/// computes that many however few there are.
const TILE_ROWS: (f64, f64) = (16.0, 32.0);

/// A token is taken to be four characters, an assumption that holds for English.
pub const CHARACTERS_PER_TOKEN: f64 = 4.0;

/// What one stage costs; what cannot be known is none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Floating-point operations.
    pub operations: Option<f64>,
    /// Operations that are started: each takes its time, however little it computes.
    pub starts: Option<f64>,
    /// What most of the operations are part of.
    pub passes: Passes,
    /// The operations among them that decode token by token.
    pub decoding: TokenSteps,
    /// Bytes of memory without the program.
    pub memory: Option<f64>,
    /// Bytes of them that are held whatever the batch and the length of sequences.
    pub held: Option<f64>,
    /// Bytes on disk of what it leaves.
    pub kept: Option<f64>,
    /// Bytes on disk, at most, while it runs.
    pub disk: Option<f64>,
}

impl Cost {
    /// Of work on text and small models, which takes seconds whatever the experiment: its outputs.
    #[must_use]
    pub fn of_disk(bytes: impl Into<Option<f64>>) -> Self {
        let bytes = bytes.into();
        let none = Some(0.0);
        Self { operations: none, starts: none, memory: none, held: none, kept: bytes, disk: bytes, ..Self::default() }
    }
}

/// Says what passes through a model are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Passes {
    /// Results alone.
    #[default]
    Forward,
    /// Gradients and steps of the optimiser, too.
    Training,
}

/// Work that reads all weights for a few tokens: the bandwidth of the memory bounds it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TokenSteps {
    /// Floating-point operations.
    pub operations: f64,
    /// Bytes read from memory: of weights, keys and values.
    pub bytes: f64,
}

/// Sizes of the data, for one pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sizes {
    /// Tokens of the corpus.
    pub corpus: f64,
    /// The training split.
    pub train: Split,
    /// The dev split.
    pub dev: Split,
    /// The test split.
    pub test: Split,
}

impl Sizes {
    /// Returns those of a split.
    #[must_use]
    pub fn of(&self, split: SplitName) -> Split {
        match split {
            SplitName::Train => self.train,
            SplitName::Dev => self.dev,
            SplitName::Test => self.test,
        }
    }
}

/// Sizes of a split: examples, and the rest in tokens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Split {
    /// Examples.
    pub examples: f64,
    /// Tokens of all prompts.
    pub prompts: f64,
    /// Tokens of all responses, with their end.
    pub responses: f64,
    /// Tokens of prompts with responses.
    pub whole: f64,
    /// Tokens of the longest prompt.
    pub longest_prompt: f64,
    /// Tokens of the longest prompt with its response; 0 where it is not known.
    pub longest: f64,
}

impl Split {
    /// Returns the sizes of so many times the examples.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self {
            examples: factor * self.examples,
            prompts: factor * self.prompts,
            responses: factor * self.responses,
            whole: factor * self.whole,
            ..self
        }
    }

    /// Returns the sizes of the first so many examples.
    #[must_use]
    pub fn first(self, limit: Option<usize>) -> Self {
        self.times(limit.map_or(1.0, |limit| (limit as f64 / self.examples).min(1.0)))
    }
}

/// Size of a model.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// All parameters.
    pub parameters: f64,
    /// Width of the hidden states.
    pub hidden: f64,
    /// Decoder layers.
    pub layers: f64,
    /// Query heads of a layer.
    pub heads: f64,
    /// Width of the queries of one token in a layer.
    pub queries: f64,
    /// Width of the keys of one token in a layer, and of the values.
    pub keys: f64,
    /// Width of the feed-forward layer.
    pub feed_forward: f64,
    /// Rows of the embedding.
    pub vocabulary: f64,
    /// Parameters that are looked up, not multiplied with: an embedding that is not the head, too.
    pub looked_up: f64,
    /// Projections of a layer, at most seven.
    pub projections: [Option<Projection>; 7],
    /// Its family, which names its parts.
    pub family: &'static Family,
    /// How the projections of its layers are kept.
    pub kept: Quantisation,
}

/// What adapters a projection has over all layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adapted {
    /// Share of the layers where it has one.
    pub share: f64,
    /// Mean rank where it has one.
    pub rank: f64,
}

impl Size {
    /// Returns the size of a model by its configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            parameters: config.parameters() as f64,
            hidden: config.hidden_size as f64,
            layers: config.num_hidden_layers as f64,
            heads: config.num_attention_heads as f64,
            queries: (config.num_attention_heads * config.head_dim) as f64,
            keys: (config.num_key_value_heads * config.head_dim) as f64,
            feed_forward: config.intermediate_size as f64,
            vocabulary: config.vocab_size as f64,
            looked_up: match config.tie_word_embeddings {
                true => 0.0,
                false => (config.vocab_size * config.hidden_size) as f64,
            },
            projections: {
                let mut all = config.projections().into_iter();
                std::array::from_fn(|_| all.next())
            },
            family: config.family,
            kept: config.quantisation,
        }
    }

    /// Lists the projections of a layer.
    pub fn projections(&self) -> impl Iterator<Item = &Projection> {
        self.projections.iter().flatten()
    }

    /// Returns the numbers in the projections of a layer.
    #[must_use]
    pub fn matrices(&self) -> f64 {
        self.projections().map(|projection| (projection.input * projection.output) as f64).sum()
    }

    /// Returns the rows of the projections of a layer.
    #[must_use]
    pub fn rows(&self) -> f64 {
        self.projections().map(|projection| projection.output as f64).sum()
    }

    /// Returns the numbers in the largest projection.
    #[must_use]
    pub fn largest(&self) -> f64 {
        self.projections().map(|projection| (projection.input * projection.output) as f64).fold(0.0, f64::max)
    }

    /// Returns the parameters that are trained: all, or those of the adapters in every layer.
    #[must_use]
    pub fn trained(&self, tuning: &Tuning) -> f64 {
        match tuning {
            Tuning::Full {} => self.parameters,
            Tuning::Lora(lora) => {
                let adapters: u64 = self.targets(lora).iter().map(|target| target.parameters(lora)).sum();
                let table = self.vocabulary * self.hidden;
                let Places { embedding, norm, .. } = &self.family.places;
                let tables = [(*embedding, table), ("lm_head", self.looked_up), (*norm, self.hidden)];
                let is_whole = |name: &str| lora.modules_to_save.iter().any(|saved| is_named(name, saved));
                let whole: f64 = tables.iter().filter(|(name, _)| is_whole(name)).map(|(_, numbers)| numbers).sum();
                adapters as f64 + whole
            }
        }
    }

    /// Returns the numbers in projections, and in a head that is not the embedding, that are large enough for
    /// moments in eight bits.
    #[must_use]
    pub fn in_large_matrices(&self) -> f64 {
        let large = |numbers: &i64| *numbers >= moments::LEAST;
        let matrices = self.projections().map(|projection| projection.input * projection.output).filter(large);
        self.layers * matrices.sum::<i64>() as f64 + self.looked_up
    }

    /// Returns the numbers in matrices of adapters that are large enough for moments in eight bits.
    #[must_use]
    pub fn in_large_adapters(&self, lora: &Lora) -> f64 {
        let matrices = self.targets(lora).into_iter().flat_map(|target| {
            let Projection { input, output, .. } = target.projection;
            [input, output].map(|width| width * target.rank as i64)
        });
        matrices.filter(|numbers| *numbers >= moments::LEAST).map(|numbers| numbers as f64).sum()
    }

    /// Lists what gets an adapter; nothing where a pattern is none, which the check tells.
    fn targets(&self, lora: &Lora) -> Vec<Target> {
        let projections: Vec<Projection> = self.projections().copied().collect();
        let layers = Layers { place: self.family.places.layers, count: self.layers as i64, projections: &projections };
        Targets::new(lora).map(|targets| targets.all(layers)).unwrap_or_default()
    }

    /// Returns the adapters of each projection of a layer, by the projection's name.
    #[must_use]
    pub fn adapted(&self, tuning: &Tuning) -> BTreeMap<&'static str, Adapted> {
        let Tuning::Lora(lora) = tuning else { return BTreeMap::new() };
        let mut ranks: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
        for target in self.targets(lora) {
            ranks.entry(target.projection.name).or_default().push(target.rank as f64);
        }
        let mean = |ranks: Vec<f64>| {
            let count = ranks.len() as f64;
            Adapted { share: count / self.layers, rank: ranks.iter().sum::<f64>() / count }
        };
        ranks.into_iter().map(|(name, ranks)| (name, mean(ranks))).collect()
    }

    /// Returns the operations that passes start, with the sequences in all of them.
    #[must_use]
    pub fn starts(self, passes: f64, sequences: f64) -> f64 {
        self.layers * (passes * OPERATIONS_PER_PASS + sequences * OPERATIONS_PER_SEQUENCE)
    }
}

/// What is known of the things that a stage works on, where that is not in its job.
pub struct Scene<'a> {
    /// Sizes of its data.
    pub sizes: Option<Sizes>,
    /// What it is computed on and in.
    pub compute: Compute,
    /// Products are convolutions there, as `models::product` has it.
    pub is_convolution: bool,
    /// Tokens of the largest vocabulary.
    pub vocabulary: f64,
    /// Returns the size of the model that it reads under a name.
    pub model: &'a dyn Fn(&str) -> Option<Size>,
    /// Returns the size of a model to be built.
    pub scratch: &'a dyn Fn(&Scratch) -> Option<Size>,
}

impl Scene<'_> {
    /// Returns the cost of training a model on `sequences` of `tokens` in all, and of measuring dev.
    #[must_use]
    pub fn training(&self, size: Option<Size>, tuning: &Tuning, training: &Training, read: Read) -> Cost {
        let Some(size) = size else { return Cost::default() };
        let size = Size { kept: lora::quantisation(tuning), ..size };
        let per_token = match tuning {
            Tuning::Full {} => 6.0,
            Tuning::Lora(_) => 4.0,
        };
        let trained = size.trained(tuning);
        let measures_dev = read.dev.is_none_or(|dev| dev.examples > 0.0);
        let best = if measures_dev { 4.0 * training.keep_best as f64 } else { 0.0 };
        let (engine, micro) = (self.engine(), MicroBatch::of(training, read.train, self.compute));
        let states = training.optimizer_states;
        let held = engine.states(&size, tuning, states, micro.parts) + best * trained;
        let mut passing = engine.activations(&size, tuning, micro);
        if measures_dev {
            let tokens = read.dev.map_or(f64::INFINITY, |dev| dev.whole).min(INFERENCE_TOKENS as f64);
            passing = passing.max(engine.reading(&size, tokens) + engine.logits(size.vocabulary, tokens));
        }
        let (mut operations, mut starts) = (None, None);
        if let (Some(train), Some(dev)) = (read.train, read.dev) {
            let times = validations(training);
            let tokens = per_token * train.whole * training.epochs + 2.0 * dev.whole * times;
            operations = Some(size.parameters * tokens);
            // Dev passes are large, hence few: their sequences count.
            let validation = if dev.examples > 0.0 { times * size.starts(1.0, dev.examples) } else { 0.0 };
            let steps = size.starts(train.examples / training.batch as f64, train.examples);
            starts = Some(PASSES_PER_STEP * training.epochs * steps + validation);
        }
        Cost {
            operations,
            starts,
            passes: Passes::Training,
            decoding: TokenSteps::default(),
            memory: Some(held + passing),
            held: Some(held),
            kept: Some(best.max(4.0) * trained),
            disk: Some(2.0 * ((4.0 + best) * trained + Engine::moments(&size, tuning, states))),
        }
    }

    /// Returns the cost of reading sequences with a model, `tokens` at a time, without gradients; what it
    /// leaves on disk is not known here.
    #[must_use]
    pub fn forward(&self, size: Option<Size>, read: Option<Split>, tokens: f64) -> Cost {
        let Some(size) = size else { return Cost::default() };
        let engine = self.engine();
        let held = engine.weights(&size);
        let at_once = read.map_or(tokens, |read| tokens.min(read.whole));
        Cost {
            operations: read.map(|read| 2.0 * size.parameters * read.whole),
            starts: read.map(|read| size.starts((read.whole / tokens).ceil(), read.examples)),
            memory: Some(held + engine.reading(&size, at_once)),
            held: Some(held),
            ..Cost::default()
        }
    }

    /// Returns how the machine computes, as far as memory goes.
    #[must_use]
    pub fn engine(&self) -> Engine {
        Engine::new(self.compute, self.is_convolution)
    }

    /// Returns the cost of reading sequences to measure their likelihood, `tokens` at a time: a row is left of each
    /// of `rows`.
    #[must_use]
    pub fn reading(&self, size: Option<Size>, read: Option<Split>, tokens: f64, rows: Option<f64>) -> Cost {
        // A number or two, and an identifier.
        let kept = rows.map(|rows| 100.0 * rows);
        let size = size.map(|size| self.engine().settled(size));
        Cost { kept, disk: kept, ..self.forward(size, read, tokens) }
    }

    /// Returns how many answers a decoding step computes.
    #[must_use]
    pub fn tile_rows(&self) -> f64 {
        if self.compute.device.is_cuda() { TILE_ROWS.1 } else { TILE_ROWS.0 }
    }

    /// Returns the bytes of a weight in the format of the products.
    #[must_use]
    pub fn bytes_per_weight(&self) -> f64 {
        self.engine().bytes
    }

    /// Returns the bytes of a teacher's head and embedding.
    #[must_use]
    pub fn head_bytes(&self, teacher: Size) -> f64 {
        2.0 * teacher.hidden * self.vocabulary * self.bytes_per_weight()
    }
}

/// What training reads; none where that is not known.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    /// What it trains on.
    pub train: Option<Split>,
    /// What it measures; nothing where it has no examples.
    pub dev: Option<Split>,
}

impl Read {
    /// The training and dev splits of data.
    #[must_use]
    pub fn of(sizes: Option<Sizes>) -> Self {
        Self { train: sizes.map(|sizes| sizes.train), dev: sizes.map(|sizes| sizes.dev) }
    }

    /// Texts of so many tokens in all, in sequences of one length, without dev.
    #[must_use]
    pub fn texts(tokens: Option<f64>, length: usize) -> Self {
        let longest = length as f64;
        let texts =
            |whole: f64| Split { examples: whole / longest, whole, responses: whole, longest, ..Split::default() };
        Self { train: tokens.map(texts), dev: Some(Split::default()) }
    }
}

/// Returns how often dev is measured.
fn validations(training: &Training) -> f64 {
    match training.validate {
        Validate::Epoch => training.epochs.ceil(),
        Validate::End => 1.0,
    }
}
