//! Adaptive prediction sets: the likeliest classes until their probabilities sum up to enough (APS; Romano, Sesia and Candes
//! 2020).

use serde::Serialize;

use super::class_rows::ClassRows;

/// Sums that differ by less are equal.
const ROUNDING: f64 = 1e-8;

/// What sets of the likeliest classes came to, of as many as are together probable enough. How probable is chosen on other
/// rows, such that a new row's class is in its set with probability `1 - alpha` or more.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AdaptiveSets {
    /// How often a set may lack the right class.
    pub alpha: f64,
    /// The sum of probabilities that is enough; 1 where there are too few other rows to choose less.
    pub enough: f64,
    /// The part of the rows whose class is in their set.
    pub coverage: f64,
    /// The mean number of classes in a set, which has at least one.
    pub size: f64,
}

impl AdaptiveSets {
    /// Those of labelled `rows`, by labelled rows `held_out` for it, each with a number drawn evenly from 0 to 1: of a held-out
    /// row's own class that part of the probability does not count. None without rows, or with fewer draws.
    pub fn of(rows: &ClassRows, held_out: &ClassRows, alpha: f64, draws: &[f64]) -> Option<AdaptiveSets> {
        let (labels, known) = (rows.labels.as_ref()?, held_out.labels.as_ref()?);
        if labels.is_empty() || known.is_empty() || draws.len() < known.len() {
            return None;
        }
        let needed = |((logs, &label), draw): ((&[f64], &u32), &f64)| {
            let (mut sum, label) = (0.0, label as usize);
            for (class, probability) in sorted(logs) {
                sum += probability;
                if class == label {
                    return sum - draw * probability;
                }
            }
            sum
        };
        let mut sums: Vec<f64> = held_out.rows().zip(known).zip(draws).map(needed).collect();
        sums.sort_by(f64::total_cmp);
        // Rounding must not make a whole number one more.
        let rank = ((sums.len() + 1) as f64 * (1.0 - alpha) - 1e-9).ceil() as usize;
        let enough = sums.get(rank.max(1) - 1).copied().unwrap_or(1.0);
        let (mut covered, mut size) = (0usize, 0usize);
        for (logs, &label) in rows.rows().zip(labels) {
            let least = least(logs, enough);
            let is_in = |log: &&f64| log.exp() >= least;
            size += logs.iter().filter(is_in).count();
            covered += usize::from(is_in(&&logs[label as usize]));
        }
        let count = labels.len() as f64;
        Some(AdaptiveSets { alpha, enough, coverage: covered as f64 / count, size: size as f64 / count })
    }
}

/// Classes and their probabilities, the likeliest first; of equals the last.
fn sorted(logs: &[f64]) -> Vec<(usize, f64)> {
    let mut sorted: Vec<(usize, f64)> = logs.iter().map(|log| log.exp()).enumerate().collect();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    sorted
}

/// The least probability of a class in the set; those that are impossible are in none.
fn least(logs: &[f64], enough: f64) -> f64 {
    let (mut sum, mut least) = (0.0, f64::MIN_POSITIVE);
    for (_, probability) in sorted(logs).into_iter().filter(|(_, probability)| *probability > ROUNDING) {
        sum += probability;
        least = probability;
        if sum >= enough - ROUNDING {
            break;
        }
    }
    // Equals by rounding alone.
    least - ROUNDING
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn rows(probabilities: &[f64], labels: &[u32]) -> ClassRows {
        let logs = probabilities.iter().map(|p: &f64| p.ln()).collect();
        ClassRows {
            classes: probabilities.len() / labels.len(),
            logs,
            labels: Some(labels.to_vec()),
            ..ClassRows::default()
        }
    }

    #[test]
    fn a_small_case_by_hand() {
        let held_out = rows(&[0.6, 0.3, 0.1, 0.6, 0.3, 0.1], &[0, 1]);
        let new = rows(&[0.5, 0.3, 0.2, 0.9, 0.1, 0.0], &[2, 0]);
        // Of 2 rows the first smallest of 3 * 0.2: half of the first class.
        let sets = AdaptiveSets::of(&new, &held_out, 0.8, &[0.5, 0.0]).unwrap();
        assert!((sets.enough - 0.3).abs() < 1e-12);
        assert_eq!((sets.coverage, sets.size), (0.5, 1.0));
        // The second of 3 * 0.6: both likeliest classes whole.
        let sets = AdaptiveSets::of(&new, &held_out, 0.4, &[0.5, 0.0]).unwrap();
        assert!((sets.enough - 0.9).abs() < 1e-12);
        assert_eq!((sets.coverage, sets.size), (1.0, 2.0));
        // Too few: every class that is possible.
        let sets = AdaptiveSets::of(&new, &held_out, 0.1, &[0.5, 0.0]).unwrap();
        assert_eq!((sets.enough, sets.coverage, sets.size), (1.0, 1.0, 2.5));
        assert!(AdaptiveSets::of(&new, &held_out, 0.1, &[0.5]).is_none());
    }

    /// What MAPIE gives with the same draws.
    #[test]
    fn sets_are_those_of_the_library() {
        let of = |text: &str| -> Vec<Value> { serde_json::from_str(text).unwrap() };
        let cases = of(include_str!("../../tests/fixtures/eval/expected.json"));
        let adaptive = of(include_str!("../../tests/fixtures/eval/adaptive.json"));
        let numbers = |value: &Value| -> Vec<f64> {
            value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
        };
        for case in &adaptive {
            let given = cases.iter().find(|given| given["name"] == case["name"]).unwrap();
            let averaged = |samples: &str, labels: &str| {
                let samples = given[samples].as_array().unwrap();
                let count = samples.len() as f64;
                let flat = |sample: &Value| -> Vec<f64> {
                    sample.as_array().unwrap().iter().flat_map(&numbers).collect()
                };
                let mut mean = vec![0.0; flat(&samples[0]).len()];
                for sample in samples {
                    mean.iter_mut().zip(flat(sample)).for_each(|(mean, p)| *mean += p / count);
                }
                let labels: Vec<u32> = numbers(&given[labels]).iter().map(|label| *label as u32).collect();
                rows(&mean, &labels)
            };
            let (own, held_out) = (averaged("samples", "labels"), averaged("held_out", "held_labels"));
            let sets = AdaptiveSets::of(&own, &held_out, 0.1, &numbers(&case["draws"])).unwrap();
            let found = serde_json::to_value(sets).unwrap();
            for (name, wanted) in case["expected"].as_object().unwrap() {
                let (found, wanted) = (found[name].as_f64().unwrap(), wanted.as_f64().unwrap());
                assert!((found - wanted).abs() < 1e-6, "{} {name}: {found} {wanted}", case["name"]);
            }
        }
        assert_eq!(adaptive.len(), 3);
    }
}
