//! Suggestions: the valid name closest to a misspelt one.

/// Returns the candidate with the smallest edit distance to `name`, if it is close enough to be
/// what was meant: at most a third of the longer name or one edit, but not every character.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let normal = |text: &str| text.to_lowercase().replace('_', "-");
    let name = normal(name);
    candidates
        .into_iter()
        .map(|candidate| {
            let other = normal(candidate);
            let longest = name.chars().count().max(other.chars().count());
            let most = (longest / 3).max(1).min(longest.saturating_sub(1));
            (edit_distance(&name, &other), most, candidate)
        })
        .filter(|(distance, most, _)| distance <= most)
        .min_by_key(|(distance, _, _)| *distance)
        .map(|(_, _, candidate)| candidate)
}

/// Counts the insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`
/// (optimal string alignment).
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substituted = previous[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substituted.min(previous[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous[b.len()]
}

/// Writes names as a list in backticks.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// Words the remedy for a name that is none of `candidates`; `what` names them in the plural.
pub(crate) fn remedy<'a>(name: &str, what: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let all = listed(candidates.clone());
    match nearest(name, candidates) {
        _ if all.is_empty() => format!("there are no {what}"),
        Some(meant) if all == format!("`{meant}`") => format!("did you mean `{meant}`?"),
        Some(meant) => format!("did you mean `{meant}`? {what}: {all}"),
        None => format!("{what}: {all}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_by_hand() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("temprature", "temperature"), 1);
        assert_eq!(edit_distance("teh", "the"), 1);
    }

    #[test]
    fn only_close_names_are_suggested() {
        let names = ["forward-kl", "reverse-kl", "uld"];
        assert_eq!(nearest("forward_kl", names), Some("forward-kl"));
        assert_eq!(nearest("reverze-kl", names), Some("reverse-kl"));
        assert_eq!(nearest("mle", names), None);
        assert_eq!(nearest("c", ["a", "b"]), None);
        assert_eq!(nearest("A", ["a", "b"]), Some("a"));
    }
}
