//! The stage `prepare` of a tokenizer: trained on texts of the training split, or copied.

use serde::{Deserialize, Serialize};

use super::around::Surroundings;
use super::cost::{Cost, Scene};
use super::{Work, data, with_hint};
use crate::data::Tokenizer;
use crate::experiment::settings::TokenizerSource;
use crate::orchestrate::kind::StageKind;

/// Makes a tokenizer. Input: `data` if it is trained, `source` if it is read. Output:
/// `tokenizer.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TokenizerJob {
    /// The settings.
    pub tokenizer: TokenizerSource,
}

impl Work for TokenizerJob {
    fn kind(&self) -> StageKind {
        StageKind::Prepare
    }

    fn version(&self) -> u32 {
        // 2: classes that read their files otherwise, and tokens beside `tokenizer.json`, as transformers.
        2
    }

    fn reset(&mut self) {
        match &mut self.tokenizer {
            TokenizerSource::File { path } => path.clear(),
            TokenizerSource::ByteLevelBpe { data, .. } | TokenizerSource::Unigram { data, .. } => *data = None,
        }
    }

    fn cost(&self, _scene: &Scene<'_>) -> Cost {
        Cost::of_disk(1e6)
    }

    fn run(&self, around: Surroundings<'_>) -> anyhow::Result<()> {
        let tokenizer = match &self.tokenizer {
            TokenizerSource::File { .. } => Tokenizer::load(around.inputs.get("source")?),
            trained => {
                let texts = data::wordings(around.inputs.get("data")?)?.collect::<anyhow::Result<Vec<String>>>()?;
                Tokenizer::train(trained, &texts)
            }
        };
        let tokenizer = tokenizer.map_err(|error| with_hint(error.hint(), error))?;
        Ok(tokenizer.save(&around.folder.output())?)
    }
}
