//! `tutelage plan`: what is done, stale and why, missing, and what the rest will cost.

use std::collections::BTreeMap;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;

use super::Verdict;
use super::jobs::JobsArgs;
use super::output::{Output, columns};
use super::study::{Opened, StoreArgs, StudyArgs, embedding_model};
use crate::device::{self, Compute};
use crate::experiment::Checked;
use crate::experiment::settings::DeviceChoice;
use crate::orchestrate::estimate::machines::{MACHINES, Machine};
use crate::orchestrate::estimate::{Estimate, Estimator, Misfit, Needs};
use crate::orchestrate::execute::power::sources;
use crate::orchestrate::execute::progress::duration;
use crate::orchestrate::keep::event::{self, Event};
use crate::orchestrate::keep::store::Store;
use crate::orchestrate::plan::recorded::as_recorded;
use crate::orchestrate::plan::schedule::elapsed;
use crate::orchestrate::plan::stage::Stage;
use crate::orchestrate::plan::standing::{Standing, recorded, standings};
use crate::orchestrate::plan::{Plan, Site, plan};
use crate::orchestrate::stages::with_hint;

/// Shows every stage: done, stale and why, missing; and estimates time, memory, disk and energy.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs nothing and needs no checkpoint. Estimates are marked `~`; they use finished stages of the
same kind where the store has some, else the speed of a short matrix product. What they rest on,
assumptions included, is printed below the table. Of training that is done on a CPU, the memory
that the process held is shown beside the estimate. Stages that do not fit the memory are told, with
settings that save some. `tutelage status --help` explains the states.

With --on the plan is that of another machine, one stage at a time in bf16 unless the experiment
asks for f32: its states are what this store has of that machine's number format and threads, its
estimates come from published numbers and assumed shares of them.

Examples:
  tutelage plan experiments/quickstart.toml
  tutelage plan experiments/kd-telecom-qa.toml --set data.telequad.path=TeleQuAD.json --format json
  tutelage plan experiments/kd-telecom-qa.toml --set data.telequad.path=TeleQuAD.json --on a100-40gb")]
pub struct PlanCommand {
    #[command(flatten)]
    study: StudyArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    jobs: JobsArgs,
    /// Plans for another machine, from its maker's data sheet; nothing is measured here.
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "jobs",
        value_parser = PossibleValuesParser::new(MACHINES.map(|it| it.name)).try_map(|name| Machine::named(&name))
    )]
    on: Option<&'static Machine>,
}

/// Starts the device that an experiment asks for.
///
/// # Errors
/// A device that is not there.
pub fn start(checked: &Checked) -> anyhow::Result<Compute> {
    device::start(&checked.experiment.compute).map_err(|error| with_hint(error.hint(), error))
}

/// Plans for this machine.
///
/// # Errors
/// Source files that cannot be read.
pub fn on_this_machine(checked: &Checked, compute: Compute) -> anyhow::Result<Plan> {
    let (precision, threads) = (compute.precision, device::dividing_threads(compute.device));
    plan(checked, &Site { precision, threads, embedding_model: embedding_model(), elsewhere: BTreeMap::new() })
}

/// Plans for another machine.
///
/// # Errors
/// Source files that cannot be read.
fn on_another_machine(checked: &Checked, machine: &Machine) -> anyhow::Result<Plan> {
    let settings = &checked.experiment.compute;
    let (precision, threads) = (machine.compute(settings).precision, machine.threads(settings));
    plan(checked, &Site { precision, threads, embedding_model: embedding_model(), elsewhere: BTreeMap::new() })
}

/// Plans to look at what is in a store, perhaps computed on another machine; tells what it took from
/// the record of that run.
///
/// # Errors
/// A device that is not there, unless a run was recorded; source files that cannot be read.
pub fn as_computed(checked: &Checked, store: &Store, output: &Output) -> anyhow::Result<Plan> {
    let own = start(checked).and_then(|compute| on_this_machine(checked, compute));
    if let Some(record) = recorded(store, &checked.name)
        && let Some(found) = as_recorded(checked, &record, embedding_model(), own.as_ref().ok())?
    {
        found.taken.iter().for_each(|taken| output.say(&format!("note: {taken}; shown as recorded")));
        return Ok(found.plan);
    }
    own
}

