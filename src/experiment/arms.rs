//! The crossed design: every combination of levels, and the models scored beside it.

use std::collections::{BTreeMap, BTreeSet};

use super::settings::{Algorithm, Experiment, Factors, SftLevel};

/// Names of the factors, in the order of arm names.
pub const FACTORS: [&str; 4] = ["student", "teacher", "sft", "algorithm"];

/// Combines one level of each factor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm {
    /// The levels of factors that vary, joined by `/`: `llama/both/dskd`; the algorithm when none
    /// does.
    pub name: String,
    /// Model that learns.
    pub student: String,
    /// Model that teaches.
    pub teacher: String,
    /// What is fine-tuned before distillation.
    pub sft: SftLevel,
    /// Algorithm of distillation.
    pub algorithm: String,
    /// Name of its control, if the experiment has one.
    pub control: Option<String>,
}

impl Arm {
    /// Returns the level of a factor of [`FACTORS`].
    #[must_use]
    pub fn level(&self, factor: &str) -> Option<&str> {
        match factor {
            "student" => Some(&self.student),
            "teacher" => Some(&self.teacher),
            "sft" => Some(self.sft.name()),
            "algorithm" => Some(&self.algorithm),
            _ => None,
        }
    }

    /// Returns the level of every factor, also of those that do not vary.
    #[must_use]
    pub fn levels(&self) -> BTreeMap<String, String> {
        let level = |factor: &&str| Some(((*factor).to_owned(), self.level(factor)?.to_owned()));
        FACTORS.iter().filter_map(level).collect()
    }

    /// Says whether the arm has all these levels.
    #[must_use]
    pub fn matches(&self, levels: &BTreeMap<String, String>) -> bool {
        levels.iter().all(|(factor, level)| self.level(factor) == Some(level))
    }
}

/// Describes a student that trains without a teacher for as many steps as the arms distil: what
/// arms are compared with to see what the teacher adds.
///
/// It stands beside the crossed design, as teachers make no difference to it: one control serves
/// all arms whose student starts alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The levels of its factors that vary, joined by `/`: `student/ce`; the algorithm when none does.
    pub name: String,
    /// Model that learns.
    pub student: String,
    /// [`SftLevel::None`], or [`SftLevel::Student`] where the student is fine-tuned before.
    pub sft: SftLevel,
    /// Algorithm without a teacher.
    pub algorithm: String,
}

impl Control {
    /// Returns the levels of the factors that it has: all but the teacher.
    #[must_use]
    pub fn levels(&self) -> BTreeMap<String, String> {
        let levels = [("student", self.student.as_str()), ("sft", self.sft.name()), ("algorithm", &self.algorithm)];
        levels.map(|(factor, level)| (factor.to_owned(), level.to_owned())).into()
    }

    /// Says whether the control has all these levels, whichever the teacher.
    #[must_use]
    pub fn matches(&self, levels: &BTreeMap<String, String>) -> bool {
        let own = self.levels();
        levels.iter().all(|(factor, level)| factor == "teacher" || own.get(factor) == Some(level))
    }

    /// Says whether it is the control of an arm: the same student from the same start.
    fn serves(&self, arm: &Arm) -> bool {
        self.student == arm.student && self.sft.tunes_student() == arm.sft.tunes_student()
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

/// Describes a model that is scored for comparison, without distillation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Name in tables: `teacher llama (sft)`, `student` where the model is called so, too.
    pub name: String,
    /// Name of the model.
    pub model: String,
    /// Its part in the design.
    pub part: Part,
    /// Whether it is fine-tuned.
    pub sft: bool,
}

impl SftLevel {
    /// Every level, in the order of their definition.
    pub const ALL: [Self; 4] = [Self::None, Self::Teacher, Self::Student, Self::Both];

    /// Returns the level as it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Teacher => "teacher",
            Self::Student => "student",
            Self::Both => "both",
        }
    }

    /// Says whether the teacher is fine-tuned before it teaches.
    #[must_use]
    pub fn tunes_teacher(self) -> bool {
        matches!(self, Self::Teacher | Self::Both)
    }

    /// Says whether the student is fine-tuned before it learns.
    #[must_use]
    pub fn tunes_student(self) -> bool {
        matches!(self, Self::Student | Self::Both)
    }
}

impl Factors {
    /// Says whether any level fine-tunes a model before distillation.
    #[must_use]
    pub fn tunes(&self) -> bool {
        self.sft.iter().any(|level| level.tunes_teacher() || level.tunes_student())
    }

    /// Returns the levels of a factor of [`FACTORS`], in file order.
    #[must_use]
    pub fn levels(&self, factor: &str) -> Option<Vec<&str>> {
        match factor {
            "student" => Some(self.student.iter().map(String::as_str).collect()),
            "teacher" => Some(self.teacher.iter().map(String::as_str).collect()),
            "sft" => Some(self.sft.iter().map(|level| level.name()).collect()),
            "algorithm" => Some(self.algorithm.iter().map(String::as_str).collect()),
            _ => None,
        }
    }
}

