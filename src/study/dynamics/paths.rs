//! Ways that rules go: from the exact posterior, where they should stay; from a start, with the precision watched; and along a training,
//! each update against the natural gradient where it is made.

use serde::{Deserialize, Serialize};

use super::bench::{Bench, Entrant, Rates};
use super::gaussian::{Gaussian, cosine};
use super::subject::Subject;
use super::theory::Theory;
use crate::study::convex::problem::DECAY;
use crate::study::kept::number;
use crate::train::TrainError;

/// The mean's rate on a way from the exact posterior.
const STAY_LR: f64 = 0.02;
/// Decays of the Hessian's average there where all rows are in a step, and where not: what VON's precision outlives.
const STAY_BETAS: [f64; 2] = [0.98, 0.995];
/// Steps of it for each update of a measurement.
const STAY_STEPS: u64 = 10;
/// Steps from one look at it to the next.
const STAY_LOOK: u64 = 5;
/// Looks that are kept for drawing.
const STAY_POINTS: u64 = 50;
/// The rates of a training.
pub const TRAIN: Rates = Rates { lr: 0.05, beta1: 0.9, beta2: 0.99 };
/// The mean's rate where the precision is watched. Without momentum, so that the two rules differ in the precision alone.
const WATCH_LR: f64 = 0.05;
/// How often updates are looked at along a training.
const LOOKS: u64 = 5;

/// How a rule that begins at the exact posterior stays there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stays {
    /// Averages over the way; none where `h + delta` was not above 0 for some weight at some time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<Away>,
    /// What theory says of the precision's excess, where it is worked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted: Option<f64>,
    /// By step, how far it is.
    pub points: Vec<(u64, Away)>,
}

/// How far a Gaussian is from the exact one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Away {
    /// The mean, in standard deviations: the root of the mean square.
    #[serde(deserialize_with = "number")]
    pub mean: f64,
    /// How much greater the precision is: the mean of the parts.
    #[serde(deserialize_with = "number")]
    pub excess: f64,
}

impl Away {
    fn of(found: &Gaussian, exact: &Gaussian) -> Away {
        let width = exact.mean.len() as f64;
        let squares = found.mean.iter().zip(&exact.mean).zip(exact.precisions());
        let parts = found.hess.iter().zip(&exact.hess).zip(exact.scales());
        Away {
            mean: (squares.map(|((m, exact), p)| (m - exact).powi(2) * p).sum::<f64>() / width).sqrt(),
            excess: parts.map(|((h, exact), scale)| (h - exact) / scale).sum::<f64>() / width,
        }
    }
}

/// What became of the precision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watched {
    /// Steps until `h + delta` was not above 0 for some weight; none if it always was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// The share of the weights that this was so for.
    #[serde(deserialize_with = "number")]
    pub share: f64,
    /// The least that an update left of any weight's `h + delta`, as a part; where it was not above 0, of the update that made it so.
    #[serde(deserialize_with = "number")]
    pub least: f64,
}

/// Updates of a training against the natural gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Along {
    /// After so many steps, the cosines of the next update of mean and precision with the natural gradient where it is made.
    pub points: Vec<(u64, f64, f64)>,
}

