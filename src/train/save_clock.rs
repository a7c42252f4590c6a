//! When a run is saved.

use std::time::{Duration, Instant};

/// The least time between two checkpoints, unless the configuration says after how many steps.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);
/// So many times as long as saving took, nothing is saved again: large checkpoints come less often.
const CHECKPOINT_REST: u32 = 20;

/// When to save next.
pub(super) struct SaveClock {
    every_steps: Option<u64>,
    since: Instant,
    wait: Duration,
}

impl SaveClock {
    /// Starts now.
    pub fn new(every_steps: Option<u64>) -> SaveClock {
        SaveClock { every_steps, since: Instant::now(), wait: CHECKPOINT_INTERVAL }
    }

    /// Whether a checkpoint is due after these steps: at the end of the call that reached its step.
    pub fn is_due(&self, before: u64, step: u64) -> bool {
        match self.every_steps {
            Some(steps) => step / steps > before / steps,
            None => self.since.elapsed() >= self.wait,
        }
    }

    /// A checkpoint was saved, which took so long.
    pub fn saved(&mut self, took: Duration) {
        self.since = Instant::now();
        self.wait = CHECKPOINT_INTERVAL.max(took * CHECKPOINT_REST);
    }
}
