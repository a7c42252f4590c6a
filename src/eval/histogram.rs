//! How numbers are spread.

use serde::Serialize;

/// Parts of numbers in bins of equal width.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Histogram {
    /// Where the first bin begins, and the last one ends.
    pub range: [f64; 2],
    /// The part of the numbers in each bin.
    pub parts: Vec<f64>,
}

impl Histogram {
    /// Of numbers that lie in the range; what rounding puts outside is in the bin beside.
    pub fn of(numbers: &[f64], range: [f64; 2], bins: usize) -> Histogram {
        let mut parts = vec![0.0; bins.max(1)];
        let last = parts.len() - 1;
        for number in numbers {
            let place = (number - range[0]) / (range[1] - range[0]) * parts.len() as f64;
            parts[(place.max(0.0) as usize).min(last)] += 1.0 / numbers.len() as f64;
        }
        Histogram { range, parts }
    }

    /// The outline, to draw as a line.
    pub fn outline(&self) -> Vec<(f64, f64)> {
        let width = (self.range[1] - self.range[0]) / self.parts.len() as f64;
        let edge = |bin: usize| self.range[0] + bin as f64 * width;
        self.parts
            .iter()
            .enumerate()
            .flat_map(|(bin, &part)| [(edge(bin), part), (edge(bin + 1), part)])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_counted_in_their_bins() {
        let found = Histogram::of(&[0.0, 0.1, 1.0, 1.1], [0.0, 1.0], 2);
        assert_eq!(found.parts, [0.5, 0.5]);
        assert_eq!(found.outline(), [(0.0, 0.5), (0.5, 0.5), (0.5, 0.5), (1.0, 0.5)]);
        assert_eq!(Histogram::of(&[], [0.0, 1.0], 2).parts, [0.0, 0.0]);
    }
}
