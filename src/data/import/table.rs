//! The rows of a file, one by one: JSON lines or a JSON list, CSV, TSV, Parquet.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use parquet::file::reader::SerializedFileReader;
use parquet::record::reader::RowIter;
use serde_json::{Map, Value};

use super::error::ImportError;
use super::source::Source;
use crate::data::json::{self, BYTE_ORDER_MARK, GZIP};

/// Says how a file has its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// An object per line, or a list of them.
    Json,
    /// Cells with a separator between them, below a line with their names.
    Cells(u8),
    /// Columns of typed values.
    Parquet,
}

impl Format {
    /// Tells it by the ending of a file's name, before which there may be a `.gz`.
    pub(super) fn of(file: &Path) -> Self {
        match ending(file).as_str() {
            "csv" => Self::Cells(b','),
            "tsv" => Self::Cells(b'\t'),
            "parquet" => Self::Parquet,
            _ => Self::Json,
        }
    }
}

/// Returns the ending of a file's name in small letters, `.gz` aside.
pub(super) fn ending(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.rsplit_once('.').map(|(_, ending)| ending.to_owned()).unwrap_or_default()
}

/// One row.
pub(super) struct Entry {
    /// Its number, counted from 1; of a JSON line the number of the line.
    pub(super) row: usize,
    /// Its line, counted from 1, where it has one.
    pub(super) line: Option<usize>,
    /// Its place in a list, as the path of a field.
    pub(super) field: String,
    /// Its fields.
    pub(super) value: Value,
}

/// What is done with rows.
pub(super) type Take<'a> = &'a mut dyn FnMut(Entry) -> Result<(), ImportError>;

/// Reads all rows of a file that is in memory. Cells of the columns `lists` may hold a JSON list.
pub(super) fn read(source: &Source, lists: &[&str]) -> Result<Vec<Entry>, ImportError> {
    let mut entries = Vec::new();
    let mut take = |entry| {
        entries.push(entry);
        Ok(())
    };
    match source.format {
        Format::Json if source.is_array() => {
            let Value::Array(values) = source.document()? else { return Ok(entries) };
            for (index, value) in values.into_iter().enumerate() {
                take(element(index, value))?;
            }
        }
        Format::Json => {
            for (line, value) in source.lines()? {
                take(Entry { row: line, line: Some(line), field: String::new(), value })?;
            }
        }
        Format::Cells(separator) => cells(&source.file, source.text.as_bytes(), separator, lists, &mut take)?,
        Format::Parquet => columns(&source.file, &mut take)?,
    }
    Ok(entries)
}

/// Goes through the rows of a file without holding more than one of them.
pub(super) fn stream(file: &Path, lists: &[&str], take: Take<'_>) -> Result<(), ImportError> {
    match Format::of(file) {
        Format::Cells(separator) => cells(file, open(file)?, separator, lists, take),
        Format::Parquet => columns(file, take),
        Format::Json => {
            let mut reader = open(file)?;
            if is_array(&mut reader).map_err(|error| unread(file, error))? {
                return elements(file, reader, take);
            }
            each_line(file, reader, take)
        }
    }
}

/// Reads a text file as a whole.
pub(super) fn text(file: &Path) -> Result<String, ImportError> {
    Ok(Source::read(file, None)?.text)
}

fn element(index: usize, value: Value) -> Entry {
    Entry { row: index + 1, line: None, field: format!("[{index}]"), value }
}

/// Opens a file, gzipped or not, behind its byte order mark.
fn open(file: &Path) -> Result<Box<dyn BufRead>, ImportError> {
    const BUFFER: usize = 1 << 20;
    let begin = |mut reader: Box<dyn BufRead>| -> io::Result<Box<dyn BufRead>> {
        if reader.fill_buf()?.starts_with(BYTE_ORDER_MARK.as_bytes()) {
            reader.consume(BYTE_ORDER_MARK.len());
        }
        Ok(reader)
    };
    let opened = || -> io::Result<Box<dyn BufRead>> {
        let mut reader = BufReader::with_capacity(BUFFER, File::open(file)?);
        match reader.fill_buf()?.starts_with(&GZIP) {
            true => begin(Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(reader)))),
            false => begin(Box::new(reader)),
        }
    };
    opened().map_err(|error| unread(file, error))
}

