//! The design: every combination of levels, the controls beside it, and the models scored for comparison.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::course::{self, Course, Listed, Problem};
#[cfg(test)]
use super::document::Node;
use super::factors::LISTED;
#[cfg(test)]
use super::lay::read;
use super::settings::{Algorithm, Experiment, SftLevel};

/// What is trained and scored.
#[derive(Debug, Clone, Default)]
pub struct Design {
    /// The cells of the design; the last factor varies fastest.
    pub arms: Vec<Arm>,
    /// Students that train without a teacher, beside it.
    pub controls: Vec<Arm>,
    /// Models scored for comparison.
    pub references: Vec<Reference>,
    /// What keeps arms from being built: where, what, remedy.
    pub(super) problems: Vec<Problem>,
}

/// Combines one level of each factor.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// The levels of factors that vary, joined by `/`: `llama/both/dskd`; the algorithm when none does,
    /// the model where there is none.
    pub name: String,
    /// The level of every factor, also of those that do not vary; of a control all but the teacher's.
    pub levels: BTreeMap<String, String>,
    /// The model that learns, and what happens to it.
    pub course: Course,
    /// The experiment with the settings of the levels laid over it.
    pub settings: Arc<Experiment>,
    /// Of a cell: name of its control, if the experiment has one.
    pub control: Option<String>,
}

impl Arm {
    /// Says whether the arm has all these levels; a control whichever the teacher.
    #[must_use]
    pub fn matches(&self, levels: &BTreeMap<String, String>) -> bool {
        let is_of_none = |factor: &str| factor == "teacher" && !self.levels.contains_key(factor);
        levels.iter().all(|(factor, level)| is_of_none(factor) || self.levels.get(factor) == Some(level))
    }

    /// Says whether two arms compute the same.
    fn equals(&self, other: &Self) -> bool {
        is_alike((&self.course, &self.settings), (&other.course, &other.settings))
    }
}

/// Says which part a reference model has in the design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// It teaches.
    Teacher,
    /// It learns.
    Student,
}

/// Describes a model that is scored for comparison: what an arm or a teacher starts from, and comes
/// through.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// Name in tables: `teacher llama (sft)`, `student` where the model is called so, too.
    pub name: String,
    /// Its part in the design.
    pub part: Part,
    /// The model, and what happened to it.
    pub course: Course,
    /// The experiment, as that of the arm that it belongs to.
    pub settings: Arc<Experiment>,
}

/// One level of each factor of levels with settings, in their order.
pub(super) type Laid = Vec<(String, String)>;

/// Crosses the factors of levels with settings.
pub(super) fn combinations(experiment: &Experiment) -> Vec<Laid> {
    let mut all: Vec<Laid> = vec![Vec::new()];
    for (factor, levels) in &experiment.factors.free {
        let with = |laid: &Laid| -> Vec<Laid> {
            let level = |name: &String| [laid.clone(), vec![(factor.clone(), name.clone())]].concat();
            levels.iter().map(|other| level(&other.name)).collect()
        };
        all = all.iter().flat_map(with).collect();
    }
    all
}

impl Design {
    /// Builds the design of an experiment from each combination of levels with settings, laid over it.
    pub(super) fn new(experiment: &Experiment, laid: Vec<(Laid, Arc<Experiment>)>) -> Self {
        let mut design = Self::default();
        design.add_controls(experiment, &laid);
        design.add_arms(experiment, &laid);
        design.add_references();
        design
    }

    /// Builds the design of settings that were not read from a file.
    ///
    /// # Panics
    /// Levels that cannot be laid over the experiment.
    #[must_use]
    #[cfg(test)]
    pub(crate) fn of(experiment: &Experiment) -> Self {
        let text = super::resolve(experiment).expect("settings can be written");
        let root = Node::parse(&text, 0, 0).expect("what was written can be read");
        let lay = |levels: Laid| {
            let found = read(&root, &levels).expect("levels can be laid over");
            (levels, Arc::new(found))
        };
        Self::new(experiment, combinations(experiment).into_iter().map(lay).collect())
    }

    /// Names the models that something happens to or is asked of.
    #[must_use]
    pub fn models(&self) -> BTreeSet<&str> {
        self.courses().flat_map(Course::all).map(|course| course.model.as_str()).collect()
    }

    /// Lists what happens to the models under study, controls included.
    pub fn courses(&self) -> impl Iterator<Item = &Course> {
        self.arms.iter().chain(&self.controls).map(|arm| &arm.course)
    }

