//! How good a trained model's predictions are, and how good it is at knowing that: scores from the probabilities of
//! rows or tokens, or of numbers, at the mean of the weights or averaged over samples.
//!
//! Rows that a model is equally sure of count as in random order, so no score depends on the order of a file.

mod adaptive;
mod bayes_risk;
mod calibration;
mod chrf;
mod class_rows;
mod classification;
mod conformal;
mod detection;
mod histogram;
mod intervals;
mod regression;
mod selective;
mod temperature;
mod text;

pub use adaptive::AdaptiveSets;
pub use bayes_risk::BayesRisk;
pub use calibration::{CalibrationErrors, class_wise_error, equal_mass_error, reliability};
pub use chrf::chrf;
pub use class_rows::ClassRows;
pub use classification::{ClassEvaluation, ClassScores, Detections, Entropies, Judged, Tempered};
pub use conformal::{ALPHA, ConformalSets};
pub use detection::Detection;
pub use histogram::Histogram;
pub use intervals::{ConformalIntervals, IntervalCalibration};
pub use regression::{JudgedNumbers, NumberCurves, NumberDetections, NumberEvaluation, NumberScores};
pub use selective::RiskCoverage;
pub use temperature::fit_temperature;
pub use text::{TextDetections, TextEvaluation};
