//! What the number of seeds leaves open.

/// Seeds from which on nothing is said: the 95 % limits over five lie 2.8 standard errors from the effect, those
/// of many 2.0.
const ENOUGH: usize = 5;

/// Says what few seeds leave open; none where there are enough, or no trials at all.
pub(crate) fn reservation(seeds: usize) -> Option<String> {
    match seeds {
        0 | ENOUGH.. => None,
        1 => Some(
            "One seed: every verdict is of these trained models; training them again may turn it, and by how much is not known."
                .to_owned(),
        ),
        2 => Some(
            "2 seeds: how much results vary when models are trained again is hardly known; over seeds alone, 95 % limits lie 12.7 standard errors from the effect."
                .to_owned(),
        ),
        _ => Some(format!(
            "{seeds} seeds: how much results vary when models are trained again is known roughly at best."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::reservation;

    #[test]
    fn the_fewer_the_seeds_the_more_is_left_open() {
        let said = |seeds| reservation(seeds).unwrap_or_default();
        assert!(said(1).contains("these trained models") && said(2).contains("12.7 standard errors from the effect"));
        assert!(said(3).starts_with("3 seeds") && said(4).contains("roughly"));
        assert_eq!([said(0), said(5), said(20)], ["", "", ""]);
    }
}
