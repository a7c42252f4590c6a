//! What a study claims, and whether it held.

use serde::Serialize;

use crate::compare::Interval;
use crate::report::Page;

/// A sentence, and whether it held.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// What was claimed.
    pub text: String,
    /// The number that decides, with its interval.
    pub found: Interval,
    /// The least and the most that it may be: the whole interval must be between them.
    pub range: [f64; 2],
    /// Whether it held.
    pub held: bool,
}

impl Claim {
    /// Decides whether it holds; not if the interval is unknown.
    pub fn new(text: String, found: Interval, range: [f64; 2]) -> Claim {
        let held = found.low >= range[0] && found.high <= range[1];
        Claim { text, found, range, held }
    }

    /// As a line of text.
    pub fn line(&self) -> String {
        let [median, interval] = cells(Some(self.found));
        format!("{} {}: {median} ({interval})", if self.held { "held  " } else { "FAILED" }, self.text)
    }
}

/// How many held.
pub fn verdict(claims: &[Claim]) -> String {
    let held = claims.iter().filter(|claim| claim.held).count();
    format!("{held} of {} claims held", claims.len())
}

/// A line a claim, then how many held.
pub fn lines(claims: &[Claim]) -> String {
    let lines: String = claims.iter().map(|claim| format!("{}\n", claim.line())).collect();
    format!("{lines}{}\n", verdict(claims))
}

/// How many held, then each claim, on a page.
pub fn section(page: &mut Page, claims: &[Claim]) {
    page.paragraph(&verdict(claims));
    page.section("Claims");
    page.remarks(&claims.iter().map(Claim::line).collect::<Vec<String>>());
}

/// A number as tables have it.
pub fn number(value: f64) -> String {
    match value {
        _ if !value.is_finite() => "-".to_string(),
        _ if value == 0.0 || (1e-3..1e4).contains(&value.abs()) => format!("{value:.4}"),
        _ => format!("{value:.1e}"),
    }
}

/// The score of a run as tables have it; none if it diverged.
pub fn score(score: Option<f64>) -> String {
    score.map_or("diverged".to_string(), number)
}

/// A median and its interval as tables have them.
pub fn cells(found: Option<Interval>) -> [String; 2] {
    match found {
        Some(found) if found.median.is_finite() => {
            [number(found.median), format!("{} to {}", number(found.low), number(found.high))]
        }
        _ => ["-".to_string(), "-".to_string()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_holds_where_its_whole_interval_is_in_range() {
        let found = |low, high| Interval { median: 0.5, low, high };
        let held = |found| Claim::new(String::new(), found, [0.2, 1.0]).held;
        assert!(held(found(0.2, 1.0)));
        assert!(!held(found(0.1, 0.9)) && !held(found(0.3, 1.1)) && !held(Interval::UNKNOWN));
    }
}
