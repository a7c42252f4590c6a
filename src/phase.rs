//! What takes a while, for whoever shows it: a list of what is under way, which a thread of theirs looks at. Whoever does
//! the work says when it begins, how far it is, and by a drop that it is over. Until the first step the list also keeps how long
//! each took.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
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
    /// The weights that a run begins with are drawn, or read.
    FirstWeights,
    /// The state is put on the device.
    Beginning,
    /// The first step of a run is computed.
    FirstStep,
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
    /// The runs of a study are made.
    Studying {
        /// The study.
        name: &'static str,
        /// How many runs it has.
        runs: u64,
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
            Phase::FirstWeights => f.write_str("making the first weights"),
            Phase::Beginning => f.write_str("putting the state on the device"),
            Phase::FirstStep => f.write_str("computing the first step"),
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
            Phase::Studying { name: "sweep", runs } => write!(f, "a sweep of {runs} runs"),
            Phase::Studying { name: "suggest", runs } => write!(f, "up to {runs} runs"),
            Phase::Studying { name, runs } => write!(f, "the study {name}, {runs} runs"),
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
    /// The thread that does it.
    pub thread: ThreadId,
    /// What it is.
    pub phase: Phase,
    /// For how long.
    pub elapsed: Duration,
    /// How much of it is done, and of how much, where that is known.
    pub done: Option<(u64, u64)>,
}

struct Entry {
    id: u64,
    thread: ThreadId,
    phase: Phase,
    since: Instant,
    /// What phases within it took.
    within: Duration,
    done: u64,
    of: u64,
}

struct List {
    next: u64,
    entries: Vec<Entry>,
    /// Where the way to the first step is timed.
    clock: Option<Clock>,
}

struct Clock {
    begin: Instant,
    /// What is over, with its own time, without that of phases within it.
    over: Vec<(Phase, Duration)>,
    is_side_by_side: bool,
}

static LIST: Mutex<List> = Mutex::new(List { next: 0, entries: Vec::new(), clock: None });

fn list() -> MutexGuard<'static, List> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is under way in this process, of each thread the outermost first.
pub fn under_way() -> Vec<UnderWay> {
    let told = |entry: &Entry| UnderWay {
        id: entry.id,
        thread: entry.thread,
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
    let (thread, since) = (thread::current().id(), Instant::now());
    let is_beside = list.entries.iter().any(|entry| entry.thread != thread);
    if let Some(clock) = &mut list.clock {
        clock.is_side_by_side |= is_beside;
    }
    list.entries.push(Entry { id, thread, phase, since, within: Duration::ZERO, done: 0, of: 0 });
    Running { id }
}

/// Times the way to the first step from now on.
pub fn start_clock() {
    list().clock = Some(Clock { begin: Instant::now(), over: Vec::new(), is_side_by_side: false });
}

/// The way to the first step, where it is timed: asked for once, when that step is over.
pub fn stop_clock() -> Option<Way> {
    let Clock { begin, over, is_side_by_side } = list().clock.take()?;
    let mut phases: Vec<(String, Duration)> = Vec::new();
    for (phase, took) in over {
        let name = phase.to_string();
        match phases.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += took,
            None => phases.push((name, took)),
        }
    }
    Some(Way { total: begin.elapsed(), phases, is_side_by_side })
}

/// Where the time from the start of a process to its first step went.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// All of it.
    pub total: Duration,
    /// The phases, with their own time.
    pub phases: Vec<(String, Duration)>,
    /// Whether threads had phases at the same time.
    pub is_side_by_side: bool,
}

/// What takes less is part of the rest.
const SHOWN_FROM: Duration = Duration::from_millis(1);

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Duration| format!("{:.3} s", time.as_secs_f64());
        write!(f, "the first step was done {} after the start", seconds(self.total))?;
        let mut rest = self.total;
        for (index, (phase, took)) in self.phases.iter().filter(|(_, took)| *took >= SHOWN_FROM).enumerate() {
            let before = if index == 0 { ": " } else { ", " };
            write!(f, "{before}{phase} {}", seconds(*took))?;
            rest = rest.saturating_sub(*took);
        }
        match rest < self.total {
            true if self.is_side_by_side => f.write_str(", some of them side by side"),
            true => write!(f, ", the rest {}", seconds(rest)),
            false => Ok(()),
        }
    }
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
        let mut list = list();
        let Some(place) = list.entries.iter().position(|entry| entry.id == self.id) else { return };
        let entry = list.entries.remove(place);
        let Some(clock) = &mut list.clock else { return };
        let elapsed = entry.since.elapsed();
        clock.over.push((entry.phase, elapsed.saturating_sub(entry.within)));
        // The phase of this thread that is around this one is not over.
        if let Some(around) =
            list.entries[..place].iter_mut().rev().find(|before| before.thread == entry.thread)
        {
            around.within += elapsed;
        }
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

    #[test]
    fn the_way_to_the_first_step_has_each_phase_once_and_its_own_time() {
        start_clock();
        for _ in 0..2 {
            let outer = begin(Phase::Checking { rows: 987_660 });
            drop(begin(Phase::Checking { rows: 987_661 }));
            drop(outer);
        }
        let way = stop_clock().unwrap();
        let own = |rows: usize| {
            let name = Phase::Checking { rows }.to_string();
            let mut found = way.phases.iter().filter(|(known, _)| *known == name);
            let (_, took) = found.next().unwrap();
            assert!(found.next().is_none());
            *took
        };
        assert!(own(987_660) + own(987_661) <= way.total);
        assert_eq!(stop_clock(), None);

        let ms = Duration::from_millis;
        let phases = vec![("reading".to_string(), ms(30)), ("short".to_string(), ms(0))];
        let way = Way { total: ms(100), phases, is_side_by_side: false };
        let told = "the first step was done 0.100 s after the start: reading 0.030 s";
        assert_eq!(way.to_string(), format!("{told}, the rest 0.070 s"));
        let way = Way { is_side_by_side: true, ..way };
        assert_eq!(way.to_string(), format!("{told}, some of them side by side"));
        let way = Way { phases: Vec::new(), ..way };
        assert_eq!(way.to_string(), "the first step was done 0.100 s after the start");
    }
}
