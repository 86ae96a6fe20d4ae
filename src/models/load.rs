//! A decoder from the files of a checkpoint: tensor by tensor, and every misfit told at once.

use std::collections::BTreeSet;
use std::path::Path;

use tch::{Device, Kind};

use super::config::Config;
use super::decoder::{Decoder, HEAD, build};
use super::families::{Described, Role};
use super::layers::Weight;
use super::quantised::stored::{Found, Reading};
use super::quantised::{Quantisation, in_words};
use super::weights::Checkpoint;
use super::{Misfits, ModelError};
use crate::experiment::settings::BaseFormat;

impl Decoder {
    /// Loads a checkpoint folder into `kind` on `device`. Weights that it keeps in few bits stay so, with its codes.
    ///
    /// # Errors
    /// When files are missing or damaged, when weights are missing, left over, of another shape than
    /// `config.json` says or hold no numbers (all misfits at once), and when a head is stored that
    /// differs from the embedding it is tied to.
    pub fn load(folder: &Path, kind: Kind, device: Device) -> Result<Self, ModelError> {
        Self::load_as(folder, kind, device, None)
    }

    /// Loads a checkpoint folder as [`Self::load`] does; the matrices of layers are quantised as they are
    /// read, one by one, from what the file holds: the whole model is never there otherwise.
    ///
    /// # Errors
    /// As for [`Self::load`]; when the checkpoint is quantised already, in another way.
    pub fn load_as(folder: &Path, kind: Kind, device: Device, quantised: Quantisation) -> Result<Self, ModelError> {
        load(folder, Some(kind), device, quantised)
    }

    /// Loads a checkpoint folder as [`Self::load_as`] does, each parameter in the format of the file: to be written
    /// again, not to compute with.
    ///
    /// # Errors
    /// As for [`Self::load_as`].
    pub(super) fn load_as_stored(folder: &Path, device: Device, quantised: Quantisation) -> Result<Self, ModelError> {
        load(folder, None, device, quantised)
    }

    /// Says whether a tensor of a checkpoint follows from what is read: angles, masks, a tied head.
    fn is_derived(&self, name: &str) -> bool {
        name.ends_with("rotary_emb.inv_freq")
            || name.ends_with(".attn.bias")
            || name.ends_with(".attn.masked_bias")
            || (name == HEAD && self.lm_head.is_none())
    }
}

fn load(folder: &Path, kind: Option<Kind>, device: Device, asked: Quantisation) -> Result<Decoder, ModelError> {
    let config = Config::read(folder)?;
    let kept = config.quantisation;
    if kept.is_some() && asked.is_some() && kept != asked {
        let (kept, asked) = (in_words(kept), in_words(asked));
        let problem = format!("`quantization_config` says {kept}, expected {asked} or weights that are not quantised");
        return Err(ModelError::Config { path: folder.join("config.json"), problem });
    }
    let checkpoint = Checkpoint::open(folder)?;
    let (mut misfits, mut used) = (Misfits::default(), BTreeSet::new());
    let mut files =
        Files { checkpoint: &checkpoint, kind, device, kept, asked, misfits: &mut misfits, used: &mut used };
    let decoder = build(config, &mut |described| files.read(&described))?;
    for name in checkpoint.names() {
        if !used.contains(name) && !decoder.is_derived(name) {
            misfits.add(format!("`{name}` is not part of the model"));
        }
    }
    if kept.is_some() && !decoder.is_quantised() {
        misfits.add(format!("no weight is in {}, as `quantization_config` says", in_words(kept)));
    }
    // A tied head that is stored as well is the embedding once more. Where it differs, some
    // versions of transformers take it and some do not: nobody can say which model is meant.
    if decoder.lm_head.is_none()
        && decoder.embed_tokens.numel() > 0
        && let Some(head) = checkpoint.read(HEAD, decoder.kind(), device)?
        && !head.equal(&decoder.embed_tokens)
    {
        misfits.add(format!("`{HEAD}` differs from the embedding, expected `tie_word_embeddings` to be false"));
    }
    misfits.check(folder)?;
    Ok(decoder)
}

/// The files of a checkpoint, and how parameters are read from them.
struct Files<'a> {
    checkpoint: &'a Checkpoint,
    /// Format of the parameters; none for that of the file.
    kind: Option<Kind>,
    device: Device,
    /// How the matrices of layers are kept there.
    kept: Quantisation,
    /// How they are to be kept here, where the file has them as they are.
    asked: Quantisation,
    misfits: &'a mut Misfits,
    /// Names of tensors that were read.
    used: &'a mut BTreeSet<String>,
}

impl Files<'_> {
    fn read(&mut self, described: &Described) -> Result<Weight, ModelError> {
        let Described { role, shape, is_transposed, .. } = described;
        let (checkpoint, device) = (self.checkpoint, self.device);
        let name = checkpoint.name_of(&described.name);
        let quantised = |kept: Quantisation| kept.filter(|_| described.is_quantisable());
        if let (Some(kept), &[out, width]) = (quantised(self.kept), &shape[..]) {
            let mut reading = Reading { checkpoint, kept, device, misfits: self.misfits, used: self.used };
            match reading.weight(name, [out, width])? {
                Found::Quantised(weight) => return Ok(Weight::Quantised(weight)),
                Found::Misfit => return Ok(Weight::none()),
                Found::Dense => {}
            }
        }
        let asked = quantised(self.asked).filter(|_| self.kept.is_none());
        let of_file = checkpoint.kind(name).unwrap_or(Kind::Float);
        let kind = match asked {
            None => self.kind.unwrap_or(of_file),
            // What is beyond its range is told as no number.
            Some((BaseFormat::Int8, _)) => Kind::Half,
            Some(_) => of_file,
        };
        let stored: Vec<i64> = if *is_transposed { shape.iter().rev().copied().collect() } else { shape.clone() };
        self.used.insert(name.to_owned());
        match checkpoint.shape(name) {
            None => self.misfits.add(format!("`{name}` is missing")),
            Some(found) if found != stored => {
                self.misfits.add(format!("`{name}` has shape {found:?}, expected {stored:?}"));
            }
            Some(_) => {
                if let Some(tensor) = checkpoint.read_weights(name, kind, device, self.misfits)? {
                    let turned = *is_transposed && *role == Role::Matrix;
                    let weight = Weight::Dense(if turned { tensor.tr().contiguous() } else { tensor });
                    return Ok(match asked {
                        Some((format, doubles)) => weight.quantised(format, doubles),
                        None => weight,
                    });
                }
            }
        }
        Ok(Weight::none())
    }
}
