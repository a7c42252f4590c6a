//! What the posterior is for: samples, averaged predictions and their calibration.

pub mod calibration;
mod choose;
mod generate;
mod predict;
mod sample;

pub use calibration::Scores;
pub use choose::Choice;
pub use generate::{Generator, Prompt, Text};
pub use predict::{Judging, Predictor, PredictorError, StateRef};
pub use sample::{Posterior, to_host};
