//! What rows are predicted by, averaged over samples of the parameters.

use natgrad_layers::Task;

/// What some rows are predicted by, averaged over the sets of parameters that were added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Averaged {
    /// Probabilities of classes, row-major; of the labels, where tokens are predicted; nothing where numbers are.
    pub probabilities: Vec<f64>,
    /// Predicted numbers; empty otherwise.
    pub numbers: Vec<f64>,
    /// How many sets of parameters were added.
    samples: f64,
    /// Of probabilities, or of predicted numbers, the sum of squared distances from their mean.
    squares: Vec<f64>,
    /// The mean entropy of each row's classes, in nats; empty otherwise.
    entropies: Vec<f64>,
    /// The sums of squares of the noise of each number of a row; empty unless numbers are predicted.
    noises: Vec<f64>,
    /// The logarithms of the sums of the probabilities, or of the numbers' densities: however small, none is lost.
    log_sums: Vec<f64>,
}

impl Averaged {
    /// Adds the predictions by one set of parameters: log-probabilities, or numbers, of the density about which the
    /// labels are judged. The density of the numbers of a row has a `noise` for each of them; it is of no other task.
    pub fn add(&mut self, task: Task, predictions: &[f64], labels: &[f64], noise: &[f64]) {
        self.samples += 1.0;
        let samples = self.samples;
        self.squares.resize(predictions.len(), 0.0);
        self.log_sums.resize(predictions.len(), f64::NEG_INFINITY);
        match task {
            Task::Classes => {
                self.entropies.resize(labels.len(), 0.0);
                let classes = (predictions.len() / labels.len().max(1)).max(1);
                for (mean, row) in self.entropies.iter_mut().zip(predictions.chunks_exact(classes)) {
                    *mean += (entropy(row.iter().map(|&log| (log.exp(), log))) - *mean) / samples;
                }
                self.add_probabilities(predictions);
            }
            Task::Tokens => self.add_probabilities(predictions),
            Task::Numbers { noise: _ } | Task::Own => {
                self.numbers.resize(predictions.len(), 0.0);
                self.noises.resize(noise.len(), 0.0);
                self.noises.iter_mut().zip(noise).for_each(|(sum, noise)| *sum += noise * noise);
                let of_each = predictions.iter().zip(labels).zip(noise.iter().cycle());
                for (at, ((&prediction, label), noise)) in of_each.enumerate() {
                    let constant = (noise * (2.0 * std::f64::consts::PI).sqrt()).ln();
                    let z = (label - prediction) / noise;
                    self.log_sums[at] = log_add(self.log_sums[at], -0.5 * z * z - constant);
                    advance(&mut self.numbers[at], &mut self.squares[at], prediction, samples);
                }
            }
        }
    }

    fn add_probabilities(&mut self, logs: &[f64]) {
        for (sum, &log) in self.log_sums.iter_mut().zip(logs) {
            *sum = log_add(*sum, log);
        }
        self.probabilities.resize(logs.len(), 0.0);
        let sums = self.probabilities.iter_mut().zip(&mut self.squares);
        for ((mean, squares), log) in sums.zip(logs) {
            advance(mean, squares, log.exp(), self.samples);
        }
    }

    /// The standard deviation over samples of each probability or predicted number; zeros for one sample.
    pub fn spread(&self) -> impl Iterator<Item = f64> + '_ {
        self.squares.iter().map(|squares| (squares / self.samples).sqrt())
    }

    /// The noise of each number of a row: the root of the mean over samples of its square; nothing for other tasks.
    pub fn noise(&self) -> impl Iterator<Item = f64> + '_ {
        self.noises.iter().map(|squares| (squares / self.samples).sqrt())
    }

    /// The mean over samples of the entropy of each row's classes, in nats; nothing for other tasks.
    pub fn entropies(&self) -> &[f64] {
        &self.entropies
    }

    /// The logarithm of the mean over samples of each probability, or of each number's density at its label.
    pub fn log_probabilities(&self) -> impl ExactSizeIterator<Item = f64> + '_ {
        let samples = self.samples.ln();
        self.log_sums.iter().map(move |sum| sum - samples)
    }
}

/// The entropy in nats of probabilities, given with their logarithms.
pub(super) fn entropy(probabilities: impl Iterator<Item = (f64, f64)>) -> f64 {
    // A probability that rounded to zero has an infinite logarithm, and adds nothing.
    -probabilities.map(|(p, log)| if p == 0.0 { 0.0 } else { p * log }).sum::<f64>()
}

