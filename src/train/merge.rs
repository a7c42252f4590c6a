//! Several posteriors of one model as one, by the product of Gaussians.
//!
//! Run `i` saw data with a likelihood that its posterior says is Gaussian: `N(m_i, 1 / P_i)` over the prior `N(m0, 1 / P0)`, with
//! `P_i = ess_i (h_i + delta_i)` and `P0 = ess_i delta_i`. All data together leave, with the prior counted once,
//! `P = P0 + sum ess_i h_i` and `m = m0 + sum P_i (m_i - m0) / P`. Where the runs have the posterior of an earlier one as their prior,
//! `m0` and `P0` are that one's.

use std::path::{Path, PathBuf};

use natgrad_ir::{DType, TensorType};

use super::TrainError;
use super::checkpoint::{Checkpoint, Header};
use super::prior::{Left, LeftParam, other_tensor};
use super::session::HostTensor;
use super::source::Source;
use super::validation::Validated;
use crate::compile::bytes::to_bytes;
use crate::config::RunConfig;
use crate::rule::{Group, Hyper, NamedRule, StateKind};

/// What the posterior of a merged parameter is.
#[derive(Clone, Debug, PartialEq)]
struct Merged {
    mean: Vec<f64>,
    hess: Vec<f64>,
    /// The prior's precision over the effective sample size of all.
    decay: Vec<f64>,
}

/// The checkpoint of the product of the posteriors of these runs, at step 0 of a run like the first one. It has no sample to go on
/// from: it is to predict with, and to begin other runs with. `base` is a run at whose
/// mean the prior's is; zero if absent. Where the runs have a prior, it is that one's.
///
/// # Errors
/// A run cannot be read, leaves no posterior, or is of another model, rule, groups or prior; a precision is not above 0.
pub fn merge(runs: &[PathBuf], base: Option<&Path>) -> Result<(Checkpoint, RunConfig), TrainError> {
    let lefts = runs.iter().map(|run| Left::read(run)).collect::<Result<Vec<_>, _>>()?;
    let refused = |run: &Path, reason: String| TrainError::Read { path: run.to_path_buf(), reason };
    let [first, ..] = &lefts[..] else {
        return Err(TrainError::Refused { call: "merge", reason: "there are no runs".to_string() });
    };
    for (run, left) in runs.iter().zip(&lefts) {
        if let Some(reason) = other_tensor(&left.config, &first.config) {
            return Err(refused(run, format!("beside {} it does not fit: {reason}", runs[0].display())));
        }
        if left.config.rule.name() != first.config.rule.name() {
            let (one, other) = (left.config.rule.name(), first.config.rule.name());
            return Err(refused(run, format!("it is of a run by {one}, but the first is one by {other}")));
        }
        if left.config.groups != first.config.groups {
            return Err(refused(run, "its `groups` are others than those of the first run".to_string()));
        }
        if let Some(reason) = other_prior(left, first) {
            return Err(refused(run, reason));
        }
    }
    if let (Some(path), true) = (base, first.config.prior.is_some()) {
        let reason = "as a base it is not needed: the runs have a `prior`, whose mean is the base";
        return Err(refused(path, reason.to_string()));
    }
    let base = match base {
        None => None,
        Some(path) => {
            let (checkpoint, config) = Checkpoint::open_state(path)?;
            if let Some(reason) = other_tensor(&config, &first.config) {
                return Err(refused(path, format!("as a base it does not fit: {reason}")));
            }
            Some(checkpoint)
        }
    };
    let params = first.config.model.params();
    let ess: f64 = lefts.iter().map(|left| left.ess).sum();
    let kept = crate::rule::Needs::of(first.config.rule.rule()).map_err(crate::step::StepError::from)?.state;
    let mut tensors = Vec::new();
    for (at, param) in params.iter().enumerate() {
        let parts: Vec<(f64, &LeftParam)> = lefts.iter().map(|left| (left.ess, &left.params[at])).collect();
        let mean = format!("mean/{}", param.name);
        let base = base.as_ref().and_then(|base| base.tensors.iter().find(|tensor| tensor.name == mean));
        let base = base.map(HostTensor::numbers).or_else(|| first.params[at].prior_mean.clone());
        let merged = merged(&parts, base.as_deref()).map_err(|at| {
            let reason = format!("the merged precision of element {at} of `{}` is not above 0", param.name);
            refused(&runs[0], reason)
        })?;
        let zeros = vec![0.0; merged.mean.len()];
        let mut kinds = vec![(StateKind::MEAN, merged.mean)];
        if parts.iter().all(|(_, part)| part.hess.is_some()) {
            kinds.push((StateKind::HESS, merged.hess));
            kinds.push((StateKind::MOMENTUM, zeros));
        }
        kinds.retain(|(kind, _)| kept.contains(kind));
        if let Some(mean) = &first.params[at].prior_mean {
            kinds.push((StateKind::PRIOR_MEAN, mean.clone()));
            kinds.push((StateKind::PRIOR_DECAY, merged.decay));
        }
        for (kind, numbers) in kinds {
            let ty = TensorType::new(DType::F32, param.shape.clone());
            let bytes = to_bytes(ty.dtype, &numbers);
            tensors.push(HostTensor { name: format!("{}/{}", kind.name(), param.name), ty, bytes });
        }
    }
    let ty = TensorType::scalar(DType::U32);
    tensors.push(HostTensor { name: "step".to_string(), bytes: to_bytes(ty.dtype, &[0.0]), ty });
    let config = of_all(&first.config, &lefts, ess);
    let first_header = Header::read(&runs[0]).map_err(TrainError::Checkpoint)?;
    let header = Header {
        step: 0,
        seconds: 0.0,
        labels: Some(lefts.iter().map(|left| left.labels as u64).sum()),
        validated: Validated::default(),
        source: Source::default(),
        config: config.to_json(),
        ..first_header
    };
    Ok((Checkpoint { header, tensors }, config))
}

