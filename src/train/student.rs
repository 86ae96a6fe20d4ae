//! A model in training: which of its parameters are trained, and how a gradient of its hidden
//! states becomes a gradient of them.

use std::collections::BTreeMap;

use tch::{Kind, Tensor, no_grad};

use super::batch::Batch;
use crate::data::encode::Sequence;
use crate::device::{Compute, Seed};
use crate::experiment::settings::Tuning;
use crate::models::block::Layer;
use crate::models::cross_entropy;
use crate::models::decoder::{self, Decoder, HEAD};
use crate::models::families::Role;
use crate::tuning::flat::{Flat, Group, Parameter};
use crate::tuning::lora::{self, Trainable, Trained};

/// Tokens of one forward pass without gradients.
pub const INFERENCE_TOKENS: usize = 8192;

/// A decoder with its trainable parameters.
#[derive(Debug)]
pub struct Student {
    /// The model.
    pub decoder: Decoder,
    tuning: Tuning,
    weight_decay: f64,
    kind: Kind,
    recomputes: bool,
}

impl Student {
    /// Returns the number format to load a base model in: what stays frozen under adapters needs no
    /// more than the compute format, weights to be trained are f32 masters.
    pub fn base_kind(tuning: &Tuning, compute: Compute) -> Kind {
        match tuning {
            Tuning::Full {} => Kind::Float,
            Tuning::Lora(_) => compute.kind(),
        }
    }

    /// Prepares `decoder` for training: adds adapters and freezes the rest in the compute format, or
    /// leaves all weights, which are f32 then, to be trained.
    pub fn new(mut decoder: Decoder, tuning: &Tuning, weight_decay: f64, compute: Compute, seed: Seed) -> Self {
        if let Tuning::Lora(settings) = tuning {
            // What is trained as a whole keeps its numbers: it becomes masters in f32.
            let is_whole = |name: &str| lora::is_saved(name, settings);
            for parameter in decoder.parameters_mut().into_iter().filter(|parameter| !is_whole(&parameter.name)) {
                *parameter.tensor = parameter.tensor.to_kind(compute.kind());
            }
            // Adapters that are there already are trained on.
            if decoder.layers.iter().flat_map(Layer::linears).all(|linear| linear.adapter.is_none()) {
                lora::attach(&mut decoder, settings, seed);
            }
        }
        Self { decoder, tuning: tuning.clone(), weight_decay, kind: compute.kind(), recomputes: false }
    }

    /// Takes the trained weights in f32 from the buffer, to be written.
    pub fn adopt(&mut self, flat: &Flat) {
        let named: BTreeMap<String, Tensor> = flat.named().into_iter().collect();
        for parameter in self.parameters() {
            if let Some(trained) = named.get(&parameter.name) {
                *parameter.tensor = trained.shallow_clone();
            }
        }
    }

    /// Returns the decoupled weight decay of decayed parameters.
    pub fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    /// Returns the number format of the model's products.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Lists the trained parameters. Norms and biases are not decayed (DSKD's and
    /// transformers' convention); adapters are.
    pub fn parameters(&mut self) -> Vec<Parameter<'_>> {
        let weight_decay = self.weight_decay;
        let group =
            |role: Role| Group { lr_factor: 1.0, weight_decay: if role.is_spared() { 0.0 } else { weight_decay } };
        match &self.tuning {
            Tuning::Full {} => {
                let all = self.decoder.parameters_mut().into_iter();
                all.map(|decoder::Parameter { name, role, tensor, .. }| Parameter {
                    group: group(role),
                    is_table: is_table(role, &name),
                    name,
                    tensor,
                })
                .collect()
            }
            Tuning::Lora(settings) => {
                let of = |part: Trainable| match part {
                    Trainable::Down | Trainable::Lengths => Group { lr_factor: 1.0, weight_decay },
                    Trainable::Up => Group { lr_factor: settings.loraplus_lr_ratio.unwrap_or(1.0), weight_decay },
                    Trainable::Whole(role) => group(role),
                };
                let all = lora::trained(&mut self.decoder, settings).into_iter();
                all.map(|Trained { name, part, tensor }| Parameter {
                    group: of(part),
                    is_table: matches!(part, Trainable::Whole(role) if is_table(role, &name)),
                    name,
                    tensor,
                })
                .collect()
            }
        }
    }

    /// Has layers compute their activations again on the way back instead of keeping them.
    #[must_use]
    pub fn recomputing(self, recomputes: bool) -> Self {
        Self { recomputes, ..self }
    }

    /// Goes through the model and back, as [`Batch::pass`] does.
    ///
    /// # Errors
    /// Those of `differentiate`.
    pub fn pass<T, E>(
        &self,
        batch: &Batch,
        differentiate: impl FnOnce(&Tensor) -> Result<(T, Tensor), E>,
    ) -> Result<T, E> {
        batch.pass(&self.decoder, self.recomputes, differentiate)
    }

    /// Returns the mean negative log-likelihood of `sequences` in nats per response token.
    pub fn loss(&self, sequences: &[Sequence]) -> Option<f64> {
        let (sum, tokens) = self.nats(sequences);
        (tokens > 0).then(|| sum / tokens as f64)
    }

    /// Returns the negative log-likelihood of `sequences` in nats, and their response tokens.
    pub fn nats(&self, sequences: &[Sequence]) -> (f64, i64) {
        no_grad(|| {
            let (mut sum, mut tokens) = (0.0, 0);
            let mut rest = sequences;
            while !rest.is_empty() {
                let mut total = 0;
                let fits = rest.iter().take_while(|sequence| {
                    total += sequence.tokens.len();
                    total <= INFERENCE_TOKENS
                });
                let count = fits.count().max(1);
                let batch = Batch::new(&rest[..count].iter().collect::<Vec<_>>(), self.decoder.device());
                let hidden = batch.hidden(&self.decoder);
                sum += cross_entropy::per_token(&hidden, self.decoder.head(), &batch.labels)
                    .sum(Kind::Double)
                    .double_value(&[]);
                tokens += batch.response_lengths.iter().sum::<i64>();
                rest = &rest[count..];
            }
            (sum, tokens)
        })
    }
}

