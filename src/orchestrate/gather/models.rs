//! The models of the design.

use tutelage_reports::study::Model;

use super::Collecting;
use crate::experiment::settings;
use crate::models::config::Config;
use crate::orchestrate::kind::StageKind;
use crate::orchestrate::plan::hub;
use crate::orchestrate::plan::stage::Stage;
use crate::orchestrate::stages::{Job, model};

impl Collecting<'_> {
    /// Describes every model of the design whose weights are here.
    pub(super) fn models(&self) -> anyhow::Result<Vec<Model>> {
        let mut models = Vec::new();
        for (name, model) in &self.checked.experiment.models {
            let (folder, origin) = match model {
                settings::Model::Checkpoint(checkpoint) => (hub::locate(checkpoint), origin(checkpoint)),
                settings::Model::Scratch(_) => {
                    let pretrain = |stage: &&Stage| stage.kind == StageKind::Pretrain && self.pretrains(stage, name);
                    let stage = self.plan.stages.iter().find(pretrain);
                    let folder = match stage {
                        Some(stage) => self.output(&stage.key)?,
                        None => None,
                    };
                    (folder, "trained from scratch".to_owned())
                }
            };
            let Some(folder) = folder else { continue };
            let config = Config::read(&folder)?;
            models.push(Model {
                name: name.clone(),
                architecture: config.family.name.to_owned(),
                parameters: config.parameters(),
                vocabulary: config.vocab_size.unsigned_abs(),
                vocabulary_id: model::tokenizer(&folder)?.vocabulary_id(),
                origin,
            });
        }
        Ok(models)
    }

    /// Says whether a stage trains the model of a name: two models of one shape are one stage.
    fn pretrains(&self, stage: &Stage, name: &str) -> bool {
        let Job::Pretrain(job) = &stage.job else { return false };
        match &self.checked.experiment.models[name] {
            settings::Model::Scratch(scratch) => {
                let tokenizers = &self.checked.experiment.tokenizers;
                let same_tokenizer = tokenizers.get(&job.model.tokenizer) == tokenizers.get(&scratch.tokenizer);
                let mut shape = scratch.clone();
                shape.tokenizer.clone_from(&job.model.tokenizer);
                same_tokenizer && shape == job.model
            }
            settings::Model::Checkpoint(_) => false,
        }
    }
}

/// Says where a checkpoint is from: of a branch or a tag of the hub also the commit that it was.
fn origin(checkpoint: &str) -> String {
    match hub::commit(checkpoint) {
        Some(commit) if !checkpoint.ends_with(&format!("@{commit}")) => format!("{checkpoint}, commit {commit}"),
        _ => checkpoint.to_owned(),
    }
}