fn decay(config: &RunConfig) -> f64 {
    config.rule.numbers(1).values().get(Hyper::WeightDecay(Group::DEFAULT)).unwrap_or(0.0)
}

/// Of a precision, which is a product of numbers in single precision.
const ROUNDING: f64 = 1e-5;

fn is_close(one: f64, other: f64) -> bool {
    (one - other).abs() <= ROUNDING * one.abs().max(other.abs())
}

/// Why the prior of a run is not the first one's.
fn other_prior(left: &Left, first: &Left) -> Option<String> {
    match (&left.config.prior, &first.config.prior) {
        (None, None) => {
            let (here, there) = (decay(&left.config), decay(&first.config));
            // Either the fields agree, or the precisions of what may be runs of different sizes.
            let differ = here != there && !is_close(left.ess * here, first.ess * there);
            return differ.then(|| {
                format!(
                    "its `rule.weight_decay` is {here}, a prior of precision {}, but the first run's is {there}, of {}: they have \
                     no prior in common",
                    left.ess * here,
                    first.ess * there
                )
            });
        }
        (Some(_), None) => return Some("it has a `prior`, but the first run has none".to_string()),
        (None, Some(_)) => return Some("it has no `prior`, but the first run has one".to_string()),
        (Some(_), Some(_)) => {}
    }
    let params = first.config.model.params();
    for (name, (one, other)) in
        params.iter().map(|param| &param.name).zip(left.params.iter().zip(&first.params))
    {
        if one.prior_mean != other.prior_mean {
            let reason =
                format!("its `prior` is another one than the first run's: their `prior_mean/{name}` differ");
            return Some(reason);
        }
        let precisions = one.decay.iter().zip(&other.decay).map(|(a, b)| (left.ess * a, first.ess * b));
        let differ = precisions.enumerate().find(|(_, (a, b))| !is_close(*a, *b));
        if let Some((at, (a, b))) = differ.filter(|_| one.prior_mean.is_some()) {
            return Some(format!(
                "its `prior` is another one than the first run's: the precision of element {at} of `{name}` is {a:.6e}, not \
                 {b:.6e}; is `prior.strength` the same?"
            ));
        }
    }
    None
}

/// The first run's configuration with the effective sample size of all, and a weight decay that leaves the prior's precision.
fn of_all(config: &RunConfig, lefts: &[Left], ess: f64) -> RunConfig {
    // The runs' priors have precisions ess_i delta_i, whose mean is the precision of all.
    let count = lefts.len() as f64;
    let precision: f64 = lefts.iter().map(|left| left.ess * decay(&left.config)).sum::<f64>() / count;
    let delta = precision / ess;
    let mut config = config.clone();
    // Groups have the same everywhere.
    let scaled = |decay: &mut f64| *decay /= count;
    match &mut config.rule {
        NamedRule::Ivon(rule) => (rule.ess, rule.weight_decay) = (Some(ess), delta),
        NamedRule::Von(rule) => (rule.ess, rule.weight_decay) = (Some(ess), delta),
        NamedRule::Vogn(rule) => (rule.ess, rule.weight_decay) = (Some(ess), delta),
        NamedRule::Vadam(rule) => (rule.ess, rule.weight_decay) = (Some(ess), delta),
        NamedRule::Blr(rule) => (rule.ess, rule.weight_decay) = (Some(ess), delta),
        NamedRule::Sgd(_)
        | NamedRule::Rmsprop(_)
        | NamedRule::Adam(_)
        | NamedRule::Adamw(_)
        | NamedRule::Own(_) => {}
    }
    config.groups.iter_mut().filter_map(|group| group.weight_decay.as_mut()).for_each(scaled);
    config
}