    fn add_arms(&mut self, experiment: &Experiment, laid: &[(Laid, Arc<Experiment>)]) {
        let factors = &experiment.factors;
        for student in listed(&factors.student) {
            for teacher in listed(&factors.teacher) {
                for sft in listed(&factors.sft) {
                    for algorithm in listed(&factors.algorithm) {
                        if algorithm.is_some_and(|name| !has_teacher(experiment, name)) {
                            continue;
                        }
                        let levels = Listed {
                            student: student.map(String::as_str),
                            teacher: teacher.map(String::as_str),
                            sft: sft.copied(),
                            algorithm: algorithm.map(String::as_str),
                        };
                        for (free, settings) in laid {
                            self.add_arm(experiment, levels, free, settings);
                        }
                    }
                }
            }
        }
    }

    fn add_arm(&mut self, experiment: &Experiment, listed: Listed<'_>, free: &Laid, settings: &Arc<Experiment>) {
        let levels = levels_of(listed, free);
        let has_all =
            |row: &BTreeMap<String, String>| row.iter().all(|(factor, level)| levels.get(factor) == Some(level));
        let is_left_out = experiment.exclude.iter().any(has_all)
            || !experiment.arms.is_empty() && !experiment.arms.iter().any(has_all);
        if is_left_out {
            return;
        }
        let course = match course::of(settings, listed) {
            Ok(course) => course,
            Err(problem) => {
                if let Some(problem) = problem.filter(|problem| !self.problems.contains(problem)) {
                    self.problems.push(problem);
                }
                return;
            }
        };
        let factors = &experiment.factors;
        let varies = |factor: &str| factors.levels(factor).is_some_and(|levels| levels.len() > 1);
        let names: Vec<&str> = factors
            .names()
            .filter(|factor| varies(factor))
            .filter_map(|factor| Some(levels.get(factor)?.as_str()))
            .collect();
        let alone =
            || levels.get("algorithm").cloned().unwrap_or_else(|| format!("{}{}", course.model, course.suffix()));
        let name = if names.is_empty() { alone() } else { names.join("/") };
        let serves = |control: &&Arm| {
            let alike = |factor: &String| control.levels.get(factor) == levels.get(factor);
            let tunes = |arm: &BTreeMap<String, String>| arm.get("sft").is_some_and(|level| tunes_student(level));
            control.levels.keys().filter(|factor| !["sft", "algorithm"].contains(&factor.as_str())).all(alike)
                && tunes(&control.levels) == tunes(&levels)
        };
        let control = self.controls.iter().find(serves).map(|control| control.name.clone());
        let arm = Arm { name, levels, course, settings: Arc::clone(settings), control };
        self.tell_twin(&arm, free);
        self.arms.push(arm);
    }

    /// Notes that an arm computes what an earlier one does, once for each level.
    fn tell_twin(&mut self, arm: &Arm, free: &Laid) {
        let Some(twin) = self.arms.iter().find(|other| other.equals(arm)) else { return };
        let mut differing = free.iter().filter(|(factor, level)| twin.levels.get(factor) != Some(level));
        // Levels that are names differ, or a recipe says what they would: a fault of its own.
        let Some((factor, level)) = differing.next() else { return };
        let message = match differing.next() {
            None => format!(
                "the levels `{}` and `{level}` of `{factor}` are one: nothing that they set makes a difference",
                twin.levels[factor]
            ),
            Some(_) => format!(
                "the arms `{}` and `{}` are one: nothing that their levels set makes a difference",
                twin.name, arm.name
            ),
        };
        let at = format!("factors.{factor}.{level}");
        if !self.problems.iter().any(|(known, ..)| *known == at) {
            self.problems.push((at, message, "let them change a setting that is used, or remove one".to_owned()));
        }
    }

    /// Lists the controls: for every algorithm without a teacher, each student from each of its starts.
    /// Teachers make no difference to a control, so one serves all arms whose student starts alike.
    fn add_controls(&mut self, experiment: &Experiment, laid: &[(Laid, Arc<Experiment>)]) {
        let factors = &experiment.factors;
        let mut starts: Vec<SftLevel> = Vec::new();
        for level in &factors.sft {
            let start = if level.tunes_student() { SftLevel::Student } else { SftLevel::None };
            if !starts.contains(&start) {
                starts.push(start);
            }
        }
        for algorithm in factors.algorithm.iter().filter(|name| !has_teacher(experiment, name)) {
            for student in listed(&factors.student) {
                for &sft in &starts {
                    for (free, settings) in laid {
                        let levels = Listed {
                            student: student.map(String::as_str),
                            teacher: None,
                            sft: Some(sft),
                            algorithm: Some(algorithm),
                        };
                        let Ok(course) = course::of(settings, levels) else { continue };
                        let parts =
                            [(factors.student.len(), student.map_or("", String::as_str)), (starts.len(), sft.name())];
                        let mut names: Vec<&str> =
                            parts.into_iter().filter(|(levels, _)| *levels > 1).map(|(_, level)| level).collect();
                        names.push(algorithm);
                        let varies = |factor: &str| factors.levels(factor).is_some_and(|levels| levels.len() > 1);
                        names.extend(free.iter().filter(|(factor, _)| varies(factor)).map(|(_, level)| level.as_str()));
                        self.controls.push(Arm {
                            name: names.join("/"),
                            levels: levels_of(levels, free),
                            course,
                            settings: Arc::clone(settings),
                            control: None,
                        });
                    }
                }
            }
        }
    }

