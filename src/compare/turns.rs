//! Takes turns: everything that is compared runs once a round, in an order drawn anew, so that a drift of the machine's speed, or what
//! ran before, falls on all alike.

use std::time::{Duration, Instant};

use super::interval::Interval;
use crate::data::random::SplitMix;

/// Times of one unit of work, by entrant and round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rounds {
    /// Seconds: one list an entrant, in the order of the rounds.
    pub seconds: Vec<Vec<f64>>,
}

impl Rounds {
    /// How many rounds there were.
    pub fn count(&self) -> usize {
        self.seconds.first().map_or(0, Vec::len)
    }

    /// The median of an entrant's times, in ms.
    pub fn milliseconds(&self, entrant: usize) -> Interval {
        Interval::of(self.seconds[entrant].iter().map(|seconds| 1e3 * seconds))
    }

    /// The median, over rounds, of one entrant's time over another's in the same round.
    pub fn ratio(&self, entrant: usize, base: usize) -> Interval {
        self.each_round(|times| times(entrant) / times(base))
    }

    /// The median, over rounds, of what a function makes of the entrants' times.
    pub fn each_round(&self, of: impl Fn(&dyn Fn(usize) -> f64) -> f64) -> Interval {
        Interval::of((0..self.count()).map(|round| of(&|entrant| self.seconds[entrant][round])))
    }
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// The time that rounds may begin in.
    pub time: Duration,
    /// The width of the intervals, as parts of their medians, that is narrow enough.
    pub width: f64,
}

/// The fewest rounds from which an interval of 95 % follows.
const LEAST_ROUNDS: usize = 6;

/// Takes turns until `enough` or the time is up, but at least six times. `run` runs an entrant by its number and gives the
/// seconds of a unit of its work.
///
/// # Errors
/// Those of `run`.
pub fn take_turns<E>(
    entrants: usize,
    budget: Budget,
    seed: u64,
    mut run: impl FnMut(usize) -> Result<f64, E>,
    mut enough: impl FnMut(&Rounds) -> bool,
) -> Result<Rounds, E> {
    let mut rounds = Rounds { seconds: vec![Vec::new(); entrants] };
    let mut random = SplitMix::keyed(&[seed]);
    let begin = Instant::now();
    loop {
        for entrant in shuffled(entrants, &mut random) {
            let seconds = run(entrant)?;
            rounds.seconds[entrant].push(seconds);
        }
        let late = begin.elapsed() >= budget.time;
        if rounds.count() >= LEAST_ROUNDS && (late || enough(&rounds)) {
            return Ok(rounds);
        }
    }
}

/// The numbers below `count` in random order.
fn shuffled(count: usize, random: &mut SplitMix) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, random.below(last as u64 + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    const NO_TIME: Budget = Budget { time: Duration::ZERO, width: 0.01 };

    #[test]
    fn every_entrant_runs_once_a_round_in_changing_order() {
        let mut order = Vec::new();
        let run = |entrant: usize| {
            order.push(entrant);
            Ok::<_, Infallible>(1.0 + entrant as f64)
        };
        let rounds = take_turns(3, NO_TIME, 1, run, |_| false).unwrap();
        assert_eq!(rounds.count(), LEAST_ROUNDS);
        let orders: Vec<&[usize]> = order.chunks(3).collect();
        for round in &orders {
            let mut sorted = round.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2]);
        }
        assert!(orders.iter().any(|round| *round != orders[0]), "always the same order");
        assert_eq!(rounds.ratio(2, 0), Interval { median: 3.0, low: 3.0, high: 3.0 });
        assert_eq!(rounds.milliseconds(1).median, 2000.0);
    }

    #[test]
    fn a_drift_of_the_machine_cancels_in_ratios() {
        let mut turns = 0;
        let run = |entrant: usize| {
            turns += 1;
            let round = (turns - 1) / 2;
            Ok::<_, Infallible>((1.0 + f64::from(round)) * if entrant == 0 { 1.0 } else { 1.25 })
        };
        let rounds = take_turns(2, NO_TIME, 3, run, |_| false).unwrap();
        assert_eq!(rounds.ratio(1, 0), Interval { median: 1.25, low: 1.25, high: 1.25 });
        assert!(rounds.milliseconds(0).width() > 1.0);
    }

    #[test]
    fn turns_end_when_it_is_enough_or_with_an_error() {
        let budget = Budget { time: Duration::from_secs(3600), width: 0.01 };
        let run = |_| Ok::<_, Infallible>(1.0);
        assert_eq!(take_turns(1, budget, 0, run, |rounds| rounds.count() >= 9).unwrap().count(), 9);
        let error = take_turns(1, budget, 0, |_| Err::<f64, _>("broken"), |_| false);
        assert_eq!(error.unwrap_err(), "broken");
    }
}
