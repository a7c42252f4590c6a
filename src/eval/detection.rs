//! Telling rows of another kind from the model's own by a score that is larger for them.

use serde::Serialize;

/// How well rows of a second data set are told from those of the first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Detection {
    /// The probability that a row of the second set has a larger score than one of the first, ties counted half: the area
    /// under the receiver operating characteristic.
    pub auroc: f64,
    /// The part of the first set's rows that is taken for the second's where 95 % of the second's are found.
    pub fpr95: f64,
}

impl Detection {
    /// By the scores of the first set's rows and the second's; none where one of them is empty or a score is NaN.
    pub fn of(first: &[f64], second: &[f64]) -> Option<Detection> {
        if first.is_empty() || second.is_empty() || first.iter().chain(second).any(|score| score.is_nan()) {
            return None;
        }
        let marked = |scores: &[f64], mark: bool| scores.iter().map(move |&s| (s, mark)).collect::<Vec<_>>();
        let mut all = [marked(first, false), marked(second, true)].concat();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (firsts, seconds) = (first.len() as f64, second.len() as f64);
        let (mut wins, mut found, mut taken, mut fpr95) = (0.0, 0.0, 0.0, None);
        // From the largest score down, equal ones together: no threshold tells them apart.
        for equal in all.chunk_by(|a, b| a.0 == b.0) {
            let of_second = equal.iter().filter(|row| row.1).count() as f64;
            let of_first = equal.len() as f64 - of_second;
            wins += of_first * (found + 0.5 * of_second);
            found += of_second;
            taken += of_first;
            if found / seconds >= 0.95 {
                fpr95.get_or_insert(taken / firsts);
            }
        }
        Some(Detection { auroc: wins / firsts / seconds, fpr95: fpr95.unwrap_or(1.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_case_by_hand() {
        let detection = |first: &[f64], second: &[f64]| Detection::of(first, second);
        let all = Detection { auroc: 1.0, fpr95: 0.0 };
        assert_eq!(detection(&[0.0, 1.0], &[2.0]), Some(all));
        assert_eq!(detection(&[2.0, 2.0], &[2.0]), Some(Detection { auroc: 0.5, fpr95: 1.0 }));
        assert_eq!(detection(&[3.0, 1.0], &[2.0]), Some(Detection { auroc: 0.5, fpr95: 0.5 }));
        assert!(detection(&[], &[1.0]).is_none() && detection(&[1.0], &[f64::NAN]).is_none());
        // Zeros of either sign are equal.
        assert_eq!(detection(&[0.0], &[-0.0]).unwrap().auroc, 0.5);
    }
}
