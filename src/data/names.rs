//! Names that people and other programs give to the fields of rows, with what each may mean here.

use crate::experiment::nearest::nearest;

pub(crate) const ID: &str = "id";
pub(crate) const GROUP: &str = "group";
/// The right answer.
pub(crate) const ANSWER: &str = "answer";
/// Several right answers.
pub(crate) const ANSWERS: &str = "answers";
/// What a model answered.
pub(crate) const PREDICTION: &str = "prediction";

const CONTEXT: &str = "context";
const QUESTION: &str = "question";
const IMPOSSIBLE: &str = "is_impossible";
const OPTIONS: &str = "options";
const MESSAGES: &str = "messages";
const CONVERSATIONS: &str = "conversations";
const TEXT: &str = "text";

/// Each name with all it may mean: whether a `document` is a text or what names one, only its value shows.
const NAMES: [(&str, &[&str]); 49] = [
    ("candidates", &[OPTIONS]),
    ("alternatives", &[OPTIONS]),
    ("messages", &[CONVERSATIONS]),
    ("conversations", &[MESSAGES]),
    ("conversation", &[MESSAGES, CONVERSATIONS]),
    ("dialogue", &[MESSAGES, CONVERSATIONS]),
    ("body", &[TEXT]),
    ("raw_content", &[TEXT]),
    ("passage", &[CONTEXT]),
    ("passages", &[CONTEXT]),
    ("paragraph", &[CONTEXT]),
    ("documents", &[CONTEXT]),
    ("article", &[CONTEXT]),
    ("text", &[CONTEXT]),
    ("evidence", &[CONTEXT]),
    ("document", &[CONTEXT, GROUP]),
    ("query", &[QUESTION]),
    ("prompt", &[QUESTION]),
    ("instruction", &[QUESTION]),
    ("input", &[QUESTION]),
    ("output", &[ANSWER, PREDICTION]),
    ("generated_text", &[PREDICTION]),
    ("response", &[ANSWER, PREDICTION]),
    ("predict", &[PREDICTION]),
    ("completion", &[ANSWER, PREDICTION]),
    ("target", &[ANSWER]),
    ("label", &[ANSWER]),
    ("gold", &[ANSWER]),
    ("solution", &[ANSWER]),
    ("reference", &[ANSWER]),
    ("references", &[ANSWERS]),
    ("targets", &[ANSWERS]),
    ("labels", &[ANSWERS]),
    ("question_id", &[ID]),
    ("qid", &[ID]),
    ("example_id", &[ID]),
    ("uid", &[ID]),
    ("_id", &[ID]),
    ("guid", &[ID]),
    ("key", &[ID]),
    ("idx", &[ID]),
    ("index", &[ID]),
    ("doc_id", &[ID, GROUP]),
    ("docid", &[GROUP]),
    ("document_id", &[GROUP]),
    ("group_id", &[GROUP]),
    ("impossible", &[IMPOSSIBLE]),
    ("unanswerable", &[IMPOSSIBLE]),
    ("is_unanswerable", &[IMPOSSIBLE]),
];

/// Lists what a name may mean, however it is written.
pub(crate) fn meanings(name: &str) -> &'static [&'static str] {
    let lower = name.to_lowercase().replace('-', "_");
    NAMES.iter().find(|(known, _)| *known == lower).map_or(&[], |&(_, meanings)| meanings)
}

/// Lists the names that may have a meaning, in a fixed order.
pub(crate) fn of(meaning: &str) -> impl Iterator<Item = &'static str> {
    NAMES.iter().filter(move |(_, meanings)| meanings.contains(&meaning)).map(|&(name, _)| name)
}

/// Says whether a field that is not read may be `meaning`: by a name it has elsewhere, or misspelt.
pub(crate) fn may_be(name: &str, meaning: &str) -> bool {
    meanings(name).contains(&meaning) || nearest(name, [meaning]).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_however_it_is_written_and_stands_once() {
        assert_eq!(meanings("Doc-ID"), [ID, GROUP]);
        assert_eq!(meanings("difficulty"), [""; 0]);
        for (name, known) in NAMES {
            assert_eq!(meanings(name), known, "`{name}` stands twice");
        }
    }

    #[test]
    fn a_group_is_known_by_its_other_names_and_misspelt() {
        for name in ["groups", "gruop", "Group", "docid", "doc_id", "document", "document-id"] {
            assert!(may_be(name, GROUP), "{name}");
        }
        for name in ["id", "prompt", "title", "context", "source", "round"] {
            assert!(!may_be(name, GROUP), "{name}");
        }
    }
}
