//! `tutelage fetch`: downloads models from the Hugging Face hub.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::Verdict;
use super::output::Output;
use super::plan::size;
use super::study::{Opened, StudyArgs};
use super::transfer::Transfer;
use crate::experiment::Checked;
use crate::hub::{Content, Hub, HubError, Name, Settings};
use crate::orchestrate::stages::with_hint;

/// Downloads models from the Hugging Face hub into its local cache; computes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Downloads what is used and not here: configuration, tokenizer, safetensors with their index; never
pickles (.bin). Whatever stops it, it goes on where it stopped; sizes and hashes are verified, and
several processes may fetch at once. What is here is not asked for again, so without network it is
enough that the cache is here. `tutelage run` fetches by itself: this command is for machines that
compute without network, and for a look at what is downloaded.

The cache is that of the hub's own tools, and so are the variables:
  HF_HUB_CACHE, HF_HOME   where it is: $HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub
  HF_TOKEN                who asks, for private models and those with a licence to accept;
                          without it the file `token` of `hf auth login` is read
  HF_ENDPOINT             a mirror of the hub
  HF_HUB_OFFLINE=1        asks nothing of the network
  HTTPS_PROXY, NO_PROXY   a proxy; SSL_CERT_FILE: certificates to trust instead of Mozilla's

To take a model to a machine without network, copy its folder models--ORG--NAME from one cache to
the other. A name without @REVISION means the branch main as it was when it was downloaded; name a
whole commit hash to mean the same files for ever.

Prints the folder of each model.

Examples:
  tutelage fetch experiments/kd-telecom-qa.toml
  tutelage fetch hf:mistralai/Mistral-7B-v0.1
  tutelage fetch hf:org/name@v1.0 --verify
  HF_TOKEN=hf_... tutelage fetch hf:meta-llama/Llama-2-7b-hf")]
pub struct Fetch {
    /// The model, `hf:organisation/name` or `hf:organisation/name@revision` (a branch, a tag or a commit); or
    /// an experiment file, for all models that it uses.
    #[arg(value_name = "MODEL|EXPERIMENT")]
    what: String,
    /// Changes a setting of the experiment, as in `tutelage run`; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Of the model only the tokenizer: for experiments that name it as `tokenizers.NAME.file.path`.
    #[arg(long)]
    tokenizer: bool,
    /// Hashes what is here, and downloads damaged files again.
    #[arg(long)]
    verify: bool,
    /// Asks the hub what a branch or tag is now, and downloads what is new.
    #[arg(long)]
    update: bool,
}

/// What of which model.
type Wanted = (Name, Content);

#[derive(Serialize)]
struct Row {
    name: String,
    commit: String,
    folder: PathBuf,
    downloaded_bytes: u64,
}

impl Fetch {
    /// Downloads what is missing.
    ///
    /// # Errors
    /// A name that is none; what keeps a model from being downloaded, with its remedy.
    pub fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let wanted = if Name::is_meant(&self.what) {
            let name = Name::parse(&self.what).map_err(|error| with_hint(error.hint(), error))?;
            vec![(name, if self.tokenizer { Content::Tokenizer } else { Content::Model })]
        } else {
            let study = StudyArgs { experiment: Path::new(&self.what).to_owned(), set: self.set.clone() };
            let Some(Opened { checked, .. }) = study.open(output)? else { return Ok(Verdict::Bad) };
            used(&checked)
        };
        if wanted.is_empty() {
            output.say(&format!("`{}` uses no model of the hub", self.what));
        }
        let rows = self.fetch(&wanted, output).map_err(told)?;
        output.result(&rows, || rows.iter().map(|row| format!("{}\n", row.folder.display())).collect())?;
        Ok(Verdict::Good)
    }

    fn fetch(&self, wanted: &[Wanted], output: &Output) -> Result<Vec<Row>, HubError> {
        let hub = Hub::open(Settings::from_environment())?;
        let mut missing = Vec::new();
        for (name, content) in wanted {
            if self.verify {
                for file in hub.cache().discard_damaged(name)? {
                    output.warn(&format!("{name}: `{file}` is damaged and downloaded again"));
                }
            }
            // A commit is what it is.
            if hub.found(name, *content).is_none() || (self.update && name.commit().is_none()) {
                missing.push((name.clone(), *content));
            } else {
                output.say(&format!("{name}: is here"));
            }
        }
        let downloaded = fetch(&hub, &missing, output)?;
        let row = |it: &Wanted| {
            let found = hub.found(&it.0, it.1)?;
            let bytes = missing.iter().zip(&downloaded).find(|(missing, _)| *missing == it);
            let downloaded_bytes = bytes.map_or(0, |(_, bytes)| *bytes);
            Some(Row { name: it.0.to_string(), commit: found.commit, folder: found.folder, downloaded_bytes })
        };
        Ok(wanted.iter().filter_map(row).collect())
    }
}

/// Downloads the hub's models of an experiment that are not here; says whether there were any.
///
/// # Errors
/// What keeps a model from being downloaded, with its remedy.
pub fn fetch_missing(checked: &Checked, output: &Output) -> anyhow::Result<bool> {
    let used = used(checked);
    if used.is_empty() {
        return Ok(false);
    }
    let hub = Hub::open(Settings::from_environment()).map_err(told)?;
    let missing: Vec<Wanted> = used.into_iter().filter(|(name, content)| hub.found(name, *content).is_none()).collect();
    fetch(&hub, &missing, output).map_err(told)?;
    Ok(!missing.is_empty())
}

/// Lists what an experiment uses of the hub: models, and the tokenizers of others.
fn used(checked: &Checked) -> Vec<Wanted> {
    let models: BTreeSet<Name> = checked.checkpoints().into_iter().filter_map(|it| Name::parse(it).ok()).collect();
    let tokenizers: BTreeSet<Name> =
        checked.tokenizers().into_iter().filter_map(|path| Name::parse(path.to_str()?).ok()).collect();
    let others: Vec<Wanted> = tokenizers.difference(&models).map(|name| (name.clone(), Content::Tokenizer)).collect();
    models.into_iter().map(|name| (name, Content::Model)).chain(others).collect()
}

/// Downloads one after another, once it is known that all of them fit on the disk; returns the bytes of each
/// that were missing.
fn fetch(hub: &Hub, wanted: &[Wanted], output: &Output) -> Result<Vec<u64>, HubError> {
    let mut orders = Vec::new();
    for (name, content) in wanted {
        let order = hub.order(name, *content, &mut Transfer::new(*output, String::new(), 0))?;
        let (files, commit) = (order.files(), order.commit());
        let (bytes, missing) = (size(order.bytes), size(order.missing_bytes));
        output.say(&format!("{name}: {files} files, {bytes}, of commit {commit}; {missing} to download"));
        orders.push(order);
    }
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    hub.check_room(&orders)?;
    for order in &orders {
        let mut transfer = Transfer::new(*output, order.name().to_string(), order.missing_bytes);
        hub.fetch(order, &mut transfer)?;
        transfer.close();
    }
    Ok(orders.iter().map(|order| order.missing_bytes).collect())
}

fn told(error: HubError) -> anyhow::Error {
    with_hint(&error.hint(), error)
}
