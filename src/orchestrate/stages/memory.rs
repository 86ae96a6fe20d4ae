//! Memory of a model at work, from its sizes: what training holds throughout, what one micro-batch adds
//! for its backward pass, and what a pass without gradients needs.
//!
//! With width `d`, query and key widths `q` and `k`, feed-forward width `w` and `e` bytes of an activation,
//! autograd keeps of one token in one layer, all parameters trained:
//!
//! - norms: what they read, their results (read by projections), and before their scale (CPU only):
//!   `2 d (4 + 2e)` on a CPU, which norms in f32, `2 d (2e)` on a GPU, whose norm is one operation;
//! - attention: `e (2q + 2k)`, and the probabilities of all heads, `e h keys`, where scores are held whole,
//!   or once more `e q`, the fused kernel's result before it is packed;
//! - feed-forward: `4 e w`, the gate before and after SiLU, the other factor, the product.
//!
//! Frozen weights need no gradient: what a projection reads is kept only where an adapter reads it, too,
//! or where products are convolutions. An adapter adds its `e rank`, dropout a mask and what it left.
//! The last layer computes, but for keys and values, what predicts a response.

use crate::device::{Compute, Precision};
use crate::experiment::settings::{BaseFormat, OptimizerStates, Training, Tuning};
use crate::models::attention::{GROUP_TOKENS, QUERY_BLOCK, WHOLE_SCORES};
use crate::models::config::{Part, Projection};
use crate::models::head::CHUNK_BYTES;
use crate::models::packed::rounded;
use crate::orchestrate::stages::cost::{Adapted, Size, Split};
use crate::train::moments;
use crate::train::run::micro_batch_tokens;
use crate::tuning::lora;

/// How a machine computes, as far as it decides what is held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Engine {
    /// Bytes of an activation.
    pub bytes: f64,
    /// On a GPU.
    pub is_gpu: bool,
    /// Products are convolutions, which keep what they read.
    pub keeps_inputs: bool,
}

impl Engine {
    /// Describes computing in a number format, where products are convolutions or not.
    #[must_use]
    pub fn new(compute: Compute, keeps_inputs: bool) -> Self {
        let bytes = match compute.precision {
            Precision::F32 => 4.0,
            Precision::Bf16 => 2.0,
        };
        Self { bytes, is_gpu: compute.device.is_cuda(), keeps_inputs }
    }

    fn is_f32(self) -> bool {
        self.bytes == 4.0
    }

    /// Returns the bytes that training holds throughout: `4 n` for masters of `n` trained parameters, their
    /// moments, gradients and, unless they are f32, what the model computes with; beside them frozen weights, and
    /// an f32 sum of gradients where a step has `parts` and they are not f32.
    #[must_use]
    pub fn states(self, size: &Size, tuning: &Tuning, states: OptimizerStates, parts: f64) -> f64 {
        let trained = size.trained(tuning);
        let frozen = match tuning {
            Tuning::Full {} => 0.0,
            Tuning::Lora(_) => self.weights(&Size { kept: lora::quantisation(tuning), ..*size }),
        };
        let copies = match (self.is_f32(), parts > 1.0) {
            (true, _) => self.bytes,
            (false, false) => 2.0 * self.bytes,
            (false, true) => 2.0 * self.bytes + 4.0,
        };
        frozen + trained * (4.0 + copies) + Self::moments(size, tuning, states)
    }

    /// Returns the bytes of both moments: four of a number each, or one with a scale for each block.
    #[must_use]
    pub fn moments(size: &Size, tuning: &Tuning, states: OptimizerStates) -> f64 {
        let trained = size.trained(tuning);
        let coded = match (states, tuning) {
            (OptimizerStates::F32, _) => 0.0,
            // Embeddings are not, and norms and biases are small.
            (OptimizerStates::EightBits, Tuning::Full {}) => size.in_large_matrices(),
            (OptimizerStates::EightBits, Tuning::Lora(lora)) => size.in_large_adapters(lora),
        };
        2.0 * (4.0 * (trained - coded) + coded * (1.0 + 4.0 / moments::BLOCK as f64))
    }

