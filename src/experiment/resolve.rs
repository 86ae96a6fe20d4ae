//! The resolved copy: an experiment with every default written out.

use super::settings::Experiment;

/// Writes the settings as an experiment file that reads back equal, without bases or overrides.
///
/// Paths are absolute, so the copy can be read from anywhere.
///
/// # Errors
/// A number beyond TOML's 64-bit signed integers.
pub fn resolve(experiment: &Experiment) -> Result<String, toml::ser::Error> {
    toml::to_string(experiment)
}
