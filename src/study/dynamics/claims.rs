//! What the study claims, where theory is exact.

use super::bench::Entrant;
use super::grid::Point;
use super::summary::AtPoint;
use super::{BETAS, SAMPLES, Study};
use crate::compare::Interval;
use crate::rule::Estimator;
use crate::study::claim::Claim;

/// The least cosine of averages over all updates.
const COSINE: f64 = 0.98;
/// The most that such an average is longer or shorter, as a part.
const LENGTH: f64 = 0.1;
/// The most bias of an estimator that has none, as a part of the precision: with batches, averages over 400 updates scatter by 0.03.
const BIAS: f64 = 0.1;
/// The most that VON's precision is greater or less than the exact one on average, as a part.
const EXCESS: f64 = 0.05;
/// The most that averages are apart from what is exact, in their standard errors: the root of the mean square over elements, 1 in theory.
const ERRORS: f64 = 2.0;
/// The most that the average update at the exact posterior goes away from it, in standard deviations, and as a part of the precision.
const DRIFT: f64 = 0.1;
/// How near estimators are to theory in expectation and variance, as a part.
const THEORY: [f64; 2] = [0.8, 1.25];
/// The power of the samples that the standard deviation falls with, -1/2 in theory.
const POWER: [f64; 2] = [-0.6, -0.4];
/// The least that IVON's update leaves of a precision.
const HALF: f64 = 0.5;
/// What rounding may take off it.
const ROUNDING: f64 = 1e-9;

pub(super) fn of(study: &Study) -> Vec<Claim> {
    let mut claims = Vec::new();
    let [few, many] = SAMPLES;
    // Of the network nothing is exact.
    for at in study.at.iter().filter(|at| matches!(at.point, Point::Near | Point::Exact)) {
        at_point(at, many, &mut claims);
        let fewer = study.at.iter().find(|other| {
            (other.subject, other.point, other.estimator, other.samples)
                == (at.subject, at.point, at.estimator, few)
        });
        // Samples of a step have its batch in common: only where that is all rows are they all the noise.
        if let Some(fewer) = fewer.filter(|_| at.samples == many && at.of_variance.is_some()) {
            let power = fewer.deviations.iter().zip(&at.deviations);
            let power =
                power.map(|(one, other)| (other / one).ln() / (f64::from(many) / f64::from(few)).ln());
            let text = format!(
                "{}: its standard deviation falls with the root of the samples (the power, -1/2 in theory)",
                name(at)
            );
            claims.push(Claim::new(text, Interval::of(power), POWER));
        }
    }
    stays(study, &mut claims);
    watched(study, &mut claims);
    claims
}

fn is_unbiased(estimator: Estimator) -> bool {
    matches!(estimator, Estimator::Price | Estimator::HessianVector)
}

fn name(at: &AtPoint) -> String {
    format!("{}, {}, {}", at.subject, at.point.title(), super::page::estimator(at.estimator))
}

fn at_point(at: &AtPoint, many: u32, claims: &mut Vec<Claim>) {
    let mut claim = |text: &str, found: Interval, range: [f64; 2]| {
        let samples = at.samples;
        claims.push(Claim::new(format!("{}, {samples} a step: {text}", name(at)), found, range));
    };
    let is_price = at.estimator == Estimator::Price;
    if is_price && at.samples == many {
        for (of, versus) in [("mean", &at.mean), ("precision", &at.precision)] {
            if let (Some(cosine), Some(length)) = (versus.cosine, versus.length) {
                let text = format!(
                    "the cosine of the {of}'s average update and the exact natural gradient is {COSINE} or more"
                );
                claim(&text, cosine, [COSINE, 1.0 + ROUNDING]);
                let text = format!("along the natural gradient that of the {of} is as long as it");
                claim(&text, length, [1.0 - LENGTH, 1.0 + LENGTH]);
            } else {
                let text = format!("the {of}'s average update goes nowhere");
                claim(&text, versus.apart, [0.0, DRIFT]);
            }
        }
        claim(
            "the mean's updates are the natural gradient within their standard errors",
            at.mean.errors,
            [0.0, ERRORS],
        );
    }
    if is_unbiased(at.estimator) {
        if at.samples == many {
            let text = "the Hessian's estimates are right within their standard errors";
            claim(text, at.precision.errors, [0.0, ERRORS]);
            claim("the estimator is not biased", at.bias, [-BIAS, BIAS]);
        }
        if let Some(found) = at.of_variance {
            claim("its variance is that of theory", found, THEORY);
        }
    } else if let Some(found) = at.of_expectation {
        claim("its expectation, which is another than the Hessian, is that of theory", found, THEORY);
    }
}

fn stays(study: &Study, claims: &mut Vec<Claim>) {
    for of in &study.stays {
        let name = format!("{}, from the exact posterior", of.subject);
        let rule = of.rule.title();
        let text = format!("{name}: {rule}'s mean stays there on average");
        claims.push(Claim::new(text, of.apart.unwrap_or(Interval::UNKNOWN), [0.0, DRIFT]));
        match (of.rule, of.of_predicted) {
            (Entrant::Von, _) if of.subject.starts_with("quadratic") => {
                let text = format!("{name}: {rule}'s precision stays there on average");
                claims.push(Claim::new(text, of.excess.unwrap_or(Interval::UNKNOWN), [-EXCESS, EXCESS]));
            }
            (Entrant::Ivon, Some(found)) => {
                let text = format!(
                    "{name}: {rule}'s precision is greater than VON's by what theory says of the Riemannian term"
                );
                claims.push(Claim::new(text, found, THEORY));
            }
            (Entrant::Ivon | Entrant::Von, _) => {}
        }
    }
}

fn watched(study: &Study, claims: &mut Vec<Claim>) {
    let mut names: Vec<&str> = study.watched.iter().map(|of| of.subject.as_str()).collect();
    names.dedup();
    for name in names {
        let of_subject = || study.watched.iter().filter(|of| of.subject == name);
        let least = of_subject().filter(|of| of.rule == Entrant::Ivon).map(|of| of.least);
        let low = least.clone().map(|least| least.low).fold(1.0, f64::min);
        let found = least.min_by(|a, b| a.median.total_cmp(&b.median)).map(|least| Interval { low, ..least });
        let text = format!("{name}: an update of IVON leaves half of a precision or more, with every beta2");
        claims.push(Claim::new(text, found.unwrap_or(Interval::UNKNOWN), [HALF - ROUNDING, 1.0]));
        let plain =
            of_subject().find(|of| (of.rule, of.samples, of.beta2) == (Entrant::Von, SAMPLES[0], BETAS[0]));
        if let Some(of) = plain {
            let text = format!(
                "{name}: without the Riemannian term a precision is negative in every run (steps until then, beta2 {}, one sample)",
                BETAS[0]
            );
            claims.push(Claim::new(
                text,
                of.until.unwrap_or(Interval::UNKNOWN),
                [1.0, study.settings.updates as f64],
            ));
        }
    }
}