    /// Returns the bytes of the weights of a model, as they are kept.
    #[must_use]
    pub fn weights(self, size: &Size) -> f64 {
        let matrices = size.layers * size.matrices();
        let kept = match size.kept {
            None | Some((BaseFormat::Full, _)) => matrices * self.bytes,
            // Half a byte each, and of 64 one scale, in f32 or in a byte with one more of 256 scales.
            Some((BaseFormat::Nf4 | BaseFormat::Fp4, doubles)) => {
                let scale = if doubles { 1.0 + 4.0 / 256.0 } else { 4.0 };
                matrices * (0.5 + scale / 64.0)
            }
            // A byte each, and of a row one scale.
            Some((BaseFormat::Int8, _)) => matrices + 4.0 * size.layers * size.rows(),
        };
        (size.parameters - matrices) * self.bytes + kept
    }

    /// Returns a model as it answers: in f32, weights in few bits become what they stand for before.
    #[must_use]
    pub fn settled(self, size: Size) -> Size {
        let kept = if self.is_f32() { None } else { size.kept };
        Size { kept, ..size }
    }

    /// Returns the bytes that one step of decoding reads and writes for the weights that are multiplied with.
    #[must_use]
    pub fn streamed(self, size: &Size) -> f64 {
        let whole = self.weights(size) - size.looked_up * self.bytes;
        // What codes stand for is written, and read again.
        let decoded = if size.kept.is_some() { 2.0 * size.layers * size.matrices() * self.bytes } else { 0.0 };
        whole + decoded
    }

    /// Returns the bytes beside the weights when one in few bits is turned into numbers: these, and on a GPU what
    /// libtorch's operations leave between, of four bytes each: codes, pairs of them, and numbers before and after
    /// their scale.
    fn decoded(self, size: &Size) -> f64 {
        match (size.kept, self.is_gpu) {
            (None, _) => 0.0,
            (Some(_), false) => self.bytes * size.largest(),
            (Some(_), true) => (16.0 + self.bytes) * size.largest(),
        }
    }

    /// Returns the bytes that one micro-batch adds: what is kept for backward, with the temporaries of
    /// the last layer's backward or of the head; or, if that is more, the gradient of the embedding, which
    /// comes last, when all else has been freed.
    #[must_use]
    pub fn activations(self, size: &Size, tuning: &Tuning, micro: MicroBatch) -> f64 {
        let (first, rest) = self.kept_per_token(size, tuning, micro.length);
        let mut whole = (size.layers - 1.0).max(0.0) * micro.tokens * (first + rest);
        let mut last = micro.tokens * first + micro.predicting * rest;
        let is_quantised = lora::quantisation(tuning).is_some();
        if is_quantised {
            // The weights of one layer, as they are computed with.
            last += self.bytes * size.matrices();
        }
        // What convolutions keep cannot be lent: there, layers in few bits are computed again.
        if micro.recomputes || (is_quantised && self.keeps_inputs) {
            // What every layer reads, and the graph of the largest one at its turn.
            last += (micro.tokens - micro.predicting) * rest;
            whole = size.layers * micro.tokens * self.bytes * size.hidden;
        }
        // The embedding's result; the last norm.
        let ends = self.bytes * size.hidden * (micro.tokens + 3.0 * micro.predicting);
        // Gradients of the gated product and of its factors.
        let backward = 3.0 * self.bytes * size.feed_forward * micro.tokens;
        let kept = whole + last + ends + backward.max(self.logits(size.vocabulary, micro.predicting));
        match tuning {
            Tuning::Full {} => kept.max(self.bytes * size.vocabulary * size.hidden),
            Tuning::Lora(_) => kept,
        }
    }

