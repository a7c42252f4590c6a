//! What is summed over samples for the rows of a batch.

/// Sums for rows whose predictions are `width` numbers each: logits, or means and logarithms of noise.
pub(super) struct Sums {
    width: usize,
    /// Predictions at the mean, `[rows, width]`.
    base: Vec<f64>,
    /// The derivatives of the rows' losses by their predictions.
    errors: Vec<f64>,
    /// How far samples move the predictions, the products of that with the errors, and with those the moves again. A
    /// constant that is added to all logits of a row changes none of it: errors of a row add up to 0.
    moves: Vec<f64>,
    products: Vec<f64>,
    both: Vec<f64>,
}

impl Sums {
    pub fn new(base: Vec<f64>, errors: Vec<f64>, width: usize) -> Sums {
        let none = vec![0.0; base.len()];
        let products = vec![0.0; base.len() / width.max(1)];
        Sums { width, errors, moves: none.clone(), both: none, products, base }
    }

    /// Adds what a sample predicts.
    pub fn add(&mut self, predicted: &[f64]) {
        for (row, product) in self.products.iter_mut().enumerate() {
            let of_row = row * self.width..(row + 1) * self.width;
            let moved = |at: usize| predicted[at] - self.base[at];
            let of_sample: f64 = of_row.clone().map(|at| moved(at) * self.errors[at]).sum();
            *product += of_sample;
            for at in of_row {
                self.moves[at] += moved(at);
                self.both[at] += moved(at) * of_sample;
            }
        }
    }

    /// What each row is predicted by with it, and as it is estimated over so many samples without it.
    pub fn rows(&self, samples: f64) -> impl Iterator<Item = (&[f64], Vec<f64>)> {
        self.base.chunks_exact(self.width.max(1)).enumerate().map(move |(row, base)| {
            let covariance =
                |at: usize| (self.both[at] - self.moves[at] * self.products[row] / samples) / (samples - 1.0);
            let of_row = row * self.width..(row + 1) * self.width;
            (base, of_row.map(|at| self.base[at] + covariance(at)).collect())
        })
    }
}
