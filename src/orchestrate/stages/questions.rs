//! Questions as sequences: encoded by the first stage that learns from them, read by those after it.

use std::fs;
use std::io;
use std::path::Path;

use super::around::Surroundings;
use super::data::split_file;
use super::{rows, with_hint};
use crate::data::encode::{self, Limits, Misfits, Unworded, encode_all};
use crate::data::encoded::EncodedSplit;
use crate::data::{Example, Sequence, SplitName, Tokenizer, Wording, template};
use crate::experiment::settings::Template;
use crate::files;
use crate::orchestrate::keep::event::Event;

impl Surroundings<'_> {
    /// Returns the sequences of a split of the data set in input `data`, and notes what did not fit.
    pub(super) fn sequences(
        &mut self,
        tokenizer: &Tokenizer,
        data: &str,
        split: SplitName,
        limits: Limits,
        words: (&Template, bool),
    ) -> anyhow::Result<Vec<Sequence>> {
        let examples = split_file(self.inputs.get(data)?, split);
        let encoded = self.encoded(tokenizer, &examples, limits, words)?;
        let Misfits { clipped_prompts, rejected_responses } = encoded.misfits;
        for (count, what) in [
            (clipped_prompts, "prompts lost their left end"),
            (rejected_responses, "examples were left out because their response is too long"),
        ] {
            if count > 0 {
                let (all, limit) = (encoded.examples, limits.max_length);
                self.note(format!("{split}: {count} of {all} {what} (`max-length` {limit})"));
            }
        }
        Ok(encoded.sequences)
    }

    /// Encodes a file of examples, or reads what another stage encoded.
    fn encoded(
        &mut self,
        tokenizer: &Tokenizer,
        examples: &Path,
        limits: Limits,
        words: (&Template, bool),
    ) -> anyhow::Result<EncodedSplit> {
        let kept = self.folder.encoded(&name(tokenizer, examples, limits, words)?);
        match fs::read(&kept).map(|bytes| EncodedSplit::read(&bytes)) {
            Ok(Some(encoded)) => return Ok(encoded),
            Ok(None) => self.note(format!("`{}` is damaged: the questions are encoded again", kept.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                self.note(format!("cannot read `{}` ({error}): the questions are encoded again", kept.display()));
            }
        }
        let read: Vec<Example> = rows::read(examples)?;
        let wording = wording(words, tokenizer)?;
        let (sequences, misfits) = encode_all(tokenizer, &read, &wording, limits).map_err(unworded)?;
        let encoded = EncodedSplit { sequences, misfits, examples: read.len() };
        // Saves the next stage the work, and no more: this one has what it needs.
        if let Err(error) = self.keep_encoded(&encoded, &kept) {
            self.note(format!("encoded questions are not kept for other stages: {error:#}"));
        }
        Ok(encoded)
    }

    /// Puts sequences where other stages find them, whole or not at all.
    fn keep_encoded(&self, encoded: &EncodedSplit, kept: &Path) -> anyhow::Result<()> {
        // Written in this stage's own folder: there, what a kill leaves is swept.
        let own = self.folder.path().join(format!("{}encoded", files::PREFIX));
        files::write_with(&own, |file| encoded.write(file))?;
        let moved = kept.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::rename(&own, kept));
        if let Err(source) = moved {
            // Or it would be listed as a part of the stage.
            fs::remove_file(&own)?;
            return Err(files::failed(kept, None, source).into());
        }
        Ok(())
    }

    fn note(&mut self, text: String) {
        (self.events)(Event::Note { text });
    }
}

/// Makes ready how examples are worded for a model: by a template, without passages or with them.
pub(super) fn wording((template, closed_book): (&Template, bool), tokenizer: &Tokenizer) -> anyhow::Result<Wording> {
    Wording::new(template, closed_book, tokenizer).map_err(|error| with_hint(error.hint(), error))
}

/// Says which example has no words, and what to do about it.
pub(super) fn unworded(error: Unworded) -> anyhow::Error {
    with_hint(error.source.hint(), error)
}

