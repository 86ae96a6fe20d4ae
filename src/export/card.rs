//! The model card: `README.md` with the front matter that the hub reads.
//!
//! Names and settings are data: each is quoted in the front matter and escaped in the text. What is not known is
//! said to be not known.

use std::path::Path;

use tutelage_metrics::energy::{Component, State};
use tutelage_reports::energy::JOULES_PER_WATT_HOUR;
use tutelage_reports::number;
use tutelage_reports::record::Direction;
use tutelage_reports::scores::Scores;
use tutelage_reports::standings::{Standing, standings};
use tutelage_reports::statistics::Resampling;
use tutelage_reports::study::{Arm, Extent, Metric, Study};
use tutelage_reports::tables::markdown_escape as escape;

use super::settings::Base;
use super::{Exported, Outcome, format_of};
use crate::files;
use crate::hub::Name;
use crate::models::config::Config;
use crate::orchestrate::gather::finished::{Finished, Start, Step};

/// Name of the card.
const CARD: &str = "README.md";

/// Writes the card into `folder`; `passed_on` are files of the base that lie there, too.
///
/// # Errors
/// A study whose records are damaged, a file that cannot be written.
pub fn write(
    exported: &Exported,
    config: &Config,
    outcome: &Outcome,
    passed_on: &[String],
    folder: &Path,
) -> anyhow::Result<()> {
    let mut sections = vec![what(exported, config, outcome)];
    if let Some(trial) = &exported.trial {
        sections.push(study(trial));
        sections.push(data(trial));
        sections.push(training(trial));
        sections.push(energy(trial));
        sections.push(metrics(trial)?);
    } else {
        let unknown = "Not known: the model was exported without the study that made it.";
        let heads = ["Data", "Training", "Energy of training"].map(|head| format!("## {head}\n\n{unknown}\n"));
        sections.extend(heads);
        sections.push("## Metrics\n\nNot measured.\n".to_owned());
    }
    sections.push(merge(outcome));
    sections.push(licence(exported, outcome, passed_on));
    sections.push(usage(exported, outcome));
    let text = format!("{}\n{}", front_matter(exported, outcome), sections.join("\n"));
    Ok(files::write(&folder.join(CARD), text.as_bytes())?)
}

/// Quotes a value of the front matter: YAML reads JSON's texts.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn front_matter(exported: &Exported, outcome: &Outcome) -> String {
    let mut lines = vec!["---".to_owned()];
    if let Some(name) = hub_name(&exported.start) {
        lines.push(format!("base_model: {}", quoted(&name)));
        lines.push(format!("base_model_relation: {}", if outcome.quantised { "quantized" } else { "finetune" }));
    }
    let library = if outcome.form == "gguf" { "gguf" } else { "transformers" };
    lines.push(format!("library_name: {library}\npipeline_tag: text-generation"));
    let licence = outcome.licence.clone().unwrap_or_default();
    for (key, value) in [("license", &licence.id), ("license_name", &licence.name), ("license_link", &licence.link)] {
        lines.extend(value.iter().map(|value| format!("{key}: {}", quoted(value))));
    }
    let mut list = |key: &str, values: &[String]| {
        if !values.is_empty() {
            lines.push(format!("{key}:"));
            lines.extend(values.iter().map(|value| format!("- {}", quoted(value))));
        }
    };
    list("language", &licence.languages);
    let mut tags = vec!["tutelage".to_owned()];
    if let Some(trial) = &exported.trial {
        list("datasets", &learned(trial));
        tags.extend(trial.teacher.is_some().then(|| "knowledge-distillation".to_owned()));
    }
    tags.extend((outcome.merge.adapters > 0).then(|| "lora".to_owned()));
    list("tags", &tags);
    lines.push("---\n".to_owned());
    lines.join("\n")
}

/// Returns the name on the hub of the model that it was trained from, if it is from there.
fn hub_name(start: &Start) -> Option<String> {
    let Start::Checkpoint { origin, .. } = start else { return None };
    let name = Name::parse(origin).ok()?.to_string();
    let name = name.strip_prefix("hf:").unwrap_or(&name);
    Some(name.split('@').next().unwrap_or(name).to_owned())
}

