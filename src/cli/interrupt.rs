//! Ctrl-C and termination. While a run trains, it ends after the step under way with its state saved. At any other time, as in
//! a call of XLA's that takes minutes, the process ends at once and says what is safe.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{print, progress};
use crate::phase::under_way;
use crate::train::RunFolder;

/// How long a step may take to end before it is told what is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// The exit code of the last signal that was kept for the run, or 0.
static RECEIVED: AtomicU8 = AtomicU8::new(0);
/// Whether the next signal is kept for the run.
static HELD: AtomicBool = AtomicBool::new(false);
/// What there is to say of what was written, or of what was not.
static SAFE: Mutex<String> = Mutex::new(String::new());
/// The thread that the command runs in.
static MAIN: OnceLock<ThreadId> = OnceLock::new();
/// The run's folder.
static FOLDER: Mutex<Option<Weak<RunFolder>>> = Mutex::new(None);

/// What signals do: end the process at once, or be remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interrupt;

impl Interrupt {
    /// Takes over the signals, which a thread waits for: others may be deep in a call that does not end. It is the thread of the
    /// command that calls this.
    pub(super) fn listen() -> io::Result<()> {
        MAIN.get_or_init(|| thread::current().id());
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let listen = move || {
            for signal in signals.forever() {
                let (word, code) = if signal == SIGTERM { ("terminated", 143) } else { ("interrupted", 130) };
                if !HELD.swap(false, Ordering::SeqCst) {
                    end(word, code);
                }
                RECEIVED.store(code, Ordering::SeqCst);
                thread::spawn(|| {
                    thread::sleep(PATIENCE);
                    print::note(
                        "stopping after the step under way, with a checkpoint; a second signal ends at once, and what \
                         came after the last checkpoint is lost",
                    );
                });
            }
        };
        thread::Builder::new().name("signals".to_string()).spawn(listen)?;
        Ok(())
    }

    /// From now on a first signal is only remembered; a second one ends the process.
    pub(super) fn hold(self) {
        HELD.store(true, Ordering::SeqCst);
    }

    /// From now on signals end the process at once.
    pub(super) fn release(self) {
        HELD.store(false, Ordering::SeqCst);
    }

    /// The steps are over: one that was remembered, too late to stop them, ends the process now.
    pub(super) fn release_after_steps(self) {
        self.release();
        if let Some(code) = self.received() {
            end("interrupted", code);
        }
    }

    /// The exit code of the signal that was received, if one was.
    pub(super) fn received(self) -> Option<u8> {
        Some(RECEIVED.load(Ordering::SeqCst)).filter(|&code| code != 0)
    }

    /// What is said from now on where a signal ends the process.
    pub(super) fn safe(self, what: impl Into<String>) {
        *SAFE.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
    }

    /// What is said.
    pub(super) fn is_safe(self) -> String {
        SAFE.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The folder that is given back where a signal ends the process.
    pub(super) fn gives_back(self, folder: &Arc<RunFolder>) {
        *FOLDER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::downgrade(folder));
    }
}

/// Ends the process, whatever its other threads do.
fn end(word: &str, code: u8) -> ! {
    let mut note = word.to_string();
    let under_way = under_way();
    let of_main = under_way.iter().rfind(|phase| MAIN.get() == Some(&phase.thread));
    if let Some(last) = of_main.or(under_way.last()) {
        note.push_str(&format!(" while {}", last.phase));
    }
    let safe = Interrupt.is_safe();
    if !safe.is_empty() {
        note.push_str(&format!("; {safe}"));
    }
    progress::clear_soon();
    print::last_note(&note);
    let folder = FOLDER.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(folder) = folder.and_then(|folder| folder.upgrade()) {
        folder.give_back();
    }
    signal_hook::low_level::exit(i32::from(code))
}
