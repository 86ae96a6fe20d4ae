//! Sizes of the data sets of a plan.

use std::path::Path;

use crate::data::sizes::Sizes as SplitCharacters;
use crate::data::{Characters, Divided, SplitName, text_bytes};
use crate::experiment::settings::{Data, Kind};
use crate::orchestrate::stages::cost::{CHARACTERS_PER_TOKEN, Sizes, Split};

/// Characters of a text that was not read yet: an assumption, of the order of a section or a web page. It says
/// how many texts there are, not how many tokens.
const CHARACTERS_PER_TEXT: f64 = 4_000.0;

/// Counts the tokens of a data set before it is prepared; none if it cannot be read here. Questions are
/// imported, of texts only the files are measured. Sequences have at most `longest` tokens.
pub(super) fn of(data: &Data, longest: f64) -> Option<Sizes> {
    if data.importer.kind() == Kind::Text {
        return of_files(data);
    }
    let divided = Divided::read(data, Path::new("")).ok()?;
    Some(of_characters(&divided.characters(&divided.texts(), data.closed_book), longest))
}

/// Counts the tokens of a data set whose characters are known.
pub(super) fn of_characters(characters: &Characters, longest: f64) -> Sizes {
    let [train, dev, test] = characters.splits.map(|sizes| split_of(&sizes, longest));
    Sizes { corpus: characters.texts as f64 / CHARACTERS_PER_TOKEN, train, dev, test }
}

/// Takes the files of texts for their characters, and divides them by the shares that are asked for.
fn of_files(data: &Data) -> Option<Sizes> {
    let characters = text_bytes(data.path.as_deref()?).ok()? as f64;
    let of_part = |part: SplitName| {
        let share = match (data.split.all, part) {
            (Some(all), _) => f64::from(u8::from(all == part)),
            (None, SplitName::Train) => data.split.train,
            (None, SplitName::Dev) => data.split.dev,
            (None, SplitName::Test) => data.split.test,
        };
        let whole = share * characters / CHARACTERS_PER_TOKEN;
        Split { examples: (share * characters / CHARACTERS_PER_TEXT).ceil(), whole, ..Split::default() }
    };
    let train = of_part(SplitName::Train);
    Some(Sizes { corpus: train.whole, train, dev: of_part(SplitName::Dev), test: of_part(SplitName::Test) })
}

fn split_of(characters: &SplitCharacters, longest: f64) -> Split {
    let tokens = |count: u64| count as f64 / CHARACTERS_PER_TOKEN;
    let examples = characters.examples as f64;
    let most = examples * longest;
    let longest_prompt = tokens(characters.longest_prompt).min(longest);
    Split {
        examples,
        prompts: tokens(characters.prompts).min(most),
        // With their ends.
        responses: tokens(characters.answers) + examples,
        whole: tokens(characters.whole).min(most),
        longest_prompt,
        longest: (longest_prompt + tokens(characters.answers) / examples.max(1.0)).min(longest),
    }
}
