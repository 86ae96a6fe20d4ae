//! A report as a list of typed blocks, which every printer prints in one order.
//!
//! Texts are data: a printer escapes or softens each of them, and none is ever markup.

use crate::plots::Figure;
use crate::statistics::P;
use crate::study::SideBySide;
use crate::tables::Table;

/// Holds a whole report.
#[derive(Debug)]
pub struct Document<'a> {
    /// Name of the experiment.
    pub name: &'a str,
    /// What stands above the title.
    pub kicker: String,
    /// The question.
    pub title: &'a str,
    /// Everything below the title.
    pub blocks: Vec<Block<'a>>,
}

/// One piece of a report.
#[derive(Debug)]
pub enum Block<'a> {
    /// Starts a section.
    Heading(String),
    /// Starts a part of a section.
    Subheading(String),
    /// Running text.
    Paragraph(String),
    /// What explains the block above, in smaller type.
    Note(String),
    /// What a reader must not overlook.
    Callout(Callout),
    /// The answers to the claims.
    Claims(Vec<Claim>),
    /// A table.
    Table(Table),
    /// A figure with its caption.
    Figure(&'a Figure),
    /// Names and values, under a head of their own.
    Facts(String, Vec<(String, String)>),
    /// Items of equal rank.
    List(Vec<String>),
    /// One question with the answers of several arms.
    Answers(Answers<'a>),
    /// Text in a file's own form.
    Code(&'a str),
    /// Two blocks beside each other where the medium has the room.
    Beside(Box<[Block<'a>; 2]>),
}

/// One question with what was answered, each answer once.
#[derive(Debug)]
pub struct Answers<'a> {
    /// The question and its references.
    pub example: &'a SideBySide,
    /// Arms that gave the same answer, and the answer.
    pub groups: Vec<(Vec<&'a str>, &'a str)>,
}

impl<'a> Answers<'a> {
    /// Groups the arms of an example by their answers, in the order of the first of each.
    pub fn of(example: &'a SideBySide) -> Self {
        let mut groups: Vec<(Vec<&str>, &str)> = Vec::new();
        for (arm, answer) in &example.answers {
            match groups.iter_mut().find(|(_, known)| known == answer) {
                Some((arms, _)) => arms.push(arm),
                None => groups.push((vec![arm], answer)),
            }
        }
        Self { example, groups }
    }
}

/// Says something that is not as it should be, and that a reader must not overlook.
#[derive(Debug)]
pub struct Callout {
    /// A few words.
    pub head: String,
    /// All of it.
    pub text: String,
}

/// A claim with its answer.
#[derive(Debug)]
pub struct Claim {
    /// Its verdict in a word or two.
    pub verdict: &'static str,
    /// The claim in words.
    pub name: String,
    /// What is compared, and over what.
    pub contrast: String,
    /// What the verdict holds for beyond what was measured.
    pub scope: String,
    /// What a reader of the verdict must know; empty if nothing.
    pub detail: String,
    /// The numbers behind the verdict, one row per metric.
    pub metrics: Vec<ClaimMetric>,
}

/// A claim on one metric.
#[derive(Debug)]
pub struct ClaimMetric {
    /// Name of the metric.
    pub label: String,
    /// Its answer in a word or two.
    pub verdict: &'static str,
    /// The numbers; or why there are none, empty where the claim says so for all its metrics.
    pub numbers: Result<Numbers, String>,
}

/// The numbers of a claim on one metric, as they are printed.
#[derive(Debug)]
pub struct Numbers {
    /// The effect with its sign.
    pub effect: String,
    /// Lower and upper limit of its interval.
    pub interval: (String, String),
    /// The adjusted p value.
    pub p: P,
    /// Whether it is significant, as part of a claim that is.
    pub significant: bool,
    /// Whether it is exploratory: adjusted on its own, since the claim as a whole holds neither way.
    pub exploratory: bool,
}
