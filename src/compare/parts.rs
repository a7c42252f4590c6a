//! What the parts of a step cost: the time of the whole step less the time of the step without the part. The two take turns.

use super::entrant::{Entrant, From};
use super::report::{PartCost, Parts};
use super::turns::{Rounds, take_turns};
use super::{Case, CompareError, Comparison, News, Observer};
use crate::compile::Device;
use crate::config::RunConfig;
use crate::rule::Needs;
use crate::step::{Part, StepError};

/// What a turn is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The whole step, as in training.
    Whole,
    /// The whole step with its examples on the device.
    WithoutHost,
    /// The step without a part, as in training.
    Without(Part),
}

/// Measures the parts of one rule's step.
pub(super) fn measure(
    device: &Device,
    comparison: &Comparison,
    case: &Case,
    config: &RunConfig,
    observer: Observer,
) -> Result<Parts, CompareError> {
    let name = super::report::case(&case.config, &case.variation);
    let rule = config.rule.name();
    let failed = |source| CompareError::of(&name, config, source);
    observer(News::Preparing { case: &name, entrant: &format!("the parts of {rule}") });
    let needs = Needs::of(config.rule.rule()).map_err(|fault| failed(StepError::from(fault).into()))?;
    let present = Part::ALL.into_iter().filter(|part| part.is_in(&needs));
    let turns: Vec<Turn> =
        [Turn::Whole, Turn::WithoutHost].into_iter().chain(present.map(Turn::Without)).collect();
    let mut whole = Entrant::new(device, config, None).map_err(failed)?;
    let mut rest = Vec::new();
    for turn in &turns {
        match turn {
            Turn::Without(part) => rest.push(Entrant::new(device, config, Some(*part)).map_err(failed)?),
            Turn::Whole | Turn::WithoutHost => {}
        }
    }
    let first = turns.len() - rest.len();
    let run = |number: usize| match turns[number] {
        Turn::Whole => whole.turn(From::Host),
        Turn::WithoutHost => whole.turn(From::Device),
        Turn::Without(_) => rest[number - first].turn(From::Host),
    };
    let rounds = take_turns(turns.len(), comparison.budget, comparison.seed, run, |rounds| {
        let width = (1..turns.len()).map(|number| share(rounds, number)).map(|share| share.high - share.low);
        let width = width.fold(0.0, f64::max);
        observer(News::Round { case: &name, rounds: rounds.count(), width });
        width <= comparison.budget.width
    })
    .map_err(failed)?;
    let whole_ms = rounds.milliseconds(0);
    let parts = turns.iter().enumerate().skip(1).map(|(number, turn)| PartCost {
        part: match turn {
            Turn::Whole => "whole",
            Turn::WithoutHost => "host",
            Turn::Without(part) => part.name(),
        }
        .to_string(),
        ms: share(&rounds, number).scaled(whole_ms.median),
    });
    Ok(Parts {
        config: case.config.clone(),
        variation: case.variation.clone(),
        rule: rule.to_string(),
        whole_ms,
        parts: parts.collect(),
        sum: rounds.each_round(|times| (1..turns.len()).map(|number| 1.0 - times(number) / times(0)).sum()),
        rounds: rounds.count(),
    })
}

/// What the whole would save without this part.
fn share(rounds: &Rounds, number: usize) -> super::Interval {
    rounds.each_round(|times| 1.0 - times(number) / times(0))
}