    /// Lists the reference models: each teacher and each model under study as it is, and after every step
    /// but the last of an arm.
    fn add_references(&mut self) {
        let arms: Vec<Arm> = self.arms.iter().chain(&self.controls).cloned().collect();
        let teaches = arms.iter().any(|arm| arm.course.teacher().is_some());
        let mut found: Vec<(Part, Course, &Arm)> = Vec::new();
        for part in [Part::Teacher, Part::Student] {
            for arm in &arms {
                let courses: Vec<Course> = match part {
                    Part::Teacher => {
                        arm.course.all().skip(1).flat_map(|course| prefixes(course, course.lessons.len() + 1)).collect()
                    }
                    Part::Student => prefixes(&arm.course, arm.course.lessons.len()).collect(),
                };
                for course in courses {
                    let is_known = |other: &(Part, Course, &Arm)| {
                        other.0 == part && is_alike((&other.1, &other.2.settings), (&course, &arm.settings))
                    };
                    let is_arm = |other: &Arm| is_alike((&other.course, &other.settings), (&course, &arm.settings));
                    if !found.iter().any(is_known) && !arms.iter().any(is_arm) {
                        found.push((part, course, arm));
                    }
                }
            }
        }
        for (part, course, arm) in found {
            let word = match part {
                Part::Teacher => "teacher",
                Part::Student => "student",
            };
            // A student called `student` is named once.
            let model = &course.model;
            let named = if !teaches || model == word { model.clone() } else { format!("{word} {model}") };
            let mut name = format!("{named}{}", course.suffix());
            if self.references.iter().any(|other| other.name == name) {
                name = format!("{name} {}", own_levels(&arms, &course, arm).join("/"));
            }
            self.references.push(Reference { name, part, course, settings: Arc::clone(&arm.settings) });
        }
    }
}

/// Lists the levels that all arms share which come through a course as `arm` does, and not all other arms.
fn own_levels<'a>(arms: &'a [Arm], course: &Course, arm: &'a Arm) -> Vec<&'a str> {
    let comes_through = |other: &&Arm| {
        let mut states = other.course.all().flat_map(|course| prefixes(course, course.lessons.len() + 1));
        states.any(|state| is_alike((&state, &other.settings), (course, &arm.settings)))
    };
    let (with, without): (Vec<&Arm>, Vec<&Arm>) = arms.iter().partition(comes_through);
    let is_own = |(factor, level): &(&String, &String)| {
        let has = |other: &&Arm| other.levels.get(*factor) == Some(level);
        !LISTED.contains(&factor.as_str()) && with.iter().all(has) && !without.iter().all(has)
    };
    arm.levels.iter().filter(is_own).map(|(_, level)| level.as_str()).collect()
}

/// Lists what a model comes through in its first so many states, the untouched one included.
fn prefixes(course: &Course, states: usize) -> impl Iterator<Item = Course> {
    (0..states).map(|steps| course.first(steps))
}

/// Says whether two courses are one: the same steps from the same models, on the same data, asked alike.
fn is_alike(one: (&Course, &Experiment), two: (&Course, &Experiment)) -> bool {
    let (a, b) = (one.1, two.1);
    let is_one_ground = || {
        a.data == b.data
            && a.tokenizers == b.tokenizers
            && a.models == b.models
            && a.evaluation == b.evaluation
            && a.training.pretrain == b.training.pretrain
    };
    one.0 == two.0 && (std::ptr::eq(a, b) || is_one_ground())
}

/// Lists the levels of a factor, or that there is none.
fn listed<T>(levels: &[T]) -> Vec<Option<&T>> {
    if levels.is_empty() { vec![None] } else { levels.iter().map(Some).collect() }
}

