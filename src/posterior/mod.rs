//! What the posterior is for: samples, averaged predictions and their calibration.

mod averaged;
pub mod calibration;
mod choose;
mod generate;
mod predict;
mod predictions;
mod sample;
mod sheet;

pub use averaged::Averaged;
pub use calibration::{ReliabilityBin, Scores, Tally};
pub use choose::Choice;
pub use generate::{Generator, Prompt, Text};
pub use predict::{Judging, Predictor, PredictorError, StateRef, WeightsAt};
pub use predictions::{ClassPredictions, NumberPredictions, Predicted, Predictions, TokenPredictions};
pub(crate) use sample::draw_sample;
pub use sample::{Posterior, to_host};
pub use sheet::{Format, Sheet, SheetError};
