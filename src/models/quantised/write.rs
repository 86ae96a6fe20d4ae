//! Checkpoints of quantised models, as transformers and bitsandbytes read them.

use std::path::Path;

use tch::Device;

use super::stored::format_name;
use super::{Quantisation, configuration};
use crate::experiment::settings::BaseFormat;
use crate::files;
use crate::models::ModelError;
use crate::models::block::Layer;
use crate::models::decoder::{Decoder, HEAD};
use crate::models::layers::Weight;
use crate::models::weights::{SHARD_BYTES, save};

/// Quantises the matrices in the layers of the checkpoint in `source` and writes `config.json` and weights to
/// `target`, which transformers and bitsandbytes open; with `doubles`, scales of four bits are quantised, too.
///
/// Embeddings, head, norms and biases stay as the files hold them. One matrix at a time is there number by number:
/// it takes the memory of the quantised model and of that. Tokenizer and other files are left to the caller.
///
/// # Errors
/// As for [`Decoder::load`]; when the checkpoint is quantised already, in another way than asked for; when `target`
/// is the same folder, or a file cannot be written there.
///
/// # Panics
/// When the format is that of weights that are not quantised.
pub fn quantise(source: &Path, target: &Path, format: BaseFormat, doubles: bool) -> Result<(), ModelError> {
    let asked = super::quantisation(format, doubles);
    assert!(asked.is_some(), "a format of quantised weights");
    if let (Ok(source), Ok(target)) = (source.canonicalize(), target.canonicalize())
        && source == target
    {
        let problem = "it is to be written to the folder that it is read from, expected another one".to_owned();
        return Err(ModelError::Config { path: source, problem });
    }
    Decoder::load_as_stored(source, Device::Cpu, asked)?.save_quantised(target)
}

impl Decoder {
    /// Keeps the matrices of the layers in few bits from now on; those that are already stay as they are.
    ///
    /// # Panics
    /// When the format is that of weights that are not quantised.
    pub fn quantise(&mut self, format: BaseFormat, doubles: bool) {
        for linear in self.layers.iter_mut().flat_map(Layer::linears_mut) {
            let weight = std::mem::replace(&mut linear.weight, Weight::none());
            linear.weight = weight.quantised(format, doubles);
        }
    }

    /// Returns how the matrices of the layers are kept: those in few bits, if there are any.
    pub fn quantisation(&self) -> Quantisation {
        let mut linears = self.layers.iter().flat_map(Layer::linears);
        linears.find_map(|linear| match &linear.weight {
            Weight::Dense(_) => None,
            Weight::Quantised(weight) => weight.quantisation(),
        })
    }

    /// Writes `config.json` and the weights as transformers and bitsandbytes read them: those in few bits by their
    /// codes, the others in the formats that they have; adapters left out. Written in shards where it is large.
    ///
    /// # Errors
    /// When a file cannot be written.
    ///
    /// # Panics
    /// When no weight is in few bits.
    pub fn save_quantised(&self, folder: &Path) -> Result<(), ModelError> {
        let kept = self.quantisation().expect("weights in few bits");
        let mut tensors = self.stored(None);
        let mut skipped = Vec::new();
        for (i, layer) in (0..).zip(&self.layers) {
            let prefix = self.config.prefix(i);
            for linear in layer.linears() {
                match &linear.weight {
                    Weight::Dense(_) => skipped.push(format!("{prefix}{}", linear.name)),
                    Weight::Quantised(weight) => {
                        tensors.extend(weight.tensors(&format!("{prefix}{}.weight", linear.name)));
                    }
                }
            }
        }
        // Where any are named, transformers leaves out none by itself.
        if !skipped.is_empty() {
            skipped.push(HEAD.trim_end_matches(".weight").to_owned());
        }
        let mut configuration = self.config.written(format_name(self.kind()));
        configuration["quantization_config"] =
            configuration::written(kept, Some(&*skipped).filter(|skipped| !skipped.is_empty()));
        files::write(&folder.join("config.json"), format!("{configuration:#}\n").as_bytes())?;
        save(folder, &tensors, SHARD_BYTES)
    }
}