/// The posterior of one parameter, or the element whose precision is not above 0. Of a frozen one it is the mean of means.
fn merged(parts: &[(f64, &LeftParam)], base: Option<&[f64]>) -> Result<Merged, usize> {
    let count = parts.len() as f64;
    let ess: f64 = parts.iter().map(|(ess, _)| ess).sum();
    let elements = parts[0].1.mean.len();
    let [mean, hess, decay] = [0; 3].map(|_| Vec::with_capacity(elements));
    let mut merged = Merged { mean, hess, decay };
    for at in 0..elements {
        let base = base.map_or(0.0, |base| base[at]);
        let (mut likelihoods, mut prior, mut pull, mut plain) = (0.0, 0.0, 0.0, 0.0);
        for (ess, part) in parts {
            plain += part.mean[at] / count;
            if let Some(hess) = &part.hess {
                likelihoods += ess * hess[at];
                prior += ess * part.decay[at] / count;
                pull += ess * (hess[at] + part.decay[at]) * (part.mean[at] - base);
            }
        }
        if parts.iter().any(|(_, part)| part.hess.is_none()) {
            merged.mean.push(plain);
            continue;
        }
        let precision = prior + likelihoods;
        if precision.is_nan() || precision <= 0.0 {
            return Err(at);
        }
        merged.mean.push(base + pull / precision);
        merged.hess.push(likelihoods / ess);
        merged.decay.push(prior / ess);
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(mean: f64, hess: f64, decay: f64) -> LeftParam {
        LeftParam { mean: vec![mean], hess: Some(vec![hess]), decay: vec![decay], prior_mean: None }
    }

    /// Rows `y = theta x + noise` of a linear regression without a bias, with the noise's variance one: `n` rows with
    /// `sum x^2 = a` and `sum x y = b` have the mean loss's Hessian `a / n`, and with a prior of precision `p` about `m0` the
    /// posterior's precision `a + p` and mean `(b + p m0) / (a + p)`.
    #[test]
    fn halves_of_a_linear_regression_merge_to_the_whole() {
        let rows: [(f64, f64); 6] =
            [(1.0, 2.1), (-2.0, -3.9), (0.5, 1.3), (3.0, 5.8), (1.5, 3.3), (-1.0, -1.7)];
        let (p, m0) = (0.7, 0.4);
        let sums =
            |rows: &[(f64, f64)]| rows.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x * x, b + x * y));
        let posterior = |rows: &[(f64, f64)]| {
            let ((a, b), n) = (sums(rows), rows.len() as f64);
            (n, part((b + p * m0) / (a + p), a / n, p / n))
        };
        let (one, two) = (posterior(&rows[..2]), posterior(&rows[2..]));
        let found = merged(&[(one.0, &one.1), (two.0, &two.1)], Some(&[m0])).unwrap();
        let (_, whole) = posterior(&rows);
        assert!((found.mean[0] - whole.mean[0]).abs() < 1e-14, "{found:?} {}", whole.mean[0]);
        assert!((found.hess[0] - whole.hess.unwrap()[0]).abs() < 1e-14);
    }

    #[test]
    fn a_prior_in_common_is_counted_once() {
        let shared = |hess, decay| LeftParam { prior_mean: Some(vec![1.0]), ..part(2.0, hess, decay) };
        // P0 is 20 in both: 10 * 2 and 5 * 4. Precisions 10 (1 + 2) and 5 (3 + 4), pulls of one each beyond the prior's mean.
        let (one, two) = (shared(1.0, 2.0), shared(3.0, 4.0));
        let found = merged(&[(10.0, &one), (5.0, &two)], Some(&[1.0])).unwrap();
        let precision = 20.0 + 10.0 + 15.0;
        assert!((found.mean[0] - (1.0 + (30.0 + 35.0) / precision)).abs() < 1e-15);
        assert!((15.0 * (found.hess[0] + found.decay[0]) - precision).abs() < 1e-12);
        assert!((15.0 * found.decay[0] - 20.0).abs() < 1e-12);
    }

    #[test]
    fn without_a_prior_it_is_the_mean_weighted_by_hessians() {
        let (one, two) = (part(1.0, 3.0, 0.0), part(2.0, 1.0, 0.0));
        let found = merged(&[(10.0, &one), (10.0, &two)], None).unwrap();
        assert!((found.mean[0] - (3.0 * 1.0 + 1.0 * 2.0) / 4.0).abs() < 1e-15);
        assert_eq!(found.hess, [2.0]);
        assert_eq!(merged(&[(10.0, &part(1.0, 0.0, 0.0))], None), Err(0));
        // A frozen parameter has no Hessian.
        let frozen = LeftParam { hess: None, ..part(3.0, 0.0, 0.0) };
        assert_eq!(merged(&[(1.0, &frozen), (1.0, &frozen)], None).unwrap().mean, [3.0]);
    }
}
