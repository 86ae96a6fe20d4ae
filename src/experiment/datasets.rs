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
    fn fits(self, kind: Kind) -> bool {
        (self == Self::Texts) == (kind == Kind::Text)
    }
}

/// Returns the data set that `named` names or, without a name, the only one there is or the only one of a
/// fitting kind. Texts are those of passages where no data set consists of texts.
///
/// # Errors
/// The names of those that it could be.
pub fn meant<'e>(experiment: &'e Experiment, named: Option<&'e str>, need: Need) -> Result<&'e str, Vec<&'e str>> {
    if let Some(named) = named {
        return Ok(named);
    }
    let all = || experiment.data.iter().map(|(name, data)| (name.as_str(), data.importer.kind()));
    let fitting: Vec<&str> = all().filter(|(_, kind)| need.fits(*kind)).map(|(name, _)| name).collect();
    match (&fitting[..], experiment.data.len()) {
        ([only], _) => Ok(only),
        ([], _) if need == Need::Texts || experiment.data.len() == 1 => {
            let others: Vec<&str> = all().map(|(name, _)| name).collect();
            if let [only] = others[..] { Ok(only) } else { Err(others) }
        }
        _ => Err(fitting),
    }
}
