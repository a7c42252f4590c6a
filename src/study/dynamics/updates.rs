//! Many updates of a rule at one point, each from the same state, against the exact natural gradient there.

use serde::{Deserialize, Serialize};

use super::bench::{Bench, Rates};
use super::gaussian::{Direction, Expected, Gaussian, along, cosine};
use super::theory::Theory;
use crate::study::kept::{number, numbers};
use crate::train::TrainError;

/// The rates of mean and precision: so small that hundreds of updates leave the state where it was, and large enough that double
/// precision tells what each does.
const RATE: f64 = 1e-8;
/// Each block of updates that are averaged is so many times that before.
const BLOCKS: usize = 4;
/// A natural gradient that is shorter, in standard deviations or as a part of the precision, is none.
const NONE: f64 = 1e-6;

/// What many updates at a point are on average, and how they scatter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Updates {
    /// The mean's.
    pub mean: Against,
    /// The precision's.
    pub precision: Against,
    /// The Hessian's estimates.
    pub hessian: Estimates,
    /// The greatest standard error of the exact natural gradient, as a part of its length; zero where it is in closed form.
    #[serde(deserialize_with = "number")]
    pub reference: f64,
}

/// Updates against the exact natural gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Against {
    /// The mean cosine of averages over so many updates; none where the natural gradient is zero.
    #[serde(deserialize_with = "numbers")]
    pub cosines: Vec<(usize, f64)>,
    /// The cosine of the average of all; none likewise, or, of a kept run, where it was not finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosine: Option<f64>,
    /// The length of that average along the natural gradient, as a part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<f64>,
    /// How far the average is from the natural gradient, as the root of the mean square: of the mean in standard deviations of the
    /// Gaussian, of the precision as a part of it.
    #[serde(deserialize_with = "number")]
    pub apart: f64,
    /// The same in standard errors, of elements each: 1 if the updates are the natural gradient on average.
    #[serde(deserialize_with = "number")]
    pub errors: f64,
}

/// Estimates of the Hessian's diagonal, as parts of `h + delta`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimates {
    /// The mean over elements of the average estimate less the exact expectation.
    #[serde(deserialize_with = "number")]
    pub bias: f64,
    /// The root of its mean square over elements, less what the average's own standard errors make of it.
    #[serde(deserialize_with = "number")]
    pub biases: f64,
    /// The standard deviation of one estimate: the root of the mean variance.
    #[serde(deserialize_with = "number")]
    pub deviation: f64,
    /// The sum of average estimates over that of what theory says, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_expectation: Option<f64>,
    /// The mean ratio of variances to what theory says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_variance: Option<f64>,
}

/// Makes so many updates at a Gaussian with a step of so many samples.
///
/// # Errors
/// The device fails.
pub fn measure(
    bench: &mut Bench,
    seed: u64,
    at: &Gaussian,
    expected: &Expected,
    theory: Option<(&Theory, u32)>,
    updates: u64,
) -> Result<Updates, TrainError> {
    bench.begin(Rates { lr: RATE, beta1: 0.0, beta2: 1.0 - RATE }, seed, at)?;
    let (mut means, mut hessians) = (Vec::new(), Vec::new());
    let mut before = bench.state()?;
    for _ in 0..updates {
        bench.step()?;
        let after = bench.state()?;
        let rate = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (b - a) / RATE).collect::<Vec<f64>>();
        means.push(rate(&before.mean, &after.mean));
        hessians.push(rate(&before.hess, &after.hess));
        before = after;
    }
    Ok(compare(at, expected, theory, &means, &hessians))
}

fn compare(
    at: &Gaussian,
    expected: &Expected,
    theory: Option<(&Theory, u32)>,
    means: &[Vec<f64>],
    hessians: &[Vec<f64>],
) -> Updates {
    let natural = at.natural(expected);
    let scales = at.scales();
    let error_of_mean: Vec<f64> =
        expected.errors[0].iter().zip(&scales).map(|(e, scale)| e / scale).collect();
    let errors = Direction { mean: error_of_mean, hess: expected.errors[1].clone() };
    let [of_mean, of_hess] = at.metric();
    let deviations: Vec<f64> = at.precisions().iter().map(|precision| precision.sqrt().recip()).collect();
    let length = |metric: &[f64], a: &[f64]| metric.iter().zip(a).map(|(w, a)| w * a * a).sum::<f64>().sqrt();
    let reference = [(&of_mean, &natural.mean, &errors.mean), (&of_hess, &natural.hess, &errors.hess)]
        .map(|(metric, natural, errors)| length(metric, errors) / length(metric, natural));
    let (average, variance) = moments(hessians);
    let count = hessians.len() as f64;
    // The average change of `h` is that of the estimate, less `h`.
    let bias: Vec<f64> = average.iter().zip(&natural.hess).map(|(found, wanted)| found - wanted).collect();
    let own = variance.iter().zip(&errors.hess).map(|(variance, error)| variance / count + error * error);
    let beyond = bias.iter().zip(own).zip(&scales).map(|((b, own), scale)| (b * b - own) / (scale * scale));
    let parts = |values: &[f64]| values.iter().zip(&scales).map(|(value, scale)| value / scale).sum::<f64>();
    let estimate: Vec<f64> = average.iter().zip(&at.hess).map(|(change, h)| change + h).collect();
    let of_variance = |(theory, samples): (&Theory, u32)| {
        let wanted = theory.variance.as_ref()?;
        Some(mean(variance.iter().zip(wanted).map(|(found, wanted)| found * f64::from(samples) / wanted)))
    };
    Updates {
        mean: against(&of_mean, &natural.mean, &errors.mean, &deviations, means),
        precision: against(&of_hess, &natural.hess, &errors.hess, &scales, hessians),
        hessian: Estimates {
            bias: mean(bias.iter().zip(&scales).map(|(bias, scale)| bias / scale)),
            biases: mean(beyond).max(0.0).sqrt(),
            deviation: mean(variance.iter().zip(&scales).map(|(v, scale)| v / (scale * scale))).sqrt(),
            of_expectation: theory.map(|(theory, _)| parts(&estimate) / parts(&theory.expectation)),
            of_variance: theory.and_then(of_variance),
        },
        reference: if reference.iter().all(|part| part.is_finite()) {
            reference[0].max(reference[1])
        } else {
            0.0
        },
    }
}