/// Says where the weights were before anything happened to them. Of a folder only its name: the rest of the path is
/// of the machine.
fn start(start: &Start) -> String {
    match start {
        Start::Scratch => "weights drawn at random, trained from nothing in the study".to_owned(),
        Start::Checkpoint { origin, commit, .. } => {
            let name = match Name::is_meant(origin) {
                true => origin.clone(),
                false => Path::new(origin).file_name().map_or(origin.clone(), |name| name.to_string_lossy().into()),
            };
            let commit = commit.as_ref().map_or(String::new(), |commit| format!(", commit {commit}"));
            format!("{}{commit}", escape(&name))
        }
    }
}

fn what(exported: &Exported, config: &Config, outcome: &Outcome) -> String {
    let mut text = format!("# {}\n\n", escape(&exported.title));
    text += &format!(
        "A `{}` model of {} parameters, written by Tutelage {} as {} in {}.\n\n",
        config.family.name,
        number::grouped(outcome.parameters),
        env!("CARGO_PKG_VERSION"),
        outcome.form,
        outcome.numbers
    );
    let from = if exported.trial.is_none() && outcome.merge.adapters == 0 { "Model" } else { "Trained from" };
    text + &format!("- {from}: {}\n", start(&exported.start))
}

fn study(trial: &Finished) -> String {
    let study = &trial.study;
    let mut lines = vec![
        format!("- study: {}", escape(&study.name)),
        format!("- question: {}", escape(&study.question)),
        format!("- arm: {}", escape(&trial.arm)),
        format!("- seed: {} of {}", trial.seed, numbers(&study.seeds)),
    ];
    lines.extend(study.reproduces.iter().map(|source| format!("- design of: {}", escape(source))));
    if let Some(arm) = arm(study, &trial.arm) {
        let levels: Vec<String> =
            arm.levels.iter().map(|(factor, level)| format!("{} = {}", escape(factor), escape(level))).collect();
        lines.extend((!levels.is_empty()).then(|| format!("- levels: {}", levels.join(", "))));
        lines.extend(arm.objective.iter().map(|form| format!("- objective: {}", escape(form))));
    }
    lines.push(match &trial.teacher {
        Some(teacher) => format!("- teacher: {}", escape(&with_origin(study, teacher))),
        None => "- teacher: none".to_owned(),
    });
    lines.extend(
        study
            .methods
            .iter()
            .filter(|method| method.part == "objective" && uses(trial, &method.name))
            .map(|method| format!("- {}: {} ({})", escape(&method.name), escape(&method.says), escape(&method.source))),
    );
    format!("## Study\n\n{}\n", lines.join("\n"))
}

/// Says whether an algorithm is the one of an arm.
fn uses(trial: &Finished, algorithm: &str) -> bool {
    arm(&trial.study, &trial.arm).is_some_and(|arm| arm.levels.values().any(|level| level == algorithm))
}

fn arm<'s>(study: &'s Study, name: &str) -> Option<&'s Arm> {
    study.arms.iter().find(|arm| arm.name == name)
}

/// Adds where the weights of a model are from to its name and steps.
fn with_origin(study: &Study, named: &str) -> String {
    let model = study.models.iter().find(|model| named.split(" (").next() == Some(model.name.as_str()));
    match model {
        Some(model) if Name::is_meant(&model.origin) => format!("{named}, {}", model.origin),
        _ => named.to_owned(),
    }
}

/// Lists the data sets that a model learned from, in the order of its steps.
fn learned(trial: &Finished) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in trial.steps.iter().flat_map(|step| &step.data) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn data(trial: &Finished) -> String {
    let learned = learned(trial);
    let mut text = "## Data\n\n".to_owned();
    for set in &trial.study.data {
        let splits: Vec<String> =
            set.splits.iter().map(|(name, rows)| format!("{name} {}", number::grouped(*rows))).collect();
        let what = if learned.contains(&set.name) { "learned" } else { "not learned, only read or asked" };
        text += &format!(
            "- {} ({what}): rows in {}; source BLAKE3 `{}`; licence: not stated by the experiment\n",
            escape(&set.name),
            splits.join(", "),
            set.checksum
        );
        for (name, value) in &set.facts {
            text += &format!("  - {}: {}\n", escape(name), escape(value));
        }
    }
    text
}

