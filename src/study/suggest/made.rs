//! Runs with some changes, which of them gain, and what is proposed.

use serde::Serialize;

/// What a run must gain over another, as a part of its score, to count as better: less is noise.
pub(super) const GAIN: f64 = 0.01;

/// Runs with some changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Made {
    /// The changes.
    pub set: Vec<String>,
    /// The score of each; none where it diverged.
    pub scores: Vec<Option<f64>>,
    /// Their mean; none if one diverged.
    pub score: Option<f64>,
}

impl Made {
    pub(super) fn new(set: &[String], scores: Vec<Option<f64>>) -> Made {
        let sum: Option<f64> = scores.iter().copied().sum();
        let score = sum.map(|sum| sum / scores.len() as f64);
        Made { set: set.to_vec(), scores, score }
    }

    /// Whether they gain over others, on average and each time.
    fn gains_over(&self, other: &Made) -> bool {
        let each = self.scores.iter().zip(&other.scores);
        is_better(self.score, other.score)
            && each.into_iter().all(|(&own, &other)| comparable(own) < comparable(other))
    }
}

/// A score to compare by; greater than all others where a run diverged.
fn comparable(score: Option<f64>) -> f64 {
    score.unwrap_or(f64::INFINITY)
}

/// The first of the scores that are as good as the least.
pub(super) fn best(scores: &[Option<f64>]) -> usize {
    let least = scores.iter().copied().map(comparable).fold(f64::INFINITY, f64::min);
    scores.iter().position(|&score| comparable(score) <= least + GAIN * least.abs()).unwrap_or(0)
}

/// Whether a score is enough less than another.
fn is_better(score: Option<f64>, other: Option<f64>) -> bool {
    let (score, other) = (comparable(score), comparable(other));
    score < if other.is_finite() { other - GAIN * other.abs() } else { other }
}

/// Those that gain over the first, which has no changes.
fn gaining(whole: &[Made]) -> Vec<&Made> {
    whole[1..].iter().filter(|changed| changed.gains_over(&whole[0])).collect()
}

/// Of single changes, behind the runs without any: the two that gain most, the three that gain most, and so on up to all that gain.
pub(super) fn together(whole: &[Made]) -> Vec<Vec<String>> {
    let mut gaining = gaining(whole);
    gaining.sort_by(|a, b| comparable(a.score).total_cmp(&comparable(b.score)));
    let first = |count: usize| gaining[..count].iter().flat_map(|changed| changed.set.clone()).collect();
    (2..=gaining.len()).map(first).collect()
}

/// Of all changes that gain over none, the first that are as good as the best; none if nothing gains.
pub(super) fn proposed(whole: &[Made]) -> &[String] {
    let gaining = gaining(whole);
    let scores: Vec<Option<f64>> = gaining.iter().map(|changed| changed.score).collect();
    gaining.get(best(&scores)).map_or(&[], |changed| &changed.set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_gain_alone_are_tried_together_the_best_first() {
        let of = |name: &str, scores: [f64; 3]| {
            let set: Vec<String> = name.split_whitespace().map(str::to_string).collect();
            Made::new(&set, scores.map(|score| Some(score).filter(|score| score.is_finite())).to_vec())
        };
        let alone = [
            of("", [0.20, 0.22, 0.18]),
            of("a", [0.19, 0.21, 0.17]),
            of("b", [0.3, 0.3, 0.3]),
            of("c", [0.17, 0.19, 0.15]),
            // Best by far, but not each time.
            of("d", [0.05, 0.05, 0.181]),
            of("e", [0.01, f64::NAN, 0.01]),
            of("f", [0.199, 0.219, 0.179]),
        ];
        assert_eq!(together(&alone), [["c", "a"].map(str::to_string)]);
        assert_eq!(proposed(&alone), ["c"]);
        let all = [&alone[..], &[of("c a", [0.15, 0.16, 0.14])]].concat();
        assert_eq!(proposed(&all), ["c", "a"]);
        // No better than fewer of them.
        let all = [&alone[..], &[of("c a", [0.169, 0.189, 0.149])]].concat();
        assert_eq!(proposed(&all), ["c"]);
        assert!(proposed(&alone[..1]).is_empty() && proposed(&alone[4..6]).is_empty());
        // Whatever trains is better than what diverges.
        let diverged = of("", [f64::NAN; 3]);
        assert_eq!(proposed(&[diverged, of("b", [3.0; 3])]), ["b"]);
    }
}
