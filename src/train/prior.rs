//! The posterior of an earlier run as a prior: `N(m0, 1 / (strength ess0 (h0 + delta0)))`. The weight decay of a run with an
//! effective sample size of `ess` is then the tensor `strength ess0 (h0 + delta0) / ess`.

use std::path::Path;

use super::TrainError;
use super::checkpoint::Checkpoint;
use crate::config::{PriorConfig, RunConfig};
use crate::rule::{Hyper, HyperValues, NamedRule, StateKind};
use crate::step::{Interface, StatePlan};

/// A Gaussian prior: mean and weight decay of each parameter of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Prior {
    /// The mean.
    pub mean: Vec<Vec<f64>>,
    /// The precision over the effective sample size of the run that it is the prior of; empty of frozen parameters.
    pub weight_decay: Vec<Vec<f64>>,
}

/// The posterior that a run left.
pub(super) struct Left {
    /// What it is of.
    pub config: RunConfig,
    /// The labels that it saw.
    pub labels: usize,
    /// Its effective sample size.
    pub ess: f64,
    /// Of each parameter.
    pub params: Vec<LeftParam>,
}

/// The posterior of a parameter.
pub(super) struct LeftParam {
    pub mean: Vec<f64>,
    /// The Hessian; none of a frozen parameter.
    pub hess: Option<Vec<f64>>,
    /// The weight decay of each element.
    pub decay: Vec<f64>,
    /// The mean of its own prior, where that is an earlier posterior.
    pub prior_mean: Option<Vec<f64>>,
}

impl Left {
    /// That of the run in a folder.
    pub(super) fn read(path: &Path) -> Result<Left, TrainError> {
        let refused = |reason: String| TrainError::Read { path: path.to_path_buf(), reason };
        let (checkpoint, config) = Checkpoint::open_state(path)?;
        if !config.rule.has_posterior() {
            let rule = config.rule.name();
            let reason = format!("it is of a run by {rule}, which leaves no posterior; take one by ivon");
            return Err(refused(reason));
        }
        let Some(labels) = checkpoint.header.labels else {
            let reason =
                "it does not say how many training labels there were, which its posterior depends on";
            return Err(refused(reason.to_string()));
        };
        let labels = labels as usize;
        let recipe = config.recipe(StatePlan::Explicit);
        let values = recipe.values(labels, checkpoint.header.total_steps);
        let Interface { params, members, .. } = recipe.interface(1)?;
        let ess = values.get(Hyper::Ess).unwrap_or(labels as f64);
        let numbers = |kind: StateKind, name: &str| {
            let name = format!("{}/{name}", kind.name());
            checkpoint.tensors.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.numbers())
        };
        let left = |(param, member): (natgrad_layers::Param, crate::rule::Member)| {
            let name = &param.name;
            let mean = numbers(StateKind::MEAN, name);
            let mean = mean.ok_or_else(|| refused(format!("the tensor `mean/{name}` is missing")))?;
            let scalar = values.get(Hyper::WeightDecay(member.group)).unwrap_or(0.0);
            let decay = numbers(StateKind::PRIOR_DECAY, name).unwrap_or_else(|| vec![scalar; mean.len()]);
            let (hess, prior_mean) = (numbers(StateKind::HESS, name), numbers(StateKind::PRIOR_MEAN, name));
            Ok(LeftParam { mean, hess, decay, prior_mean })
        };
        let params = params.into_iter().zip(members).map(left).collect::<Result<_, TrainError>>()?;
        Ok(Left { config, labels, ess, params })
    }
}

impl Prior {
    /// That of a run with so many training labels, if it has one.
    ///
    /// # Errors
    /// See [`Prior::read`].
    pub(super) fn of(
        config: &RunConfig,
        values: &HyperValues,
        labels: usize,
    ) -> Result<Option<Prior>, TrainError> {
        let ess = values.get(Hyper::Ess).unwrap_or(labels as f64);
        config.prior.as_ref().map(|prior| Prior::read(prior, config, ess)).transpose()
    }

    /// That of a run of this configuration, with an effective sample size of `ess`.
    ///
    /// # Errors
    /// The earlier run cannot be read, leaves no posterior, or is of another model: the first tensor that differs is named.
    pub fn read(prior: &PriorConfig, config: &RunConfig, ess: f64) -> Result<Prior, TrainError> {
        let refused = |reason: String| TrainError::Prior { run: prior.run.clone(), reason };
        let left = Left::read(&prior.run).map_err(|error| match error {
            TrainError::Read { reason, .. } | TrainError::Checkpoint(reason) => refused(reason),
            other => other,
        })?;
        if let Some(reason) = other_tensor(&left.config, config) {
            return Err(refused(format!("as a prior it does not fit: {reason}")));
        }
        // In it, state that a model carries and replaces is frozen.
        let Interface { params, members, .. } = config.recipe(StatePlan::Explicit).interface(1)?;
        let mut found = Prior { mean: Vec::new(), weight_decay: Vec::new() };
        for ((of, param), member) in left.params.into_iter().zip(&params).zip(members) {
            let decay = match &of.hess {
                _ if member.frozen => Vec::new(),
                None => {
                    let name = &param.name;
                    let reason =
                        format!("`hess/{name}` is missing: `{name}` was frozen there, but is trained now");
                    return Err(refused(reason));
                }
                Some(hess) => {
                    let precision = hess.iter().zip(&of.decay).map(|(h, delta)| left.ess * (h + delta));
                    precision.map(|precision| prior.strength * precision / ess).collect()
                }
            };
            if let Some(at) = decay.iter().position(|&decay| !((decay as f32).is_normal() && decay > 0.0)) {
                let (name, decay) = (&param.name, decay[at]);
                let reason = format!(
                    "the prior's weight decay of element {at} of `{name}` would be {decay:e}, but must be above 0 and in \
                     the range of single precision"
                );
                return Err(refused(reason));
            }
            found.mean.push(of.mean);
            found.weight_decay.push(decay);
        }
        Ok(found)
    }

