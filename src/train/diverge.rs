//! What to say when the loss is not finite any more: a run is a pure function of its start, so the steps since
//! the last good checkpoint are run again, looking at every tensor after each.

use std::fmt;
use std::path::PathBuf;

use super::session::HostTensor;

/// Where a run lost its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Divergence {
    /// What was seen.
    pub symptom: Symptom,
    /// The learning rate of the step; none before the first.
    pub learning_rate: Option<f64>,
    /// The first tensor that was not finite and the step that made it so; none if the state was finite when the
    /// loss was not.
    pub tensor: Option<(String, u64)>,
    /// The tensor with the largest magnitude in the last finite state.
    pub largest: Option<(String, f64)>,
    /// The last good checkpoint and its step.
    pub checkpoint: Option<(PathBuf, u64)>,
    /// Whether the same was seen when the steps were run again, which the search relies on.
    pub repeated: bool,
}

impl Divergence {
    /// Of which nothing is known yet but what was seen, and the last good checkpoint.
    pub(super) fn seen(symptom: Symptom, checkpoint: Option<(PathBuf, u64)>) -> Divergence {
        Divergence { symptom, learning_rate: None, tensor: None, largest: None, checkpoint, repeated: true }
    }
}

/// The first sign of a divergence. Steps are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Symptom {
    /// The loss of a step was not finite.
    Loss {
        /// The step.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// Every loss was finite, but the state after a step is not; after step 0, the state that the run starts from.
    State {
        /// The step.
        step: u64,
    },
}

impl Symptom {
    /// The steps done in the last state that can tell what happened.
    pub(super) fn last_state(self) -> u64 {
        match self {
            Symptom::Loss { step, .. } => step - 1,
            Symptom::State { step } => step,
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.symptom {
            Symptom::Loss { step, loss } => write!(f, "the loss became {loss} at step {step}")?,
            Symptom::State { step: 0 } => write!(f, "the state is not finite before the first step")?,
            Symptom::State { step } => {
                write!(f, "the state is not finite after step {step}, though every loss was")?
            }
        }
        if let Some(rate) = self.learning_rate {
            write!(f, " (learning rate {rate:.3e})")?;
        }
        match &self.tensor {
            _ if !self.repeated => write!(
                f,
                "; the same steps run again gave finite numbers, so there is no telling which tensor was first. Programs give \
                 the same bits every time on CPUs, and on GPUs with step.deterministic=true"
            )?,
            Some((name, step)) => {
                write!(f, "; the first tensor that is not finite is `{name}`, after step {step}")?
            }
            None if matches!(self.symptom, Symptom::Loss { step: 1, .. }) => write!(
                f,
                "; every state tensor was finite, so the network or its loss is not finite from the start"
            )?,
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
        match self.symptom {
            Symptom::State { step: 0 } => match &self.tensor {
                Some((name, _)) if name.starts_with("mean/") => {
                    write!(f, ". Check how it starts: its `Init` in the model, or the weights of `init`")
                }
                _ => write!(f, ". Check `rule.ess` and `rule.hess_init`"),
            },
            Symptom::Loss { step: 1, loss } if loss.is_nan() => {
                write!(f, ". Look for a division by 0, and a logarithm or a root of what is not positive")
            }
            _ => write!(f, ". A smaller `rule.lr` or a longer `schedule.warmup` usually helps"),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_do_not_diverge_again_are_told() {
        let symptom = Symptom::Loss { step: 7, loss: f64::NAN };
        let seen = Divergence { repeated: false, ..Divergence::seen(symptom, None) };
        let text = seen.to_string();
        assert!(
            text.contains("run again gave finite numbers") && text.contains("step.deterministic=true"),
            "{text}"
        );
        let text = Divergence { repeated: true, ..seen }.to_string();
        assert!(text.contains("the loss itself overflowed") && !text.contains("again"), "{text}");
    }
}
