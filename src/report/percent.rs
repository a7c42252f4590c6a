//! Parts and changes in the words that read best: percentages, and beyond 1000 % factors.

/// The least factor that is told as one.
const FACTORS_FROM: f64 = 10.0;

/// A part of a whole, such as `12.5 %`, or `12x`.
pub fn percent(part: f64) -> String {
    match part.abs() > FACTORS_FROM {
        true => format!("{part:.0}x"),
        false => format!("{:.1} %", 100.0 * part),
    }
}

/// How a number changes, such as `+12.5 %`; one that becomes more than eleven times as large is `12x`.
pub fn change(from: f64, to: f64) -> String {
    let factor = to / from;
    match factor - 1.0 > FACTORS_FROM {
        true => format!("{factor:.0}x"),
        false => format!("{:+.1} %", 100.0 * (factor - 1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_a_thousand_percent_are_factors() {
        assert_eq!([0.125, 10.0, 12.3, f64::INFINITY].map(percent), ["12.5 %", "1000.0 %", "12x", "infx"]);
        assert_eq!(
            [4.0, 5.0, 2.0, 44.0, 69.8].map(|to| change(4.0, to)),
            ["+0.0 %", "+25.0 %", "-50.0 %", "+1000.0 %", "17x"]
        );
    }
}