/// `units` are what elements are measured in.
fn against(metric: &[f64], natural: &[f64], errors: &[f64], units: &[f64], updates: &[Vec<f64>]) -> Against {
    let is_none = mean(natural.iter().zip(units).map(|(x, unit)| (x / unit).powi(2))).sqrt() < NONE;
    let (average, variance) = moments(updates);
    let count = updates.len() as f64;
    let sizes =
        std::iter::successors(Some(1), |size| Some(size * BLOCKS)).take_while(|&size| size <= updates.len());
    let of_blocks = |size: usize| {
        let blocks = updates.chunks_exact(size).map(|block| cosine(metric, &moments(block).0, natural));
        (size, mean(blocks))
    };
    let apart = average.iter().zip(natural).map(|(found, wanted)| found - wanted);
    let own = variance.iter().zip(errors).map(|(variance, error)| variance / count + error * error);
    let in_errors = apart.clone().zip(own).map(|(apart, own)| apart * apart / own);
    Against {
        cosines: if is_none { Vec::new() } else { sizes.map(of_blocks).collect() },
        cosine: (!is_none).then(|| cosine(metric, &average, natural)),
        length: (!is_none).then(|| along(metric, &average, natural)),
        errors: mean(in_errors).sqrt(),
        apart: mean(apart.zip(units).map(|(apart, unit)| (apart / unit).powi(2))).sqrt(),
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
    sum / count
}

/// Mean and variance of each element.
fn moments(updates: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let count = updates.len() as f64;
    let width = updates.first().map_or(0, Vec::len);
    let mut average = vec![0.0; width];
    for update in updates {
        average.iter_mut().zip(update).for_each(|(average, x)| *average += x / count);
    }
    let mut variance = vec![0.0; width];
    for update in updates {
        let apart = update.iter().zip(&average).map(|(x, average)| (x - average).powi(2));
        variance
            .iter_mut()
            .zip(apart)
            .for_each(|(variance, square)| *variance += square / (count - 1.0).max(1.0));
    }
    (average, variance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_compared_with_what_is_exact() {
        let at = Gaussian { mean: vec![1.0, -1.0], hess: vec![0.5, 1.5], ess: 4.0 };
        let zeros = vec![0.0; 2];
        let expected =
            Expected { gradient: vec![0.2, -0.3], hessian: vec![1.0, 1.0], errors: [zeros.clone(), zeros] };
        let natural = at.natural(&expected);
        // Twice the natural gradient on average, with noise that cancels.
        let around = |natural: &[f64], noise: f64| {
            [1.0, -1.0].map(|sign| natural.iter().map(|x| 2.0 * x + sign * noise).collect::<Vec<f64>>())
        };
        let found = compare(&at, &expected, None, &around(&natural.mean, 0.1), &around(&natural.hess, 0.2));
        assert!((found.mean.cosine.unwrap() - 1.0).abs() < 1e-12 && found.mean.cosines[0].1 < 0.999);
        assert!((found.mean.length.unwrap() - 2.0).abs() < 1e-12);
        let [half, more] = [0.5 / 0.501, -0.5 / 1.501];
        assert!((found.hessian.bias - 0.5 * (half + more)).abs() < 1e-12, "{}", found.hessian.bias);
        let deviation = (0.08f64 * 0.5 * (0.501f64.powi(-2) + 1.501f64.powi(-2))).sqrt();
        assert!((found.hessian.deviation - deviation).abs() < 1e-12, "{}", found.hessian.deviation);
        let apart = (0.5 * (half * half + more * more)).sqrt();
        assert!((found.precision.apart - apart).abs() < 1e-12);
        // The variance of a mean of two is 0.04.
        assert!((found.precision.errors - (0.25f64 / 0.04).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn updates_that_are_not_finite_are_read_again() {
        let nan = f64::NAN;
        let against = Against {
            cosines: vec![(1, 0.5), (4, nan)],
            cosine: None,
            length: None,
            apart: nan,
            errors: f64::INFINITY,
        };
        let hessian =
            Estimates { bias: nan, biases: nan, deviation: nan, of_expectation: None, of_variance: None };
        let updates = Updates { mean: against.clone(), precision: against, hessian, reference: nan };
        let read: Updates = serde_json::from_str(&serde_json::to_string(&updates).unwrap()).unwrap();
        assert_eq!(read.mean.cosines[0], (1, 0.5));
        assert!(
            read.mean.cosines[1].1.is_nan() && read.precision.errors.is_nan() && read.hessian.bias.is_nan()
        );
    }
}
