//! What adapters are added to, and in which numbers the sum is kept.

use anyhow::bail;
use serde::{Serialize, Serializer};
use tch::Kind;

use super::format_of;
use super::settings::{Base, Numbers};
use crate::models::decoder::Decoder;
use crate::models::quantised::Quantisation;
use crate::orchestrate::stages::inputs::Inputs;
use crate::orchestrate::stages::model;

/// Says what is merged into what.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Merge {
    /// Adapters, each on those before.
    pub adapters: usize,
    /// How the base was kept that they were trained on: in few bits, or as its files have it.
    #[serde(serialize_with = "in_words")]
    pub trained_on: Quantisation,
    /// What they are added to; none without adapters.
    pub base: Option<Base>,
}

fn in_words<S: Serializer>(trained_on: &Quantisation, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_of(*trained_on).unwrap_or_else(|| "full".to_owned()))
}

impl Merge {
    /// Decides what the adapters of a model are added to; `asked` is what the user asks for.
    ///
    /// # Errors
    /// Adapters that were trained on a base in few bits, where nothing is asked for: both choices. A choice where
    /// there is none.
    pub fn of(inputs: &Inputs, asked: Option<Base>) -> anyhow::Result<Self> {
        let adapters = inputs.iter().filter(|(name, _)| name.starts_with("adapter")).count();
        let trained_on = model::trained_on(inputs, "adapter")?;
        let base = match (adapters, format_of(trained_on), asked) {
            (0, _, Some(base)) => bail!(
                "`--base {}` is given, but there are no adapters\nhint: leave it out: the model is written as it is",
                base.name()
            ),
            (0, _, None) => None,
            (_, None, Some(Base::Dequantised)) => bail!(
                "`--base dequantised` is given, but the adapters were trained on the base as its files have it\n\
                 hint: leave `--base` out"
            ),
            (_, None, _) => Some(Base::Full),
            (_, Some(format), None) => bail!(
                "the adapters were trained on a base in {format}: there are two bases to add them to\n\
                 hint: `--base dequantised` adds them to what its codes stand for: the model computes what it did \
                 in training\n\
                 hint: `--base full` adds them to the base's own weights, which they never saw in training: what they \
                 learned to make up for is not there; often done, because it is one model with the published base"
            ),
            (_, Some(_), Some(base)) => Some(base),
        };
        Ok(Self { adapters, trained_on, base })
    }

    /// Returns how the base is to be kept that adapters are added to, where it is not the one that they were trained
    /// on.
    #[must_use]
    pub fn another_base(&self) -> Option<Quantisation> {
        (self.base == Some(Base::Full) && self.trained_on.is_some()).then_some(None)
    }

    /// Says it in a sentence.
    #[must_use]
    pub fn in_words(&self) -> String {
        let several = if self.adapters == 1 { "The adapter was" } else { "The adapters were" };
        match (self.base, format_of(self.trained_on)) {
            (None, _) => "Nothing was merged: the weights are those of the model.".to_owned(),
            (Some(_), None) => format!("{several} added to the base's weights in f32."),
            (Some(Base::Dequantised), Some(format)) => {
                format!("{several} trained on a base in {format} and added to what its codes stand for, in f32.")
            }
            (Some(Base::Full), Some(format)) => format!(
                "{several} trained on a base in {format} and added to the base's own weights, which are others, in f32."
            ),
        }
    }
}

/// Rounds all weights, one after another: the model is never there twice.
pub fn round(decoder: &mut Decoder, kind: Kind) {
    for parameter in decoder.parameters_mut() {
        *parameter.tensor = parameter.tensor.detach().to_kind(kind);
    }
}

/// Makes sure that rounding left numbers.
///
/// # Errors
/// The first parameter with a number beyond the range of the format.
pub fn check_range(decoder: &Decoder, numbers: Numbers) -> anyhow::Result<()> {
    for (name, tensor) in decoder.parameters() {
        let beyond = tensor.isfinite().logical_not().sum(Kind::Int64).int64_value(&[]);
        if beyond > 0 {
            bail!(
                "`{name}` holds {beyond} numbers beyond the range of {}\nhint: `--dtype bf16` has the range of f32",
                numbers.name()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::files;

    fn inputs(folder: &Path, adapters: &[&str]) -> Inputs {
        let chain = adapters.iter().enumerate();
        let chain = chain.map(|(place, name)| (model::link("adapter", place), folder.join(name)));
        std::iter::once(("model".to_owned(), folder.join("model"))).chain(chain).collect()
    }

    #[test]
    fn what_a_base_in_four_bits_is_merged_into_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for name in ["plain", "four"] {
            std::fs::create_dir(at.join(name)).unwrap();
        }
        let kept = br#"{"format": "nf4", "double-quantisation": true}"#;
        files::write(&at.join("four/quantisation.json"), kept).unwrap();
        let of = |adapters: &[&str], asked| Merge::of(&inputs(at, adapters), asked);
        let refused = of(&["four"], None).unwrap_err().to_string();
        assert_eq!(
            refused,
            "the adapters were trained on a base in nf4 with double quantisation: there are two bases to add them to\n\
             hint: `--base dequantised` adds them to what its codes stand for: the model computes what it did in \
             training\n\
             hint: `--base full` adds them to the base's own weights, which they never saw in training: what they \
             learned to make up for is not there; often done, because it is one model with the published base"
        );
        let full = of(&["four"], Some(Base::Full)).unwrap();
        assert_eq!((full.base, full.another_base()), (Some(Base::Full), Some(None)));
        assert!(full.in_words().ends_with("added to the base's own weights, which are others, in f32."));
        let dequantised = of(&["four", "four"], Some(Base::Dequantised)).unwrap();
        assert_eq!((dequantised.adapters, dequantised.another_base()), (2, None));
        assert_eq!(
            serde_json::to_value(&dequantised).unwrap(),
            serde_json::json!({"adapters": 2, "trained_on": "nf4 with double quantisation", "base": "dequantised"})
        );
        // Where there is no choice, none is taken and none is needed.
        assert_eq!(of(&["plain"], None).unwrap().base, Some(Base::Full));
        assert_eq!(of(&["plain"], Some(Base::Full)).unwrap().another_base(), None);
        assert_eq!(of(&[], None).unwrap().base, None);
        assert!(of(&["plain"], Some(Base::Dequantised)).unwrap_err().to_string().contains("as its files have it"));
        assert!(of(&[], Some(Base::Full)).unwrap_err().to_string().contains("there are no adapters"));
        assert!(of(&["four", "plain"], Some(Base::Full)).unwrap_err().to_string().contains("several formats"));
    }
}
