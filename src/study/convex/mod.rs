//! The study `convex`: IVON, VON, Adam, RMSprop and SGD on problems with known answers.
//!
//! A problem ([`problem`]) has its exact posterior in closed form ([`quadratic`]) or to double precision ([`logistic`]);
//! a run ([`run`]) says how far a rule's mean and width are from it, step by step.

mod grid;
mod linear;
pub mod logistic;
mod page;
pub mod problem;
pub mod quadratic;
pub mod run;

use serde::Serialize;

use self::grid::Grid;
use self::problem::Problem;
use self::run::{Done, Entrant, Point};
use super::claim::Claim;
use super::kept::Kept;
use super::runs::StudyError;
use crate::compare::Interval;
use crate::compile::Device;

/// Learning rates that every rule tries.
pub const RATES: [f64; 5] = [0.003, 0.01, 0.03, 0.1, 0.3];
/// Effective sample sizes of Vadam, each the posterior of which is a tenth as wide as that before.
pub const SIZES: [f64; 4] = [1e6, 1e8, 1e10, 1e12];
/// Seeds that rates are chosen by; those of the results are others.
const TUNING_SEEDS: u64 = 2;
/// How far weights may be from what they should be, in standard deviations.
const DISTANCE: f64 = 0.1;
/// How wrong standard deviations may be on average, as a part: estimates by samples and batches are averaged over a tenth of a run.
const WIDTH: f64 = 0.1;
/// The divergence that a Gaussian may have from the exact one, in nats a parameter.
const DIVERGENCE: f64 = 0.01;
/// The problem that Vadam and Adam are compared on.
const LIMIT_PROBLEM: &str = "quadratic-batches";

/// What makes two studies the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// Steps of a run.
    pub steps: u64,
    /// Seeds that results are medians over.
    pub seeds: u64,
}

impl Settings {
    /// Seeds of the results.
    fn seeds(&self) -> impl Iterator<Item = u64> + Clone {
        TUNING_SEEDS..TUNING_SEEDS + self.seeds
    }

    /// How many runs the study has.
    fn runs(&self) -> u64 {
        let of_rule = RATES.len() as u64 * TUNING_SEEDS + self.seeds;
        let of_limit = (1 + SIZES.len() as u64) * self.seeds;
        Problem::all().len() as u64 * Entrant::ALL.len() as u64 * of_rule + of_limit
    }
}

/// What a study found.
#[derive(Clone, Debug, Serialize)]
pub struct Study {
    /// Its settings.
    pub settings: Settings,
    /// What was claimed, and whether it held.
    pub claims: Vec<Claim>,
    /// Each problem.
    pub problems: Vec<OnProblem>,
    /// How far Vadam's path is from Adam's.
    pub limit: Limit,
    /// Runs that were made now, where others were kept.
    #[serde(skip)]
    pub made: u64,
}

/// How Vadam goes over into Adam.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// By the effective sample size, the most that the paths are apart, as a part of the way from start to end.
    pub apart: Vec<(f64, Interval)>,
    /// The power of the posterior's width that this falls with, from the least size to the most.
    pub power: Interval,
}

/// What was found on a problem.
#[derive(Clone, Debug, Serialize)]
pub struct OnProblem {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// The greatest error of the answer, in standard deviations.
    pub error: f64,
    /// How far the most likely weights are from the mean of the nearest Gaussian.
    pub mode_to_mean: f64,
    /// The two, for drawing.
    #[serde(skip)]
    pub answer: [Vec<f64>; 2],
    /// Where the last weight stands, after which come the biases.
    #[serde(skip)]
    pub last_weight: usize,
    /// Each rule.
    pub rules: Vec<OfRule>,
}

