//! How numbers are printed.

use crate::statistics::{Interval, P};

/// The proper minus sign, as wide as a plus.
const MINUS: char = '\u{2212}';
/// Less than or equal.
const AT_MOST: char = '\u{2264}';

/// Prints a number with fixed decimals and a proper minus; values that round to zero get no sign.
///
/// What is not finite is the limit of an interval that has none, or no number at all.
pub fn fixed(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        let text = if value.is_nan() { "undefined" } else { "\u{221e}" };
        return if value < 0.0 { format!("{MINUS}{text}") } else { text.to_owned() };
    }
    let text = format!("{:.digits$}", value.abs());
    let zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if value < 0.0 && !zero { format!("{MINUS}{text}") } else { text }
}

/// Prints an amount that cannot be negative; one too small for the decimals is no zero: <0.001.
pub fn amount(value: f64, digits: usize) -> String {
    let text = fixed(value, digits);
    if value > 0.0 && text == fixed(0.0, digits) { format!("<{:.digits$}", 0.1_f64.powi(digits as i32)) } else { text }
}

/// Prints a difference: always with a sign, except for what rounds to zero.
pub fn signed(value: f64, digits: usize) -> String {
    let text = fixed(value, digits);
    let zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if value > 0.0 && !zero { format!("+{text}") } else { text }
}

/// Prints a p value: 0.032, 0.0004, 3.6e-8, or < 0.0001 where resampling gives none smaller; ≤ 0.001 where it
/// is just that.
///
/// Never as zero. Where three decimals would hide on which side of a level it lies, it gets a fourth:
/// 0.0499 is below 0.05.
pub fn p_value(p: P) -> String {
    let value = p.value;
    if p.is_at_floor() && value < 1.0 {
        return bound(value);
    }
    let hides = |level: f64| value < level && format!("{value:.3}") == format!("{level:.3}");
    if !value.is_finite() {
        "undefined".to_owned()
    } else if value <= 0.0 {
        // Smaller than f64 can tell.
        "< 1e-300".to_owned()
    } else if value < 1e-4 {
        // Two digits; to scientific notation belongs a number between 1 and 10.
        format!("{value:.1e}")
    } else if value < 1e-3 {
        format!("{value:.4}")
    } else if [0.1, 0.05, 0.025, 0.01, 0.005].into_iter().any(hides) {
        // Cut, not rounded: 0.04996 must not become 0.0500.
        format!("{:.4}", (value * 1e4).floor() / 1e4)
    } else {
        format!("{value:.3}")
    }
}

/// Prints a p value with what it is: p = 0.032, p < 0.0001, p ≤ 0.001.
pub fn p_equation(p: P) -> String {
    let text = p_value(p);
    if text.starts_with(['<', AT_MOST]) { format!("p {text}") } else { format!("p = {text}") }
}

/// Prints the next larger number of one digit as a bound: 0.00009999 is below 0.0001, 0.001 at most 0.001.
fn bound(value: f64) -> String {
    let exponent = value.log10().floor();
    let mantissa = value / 10_f64.powf(exponent);
    // What is such a number but for rounding.
    let is_round = (mantissa - mantissa.round()).abs() < 1e-9;
    let digit = if is_round { mantissa.round() } else { mantissa.ceil() };
    let sign = if is_round { AT_MOST } else { '<' };
    let (digit, exponent) = if digit >= 10.0 { (1.0, exponent + 1.0) } else { (digit, exponent) };
    let decimals = (-exponent).max(0.0) as usize;
    format!("{sign} {:.decimals$}", digit * 10_f64.powf(exponent))
}

/// Chooses decimals for a column from its largest absolute value: about four significant digits.
pub fn digits(values: impl IntoIterator<Item = f64>) -> usize {
    let largest =
        values.into_iter().filter(|value| value.is_finite()).fold(0.0, |largest: f64, value| largest.max(value.abs()));
    match largest {
        v if v >= 100.0 => 1,
        v if v >= 2.0 => 2,
        _ => 3,
    }
}

