//! How far the Hessian of a variational rule moves from where it starts: a slow average keeps what was chosen for it.

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::session::Session;
use crate::compile::DeviceError;
use crate::compile::bytes::from_bytes;
use crate::config::RunConfig;
use crate::rule::{Hyper, HyperValues, Rule, Start, StateKind};

/// Of more elements than these every so-many-th is looked at: quantiles need no more.
const MOST: usize = 1 << 22;

/// Runs that are shorter are trials, and no average of so few estimates is good.
const FEWEST_STEPS: u64 = 1000;

/// Below this `steps (1 - beta2)` more than 74 % of the start is kept.
const TOO_SLOW: f64 = 0.3;

/// Quantiles over the elements of the Hessian of what it is over `hess_init`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HessMotion {
    /// Of 5 %.
    pub q05: f64,
    /// The median.
    pub q50: f64,
    /// Of 95 %.
    pub q95: f64,
}

impl HessMotion {
    /// That of these elements over their start.
    fn of(mut elements: Vec<f64>, start: f64) -> Option<HessMotion> {
        if elements.is_empty() || start <= 0.0 {
            return None;
        }
        elements.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| elements[((elements.len() - 1) as f64 * share).round() as usize] / start;
        Some(HessMotion { q05: at(0.05), q50: at(0.5), q95: at(0.95) })
    }
}

/// The Hessian that starts at a number of the rule's, and the number's name.
fn hessian(rule: &dyn Rule) -> Option<(StateKind, &'static str)> {
    rule.state().into_iter().find_map(|state| match state.start {
        Start::Number(name) if state.is_curvature => Some((state.kind, name)),
        Start::Number(_) | Start::Zero => None,
    })
}

/// How far the Hessian is from its start; none of a rule without one, or whose starts at zero.
pub(super) fn motion(
    session: &Session,
    rule: &dyn Rule,
    values: &HyperValues,
) -> Result<Option<HessMotion>, TrainError> {
    let Some((kind, name)) = hessian(rule) else { return Ok(None) };
    let Some(start) = values.get(Hyper::Own(name)) else { return Ok(None) };
    let interface = &session.step_program().program.interface;
    let every = interface.trained_elements().div_ceil(MOST).max(1);
    let mut elements = Vec::new();
    for param in interface.trained() {
        if let Some(buffer) = session.state(kind, param) {
            let bytes = buffer.to_host().map_err(DeviceError::from)?;
            elements.extend(from_bytes(interface.dtype, &bytes).into_iter().step_by(every));
        }
    }
    Ok(HessMotion::of(elements, start))
}

/// What is wrong with the pace of the Hessian in a run of so many steps, and what to set.
pub(super) fn too_slow(config: &RunConfig, steps: u64) -> Option<String> {
    let rule = config.rule.rule();
    let (_, name) = hessian(rule)?;
    let numbers = rule.numbers(1);
    let pace = numbers.values().get(Hyper::OneMinus("beta2"))?;
    let start = numbers.values().get(Hyper::Own(name))?;
    let moves = steps as f64 * pace;
    if steps < FEWEST_STEPS || moves >= TOO_SLOW || start <= 0.0 {
        return None;
    }
    let (kept, beta2) = (100.0 * (-moves).exp(), 1.0 - TOO_SLOW / steps as f64);
    Some(format!(
        "the Hessian keeps {kept:.1} % of `rule.{name}`, as {steps} steps times (1 - `rule.beta2`) are {moves:.2}, far \
         below 1. So `rule.{name}` sets the posterior's width: choose it by held-out scores, or try a smaller rule.beta2, \
         such as {beta2:.5}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{AdamW, Blr, Ivon, NamedRule, Vadam, Von};

    #[test]
    fn quantiles_are_those_of_the_sorted_elements() {
        let elements: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        let motion = HessMotion::of(elements, 2.0).unwrap();
        assert_eq!(motion, HessMotion { q05: 2.5, q50: 25.0, q95: 47.5 });
        assert_eq!(HessMotion::of(Vec::new(), 2.0), None);
        assert_eq!(HessMotion::of(vec![1.0], 0.0), None);
    }

    #[test]
    fn a_slow_average_of_many_steps_is_told_with_what_to_set() {
        let told = |rule, steps| too_slow(&RunConfig { rule, ..RunConfig::default() }, steps);
        let ivon = |beta2| NamedRule::Ivon(Ivon { beta2, ..Ivon::default() });
        let text = told(ivon(0.99999), 2400).unwrap();
        assert_eq!(
            text,
            "the Hessian keeps 97.6 % of `rule.hess_init`, as 2400 steps times (1 - `rule.beta2`) are 0.02, far below 1. \
             So `rule.hess_init` sets the posterior's width: choose it by held-out scores, or try a smaller rule.beta2, such \
             as 0.99987"
        );
        assert_eq!(told(ivon(0.99999), 999), None);
        assert_eq!(told(ivon(0.999), 2400), None);
        let von = NamedRule::Von(Von { beta2: 0.99999, ..Von::default() });
        assert!(told(von, 2400).unwrap().ends_with("such as 0.99987"));
        // These have no such average, or one that starts at zero.
        let vadam = NamedRule::Vadam(Vadam { beta2: 0.99999, ..Vadam::default() });
        for rule in [vadam, NamedRule::Blr(Blr::default()), NamedRule::Adamw(AdamW::default())] {
            assert_eq!(told(rule, 2400), None);
        }
    }
}
