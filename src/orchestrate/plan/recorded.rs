//! Planning as an earlier run did, to look at its results from another machine.
//!
//! The automatic number format and the number of threads depend on the machine, and a checkpoint that
//! is not here has no content to be known by. All are part of keys: without the record, a login node would find nothing
//! of what its GPU nodes computed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::device::Precision;
use crate::experiment::settings::PrecisionChoice;
use crate::experiment::{Checked, Key};
use crate::orchestrate::plan::stage::Source;
use crate::orchestrate::plan::{Plan, Site, plan};

/// A plan as an earlier run would make it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The plan.
    pub plan: Plan,
    /// What was taken from the record, in words.
    pub taken: Vec<String>,
}

/// Plans with what the last recorded plan tells of its machine: number format and threads where the
/// experiment leaves them open, whether it had a GPU, and the content of checkpoints that are not here. Whatever changed since in the
/// experiment, in files that are here or in the program changes keys as ever.
///
/// None where `own`, the plan of this machine, has every recorded stage that this one has.
///
/// # Errors
/// Source files or checkpoints that cannot be read.
pub fn as_recorded(
    checked: &Checked,
    record: &Plan,
    embedding_model: Option<PathBuf>,
    own: Option<&Plan>,
) -> anyhow::Result<Option<Recorded>> {
    let precision = match checked.experiment.compute.precision {
        PrecisionChoice::F32 => Precision::F32,
        PrecisionChoice::Bf16 => Precision::Bf16,
        PrecisionChoice::Auto => match record.precision() {
            Some(precision) => precision,
            None => return Ok(None),
        },
    };
    // On a GPU there are none, whatever the experiment says.
    let threads = record.threads().map(|threads| checked.experiment.compute.threads.unwrap_or(threads));
    let elsewhere: BTreeMap<String, Key> = externals(record)
        .filter(|(_, path, _)| path.is_some())
        .map(|(origin, _, key)| (origin.to_owned(), key.clone()))
        .collect();
    let site = Site { precision, threads, embedding_model, elsewhere };
    let plan = plan(checked, &site)?;
    let found = |key: &Key| plan.stage(key).is_some() && own.is_none_or(|own| own.stage(key).is_none());
    if own.is_some() && !record.stages.iter().any(|stage| found(&stage.key)) {
        return Ok(None);
    }
    let mut taken = Vec::new();
    let compute = &checked.experiment.compute;
    let facts = [
        (format_of(&plan), own.and_then(format_of), compute.precision == PrecisionChoice::Auto),
        (threads_of(&plan), own.and_then(threads_of), compute.threads.is_none()),
    ];
    for (there, here, is_open) in facts {
        match (there, here) {
            (Some(there), Some(here)) if here != there => {
                taken.push(format!("the recorded run computed {there}, this machine would {here}"));
            }
            (Some(there), None) if is_open => taken.push(format!("the recorded run computed {there}")),
            _ => {}
        }
    }
    let absent = externals(&plan).filter(|(origin, path, _)| path.is_none() && site.elsewhere.contains_key(*origin));
    let mut absent: Vec<&str> = absent.map(|(origin, ..)| origin).collect();
    absent.sort_unstable();
    absent.dedup();
    taken
        .extend(absent.into_iter().map(|origin| format!("`{origin}` is not on this machine, the recorded run had it")));
    Ok(Some(Recorded { plan, taken }))
}

/// Says in which number format a plan computes; none if it has nothing to compute.
fn format_of(plan: &Plan) -> Option<String> {
    Some(format!("in {}", plan.precision()?.name()))
}

/// Says on how many threads, likewise.
fn threads_of(plan: &Plan) -> Option<String> {
    plan.precision()?;
    Some(match plan.threads() {
        Some(1) => "with 1 thread".to_owned(),
        Some(threads) => format!("with {threads} threads"),
        None => "on a GPU".to_owned(),
    })
}

