//! Draws some of the examples of a split, to answer fewer.

use super::example::Example;
use super::shuffle::rank;

/// Keeps at most `limit` examples, a simple random sample by `seed`, in their order.
///
/// What is drawn depends on ids and seed alone: every model answers the same questions, a larger limit
/// adds to them, and all groups have their chance, which the first rows of a file would not give.
#[must_use]
pub fn sample(examples: Vec<Example>, limit: usize, seed: u64) -> Vec<Example> {
    sample_by(examples, limit, seed, |example| &example.id)
}

/// Keeps at most `limit` rows as [`sample`] does, by the identifiers that `id` gives them.
#[must_use]
pub fn sample_by<T>(rows: Vec<T>, limit: usize, seed: u64, id: impl Fn(&T) -> &str) -> Vec<T> {
    let mut ranked: Vec<(u64, usize)> =
        rows.iter().enumerate().map(|(index, row)| (rank(seed, "limit", id(row)), index)).collect();
    ranked.sort_unstable();
    let mut kept = vec![false; rows.len()];
    for &(_, index) in ranked.iter().take(limit) {
        kept[index] = true;
    }
    rows.into_iter().zip(kept).filter_map(|(row, kept)| kept.then_some(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(count: usize) -> Vec<Example> {
        let example = |row: usize| Example {
            id: row.to_string(),
            group: (row / 10).to_string(),
            context: None,
            question: "q?".into(),
            answer: "a".into(),
            references: vec!["a".into()],
            ..Example::default()
        };
        (0..count).map(example).collect()
    }

    fn ids(examples: &[Example]) -> Vec<usize> {
        examples.iter().map(|example| example.id.parse().unwrap()).collect()
    }

    #[test]
    fn a_sample_is_of_all_groups_and_grows_by_adding() {
        let all = examples(1000);
        let drawn = |limit, seed| ids(&sample(all.clone(), limit, seed));
        let (few, more) = (drawn(100, 1), drawn(200, 1));
        assert_eq!((few.len(), more.len()), (100, 200));
        assert!(few.is_sorted() && few.iter().all(|id| more.contains(id)));
        assert_ne!(few, drawn(100, 2));
        // Of 100 groups, the first ten rows would be of ten; 100 draws meet about 65 of them.
        let groups: std::collections::BTreeSet<usize> = few.iter().map(|id| id / 10).collect();
        assert!(groups.len() > 50, "{}", groups.len());
        assert_eq!(drawn(5000, 1), ids(&all));
    }

    #[test]
    fn a_sample_does_not_depend_on_the_order_of_rows() {
        let mut turned = examples(50);
        turned.reverse();
        let mut other = ids(&sample(turned, 7, 3));
        other.reverse();
        assert_eq!(ids(&sample(examples(50), 7, 3)), other);
    }
}
