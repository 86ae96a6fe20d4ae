//! TeleQnA (Maatouk et al. 2023, arXiv:2310.15051): an object of `question N`, each with `question`, `option 1`
//! and so on, `answer` (`option 2: text`), `explanation` and `category`; in its locked archive or out of it.
//! The category is always kept.

use super::row::{self, Fields};
use super::source::{Node, Source};
use super::{Answer, ImportError, Read, Row, Rows};
use crate::experiment::settings::Data;

pub(super) const READ: Read = Read::File(read);

/// With which its authors lock the archive, so that no crawler reads it; their page gives it.
const PASSWORD: &str = "teleqnadataset";

const CATEGORY: &str = "category";

const OPTIONS: [&str; 8] =
    ["option 1", "option 2", "option 3", "option 4", "option 5", "option 6", "option 7", "option 8"];

/// Returns what unlocks the archive.
pub(super) fn password(data: &Data) -> &str {
    data.password.as_deref().unwrap_or(PASSWORD)
}

fn read(source: &Source, rows: &mut Rows<'_>) -> Result<(), ImportError> {
    let read = [&["question", "answer", "explanation", CATEGORY], &OPTIONS[..]].concat();
    let mut kept = rows.data.fields.clone();
    if !kept.iter().any(|field| field == CATEGORY) {
        kept.push(CATEGORY.to_owned());
    }
    let fields = Fields { kept: &kept, tells_others: true, ..Fields::fixed(rows.data, &read, "question") };
    let document = source.document()?;
    let mut questions = Node::root(source, &document).members()?;
    // Maps are sorted by text: 10 would come before 2.
    questions.sort_by_key(|(key, _)| key.rsplit(' ').next().and_then(|number| number.parse::<u64>().ok()));
    for (number, (key, node)) in (1..).zip(questions) {
        let node = node.at_row(number, None);
        row::others(&node, &fields, rows)?;
        let options: Vec<Node<'_>> = OPTIONS
            .iter()
            .map(|option| node.optional(option))
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()?;
        let options = options.iter().map(Node::text).collect::<Result<Vec<_>, _>>()?;
        let given = node.field("answer")?;
        let index = index(&given, options.len())?;
        let text = options[index].trim();
        if given.text()?.split_once(':').is_none_or(|(_, answer)| answer.trim() != text) {
            rows.note("answer worded otherwise than its option: taken as the option is");
        }
        let row = Row {
            fields: fields.kept(&[&node])?,
            answers: vec![Answer { text, start: None }],
            options: options.iter().map(|option| option.trim().to_owned()).collect(),
            ..Row::new(key.to_owned(), key.to_owned(), node.field("question")?.text()?)
        };
        rows.push(&node, row)?;
    }
    rows.unit = fields.unit;
    Ok(())
}

/// Reads the number of the right option.
fn index(answer: &Node<'_>, options: usize) -> Result<usize, ImportError> {
    let text = answer.text()?;
    let number = text.trim().strip_prefix("option ").map(|rest| rest.split(':').next().unwrap_or_default().trim());
    let index = number.and_then(|number| number.parse::<usize>().ok()).and_then(|number| number.checked_sub(1));
    index
        .filter(|&index| index < options)
        .ok_or_else(|| answer.refused(format!("`option N: ...`, N from 1 to {options}"), format!("`{text}`")))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::super::tests::{counts, fixture, imported};

    const SETTINGS: &str = "importer = \"teleqna\"";

    /// Returns what is in the committed archive.
    fn text() -> String {
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(fixture("teleqna.zip"))).unwrap();
        let mut text = String::new();
        archive.by_index_decrypt(0, b"teleqnadataset").unwrap().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn the_locked_archive_is_read_as_the_file_in_it() {
        let archive = imported(SETTINGS, "TeleQnA.zip", fixture("teleqna.zip")).unwrap();
        let file = imported(SETTINGS, "TeleQnA.txt", text()).unwrap();
        assert_eq!(archive.examples, file.examples);
        let ids: Vec<_> = file.examples.iter().map(|example| &*example.id).collect();
        assert_eq!((ids.len(), ids[2], ids[10]), (12, "question 2", "question 10"));
        let example = &file.examples[3];
        assert_eq!((&*example.question, &*example.answer), ("What is 3? [3GPP Release 17]", "Half of 6"));
        assert_eq!(example.options, ["Half of 6", "Twice 3"]);
        assert_eq!((&*example.group, &*example.fields["category"]), ("question 3", "Lexicon"));
        assert_eq!((file.unit, file.notes.len(), file.skipped.len()), ("question", 0, 0));
        let explained = imported(&format!("{SETTINGS}\nfields = [\"explanation\"]"), "TeleQnA.txt", text()).unwrap();
        assert_eq!(explained.examples[0].fields.keys().collect::<Vec<_>>(), ["category", "explanation"]);
    }

    #[test]
    fn an_archive_that_cannot_be_unpacked_is_told() {
        let whole = fixture("teleqna.zip");
        let told = imported(&format!("{SETTINGS}\npassword = \"x\""), "T.zip", &whole).unwrap_err();
        let hint = "write the `password` that its authors give, or unpack it yourself";
        assert_eq!(told, format!("the password does not unlock `T.zip`\n{hint}"));
        let told = imported(SETTINGS, "T.zip", &whole[..whole.len() / 2]).unwrap_err();
        let hint = "fetch the file again, or unpack it yourself and name the file that was in it";
        assert_eq!(told, format!("cannot unpack `T.zip`, which starts as an archive does\n{hint}"));
        let mut two = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for name in ["a", "b"] {
            two.start_file(name, zip::write::FileOptions::default()).unwrap();
        }
        let told = imported(SETTINGS, "T.zip", two.finish().unwrap().into_inner()).unwrap_err();
        assert_eq!(told, "`T.zip` holds 2 files, expected 1\nunpack it, and name the file that is meant");
    }

    #[test]
    fn faults_name_the_question() {
        let told = |from: &str, to: &str| {
            let changed = text().replacen(from, to, 1);
            assert_ne!(changed, text());
            imported(SETTINGS, "T.txt", changed)
        };
        let hint = "correct the field, or choose the importer of the file's format";
        assert_eq!(
            told("option 1: Half of 6", "option 3: Half of 6").unwrap_err(),
            format!(
                "`T.txt`, row 4, line 26, field `question 3.answer`: expected `option N: ...`, N from 1 to 2, \
                 found `option 3: Half of 6`\n{hint}"
            )
        );
        let missing = "add the field, say in `columns` what it is called, or choose the importer of the file's format";
        assert_eq!(
            told("\"category\"", "\"topic\"").unwrap_err(),
            format!("`T.txt`, row 1, line 2, field `question 0.category` is missing\n{missing}")
        );
        assert_eq!(
            told("\"answer\"", "\"anwser\"").unwrap_err(),
            "`T.txt`, row 1, line 2, field `question 0.anwser` is not read, and there is no `answer`\n\
             give it that name, or another one if it is something else"
        );
        let reworded = told("option 1: Half of 6", "option 1: half of six").unwrap();
        assert_eq!(counts(&reworded.notes), [("answer worded otherwise than its option: taken as the option is", 1)]);
        assert_eq!(
            imported(SETTINGS, "T.txt", "[]").unwrap_err(),
            format!("`T.txt`: expected an object, found a list of 0\n{hint}")
        );
    }
}