/// Says that a file cannot be read; what the unpacker says is no matter of the file system.
fn unread(file: &Path, source: io::Error) -> ImportError {
    let file = file.to_owned();
    match source.raw_os_error() {
        None if is_gzip(&file) => ImportError::Packed { file, source },
        _ => ImportError::Read { file, source },
    }
}

fn is_gzip(file: &Path) -> bool {
    let mut start = [0; GZIP.len()];
    File::open(file).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == GZIP
}

/// Says whether the first sign that is no white space opens a list.
fn is_array(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let buffer = reader.fill_buf()?;
        let blank = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        match buffer.get(blank) {
            Some(b'[') => return Ok(true),
            // Lines are counted from the first: blank ones stay.
            Some(_) => return Ok(false),
            None if buffer.is_empty() => return Ok(false),
            None => reader.consume(blank),
        }
    }
}

/// Goes through JSON lines.
fn each_line(file: &Path, mut reader: impl BufRead, take: Take<'_>) -> Result<(), ImportError> {
    let (mut bytes, mut number, mut before) = (Vec::new(), 0, 0);
    loop {
        bytes.clear();
        number += 1;
        let read = reader.read_until(b'\n', &mut bytes).map_err(|error| unread(file, error))?;
        if read == 0 {
            return Ok(());
        }
        let line = str::from_utf8(&bytes).map_err(|error| {
            let byte = before + error.valid_up_to();
            ImportError::Encoding { file: file.to_owned(), byte, line: number }
        })?;
        before += read;
        if line.trim().is_empty() {
            continue;
        }
        let parsed = json::parse(line.trim_end_matches(['\r', '\n']));
        let value = match parsed {
            Ok(value) => value,
            Err((error, twice)) => {
                let mut rest = Vec::new();
                let is_last = reader.read_to_end(&mut rest).is_ok() && rest.trim_ascii().is_empty();
                return Err(wrong_json(file, error, twice, number, is_last));
            }
        };
        take(Entry { row: number, line: Some(number), field: String::new(), value })?;
    }
}

/// Goes through the elements of a JSON list.
fn elements(file: &Path, reader: impl Read, take: Take<'_>) -> Result<(), ImportError> {
    let (mut index, mut refused) = (0, None);
    let read = json::elements(reader, |value| {
        let taken = take(element(index, value));
        index += 1;
        taken.map_err(|error| refused = Some(error)).is_ok()
    });
    match (refused, read) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(()),
        (None, Err((error, _))) if error.is_io() => {
            let source = io::Error::from(error);
            Err(invalid(file)?.unwrap_or_else(|| unread(file, source)))
        }
        (None, Err((error, twice))) => Err(match invalid(file)? {
            Some(encoding) => encoding,
            None => wrong_json(file, error, twice, 1, true),
        }),
    }
}

/// Says what is wrong with JSON that starts at line `first`.
fn wrong_json(
    file: &Path,
    source: serde_json::Error,
    twice: Option<String>,
    first: usize,
    is_last: bool,
) -> ImportError {
    let (file, line) = (file.to_owned(), first + source.line().saturating_sub(1));
    match twice {
        Some(field) => ImportError::Twice { file, line, field },
        None => {
            let truncated = source.is_eof() && is_last;
            ImportError::Syntax { file, line, column: source.column(), truncated, source }
        }
    }
}

