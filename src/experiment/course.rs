//! What happens to a model, with every setting: recipes and factors put together.

use std::collections::BTreeMap;

use super::datasets::{Need, meant};
use super::lay::changed;
use super::nearest::listed;
use super::settings::{
    Adapters, Algorithm, Experiment, Recipe, SftLevel, SplitName, Step, TrainStep, Training, Tuning,
};

/// Names of the steps that need no definition.
pub const STEPS: [&str; 3] = ["pretrain", "sft", "distill"];

/// A model and what happens to it, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// Name of the model.
    pub model: String,
    /// The steps.
    pub lessons: Vec<Lesson>,
}

/// One step with its settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    /// Name of the step.
    pub name: String,
    /// Name of the data set.
    pub data: String,
    /// Which part of it is learned.
    pub split: SplitName,
    /// Shares of other data sets among what is learned, by name.
    pub replay: BTreeMap<String, f64>,
    /// What happens to the adapters of the step before; none where it left none.
    pub adapters: Option<Adapters>,
    /// Which parameters are trained.
    pub tuning: Tuning,
    /// Optimisation.
    pub training: Training,
    /// What is learned.
    pub kind: LessonKind,
}

/// Says what a step teaches.
#[derive(Debug, Clone, PartialEq)]
pub enum LessonKind {
    /// What texts say.
    Pretrain,
    /// To answer questions.
    Sft,
    /// What a teacher tells, by an objective.
    Distill {
        /// The teacher and what happened to it; none where the objective has none.
        teacher: Option<Course>,
        /// Name of the algorithm.
        algorithm: String,
        /// The objective; none where nothing defines it, which is a fault.
        objective: Option<Algorithm>,
    },
}

/// Levels of the factors that are lists.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Listed<'e> {
    pub(super) student: Option<&'e str>,
    pub(super) teacher: Option<&'e str>,
    pub(super) sft: Option<SftLevel>,
    pub(super) algorithm: Option<&'e str>,
}

/// Says why there is no course: the setting at fault, the message, the remedy.
pub(super) type Problem = (String, String, String);

/// What was put together, or why it was not; none where the check of names tells.
type Found<T> = Result<T, Option<Problem>>;

/// Puts together what happens to the model under study.
pub(super) fn of(experiment: &Experiment, levels: Listed<'_>) -> Found<Course> {
    let plain = Recipe::default();
    let recipe = experiment.recipe.as_ref().unwrap_or(&plain);
    let model = levels.student.map(str::to_owned).or_else(|| recipe.model.clone());
    let distils = levels.algorithm.is_some() || levels.teacher.is_some();
    let steps = recipe.steps.clone().unwrap_or_else(|| {
        let tuned = levels.sft.is_some_and(SftLevel::tunes_student).then(|| "sft".to_owned());
        tuned.into_iter().chain(distils.then(|| "distill".to_owned())).collect()
    });
    let model = the_only(model, experiment.models.keys(), "recipe.model", "model")?;
    let lessons = lessons(experiment, &steps, levels, true)?;
    Ok(Course { model, lessons })
}

/// Puts together what happens to a teacher: a recipe by name, or a model as it is.
fn of_teacher(experiment: &Experiment, name: &str, levels: Listed<'_>) -> Found<Course> {
    if let Some(recipe) = experiment.recipes.get(name) {
        let at = format!("recipes.{name}.model");
        let model = the_only(recipe.model.clone(), experiment.models.keys(), &at, "model")?;
        let steps = recipe.steps.clone().unwrap_or_default();
        return Ok(Course { model, lessons: lessons(experiment, &steps, Listed::default(), false)? });
    }
    let steps: &[String] = if levels.sft.is_some_and(SftLevel::tunes_teacher) { &["sft".to_owned()] } else { &[] };
    Ok(Course { model: name.to_owned(), lessons: lessons(experiment, steps, Listed::default(), false)? })
}

