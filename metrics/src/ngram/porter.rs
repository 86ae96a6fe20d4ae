//! The Porter stemmer as NLTK extends it, which is what rouge-score stems with.
//!
//! Porter 1980, "An algorithm for suffix stripping", Program 14.3, with the deviations of NLTK's
//! default mode: a table of irregular forms, `dies` → `die`, `-y` kept after a vowel, `-alli`
//! before the other rules of step 2, `-fulli` and `-logi` added, words of two letters untouched.
//! Words are ASCII letters and digits; a digit counts as a consonant.

/// Forms that the rules would take apart, with their stems.
const IRREGULAR: [(&str, &str); 16] = [
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

/// What must hold of the stem before a suffix is replaced.
type Condition = fn(&[u8]) -> bool;

/// A suffix, its replacement and the condition on what stands before it.
type Rule = (&'static str, &'static str, Condition);

/// Returns the stem of a lower-case word.
pub fn stem(word: &str) -> String {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(form, _)| *form == word) {
        return (*stem).to_owned();
    }
    if word.len() <= 2 {
        return word.to_owned();
    }
    let mut word = word.as_bytes().to_vec();
    step_1a(&mut word);
    step_1b(&mut word);
    apply(&mut word, &STEP_1C);
    step_2(&mut word);
    apply(&mut word, &STEP_3);
    apply(&mut word, &STEP_4);
    step_5a(&mut word);
    step_5b(&mut word);
    // The rules cut and append ASCII only, so what was a string still is one.
    String::from_utf8(word).expect("stemming keeps ASCII")
}

const STEP_1A: [Rule; 4] = [("sses", "ss", always), ("ies", "i", always), ("ss", "ss", always), ("s", "", always)];

const STEP_1C: [Rule; 1] = [("y", "i", |stem| stem.len() > 1 && is_consonant(stem, stem.len() - 1))];

const STEP_2: [Rule; 21] = [
    ("ational", "ate", has_measure),
    ("tional", "tion", has_measure),
    ("enci", "ence", has_measure),
    ("anci", "ance", has_measure),
    ("izer", "ize", has_measure),
    ("bli", "ble", has_measure),
    ("alli", "al", has_measure),
    ("entli", "ent", has_measure),
    ("eli", "e", has_measure),
    ("ousli", "ous", has_measure),
    ("ization", "ize", has_measure),
    ("ation", "ate", has_measure),
    ("ator", "ate", has_measure),
    ("alism", "al", has_measure),
    ("iveness", "ive", has_measure),
    ("fulness", "ful", has_measure),
    ("ousness", "ous", has_measure),
    ("aliti", "al", has_measure),
    ("iviti", "ive", has_measure),
    ("biliti", "ble", has_measure),
    ("fulli", "ful", has_measure),
];

const STEP_3: [Rule; 7] = [
    ("icate", "ic", has_measure),
    ("ative", "", has_measure),
    ("alize", "al", has_measure),
    ("iciti", "ic", has_measure),
    ("ical", "ic", has_measure),
    ("ful", "", has_measure),
    ("ness", "", has_measure),
];

const STEP_4: [Rule; 19] = [
    ("al", "", is_long),
    ("ance", "", is_long),
    ("ence", "", is_long),
    ("er", "", is_long),
    ("ic", "", is_long),
    ("able", "", is_long),
    ("ible", "", is_long),
    ("ant", "", is_long),
    ("ement", "", is_long),
    ("ment", "", is_long),
    ("ent", "", is_long),
    ("ion", "", |stem| is_long(stem) && matches!(stem.last(), Some(b's' | b't'))),
    ("ou", "", is_long),
    ("ism", "", is_long),
    ("ate", "", is_long),
    ("iti", "", is_long),
    ("ous", "", is_long),
    ("ive", "", is_long),
    ("ize", "", is_long),
];

/// Applies the first rule whose suffix fits; if its condition fails, no other is tried.
fn apply(word: &mut Vec<u8>, rules: &[Rule]) {
    for (suffix, replacement, condition) in rules {
        if let Some(stem) = word.strip_suffix(suffix.as_bytes()) {
            if condition(stem) {
                replace(word, suffix, replacement);
            }
            return;
        }
    }
}

fn replace(word: &mut Vec<u8>, suffix: &str, replacement: &str) {
    word.truncate(word.len() - suffix.len());
    word.extend_from_slice(replacement.as_bytes());
}

fn step_1a(word: &mut Vec<u8>) {
    if word.len() == 4 && word.ends_with(b"ies") {
        replace(word, "ies", "ie");
    } else {
        apply(word, &STEP_1A);
    }
}