/// What a rule found.
#[derive(Clone, Debug, Serialize)]
pub struct OfRule {
    /// The rule.
    pub rule: Entrant,
    /// The rate that was chosen.
    pub lr: f64,
    /// For each rate the median distance from what the rule should find, of the seeds that the choice is by; none where a run
    /// diverged.
    pub tried: Vec<(f64, Option<f64>)>,
    /// Seeds of the results whose runs diverged.
    pub diverged: Vec<u64>,
    /// From the mean of the nearest Gaussian.
    pub to_mean: Interval,
    /// From the most likely weights.
    pub to_mode: Interval,
    /// The mean relative error of the standard deviations.
    pub width: Option<Interval>,
    /// The divergence from the nearest Gaussian, in nats a parameter.
    pub kl: Option<Interval>,
    /// The runs of the results.
    pub runs: Vec<Done>,
}

impl Study {
    /// Makes the runs that are not kept, and says what came of all.
    ///
    /// # Errors
    /// A run fails, or cannot be kept.
    pub fn run(device: &Device, settings: Settings, kept: &mut Kept<Done>) -> Result<Study, StudyError> {
        let problems = Problem::all();
        let mut grid = Grid::new(device, kept, settings.steps, settings.runs());
        let mut found = Vec::new();
        for problem in &problems {
            let of = |rule: &Entrant| of_rule(&mut grid, &settings, problem, *rule);
            found.push(OnProblem {
                name: problem.name,
                title: problem.title,
                error: problem.exact.error,
                mode_to_mean: problem.exact.distance(&problem.exact.mode, &problem.exact.mean),
                answer: [problem.exact.mean.clone(), problem.exact.mode.clone()],
                last_weight: problem.inputs() * problem.outputs() - 1,
                rules: Entrant::ALL.iter().map(of).collect::<Result<_, _>>()?,
            });
        }
        let mut limit = Limit { apart: Vec::new(), power: Interval::UNKNOWN };
        for (problem, found) in
            problems.iter().zip(&found).filter(|(problem, _)| problem.name == LIMIT_PROBLEM)
        {
            let lr = found.rules.iter().find(|of| of.rule == Entrant::Adam).map_or(RATES[0], |of| of.lr);
            limit = to_adam(&mut grid, &settings, problem, lr)?;
        }
        let made = grid.made();
        let claims = claims(&found, &limit);
        Ok(Study { settings, claims, problems: found, limit, made })
    }

    /// Whether all claims held.
    pub fn held(&self) -> bool {
        self.claims.iter().all(|claim| claim.held)
    }
}

fn of_rule<'a>(
    grid: &mut Grid<'a>,
    settings: &Settings,
    problem: &'a Problem,
    rule: Entrant,
) -> Result<OfRule, StudyError> {
    let trials: Vec<_> =
        RATES.iter().flat_map(|&lr| (0..TUNING_SEEDS).map(move |seed| (lr, None, seed))).collect();
    let trials = grid.runs(problem, rule, &trials)?;
    let ends = |lr: f64| {
        let of = trials.iter().filter(|done| done.key.lr == lr);
        of.map(|done| done.last().map(|point| point.to_target(rule))).collect::<Option<Vec<f64>>>()
    };
    let tried: Vec<(f64, Option<f64>)> =
        RATES.iter().map(|&lr| (lr, ends(lr).map(|ends| Interval::of(ends).median))).collect();
    let of = |end: Option<f64>| end.unwrap_or(f64::INFINITY);
    let best = tried.iter().min_by(|a, b| of(a.1).total_cmp(&of(b.1)));
    let lr = best.map_or(RATES[0], |best| best.0);
    let wanted: Vec<_> = settings.seeds().map(|seed| (lr, None, seed)).collect();
    let runs = grid.runs(problem, rule, &wanted)?;
    let diverged: Vec<u64> =
        runs.iter().filter(|done| done.last().is_none()).map(|done| done.key.seed).collect();
    let ends = |of: fn(&Point) -> Option<f64>| {
        let ends: Vec<f64> = runs.iter().filter_map(|done| done.last().and_then(of)).collect();
        (!ends.is_empty()).then(|| Interval::of(ends))
    };
    Ok(OfRule {
        rule,
        lr,
        tried,
        to_mean: ends(|point| Some(point.to_mean)).unwrap_or(Interval::UNKNOWN),
        to_mode: ends(|point| Some(point.to_mode)).unwrap_or(Interval::UNKNOWN),
        width: ends(|point| point.width),
        kl: ends(|point| point.kl),
        diverged,
        runs,
    })
}