/// Goes through the rows of CSV.
fn cells(file: &Path, reader: impl Read, separator: u8, lists: &[&str], take: Take<'_>) -> Result<(), ImportError> {
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).from_reader(reader);
    let wrong = |error: csv::Error| -> ImportError {
        let line = |position: &Option<csv::Position>| position.as_ref().map_or(1, |position| position.line() as usize);
        match error.kind() {
            csv::ErrorKind::UnequalLengths { pos, expected_len, len } => ImportError::Cells {
                file: file.to_owned(),
                line: line(pos),
                expected: *expected_len as usize,
                found: *len as usize,
            },
            csv::ErrorKind::Utf8 { pos, .. } => match invalid(file) {
                Ok(Some(encoding)) => encoding,
                Ok(None) => ImportError::Encoding { file: file.to_owned(), byte: 0, line: line(pos) },
                Err(error) => error,
            },
            _ => unread(file, error.into()),
        }
    };
    let names: Vec<String> = reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
    if let Some((_, twice)) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
        return Err(ImportError::Twice { file: file.to_owned(), line: 1, field: twice.clone() });
    }
    let mut record = csv::StringRecord::new();
    let mut row = 0;
    while reader.read_record(&mut record).map_err(wrong)? {
        row += 1;
        let line = record.position().map(|position| position.line() as usize);
        let cell = |name: &String, text: &str| match text.starts_with(['[', '{']) && lists.contains(&name.as_str()) {
            true => json::parse(text).unwrap_or_else(|_| text.into()),
            false => text.into(),
        };
        let members: Map<String, Value> =
            names.iter().zip(&record).map(|(name, text)| (name.clone(), cell(name, text))).collect();
        take(Entry { row, line, field: String::new(), value: Value::Object(members) })?;
    }
    Ok(())
}

/// Goes through the rows of Parquet.
fn columns(file: &Path, take: Take<'_>) -> Result<(), ImportError> {
    let wrong = |source| ImportError::Parquet { file: file.to_owned(), source };
    let opened = File::open(file).map_err(|source| ImportError::Read { file: file.to_owned(), source })?;
    let reader = SerializedFileReader::new(opened).map_err(wrong)?;
    for (row, columns) in (1..).zip(RowIter::from_file_into(Box::new(reader))) {
        let value = columns.map_err(wrong)?.to_json_value();
        take(Entry { row, line: None, field: String::new(), value })?;
    }
    Ok(())
}

