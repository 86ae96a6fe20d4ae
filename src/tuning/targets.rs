//! Which modules of a model get an adapter, of which rank.

use std::collections::BTreeMap;

use regex::Regex;

use crate::experiment::settings::{Lora, TargetPreset, is_pattern, pattern};
use crate::models::config::{Config, Part, Projection};

/// A projection that gets an adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Name in checkpoints: `model.layers.0.self_attn.q_proj`.
    pub name: String,
    /// The projection.
    pub projection: Projection,
    /// Rank of the update.
    pub rank: usize,
    /// Its numerator of the scale.
    pub alpha: f64,
}

impl Target {
    /// Returns the factor on the update: `alpha / rank`, or `alpha / sqrt(rank)`.
    pub fn scale(&self, settings: &Lora) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if settings.rslora { rank.sqrt() } else { rank }
    }

    /// Returns the parameters of its adapter: `rank (in + out)`, and a length for each row.
    pub fn parameters(&self, settings: &Lora) -> u64 {
        let Projection { input, output, .. } = self.projection;
        let lengths = if settings.dora { output } else { 0 };
        self.rank as u64 * (input + output).unsigned_abs() + lengths.unsigned_abs()
    }
}

/// Says which names are meant.
#[derive(Debug)]
struct Pattern {
    word: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A word for several.
    Preset(TargetPreset),
    /// A name, or the last parts of one.
    Name,
    /// A regular expression on whole names.
    Regex(Regex),
}

impl Pattern {
    fn new(word: &str) -> Result<Self, String> {
        let kind = match TargetPreset::named(word) {
            Some(preset) => Kind::Preset(preset),
            None if is_pattern(word) => Kind::Regex(pattern(word, false)?),
            None => Kind::Name,
        };
        Ok(Self { word: word.to_owned(), kind })
    }

    fn holds(&self, name: &str, part: Part) -> bool {
        match &self.kind {
            Kind::Preset(preset) => preset_holds(*preset, part),
            Kind::Name => is_named(name, &self.word),
            Kind::Regex(regex) => regex.is_match(name),
        }
    }
}

/// Says whether a module is named in full, or by the last parts of its name.
pub fn is_named(name: &str, module: &str) -> bool {
    name.strip_suffix(module).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn preset_holds(preset: TargetPreset, part: Part) -> bool {
    match preset {
        TargetPreset::AttentionQv => matches!(part, Part::Query | Part::Value | Part::QueryKeyValue),
        TargetPreset::Attention => !matches!(part, Part::Widening | Part::Narrowing),
        TargetPreset::Mlp => matches!(part, Part::Widening | Part::Narrowing),
        TargetPreset::AllLinear => true,
    }
}

/// Finds what the settings of adapters mean in a model.
#[derive(Debug)]
pub struct Targets<'a> {
    settings: &'a Lora,
    modules: Vec<Pattern>,
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f64)>,
}

impl<'a> Targets<'a> {
    /// Reads the settings.
    ///
    /// # Errors
    /// A regular expression that is none.
    pub fn new(settings: &'a Lora) -> Result<Self, String> {
        Ok(Self {
            settings,
            modules: settings.target_modules.iter().map(|module| Pattern::new(module)).collect::<Result<_, _>>()?,
            ranks: pairs(&settings.rank_pattern)?,
            alphas: pairs(&settings.alpha_pattern)?,
        })
    }

    /// Returns what a projection gets by its full name; none if it gets no adapter.
    pub fn find(&self, name: &str, projection: &Projection) -> Option<Target> {
        self.modules.iter().any(|module| module.holds(name, projection.part)).then(|| Target {
            name: name.to_owned(),
            projection: *projection,
            rank: of(&self.ranks, name).unwrap_or(self.settings.rank),
            alpha: of(&self.alphas, name).unwrap_or(self.settings.alpha),
        })
    }

    /// Lists what gets an adapter, in the order of the model.
    pub fn all(&self, layers: Layers<'_>) -> Vec<Target> {
        let names = (0..layers.count).flat_map(|layer| layers.projections.iter().map(move |part| (layer, part)));
        names.filter_map(|(layer, part)| self.find(&layers.name(layer, part), part)).collect()
    }

    /// Lists the modules that name no projection.
    pub fn unmatched(&self, layers: Layers<'_>) -> Vec<&str> {
        let names: Vec<(String, Part)> = (0..layers.count)
            .flat_map(|layer| layers.projections.iter().map(move |part| (layers.name(layer, part), part.part)))
            .collect();
        let is_nothing = |module: &&Pattern| !names.iter().any(|(name, part)| module.holds(name, *part));
        self.modules.iter().filter(is_nothing).map(|module| module.word.as_str()).collect()
    }
}

/// The projections of a model: those of a layer, and how many layers there are.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    /// What the number of a layer follows in names.
    pub place: &'a str,
    /// How many there are.
    pub count: i64,
    /// Those of each.
    pub projections: &'a [Projection],
}

impl Layers<'_> {
    fn name(&self, layer: i64, projection: &Projection) -> String {
        format!("{}.{layer}.{}", self.place, projection.name)
    }
}

fn pairs<T: Copy>(patterns: &BTreeMap<String, T>) -> Result<Vec<(Regex, T)>, String> {
    patterns.iter().map(|(word, value)| Ok((pattern(word, true)?, *value))).collect()
}

fn of<T: Copy>(patterns: &[(Regex, T)], name: &str) -> Option<T> {
    patterns.iter().find(|(regex, _)| regex.is_match(name)).map(|(_, value)| *value)
}

/// Lists what gets an adapter in a model.
///
/// # Panics
/// At a regular expression that is none: the check of an experiment, and reading PEFT's file, refuse it.
pub fn targets(config: &Config, settings: &Lora) -> Vec<Target> {
    let projections = config.projections();
    let layers =
        Layers { place: config.family.places.layers, count: config.num_hidden_layers, projections: &projections };
    Targets::new(settings).expect("patterns were checked").all(layers)
}