    /// Returns the bytes that one layer keeps of a token: of every token, and of those whose result is
    /// asked for.
    fn kept_per_token(self, size: &Size, tuning: &Tuning, length: f64) -> (f64, f64) {
        let e = self.bytes;
        let (hidden, queries, wide) = (size.hidden, size.queries, size.feed_forward);
        let is_full = matches!(tuning, Tuning::Full {});
        let adapted = size.adapted(tuning);
        let (dropout, learns_lengths) = match tuning {
            Tuning::Full {} => (0.0, false),
            Tuning::Lora(lora) => (lora.dropout, lora.dora),
        };
        let of = |parts: &[Part]| -> Vec<&Projection> {
            size.projections().filter(|projection| parts.contains(&projection.part)).collect()
        };
        // What projections read, once for all that read the same.
        let reads = |width: f64, parts: &[Part]| {
            let mut readers = of(parts).into_iter();
            let is_kept = is_full || self.keeps_inputs || readers.any(|reader| adapted.contains_key(reader.name));
            if is_kept { e * width } else { 0.0 }
        };
        let adapters = |parts: &[Part]| -> f64 {
            let each = |projection: &Projection| {
                let Adapted { share, rank } = *adapted.get(projection.name)?;
                // libtorch's dropout multiplies by a mask: of activations on a CPU, of bytes on a GPU.
                let mask = if self.is_gpu { 1.0 } else { e };
                let dropped = if dropout > 0.0 { projection.input as f64 * (e + mask) } else { 0.0 };
                // What the rows' factors multiply.
                let turned = if learns_lengths { projection.output as f64 * e } else { 0.0 };
                Some(share * (e * rank + dropped + turned))
            };
            of(parts).into_iter().filter_map(each).sum()
        };
        let norm = match (self.is_gpu, is_full) {
            (true, _) => e * hidden,
            (false, true) => (4.0 + e) * hidden,
            (false, false) => 4.0 * hidden,
        };
        // A gate is kept before and after its activation, with the other factor; without one the
        // activation's input alone.
        let widened: f64 = of(&[Part::Widening]).iter().map(|projection| projection.output as f64).sum();
        let first = norm
            + reads(hidden, &[Part::Query, Part::Key, Part::Value, Part::QueryKeyValue])
            + 2.0 * e * size.keys
            + adapters(&[Part::Key, Part::Value, Part::QueryKeyValue]);
        let rest = norm
            + e * queries
            + self.scores(size, length)
            + reads(queries, &[Part::AttentionOutput])
            + reads(hidden, &[Part::Widening])
            + e * (2.0 * widened - wide)
            + reads(wide, &[Part::Narrowing])
            + adapters(&[Part::Query, Part::AttentionOutput, Part::Widening, Part::Narrowing]);
        (first, rest)
    }

    /// Returns the bytes that attention keeps of a query beside queries, keys and values.
    fn scores(self, size: &Size, length: f64) -> f64 {
        if self.is_gpu || length > WHOLE_SCORES as f64 {
            return self.bytes * size.queries;
        }
        let keys = if length > QUERY_BLOCK as f64 {
            // A block sees the keys up to its last query: half of them and half a block.
            (length + QUERY_BLOCK as f64) / 2.0
        } else {
            // Short sequences share a mask.
            length * (GROUP_TOKENS as f64 / length).floor()
        };
        self.bytes * size.heads * keys
    }

    /// Returns the bytes of logits and of one more tensor of their size, a chunk at a time.
    #[must_use]
    pub fn logits(self, vocabulary: f64, positions: f64) -> f64 {
        let chunk = (4.0 * vocabulary * positions).min(CHUNK_BYTES as f64);
        if self.is_f32() { 2.0 * chunk } else { 3.0 * chunk }
    }

    /// Returns the bytes of a pass without gradients over so many tokens: the largest moment of a layer,
    /// in the feed-forward (residual, what it reads, three of its width) or around attention; with one weight
    /// number by number, where they are kept in few bits.
    #[must_use]
    pub fn reading(self, size: &Size, tokens: f64) -> f64 {
        let moment = (3.0 * size.feed_forward).max(3.0 * (size.queries + size.keys));
        self.bytes * tokens * (2.0 * size.hidden + moment) + self.decoded(size)
    }
}

/// The largest micro-batch of a training stage: sequences of the longest length that is there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MicroBatch {
    /// Tokens.
    pub tokens: f64,
    /// Tokens of them whose states are asked for.
    pub predicting: f64,
    /// Tokens of a sequence.
    pub length: f64,
    /// Micro-batches of a step.
    pub parts: f64,
    /// Layers compute their activations again on the way back.
    pub recomputes: bool,
}

