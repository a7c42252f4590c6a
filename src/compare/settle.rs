//! What a ratio's interval leaves open, and how long a run would settle it.

use std::time::Duration;

use indicatif::HumanDuration;

use super::interval::Interval;
use crate::report::percent;

/// A comparison that more than so many times its rounds would settle is not worth its time.
const MOST_TIMES: f64 = 10_000.0;

/// The rounds that an interval is from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Effort {
    pub rounds: usize,
    /// Seconds of one, of all that take turns.
    pub seconds: f64,
}

/// What a ratio to `base` leaves open; nothing where its interval is narrower than `wanted` and without 1.
pub(super) fn open(
    entrant: &str,
    base: &str,
    ratio: Interval,
    wanted: f64,
    effort: Effort,
) -> Option<String> {
    let is_wide = ratio.width() > wanted;
    let spans = ratio.contains(1.0);
    let most = (ratio.high - 1.0).abs().max((1.0 - ratio.low).abs());
    match (spans, is_wide) {
        (false, false) => None,
        (true, false) => Some(format!(
            "{entrant}: no difference to {base} is seen, and none beyond {} is left.",
            percent(most)
        )),
        (_, true) => {
            let which = if spans { ", not even which is faster" } else { "" };
            let Effort { rounds, .. } = effort;
            Some(format!(
                "{entrant}: the machine is too noisy for {rounds} rounds to say more{which}: the interval is {} wide, where {} is \
                 asked for. {}",
                percent(ratio.width()),
                percent(wanted),
                more(ratio.width() / wanted, effort)
            ))
        }
    }
}

/// How long a run would make an interval so many times narrower.
fn more(times: f64, Effort { rounds, seconds }: Effort) -> String {
    let factor = times * times;
    if !factor.is_finite() || factor > MOST_TIMES {
        return "No run of this length would: look for what keeps the machine busy.".to_owned();
    }
    let rounds = (rounds as f64 * factor).ceil();
    let time = Duration::from_secs_f64((rounds * seconds).ceil().clamp(1.0, 1e9));
    format!(
        "Its width falls with the square root of the rounds, so that some {rounds} of them would do, or {}: --time {}.",
        HumanDuration(time).to_string().to_lowercase(),
        time.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_open_is_told() {
        let effort = Effort { rounds: 40, seconds: 0.5 };
        let told = |low: f64, high: f64| {
            let ratio = Interval { median: (low + high) / 2.0, low, high };
            open("ivon", "adamw", ratio, 0.01, effort)
        };
        assert_eq!(told(1.086, 1.094), None);
        let same = "ivon: no difference to adamw is seen, and none beyond 0.6 % is left.";
        assert_eq!(told(0.994, 1.002).as_deref(), Some(same));
        let wide = "ivon: the machine is too noisy for 40 rounds to say more: the interval is 2.0 % wide, where 1.0 % is asked \
                    for. Its width falls with the square root of the rounds, so that some 163 of them would do, or 82 seconds: \
                    --time 82.";
        let found = told(1.03, 1.051).unwrap();
        assert!(found.starts_with(&wide[..90]) && found.contains("--time "), "{found}");
        assert!(
            told(0.98, 1.02)
                .unwrap()
                .contains("say more, not even which is faster: the interval is 4.0 % wide")
        );
        // Four times as narrow takes sixteen times as long.
        assert!(
            more(4.0, effort).contains("some 640 of them would do, or 5 minutes: --time 320."),
            "{}",
            more(4.0, effort)
        );
        assert!(told(0.2, 40.0).unwrap().ends_with("look for what keeps the machine busy."));
    }
}
