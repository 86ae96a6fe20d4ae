//! Texts: rows with `text` or `content` (JSON, CSV, Parquet), files .txt and .md, or a folder of all these.
//!
//! No more than one text is in memory: a first pass keeps some numbers of each, by which texts are divided, and
//! later ones give the texts themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::Place;
use super::row::{self, Fields};
use super::source::Source;
use super::table::{self, Entry};
use super::{ImportError, Read, Rows, listed};
use crate::data::example::{Document, SplitName};
use crate::experiment::settings::{Data, GroupBy};
use crate::files;

pub(super) const READ: Read = Read::Texts(Texts::read);

/// Endings of files that are read, beside those with `.gz` after them.
pub(super) const ENDINGS: [&str; 7] = ["jsonl", "json", "csv", "tsv", "parquet", "txt", "md"];

/// Endings of files that are one text each.
const WHOLE: [&str; 2] = ["txt", "md"];

const TEXT: &str = "text";

/// What rows call a text that they do not call so.
const CONTENT: &str = "content";

/// Tells what is the same: the first half of BLAKE3.
type Hash = u128;

/// Holds what a first pass over texts tells of each.
#[derive(Debug)]
pub struct Texts {
    data: Data,
    files: Vec<TextFile>,
    /// In the order of the files, blank and repeated ones too.
    seen: Vec<Seen>,
    /// What a group is called: `document`, or `group` where rows name one.
    pub unit: &'static str,
    /// Texts left out, counted by reason.
    pub skipped: BTreeMap<String, u64>,
    /// What else was met, counted.
    pub notes: BTreeMap<String, u64>,
    /// BLAKE3 of the source, in hexadecimal: of a folder, of the names and checksums of its files.
    pub checksum: String,
}

#[derive(Debug)]
struct TextFile {
    path: PathBuf,
    /// Its path in the folder; none where it is named itself.
    name: Option<String>,
}

/// What is kept of a text.
#[derive(Debug, Clone)]
pub(in crate::data) struct Seen {
    pub(in crate::data) id: Hash,
    pub(in crate::data) group: Hash,
    pub(in crate::data) text: Hash,
    file: u32,
    pub(in crate::data) row: u32,
    /// The split that it says it is in.
    pub(in crate::data) split: Option<SplitName>,
    /// Whether it is blank or repeated.
    pub(in crate::data) is_left_out: bool,
}

/// One text as its file gives it.
struct Given {
    file: u32,
    row: usize,
    line: Option<usize>,
    document: Document,
    names_group: bool,
}

impl Texts {
    fn read(data: &Data, path: &Path) -> Result<Self, ImportError> {
        let mut rows = Rows::new(data);
        let files = files(path, &mut rows)?;
        let checksum = checksum(path, &files)?;
        let (mut seen, mut is_grouped) = (Vec::new(), false);
        let mut texts = Self {
            data: data.clone(),
            files,
            seen: Vec::new(),
            unit: "document",
            skipped: BTreeMap::new(),
            notes: BTreeMap::new(),
            checksum,
        };
        texts.each(&mut rows, &mut |given| {
            let Given { file, row, document, names_group, .. } = given;
            is_grouped |= names_group;
            seen.push(Seen {
                id: hash(&document.id),
                group: hash(&document.group),
                text: hash(&document.text),
                file,
                row: u32::try_from(row).unwrap_or(u32::MAX),
                split: document.split,
                is_left_out: document.text.trim().is_empty(),
            });
            Ok(())
        })?;
        texts.unit = if is_grouped { "group" } else { "document" };
        texts.seen = seen;
        let blank = texts.seen.iter().filter(|seen| seen.is_left_out).count() as u64;
        let repeated = texts.leave_out_repeated()?;
        for (reason, count) in [("text empty", blank), ("row repeated", repeated)] {
            if count > 0 {
                rows.skipped.insert(reason.to_owned(), count);
            }
        }
        (texts.skipped, texts.notes) = (rows.skipped, rows.notes);
        if texts.seen.iter().all(|seen| seen.is_left_out) {
            let (file, skipped) = (path.to_owned(), listed(&texts.skipped));
            return Err(ImportError::Nothing { file, what: TEXT, skipped });
        }
        Ok(texts)
    }

