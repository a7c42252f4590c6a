//! What to say when the loss is not finite any more: a run is a pure function of its start, so the steps since
//! the last good checkpoint are run again, looking at every tensor after each.

use std::fmt;
use std::path::PathBuf;

use super::session::HostTensor;

/// Where a run lost its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Divergence {
    /// The step, counted from 1, whose loss was not finite.
    pub step: u64,
    /// That loss.
    pub loss: f64,
    /// The learning rate of that step.
    pub learning_rate: f64,
    /// The first tensor that was not finite and the step that made it so; none if the state was finite when the
    /// loss was not.
    pub tensor: Option<(String, u64)>,
    /// The tensor with the largest magnitude in the last finite state.
    pub largest: Option<(String, f64)>,
    /// The last good checkpoint and its step.
    pub checkpoint: Option<(PathBuf, u64)>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the loss became {} at step {} (learning rate {:.3e})",
            self.loss, self.step, self.learning_rate
        )?;
        match &self.tensor {
            Some((name, step)) => {
                write!(f, "; the first tensor that is not finite is `{name}`, after step {step}")?
            }
            None => write!(f, "; every state tensor was still finite, so the loss itself overflowed")?,
        }
        if let Some((name, magnitude)) = &self.largest {
            write!(f, "; before that the largest was `{name}`, up to {magnitude:.3e}")?;
        }
        match &self.checkpoint {
            Some((path, step)) => {
                write!(f, ". The last good checkpoint, of step {step}, is kept: {}", path.display())?
            }
            None => write!(f, ". There is no checkpoint")?,
        }
        write!(f, ". A smaller `rule.lr` or a longer `schedule.warmup` usually helps")
    }
}

/// The first tensor with an element that is not finite.
pub(super) fn first_not_finite(tensors: &[HostTensor]) -> Option<&HostTensor> {
    tensors
        .iter()
        .find(|tensor| tensor.ty.dtype.is_float() && tensor.numbers().iter().any(|x| !x.is_finite()))
}

/// The tensor with the largest magnitude.
pub(super) fn largest(tensors: &[HostTensor]) -> Option<(String, f64)> {
    tensors
        .iter()
        .filter(|tensor| tensor.ty.dtype.is_float())
        .map(|tensor| {
            (tensor.name.clone(), tensor.numbers().iter().fold(0.0f64, |most, x| most.max(x.abs())))
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))
}
