//! Sets of classes that hold the right one with a stated probability (split conformal prediction).

use serde::Serialize;

use super::class_rows::ClassRows;

/// How often a set may lack the right class.
pub const ALPHA: f64 = 0.1;

/// What sets of the classes that are probable enough came to (LAC; Sadinle, Lei and Wasserman 2019). The least probability
/// is chosen on other rows, such that a new row's class is in its set with probability `1 - alpha` or more.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ConformalSets {
    /// How often a set may lack the right class.
    pub alpha: f64,
    /// The least probability of a class in a set; 0 where there are too few other rows to choose one.
    pub least: f64,
    /// The part of the rows whose class is in their set.
    pub coverage: f64,
    /// The mean number of classes in a set. A set can be empty.
    pub size: f64,
}

impl ConformalSets {
    /// Those of labelled `rows`, by labelled rows `held_out` for it; none without either.
    pub fn of(rows: &ClassRows, held_out: &ClassRows, alpha: f64) -> Option<ConformalSets> {
        let (labels, known) = (rows.labels.as_ref()?, held_out.labels.as_ref()?);
        if labels.is_empty() || known.is_empty() {
            return None;
        }
        let mut stated: Vec<f64> =
            held_out.rows().zip(known).map(|(row, &label)| row[label as usize].exp()).collect();
        stated.sort_by(|a, b| b.total_cmp(a));
        // Rounding must not make a whole number one more.
        let rank = ((stated.len() + 1) as f64 * (1.0 - alpha) - 1e-9).ceil() as usize;
        let least = stated.get(rank.max(1) - 1).copied().unwrap_or(0.0);
        let (mut covered, mut size) = (0usize, 0usize);
        for (row, &label) in rows.rows().zip(labels) {
            let is_in = |log: &&f64| log.exp() >= least;
            size += row.iter().filter(is_in).count();
            covered += usize::from(is_in(&&row[label as usize]));
        }
        let count = labels.len() as f64;
        Some(ConformalSets { alpha, least, coverage: covered as f64 / count, size: size as f64 / count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(firsts: &[f64]) -> ClassRows {
        let logs = firsts.iter().flat_map(|p: &f64| [p.ln(), (1.0 - p).ln()]).collect();
        ClassRows { classes: 2, logs, labels: Some(vec![0; firsts.len()]), ..ClassRows::default() }
    }

    #[test]
    fn a_small_case_by_hand() {
        // Of 9 rows the ninth largest of 10 * 0.9: the smallest, 0.3.
        let held_out = rows(&[0.9, 0.8, 0.3, 0.95, 0.85, 0.75, 0.7, 0.65, 0.6]);
        let sets = ConformalSets::of(&rows(&[0.9, 0.5, 0.2, 0.35]), &held_out, 0.1).unwrap();
        assert!((sets.least - 0.3).abs() < 1e-12);
        assert_eq!((sets.coverage, sets.size), (0.75, 1.5));
        // With fewer rows nothing can be left out.
        let all = ConformalSets::of(&rows(&[0.9]), &rows(&[0.9, 0.8]), 0.1).unwrap();
        assert_eq!((all.least, all.coverage, all.size), (0.0, 1.0, 2.0));
    }
}