    /// One as large as that of a run of this configuration, whatever its numbers: to measure times with.
    pub fn synthetic(config: &RunConfig) -> Prior {
        let values = config.model.initial_values(config.seed);
        let mean = values.map(|mean| mean.into_iter().map(f64::from).collect());
        let mean: Vec<Vec<f64>> = mean.collect();
        let weight_decay = mean.iter().map(|mean| vec![1e-3; mean.len()]).collect();
        Prior { mean, weight_decay }
    }
}

/// What is wrong with a learning rate at which a strong prior alone makes a run diverge, and what to set. A step goes
/// `rate delta / (h + delta)` of the way to the prior's mean: from twice the way on it ends farther off than it began.
pub(super) fn overshoots(config: &RunConfig) -> Option<String> {
    config.prior.as_ref()?;
    let (lr, scale, of) = match &config.rule {
        NamedRule::Ivon(rule) if rule.rescale_lr => {
            let of = "`rule.lr` times `rule.hess_init` + `rule.weight_decay`";
            (rule.lr, rule.hess_init + rule.weight_decay, of)
        }
        NamedRule::Ivon(rule) => (rule.lr, 1.0, "`rule.lr`"),
        NamedRule::Von(rule) => (rule.lr, 1.0, "`rule.lr`"),
        NamedRule::Vogn(rule) => (rule.lr, 1.0, "`rule.lr`"),
        // Vadam averages the pull, and BLR's rate is at most 1; the others have no such prior.
        NamedRule::Vadam(_)
        | NamedRule::Blr(_)
        | NamedRule::Sgd(_)
        | NamedRule::Rmsprop(_)
        | NamedRule::Adam(_)
        | NamedRule::Adamw(_)
        | NamedRule::Own(_) => return None,
    };
    let rate = lr * scale;
    (rate >= 2.0).then(|| {
        let most = 1.0 / scale;
        format!(
            "{of} is {rate:.3}: where the prior outweighs the data, a step goes {rate:.3} times the way to the prior's mean, and \
             from 2 on the run diverges. Set rule.lr to {most:.3} or less"
        )
    })
}

/// The first tensor that the models of two runs do not have alike.
pub(super) fn other_tensor(one: &RunConfig, other: &RunConfig) -> Option<String> {
    let (found, wanted) = (one.model.params(), other.model.params());
    for param in &wanted {
        let shape = &param.shape;
        match found.iter().find(|found| found.name == param.name) {
            None => return Some(format!("it has no `{}`", param.name)),
            Some(found) if found.shape != *shape => {
                return Some(format!("its `{}` is {}, not {shape}", param.name, found.shape));
            }
            Some(_) => {}
        }
    }
    let extra = found.iter().find(|found| wanted.iter().all(|param| param.name != found.name));
    let order = || found.iter().zip(&wanted).find(|(found, wanted)| found.name != wanted.name);
    let extra = extra.or_else(|| order().map(|(found, _)| found));
    extra.map(|found| format!("its `{}` is not in the other model, or at another place", found.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Blr, Ivon, Von};

    #[test]
    fn rates_at_which_a_prior_diverges_are_told_with_what_to_set() {
        let earlier = Some(PriorConfig { run: "first".into(), strength: 1.0 });
        let told = |rule: NamedRule, prior: &Option<PriorConfig>| {
            overshoots(&RunConfig { rule, prior: prior.clone(), ..RunConfig::default() })
        };
        let ivon = |lr, rescale_lr| NamedRule::Ivon(Ivon { lr, rescale_lr, ..Ivon::default() });
        assert_eq!(
            told(ivon(25.0, true), &earlier).unwrap(),
            "`rule.lr` times `rule.hess_init` + `rule.weight_decay` is 2.550: where the prior outweighs the data, a step goes 2.550 \
             times the way to the prior's mean, and from 2 on the run diverges. Set rule.lr to 9.804 or less"
        );
        assert!(told(ivon(2.5, false), &earlier).unwrap().ends_with("Set rule.lr to 1.000 or less"));
        assert!(told(NamedRule::Von(Von { lr: 3.0, ..Von::default() }), &earlier).is_some());
        for rule in [ivon(0.8, true), ivon(1.5, false), NamedRule::Blr(Blr::default())] {
            assert_eq!(told(rule, &earlier), None);
        }
        assert_eq!(told(ivon(25.0, true), &None), None);
    }
}
