//! Scores of a trained model on data.

use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::data::Examples;
use crate::posterior::{Judging, Predictor, ReliabilityBin, Scores, StateRef, Tally};
use crate::step::Slot;

use super::session::Session;

/// Scores on rows that were not trained on: at the mean and, where the rule leaves a posterior, averaged over samples of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestScores {
    /// At the mean.
    pub mean: Scores,
    /// Predictions averaged over posterior samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posterior: Option<Scores>,
}

impl TestScores {
    /// Whether JSON can hold them.
    pub(crate) fn are_finite(&self) -> bool {
        self.numbers().iter().all(|(_, score)| score.is_finite())
    }

    /// Each score by its path, such as `mean.nll`.
    pub fn numbers(&self) -> Vec<(String, f64)> {
        let at = |at: &str, scores: &Scores| -> Vec<(String, f64)> {
            scores.numbers().iter().map(|(name, score)| (format!("{at}.{name}"), *score)).collect()
        };
        let posterior = self.posterior.iter().flat_map(|scores| at("posterior", scores));
        at("mean", &self.mean).into_iter().chain(posterior).collect()
    }
}

/// How often predictions are right, by how sure they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// At the mean.
    pub mean: Vec<ReliabilityBin>,
    /// Of predictions averaged over posterior samples; empty without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub posterior: Vec<ReliabilityBin>,
}

/// Scores the session's state on `data`.
pub(super) fn evaluate(
    session: &Session,
    predictor: &Predictor,
    judging: Judging,
    data: &Examples,
) -> Result<(TestScores, Reliability), TrainError> {
    // What the steps took, which predictions do not fit into.
    session.release_freed();
    with_state(session, |state| {
        let (mean, posterior) = predictor.tally(state, data, judging)?;
        let scores = TestScores { mean: mean.scores(), posterior: posterior.as_ref().map(Tally::scores) };
        let posterior = posterior.as_ref().map(Tally::bins).unwrap_or_default();
        Ok((scores, Reliability { mean: mean.bins(), posterior }))
    })
}

/// What `use_state` makes of the state tensors of a session, the means among them where they are not kept.
pub(super) fn with_state<T>(
    session: &Session,
    use_state: impl FnOnce(StateRef) -> Result<T, TrainError>,
) -> Result<T, TrainError> {
    let recovered = session.recovered()?;
    let state = |kind, param| {
        let kept = session.state(kind, param);
        let wanted = Slot::State(kind, param);
        kept.or_else(|| recovered.iter().find(|(slot, _)| *slot == wanted).map(|(_, buffer)| buffer))
    };
    use_state(&state)
}
