//! What is said last where a plugin ends the process.
//!
//! A failed check or a C++ exception inside XLA raises SIGABRT, which nothing can turn into an error. What a plugin is
//! asked to do is therefore noted before each call that may end so, and a handler of the signal writes the note.

use std::collections::BTreeSet;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};

/// A text that is never freed, as the handler may read it at any time.
pub(super) type Note = &'static String;

/// What plugins are doing now, as far as there is room.
static UNDER_WAY: [AtomicPtr<String>; 8] = [const { AtomicPtr::new(ptr::null_mut()) }; 8];

/// The run that was started last. It may go on when the call that started it is over.
static LAST_RUN: AtomicPtr<String> = AtomicPtr::new(ptr::null_mut());

/// How the program is called.
static PROGRAM: AtomicPtr<String> = AtomicPtr::new(ptr::null_mut());

/// What the program says can be tried.
static ADVICE: AtomicPtr<String> = AtomicPtr::new(ptr::null_mut());

/// The texts noted so far, each once: as many as there are programs and options.
static NOTES: Mutex<BTreeSet<Note>> = Mutex::new(BTreeSet::new());

/// Makes SIGABRT, by which XLA ends the process, say first what plugins were asked to do, by the program of this name, and
/// then this advice. The process ends all the same.
///
/// On other systems than Unix it does nothing.
pub fn install_last_word(program: &str, advice: &str) {
    set(&PROGRAM, note(program.to_owned()));
    set(&ADVICE, note(advice.to_owned()));
    #[cfg(unix)]
    // SAFETY: the struct is filled in, and the handler only reads texts that are never freed and writes them by `write`,
    // which is safe in a handler. SA_RESETHAND gives the signal back to the system, so that it ends the process.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = speak as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESETHAND;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(libc::SIGABRT, &raw const action, ptr::null_mut());
    }
}

/// What is done with a program, compiled with these options, by whom.
pub(super) fn of_program(verb: &str, name: &str, options: &str, by: &str) -> Note {
    note(format!("{verb} program {name} with {options}\n  by {by}"))
}

/// Keeps a text for good.
pub(super) fn note(text: String) -> Note {
    let mut notes = NOTES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = notes.get(&text) {
        return known;
    }
    let kept: Note = Box::leak(Box::new(text));
    notes.insert(kept);
    kept
}

/// A plugin is asked to do this, until the answer is dropped.
pub(super) fn doing(note: Note) -> Doing {
    let own = ptr::from_ref(note).cast_mut();
    let taken = UNDER_WAY.iter().find(|slot| {
        slot.compare_exchange(ptr::null_mut(), own, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    });
    Doing { slot: taken }
}

/// A run is started.
pub(super) fn running(note: Note) {
    set(&LAST_RUN, note);
}

fn set(slot: &AtomicPtr<String>, note: Note) {
    slot.store(ptr::from_ref(note).cast_mut(), Ordering::Release);
}

/// What a plugin is doing, noted until this is dropped.
pub(super) struct Doing {
    slot: Option<&'static AtomicPtr<String>>,
}

impl Drop for Doing {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            slot.store(ptr::null_mut(), Ordering::Release);
        }
    }
}

/// The handler. It may not allocate, lock or free.
#[cfg(unix)]
extern "C" fn speak(_signal: libc::c_int) {
    let mut said = false;
    for slot in &UNDER_WAY {
        said |= say(": the process ends while XLA was ", slot);
    }
    if !said {
        said = say(": the process ends; the last that XLA was asked to do was ", &LAST_RUN);
    }
    if said {
        write(&[text(&ADVICE).unwrap_or_default(), "\n"]);
    }
}

/// Writes a noted text, after the program's name and these words; whether there is one.
#[cfg(unix)]
fn say(words: &str, slot: &AtomicPtr<String>) -> bool {
    let Some(noted) = text(slot) else { return false };
    write(&[text(&PROGRAM).unwrap_or_default(), words, noted, "\n"]);
    true
}

#[cfg(unix)]
fn text(slot: &AtomicPtr<String>) -> Option<&'static str> {
    // SAFETY: notes are never freed.
    unsafe { slot.load(Ordering::Acquire).as_ref() }.map(String::as_str)
}

#[cfg(unix)]
fn write(parts: &[&str]) {
    for part in parts {
        // SAFETY: the bytes are alive. Nothing can be done where they cannot be written.
        unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_a_note_ends_with_what_was_done() {
        let text = "testing notes";
        let (first, second) = (note(text.to_owned()), note(text.to_owned()));
        assert!(ptr::eq(first, second));
        let is_noted = || UNDER_WAY.iter().any(|slot| ptr::eq(slot.load(Ordering::Acquire), first));
        let guard = doing(first);
        assert!(is_noted());
        drop(guard);
        assert!(!is_noted());
    }

    #[test]
    fn more_at_once_than_there_is_room_for_is_no_fault() {
        let guards: Vec<Doing> = (0..20).map(|number| doing(note(format!("testing {number}")))).collect();
        drop(guards);
    }
}