fn training(trial: &Finished) -> String {
    let mut text = "## Training\n\n".to_owned();
    if trial.steps.is_empty() {
        return text + "Nothing was trained in the study: the model is as it was.\n";
    }
    for (place, Step { data, training, environment, .. }) in (1..).zip(&trial.steps) {
        let seeds = numbers(&training.seeds);
        text += &format!("{place}. {}, seed {seeds}\n", escape(&training.stage));
        let count = |extent: Option<Extent>| extent.map_or("unknown".to_owned(), |extent| number::grouped(extent.most));
        text += &format!("   - steps: {}\n", number::grouped(training.steps.most));
        text += &format!("   - examples seen: {}\n", count(training.examples));
        text += &format!("   - tokens seen: {}\n", count(training.tokens));
        text += &format!("   - trained parameters: {}\n", count(training.parameters));
        let data = if data.is_empty() { "unknown".to_owned() } else { escape(&data.join(", ")) };
        text += &format!("   - data: {data}\n");
        for (name, value) in training.settings.iter().chain(environment) {
            text += &format!("   - {}: {}\n", escape(name), escape(value));
        }
    }
    text
}

fn numbers(all: &[u64]) -> String {
    all.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

fn energy(trial: &Finished) -> String {
    let mut text = "## Energy of training\n\n".to_owned();
    if trial.steps.is_empty() {
        return text + "Nothing was trained in the study.\n";
    }
    text += "| step | component | energy | state | by |\n|---|---|---|---|---|\n";
    let (mut joules, mut missing, mut estimated) = (0.0, false, false);
    for (place, step) in (1..).zip(&trial.steps) {
        let name = format!("{place}. {}", escape(&step.training.stage));
        missing |= step.energy.components.is_empty();
        if step.energy.components.is_empty() {
            text += &format!("| {name} | all | unavailable | unavailable | nothing was kept |\n");
        }
        for part in &step.energy.components {
            let component = match part.component {
                Component::Cpu => "cpu",
                Component::Dram => "dram",
                Component::Gpu => "gpu",
            };
            let state = match part.state {
                State::Measured => "measured",
                State::Estimated => "estimated",
                State::Unavailable => "unavailable",
            };
            missing |= part.joules.is_none();
            estimated |= part.state == State::Estimated;
            joules += part.joules.map_or(0.0, |joules| joules.0);
            let amount = part.joules.map_or("unavailable".to_owned(), |joules| number::energy(joules.0));
            let by = format!("{}: {}", part.name, part.method);
            text += &format!("| {name} | {component} | {amount} | {state} | {} |\n", escape(&by));
        }
    }
    let rest = match (missing, estimated) {
        (true, _) => "; what is unavailable is not in it",
        (false, true) => ", partly or wholly estimated",
        (false, false) => ", measured",
    };
    text += &format!(
        "\nSum of these steps: {:.4} Wh ({joules:.1} J){rest}. What teachers, captures and answers took is in the study's report.\n",
        joules / JOULES_PER_WATT_HOUR
    );
    text
}

fn metrics(trial: &Finished) -> anyhow::Result<String> {
    let mut text = "## Metrics\n\n".to_owned();
    let study = &trial.study;
    if !trial.records.iter().any(|record| record.arm == trial.arm) {
        return Ok(text + "Not measured.\n");
    }
    let scores = Scores::new(study, &trial.records)?;
    let resampling = Resampling::default();
    let level = 100.0 * resampling.level;
    text += &format!(
        "| metric | unit | better | seed {} | mean over seeds | {level:.0} % interval of the mean | seeds |\n",
        trial.seed
    );
    text += "|---|---|---|---|---|---|---|\n";
    let all = standings(study, &scores, resampling);
    let mut told = 0;
    for (metric, standings) in study.metrics.iter().zip(&all) {
        let Some(standing) = standings.arms.iter().find(|standing| standing.arm == trial.arm) else { continue };
        text += &row(metric, standing, own(&scores, metric, trial));
        told += 1;
    }
    for set in &study.sets {
        let counts = scores.counts(set.name.as_deref());
        let over = if all.iter().flat_map(|standings| &standings.arms).any(|standing| standing.seeds > 1) {
            " and over seeds"
        } else {
            "; one seed says nothing about training again"
        };
        text += &format!(
            "\nOn the {} split of {}: {} rows of {} ({}). Intervals generalise over {}s{over}.",
            set.split,
            escape(&set.data),
            number::grouped(counts.examples as u64),
            number::counted(counts.units, &set.unit.name),
            escape(set.decoding.as_deref().unwrap_or("nothing is decoded")),
            escape(&set.unit.name)
        );
    }
    text += &format!(
        "\n\nEach interval stands by itself: none is widened for the family of {told} metrics and {} arms that the \
         study looks at. Metrics were measured in the study, with adapters beside the weights where there are any.\n",
        study.arms.len()
    );
    Ok(text)
}

/// Returns the value of a metric at the seed of a trial.
fn own(scores: &Scores<'_>, metric: &Metric, trial: &Finished) -> Option<f64> {
    scores.by_seed(metric.key(), &trial.arm).into_iter().find(|(seed, _)| *seed == trial.seed).map(|(_, value)| value)
}

fn row(metric: &Metric, standing: &Standing, own: Option<f64>) -> String {
    let digits = number::decimals(own.into_iter().chain(standing.value), standing.interval);
    let shown = |value: Option<f64>| match value {
        _ if standing.diverged => "diverged".to_owned(),
        Some(value) => number::fixed(value, digits),
        None => "not measured".to_owned(),
    };
    let interval = standing.interval.map_or("none: one unit, or not measured".to_owned(), |interval| {
        format!("{} to {}", number::fixed(interval.low, digits), number::fixed(interval.high, digits))
    });
    let better = if metric.direction == Direction::Higher { "higher" } else { "lower" };
    format!(
        "| {} | {} | {better} | {} | {} | {interval} | {} |\n",
        escape(metric.key()),
        escape(&metric.unit),
        shown(own),
        shown(standing.value),
        standing.seeds
    )
}

fn merge(outcome: &Outcome) -> String {
    let Outcome { merge, difference, .. } = outcome;
    let against = match (merge.base, format_of(merge.trained_on)) {
        (Some(_), Some(format)) => format!("adapters beside the base in {format}"),
        (Some(_), None) => "adapters beside the base".to_owned(),
        (None, _) => "the model as it was".to_owned(),
    };
    let base = match merge.base {
        Some(Base::Full) => "full",
        Some(Base::Dequantised) => "dequantised",
        None => "none",
    };
    format!(
        "## Merge and difference of logits\n\n{} Base of the merge: {base}.\n\n\
         What was written was read back from the disk and compared with what was trained ({against}), both computed in \
         f32, on {} ({} tokens):\n\n\
         | largest absolute difference of a logit | mean | mean KL(trained, written) | same likeliest token |\n\
         |---|---|---|---|\n| {} | {} | {} nats | {} % of tokens |\n",
        merge.in_words(),
        escape(&difference.rows_of),
        difference.tokens,
        scientific(difference.largest),
        scientific(difference.mean),
        scientific(difference.divergence_nats),
        number::percent(difference.same_likeliest)
    )
}

/// Writes a number that may be tiny.
#[must_use]
pub fn scientific(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { format!("{value:.2e}") }
}

fn licence(exported: &Exported, outcome: &Outcome, passed_on: &[String]) -> String {
    let words = match (&exported.start, &outcome.licence) {
        (Start::Scratch, _) => "There is no base: the model was trained from nothing. No licence is stated.".to_owned(),
        (Start::Checkpoint { .. }, None) => "Licence of the base: unknown, its folder is not here.".to_owned(),
        (Start::Checkpoint { .. }, Some(licence)) => format!("Licence of the base: {}.", escape(&licence.in_words())),
    };
    let files = match passed_on {
        [] => String::new(),
        names => format!(" Passed on: {}.", escape(&names.join(", "))),
    };
    format!("## Licence\n\n{words}{files}\n")
}

fn usage(exported: &Exported, outcome: &Outcome) -> String {
    let name = exported.title.replace(|letter: char| letter.is_control() || letter == '"' || letter == '`', " ");
    let file = outcome.files.iter().find(|file| file.ends_with(".gguf"));
    let code = match file {
        Some(file) => format!("```sh\nllama-cli -m {file}  # of llama.cpp\n```"),
        None => "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n\
                 model = AutoModelForCausalLM.from_pretrained(\".\", dtype=\"auto\")\n\
                 tokenizer = AutoTokenizer.from_pretrained(\".\")\n\
                 prompt = tokenizer(\"What is a cell?\", return_tensors=\"pt\")\n\
                 print(tokenizer.decode(model.generate(**prompt, max_new_tokens=64)[0]))\n```"
            .to_owned(),
    };
    format!("## Use\n\nIn the folder of {}:\n\n{code}\n", escape(&name))
}
