//! What the posterior is for: samples, averaged predictions and their calibration.

mod averaged;
pub mod calibration;
mod choose;
mod generate;
mod predict;
mod predictions;
mod prune;
mod sample;
mod scorer;
mod sensitivity;
mod sheet;
mod sigma;

pub use averaged::Averaged;
pub use calibration::{ReliabilityBin, Scores, Tally};
pub use choose::Choice;
pub use generate::{Generator, Prompt, Text, candidate_seed};
pub(crate) use predict::PredictorPrograms;
pub use predict::{Judging, Predictor, PredictorError, StateRef, WeightsAt};
pub use predictions::{ClassPredictions, NumberPredictions, Predicted, Predictions, TokenPredictions};
pub use prune::{PruneBy, Pruned, Removal, pruning_curve};
pub(crate) use sample::draw_sample;
pub use sample::{Posterior, to_host};
pub use scorer::{Scorer, TokenScores};
pub use sensitivity::{LeavingOut, LeftOut, RowSensitivity, Sensitivity};
pub use sheet::{Format, Sheet, SheetError};
pub use sigma::{Layer, Quantiles, layers, sigmas, signal_to_noise};
