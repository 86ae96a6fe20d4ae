//! Which data set is meant where several could be.

use super::settings::{Experiment, Kind};

/// Says what is done with a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Questions are answered, or learned to be.
    Questions,
    /// Texts are read.
    Texts,
}

impl Need {
    /// Lists the kinds that have it, those first that are meant before others.
    fn kinds(self) -> [&'static [Kind]; 2] {
        match self {
            Self::Questions => [&[Kind::QuestionAnswer, Kind::Chat], &[Kind::Choice]],
            // Passages are texts, too.
            Self::Texts => [&[Kind::Text], &[Kind::QuestionAnswer, Kind::Chat, Kind::Choice]],
        }
    }
}

/// Returns the data set that `named` names or, without a name, the only one of a kind that has what is needed:
/// questions with answers before those with options, texts before passages.
///
/// # Errors
/// The names of those that it could be.
pub fn meant<'e>(experiment: &'e Experiment, named: Option<&'e str>, need: Need) -> Result<&'e str, Vec<&'e str>> {
    if let Some(named) = named {
        return Ok(named);
    }
    for kinds in need.kinds() {
        let fitting = experiment.data.iter().filter(|(_, data)| kinds.contains(&data.importer.kind()));
        let fitting: Vec<&str> = fitting.map(|(name, _)| name.as_str()).collect();
        match fitting[..] {
            [] => {}
            [only] => return Ok(only),
            _ => return Err(fitting),
        }
    }
    Err(Vec::new())
}