    /// Returns what is kept of each text, in the order of [`Texts::documents`].
    pub(in crate::data) fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// Goes through the texts once more and gives those that `assigned`, in their order, has a split for.
    ///
    /// # Errors
    /// As at first, or if a file has changed since; whatever `take` returns.
    pub fn documents(
        &self,
        assigned: &[Option<SplitName>],
        take: &mut dyn FnMut(SplitName, Document) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let mut places = self.seen.iter().zip(assigned);
        let mut rows = Rows::new(&self.data);
        self.each(&mut rows, &mut |given| {
            let changed = || ImportError::Changed { file: self.files[given.file as usize].path.clone() };
            let (seen, split) = places.next().ok_or_else(changed)?;
            let Some(split) = *split else { return Ok(()) };
            if seen.text != hash(&given.document.text) {
                return Err(changed());
            }
            take(split, Document { split: Some(split), ..given.document })
        })?;
        match (places.next(), self.files.last()) {
            (Some(_), Some(last)) => Err(ImportError::Changed { file: last.path.clone() }),
            _ => Ok(()),
        }
    }

    /// Goes through all files.
    fn each(
        &self,
        rows: &mut Rows<'_>,
        take: &mut dyn FnMut(Given) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        for (index, file) in (0..).zip(&self.files) {
            if WHOLE.contains(&table::ending(&file.path).as_str()) {
                take(self.whole(index, file)?)?;
            } else {
                self.rows(index, file, rows, take)?;
            }
        }
        Ok(())
    }

    /// Reads a file that is one text.
    fn whole(&self, index: u32, file: &TextFile) -> Result<Given, ImportError> {
        let place = |field: &str| Place { file: file.path.clone(), row: None, line: None, field: field.to_owned() };
        if self.data.split.group_by == GroupBy::Given && self.data.split.all.is_none() {
            return Err(ImportError::Missing { place: place("split") });
        }
        if let Some(field) = self.data.fields.first() {
            return Err(ImportError::Missing { place: place(field) });
        }
        let name = || file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let id = file.name.clone().unwrap_or_else(name);
        let text = match table::text(&file.path) {
            Err(ImportError::Empty { .. }) => String::new(),
            other => other?,
        };
        let document = Document { group: id.clone(), id, text, ..Document::default() };
        Ok(Given { file: index, row: 1, line: None, document, names_group: false })
    }

    /// Goes through the rows of a file.
    fn rows(
        &self,
        index: u32,
        file: &TextFile,
        rows: &mut Rows<'_>,
        take: &mut dyn FnMut(Given) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let source = Source::streamed(&file.path);
        let content = [CONTENT.to_owned()];
        let fields = Fields::of(&self.data);
        let called = Fields { columns: BTreeMap::from([(TEXT, &content[..])]), ..Fields::of(&self.data) };
        table::stream(&file.path, &[], &mut |entry: Entry| {
            let node = source.node(&entry);
            let is_content = !fields.columns.contains_key(TEXT)
                && node.optional(TEXT)?.is_none()
                && node.optional(CONTENT)?.is_some();
            let fields = if is_content { &called } else { &fields };
            row::others(&node, fields, rows)?;
            let id = match (node.optional(fields.name("id"))?, &file.name) {
                // Numbers begin anew in every file.
                (None, Some(name)) => format!("{name}#row-{}", entry.row),
                _ => fields.id(&node)?,
            };
            let group = fields.group(&node)?;
            let document = Document {
                fields: fields.kept(&[&node])?,
                text: fields.get(&node, TEXT)?.text()?.to_owned(),
                split: fields.split(&node)?,
                group: group.clone().unwrap_or_else(|| id.clone()),
                id,
            };
            let names_group = group.is_some();
            take(Given { file: index, row: entry.row, line: entry.line, document, names_group })
        })
    }

