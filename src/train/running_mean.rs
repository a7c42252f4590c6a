//! Means of what steps tell.

use super::session::StepScalars;
use crate::step::Metric;

/// The mean of step scalars.
#[derive(Default)]
pub(super) struct RunningMean {
    count: f64,
    sums: Vec<(Metric, f64)>,
    last: StepScalars,
}

impl RunningMean {
    /// Adds a step.
    pub fn add(&mut self, scalars: StepScalars) {
        self.count += 1.0;
        for (metric, value) in scalars.iter() {
            match self.sums.iter_mut().find(|(known, _)| *known == metric) {
                Some((_, sum)) => *sum += value,
                None => self.sums.push((metric, value)),
            }
        }
        self.last = scalars;
    }

    /// The means, and the last step's scalars; then it begins anew.
    pub fn take(&mut self) -> (StepScalars, StepScalars) {
        let RunningMean { count, sums, last } = std::mem::take(self);
        (sums.into_iter().map(|(metric, sum)| (metric, sum / count)).collect(), last)
    }
}