fn levels_of(listed: Listed<'_>, free: &Laid) -> BTreeMap<String, String> {
    let Listed { student, teacher, sft, algorithm } = listed;
    let named = LISTED.into_iter().zip([student, teacher, sft.map(SftLevel::name), algorithm]);
    let named = named.filter_map(|(factor, level)| Some((factor.to_owned(), level?.to_owned())));
    named.chain(free.iter().cloned()).collect()
}

fn tunes_student(level: &str) -> bool {
    SftLevel::ALL.into_iter().any(|known| known.name() == level && known.tunes_student())
}

/// Says whether an algorithm learns from a teacher; one that is not defined is a fault elsewhere.
fn has_teacher(experiment: &Experiment, algorithm: &str) -> bool {
    experiment.algorithms.get(algorithm).is_none_or(Algorithm::has_teacher)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(factors: &str) -> Experiment {
        let text = format!("version = 1\nquestion = \"?\"\nseeds = [1]\n[data]\n[models]\n[factors]\n{factors}");
        toml::from_str(&text).expect("an experiment")
    }

    fn designed(factors: &str) -> Design {
        Design::of(&experiment(factors))
    }

    fn names(factors: &str) -> Vec<String> {
        designed(factors).arms.into_iter().map(|arm| arm.name).collect()
    }

    #[test]
    fn only_factors_that_vary_are_named() {
        let all = "student = ['s', 't']\nteacher = ['l']\nsft = ['none', 'both']\nalgorithm = ['kd']";
        assert_eq!(names(all), ["s/none", "s/both", "t/none", "t/both"]);
        let fixed = "student = ['s']\nteacher = ['l']\nalgorithm = ['kd']";
        assert_eq!(names(fixed), ["kd"]);
    }

    #[test]
    fn arms_are_selected_by_any_of_their_levels() {
        let factors = "student = ['s']\nteacher = ['l', 'm']\nsft = ['none', 'both']\nalgorithm = ['kd', 'dskd']";
        let arms = designed(factors).arms;
        let count = |levels: &[(&str, &str)]| {
            let levels = levels.iter().map(|(f, l)| ((*f).to_owned(), (*l).to_owned()));
            let levels = levels.collect();
            arms.iter().filter(|arm| arm.matches(&levels)).count()
        };
        assert_eq!(count(&[]), 8);
        assert_eq!(count(&[("sft", "both")]), 4);
        assert_eq!(count(&[("sft", "both"), ("teacher", "m"), ("student", "s")]), 2);
        assert_eq!(count(&[("sft", "teacher")]), 0);
    }

    #[test]
    fn algorithms_without_a_teacher_are_controls_and_not_crossed() {
        let factors = "student = ['s']\nteacher = ['l', 'm']\nsft = ['none', 'teacher', 'both']\n\
                       algorithm = ['kd', 'ce']\n[algorithms.kd.vanilla]\n[algorithms.ce.cross-entropy]";
        let Design { arms, controls, .. } = designed(factors);
        let names: Vec<&str> = controls.iter().map(|control| control.name.as_str()).collect();
        assert_eq!(names, ["none/ce", "student/ce"]);
        let served: Vec<(&str, &str)> =
            arms.iter().map(|arm| (arm.name.as_str(), arm.control.as_deref().unwrap())).collect();
        let expected = [
            ("l/none/kd", "none/ce"),
            ("l/teacher/kd", "none/ce"),
            ("l/both/kd", "student/ce"),
            ("m/none/kd", "none/ce"),
            ("m/teacher/kd", "none/ce"),
            ("m/both/kd", "student/ce"),
        ];
        assert_eq!(served, expected);
        let levels = [("teacher", "l"), ("sft", "student"), ("algorithm", "ce")];
        let levels = levels.map(|(factor, level)| (factor.to_owned(), level.to_owned())).into();
        assert!(controls[1].matches(&levels) && !controls[0].matches(&levels));
    }

    #[test]
    fn references_are_tuned_only_where_an_arm_needs_it() {
        let factors = "student = ['s']\nteacher = ['l']\nsft = ['none', 'teacher']\nalgorithm = ['kd']";
        let references = designed(factors).references;
        let names: Vec<&str> = references.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["teacher l", "teacher l (sft)", "student s"]);
    }

    #[test]
    fn a_model_that_is_called_as_its_part_is_named_once() {
        let factors = "student = ['student']\nteacher = ['student']\nsft = ['both']\nalgorithm = ['kd']";
        let references = designed(factors).references;
        let names: Vec<&str> = references.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["teacher student", "teacher student (sft)", "student", "student (sft)"]);
    }
}