fn lessons(experiment: &Experiment, steps: &[String], levels: Listed<'_>, may_distil: bool) -> Found<Vec<Lesson>> {
    let mut lessons: Vec<Lesson> = Vec::new();
    // Whether the steps so far have left adapters.
    let mut adapted = false;
    for name in steps {
        let mut next = lesson(experiment, name, levels, may_distil)?;
        if let (Some(before), true) = (lessons.last(), adapted) {
            next.adapters = Some(continued(before, &next)?);
        } else if next.adapters.take().is_some() {
            let message =
                format!("the step `{name}` says what happens to `adapters`, and no step before it leaves any");
            return Err(Some((format!("steps.{name}"), message, "remove `adapters`".to_owned())));
        }
        adapted = match (&next.tuning, next.adapters) {
            (Tuning::Lora(_), _) => true,
            (Tuning::Full {}, _) => false,
        };
        lessons.push(next);
    }
    Ok(lessons)
}

/// Says what happens to the adapters that `before` left: what the step says or, where it would add the same
/// ones, they are trained on.
fn continued(before: &Lesson, next: &Lesson) -> Found<Adapters> {
    let refused = |message: String, help: &str| Err(Some((format!("steps.{}", next.name), message, help.to_owned())));
    let is_same = next.tuning == before.tuning;
    match (next.adapters, &next.tuning) {
        (None | Some(Adapters::Keep), _) if is_same => Ok(Adapters::Keep),
        (None, _) => refused(
            format!(
                "the step `{}` has another `tuning` than `{}`, and nothing says what happens to the adapters of the latter",
                next.name, before.name
            ),
            "add `adapters = \"merge\"` (they become part of the weights), `\"stack\"` (the step adds its own on top) to \
             the step, or give both the same `tuning` to train on them",
        ),
        (Some(Adapters::Keep), _) => refused(
            format!("the step `{}` keeps the adapters of `{}`, and has another `tuning`", next.name, before.name),
            "give both the same `tuning`, or write `adapters = \"merge\"` or `\"stack\"`",
        ),
        (Some(Adapters::Stack), Tuning::Full {}) => refused(
            format!(
                "the step `{}` trains all weights, and stacks nothing on the adapters of `{}`",
                next.name, before.name
            ),
            "write `adapters = \"merge\"`, or let the step train adapters of its own",
        ),
        (Some(adapters), _) => Ok(adapters),
    }
}

fn lesson(experiment: &Experiment, name: &str, levels: Listed<'_>, may_distil: bool) -> Found<Lesson> {
    let step = match (experiment.steps.get(name), name) {
        (Some(step), _) => step.clone(),
        (None, "pretrain") => Step::Pretrain(TrainStep::default()),
        (None, "sft") => Step::Sft(TrainStep::default()),
        (None, "distill") => Step::Distill(Default::default()),
        (None, _) => return Err(None),
    };
    let plan = &experiment.training;
    let (step, base, kind, need) = match step {
        Step::Pretrain(step) => (step, &plan.pretrain, LessonKind::Pretrain, Need::Texts),
        Step::Sft(step) => (step, &plan.sft, LessonKind::Sft, Need::Questions),
        Step::Distill(_) if !may_distil => {
            let message = format!("the step `{name}` distils, and a teacher has no teacher");
            return Err(Some(("recipes".to_owned(), message, "name steps that fine-tune".to_owned())));
        }
        Step::Distill(step) => {
            let algorithm = levels.algorithm.map(str::to_owned).or(step.algorithm);
            let at = format!("steps.{name}.distill.algorithm");
            let algorithm = the_only(algorithm, experiment.algorithms.keys(), &at, "algorithm")?;
            let objective = experiment.algorithms.get(&algorithm).cloned();
            let teacher = match objective.as_ref().is_none_or(Algorithm::has_teacher) {
                false => None,
                true => {
                    let named = levels.teacher.map(str::to_owned).or(step.teacher);
                    let named = named.ok_or_else(|| {
                        let message = format!("the step `{name}` distils, and nothing names its teacher");
                        let help =
                            format!("write `[steps.{name}.distill]` with `teacher = \"NAME\"`, a model or recipe");
                        let is_recipe = experiment.recipe.as_ref().is_some_and(|recipe| recipe.steps.is_some());
                        let at = if is_recipe { "recipe.steps" } else { "factors.algorithm" };
                        Some((at.to_owned(), message, help))
                    })?;
                    Some(of_teacher(experiment, &named, levels)?)
                }
            };
            let kind = LessonKind::Distill { teacher, algorithm, objective };
            let (tuning, training) = (step.tuning, step.training);
            let step = TrainStep { data: step.data, adapters: step.adapters, tuning, training, ..TrainStep::default() };
            (step, &plan.distill, kind, Need::Questions)
        }
    };
    let refused = |problem| {
        let message = format!("the settings of the step `{name}` cannot be read: {problem}");
        Some((format!("steps.{name}"), message, "write them as in `[training]` and `[tuning]`".to_owned()))
    };
    let data = match meant(experiment, step.data.as_deref(), need) {
        Ok(data) => data.to_owned(),
        // Told by the check of data sets.
        Err(_) if experiment.data.is_empty() => String::new(),
        Err(candidates) => return Err(Some(no_data(experiment, name, &kind, &candidates))),
    };
    let training = changed(base, &step.training).map_err(refused)?;
    let tuning = changed(&experiment.tuning, &step.tuning).map_err(refused)?;
    let (split, replay) = (step.split.unwrap_or(SplitName::Train), step.replay);
    Ok(Lesson { name: name.to_owned(), data, split, replay, adapters: step.adapters, tuning, training, kind })
}

