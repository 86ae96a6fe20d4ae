//! The stage `prepare` of a data set: imported, divided, and described.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::around::Surroundings;
use super::cost::{CHARACTERS_PER_TOKEN, Cost, Scene};
use super::{Work, rows, with_hint};
use crate::data::facts::{Values, facts, facts_of_texts};
use crate::data::overlap::{Overlap, overlaps};
use crate::data::sizes::Sizes;
use crate::data::{
    Characters, Divided, Document, Example, ImportError, SplitName, corpus, split_texts, texts as import_texts,
};
use crate::experiment::settings::{Data, Kind};
use crate::files;
use crate::orchestrate::kind::StageKind;

/// Imports and divides data. Input: `source` unless the data is embedded. Output: `train.jsonl`,
/// `dev.jsonl`, `test.jsonl` and `summary.json`; unless the data are texts `corpus.jsonl` and `wordings.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DataJob {
    /// The settings; the path only tells where to read.
    pub data: Data,
    /// Checksum of the embedded source; none for a file, which is an input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<String>,
}

impl Work for DataJob {
    fn kind(&self) -> StageKind {
        StageKind::Prepare
    }

    fn version(&self) -> u32 {
        // 2: a passage is followed by its questions, and blank contexts join no rows.
        // 3: a question asked in two documents stays with both, rows of one context are one group;
        // how a corpus is laid out is part of the key.
        // 4: windows are cut after the division and, in dev and test, without the answer; groups that
        // share a question with its answer are in one split; corpora are passages without questions.
        4
    }

    fn reset(&mut self) {
        self.data.path = None;
        self.data.password = None;
    }

    fn cost(&self, scene: &Scene<'_>) -> Cost {
        let all = scene.sizes.map(|sizes| sizes.corpus + sizes.train.whole + sizes.dev.whole + sizes.test.whole);
        Cost::of_disk(all.map(|tokens| CHARACTERS_PER_TOKEN * tokens))
    }

    fn run(&self, around: Surroundings<'_>) -> anyhow::Result<()> {
        prepare(&self.data, &around.folder.output())
    }
}

/// Texts for pretraining.
const CORPUS: &str = "corpus.jsonl";

/// Texts for tokenizers.
const WORDINGS: &str = "wordings.jsonl";

/// Says what a prepared data set holds; kept as `summary.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// What the examples are.
    #[serde(default)]
    pub kind: Kind,
    /// Examples, or texts, of train, dev and test.
    pub examples: [u64; 3],
    /// How long those are; none in summaries that older versions left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<[Sizes; 3]>,
    /// Characters of the texts that pretraining reads; none in summaries that older versions left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<u64>,
    /// Rows left out, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Rows kept with a reservation, by reason.
    pub notes: BTreeMap<String, u64>,
    /// What a group of examples is called: `document`, `term`, `group`, `context`, `conversation` or `question`.
    pub unit: String,
    /// Examples of dev and test whose question stands in train.
    pub overlaps: Vec<Overlap>,
    /// What a reader of results must know about the data: name and value.
    pub facts: Vec<(String, String)>,
    /// Seed of the division; also that by which the questions are drawn that are answered.
    pub seed: u64,
    /// BLAKE3 of the source.
    pub checksum: String,
}

impl Summary {
    /// Returns what the data set holds; none if an older version prepared it.
    #[must_use]
    pub fn characters(&self) -> Option<Characters> {
        Some(Characters { splits: self.sizes?, texts: self.texts? })
    }
}

/// Returns the file of a split in a prepared data set.
#[must_use]
pub fn split_file(data: &Path, split: SplitName) -> std::path::PathBuf {
    data.join(format!("{split}.jsonl"))
}

/// Reads a split of a prepared data set of questions.
///
/// # Errors
/// A file that cannot be read, or that holds texts.
pub fn read_split(data: &Path, split: SplitName) -> anyhow::Result<Vec<Example>> {
    rows::read(&split_file(data, split))
}

