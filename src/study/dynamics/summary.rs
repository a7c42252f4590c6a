//! What many seeds' runs found, as medians with intervals.

use serde::Serialize;

use super::bench::Entrant;
use super::grid::{Done, Found, Key, Point};
use super::paths::{Along, Stays, Watched};
use super::subject::Subject;
use super::updates::{Against, Updates};
use super::{BETAS, ESTIMATORS, RULES, SAMPLES};
use crate::compare::Interval;
use crate::rule::Estimator;

/// Updates at a point.
#[derive(Clone, Debug, Serialize)]
pub struct AtPoint {
    /// The subject's name.
    pub subject: &'static str,
    /// Where.
    pub point: Point,
    /// The estimator.
    pub estimator: Estimator,
    /// Samples of an update.
    pub samples: u32,
    /// The mean against the natural gradient.
    pub mean: Versus,
    /// The precision.
    pub precision: Versus,
    /// The mean bias of the Hessian's estimates, as a part of `h + delta`.
    pub bias: Interval,
    /// The root of the biases' mean square.
    pub biases: Interval,
    /// The standard deviation of an estimate.
    pub deviation: Interval,
    /// Estimates over what theory says of their expectation.
    pub of_expectation: Option<Interval>,
    /// Their variance over what theory says.
    pub of_variance: Option<Interval>,
    /// The standard error of the natural gradient, as a part of it.
    pub reference: Interval,
    /// Of each seed the standard deviation, to compare with that of other samples.
    #[serde(skip)]
    pub deviations: Vec<f64>,
}

/// Updates against the natural gradient; see [`Against`].
#[derive(Clone, Debug, Serialize)]
pub struct Versus {
    /// Cosines by the number of updates that are averaged.
    pub cosines: Vec<(usize, Interval)>,
    /// The cosine of the average of all.
    pub cosine: Option<Interval>,
    /// Its length along the natural gradient.
    pub length: Option<Interval>,
    /// How far it is from it.
    pub apart: Interval,
    /// The same in standard errors.
    pub errors: Interval,
}

/// Ways from the exact posterior.
#[derive(Clone, Debug, Serialize)]
pub struct StaysOf {
    /// The subject's name.
    pub subject: String,
    /// The rule.
    pub rule: Entrant,
    /// Runs in which a precision was not above 0 at some time, of all.
    pub gone: [usize; 2],
    /// How far the mean is on average, where no precision was.
    pub apart: Option<Interval>,
    /// How much greater the precision is on average.
    pub excess: Option<Interval>,
    /// What theory says of that.
    pub predicted: Option<f64>,
    /// What IVON's excess is beyond VON's of the same noise, over what theory says.
    pub of_predicted: Option<Interval>,
}

/// What became of the precision.
#[derive(Clone, Debug, Serialize)]
pub struct WatchedOf {
    /// The subject's name.
    pub subject: String,
    /// The rule.
    pub rule: Entrant,
    /// Samples of a step.
    pub samples: u32,
    /// Decay of the Hessian's average.
    pub beta2: f64,
    /// Runs.
    pub runs: usize,
    /// Runs in which a precision was not above 0 at some time.
    pub gone: usize,
    /// Steps until then, where that was so in all runs.
    pub until: Option<Interval>,
    /// The share of the weights that it was so for, of the runs where it was.
    pub share: Option<Interval>,
    /// The least that an update left of a precision, as a part.
    pub least: Interval,
}

/// Updates along trainings.
#[derive(Clone, Debug, Serialize)]
pub struct AlongOf {
    /// The subject's name.
    pub subject: &'static str,
    /// Samples of a step.
    pub samples: u32,
    /// After so many steps, the cosines of mean and precision.
    pub points: Vec<(u64, Interval, Interval)>,
}

fn interval<T>(of: &[&T], value: impl Fn(&T) -> f64) -> Interval {
    Interval::of(of.iter().map(|one| value(one)))
}

/// None unless all have it.
fn all<T>(of: &[&T], value: impl Fn(&T) -> Option<f64>) -> Option<Interval> {
    of.iter().map(|one| value(one)).collect::<Option<Vec<f64>>>().map(Interval::of)
}

impl Versus {
    fn of(all_of: &[&Against]) -> Versus {
        let sizes =
            all_of.first().map(|first| first.cosines.iter().map(|(size, _)| *size)).into_iter().flatten();
        let cosine = |(at, size): (usize, usize)| (size, interval(all_of, |one| one.cosines[at].1));
        Versus {
            cosines: sizes.enumerate().map(cosine).collect(),
            cosine: all(all_of, |one| one.cosine),
            length: all(all_of, |one| one.length),
            apart: interval(all_of, |one| one.apart),
            errors: interval(all_of, |one| one.errors),
        }
    }
}