/// Moves a mean and the sum of squared distances from it on by one value, of so many (Welford 1962): squares of large
/// numbers would cancel.
fn advance(mean: &mut f64, squares: &mut f64, value: f64, count: f64) {
    let before = value - *mean;
    *mean += before / count;
    *squares += before * (value - *mean);
}

/// The logarithm of the sum of what two logarithms stand for. NaN stays so.
pub(super) fn log_add(a: f64, b: f64) -> f64 {
    if b == f64::NEG_INFINITY {
        return a;
    }
    let (less, more) = if a > b { (b, a) } else { (a, b) };
    more + (less - more).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use natgrad_layers::Noise;

    use super::*;

    #[test]
    fn spread_and_entropies_of_a_small_case_by_hand() {
        let logs = |row: [f64; 2]| row.map(f64::ln);
        let mut averaged = Averaged::default();
        averaged.add(Task::Classes, &logs([0.9, 0.1]), &[0.0], &[]);
        averaged.add(Task::Classes, &logs([0.5, 0.5]), &[0.0], &[]);
        averaged.add(Task::Classes, &logs([0.0, 1.0]), &[0.0], &[]);
        let mean = 1.4 / 3.0;
        assert!((averaged.probabilities[0] - mean).abs() < 1e-15);
        let variance = (0.9f64.powi(2) + 0.25) / 3.0 - mean * mean;
        let spread: Vec<f64> = averaged.spread().collect();
        assert!(spread.iter().all(|spread| (spread - variance.sqrt()).abs() < 1e-15), "{spread:?}");
        let wanted = (-0.9 * 0.9f64.ln() - 0.1 * 0.1f64.ln() + 2.0f64.ln()) / 3.0;
        assert!((averaged.entropies()[0] - wanted).abs() < 1e-15);
    }

    #[test]
    fn the_spread_of_large_numbers_does_not_cancel() {
        let task = Task::Numbers { noise: Noise::Given(1.0) };
        let mut averaged = Averaged::default();
        for number in [1e9, 1e9 + 1e-3, 1e9 - 1e-3] {
            averaged.add(task, &[number], &[0.0], &[1.0]);
        }
        let spread = averaged.spread().next().unwrap();
        assert!((spread - (2e-6f64 / 3.0).sqrt()).abs() < 1e-6, "{spread}");
    }

    /// Two numbers a row, of two samples with a noise of their own each.
    #[test]
    fn every_number_of_a_row_has_its_noise() {
        let task = Task::Numbers { noise: Noise::Learned };
        let (labels, constant) = ([1.0, 2.0, -1.0, 0.0], (2.0 * std::f64::consts::PI).sqrt());
        let mut averaged = Averaged::default();
        averaged.add(task, &[1.0, 1.0, 0.0, 0.0], &labels, &[1.0, 3.0]);
        averaged.add(task, &[0.0, 2.0, 0.0, 4.0], &labels, &[2.0, 1.0]);
        let density = |z: f64, noise: f64| (-0.5 * z * z).exp() / (noise * constant);
        let wanted = [
            density(0.0, 1.0) + density(0.5, 2.0),
            density(1.0 / 3.0, 3.0) + density(0.0, 1.0),
            density(1.0, 1.0) + density(0.5, 2.0),
            density(0.0, 3.0) + density(4.0, 1.0),
        ];
        for (found, wanted) in averaged.log_probabilities().zip(wanted) {
            assert!((found - (wanted / 2.0).ln()).abs() < 1e-14, "{found} {wanted}");
        }
        assert_eq!(averaged.numbers, [0.5, 1.5, 0.0, 2.0]);
        assert_eq!(averaged.spread().collect::<Vec<f64>>(), [0.5, 0.5, 0.0, 2.0]);
        assert_eq!(averaged.noise().collect::<Vec<f64>>(), [2.5f64.sqrt(), 5.0f64.sqrt()]);
    }

    #[test]
    fn log_probabilities_are_those_of_mean_probabilities_however_small() {
        let mut averaged = Averaged::default();
        averaged.add(Task::Tokens, &[0.5f64.ln(), -1e4, f64::NAN], &[0.0; 3], &[]);
        assert_eq!(averaged.log_probabilities().take(2).collect::<Vec<_>>(), [0.5f64.ln(), -1e4]);
        averaged.add(Task::Tokens, &[0.25f64.ln(), -1e4, 0.0], &[0.0; 3], &[]);
        let logs: Vec<f64> = averaged.log_probabilities().collect();
        assert!((logs[0] - 0.375f64.ln()).abs() < 1e-15 && (logs[1] + 1e4).abs() < 1e-11, "{logs:?}");
        assert!(logs[2].is_nan());
    }
}