/// Says whether a parameter is an embedding, also where that is the head, too.
fn is_table(role: Role, name: &str) -> bool {
    role == Role::Table && name != HEAD
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tch::Device;

    use super::*;
    use crate::device::Precision;
    use crate::experiment::settings::Lora;
    use crate::tuning::peft;

    #[test]
    fn up_projections_learn_faster_where_asked() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
        let decoder = Decoder::load(&models.join("llama"), Kind::Float, Device::Cpu).unwrap();
        let modules_to_save = ["norm", "lm_head"].map(str::to_owned).to_vec();
        let settings = Lora { loraplus_lr_ratio: Some(16.0), modules_to_save, ..Lora::default() };
        let mut student = Student::new(decoder, &Tuning::Lora(settings), 0.1, Compute::reference(), Seed(1));
        let told = |parameter: &Parameter<'_>| {
            let last = parameter.name.rsplit_once("proj.").map_or(&*parameter.name, |(_, last)| last);
            (last.to_owned(), parameter.group.lr_factor, parameter.group.weight_decay)
        };
        let mut groups: Vec<(String, f64, f64)> = student.parameters().iter().map(told).collect();
        groups.dedup();
        let group = |name: &str, factor, decay| (name.to_owned(), factor, decay);
        // A and B of queries and values in two layers, then what is trained as a whole: norms do not decay.
        assert_eq!(groups[..2], [group("lora_A", 1.0, 0.1), group("lora_B", 16.0, 0.1)]);
        assert_eq!(groups[8..], [group("model.norm.weight", 1.0, 0.0), group("lm_head.weight", 1.0, 0.1)]);
    }

    #[test]
    fn a_frozen_base_is_loaded_in_the_compute_format_to_the_same_numbers() {
        let compute = Compute { precision: Precision::Bf16, ..Compute::reference() };
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
        let sequences = [Sequence { example: 0, tokens: vec![3, 14, 15, 9, 2, 6, 5], response_start: 3 }];
        let prepared = |kind| {
            let mut decoder = Decoder::load(&models.join("llama"), kind, Device::Cpu).unwrap();
            let settings = peft::load(&mut decoder, Kind::Float, &models.join("llama-adapter")).unwrap();
            let mut student = Student::new(decoder, &Tuning::Lora(settings), 0.0, compute, Seed(1));
            let flat = Flat::gather(student.parameters(), compute.kind());
            (flat, student)
        };
        let kind = Student::base_kind(&Tuning::Lora(Lora::default()), compute);
        assert_eq!((kind, Student::base_kind(&Tuning::Full {}, compute)), (Kind::BFloat16, Kind::Float));
        let ((wide, converted), (flat, loaded)) = (prepared(Kind::Float), prepared(kind));
        for ((name, one), (_, other)) in converted.decoder.parameters().iter().zip(loaded.decoder.parameters()) {
            assert!(one.equal(other), "{name}");
        }
        // The masters of the adapters keep what bf16 would round away.
        assert!(flat.master.equal(&wide.master));
        assert!(!flat.master.equal(&flat.master.to_kind(kind).to_kind(Kind::Float)));
        assert!(loaded.loss(&sequences).is_some());
        assert_eq!(loaded.loss(&sequences), converted.loss(&sequences));
    }
}