/// Chooses decimals for values and their intervals: those of [`digits`], or as many more as show two
/// significant digits of the narrowest interval's half-width, six at most.
///
/// Two losses of 4.714 and 4.710 can differ significantly, by 0.0040 in [0.0020, 0.0060].
pub fn decimals(values: impl IntoIterator<Item = f64>, intervals: impl IntoIterator<Item = Interval>) -> usize {
    let half_widths = intervals.into_iter().map(|interval| (interval.high - interval.low) / 2.0);
    // No decimals show what is narrower, such as the interval of differences that never vary.
    let narrowest = half_widths.filter(|width| *width >= 5e-7).fold(f64::INFINITY, f64::min);
    let needed = if narrowest.is_finite() { 1.0 - narrowest.log10().floor() } else { 0.0 };
    digits(values).max(needed.clamp(0.0, 6.0) as usize)
}

/// Prints a share in per cent, such as a confidence level: 95, 99.9.
pub fn percent(share: f64) -> String {
    format!("{}", (1e5 * share).round() / 1e3)
}

/// Prints a count with thin groups of three digits: 1,234,567.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Prints a count with its noun: 1 arm, 16 arms.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count as u64), if count == 1 { "" } else { "s" })
}

/// Prints a number of parameters: 1.10 B, 5.8 M, 220 k.
pub fn parameters(value: u64) -> String {
    let number = value as f64;
    match number {
        n if n >= 1e9 => format!("{:.2} B", n / 1e9),
        n if n >= 1e6 => format!("{:.1} M", n / 1e6),
        n if n >= 1e3 => format!("{:.0} k", n / 1e3),
        _ => value.to_string(),
    }
}

/// Prints an energy given in joules, in the unit that suits it: 12.0 J, 0.226 Wh, 3.40 Wh, 1.20 kWh.
pub fn energy(joules: f64) -> String {
    let hours = joules / crate::energy::JOULES_PER_WATT_HOUR;
    match hours {
        h if h >= 1000.0 => format!("{:.2} kWh", h / 1000.0),
        h if h >= 100.0 => format!("{h:.0} Wh"),
        h if h >= 1.0 => format!("{h:.2} Wh"),
        h if h >= 0.01 => format!("{h:.3} Wh"),
        _ => format!("{joules:.1} J"),
    }
}

/// Prints a mass given in kilograms, in the unit that suits it: 1.20 kg, 3.40 g, 0.5 mg.
pub fn mass(kilograms: f64) -> String {
    let grams = 1000.0 * kilograms;
    match grams {
        g if g >= 1000.0 => format!("{kilograms:.2} kg"),
        g if g >= 1.0 => format!("{g:.2} g"),
        g => format!("{} mg", amount(1000.0 * g, 1)),
    }
}

/// Prints a number that is not negative with so many significant digits; an estimate is marked: ~0.23.
pub fn approximate(value: f64, digits: usize, estimated: bool) -> String {
    let mark = if estimated { "~" } else { "" };
    if value <= 0.0 || !value.is_finite() {
        return format!("{mark}{}", fixed(value, 0));
    }
    let places = |value: f64| digits as i32 - 1 - value.log10().floor() as i32;
    let round = |value: f64, places: i32| {
        let step = 10_f64.powi(places.abs());
        if places < 0 { (value / step).round() * step } else { (value * step).round() / step }
    };
    // Rounded first: 0.0996 is 0.10 and not 0.100.
    let rounded = round(value, places(value));
    format!("{mark}{}", fixed(rounded, places(rounded).max(0) as usize))
}

