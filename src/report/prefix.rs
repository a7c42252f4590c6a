//! Prefixes of units.

const PREFIXES: [(f64, &str); 9] = [
    (1e15, "P"),
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
];

/// The prefix that suits a number, and what it stands for; none for what is too small for all.
pub fn prefix(value: f64) -> Option<(f64, &'static str)> {
    PREFIXES.into_iter().find(|(scale, _)| value.abs() >= *scale)
}

#[cfg(test)]
mod tests {
    use super::prefix;

    #[test]
    fn a_prefix_leaves_one_to_three_digits() {
        let found = [999.0, 1000.0, -2.5e6, 0.02, 5e18].map(|value| prefix(value).unwrap().1);
        assert_eq!(found, ["", "k", "M", "m", "P"]);
        assert_eq!([0.0, 3e-10].map(prefix), [None, None]);
    }
}