    /// Leaves out rows that are there twice and counts them; two that differ and have one id are an error.
    fn leave_out_repeated(&mut self) -> Result<u64, ImportError> {
        let mut order: Vec<u32> = (0..).take(self.seen.len()).collect();
        order.sort_by_key(|&index| (self.seen[index as usize].id, index));
        let mut repeated = Vec::new();
        let mut wrong: Option<(usize, usize)> = None;
        for same in order.chunk_by(|&a, &b| self.seen[a as usize].id == self.seen[b as usize].id) {
            let first = same[0] as usize;
            for &index in &same[1..] {
                let index = index as usize;
                let (one, other) = (&self.seen[first], &self.seen[index]);
                if (one.text, one.group, one.split) != (other.text, other.group, other.split) {
                    wrong = Some(wrong.map_or((index, first), |earliest| earliest.min((index, first))));
                } else if !other.is_left_out {
                    repeated.push(index);
                }
            }
        }
        for &index in &repeated {
            self.seen[index].is_left_out = true;
        }
        match wrong {
            Some((index, first)) => Err(self.duplicate(index, first)?),
            None => Ok(repeated.len() as u64),
        }
    }

    /// Says that the text `index` has the id of the text `first`.
    fn duplicate(&self, index: usize, first: usize) -> Result<ImportError, ImportError> {
        let (seen, mut at, mut found) = (&self.seen[first], 0, None);
        let mut first = format!("row {}", seen.row);
        if seen.file != self.seen[index].file {
            first += &format!(" of `{}`", self.files[seen.file as usize].path.display());
        }
        self.each(&mut Rows::new(&self.data), &mut |given| {
            if at == index {
                let file = self.files[given.file as usize].path.clone();
                found = Some((
                    Place { file, row: Some(given.row), line: given.line, field: String::new() },
                    given.document.id,
                ));
            }
            at += 1;
            Ok(())
        })?;
        match found {
            Some((place, id)) => Ok(ImportError::Duplicate { place, id, first: first.into() }),
            None => Ok(ImportError::Changed { file: self.files[self.seen[index].file as usize].path.clone() }),
        }
    }
}

fn hash(text: &str) -> Hash {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
    Hash::from_be_bytes(bytes)
}

/// Says whether a file of a folder is read, by its ending.
pub fn is_text(file: &Path) -> bool {
    ENDINGS.contains(&table::ending(file).as_str())
}

/// Returns the bytes of a file, or of all files of a folder that are read.
///
/// # Errors
/// When one of them cannot be found.
pub fn bytes(path: &Path) -> std::io::Result<u64> {
    let whole = fs::metadata(path)?;
    if !whole.is_dir() {
        return Ok(whole.len());
    }
    let mut found = BTreeSet::new();
    below(path, &mut found)?;
    found.iter().filter(|file| is_text(file)).map(|file| Ok(fs::metadata(file)?.len())).sum()
}

/// Lists the files to read, in the order of their paths.
fn files(path: &Path, rows: &mut Rows<'_>) -> Result<Vec<TextFile>, ImportError> {
    let unread = |source| ImportError::Read { file: path.to_owned(), source };
    if !fs::metadata(path).map_err(unread)?.is_dir() {
        return match is_text(path) {
            true => Ok(vec![TextFile { path: path.to_owned(), name: None }]),
            false => Err(ImportError::Ending { file: path.to_owned() }),
        };
    }
    let mut found = BTreeSet::new();
    below(path, &mut found).map_err(unread)?;
    let mut files = Vec::new();
    for file in found {
        let name = file.strip_prefix(path).unwrap_or(&file).display().to_string();
        if is_text(&file) {
            files.push(TextFile { path: file, name: Some(name) });
        } else {
            let ending = file.extension().map(OsStr::to_string_lossy);
            let ending = ending.map_or("no ending".to_owned(), |ending| format!("the ending `.{ending}`"));
            rows.note(&format!("file with {ending} is not read"));
        }
    }
    Ok(files)
}

/// Finds all files below a folder. What is hidden is none of them, and a link to a folder is not followed: it
/// may lead back.
fn below(folder: &Path, found: &mut BTreeSet<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            below(&path, found)?;
        } else if fs::metadata(&path)?.is_file() {
            found.insert(path);
        }
    }
    Ok(())
}

