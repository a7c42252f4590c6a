//! What the posterior is for: samples, averaged predictions and their calibration.

pub mod calibration;
mod predict;

pub use calibration::Scores;
pub use predict::{Judging, Predictor, PredictorError, StateRef};