/// Says that nothing tells which data set a step learns from.
fn no_data(experiment: &Experiment, name: &str, kind: &LessonKind, candidates: &[&str]) -> Problem {
    let kind = match kind {
        LessonKind::Pretrain => "pretrain",
        LessonKind::Sft => "sft",
        LessonKind::Distill { .. } => "distill",
    };
    let all = experiment.data.keys().map(String::as_str);
    let (message, names) = match candidates {
        [] => (format!("no data set has what the step `{name}` learns from"), listed(all)),
        _ => (format!("nothing says which data set the step `{name}` learns from"), listed(candidates.iter().copied())),
    };
    let help = match candidates {
        [] if kind == "pretrain" => format!("add one of texts, such as `importer = \"text\"`; data sets: {names}"),
        [] => format!("add one of questions and answers; data sets: {names}"),
        [first, ..] => format!("write `[steps.{name}.{kind}]` with `data = \"{first}\"`; data sets: {names}"),
    };
    ("data".to_owned(), message, help)
}

/// Returns what was named or, of one, the only one that is defined.
fn the_only<'n>(
    named: Option<String>,
    mut defined: impl ExactSizeIterator<Item = &'n String>,
    at: &str,
    kind: &str,
) -> Found<String> {
    match (named, defined.len()) {
        (Some(named), _) => Ok(named),
        (None, 1) => Ok(defined.next().cloned().unwrap_or_default()),
        (None, 0) => {
            Err(Some((at.to_owned(), format!("the experiment defines no {kind}"), format!("add `[{kind}s.NAME]`"))))
        }
        (None, _) => {
            let key = at.rsplit('.').next().unwrap_or(at);
            let message = format!("there are several {kind}s, and nothing says which one is meant");
            Err(Some((at.to_owned(), message, format!("add `{key} = \"NAME\"`"))))
        }
    }
}

impl Course {
    /// Returns the course up to so many steps.
    #[must_use]
    pub fn first(&self, steps: usize) -> Self {
        Self { model: self.model.clone(), lessons: self.lessons[..steps].to_vec() }
    }

    /// Says what happened to the model, in brackets behind its name; nothing where nothing did.
    #[must_use]
    pub fn suffix(&self) -> String {
        let steps: Vec<&str> = self.lessons.iter().map(|lesson| lesson.name.as_str()).collect();
        if steps.is_empty() { String::new() } else { format!(" ({})", steps.join(", ")) }
    }

    /// Returns the teacher of its last step that has one.
    #[must_use]
    pub fn teacher(&self) -> Option<&Self> {
        self.lessons.iter().rev().find_map(|lesson| match &lesson.kind {
            LessonKind::Distill { teacher, .. } => teacher.as_ref(),
            LessonKind::Pretrain | LessonKind::Sft => None,
        })
    }

    /// Lists this course and those of its teachers.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        let teachers = self.lessons.iter().filter_map(|lesson| match &lesson.kind {
            LessonKind::Distill { teacher, .. } => teacher.as_ref(),
            LessonKind::Pretrain | LessonKind::Sft => None,
        });
        std::iter::once(self).chain(teachers)
    }
}