fn step_1b(word: &mut Vec<u8>) {
    if word.ends_with(b"ied") {
        let replacement = if word.len() == 4 { "ie" } else { "i" };
        return replace(word, "ied", replacement);
    }
    if let Some(stem) = word.strip_suffix(b"eed") {
        if has_measure(stem) {
            replace(word, "eed", "ee");
        }
        return;
    }
    let Some(suffix) =
        ["ed", "ing"].into_iter().find(|suffix| word.strip_suffix(suffix.as_bytes()).is_some_and(has_vowel))
    else {
        return;
    };
    replace(word, suffix, "");
    if word.ends_with(b"at") || word.ends_with(b"bl") || word.ends_with(b"iz") {
        word.push(b'e');
    } else if ends_in_double_consonant(word) {
        if !matches!(word.last(), Some(b'l' | b's' | b'z')) {
            word.pop();
        }
    } else if measure(word) == 1 && ends_in_consonant_vowel_consonant(word) {
        word.push(b'e');
    }
}

fn step_2(word: &mut Vec<u8>) {
    if word.strip_suffix(b"alli").is_some_and(has_measure) {
        replace(word, "alli", "al");
        return step_2(word);
    }
    // The `l` belongs to the stem that is measured, so that `geologi` loses its ending too.
    if let Some(stem) = word.strip_suffix(b"ogi").filter(|stem| stem.ends_with(b"l")) {
        if has_measure(stem) {
            word.pop();
        }
        return;
    }
    apply(word, &STEP_2);
}

fn step_5a(word: &mut Vec<u8>) {
    if let Some(stem) = word.strip_suffix(b"e") {
        let measure = measure(stem);
        if measure > 1 || (measure == 1 && !ends_in_consonant_vowel_consonant(stem)) {
            word.pop();
        }
    }
}

fn step_5b(word: &mut Vec<u8>) {
    if word.ends_with(b"ll") && is_long(&word[..word.len() - 1]) {
        word.pop();
    }
}

fn always(_stem: &[u8]) -> bool {
    true
}

/// Porter's m > 0.
fn has_measure(stem: &[u8]) -> bool {
    measure(stem) > 0
}

/// Porter's m > 1.
fn is_long(stem: &[u8]) -> bool {
    measure(stem) > 1
}

/// Walks over the word and says for each letter whether it is a consonant: any but `aeiou`, and
/// `y` where no consonant stands before it.
fn consonants(word: &[u8]) -> impl Iterator<Item = bool> {
    word.iter().scan(false, |previous, letter| {
        *previous = match letter {
            b'a' | b'e' | b'i' | b'o' | b'u' => false,
            b'y' => !*previous,
            _ => true,
        };
        Some(*previous)
    })
}

fn is_consonant(word: &[u8], index: usize) -> bool {
    consonants(word).nth(index).unwrap_or_default()
}

fn has_vowel(word: &[u8]) -> bool {
    consonants(word).any(|consonant| !consonant)
}

/// Porter's m: how often a consonant follows a vowel.
fn measure(word: &[u8]) -> usize {
    let mut measure = 0;
    let mut after_vowel = false;
    for consonant in consonants(word) {
        measure += usize::from(consonant && after_vowel);
        after_vowel = !consonant;
    }
    measure
}

/// Porter's *d.
fn ends_in_double_consonant(word: &[u8]) -> bool {
    matches!(word, [.., a, b] if a == b) && is_consonant(word, word.len() - 1)
}

/// Porter's *o, and in NLTK also a word of one vowel and one consonant.
fn ends_in_consonant_vowel_consonant(word: &[u8]) -> bool {
    let pattern: Vec<bool> = consonants(word).collect();
    match pattern.as_slice() {
        [.., true, false, true] => !matches!(word.last(), Some(b'w' | b'x' | b'y')),
        [false, true] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_paper() {
        for (word, expected) in [
            ("caresses", "caress"),
            ("ponies", "poni"),
            ("cats", "cat"),
            ("agreed", "agre"),
            ("plastered", "plaster"),
            ("motoring", "motor"),
            ("conflated", "conflat"),
            ("hopping", "hop"),
            ("falling", "fall"),
            ("filing", "file"),
            ("happy", "happi"),
            ("relational", "relat"),
            ("vietnamization", "vietnam"),
            ("electrical", "electr"),
            ("hopefulness", "hope"),
            ("adjustment", "adjust"),
            ("adoption", "adopt"),
            ("controlling", "control"),
            ("rate", "rate"),
            ("cease", "ceas"),
        ] {
            assert_eq!(stem(word), expected, "{word}");
        }
    }

    #[test]
    fn deviations_of_nltk() {
        for (word, expected) in [
            ("dies", "die"),
            ("died", "die"),
            ("spied", "spi"),
            ("enjoy", "enjoy"),
            ("dying", "die"),
            ("geology", "geolog"),
            ("radically", "radic"),
            ("as", "as"),
            ("23501", "23501"),
        ] {
            assert_eq!(stem(word), expected, "{word}");
        }
    }
}