/// Begins at the exact posterior, and goes on for ten times as many steps as a measurement has updates. Without momentum, so that both
/// rules have the same noise.
///
/// # Errors
/// The device fails.
pub fn stay(
    bench: &mut Bench,
    (subject, rule): (&Subject, Entrant),
    seed: u64,
    exact: &Gaussian,
    theory: Option<&Theory>,
    updates: u64,
) -> Result<Stays, TrainError> {
    let [of_all, of_batches] = STAY_BETAS;
    let beta2 = if subject.is_whole() { of_all } else { of_batches };
    bench.begin(Rates { lr: STAY_LR, beta1: 0.0, beta2 }, seed, exact)?;
    let looks = (updates * STAY_STEPS).div_ceil(STAY_LOOK);
    let nothing = vec![0.0; exact.mean.len()];
    let mut sums = Gaussian { mean: nothing.clone(), hess: nothing, ess: exact.ess };
    let mut points = vec![(0, Away { mean: 0.0, excess: 0.0 })];
    let mut is_sound = true;
    for look in 1..=looks {
        for _ in 0..STAY_LOOK {
            bench.step()?;
        }
        let state = bench.state()?;
        is_sound = state.scales().iter().all(|&scale| scale > 0.0);
        if !is_sound {
            break;
        }
        sums.mean.iter_mut().zip(&state.mean).for_each(|(sum, m)| *sum += m / looks as f64);
        sums.hess.iter_mut().zip(&state.hess).for_each(|(sum, h)| *sum += h / looks as f64);
        if look % looks.div_ceil(STAY_POINTS) == 0 {
            points.push((look * STAY_LOOK, Away::of(&state, exact)));
        }
    }
    // The expected change is zero where `(1 - beta2) (H - h) + (1 - beta2)^2 E (h - h_hat)^2 / (2 (h + delta))` is; to first order in
    // `1 - beta2` the second expectation is the estimate's variance at the exact posterior. VON has no second term.
    let variance = theory.and_then(|theory| theory.variance.as_ref());
    let predicted = variance.map(|variance| match rule {
        Entrant::Von => 0.0,
        Entrant::Ivon => {
            let parts =
                variance.iter().zip(exact.scales()).map(|(variance, scale)| variance / (scale * scale));
            0.5 * (1.0 - beta2) * parts.sum::<f64>() / variance.len() as f64
        }
    });
    Ok(Stays { average: is_sound.then(|| Away::of(&sums, exact)), predicted, points })
}

/// Trains for so many steps, or until `h + delta` is not above 0 for some weight.
///
/// # Errors
/// The device fails.
pub fn watch(
    bench: &mut Bench,
    seed: u64,
    start: &Gaussian,
    beta2: f64,
    steps: u64,
) -> Result<Watched, TrainError> {
    bench.begin(Rates { lr: WATCH_LR, beta1: 0.0, beta2 }, seed, start)?;
    let mut before = start.scales();
    let mut watched = Watched { until: None, share: 0.0, least: 1.0 };
    for step in 1..=steps {
        bench.step()?;
        let after = bench.state()?.scales();
        let least = after.iter().zip(&before).map(|(after, before)| after / before);
        watched.least = least.fold(watched.least, f64::min);
        // NaN is not above 0 either.
        let gone = after.len() - after.iter().filter(|&&scale| scale > 0.0).count();
        if gone > 0 {
            watched.until = Some(step);
            watched.share = gone as f64 / after.len() as f64;
            break;
        }
        before = after;
    }
    Ok(watched)
}

/// Trains for so many steps, and compares some of the updates, the first and the last among them.
///
/// # Errors
/// The device fails.
pub fn train(
    bench: &mut Bench,
    subject: &Subject,
    seed: u64,
    start: &Gaussian,
    steps: u64,
    pairs: u64,
) -> Result<Along, TrainError> {
    bench.begin(TRAIN, seed, start)?;
    let mut points = Vec::new();
    for step in 0..steps {
        let is_looked_at = step == 0 || step + 1 == steps || step % steps.div_ceil(LOOKS) == 0;
        if !is_looked_at {
            bench.step()?;
            continue;
        }
        let before = bench.state()?;
        bench.step()?;
        let after = bench.state()?;
        let natural = before.natural(&subject.expected(&before, pairs, seed));
        let [of_mean, of_hess] = before.metric();
        let change = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| b - a).collect::<Vec<f64>>();
        let mean = cosine(&of_mean, &change(&before.mean, &after.mean), &natural.mean);
        let hess = cosine(&of_hess, &change(&before.hess, &after.hess), &natural.hess);
        if !(mean.is_finite() && hess.is_finite()) {
            break;
        }
        points.push((step, mean, hess));
    }
    Ok(Along { points })
}

/// The Gaussian that is nearest to the posterior, where it is known.
pub fn exact(subject: &Subject) -> Option<Gaussian> {
    let (exact, ess) = (subject.exact.as_ref()?, subject.rows() as f64);
    let hess = exact.precision.iter().map(|p| p / ess - DECAY).collect();
    Some(Gaussian { mean: exact.mean.clone(), hess, ess })
}