#[derive(Serialize)]
struct Row<'a> {
    stage: String,
    kind: &'static str,
    label: &'a str,
    key: &'a str,
    #[serde(flatten)]
    standing: &'a Standing,
    users: &'a [String],
    estimate: &'a Estimate,
    /// Most memory that the process held after a step of training on a CPU, of a stage that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    measured_memory_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    /// The machine that is planned for, if it is not this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<&'static Machine>,
    /// Stages that do not fit the memory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    misfits: Vec<Misfit>,
    stages: Vec<Row<'a>>,
    remaining: &'a Needs,
    /// Stages computed at a time, and the seconds until the last of known duration is done.
    jobs: usize,
    elapsed_seconds: f64,
    basis: &'a [String],
}

impl PlanCommand {
    /// Shows the plan.
    ///
    /// # Errors
    /// A store that cannot be read; see also [`start`] and [`on_this_machine`].
    pub fn run(&self, output: &Output) -> anyhow::Result<Verdict> {
        let Some(Opened { checked, read }) = self.study.open(output)? else { return Ok(Verdict::Bad) };
        for note in checked.objectives.iter().chain(&checked.notes) {
            output.say(&format!("note: {note}"));
        }
        let store = self.store.view(output);
        if let Some(machine) = self.on {
            if let Some(asked) = unheeded(checked.experiment.compute.device, machine) {
                output.say(&format!("note: `compute.device` is `{asked}`; planned for {} all the same", machine.title));
            }
            let plan = on_another_machine(&checked, machine)?;
            return show(
                &plan,
                &store,
                &Estimator::on(&checked, &plan, &store, &read, machine)?,
                1,
                Some(machine),
                output,
            );
        }
        let compute = start(&checked)?;
        let plan = on_this_machine(&checked, compute)?;
        let sources = sources(compute.device, &checked.experiment.energy);
        let jobs = self.jobs.count(&checked.experiment.compute, compute, &sources)?;
        if let Some(record) = recorded(&store, &plan.name)
            && let Some(found) = as_recorded(&checked, &record, embedding_model(), Some(&plan))?
        {
            for taken in found.taken {
                output.say(&format!("note: {taken}; planned for this machine, `tutelage status` shows what is there"));
            }
        }
        show(&plan, &store, &Estimator::new(&checked, &plan, &store, &read, compute)?, jobs, None, output)
    }
}

/// Returns the device that an experiment asks for, if a machine has another.
fn unheeded(device: DeviceChoice, machine: &Machine) -> Option<&'static str> {
    match (device, machine.is_gpu()) {
        (DeviceChoice::Cpu, true) => Some("cpu"),
        (DeviceChoice::Cuda, false) => Some("cuda"),
        _ => None,
    }
}

fn show(
    plan: &Plan,
    store: &Store,
    estimator: &Estimator<'_>,
    jobs: usize,
    on: Option<&'static Machine>,
    output: &Output,
) -> anyhow::Result<Verdict> {
    let standings = standings(plan, store)?;
    let estimates: Vec<Estimate> = plan.stages.iter().map(|stage| estimator.stage(stage)).collect();
    let open = standings.iter().zip(&estimates).filter(|(standing, _)| **standing != Standing::Done);
    let remaining = Needs::of(open.map(|(_, estimate)| estimate));
    let seconds = |(standing, estimate): (&Standing, &Estimate)| match standing {
        Standing::Done => 0.0,
        _ => estimate.seconds.unwrap_or_default(),
    };
    let seconds: Vec<f64> = standings.iter().zip(&estimates).map(seconds).collect();
    let open = plan.stages.iter().zip(&standings).filter(|(_, standing)| **standing != Standing::Done);
    let misfits = open.filter_map(|(stage, _)| estimator.misfit(stage)).collect();
    let shown = Shown {
        name: &plan.name,
        on,
        misfits,
        stages: plan.stages.iter().zip(&standings).zip(&estimates).map(|it| row(it, store)).collect(),
        remaining: &remaining,
        jobs,
        elapsed_seconds: elapsed(plan, &seconds, jobs),
        basis: estimator.basis(),
    };
    output.result(&shown, || text(&shown))?;
    Ok(Verdict::Good)
}

