//! Batches: which rows each step sees, a pure function of seed and step.

use super::random::SplitMix;
use super::{Batch, Crop, DataError, Examples};

/// The order of a run's rows: each epoch is a permutation, cut into batches; an incomplete last batch is dropped.
#[derive(Clone, Debug)]
pub struct Batches {
    rows: usize,
    batch: usize,
    seed: u64,
    epoch: Option<u64>,
    order: Vec<u32>,
}

impl Batches {
    /// Batches of `batch` rows out of `rows`.
    ///
    /// # Errors
    /// The batch is larger than the data, or empty.
    pub fn new(rows: usize, batch: usize, seed: u64) -> Result<Batches, DataError> {
        if batch > rows || batch == 0 {
            return Err(DataError::Batch { batch, rows });
        }
        Ok(Batches { rows, batch, seed, epoch: None, order: Vec::new() })
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.rows / self.batch) as u64
    }

    /// The rows of a step, counted from 0. Depends only on the seed and the step.
    pub fn rows(&mut self, step: u64) -> &[u32] {
        let epoch = step / self.steps_per_epoch();
        if self.epoch != Some(epoch) {
            self.order = permutation(self.rows, self.seed, epoch);
            self.epoch = Some(epoch);
        }
        let start = (step % self.steps_per_epoch()) as usize * self.batch;
        &self.order[start..start + self.batch]
    }

    /// How a step's examples are changed.
    pub fn crops(&self, examples: &Examples, step: u64) -> Option<Vec<Crop>> {
        examples.crops(self.seed, step / self.steps_per_epoch(), step, self.batch)
    }

    /// Appends a step's examples, changed as they are to be for learning.
    ///
    /// # Errors
    /// See [`Examples::append`].
    pub fn append(&mut self, examples: &Examples, step: u64, out: &mut Batch) -> Result<(), DataError> {
        let crops = self.crops(examples, step);
        examples.append(self.rows(step), crops.as_deref(), out)
    }
}

/// A Fisher-Yates shuffle of `0..rows`.
fn permutation(rows: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let mut random = SplitMix::keyed(&[seed, epoch]);
    let mut order: Vec<u32> = (0..rows as u32).collect();
    for last in (1..rows).rev() {
        let pick = random.below(last as u64 + 1) as usize;
        order.swap(last, pick);
    }
    order
}