/// Reads a split of a prepared data set of texts, one by one.
///
/// # Errors
/// A file that cannot be read, or, where it is met, a row that is no text.
pub fn documents(
    data: &Path,
    split: SplitName,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Document>> + use<>> {
    rows::stream(&split_file(data, split))
}

/// Reads what pretraining reads of a prepared data set, one by one: its corpus, or its texts of train.
///
/// # Errors
/// As for [`documents`].
pub fn texts(data: &Path) -> anyhow::Result<Box<dyn Iterator<Item = anyhow::Result<String>> + Send>> {
    texts_or(data, CORPUS)
}

/// Reads the texts that tokenizers are trained on, one by one.
///
/// # Errors
/// As for [`documents`].
pub fn wordings(data: &Path) -> anyhow::Result<Box<dyn Iterator<Item = anyhow::Result<String>> + Send>> {
    texts_or(data, WORDINGS)
}

/// Reads a file of texts that only data of questions have, else the texts of train.
fn texts_or(data: &Path, name: &str) -> anyhow::Result<Box<dyn Iterator<Item = anyhow::Result<String>> + Send>> {
    let file = data.join(name);
    if file.exists() {
        return Ok(Box::new(rows::stream(&file)?));
    }
    let train = rows::stream::<Document>(&split_file(data, SplitName::Train))?;
    Ok(Box::new(train.map(|document| Ok(document?.text))))
}

/// Reads what a prepared data set holds.
///
/// # Errors
/// A file that cannot be read.
pub fn read_summary(data: &Path) -> anyhow::Result<Summary> {
    let path = data.join("summary.json");
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Imports and divides a data set.
///
/// # Errors
/// See [`Divided::read`] and its like for texts; a file that cannot be written.
pub fn prepare(data: &Data, output: &Path) -> anyhow::Result<()> {
    let summary = match data.importer.kind() {
        Kind::Text => prepare_texts(data, output)?,
        Kind::QuestionAnswer | Kind::Chat | Kind::Choice => prepare_questions(data, output)?,
    };
    Ok(files::write_json(&output.join("summary.json"), &summary)?)
}

fn prepare_questions(data: &Data, output: &Path) -> anyhow::Result<Summary> {
    let divided = Divided::read(data, Path::new("")).map_err(|error| with_hint(error.hint(), error))?;
    let texts = divided.texts();
    let characters = divided.characters(&texts, data.closed_book);
    let Divided { imported, splits, windows } = divided;
    let overlaps = overlaps(&splits);
    rows::write(&output.join(CORPUS), &texts)?;
    rows::write(&output.join(WORDINGS), &corpus::wordings(&splits.train, &imported.passages))?;
    let parts = [(SplitName::Train, &splits.train), (SplitName::Dev, &splits.dev), (SplitName::Test, &splits.test)];
    for (name, examples) in parts {
        rows::write(&split_file(output, name), examples)?;
    }
    Ok(Summary {
        kind: data.importer.kind(),
        examples: parts.map(|(_, examples)| examples.len() as u64),
        sizes: Some(characters.splits),
        texts: Some(characters.texts),
        unit: imported.unit.to_owned(),
        facts: facts(data, &imported, &splits, windows, &overlaps, texts.len()),
        overlaps,
        seed: data.split.seed,
        skipped: imported.skipped,
        notes: imported.notes,
        checksum: imported.checksum,
    })
}

/// Writes texts into the file of their split as they are read.
fn prepare_texts(data: &Data, output: &Path) -> anyhow::Result<Summary> {
    let texts = import_texts(data, Path::new("")).map_err(|error| with_hint(error.hint(), error))?;
    let assigned = split_texts(&texts, &data.split, data.limit).map_err(|error| with_hint(error.hint(), error))?;
    let (mut sizes, mut values) = ([Sizes::default(); 3], Values::default());
    // Why the texts could not be read again, apart from why a file could not be written.
    let mut unread: Option<ImportError> = None;
    write_splits(output, |files| {
        let mut unwritten: io::Result<()> = Ok(());
        let read = texts.documents(&assigned.splits, &mut |split, document| {
            if unwritten.is_err() {
                return Ok(());
            }
            sizes[split as usize].add_text(&document.text);
            values.add(&document.fields, Some(split));
            let file = &mut *files[split as usize];
            unwritten = serde_json::to_writer(&mut *file, &document)
                .map_err(io::Error::from)
                .and_then(|()| file.write_all(b"\n"));
            Ok(())
        });
        unread = read.err();
        unwritten
    })?;
    if let Some(error) = unread {
        return Err(with_hint(error.hint(), error));
    }
    Ok(Summary {
        kind: Kind::Text,
        examples: sizes.map(|sizes| sizes.examples),
        sizes: Some(sizes),
        texts: Some(sizes[SplitName::Train as usize].whole),
        unit: texts.unit.to_owned(),
        facts: facts_of_texts(&texts, &assigned, &values),
        overlaps: Vec::new(),
        seed: data.split.seed,
        skipped: texts.skipped,
        notes: texts.notes,
        checksum: texts.checksum,
    })
}

/// Writes the files of all splits at once.
fn write_splits(
    output: &Path,
    fill: impl FnOnce(&mut [&mut dyn Write; 3]) -> io::Result<()>,
) -> Result<(), files::WriteError> {
    let [train, dev, test] = SplitName::ALL.map(|split| split_file(output, split));
    // One is written within the other; what goes wrong with an inner one is told as its own.
    let (mut of_dev, mut of_test) = (Ok(()), Ok(()));
    files::write_with(&train, |train| {
        of_dev = files::write_with(&dev, |dev| {
            of_test = files::write_with(&test, |test| fill(&mut [train, dev, test]));
            Ok(())
        });
        Ok(())
    })?;
    of_dev.and(of_test)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::settings::Experiment;
    use crate::orchestrate::stages::Job;

    #[test]
    fn prepared_data_reads_back_with_its_counts() {
        let folder = tempfile::tempdir().unwrap();
        let text = "version = 1\nquestion = \"?\"\nseeds = [1]\n[data.g]\nimporter = \"glossary\"\n\
            split.group-by = \"given\"\n[models]\n[factors]\nstudent = []\nteacher = []\nalgorithm = []";
        let experiment: Experiment = toml::from_str(text).unwrap();
        prepare(&experiment.data["g"], folder.path()).unwrap();
        let summary = read_summary(folder.path()).unwrap();
        let counted = [SplitName::Train, SplitName::Dev, SplitName::Test]
            .map(|split| read_split(folder.path(), split).unwrap().len() as u64);
        assert_eq!(summary.examples, counted);
        assert!(counted.iter().all(|&count| count > 100), "{counted:?}");
        // Pretraining reads no question; tokenizers know the words of all.
        let train = read_split(folder.path(), SplitName::Train).unwrap();
        let corpus = texts(folder.path()).unwrap().collect::<anyhow::Result<Vec<_>>>().unwrap();
        let wordings = super::wordings(folder.path()).unwrap().collect::<anyhow::Result<Vec<_>>>().unwrap();
        assert_eq!(wordings.len(), corpus.len() + train.len());
        for text in corpus {
            assert!(!text.contains('?') && !text.contains("Question:") && !text.contains("Answer:"), "{text}");
        }
        assert_eq!((summary.unit.as_str(), summary.seed, summary.overlaps.len()), ("term", 1, 0));
        let fact = |name: &str| summary.facts.iter().find(|(known, _)| known == name).unwrap().1.as_str();
        assert_eq!(fact("the test asks"), "recall of trained facts, in other words than training asked for them");
        assert_eq!(fact("unit of the data"), "term: 52 in train, 52 in dev, 52 in test");
    }

    #[test]
    fn facts_tell_what_is_shown_read_and_asked_twice() {
        let folder = tempfile::tempdir().unwrap();
        let row = |id: usize, question: &str, answer: &str, document: usize| {
            let context = format!("Of {id}: {question} {answer}. {}", "Other words follow. ".repeat(20));
            let answers = serde_json::json!({ "text": [answer], "answer_start": [context.find(answer).unwrap()] });
            let title = document.to_string();
            serde_json::json!({ "id": id, "title": title, "context": context, "question": question, "answers": answers })
        };
        // Two documents ask the same; another one asks it with another answer.
        let rows: Vec<_> = (0..60)
            .map(|id| match id {
                0 | 59 => row(id, "Who pages?", "The AMF", id / 2),
                30 => row(id, "Who pages?", "nobody", id / 2),
                _ => row(id, &format!("What is {id}?"), &format!("thing {id}"), id / 2),
            })
            .collect();
        let file = folder.path().join("rows.json");
        files::write_json(&file, &rows).unwrap();
        let told = |settings: &str| {
            let settings = format!("importer = \"squad\"\npath = {file:?}\nwindow = 40\n{settings}");
            prepare(&toml::from_str(&settings).unwrap(), folder.path()).unwrap();
            read_summary(folder.path()).unwrap()
        };
        let fact = |summary: &Summary, name: &str| {
            summary.facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let summary = told("");
        assert_eq!((summary.unit.as_str(), summary.skipped.len(), summary.notes.len()), ("document", 0, 0));
        assert_eq!(fact(&summary, "the test asks"), "questions on unseen documents");
        assert_eq!(
            fact(&summary, "kept together with others"),
            "2 documents, because they share a question with its answer"
        );
        assert_eq!(fact(&summary, "unit of the data"), "document: 24 in train, 3 in dev, 3 in test");
        let reads = "24 texts on the documents of train, passages only: no question, and answers only where a passage \
                     states them; none of a document of dev or test";
        assert_eq!(fact(&summary, "pretraining from scratch reads"), reads);
        assert!(fact(&summary, "prompts show").starts_with("80 characters of the passage"));
        let windows = fact(&summary, "windows that hold an accepted answer");
        assert!(windows.starts_with("48 of 48 in train (100.0 %)"), "{windows}");

        let summary = told("split = { group-by = \"example\", seed = 3 }\nwindow-at = \"answer\"");
        assert!(fact(&summary, "the test asks").starts_with("other questions,"), "{:?}", summary.facts);
        assert!(fact(&summary, "prompts show").starts_with("a control: 40 characters on each side of the gold answer"));
        assert!(fact(&told("closed-book = true"), "prompts show").contains("closed book"));
    }

    /// Prepares a file with these rows by settings and returns its folder with the summary.
    fn prepared_rows(settings: &str, rows: &serde_json::Value) -> (tempfile::TempDir, Summary) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.json");
        files::write_json(&file, rows).unwrap();
        prepare(&toml::from_str(&format!("path = {file:?}\n{settings}")).unwrap(), folder.path()).unwrap();
        let summary = read_summary(folder.path()).unwrap();
        (folder, summary)
    }

    fn all(read: anyhow::Result<impl Iterator<Item = anyhow::Result<String>>>) -> Vec<String> {
        read.unwrap().collect::<anyhow::Result<_>>().unwrap()
    }

    #[test]
    fn texts_lie_in_the_files_of_their_splits_and_are_what_is_read() {
        let text = |id: usize| format!("Text {id} é.");
        let row = |id: usize| serde_json::json!({"id": id, "text": text(id), "source": id % 3, "group": id / 2});
        let rows: serde_json::Value = (0..40).map(row).collect();
        let (folder, summary) = prepared_rows("importer = \"text\"\nfields = [\"source\"]", &rows);
        let read = |split| documents(folder.path(), split).unwrap().collect::<anyhow::Result<Vec<Document>>>().unwrap();
        let [train, dev, test] = SplitName::ALL.map(read);
        assert_eq!((summary.kind, summary.examples), (Kind::Text, [32, 4, 4]));
        assert_eq!([train.len(), dev.len(), test.len()], [32, 4, 4]);
        let mut found: Vec<String> = [&train, &dev, &test].into_iter().flatten().map(|d| d.text.clone()).collect();
        found.sort();
        let mut expected: Vec<String> = (0..40).map(text).collect();
        expected.sort();
        assert_eq!(found, expected);
        assert!(train.is_sorted_by_key(|document| document.id.parse::<usize>().unwrap()));
        let of_train: Vec<String> = train.iter().map(|document| document.text.clone()).collect();
        assert_eq!(all(texts(folder.path())), of_train);
        assert_eq!(all(wordings(folder.path())), of_train);
        let characters = of_train.iter().map(|text| text.chars().count() as u64).sum();
        assert_eq!((summary.texts, summary.sizes.unwrap()[0].whole), (Some(characters), characters));
        let facts: Vec<(&str, &str)> = summary.facts.iter().map(|(name, value)| (&**name, &**value)).collect();
        let expected = [
            ("unit of the data", "group: 16 in train, 2 in dev, 2 in test"),
            ("source", "3 values: 3 in train, 3 in dev, 3 in test"),
        ];
        assert_eq!(facts[..1], expected[..1]);
        assert!(facts[1].1.starts_with("3 values: 3 in train, ") && facts.len() == 2, "{facts:?}");
        let error = read_split(folder.path(), SplitName::Train).unwrap_err();
        assert!(format!("{error:#}").contains("train.jsonl`, line 1"), "{error:#}");
    }

    #[test]
    fn a_set_that_is_one_split_has_empty_files_of_the_others() {
        let row =
            |id: usize| serde_json::json!({"question": format!("q{id}?"), "choices": ["gNB", "AMF"], "answer": id % 2});
        let rows: serde_json::Value = (0..10).map(row).collect();
        let (folder, summary) = prepared_rows("importer = \"choice\"\nsplit = { all = \"test\" }", &rows);
        assert_eq!((summary.kind, summary.examples, summary.texts), (Kind::Choice, [0, 0, 10], Some(0)));
        assert_eq!(read_split(folder.path(), SplitName::Train).unwrap(), []);
        assert_eq!(all(texts(folder.path())), [""; 0]);
        let sizes = summary.sizes.unwrap()[2];
        assert_eq!(sizes, Sizes { examples: 10, prompts: 90, answers: 30, longest_prompt: 9, whole: 120 });
        let fact = |name: &str| summary.facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(fact("prompts show"), Some("the question, with its options where they are offered with letters"));
        assert_eq!(fact("pretraining from scratch reads"), None);
    }

    #[test]
    fn conversations_are_divided_whole() {
        let turn = |role: &str, content: String| serde_json::json!({"role": role, "content": content});
        let row = |id: usize| {
            let turns = (0..4).map(|part| turn(["user", "assistant"][part % 2], format!("{id} says {part}")));
            serde_json::json!({"id": id, "messages": turns.collect::<Vec<_>>()})
        };
        let rows: serde_json::Value = (0..20).map(row).collect();
        let (_folder, summary) = prepared_rows("importer = \"messages\"", &rows);
        assert_eq!((summary.kind, summary.examples, summary.unit.as_str()), (Kind::Chat, [32, 4, 4], "conversation"));
        let fact = |name: &str| summary.facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(fact("the test asks"), Some("questions in unseen conversations"));
        assert_eq!(fact("unit of the data"), Some("conversation: 16 in train, 2 in dev, 2 in test"));
        assert_eq!(fact("prompts show"), Some("the conversation up to the question"));
        assert_eq!(fact("pretraining from scratch reads"), None);
    }

    #[test]
    fn a_summary_of_before_is_read() {
        let old = r#"{"examples": [1, 2, 3], "skipped": {}, "notes": {}, "unit": "document", "overlaps": [],
            "facts": [], "seed": 1, "checksum": "c"}"#;
        let summary: Summary = serde_json::from_str(old).unwrap();
        assert_eq!((summary.kind, summary.sizes, summary.texts), (Kind::QuestionAnswer, None, None));
    }

    #[test]
    fn settings_that_are_not_made_change_no_key() {
        let data: Data = toml::from_str("importer = \"jsonl\"").unwrap();
        let written = serde_json::to_value(&data).unwrap();
        let keys: Vec<&str> = written.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["closed-book", "importer", "split", "window-at"]);
        assert_eq!(written["split"].as_object().unwrap().len(), 5);
    }

    /// Returns the checksum of everything that stages read of data with these settings.
    fn prepared(settings: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        prepare(&toml::from_str(settings).unwrap(), folder.path()).unwrap();
        let mut hasher = blake3::Hasher::new();
        for name in ["train.jsonl", "dev.jsonl", "test.jsonl", CORPUS, WORDINGS] {
            hasher.update(&std::fs::read(folder.path().join(name)).unwrap());
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }

    #[test]
    fn prepared_data_never_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.jsonl");
        let row = |id: usize| {
            let context = format!("Passage {} has {} words and says x{id} of it.", id / 3, id % 7);
            format!(
                "{{\"id\": {id}, \"question\": \"q{}?\", \"answers\": [\"x{id}\", \"y\"], \"context\": {context:?}}}\n",
                id % 50
            )
        };
        std::fs::write(&file, (0..60).map(row).collect::<String>()).unwrap();
        let rows = |settings: &str| prepared(&format!("importer = \"jsonl\"\npath = {file:?}\n{settings}"));
        // Stored once: a change would divide the data of published studies anew.
        assert_eq!(prepared("importer = \"glossary\"\nsplit.group-by = \"given\""), "81a187c60a8d758e");
        assert_eq!(prepared("importer = \"glossary\"\nlimit = 500"), "bef1d0cc9c36e9dd");
        assert_eq!(rows(""), "c3ca4cf78a1e2a46");
        assert_eq!(rows("window = 8\nlimit = 50\nsplit = { seed = 7, group-by = \"example\" }"), "799bbab1c269be1e");
    }

    #[test]
    fn data_are_known_by_their_source_and_by_what_prompts_show() {
        let settings = "importer = \"glossary\"";
        let data: Data = toml::from_str(settings).unwrap();
        let essential =
            |data: Data, embedded: &str| Job::from(DataJob { data, embedded: Some(embedded.to_owned()) }).essential();
        let plain = essential(data.clone(), "1");
        assert_eq!(essential(Data { path: Some("elsewhere".into()), ..data.clone() }, "1"), plain);
        assert_ne!(essential(Data { closed_book: true, ..data.clone() }, "1"), plain);
        assert_ne!(essential(data, "2"), plain);
    }
}