/// Lists what stages of a plan read from outside the store.
fn externals(plan: &Plan) -> impl Iterator<Item = (&str, &Option<PathBuf>, &Key)> {
    plan.stages.iter().flat_map(|stage| &stage.inputs).filter_map(|input| match &input.source {
        Source::External { origin, path, key, .. } => Some((origin.as_str(), path, key)),
        Source::Stage { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::settings::Model;
    use crate::files;
    use crate::orchestrate::plan::tests::{checked, site};

    fn planned(study: &Checked, precision: Precision) -> Plan {
        plan(study, &site(precision)).unwrap()
    }

    #[test]
    fn what_was_computed_in_another_format_is_found() {
        let study = checked(|_| ());
        let (record, own) = (planned(&study, Precision::Bf16), planned(&study, Precision::F32));
        let find = |study: &Checked, own: &Plan| as_recorded(study, &record, None, Some(own)).unwrap();
        let found = find(&study, &own).unwrap();
        assert_eq!(found.plan, record);
        assert_eq!(found.taken, ["the recorded run computed in bf16, this machine would in f32"]);
        assert_eq!(find(&study, &record), None);
        // A machine without the device that is asked for has no plan of its own.
        let found = as_recorded(&study, &record, None, None).unwrap().unwrap();
        let taken = ["the recorded run computed in bf16", "the recorded run computed with 1 thread"];
        assert_eq!((found.plan, found.taken), (record.clone(), taken.map(str::to_owned).to_vec()));

        // Where the experiment names a format, another one is another study.
        let named = checked(|experiment| experiment.compute.precision = PrecisionChoice::F32);
        assert_eq!(find(&named, &own), None);
        // What was changed since is not taken from the record.
        let changed = checked(|experiment| experiment.training.distill.lr *= 2.0);
        let found = find(&changed, &planned(&changed, Precision::F32)).unwrap();
        assert_eq!(found.plan, planned(&changed, Precision::Bf16));
    }

    #[test]
    fn what_was_computed_with_other_threads_or_on_a_gpu_is_found() {
        let with = |study: &Checked, threads| plan(study, &Site { threads, ..site(Precision::F32) }).unwrap();
        let study = checked(|_| ());
        let (one, many, gpu) = (with(&study, Some(1)), with(&study, Some(64)), with(&study, None));
        let find = |record: &Plan, own: &Plan| as_recorded(&study, record, None, Some(own)).unwrap().unwrap();
        let found = find(&many, &one);
        assert_eq!(found.plan, many);
        assert_eq!(found.taken, ["the recorded run computed with 64 threads, this machine would with 1 thread"]);
        let found = find(&gpu, &one);
        assert_eq!(found.plan, gpu);
        assert_eq!(found.taken, ["the recorded run computed on a GPU, this machine would with 1 thread"]);
        assert_eq!(find(&one, &gpu).plan, one);
        // Where the experiment names the threads, others are another study; on a GPU they are none.
        let named = checked(|experiment| experiment.compute.threads = Some(1));
        assert_eq!(as_recorded(&named, &many, None, Some(&one)).unwrap(), None);
        assert_eq!(as_recorded(&named, &gpu, None, Some(&one)).unwrap().unwrap().plan, gpu);
    }

    #[test]
    fn results_of_a_checkpoint_that_is_not_here_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("big");
        std::fs::create_dir(&checkpoint).unwrap();
        files::write(&checkpoint.join("config.json"), b"{}").unwrap();
        let name = checkpoint.display().to_string();
        let study = checked(|experiment| {
            experiment.models.insert("big".to_owned(), Model::Checkpoint(name.clone()));
        });
        let record = planned(&study, Precision::F32);
        std::fs::remove_dir_all(&checkpoint).unwrap();
        let own = planned(&study, Precision::F32);
        let found = as_recorded(&study, &record, None, Some(&own)).unwrap().unwrap();
        let keys = |plan: &Plan| -> Vec<Key> { plan.stages.iter().map(|stage| stage.key.clone()).collect() };
        assert_eq!(keys(&found.plan), keys(&record));
        assert_eq!(found.taken, [format!("`{name}` is not on this machine, the recorded run had it")]);

        // One that is here counts as it is.
        std::fs::create_dir(&checkpoint).unwrap();
        files::write(&checkpoint.join("config.json"), b"{\"vocab_size\": 2}").unwrap();
        assert_eq!(as_recorded(&study, &record, None, Some(&planned(&study, Precision::F32))).unwrap(), None);
    }
}