fn checksum(path: &Path, files: &[TextFile]) -> Result<String, ImportError> {
    let of = |file: &Path| files::checksum(file).map_err(|source| ImportError::Read { file: file.to_owned(), source });
    if let [TextFile { name: None, .. }] = files {
        return of(path);
    }
    let mut hasher = blake3::Hasher::new();
    for TextFile { path, name } in files {
        let name = name.as_deref().unwrap_or_default();
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes()).update(of(path)?.as_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{counts, told};
    use super::*;
    use crate::data::split_texts;

    /// Looks through files (in the folder `texts`, or one of them by name) by settings and returns the texts.
    fn texts(settings: &str, path: &str, files: &[(&str, &str)]) -> Result<(Texts, Vec<Document>), String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join("texts").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let data: Data = toml::from_str(&format!("importer = \"text\"\npath = {path:?}\n{settings}")).unwrap();
        let read = || -> Result<(Texts, Vec<Document>), ImportError> {
            let texts = super::super::texts(&data, folder.path())?;
            let assigned = split_texts(&texts, &data.split, data.limit).expect("texts for each split");
            let mut documents = Vec::new();
            texts.documents(&assigned.splits, &mut |split, document| {
                assert_eq!(document.split, Some(split));
                documents.push(document);
                Ok(())
            })?;
            Ok((texts, documents))
        };
        read().map_err(|error| told(&error, folder.path()))
    }

    const ALL: &str = "split = { all = \"train\" }";

    #[test]
    fn a_folder_is_read_in_the_order_of_its_paths() {
        let files = [
            ("b.txt", "\u{feff}of b\n"),
            ("a/z.md", "# of z"),
            ("a/rows.jsonl", "{\"text\": \"one\"}\n\n{\"text\": \"two\", \"id\": 7, \"group\": \"g\"}\n"),
            ("c.csv", "content,url\nthree,u\n"),
            ("d.json", "[{\"content\": \"four\"}]"),
            ("blank.txt", " \n"),
            ("scan.pdf", "%PDF"),
            ("README", "none"),
            (".hidden/x.txt", "none"),
        ];
        let (texts, documents) = texts(ALL, "texts", &files).unwrap();
        let found: Vec<_> = documents.iter().map(|d| (&*d.id, &*d.group, &*d.text)).collect();
        assert_eq!(
            found,
            [
                ("a/rows.jsonl#row-1", "a/rows.jsonl#row-1", "one"),
                ("7", "g", "two"),
                ("a/z.md", "a/z.md", "# of z"),
                ("b.txt", "b.txt", "of b\n"),
                ("c.csv#row-1", "c.csv#row-1", "three"),
                ("d.json#row-1", "d.json#row-1", "four"),
            ]
        );
        assert_eq!(counts(&texts.skipped), [("text empty", 1)]);
        let notes = [
            ("field `url` is not read", 1),
            ("file with no ending is not read", 1),
            ("file with the ending `.pdf` is not read", 1),
        ];
        assert_eq!(counts(&texts.notes), notes);
        assert_eq!(texts.unit, "group");
        // What files are called and what is in them is what the data are known by.
        let sums: BTreeSet<String> = [&files[..3], &files[..4], &[("b2.txt", files[0].1), files[1], files[2]]]
            .map(|files| self::texts(ALL, "texts", files).unwrap().0.checksum)
            .into();
        assert_eq!(sums.len(), 3);
    }

    #[test]
    fn a_file_of_rows_keeps_their_fields() {
        let rows = "{\"body\": \"one\", \"source\": \"a\", \"split\": \"test\"}\n{\"body\": \"two\", \"source\": 2, \"split\": \"train\"}";
        let settings = "columns = { text = \"body\" }\nfields = [\"source\"]\nsplit.group-by = \"given\"";
        let (texts, documents) = texts(settings, "texts/rows.jsonl", &[("rows.jsonl", rows)]).unwrap();
        let found: Vec<_> =
            documents.iter().map(|d| (&*d.id, &*d.text, &*d.fields["source"], d.split.unwrap())).collect();
        assert_eq!(found, [("row-1", "one", "a", SplitName::Test), ("row-2", "two", "2", SplitName::Train)]);
        assert_eq!((texts.unit, texts.notes.len()), ("document", 0));
        assert_eq!(texts.checksum, blake3::hash(rows.as_bytes()).to_hex().to_string());
    }

    #[test]
    fn texts_that_are_wrong_are_told() {
        let missing = "add the field, say in `columns` what it is called, or choose the importer of the file's format";
        let wrong =
            |settings: &str, path: &str, name: &str, text: &str| texts(settings, path, &[(name, text)]).unwrap_err();
        assert_eq!(
            wrong(ALL, "texts/r.jsonl", "r.jsonl", "{\"text\": \"a\"}\n{\"txt\": \"b\"}"),
            "`texts/r.jsonl`, row 2, line 2, field `txt` is not read, and there is no `text`\n\
             give it that name, or another one if it is something else"
        );
        assert_eq!(
            wrong(ALL, "texts/r.jsonl", "r.jsonl", "{\"text\": [\"a\"]}"),
            "`texts/r.jsonl`, row 1, line 1, field `text`: expected text, found a list of 1\n\
             correct the field, or choose the importer of the file's format"
        );
        assert_eq!(
            wrong(ALL, "texts/r.csv", "r.csv", "a\nb\n"),
            format!("`texts/r.csv`, row 1, line 2, field `text` is missing\n{missing}")
        );
        let endings = "`.jsonl`, `.json`, `.csv`, `.tsv`, `.parquet`, `.txt`, `.md`";
        assert_eq!(
            wrong(ALL, "texts/r.html", "r.html", "a"),
            format!(
                "`texts/r.html` has no ending of texts: expected one of {endings}\ngive the file the ending of its format"
            )
        );
        let nothing = "check that the files have texts";
        assert_eq!(
            wrong(ALL, "texts", "r.txt", " "),
            format!("`texts` has no usable text (skipped: text empty: 1)\n{nothing}").replace("`texts`", "`texts`")
        );
        assert_eq!(
            wrong("split.group-by = \"given\"", "texts/r.txt", "r.txt", "a"),
            format!("`texts/r.txt`, field `split` is missing\n{missing}")
        );
        assert_eq!(
            wrong("fields = [\"use-case\"]", "texts/r.txt", "r.txt", "a"),
            format!("`texts/r.txt`, field `use-case` is missing\n{missing}")
        );
        assert!(wrong(ALL, "texts/none.txt", "r.txt", "a").starts_with("cannot read `texts/none.txt`\n"));
    }

    #[test]
    fn rows_of_one_id_are_one_text_or_a_fault() {
        let row = |id: &str, text: &str| format!("{{\"id\": \"{id}\", \"text\": \"{text}\"}}\n");
        let rows = [row("a", "one"), row("b", "two"), row("a", "one")].concat();
        let (texts, documents) = self::texts(ALL, "texts", &[("r.jsonl", &rows)]).unwrap();
        assert_eq!((documents.len(), counts(&texts.skipped)), (2, vec![("row repeated", 1)]));
        let more = [row("b", "other"), row("a", "other")].concat();
        let told = self::texts(ALL, "texts", &[("r.jsonl", &rows), ("s.jsonl", &more)]).unwrap_err();
        assert_eq!(
            told,
            "`texts/s.jsonl`, row 1, line 1: id `b` is already used by row 2 of `texts/r.jsonl`, which differs\n\
             give each row its own id"
        );
        let told = self::texts(ALL, "texts", &[("r.jsonl", &format!("{rows}{more}"))]).unwrap_err();
        assert!(told.contains("row 4, line 4: id `b` is already used by row 2, which differs"), "{told}");
    }

    #[test]
    fn a_file_that_changed_while_it_was_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("r.jsonl");
        let write = |texts: &[&str]| {
            let rows = texts.iter().map(|text| format!("{{\"text\": \"{text}\"}}\n"));
            fs::write(&file, rows.collect::<String>()).unwrap();
        };
        write(&["a", "b"]);
        let data: Data = toml::from_str(&format!("importer = \"text\"\npath = {file:?}\n{ALL}")).unwrap();
        let texts = super::super::texts(&data, Path::new("")).unwrap();
        let assigned = split_texts(&texts, &data.split, None).unwrap();
        for changed in [&["a"][..], &["a", "c"], &["a", "b", "c"]] {
            write(changed);
            let error = texts.documents(&assigned.splits, &mut |_, _| Ok(())).unwrap_err();
            let expected = "`r.jsonl` changed while it was read\nwait until it is whole, and run this again";
            assert_eq!(told(&error, folder.path()), expected);
        }
    }
}