impl MicroBatch {
    /// Divides a step as training does: into parts of at most `1 / accumulation` of its sequences and at
    /// most so many tokens as the device gets at a time. Where the data are not known, every sequence has
    /// `max_length` tokens, all of which predict.
    #[must_use]
    pub fn of(training: &Training, train: Option<Split>, compute: Compute) -> Self {
        let train = train.unwrap_or_default();
        let longest = if train.longest > 0.0 { train.longest.ceil() as usize } else { training.max_length };
        let length = rounded(longest.min(training.max_length)) as f64;
        let batch = if train.examples > 0.0 { training.batch.min(train.examples as usize) } else { training.batch };
        let most = batch.div_ceil(training.accumulation.max(1)) as f64;
        let fits = (micro_batch_tokens(compute.device) as f64 / length).floor().max(1.0);
        let sequences = most.min(fits);
        let share = if train.whole > 0.0 { (train.responses / train.whole).min(1.0) } else { 1.0 };
        let tail = rounded((share * length).ceil() as usize) as f64;
        Self {
            tokens: sequences * length,
            predicting: sequences * tail.min(length),
            length,
            parts: (batch as f64 / sequences).ceil(),
            recomputes: training.gradient_checkpointing,
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::experiment::settings::{Architecture, Lora, Scratch};
    use crate::models::config::Config;

    const CPU: Engine = Engine { bytes: 4.0, is_gpu: false, keeps_inputs: false };
    const GPU: Engine = Engine { bytes: 2.0, is_gpu: true, keeps_inputs: false };

    /// d = 8, q = 8, k = 4, w = 16, 2 heads, 3 layers, 100 tokens, one matrix for both ends.
    fn size() -> Size {
        Size::of(&Config::scratch(&scratch(), 100, 0))
    }

    fn scratch() -> Scratch {
        Scratch {
            data: None,
            architecture: Architecture::Llama,
            tokenizer: String::new(),
            hidden: 8,
            layers: 3,
            heads: 2,
            kv_heads: Some(1),
            feed_forward: 16,
            positions: 512,
            tied: true,
        }
    }

    fn lora(dropout: f64) -> Tuning {
        Tuning::Lora(Lora { rank: 2, dropout, ..Lora::default() })
    }

    #[test]
    fn states_are_masters_moments_gradients_and_copies() {
        // 100 x 8; in each layer 8 x (8 + 4 + 4 + 8), 3 x 8 x 16 and two norms; a norm.
        let parameters = 800.0 + 3.0 * (192.0 + 384.0 + 16.0) + 8.0;
        let f32 = OptimizerStates::F32;
        let states = |engine: Engine, tuning, parts| engine.states(&size(), tuning, f32, parts);
        assert_eq!(states(CPU, &Tuning::Full {}, 2.0), 16.0 * parameters);
        assert_eq!(states(GPU, &Tuning::Full {}, 1.0), 16.0 * parameters);
        assert_eq!(states(GPU, &Tuning::Full {}, 2.0), 20.0 * parameters);
        // Queries 2 (8 + 8), values 2 (8 + 4), in three layers.
        assert_eq!(size().trained(&lora(0.0)), 168.0);
        assert_eq!(states(GPU, &lora(0.0), 1.0), 2.0 * parameters + 16.0 * 168.0);
        // Small ones, which stay as they are.
        let eight = |size: &Size, tuning| Engine::moments(size, &tuning, OptimizerStates::EightBits);
        assert_eq!(eight(&size(), Tuning::Full {}), 8.0 * parameters);
        assert_eq!(eight(&size(), lora(0.0)), 8.0 * 168.0);
        // Queries and outputs 64 x 64, keys and values half of it, three of 64 x 128.
        let wide = Size::of(&Config::scratch(&Scratch { hidden: 64, feed_forward: 128, ..scratch() }, 100, 0));
        let large = 3.0 * (2.0 * 4096.0 + 3.0 * 8192.0);
        let expected = 8.0 * (wide.parameters - large) + large * (2.0 + 8.0 / 256.0);
        assert_eq!(eight(&wide, Tuning::Full {}), expected);
        // A and B of all queries, of rank 64.
        let adapted = Tuning::Lora(Lora { rank: 64, target_modules: vec!["q_proj".to_owned()], ..Lora::default() });
        assert_eq!(eight(&wide, adapted), 3.0 * 8192.0 * (2.0 + 8.0 / 256.0));
    }

    #[test]
    fn weights_in_few_bits_take_their_bits_and_scales() {
        let (matrices, rest) = (3.0 * (192.0 + 384.0), 800.0 + 3.0 * 16.0 + 8.0);
        let kept = |format, doubles| Size { kept: Some((format, doubles)), ..size() };
        assert_eq!(CPU.weights(&size()), 4.0 * (matrices + rest));
        // Half a byte, and a 64th of a scale of 4 bytes, or of 1 and a 64th.
        let plain = GPU.weights(&kept(BaseFormat::Fp4, false));
        assert_eq!(plain, 2.0 * rest + matrices * (0.5 + 4.0 / 64.0));
        let doubled = GPU.weights(&kept(BaseFormat::Nf4, true));
        assert_eq!(doubled, 2.0 * rest + matrices * (0.5 + 1.015_625 / 64.0));
        // A byte, and 4 of each row: queries and outputs of 8, keys and values of 4, gate and up of 16, down of 8.
        let eight = CPU.weights(&kept(BaseFormat::Int8, false));
        assert_eq!(eight, 4.0 * rest + matrices + 4.0 * 3.0 * 64.0);
        // Beside them, one of 8 x 16 numbers.
        let reading = |engine: Engine, size: &Size| engine.reading(size, 100.0);
        assert_eq!(reading(CPU, &kept(BaseFormat::Nf4, true)) - reading(CPU, &size()), 4.0 * 128.0);
        assert_eq!(reading(GPU, &kept(BaseFormat::Nf4, true)) - reading(GPU, &size()), 18.0 * 128.0);
        // In f32 answers come from what codes stand for, in bf16 from the codes: read, written and read again.
        assert_eq!(CPU.settled(kept(BaseFormat::Nf4, true)).kept, None);
        let answering = GPU.settled(kept(BaseFormat::Nf4, true));
        assert_eq!(GPU.streamed(&answering), doubled + 4.0 * matrices);
        let untied = Size { looked_up: 800.0, ..size() };
        assert_eq!(GPU.streamed(&untied), 2.0 * (matrices + rest - 800.0));
        // Trained on, they are the same, beside 168 numbers of adapters.
        let lora = |base| Tuning::Lora(Lora { rank: 2, base, ..Lora::default() });
        assert_eq!(CPU.states(&size(), &lora(BaseFormat::Int8), OptimizerStates::F32, 1.0), eight + 16.0 * 168.0);
        assert_eq!(GPU.states(&size(), &lora(BaseFormat::Nf4), OptimizerStates::F32, 1.0), doubled + 16.0 * 168.0);
    }

    #[test]
    fn activations_by_hand() {
        let micro = MicroBatch { tokens: 512.0, predicting: 512.0, length: 256.0, parts: 1.0, recomputes: false };
        // Norms 2 x 64, what projections read 32 + 32 + 32 + 64, queries 32, keys and values 32, scores of
        // 2 heads and 192 keys 1536, gates and factor 192; 3 layers of 512 tokens; the ends 4 x 8 x 2048;
        // logits 2 x 4 x 100 x 512.
        let full = 3.0 * 512.0 * 2080.0 + 65_536.0 + 409_600.0;
        assert_eq!(CPU.activations(&size(), &Tuning::Full {}, micro), full);
        // Norms 2 x 16, queries 16, keys and values 16, the fused result 16, gates and factor 96, adapters
        // 2 x 4 and what they read 16; three chunks of logits in f32.
        let adapted = 3.0 * 512.0 * 200.0 + 32_768.0 + 614_400.0;
        assert_eq!(GPU.activations(&size(), &lora(0.0), micro), adapted);
        // Each of two adapters reads 8 numbers anew, with a mask of bytes.
        let dropped = 3.0 * 512.0 * 2.0 * 8.0 * 3.0;
        assert_eq!(GPU.activations(&size(), &lora(0.1), micro), adapted + dropped);
        // Convolutions keep what o, gate and up, and down read: 8, 8 and 16 numbers.
        let kept = CPU.activations(&size(), &lora(0.0), micro);
        let convolved = Engine { keeps_inputs: true, ..CPU }.activations(&size(), &lora(0.0), micro);
        assert_eq!(convolved - kept, 3.0 * 512.0 * 4.0 * 32.0);
        // Recomputed: what 3 layers read, 8 numbers of each token, and the graph of one.
        let again = CPU.activations(&size(), &Tuning::Full {}, MicroBatch { recomputes: true, ..micro });
        assert_eq!(again, full - 2.0 * 512.0 * 2080.0 + 3.0 * 512.0 * 32.0);
        // In few bits, activations are kept likewise, beside the numbers of one layer: 576; but where products
        // are convolutions they are computed again.
        let few = Tuning::Lora(Lora { rank: 2, base: BaseFormat::Nf4, ..Lora::default() });
        assert_eq!(CPU.activations(&size(), &few, micro) - CPU.activations(&size(), &lora(0.0), micro), 4.0 * 576.0);
        let convolving = Engine { keeps_inputs: true, ..CPU };
        let again = convolving.activations(&size(), &lora(0.0), MicroBatch { recomputes: true, ..micro });
        assert_eq!(convolving.activations(&size(), &few, micro) - again, 4.0 * 576.0);
        // Half of the last layer's tokens are asked for: less of all but its first norm, keys and values.
        let half = CPU.activations(&size(), &Tuning::Full {}, MicroBatch { predicting: 256.0, ..micro });
        assert_eq!(full - half, 256.0 * (1952.0 + 3.0 * 32.0) + 204_800.0);
    }

    #[test]
    fn a_large_vocabulary_ends_with_the_gradient_of_its_embedding() {
        let micro = MicroBatch { tokens: 16.0, predicting: 16.0, length: 16.0, parts: 1.0, recomputes: false };
        let large = Size { vocabulary: 1e6, ..size() };
        assert!(CPU.activations(&large, &Tuning::Full {}, micro) > CPU.logits(1e6, 16.0));
        let deep = Size { vocabulary: 1e7, hidden: 64.0, ..size() };
        assert_eq!(CPU.activations(&deep, &Tuning::Full {}, micro), 4.0 * 64.0 * 1e7);
    }

    #[test]
    fn steps_are_divided_as_training_divides_them() {
        let of = |training: &Training, train, device| {
            MicroBatch::of(training, train, Compute { device, ..Compute::reference() })
        };
        let training = Training { batch: 32, accumulation: 8, max_length: 500, ..Training::default() };
        let unknown = MicroBatch { tokens: 2048.0, predicting: 2048.0, length: 512.0, parts: 8.0, recomputes: false };
        assert_eq!(of(&training, None, Device::Cuda(0)), unknown);
        // A CPU takes 2,048 tokens at a time.
        let whole = Training { accumulation: 1, batch: 16, ..training };
        assert_eq!(of(&whole, None, Device::Cpu), MicroBatch { parts: 4.0, ..unknown });
        let train = Split { examples: 10.0, whole: 1000.0, responses: 250.0, longest: 100.0, ..Split::default() };
        let few = MicroBatch { tokens: 1120.0, predicting: 320.0, length: 112.0, parts: 1.0, recomputes: false };
        assert_eq!(of(&whole, Some(train), Device::Cpu), few);
    }

    #[test]
    fn a_pass_without_gradients_holds_one_moment_of_a_layer() {
        // 2 x 8 and 3 x 16 numbers of 100 tokens.
        assert_eq!(CPU.reading(&size(), 100.0), 4.0 * 100.0 * 64.0);
        assert_eq!(GPU.logits(1e6, 1e6), 3.0 * 33_554_432.0);
    }
}