/// Crosses the factors; the last one varies fastest. Algorithms without a teacher are left to
/// [`controls`].
#[must_use]
pub fn arms(experiment: &Experiment) -> Vec<Arm> {
    let factors = &experiment.factors;
    let controls = controls(experiment);
    let taught: Vec<&String> = factors.algorithm.iter().filter(|name| has_teacher(experiment, name)).collect();
    let mut arms = Vec::new();
    for student in &factors.student {
        for teacher in &factors.teacher {
            for &sft in &factors.sft {
                for &algorithm in &taught {
                    let mut arm = Arm {
                        name: String::new(),
                        student: student.clone(),
                        teacher: teacher.clone(),
                        sft,
                        algorithm: algorithm.clone(),
                        control: None,
                    };
                    arm.name = name(&arm, factors);
                    arm.control = controls.iter().find(|control| control.serves(&arm)).map(|c| c.name.clone());
                    arms.push(arm);
                }
            }
        }
    }
    arms
}

/// Says whether an algorithm learns from a teacher; one that is not defined is a fault elsewhere.
fn has_teacher(experiment: &Experiment, algorithm: &str) -> bool {
    experiment.algorithms.get(algorithm).is_none_or(Algorithm::has_teacher)
}

/// Lists the controls: for every algorithm without a teacher, each student from each of its starts.
#[must_use]
pub fn controls(experiment: &Experiment) -> Vec<Control> {
    let factors = &experiment.factors;
    let mut starts: Vec<SftLevel> = Vec::new();
    for level in &factors.sft {
        let start = if level.tunes_student() { SftLevel::Student } else { SftLevel::None };
        if !starts.contains(&start) {
            starts.push(start);
        }
    }
    let untaught = factors.algorithm.iter().filter(|name| !has_teacher(experiment, name));
    let mut controls = Vec::new();
    for algorithm in untaught {
        for student in &factors.student {
            for &sft in &starts {
                let parts = [(factors.student.len(), student.as_str()), (starts.len(), sft.name())];
                let varying = parts.into_iter().filter(|(levels, _)| *levels > 1).map(|(_, level)| level);
                let name = varying.chain([algorithm.as_str()]).collect::<Vec<_>>().join("/");
                controls.push(Control { name, student: student.clone(), sft, algorithm: algorithm.clone() });
            }
        }
    }
    controls
}

fn name(arm: &Arm, factors: &Factors) -> String {
    let varies = |factor: &&&str| factors.levels(factor).is_some_and(|levels| levels.len() > 1);
    let levels: Vec<&str> = FACTORS.iter().filter(varies).filter_map(|factor| arm.level(factor)).collect();
    if levels.is_empty() { arm.algorithm.clone() } else { levels.join("/") }
}

/// Lists the reference models: each teacher and student as it is, and fine-tuned where an arm uses
/// it so.
#[must_use]
pub fn references(experiment: &Experiment) -> Vec<Reference> {
    let mut seen = BTreeSet::new();
    let mut references = Vec::new();
    for part in [Part::Teacher, Part::Student] {
        let (models, word) = match part {
            Part::Teacher => (&experiment.factors.teacher, "teacher"),
            Part::Student => (&experiment.factors.student, "student"),
        };
        let tuned = experiment.factors.sft.iter().any(|level| match part {
            Part::Teacher => level.tunes_teacher(),
            Part::Student => level.tunes_student(),
        });
        for model in models.iter().filter(|model| seen.insert((part, (*model).clone()))) {
            for sft in [false, true].into_iter().filter(|sft| tuned || !sft) {
                let suffix = if sft { " (sft)" } else { "" };
                // A student called `student` is named once.
                let named = if model == word { word.to_owned() } else { format!("{word} {model}") };
                references.push(Reference { name: format!("{named}{suffix}"), model: model.clone(), part, sft });
            }
        }
    }
    references
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(factors: &str) -> Experiment {
        let text = format!("version = 1\nquestion = \"?\"\nseeds = [1]\n[data]\n[models]\n[factors]\n{factors}");
        toml::from_str(&text).expect("an experiment")
    }

    fn names(factors: &str) -> Vec<String> {
        arms(&experiment(factors)).into_iter().map(|arm| arm.name).collect()
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
        let arms = arms(&experiment(factors));
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
        let experiment = experiment(factors);
        let controls = controls(&experiment);
        let names: Vec<&str> = controls.iter().map(|control| control.name.as_str()).collect();
        assert_eq!(names, ["none/ce", "student/ce"]);
        let arms = arms(&experiment);
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
        let references = references(&experiment(factors));
        let names: Vec<&str> = references.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["teacher l", "teacher l (sft)", "student s"]);
    }

    #[test]
    fn a_model_that_is_called_as_its_part_is_named_once() {
        let factors = "student = ['student']\nteacher = ['student']\nsft = ['both']\nalgorithm = ['kd']";
        let references = references(&experiment(factors));
        let names: Vec<&str> = references.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["teacher student", "teacher student (sft)", "student", "student (sft)"]);
    }
}
