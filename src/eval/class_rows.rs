//! The probabilities of classes that rows are predicted with.

use crate::posterior::Averaged;

/// Predicted classes of rows. Of all samples only the averages are kept: 8 bytes for each row and class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassRows {
    /// Number of classes.
    pub classes: usize,
    /// The logarithm of each averaged probability, `[rows, classes]`.
    pub logs: Vec<f64>,
    /// The mean over samples of the entropy of each row's classes, in nats.
    pub aleatoric: Vec<f64>,
    /// The rows' labels; none where they are not known.
    pub labels: Option<Vec<u32>>,
}

impl ClassRows {
    /// No rows yet.
    pub fn none_yet(classes: usize, is_labelled: bool) -> ClassRows {
        ClassRows { classes, labels: is_labelled.then(Vec::new), ..ClassRows::default() }
    }

    /// Adds rows.
    pub fn push(&mut self, averaged: &Averaged, labels: &[f64]) {
        self.logs.extend(averaged.log_probabilities());
        self.aleatoric.extend(averaged.entropies());
        if let Some(known) = &mut self.labels {
            known.extend(labels.iter().map(|&label| label as u32));
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.logs.len() / self.classes.max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    /// The logarithms of the probabilities, row by row.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.logs.chunks_exact(self.classes.max(1))
    }

    /// The most probable class of each row, of equally probable ones the first, and its probability.
    pub fn predicted(&self) -> Vec<(u32, f64)> {
        let best = |(best, most): (u32, f64), (class, &log): (usize, &f64)| match log > most {
            true => (class as u32, log),
            false => (best, most),
        };
        let rows = self.rows().map(|row| row.iter().enumerate().fold((0, f64::NEG_INFINITY), best));
        rows.map(|(class, log)| (class, log.exp())).collect()
    }

    /// The entropy of each row's averaged probabilities, in nats.
    pub fn entropies(&self) -> Vec<f64> {
        // A probability that rounded to zero has an infinite logarithm, and adds nothing.
        let part = |&log: &f64| if log == f64::NEG_INFINITY { 0.0 } else { log.exp() * log };
        self.rows().map(|row| (-row.iter().map(part).sum::<f64>()).max(0.0)).collect()
    }

    /// What the weights leave open of each row: its entropy less the mean over samples, at least 0.
    pub fn mutual_information(&self) -> Vec<f64> {
        let entropies = self.entropies();
        // Rounding may put it a little below 0.
        entropies.iter().zip(&self.aleatoric).map(|(total, own)| (total - own).max(0.0)).collect()
    }

    /// The rows that are picked, and the others, each in order.
    pub fn divide(&self, is_picked: &[bool]) -> [ClassRows; 2] {
        [true, false].map(|picked| {
            let keeps = |row: &usize| is_picked.get(*row) == Some(&picked);
            let kept: Vec<usize> = (0..self.len()).filter(keeps).collect();
            ClassRows {
                classes: self.classes,
                logs: kept
                    .iter()
                    .flat_map(|row| &self.logs[row * self.classes..][..self.classes])
                    .copied()
                    .collect(),
                aleatoric: kept.iter().filter_map(|&row| self.aleatoric.get(row)).copied().collect(),
                labels: self.labels.as_ref().map(|labels| kept.iter().map(|&row| labels[row]).collect()),
            }
        })
    }

    /// The same rows, the logarithms of the probabilities divided by a temperature. What their samples say is not kept.
    #[must_use]
    pub fn tempered(&self, temperature: f64) -> ClassRows {
        let mut logs = Vec::with_capacity(self.logs.len());
        for row in self.rows() {
            let scaled = || row.iter().map(|log| log / temperature);
            let most = scaled().fold(f64::NEG_INFINITY, f64::max);
            let norm = most + scaled().map(|log| (log - most).exp()).sum::<f64>().ln();
            logs.extend(scaled().map(|log| log - norm));
        }
        ClassRows { classes: self.classes, logs, aleatoric: Vec::new(), labels: self.labels.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(probabilities: &[f64]) -> ClassRows {
        let logs = probabilities.iter().map(|p| p.ln()).collect();
        ClassRows { classes: 2, logs, aleatoric: vec![0.0, 0.5, 9.0], labels: Some(vec![0, 1, 0]) }
    }

    #[test]
    fn rows_by_hand() {
        let rows = rows(&[1.0, 0.0, 0.5, 0.5, 0.2, 0.8]);
        let [first, second, third] = rows.predicted()[..] else { panic!() };
        assert_eq!((first, second, third.0), ((0, 1.0), (0, 0.5), 1));
        let [certain, even, _] = rows.entropies()[..] else { panic!() };
        assert!(certain == 0.0 && (even - 2.0f64.ln()).abs() < 1e-15);
        let [zero, left, none] = rows.mutual_information()[..] else { panic!() };
        assert!(zero == 0.0 && (left - (2.0f64.ln() - 0.5)).abs() < 1e-15 && none == 0.0);
    }

    #[test]
    fn rows_are_divided_in_order() {
        let [picked, others] = rows(&[0.9, 0.1, 0.5, 0.5, 0.2, 0.8]).divide(&[true, false, true]);
        assert_eq!((picked.len(), others.len()), (2, 1));
        assert_eq!((picked.labels, picked.aleatoric), (Some(vec![0, 0]), vec![0.0, 9.0]));
        assert_eq!((others.labels, others.logs[0]), (Some(vec![1]), 0.5f64.ln()));
    }

    #[test]
    fn a_temperature_flattens() {
        let halved = rows(&[0.8, 0.2, 0.5, 0.5, 1.0, 0.0]).tempered(2.0);
        let wanted = 0.8f64.sqrt() / (0.8f64.sqrt() + 0.2f64.sqrt());
        assert!((halved.logs[0].exp() - wanted).abs() < 1e-15);
        assert_eq!(halved.logs[4..], [0.0, f64::NEG_INFINITY]);
    }
}