/// The most that Vadam's path is from Adam's of the same start and batches, as a part of the way from the start to the answer.
fn to_adam<'a>(
    grid: &mut Grid<'a>,
    settings: &Settings,
    problem: &'a Problem,
    lr: f64,
) -> Result<Limit, StudyError> {
    let adam: Vec<_> = settings.seeds().map(|seed| (lr, None, seed)).collect();
    let adam = grid.runs(problem, Entrant::AdamLimit, &adam)?;
    let sizes = SIZES.iter().flat_map(|&ess| settings.seeds().map(move |seed| (lr, Some(ess), seed)));
    let vadam = grid.runs(problem, Entrant::Vadam, &sizes.collect::<Vec<_>>())?;
    let apart = |a: &[f32], b: &[f32]| {
        let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
        a.iter().zip(b).map(square).sum::<f64>().sqrt()
    };
    let farthest = |one: &Done, other: &Done| {
        let way = match (other.points.first(), other.points.last()) {
            (Some(first), Some(last)) => apart(&first.mean, &last.mean),
            _ => f64::NAN,
        };
        let pairs = one.points.iter().zip(&other.points);
        pairs.map(|(one, other)| apart(&one.mean, &other.mean)).fold(0.0, f64::max) / way
    };
    let of = |ess: f64| {
        let runs = vadam.iter().filter(move |done| done.key.ess == Some(ess));
        runs.zip(&adam).map(|(one, other)| farthest(one, other)).collect::<Vec<f64>>()
    };
    let [least, most] = [SIZES[0], SIZES[SIZES.len() - 1]];
    // The width is the root of the size. Each seed has its own power.
    let power = |(first, last): (f64, f64)| (first / last).ln() / (0.5 * (most / least).ln());
    let power = Interval::of(of(least).into_iter().zip(of(most)).map(power));
    Ok(Limit { apart: SIZES.iter().map(|&ess| (ess, Interval::of(of(ess)))).collect(), power })
}

fn claims(problems: &[OnProblem], limit: &Limit) -> Vec<Claim> {
    let mut claims = Vec::new();
    for problem in problems {
        for of in &problem.rules {
            let (rule, name) = (of.rule.title(), problem.name);
            let mut claim = |text: String, found: Option<Interval>, most: f64| {
                // Where one diverged, nothing was found.
                let found = found.filter(|_| of.diverged.is_empty()).unwrap_or(Interval::UNKNOWN);
                claims.push(Claim::new(text, found, [0.0, most]));
            };
            if of.rule.is_variational() {
                claim(
                    format!(
                        "{name}: {rule}'s mean comes within {DISTANCE} standard deviations of the exact mean"
                    ),
                    Some(of.to_mean),
                    DISTANCE,
                );
                let percent = 100.0 * WIDTH;
                claim(
                    format!(
                        "{name}: {rule}'s standard deviations come within {percent} % of the exact ones on average"
                    ),
                    of.width,
                    WIDTH,
                );
                claim(
                    format!(
                        "{name}: {rule}'s Gaussian comes within {DIVERGENCE} nats a parameter of the exact one"
                    ),
                    of.kl,
                    DIVERGENCE,
                );
                if problem.mode_to_mean > 2.0 * DISTANCE {
                    // The ends of the ratio are the worst cases.
                    let ratio = of.to_mean.over(of.to_mode);
                    claim(
                        format!(
                            "{name}: {rule} is nearer to the exact mean than to the most likely weights (ratio of distances)"
                        ),
                        Some(ratio),
                        1.0,
                    );
                }
            } else {
                claim(
                    format!(
                        "{name}: {rule} comes within {DISTANCE} standard deviations of the most likely weights"
                    ),
                    Some(of.to_mode),
                    DISTANCE,
                );
            }
        }
    }
    let text = format!(
        "{LIMIT_PROBLEM}: Vadam's path goes over into Adam's in proportion to its posterior's width \
         (the power of the width, 1 in theory)"
    );
    claims.push(Claim::new(text, limit.power, [0.8, 1.2]));
    claims
}
