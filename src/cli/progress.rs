//! What is under way, shown: on a terminal a spinner or a bar with the time that it has taken, elsewhere a line. A thread
//! looks at [`crate::phase`], so whoever works does not draw, and a call of XLA's that blocks is shown too.

use std::collections::HashSet;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::phase::{Phase, UnderWay, under_way};

/// What is over before is not shown on a terminal.
const SHOWN_AFTER: Duration = Duration::from_secs(1);
/// What is over before is not told elsewhere.
const TOLD_AFTER: Duration = Duration::from_secs(2);
/// How often a terminal is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// What the terminal shows below the lines that are there to stay.
struct Screen {
    spinner: Option<ProgressBar>,
    /// The bar of a run, which says at its end what else is under way.
    run: Option<ProgressBar>,
    /// How many are drawing something else.
    others: usize,
}

static SCREEN: Mutex<Screen> = Mutex::new(Screen { spinner: None, run: None, others: 0 });

fn screen() -> MutexGuard<'static, Screen> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows from now on what is under way.
pub(super) fn start() -> io::Result<()> {
    let is_terminal = io::stderr().is_terminal();
    std::thread::Builder::new().name("progress".to_string()).spawn(move || {
        let mut told = Told::default();
        loop {
            std::thread::sleep(TICK);
            let phases = outermost(under_way());
            if is_terminal {
                screen().show(&phases);
            } else {
                tell(&phases, &mut told);
            }
        }
    })?;
    Ok(())
}

