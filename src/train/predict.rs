//! Predictions of a run's model, for rows of the program's own.

use natgrad_layers::Task;
use ndarray::{Array1, ArrayD, IxDyn};

use super::TrainError;
use super::evaluate::with_state;
use super::training::Training;
use crate::data::{Arrays, Examples};
use crate::posterior::{
    ClassPredictions, LeavingOut, NumberPredictions, Predicted, Scores, Sensitivity, TokenPredictions,
    WeightsAt,
};

/// Which weights predict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Their mean.
    Mean,
    /// So many samples of the posterior, over which the predictions are averaged.
    Samples(u32),
}

/// What a model predicts for rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// By the task: the probabilities of classes, `[rows, classes]`; numbers, in the shape of the labels; or the
    /// logarithms of the labels' probabilities, `[rows, positions]`. Averaged over the samples.
    pub mean: ArrayD<f64>,
    /// The standard deviation over the samples of each probability or number; zeros at the mean.
    pub spread: ArrayD<f64>,
    /// The most probable class of each row; empty unless classes are predicted.
    pub class: Array1<u32>,
    /// Where classes are predicted, what is open: the entropy of each row's averaged probabilities, in nats.
    pub entropy: Array1<f64>,
    /// The part of the entropy that the weights leave open: the mutual information of a row's class and the weights. The
    /// rest is what the data leave open.
    pub epistemic: Array1<f64>,
    /// How good the predictions are, where the rows had labels.
    pub scores: Option<Scores>,
}

impl Training<'_> {
    /// What the model predicts for these rows, however many; with labels, `(&x, &y)`, also how well.
    ///
    /// # Errors
    /// The rows do not fit the model, the rule leaves no posterior to sample, or the device fails.
    pub fn predict(&mut self, rows: impl Into<Arrays>, at: At) -> Result<Prediction, TrainError> {
        // Of tokens the labels' probabilities are predicted.
        let rows = rows.into().of_types(&self.rows, self.config.model.task() == Task::Tokens)?;
        let labels = self.rows.labels.shape.clone();
        let count = rows.len();
        if !self.config.rule.has_posterior()
            && let At::Samples(_) = at
        {
            let name = self.config.rule.name();
            let reason = format!("{name} leaves no posterior to sample; predict at the mean");
            return Err(TrainError::Refused { call: "predict", reason });
        }
        let predicted = self.predicted(&Examples::Arrays(rows), at)?;
        let shape = |of_row: &[usize]| IxDyn(&[&[count], of_row].concat());
        let array = |shape: IxDyn, numbers: Vec<f64>| {
            let length = numbers.len();
            ArrayD::from_shape_vec(shape, numbers).map_err(|_| TrainError::Refused {
                call: "predict",
                reason: format!("{length} predictions for {count} rows"),
            })
        };
        let none = || (Array1::default(0), Array1::default(0), Array1::default(0));
        let (mean, spread, (class, entropy, epistemic)) = match predicted.predicted {
            Predicted::Classes(ClassPredictions {
                classes,
                probabilities,
                spread,
                class,
                entropy,
                epistemic,
                ..
            }) => {
                let shape = shape(&[classes]);
                (
                    array(shape.clone(), probabilities)?,
                    array(shape, spread)?,
                    (class.into(), entropy.into(), epistemic.into()),
                )
            }
            Predicted::Numbers(NumberPredictions { mean, spread, .. }) => {
                let shape = shape(labels.dims());
                (array(shape.clone(), mean)?, array(shape, spread)?, none())
            }
            Predicted::Tokens(TokenPredictions { log_probabilities, spread, .. }) => {
                let shape = shape(labels.dims());
                (array(shape.clone(), log_probabilities)?, array(shape, spread)?, none())
            }
        };
        Ok(Prediction { mean, spread, class, entropy, epistemic, scores: predicted.scores })
    }

    /// How much the model depends on each row that it is trained on, estimated from so many samples of the posterior, at least
    /// 2: for models of classes or numbers.
    ///
    /// # Errors
    /// There are no such rows, the model is of another task, the rule leaves no posterior, or the device fails.
    pub fn sensitivity(&mut self, samples: u32) -> Result<Sensitivity, TrainError> {
        let Some(train) = self.train.clone() else {
            let reason = "there are no training rows: give them by `Run::data`".to_string();
            return Err(TrainError::Refused { call: "sensitivity", reason });
        };
        let predictor = self.predictor(train.len().next_power_of_two(), &mut |_| {})?;
        let criterion = &self.recipe().criterion;
        let leaving = LeavingOut { values: &self.values, criterion, seed: self.config.seed, samples };
        with_state(&self.session, |state| Ok(predictor.sensitivity(state, &train, leaving)?))
    }

    fn predicted(&mut self, rows: &Examples, at: At) -> Result<crate::posterior::Predictions, TrainError> {
        // Programs are compiled for few sizes, whatever the number of rows.
        let predictor = self.predictor(rows.len().next_power_of_two(), &mut |_| {})?;
        let (seed, bins) = (self.config.seed, self.config.evaluation.bins);
        let at = match at {
            At::Mean => WeightsAt::Mean,
            At::Samples(count) => WeightsAt::Samples { values: &self.values, seed, count },
        };
        with_state(&self.session, |state| Ok(predictor.predict_rows(state, rows, at, bins)?))
    }
}