/// Names sequences by everything that they depend on.
fn name(
    tokenizer: &Tokenizer,
    examples: &Path,
    limits: Limits,
    (template, closed_book): (&Template, bool),
) -> io::Result<String> {
    let told = serde_json::json!({
        "versions": [encode::VERSION, template::VERSION],
        "examples": files::checksum(examples)?,
        "tokenizer": tokenizer.identity(),
        "max-length": limits.max_length,
        "max-prompt": limits.max_prompt,
        "closed-book": closed_book,
        "template": template,
        "chat": tokenizer.chat_template_source().filter(|_| *template == Template::Chat),
    });
    Ok(blake3::hash(told.to_string().as_bytes()).to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Compute;
    use crate::experiment::identity;
    use crate::orchestrate::keep::store::{StageFolder, Store};
    use crate::orchestrate::kind::StageKind;
    use crate::orchestrate::stages::inputs::Inputs;
    use crate::orchestrate::stages::small;
    use crate::orchestrate::stages::stop::StopFlag;

    /// Encodes the train split of `data` as the stage of `folder` would, and returns what it told.
    fn encode(folder: &StageFolder, data: &Path, max_length: usize) -> (Vec<Sequence>, Vec<Event>) {
        let mut told = Vec::new();
        let inputs: Inputs = [("data".to_owned(), data.to_owned())].into_iter().collect();
        let mut around = Surroundings {
            compute: Compute::reference(),
            inputs: &inputs,
            folder,
            events: &mut |event| told.push(event),
            stop: &StopFlag::default(),
        };
        let limits = Limits { max_length, max_prompt: None };
        let sequences =
            around.sequences(&small::tokenizer(), "data", SplitName::Train, limits, (&Template::Plain, true)).unwrap();
        (sequences, told)
    }

    fn files_in(folder: &Path) -> Vec<std::path::PathBuf> {
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    #[test]
    fn questions_are_encoded_once_and_again_only_where_anything_differs() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        rows::write(&split_file(&data, SplitName::Train), &small::examples(12)).unwrap();
        let stage = |name: &str| {
            let stage = store.stage(StageKind::Sft, &identity::identity("sft", 1, &name, &[]).unwrap());
            let lock = stage.try_lock().unwrap().unwrap();
            stage.begin(&lock).unwrap();
            stage
        };
        let kept = store.root().join("encoded");

        let (first, told) = encode(&stage("first"), &data, 64);
        assert_eq!((first.len(), told), (12, vec![]));
        let [file] = files_in(&kept).try_into().unwrap();
        // The file is what is read: with other tokens in it, other tokens are found.
        let mut other = EncodedSplit::read(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(other.sequences, first);
        other.sequences.truncate(5);
        let mut bytes = Vec::new();
        other.write(&mut bytes).unwrap();
        fs::write(&file, &bytes).unwrap();
        assert_eq!(encode(&stage("second"), &data, 64), (other.sequences, vec![]));

        // A flipped byte is told, and mended.
        bytes[60] ^= 4;
        fs::write(&file, &bytes).unwrap();
        let (again, told) = encode(&stage("second"), &data, 64);
        let damaged = format!("`{}` is damaged: the questions are encoded again", file.display());
        assert_eq!((&again, told), (&first, vec![Event::Note { text: damaged }]));
        assert_eq!(EncodedSplit::read(&fs::read(&file).unwrap()).unwrap().sequences, first);

        // What does not fit is told whoever encoded it.
        let told_twice = ["first", "second"].map(|name| encode(&stage(name), &data, 4).1);
        assert!(!told_twice[0].is_empty());
        assert_eq!(told_twice[0], told_twice[1]);
        assert_eq!(files_in(&kept).len(), 2);

        // Where nothing can be kept the stage goes on, and leaves nothing behind.
        rows::write(&split_file(&data, SplitName::Train), &small::examples(11)).unwrap();
        fs::remove_dir_all(&kept).unwrap();
        fs::write(&kept, "in the way").unwrap();
        let third = stage("third");
        let (fewer, told) = encode(&third, &data, 64);
        assert_eq!(fewer.len(), 11);
        let [Event::Note { text: unread }, Event::Note { text: unkept }] = told.as_slice() else { panic!("{told:?}") };
        assert!(unread.starts_with("cannot read `"), "{unread}");
        assert!(unkept.starts_with("encoded questions are not kept for other stages: cannot write `"), "{unkept}");
        let names: Vec<_> = files_in(third.path()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["checkpoint", "lock", "output"]);
    }
}