fn row<'a>(((stage, standing), estimate): ((&'a Stage, &'a Standing), &'a Estimate), store: &Store) -> Row<'a> {
    let is_done = *standing == Standing::Done;
    Row {
        measured_memory_bytes: is_done.then(|| measured_memory(stage, store)).flatten(),
        stage: stage.title(),
        kind: stage.kind.name(),
        label: &stage.label,
        key: stage.key.as_str(),
        standing,
        users: &stage.users,
        estimate,
    }
}

/// Returns the most memory that was held after a step of training; none on a GPU, whose memory is another.
fn measured_memory(stage: &Stage, store: &Store) -> Option<u64> {
    let work = stage.job.work();
    work.trains()?;
    work.threads()?;
    let events = event::read(&stage.folder(store).events_jsonl()).ok()?;
    let held = |event: &Event| if let Event::Step(step) = event { step.memory_bytes } else { None };
    events.iter().filter_map(held).max()
}

fn text(shown: &Shown<'_>) -> String {
    let mut rows = vec![["stage", "state", "time", "memory", "disk", "energy"].map(str::to_owned)];
    for row in &shown.stages {
        let open = *row.standing != Standing::Done;
        let estimate = |text: Option<String>| match text {
            _ if !open => String::new(),
            Some(text) => format!("~{text}"),
            None => "unknown".to_owned(),
        };
        rows.push([
            row.stage.clone(),
            row.standing.word().to_owned(),
            estimate(row.estimate.seconds.map(duration)),
            match (row.measured_memory_bytes, row.estimate.memory_bytes) {
                (Some(measured), Some(estimated)) => format!("{} of ~{}", size(measured), size(estimated)),
                _ => estimate(row.estimate.memory_bytes.map(size)),
            },
            estimate(row.estimate.disk_bytes.map(size)),
            estimate(row.estimate.kilowatt_hours.map(energy)),
        ]);
    }
    let mut text = String::new();
    if let Some(machine) = shown.on {
        text += &format!("planned for `{}`: {}\n\n", machine.name, machine.title);
    }
    let table = columns(&rows);
    for (position, line) in table.lines().enumerate() {
        text += line;
        text.push('\n');
        let details = position.checked_sub(1).map(|row| shown.stages[row].standing.details());
        for detail in details.unwrap_or_default() {
            text += &format!("    {detail}\n");
        }
    }
    text += &format!("\nremaining stages: {}\n", shown.remaining.stages);
    text += &format!("  time    {}\n", known(shown.elapsed_seconds, duration, shown.remaining.unknown));
    if shown.jobs > 1 {
        let (jobs, work) = (shown.jobs, duration(shown.remaining.seconds));
        text += &format!("          with {jobs} stages at a time; ~{work} one after another\n");
    }
    text += &format!("  memory  {}\n", known(shown.remaining.memory_bytes, size, shown.remaining.unknown));
    text += &format!("  disk    {}\n", known(shown.remaining.disk_bytes, size, shown.remaining.unknown));
    text += &format!(
        "  energy  {}\n",
        shown.remaining.kilowatt_hours.map_or("unknown".to_owned(), |kwh| format!("~{}", energy(kwh)))
    );
    for misfit in &shown.misfits {
        text += &format!(
            "does not fit: `{}` needs ~{}, ~{} of it whatever the batch, and there are {}; {}\n",
            misfit.stage,
            size(misfit.needs_bytes),
            size(misfit.held_bytes),
            size(misfit.has_bytes),
            misfit.remedy
        );
        for way in &misfit.ways {
            text += &format!("  with `{}` ~{}\n", way.setting, size(way.needs_bytes));
        }
    }
    for basis in shown.basis {
        text += &format!("estimate: {basis}\n");
    }
    text
}

fn known<T>(value: T, show: impl Fn(T) -> String, unknown: usize) -> String {
    let rest = if unknown > 0 { format!(" and {unknown} stages of unknown cost") } else { String::new() };
    format!("~{}{rest}", show(value))
}

/// Writes a size for people, in powers of ten.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes < 1e6 => format!("{:.0} kB", (bytes / 1e3).ceil()),
        bytes if bytes < 1e9 => format!("{:.1} MB", bytes / 1e6),
        bytes => format!("{:.1} GB", bytes / 1e9),
    }
}

fn energy(kilowatt_hours: f64) -> String {
    if kilowatt_hours < 1.0 { format!("{:.2} Wh", kilowatt_hours * 1e3) } else { format!("{kilowatt_hours:.2} kWh") }
}