pub(super) fn at_points(subjects: &[Subject], runs: &[Done]) -> Vec<AtPoint> {
    let mut found = Vec::new();
    for subject in subjects {
        for point in Point::of(subject) {
            for (estimator, samples) in
                ESTIMATORS.into_iter().flat_map(|of| SAMPLES.map(|samples| (of, samples)))
            {
                let of: Vec<&Updates> = runs
                    .iter()
                    .filter_map(|done| match (&done.key, &done.found) {
                        (
                            Key::Updates { subject: name, point: at, estimator: by, samples: count, .. },
                            Found::Updates(updates),
                        ) if (name.as_str(), *at, *by, *count)
                            == (subject.name, point, estimator, samples) =>
                        {
                            Some(updates)
                        }
                        _ => None,
                    })
                    .collect();
                found.push(AtPoint {
                    subject: subject.name,
                    point,
                    estimator,
                    samples,
                    mean: Versus::of(&of.iter().map(|one| &one.mean).collect::<Vec<_>>()),
                    precision: Versus::of(&of.iter().map(|one| &one.precision).collect::<Vec<_>>()),
                    bias: interval(&of, |one| one.hessian.bias),
                    biases: interval(&of, |one| one.hessian.biases),
                    deviation: interval(&of, |one| one.hessian.deviation),
                    of_expectation: all(&of, |one| one.hessian.of_expectation),
                    of_variance: all(&of, |one| one.hessian.of_variance),
                    reference: interval(&of, |one| one.reference),
                    deviations: of.iter().map(|one| one.hessian.deviation).collect(),
                });
            }
        }
    }
    found
}

/// The names of the subjects of runs, in their order.
fn names(runs: &[Done], of: impl Fn(&Key) -> Option<&String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in runs.iter().filter_map(|done| of(&done.key)) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

pub(super) fn stays(runs: &[Done]) -> Vec<StaysOf> {
    let names = names(runs, |key| match key {
        Key::Stays { subject, .. } => Some(subject),
        _ => None,
    });
    let all_of = |subject: &str, rule: Entrant| -> Vec<&Stays> {
        let of = runs.iter().filter_map(|done| match (&done.key, &done.found) {
            (Key::Stays { subject: name, rule: by, .. }, Found::Stays(stays))
                if (name.as_str(), *by) == (subject, rule) =>
            {
                Some(stays)
            }
            _ => None,
        });
        of.collect()
    };
    let of = |(subject, rule): (String, Entrant)| {
        let (of, plain) = (all_of(&subject, rule), all_of(&subject, Entrant::Von));
        let pairs: Vec<(&Stays, &Stays)> = of.iter().copied().zip(plain).collect();
        let beyond = |(one, plain): &(&Stays, &Stays)| {
            let wanted = one.predicted.filter(|&wanted| wanted > 0.0)?;
            Some((one.average.as_ref()?.excess - plain.average.as_ref()?.excess) / wanted)
        };
        StaysOf {
            gone: [of.iter().filter(|one| one.average.is_none()).count(), of.len()],
            apart: all(&of, |one| one.average.as_ref().map(|away| away.mean)),
            excess: all(&of, |one| one.average.as_ref().map(|away| away.excess)),
            predicted: of.first().and_then(|one| one.predicted),
            of_predicted: pairs.iter().map(beyond).collect::<Option<Vec<f64>>>().map(Interval::of),
            subject,
            rule,
        }
    };
    names.into_iter().flat_map(|name| RULES.map(|rule| (name.clone(), rule))).map(of).collect()
}

pub(super) fn watched(runs: &[Done]) -> Vec<WatchedOf> {
    let names = names(runs, |key| match key {
        Key::Watched { subject, .. } => Some(subject),
        _ => None,
    });
    let mut found = Vec::new();
    for subject in names {
        for rule in RULES {
            for (samples, beta2) in
                SAMPLES.into_iter().flat_map(|samples| BETAS.map(|beta2| (samples, beta2)))
            {
                let of: Vec<&Watched> = runs
                    .iter()
                    .filter_map(|done| match (&done.key, &done.found) {
                        (
                            Key::Watched { subject: name, rule: by, samples: count, beta2: decay, .. },
                            Found::Watched(watched),
                        ) if (name, *by, *count, *decay) == (&subject, rule, samples, beta2) => Some(watched),
                        _ => None,
                    })
                    .collect();
                let gone: Vec<&Watched> = of.iter().copied().filter(|one| one.until.is_some()).collect();
                found.push(WatchedOf {
                    subject: subject.clone(),
                    rule,
                    samples,
                    beta2,
                    runs: of.len(),
                    gone: gone.len(),
                    until: all(&of, |one| one.until.map(|step| step as f64)),
                    share: (!gone.is_empty()).then(|| interval(&gone, |one| one.share)),
                    least: interval(&of, |one| one.least),
                });
            }
        }
    }
    found
}

pub(super) fn along(subjects: &[Subject], runs: &[Done]) -> Vec<AlongOf> {
    let of = |(subject, samples): (&Subject, u32)| {
        let of: Vec<&Along> = runs
            .iter()
            .filter_map(|done| match (&done.key, &done.found) {
                (Key::Along { subject: name, samples: count, .. }, Found::Along(along))
                    if name == subject.name && *count == samples =>
                {
                    Some(along)
                }
                _ => None,
            })
            .collect();
        let reached = of.iter().map(|one| one.points.len()).min().unwrap_or(0);
        let points = (0..reached).filter_map(|at| {
            let step = of.first()?.points[at].0;
            Some((step, interval(&of, |one| one.points[at].1), interval(&of, |one| one.points[at].2)))
        });
        AlongOf { subject: subject.name, samples, points: points.collect() }
    };
    subjects.iter().flat_map(|subject| SAMPLES.map(|samples| (subject, samples))).map(of).collect()
}
