//! Ctrl-C and termination: a run ends after the step under way, with its state saved.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The signals, and the exit codes that shells give them.
const SIGNALS: [(i32, u8); 2] = [(SIGINT, 130), (SIGTERM, 143)];

/// What signals do: end the process at once, or be remembered.
#[derive(Debug)]
pub(super) struct Interrupt {
    /// The exit code of the last signal, or 0.
    received: Arc<AtomicUsize>,
    /// Whether the next signal ends the process.
    at_once: Arc<AtomicBool>,
}

impl Interrupt {
    /// Takes over the signals, which still end the process at once.
    pub(super) fn new() -> io::Result<Interrupt> {
        let received = Arc::new(AtomicUsize::new(0));
        let at_once = Arc::new(AtomicBool::new(true));
        for (signal, code) in SIGNALS {
            // In this order: a first signal arms what a second one then does.
            flag::register_conditional_shutdown(signal, i32::from(code), Arc::clone(&at_once))?;
            flag::register(signal, Arc::clone(&at_once))?;
            flag::register_usize(signal, Arc::clone(&received), usize::from(code))?;
        }
        Ok(Interrupt { received, at_once })
    }

    /// From now on a first signal is only remembered; a second one ends the process.
    pub(super) fn hold(&self) {
        self.at_once.store(false, Ordering::SeqCst);
    }

    /// From now on signals end the process at once.
    pub(super) fn release(&self) {
        self.at_once.store(true, Ordering::SeqCst);
    }

    /// The exit code of the signal that was received, if one was.
    pub(super) fn received(&self) -> Option<u8> {
        u8::try_from(self.received.load(Ordering::SeqCst)).ok().filter(|&code| code != 0)
    }
}
