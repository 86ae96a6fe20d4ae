//! What a metric does not see in given texts: where it gives 0 to a right answer, as its reference tool
//! does too.
//!
//! BLEU needs four tokens and ROUGE-2 two; BLEU, ROUGE and token F1 need words with spaces between them,
//! and ROUGE sees no character but a to z and 0 to 9. The values stand as they are, equal to those of the
//! reference tools; who reads them should know.

use crate::metric::MetricName;
use crate::ngram::tokenizer::Tokenizer;
use crate::ngram::{bleu, rouge, squad};
use crate::score::Row;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Share of right answers that are too short to count, from which on it is told.
const SHARE: f64 = 0.1;

/// Holds what a metric does not see, in how many rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blind {
    /// Which metric.
    pub metric: MetricName,
    /// What it does not see.
    pub to: Unseen,
    /// Rows that are concerned.
    pub rows: usize,
    /// All rows.
    pub of: usize,
}

/// Says what a metric does not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unseen {
    /// Predictions that equal a reference but have fewer tokens than the longest n-gram.
    ShortCopies,
    /// All of them: no prediction has that many tokens, so the value is 0 whatever they say. Counts
    /// those that equal a reference.
    AllShort,
    /// References in a script that is written without spaces, which are taken for one word each.
    Unspaced,
    /// References without any character that the metric knows.
    Foreign,
}

impl Blind {
    /// Says what the metric does not see.
    pub fn what(&self) -> String {
        let least = longest(self.metric);
        match self.to {
            Unseen::ShortCopies => format!("{least}-grams do not see answers of fewer than {least} tokens"),
            Unseen::AllShort => format!("no prediction has {least} tokens, so the value is 0 whatever they say"),
            Unseen::Unspaced => "a script without spaces is not split into words".to_owned(),
            Unseen::Foreign => "no characters count but a to z and 0 to 9".to_owned(),
        }
    }

    /// Says how many rows are concerned.
    pub fn extent(&self) -> String {
        let Self { rows, of, .. } = self;
        match self.to {
            Unseen::ShortCopies => format!("{rows} of {of} predictions equal a reference and are that short"),
            Unseen::AllShort => format!("{rows} of {of} equal a reference"),
            Unseen::Unspaced => format!("{rows} of {of} rows have a reference in such a script"),
            Unseen::Foreign => format!("{rows} of {of} rows have a reference with none of them"),
        }
    }

    /// Returns what to use instead.
    pub fn remedy(&self) -> &'static str {
        match (self.to, self.metric) {
            (Unseen::ShortCopies | Unseen::AllShort, _) => "use exact-match, token-f1 or chrf for short answers",
            (Unseen::Unspaced, MetricName::Bleu) => {
                "score the stored answers with `tutelage score --bleu-tokenizer zh` (Chinese) or `char` (any script), \
                 or use chrf"
            }
            (Unseen::Unspaced | Unseen::Foreign, _) => "use chrf or exact-match",
        }
    }
}

/// Finds what `metric` does not see in `rows`.
pub(crate) fn find(rows: &[Row], metric: MetricName, tokenizer: Tokenizer) -> Vec<Blind> {
    let count = |is: &(dyn Fn(&Row) -> bool + Sync)| rows.par_iter().filter(|row| is(row)).count();
    let mut found = Vec::new();
    let mut add = |to: Unseen, count: usize| found.push(Blind { metric, to, rows: count, of: rows.len() });
    let tokens = |text: &str| match metric {
        MetricName::Bleu => tokenizer.tokenize(text).len(),
        _ => rouge::words(text).count(),
    };
    if matches!(metric, MetricName::Bleu | MetricName::Rouge2) {
        let is_short = |row: &Row| tokens(row.text()) < longest(metric);
        let copies = count(&|row| is_copy(row) && is_short(row) && tokens(row.text()) > 0);
        let answered = count(&|row| tokens(row.text()) > 0);
        if answered > 0 && count(&is_short) == rows.len() {
            add(Unseen::AllShort, copies);
        } else if copies as f64 >= SHARE * rows.len() as f64 && copies > 0 {
            add(Unseen::ShortCopies, copies);
        }
    }
    let is_unspaced = |reference: &str| match metric {
        MetricName::Bleu => tokenizer.tokenize(reference).iter().any(|token| runs_on(token)),
        MetricName::TokenF1 => squad::tokens(reference).iter().any(|token| runs_on(token)),
        _ => reference.chars().any(is_unspaced),
    };
    let is_foreign = |reference: &str| !reference.trim().is_empty() && rouge::words(reference).next().is_none();
    let in_any = |row: &Row, is: &dyn Fn(&str) -> bool| row.references.iter().any(|reference| is(reference));
    let is_rouge =
        matches!(metric, MetricName::Rouge1 | MetricName::Rouge2 | MetricName::RougeL | MetricName::RougeLsum);
    if is_rouge || matches!(metric, MetricName::Bleu | MetricName::TokenF1) {
        let unspaced = count(&|row| in_any(row, &is_unspaced));
        if unspaced > 0 {
            add(Unseen::Unspaced, unspaced);
        }
    }
    if is_rouge {
        let foreign = count(&|row| in_any(row, &|reference| is_foreign(reference) && !is_unspaced(reference)));
        if foreign > 0 {
            add(Unseen::Foreign, foreign);
        }
    }
    found
}

