//! What is gained by leaving out the rows that a model is least sure of.

use serde::Serialize;

/// Risks of the surest rows, by how many they are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RiskCoverage {
    /// The area under the curve of risk over coverage, by trapezoids from one row to all, divided by that width.
    pub aurc: f64,
    /// The largest part of the rows, surest first, of which at most 1 % are wrong; 0 if there is none.
    pub coverage_at_1_percent: f64,
    /// The same of 5 %.
    pub coverage_at_5_percent: f64,
    /// The part of so many surest rows that is wrong, for one row, two and so on.
    #[serde(skip)]
    pub risks: Vec<f64>,
}

/// The rows from the surest to the least sure: confidence, and how wrong. Equally sure rows are as wrong as they are on
/// average.
pub(super) fn expected_wrong(confidence: &[f64], wrong: impl Iterator<Item = f64>) -> Vec<(f64, f64)> {
    let mut rows: Vec<(f64, f64)> = confidence.iter().copied().zip(wrong).collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    for tied in rows.chunk_by_mut(|a, b| a.0 == b.0) {
        let mean = tied.iter().map(|row| row.1).sum::<f64>() / tied.len() as f64;
        tied.iter_mut().for_each(|row| row.1 = mean);
    }
    rows
}

impl RiskCoverage {
    /// That of rows by confidence: `wrong` is 1 or 0 of each. None without rows.
    pub fn of(confidence: &[f64], wrong: &[f64]) -> Option<RiskCoverage> {
        let mut sum = 0.0;
        let rows = expected_wrong(confidence, wrong.iter().copied());
        let risks = rows.iter().zip(1u32..).map(|((_, wrong), count)| {
            sum += wrong;
            sum / f64::from(count)
        });
        let risks: Vec<f64> = risks.collect();
        let aurc = match risks[..] {
            [] => return None,
            [only] => only,
            // The width is the number of trapezoids, each one row wide.
            _ => {
                let areas = risks.windows(2).map(|pair| 0.5 * (pair[0] + pair[1]));
                areas.sum::<f64>() / (risks.len() - 1) as f64
            }
        };
        let coverage_at = |risk: f64| {
            // A sum of means of equals may be rounded.
            let last = risks.iter().rposition(|&found| found <= risk + 1e-12);
            last.map_or(0.0, |row| (row + 1) as f64 / risks.len() as f64)
        };
        let (one, five) = (coverage_at(0.01), coverage_at(0.05));
        Some(RiskCoverage { aurc, coverage_at_1_percent: one, coverage_at_5_percent: five, risks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_case_by_hand() {
        let found = RiskCoverage::of(&[0.6, 0.9, 0.8], &[1.0, 0.0, 0.0]).unwrap();
        assert_eq!(found.risks, [0.0, 0.0, 1.0 / 3.0]);
        assert!((found.aurc - 1.0 / 12.0).abs() < 1e-15);
        assert_eq!(found.coverage_at_1_percent, 2.0 / 3.0);
        let worst = RiskCoverage::of(&[0.9, 0.8], &[1.0, 0.0]).unwrap();
        assert_eq!((worst.coverage_at_5_percent, worst.risks[1]), (0.0, 0.5));
        assert!(RiskCoverage::of(&[], &[]).is_none());
        assert_eq!(RiskCoverage::of(&[0.5], &[1.0]).unwrap().aurc, 1.0);
    }
}
