//! Normalisation of an answer as in the SQuAD evaluation script.
//!
//! Lower case, no ASCII punctuation, no articles, single spaces. Rajpurkar, Zhang, Lopyrev and
//! Liang 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text", section 6.1;
//! Rajpurkar, Jia and Liang 2018 for unanswerable questions.

use super::whitespace;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Returns the words of the normalised answer.
pub fn tokens(answer: &str) -> Vec<String> {
    let bare: String = answer.to_lowercase().chars().filter(|character| !character.is_ascii_punctuation()).collect();
    whitespace::words(&drop_articles(&bare)).map(str::to_owned).collect()
}

/// Returns the normalised answer: its [`tokens`] with single spaces between them.
pub fn normalize(answer: &str) -> String {
    tokens(answer).join(" ")
}

/// Keeps the references that have a word after normalisation; if none has, the question is one
/// without an answer and the empty answer is its only reference.
pub fn answers(references: &[impl AsRef<str>]) -> Vec<&str> {
    let answers: Vec<&str> =
        references.iter().map(AsRef::as_ref).filter(|reference| !tokens(reference).is_empty()).collect();
    if answers.is_empty() { vec![""] } else { answers }
}

/// Replaces `a`, `an` and `the` by a space wherever no word character touches them.
fn drop_articles(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|character| is_word(character) != is_word(first)).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(end);
        output.push_str(if matches!(run, "a" | "an" | "the") { " " } else { run });
        rest = tail;
    }
    output
}

/// Says whether Python's `\w` matches: letters and numbers of any script, but not the combining
/// marks that Unicode's own definition (and the regex crate) adds.
fn is_word(character: char) -> bool {
    if character.is_ascii() {
        return character == '_' || character.is_ascii_alphanumeric();
    }
    matches!(character.general_category_group(), GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_punctuation_articles_and_spaces_go() {
        assert_eq!(normalize("  The  AMF, (an  N2 endpoint)."), "amf n2 endpoint");
        assert_eq!(normalize("TS 23.501"), "ts 23501");
        assert_eq!(normalize("theory of a-plan"), "theory of aplan");
        assert_eq!(normalize("the… a"), "…");
        assert_eq!(normalize("?!"), "");
    }

    #[test]
    fn an_article_that_touches_a_letter_or_number_of_any_script_stays() {
        assert_eq!(normalize("the² a½ anж the_"), "the² a½ anж");
        // A combining mark ends the word for Python, but stays behind.
        assert_eq!(normalize("the\u{301} x"), "\u{301} x");
    }

    #[test]
    fn a_question_without_answer_has_the_empty_answer() {
        assert_eq!(answers(&["", "the"]), [""]);
        assert_eq!(answers(&["", "SMF"]), ["SMF"]);
    }
}