/// Returns the longest n-gram that a metric needs.
fn longest(metric: MetricName) -> usize {
    if metric == MetricName::Bleu { bleu::MAX_ORDER } else { 2 }
}

/// Says whether the prediction is one of the references, white space around it aside.
fn is_copy(row: &Row) -> bool {
    let prediction = row.text().trim();
    !prediction.is_empty() && row.references.iter().any(|reference| reference.trim() == prediction)
}

/// Says whether a token holds neighbouring letters of a script without spaces: a whole phrase, then.
fn runs_on(token: &str) -> bool {
    let mut before = false;
    token.chars().any(|character| {
        let now = is_unspaced(character);
        std::mem::replace(&mut before, now) && now
    })
}

/// Says whether a character is of a script that is written without spaces between words: ideographs and
/// kana, Thai, Lao, Tibetan, Myanmar, Khmer and their neighbours.
///
/// Blocks of letters that have line-breaking class ID, CJ or SA in Unicode Standard Annex 14, and Tibetan;
/// not all of them: rarer scripts, such as Yi and Tai Viet, are left out.
pub fn is_unspaced(character: char) -> bool {
    matches!(character,
        '\u{e00}'..='\u{fff}'
        | '\u{1000}'..='\u{109f}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{1950}'..='\u{19df}'
        | '\u{1a20}'..='\u{1aaf}'
        | '\u{2e80}'..='\u{2fdf}'
        | '\u{3005}'..='\u{3007}'
        | '\u{3041}'..='\u{312f}'
        | '\u{31a0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9f}'
        | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use MetricName::{Bleu, Chrf, ExactMatch, Rouge1, Rouge2, TokenF1};

    fn found(metric: MetricName, tokenizer: Tokenizer, texts: &[(&str, &str)]) -> Vec<(Unseen, usize)> {
        let row = |(prediction, reference): &(&str, &str)| Row {
            prediction: Some((*prediction).to_owned()),
            references: vec![(*reference).to_owned()],
            ..Row::default()
        };
        let rows: Vec<Row> = texts.iter().map(row).collect();
        find(&rows, metric, tokenizer).into_iter().map(|blind| (blind.to, blind.rows)).collect()
    }

    #[test]
    fn copies_of_a_few_words_are_told() {
        let short = [("AMF", "AMF"), ("the SMF", "the SMF")];
        assert_eq!(found(Bleu, Tokenizer::default(), &short), [(Unseen::AllShort, 2)]);
        assert_eq!(found(Rouge2, Tokenizer::default(), &short), [(Unseen::ShortCopies, 1)]);
        for metric in [Chrf, Rouge1, ExactMatch, TokenF1] {
            assert!(found(metric, Tokenizer::default(), &short).is_empty(), "{metric}");
        }
        // As characters, one of the two is long enough.
        assert_eq!(found(Bleu, Tokenizer::Character, &short), [(Unseen::ShortCopies, 1)]);
        let long = ("it terminates N1 and N2", "it ends N1 and N2");
        assert_eq!(found(Bleu, Tokenizer::default(), &[short[0], long]), [(Unseen::ShortCopies, 1)]);
        let mut many = vec![long; 20];
        assert!(found(Bleu, Tokenizer::default(), &many).is_empty());
        many.push(short[0]);
        assert!(found(Bleu, Tokenizer::default(), &many).is_empty(), "one in twenty-one is no matter");
    }

    #[test]
    fn scripts_without_spaces_are_told_until_they_are_parted() {
        let chinese = [("网络切片支持多种业务", "网络切片支持多种业务")];
        let thai = [("เครือข่ายหลัก ของ ระบบ ใหม่", "เครือข่ายหลัก ของ ระบบ ใหม่")];
        assert!(found(Bleu, Tokenizer::default(), &chinese).contains(&(Unseen::Unspaced, 1)));
        assert_eq!(found(Bleu, Tokenizer::Chinese, &chinese), []);
        assert_eq!(found(Bleu, Tokenizer::Chinese, &thai), [(Unseen::Unspaced, 1)]);
        assert_eq!(found(Bleu, Tokenizer::Character, &thai), []);
        for metric in [Rouge1, TokenF1] {
            assert_eq!(found(metric, Tokenizer::Chinese, &chinese), [(Unseen::Unspaced, 1)], "{metric}");
        }
        assert_eq!(found(Chrf, Tokenizer::default(), &chinese), []);
    }

    #[test]
    fn rouge_tells_what_it_has_no_letters_for() {
        let greek = [("σταθμός βάσης", "σταθμός βάσης"), ("5G", "5G")];
        assert_eq!(found(Rouge1, Tokenizer::default(), &greek), [(Unseen::Foreign, 1)]);
        assert_eq!(found(Rouge1, Tokenizer::default(), &[("", "")]), []);
    }

    #[test]
    fn each_is_told_with_its_remedy() {
        let blind = Blind { metric: Bleu, to: Unseen::AllShort, rows: 2, of: 3 };
        assert_eq!(blind.what(), "no prediction has 4 tokens, so the value is 0 whatever they say");
        assert_eq!(blind.extent(), "2 of 3 equal a reference");
        assert_eq!(blind.remedy(), "use exact-match, token-f1 or chrf for short answers");
        let remedy = Blind { to: Unseen::Unspaced, ..blind }.remedy();
        assert!(remedy.contains("`tutelage score --bleu-tokenizer zh`"), "{remedy}");
    }
}
