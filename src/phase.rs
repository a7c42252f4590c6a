//! What takes a while, for whoever shows it: a list of what is under way, which a thread of theirs looks at. Whoever does
//! the work says when it begins, how far it is, and by a drop that it is over.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Something that may take more than a second.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// A plugin is opened, and its runtime started.
    Opening {
        /// The plugin's file.
        plugin: String,
    },
    /// A program is written: its IR, or its StableHLO.
    Writing {
        /// The program.
        program: String,
    },
    /// An executable is loaded, from the cache or a file of executables.
    Loading {
        /// The program.
        program: String,
    },
    /// XLA compiles a program.
    Compiling {
        /// The program.
        program: String,
    },
    /// Files are read.
    Reading {
        /// What they are.
        what: String,
    },
    /// Every image to judge by is decoded once.
    Checking {
        /// How many.
        rows: usize,
    },
    /// Data and initial weights are hashed, to tell them from others.
    Hashing,
    /// The state is put on the device.
    Beginning,
    /// A checkpoint is written.
    Saving {
        /// Its file.
        path: PathBuf,
    },
    /// Rows are predicted, to be judged or told.
    Predicting {
        /// How many rows.
        rows: usize,
        /// How many samples of the posterior they are averaged over, besides what is predicted at the mean.
        samples: u32,
    },
    /// Samples of the posterior are drawn.
    Drawing {
        /// How many.
        samples: u32,
    },
    /// Texts are written, of which one is chosen.
    Generating {
        /// How many.
        candidates: u32,
    },
    /// A learning rate is tried.
    Trial {
        /// The rule.
        rule: String,
        /// The rate.
        lr: f64,
        /// Which trial it is, from 1.
        number: usize,
        /// How many there are.
        of: usize,
    },
    /// A step is made ready to be compared.
    Preparing {
        /// The case.
        case: String,
        /// Who takes turns in it.
        entrant: String,
    },
    /// Steps take turns.
    Comparing {
        /// The case.
        case: String,
        /// Rounds so far.
        rounds: usize,
        /// The width of the widest interval, as a part.
        width: f64,
    },
    /// What the device does at best is measured.
    Measuring,
    /// A recorded trajectory is replayed.
    Replaying {
        /// Its steps.
        steps: usize,
    },
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phase::Opening { plugin } => write!(f, "opening the plugin {plugin}"),
            Phase::Writing { program } => write!(f, "writing the program {program}"),
            Phase::Loading { program } => write!(f, "loading the program {program}"),
            Phase::Compiling { program } => write!(f, "compiling the program {program}"),
            Phase::Reading { what } => write!(f, "reading {what}"),
            Phase::Checking { rows } => write!(f, "decoding {rows} test images once"),
            Phase::Hashing => f.write_str("hashing the data"),
            Phase::Beginning => f.write_str("putting the state on the device"),
            Phase::Saving { path } => write!(f, "writing {}", path.display()),
            Phase::Predicting { rows, samples: 0 } => write!(f, "predicting {rows} rows at the mean"),
            Phase::Predicting { rows, samples } => write!(f, "predicting {rows} rows over {samples} samples"),
            Phase::Drawing { samples } => write!(f, "drawing {samples} samples"),
            Phase::Generating { candidates } => write!(f, "writing {candidates} candidates"),
            Phase::Trial { rule, lr, number, of } => {
                write!(f, "{rule} at learning rate {lr}, trial {number} of {of}")
            }
            Phase::Preparing { case, entrant } => write!(f, "{case}: preparing {entrant}"),
            Phase::Comparing { case, rounds, width } => {
                write!(f, "{case}: {rounds} rounds, the widest interval {:.1} %", 100.0 * width)
            }
            Phase::Measuring => f.write_str("measuring what the device does at best"),
            Phase::Replaying { steps } => write!(f, "replaying {steps} steps"),
        }
    }
}

/// A phase that is under way, as it stood when it was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct UnderWay {
    /// Tells it from others.
    pub id: u64,
    /// What it is.
    pub phase: Phase,
    /// For how long.
    pub elapsed: Duration,
    /// How much of it is done, and of how much, where that is known.
    pub done: Option<(u64, u64)>,
}

struct Entry {
    id: u64,
    phase: Phase,
    since: Instant,
    done: u64,
    of: u64,
}

struct List {
    next: u64,
    entries: Vec<Entry>,
}

static LIST: Mutex<List> = Mutex::new(List { next: 0, entries: Vec::new() });

fn list() -> MutexGuard<'static, List> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is under way in this process, the outermost first.
pub fn under_way() -> Vec<UnderWay> {
    let told = |entry: &Entry| UnderWay {
        id: entry.id,
        phase: entry.phase.clone(),
        elapsed: entry.since.elapsed(),
        done: (entry.of > 0).then_some((entry.done.min(entry.of), entry.of)),
    };
    list().entries.iter().map(told).collect()
}

/// A phase that is over when this is dropped.
#[derive(Debug)]
#[must_use = "the phase is over when this is dropped"]
pub struct Running {
    id: u64,
}

/// Begins a phase.
pub fn begin(phase: Phase) -> Running {
    let mut list = list();
    let id = list.next;
    list.next += 1;
    list.entries.push(Entry { id, phase, since: Instant::now(), done: 0, of: 0 });
    Running { id }
}

impl Running {
    fn change(&self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = list().entries.iter_mut().find(|entry| entry.id == self.id) {
            change(entry);
        }
    }

    /// So much is done of so much.
    pub fn reached(&self, done: u64, of: u64) {
        self.change(|entry| (entry.done, entry.of) = (done, of));
    }

    /// One more of so much is done.
    pub fn advance(&self, of: u64) {
        self.change(|entry| (entry.done, entry.of) = (entry.done + 1, of));
    }

    /// It turns out to be another one.
    pub fn becomes(&self, phase: Phase) {
        self.change(|entry| entry.phase = phase);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        list().entries.retain(|entry| entry.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Others of this process may run phases of their own meanwhile.
    fn mine(rows: usize) -> Vec<UnderWay> {
        let is_mine =
            |seen: &UnderWay| matches!(seen.phase, Phase::Checking { rows: at } if at / 10 == rows / 10);
        under_way().into_iter().filter(is_mine).collect()
    }

    #[test]
    fn phases_are_seen_from_the_outermost_until_they_end() {
        let outer = begin(Phase::Checking { rows: 987_650 });
        {
            let inner = begin(Phase::Checking { rows: 987_651 });
            inner.advance(4);
            inner.advance(4);
            let seen = mine(987_650);
            assert_eq!(seen.iter().map(|seen| seen.done).collect::<Vec<_>>(), [None, Some((2, 4))]);
            assert_eq!(seen[1].phase.to_string(), "decoding 987651 test images once");
            inner.reached(9, 4);
            inner.becomes(Phase::Checking { rows: 987_652 });
            assert_eq!(mine(987_650)[1].done, Some((4, 4)));
        }
        assert_eq!(mine(987_650).len(), 1);
        drop(outer);
        assert!(mine(987_650).is_empty());
    }
}