/// Prints a duration: 42 s, 3 min 05 s, 2 h 10 min.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs() {
        assert_eq!(fixed(-0.0004, 3), "0.000");
        assert_eq!(fixed(-0.25, 2), "\u{2212}0.25");
        assert_eq!(signed(0.25, 2), "+0.25");
        assert_eq!(signed(0.0, 2), "0.00");
        assert_eq!(
            (amount(0.000_4, 3), amount(0.0, 3), amount(0.000_6, 3)),
            ("<0.001".into(), "0.000".into(), "0.001".into())
        );
    }

    #[test]
    fn p_values_are_never_zero() {
        let exact = |value| p_value(P::exact(value));
        assert_eq!([0.032, 0.5, 1.0, 0.999_96].map(exact), ["0.032", "0.500", "1.000", "1.000"]);
        assert_eq!(
            [0.049_96, 0.05, 0.050_3, 0.009_99, 0.024_96].map(exact),
            ["0.0499", "0.050", "0.050", "0.0099", "0.0249"]
        );
        assert_eq!(
            [0.000_2, 0.000_42, 3.6e-8, 1e-5, 0.0].map(exact),
            ["0.0002", "0.0004", "3.6e-8", "1.0e-5", "< 1e-300"]
        );
        let least = P::resampled(0, 10_000);
        assert_eq!((p_value(least), p_value(least.times(5.0))), ("< 0.0001".into(), "< 0.0005".into()));
        let of_thousand = P::resampled(0, 999);
        assert_eq!(
            (p_value(of_thousand), p_equation(of_thousand)),
            ("\u{2264} 0.001".into(), "p \u{2264} 0.001".into())
        );
        assert_eq!(
            (p_value(of_thousand.times(20.0)), p_value(of_thousand.times(1_500.0))),
            ("\u{2264} 0.02".into(), "1.000".into())
        );
        assert_eq!(
            (p_value(P::resampled(0, 499).times(5.0)), p_value(P::resampled(0, 998))),
            ("\u{2264} 0.01".into(), "< 0.002".into())
        );
        assert_eq!(p_value(P::resampled(1, 10_000)), "0.0002");
        assert_eq!((p_equation(least), p_equation(P::exact(0.2))), ("p < 0.0001".into(), "p = 0.200".into()));
    }

    #[test]
    fn limits_that_are_none_are_no_numbers() {
        let [low, high, none] = [f64::NEG_INFINITY, f64::INFINITY, f64::NAN].map(|value| fixed(value, 3));
        assert_eq!((low.as_str(), high.as_str(), none.as_str()), ("\u{2212}\u{221e}", "\u{221e}", "undefined"));
    }

    #[test]
    fn scales() {
        assert_eq!((digits([0.4]), digits([38.0, 1.0]), digits([150.0])), (3, 2, 1));
        assert_eq!(
            (grouped(1_234_567), percent(0.95), percent(0.999)),
            ("1,234,567".into(), "95".into(), "99.9".into())
        );
        assert_eq!(parameters(1_100_048_384), "1.10 B");
        let energies = [12.0, 812.0, 7200.0, 4.32e6].map(energy);
        assert_eq!(energies, ["12.0 J", "0.226 Wh", "2.00 Wh", "1.20 kWh"]);
        let masses = [1.2, 0.0034, 5e-7, 1e-9, 0.0].map(mass);
        assert_eq!(masses, ["1.20 kg", "3.40 g", "0.5 mg", "<0.1 mg", "0.0 mg"]);
        assert_eq!(duration(185.0), "3 min 05 s");
    }

    #[test]
    fn significant_digits() {
        let two = [0.2257, 0.0996, 13.44, 996.0, 0.000_123, 0.0].map(|value| approximate(value, 2, true));
        assert_eq!(two, ["~0.23", "~0.10", "~13", "~1000", "~0.00012", "~0"]);
        assert_eq!(approximate(1.0 / 3.0, 3, false), "0.333");
    }

    #[test]
    fn decimals_show_the_interval() {
        let interval = |low, high| Interval { low, high };
        assert_eq!(decimals([4.714, 4.710], [interval(0.002, 0.006)]), 4);
        // Never fewer than the level asks for.
        assert_eq!(decimals([18.0], [interval(13.0, 22.0)]), 2);
        assert_eq!(decimals([0.5], [interval(0.1, 0.3), interval(0.198, 0.202)]), 4);
        assert_eq!(decimals([0.5], [interval(0.1, 0.100_003)]), 6);
        // No width, and none that could be shown.
        assert_eq!(decimals([0.5], [interval(0.1, 0.1), interval(f64::NAN, f64::NAN)]), 3);
        assert_eq!(decimals([0.5], [interval(0.1, 0.1 + 1e-15)]), 3);
        assert_eq!(decimals([0.5], []), 3);
    }
}