/// Writes while nothing is drawn.
pub(super) fn apart<T>(write: impl FnOnce() -> T) -> T {
    let mut screen = screen();
    screen.clear();
    match &screen.run {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Does what draws something of its own.
pub(super) fn aside<T>(work: impl FnOnce() -> T) -> T {
    {
        let mut screen = screen();
        screen.clear();
        screen.others += 1;
    }
    let done = work();
    screen().others -= 1;
    done
}

/// Removes what is drawn, unless somebody who writes holds it.
pub(super) fn clear_soon() {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(200) {
        let screen = match SCREEN.try_lock() {
            Ok(screen) => Some(screen),
            Err(TryLockError::Poisoned(held)) => Some(held.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(mut screen) = screen {
            screen.clear();
            if let Some(bar) = screen.run.take() {
                bar.abandon();
            }
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A run's bar, which goes on while its step or something else takes long.
pub(super) fn keep_drawing(bar: &ProgressBar) {
    let mut screen = screen();
    screen.clear();
    screen.run = Some(bar.clone());
}

/// The run's bar stays as it is.
pub(super) fn finish_bar() {
    if let Some(bar) = screen().run.take() {
        bar.set_prefix("");
        // Also where it was stopped on its way.
        bar.abandon();
    }
}

impl Screen {
    fn clear(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }

    fn show(&mut self, phases: &[UnderWay]) {
        let line = if self.others == 0 { line(phases) } else { None };
        if let Some(bar) = &self.run {
            bar.set_prefix(line.map(|line| format!("  {}", line.text)).unwrap_or_default());
            bar.tick();
            return;
        }
        let Some(line) = line else { return self.clear() };
        let spinner = self.spinner.get_or_insert_with(ProgressBar::new_spinner);
        let template =
            if line.done.is_some() { "{spinner} {bar:20} {wide_msg}" } else { "{spinner} {wide_msg}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            spinner.set_style(style.progress_chars("=> "));
        }
        if let Some((done, of)) = line.done {
            spinner.set_length(of);
            spinner.set_position(done);
        }
        spinner.set_message(line.text);
        spinner.tick();
    }
}

/// What is under way, without what the runs of a study do, several of which may go on at a time.
fn outermost(mut phases: Vec<UnderWay>) -> Vec<UnderWay> {
    if let Some(study) = phases.iter().position(|phase| matches!(phase.phase, Phase::Studying { .. })) {
        phases.truncate(study + 1);
    }
    phases
}

/// What is shown.
#[derive(Debug, PartialEq)]
struct Line {
    text: String,
    done: Option<(u64, u64)>,
}

/// What takes long, of each thread from the outermost phase, and how far the innermost of the first thread is.
fn line(phases: &[UnderWay]) -> Option<Line> {
    let mut threads: Vec<Vec<&UnderWay>> = Vec::new();
    for phase in phases.iter().filter(|phase| phase.elapsed >= SHOWN_AFTER) {
        match threads.iter_mut().find(|of| of[0].thread == phase.thread) {
            Some(of) => of.push(phase),
            None => threads.push(vec![phase]),
        }
    }
    let last = *threads.first()?.last()?;
    let nested = |of: &Vec<&UnderWay>| {
        let mut texts: Vec<String> = of.iter().map(|phase| phase.phase.to_string()).collect();
        // A phase may have one in it that is told in the same words.
        texts.dedup();
        texts.join(": ")
    };
    let texts: Vec<String> = threads.iter().map(nested).collect();
    let mut text = format!("{}, elapsed {}", texts.join(" and "), duration(last.elapsed));
    let done = last.done.filter(|(done, _)| *done > 0);
    if let Some((done, of)) = done {
        let left = last.elapsed.mul_f64((of - done) as f64 / done as f64);
        text = format!("{:.0} %  {text}, left {}", 100.0 * done as f64 / of as f64, duration(left));
    }
    Some(Line { text, done })
}

fn duration(time: Duration) -> String {
    format!("{:#}", HumanDuration(time))
}

/// What has had its line.
#[derive(Default)]
struct Told {
    ids: HashSet<u64>,
    /// The last line: what goes on in the same words needs no other.
    last: String,
}

/// A line for each phase that takes long.
fn tell(phases: &[UnderWay], told: &mut Told) {
    told.ids.retain(|id| phases.iter().any(|phase| phase.id == *id));
    for phase in phases.iter().filter(|phase| phase.elapsed >= TOLD_AFTER) {
        let line = format!("{} ...", phase.phase);
        if told.ids.insert(phase.id) && told.last != line {
            super::print::note(&line);
            told.last = line;
        }
    }
}

/// Standard error for a log, whose lines do not run into what is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        apart(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(phase: Phase, seconds: u64, done: Option<(u64, u64)>) -> UnderWay {
        let thread = std::thread::current().id();
        UnderWay { id: seconds, thread, phase, elapsed: Duration::from_secs(seconds), done }
    }

    #[test]
    fn only_what_takes_long_is_shown() {
        let program = || "step".to_string();
        let trial =
            phase(Phase::Trial { rule: "adamw".to_string(), lr: 0.001, number: 3, of: 5 }, 9, Some((1, 4)));
        let compiling = |seconds| phase(Phase::Compiling { program: program() }, seconds, None);
        let text = |phases: &[UnderWay]| line(phases).map(|line| line.text);
        assert_eq!(text(&[compiling(0)]), None);
        let alone = "25 %  adamw at learning rate 0.001, trial 3 of 5, elapsed 9s, left 27s";
        assert_eq!(text(&[trial.clone(), compiling(0)]).as_deref(), Some(alone));
        let both = "adamw at learning rate 0.001, trial 3 of 5: compiling the program step, elapsed 2s";
        assert_eq!(text(&[trial, compiling(2)]).as_deref(), Some(both));
        let other = std::thread::spawn(|| std::thread::current().id()).join().unwrap();
        let weights = UnderWay { thread: other, ..phase(Phase::FirstWeights, 3, None) };
        let beside = "compiling the program step and making the first weights, elapsed 4s";
        assert_eq!(text(&[compiling(4), weights]).as_deref(), Some(beside));
        let study = phase(Phase::Studying { name: "sweep", runs: 9 }, 30, Some((3, 9)));
        assert_eq!(outermost(vec![study.clone(), compiling(9), compiling(8)]), [study]);
        let once = "compiling the program step, elapsed 62s";
        let told = text(&[compiling(65), compiling(62)]).unwrap();
        assert!(told == once || told.starts_with("compiling the program step, elapsed 1m"), "{told}");
    }
}