/// Finds the first byte of a file that is no UTF-8.
fn invalid(file: &Path) -> Result<Option<ImportError>, ImportError> {
    let mut reader = open(file)?;
    let (mut bytes, mut line, mut before) = (Vec::new(), 0, 0);
    loop {
        bytes.clear();
        line += 1;
        let read = reader.read_until(b'\n', &mut bytes).map_err(|error| unread(file, error))?;
        if read == 0 {
            return Ok(None);
        }
        if let Err(error) = str::from_utf8(&bytes) {
            let byte = before + error.valid_up_to();
            return Ok(Some(ImportError::Encoding { file: file.to_owned(), byte, line }));
        }
        before += read;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::tests::{counts, imported, told};
    use super::*;

    const CSV: &str = "Question,Answer,Scenario_ID,use-case\n\
        \"Who, if anyone, pages?\",The AMF,7,core\n\
        \"What is\nNR?\",\"the \"\"new\"\" radio\",7,ran\n\
        Empty?,,8,ran\n";

    const COLUMNS: &str = "importer = \"qa\"\nfields = [\"use-case\"]\n\
        columns = { question = \"Question\", answer = \"Answer\", group = \"Scenario_ID\" }";

    #[test]
    fn cells_are_rows_with_what_the_file_calls_their_fields() {
        for (file, text) in [("rows.csv", CSV.to_owned()), ("rows.TSV", CSV.replace(',', "\t"))] {
            let imported = imported(COLUMNS, file, format!("\u{feff}{}", text.replace("radio", "radio, è"))).unwrap();
            let rows: Vec<_> =
                imported.examples.iter().map(|e| (&*e.id, &*e.group, &*e.answer, &*e.fields["use-case"])).collect();
            assert_eq!(rows, [("row-1", "7", "The AMF", "core"), ("row-2", "7", "the \"new\" radio, è", "ran")]);
            assert_eq!(imported.examples[1].question, "What is\nNR?");
            assert_eq!(counts(&imported.skipped), [("answer empty", 1)]);
            assert_eq!((imported.unit, imported.notes.len()), ("group", 0));
        }
    }

    #[test]
    fn a_cell_is_what_its_field_needs() {
        let text = "id,question,context,answers,answer_start,is_impossible\n\
            1,q?,a b a,\"[\"\"a\"\", \"\"b\"\"]\",4,False\n2,q2?,a b a,b,,\n3,q3?,,[x] y,,true\n";
        let imported = imported("importer = \"qa\"", "rows.csv", text).unwrap();
        let rows: Vec<_> = imported.examples.iter().map(|e| (&*e.id, &e.references[..])).collect();
        let (first, second) = (["a".to_owned(), "b".to_owned()], ["b".to_owned()]);
        assert_eq!(rows, [("1", &first[..]), ("2", &second[..])]);
        assert_eq!(imported.places["1"], 4..5);
        assert_eq!(counts(&imported.skipped), [("question marked impossible", 1)]);
    }

    #[test]
    fn faults_of_cells_name_row_line_and_column() {
        let missing = "add the field, say in `columns` what it is called, or choose the importer of the file's format";
        let cases = [
            (
                CSV.replace("The AMF,7,core", "The AMF,7"),
                "`rows.csv`, line 2: expected 4 cells, as the first line has, found 3\n\
                 put cells that hold the separator, quotes or a line break in quotes"
                    .to_owned(),
            ),
            (
                CSV.replacen("Scenario_ID", "Answer", 1),
                "`rows.csv`, line 1: field `Answer` is given twice\nremove one of the two".to_owned(),
            ),
            (
                CSV.replacen("Question", "Frage", 1),
                format!("`rows.csv`, row 1, line 2, field `Question` is missing\n{missing}"),
            ),
            (
                CSV.replace(",ran\nEmpty", ",\nEmpty"),
                format!("`rows.csv`, row 2, line 3, field `use-case` is missing\n{missing}"),
            ),
            (
                CSV.replacen("Answer", "Anwser", 1),
                "`rows.csv`, row 1, line 2, field `Anwser` is not read, and there is no `Answer`\n\
                 give it that name, or another one if it is something else"
                    .to_owned(),
            ),
            (String::new(), "`rows.csv` is empty\nfetch the file again".to_owned()),
            (
                "Question,Answer\n".to_owned(),
                "`rows.csv` has no usable question (skipped: none)\ncheck that the file has questions with answers"
                    .to_owned(),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(imported(COLUMNS, "rows.csv", text).unwrap_err(), expected);
        }
        let bytes = [CSV.as_bytes(), b"x\xff,y,z,w\n"].concat();
        let expected = format!("`rows.csv` is not UTF-8 at byte {} (line 6)", CSV.len() + 1);
        assert!(imported(COLUMNS, "rows.csv", bytes).unwrap_err().starts_with(&expected));
    }

    #[test]
    fn a_damaged_table_is_told() {
        let whole = super::super::tests::fixture("choices.parquet");
        let hint = "fetch the file again, or write it anew, packed by snappy, gzip, lz4, zstd or not at all";
        for bytes in [&whole[..whole.len() / 2], b"no table"] {
            let expected = format!("cannot read `rows.parquet` as Parquet\n{hint}");
            assert_eq!(imported("importer = \"choice\"", "rows.parquet", bytes).unwrap_err(), expected);
        }
        let expected = "`rows.parquet` is empty\nfetch the file again";
        assert_eq!(imported("importer = \"choice\"", "rows.parquet", "").unwrap_err(), expected);
    }

    #[test]
    fn fields_have_their_columns_and_rows_may_have_their_split() {
        let rows = "question,answer,split\na?,x,train\nb?,x,validation\nc?,x,Test\n";
        let given = "importer = \"qa\"\nsplit.group-by = \"given\"";
        let splits: Vec<_> =
            imported(given, "rows.csv", rows).unwrap().examples.iter().map(|e| e.split.unwrap().to_string()).collect();
        assert_eq!(splits, ["train", "dev", "test"]);
        let plain = imported("importer = \"qa\"", "rows.csv", rows).unwrap();
        assert_eq!(counts(&plain.notes), [("field `split` is not read", 3)]);
        assert!(plain.examples.iter().all(|example| example.split.is_none()));
        let told = imported(given, "rows.csv", rows.replace("Test", "eval")).unwrap_err();
        assert_eq!(
            told,
            "`rows.csv`, row 3, line 4, field `split`: expected `train`, `dev` (or `val`, `validation`) or `test`, \
             found `eval`\ncorrect the field, or choose the importer of the file's format"
        );
        let told = imported(given, "rows.csv", rows.replace("split", "part")).unwrap_err();
        assert!(told.starts_with("`rows.csv`, row 1, line 2, field `split` is missing\n"), "{told}");
        let kept = "importer = \"qa\"\nfields = [\"tags\"]";
        let told =
            imported(kept, "rows.jsonl", r#"{"id": 1, "question": "q?", "answer": "x", "tags": [1]}"#).unwrap_err();
        let expected =
            "`rows.jsonl`, row 1, line 1, field `tags`: expected text, a number or true or false, found a list of 1\n";
        assert!(told.starts_with(expected), "{told}");
        let scalar =
            imported(kept, "rows.jsonl", r#"{"id": 1, "question": "q?", "answer": "x", "tags": 2.5}"#).unwrap();
        assert_eq!(scalar.examples[0].fields["tags"], "2.5");
    }

    /// Streams a file and returns its rows, or what is wrong with it.
    fn streamed(name: &str, content: impl AsRef<[u8]>) -> Result<Vec<(usize, Option<usize>, Value)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, content).unwrap();
        let mut rows = Vec::new();
        let read = stream(&file, &[], &mut |entry| {
            rows.push((entry.row, entry.line, entry.value));
            Ok(())
        });
        read.map(|()| rows).map_err(|error| told(&error, folder.path()))
    }

    #[test]
    fn a_file_is_streamed_as_it_is_read() {
        let lines = "\u{feff}\n{\"a\": 1}\r\n\n{\"a\": \"é\"}";
        let expected = vec![(2, Some(2), serde_json::json!({"a": 1})), (4, Some(4), serde_json::json!({"a": "é"}))];
        assert_eq!(streamed("rows.jsonl", lines).unwrap(), expected);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(lines.as_bytes()).unwrap();
        let packed = gzip.finish().unwrap();
        assert_eq!(streamed("rows.jsonl.gz", &packed).unwrap(), expected);
        let list = "  [{\"a\": 1},\n{\"a\": \"é\"}]\n";
        let rows = |rows: Vec<(usize, Option<usize>, Value)>| rows.into_iter().map(|row| row.2).collect::<Vec<_>>();
        assert_eq!(rows(streamed("rows.json", list).unwrap()), rows(expected));
        assert_eq!(streamed("rows.csv", "a,b\n1,\n").unwrap()[0].2, serde_json::json!({"a": "1", "b": ""}));
        assert_eq!(streamed("rows.jsonl", "").unwrap(), []);
    }

    #[test]
    fn a_streamed_file_that_is_wrong_is_told_as_one_that_is_read() {
        let early = "the file ends early: fetch it again";
        let correct = "correct the file there, or choose the importer of its format";
        let gzip = [GZIP[0], GZIP[1], 8, 0, 0];
        let cases: [(&str, &[u8], String); 8] = [
            ("r.jsonl", b"{}\n{\"a\"", format!("`r.jsonl` is not JSON at line 2, column 4\n{early}")),
            ("r.jsonl", b"{\"a\"\n{}", format!("`r.jsonl` is not JSON at line 1, column 4\n{correct}")),
            ("r.jsonl", b"{}\n{\"a\": 1, \"a\": 1}", "`r.jsonl`, line 2: field `a` is given twice\nremove one of the two".into()),
            ("r.json", b"[{},\n{\"a\": 1, \"a\": 1}]", "`r.json`, line 2: field `a` is given twice\nremove one of the two".into()),
            ("r.json", b"[{},\n{", format!("`r.json` is not JSON at line 2, column 1\n{early}")),
            ("r.jsonl", b"{}\n\xff", "`r.jsonl` is not UTF-8 at byte 3 (line 2)\nconvert the file to UTF-8, or fetch it again if it is damaged".into()),
            ("r.csv", b"a\nx\n\xff\n", "`r.csv` is not UTF-8 at byte 4 (line 3)\nconvert the file to UTF-8, or fetch it again if it is damaged".into()),
            ("r.jsonl.gz", &gzip, "cannot unpack `r.jsonl.gz`, which starts as gzip does\nfetch the file again; it may be cut short".into()),
        ];
        for (name, content, expected) in cases {
            assert_eq!(streamed(name, content).unwrap_err(), expected);
        }
    }
}
