//! The threads of a device that a function which XLA calls may share its work with.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::frame::in_words;
use super::sys::{self, CallFrame};
use crate::sys::Args;

/// The threads of a device, for the time of a call.
#[derive(Debug)]
pub struct Threads<'a> {
    api: *const sys::Api,
    context: *mut sys::Context,
    call: PhantomData<&'a ()>,
}

/// How often is looked whether others have ended before this thread sleeps: they mostly end at about the same time.
const LOOKS: usize = 2000;

impl Threads<'_> {
    pub(super) fn of(frame: &CallFrame) -> Threads<'_> {
        Threads { api: frame.api, context: frame.context, call: PhantomData }
    }

    /// How many there are, with the one that called; one where that is not told.
    pub fn count(&self) -> usize {
        let mut num_threads = 0;
        let mut args = sys::NumThreadsArgs::new();
        (args.context, args.num_threads) = (self.context, &raw mut num_threads);
        // SAFETY: the table is XLA's and the call has not ended.
        let is_told = unsafe {
            match (*self.api).num_threads {
                Some(ask) if self.covers_threads() => self.succeeds(ask(&raw mut args)),
                _ => false,
            }
        };
        if is_told { usize::try_from(num_threads).map_or(1, |count| count.max(1)) } else { 1 }
    }

    /// Does each of so many pieces of work once, on this thread and on others that are free, and waits for all of them.
    ///
    /// # Errors
    /// What a piece failed with, or a panic said; of several, any.
    pub fn each(
        &self,
        pieces: usize,
        work: &(dyn Fn(usize) -> Result<(), String> + Sync),
    ) -> Result<(), String> {
        let helpers = self.count().min(pieces).saturating_sub(1);
        let state = Arc::new(State {
            // SAFETY: only the lifetime is forgotten. A thread calls it only for a piece that it has claimed, and this function
            // does not return before all pieces are done.
            work: unsafe {
                std::mem::transmute::<
                    *const (dyn Fn(usize) -> Result<(), String> + Sync),
                    *const (dyn Fn(usize) -> Result<(), String> + Sync + 'static),
                >(work)
            },
            pieces,
            claimed: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            failure: Mutex::new(None),
            sleeper: Condvar::new(),
        });
        for _ in 0..helpers {
            self.schedule(&state);
        }
        state.work();
        state.wait();
        state.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    fn schedule(&self, state: &Arc<State>) {
        let data = Arc::into_raw(state.clone());
        let mut args = sys::ScheduleArgs::new();
        (args.context, args.data) = (self.context, data.cast_mut().cast());
        args.task = Some(help);
        // SAFETY: the table is XLA's and the call has not ended.
        let is_taken = unsafe {
            match (*self.api).schedule {
                Some(schedule) if self.covers_threads() => self.succeeds(schedule(&raw mut args)),
                _ => false,
            }
        };
        if !is_taken {
            // SAFETY: it was just made of an Arc, and nobody else has it.
            drop(unsafe { Arc::from_raw(data) });
        }
    }

    /// Whether the table has the functions of threads.
    fn covers_threads(&self) -> bool {
        // SAFETY: every table begins with its size.
        unsafe { (*self.api).struct_size >= size_of::<sys::Api>() }
    }

    /// Whether there is no error, which else is thrown away.
    ///
    /// # Safety
    /// It is an error of this table's, or null.
    unsafe fn succeeds(&self, error: *mut sys::FfiError) -> bool {
        if error.is_null() {
            return true;
        }
        let mut args = sys::ErrorDestroyArgs::new();
        args.error = error;
        // SAFETY: the error is XLA's and used nowhere else.
        unsafe { (*self.api).error_destroy.map(|destroy| destroy(&raw mut args)) };
        false
    }
}

/// Work that several threads share.
struct State {
    work: *const (dyn Fn(usize) -> Result<(), String> + Sync),
    pieces: usize,
    /// How many pieces some thread has begun, or more.
    claimed: AtomicUsize,
    /// How many have ended.
    done: AtomicUsize,
    failure: Mutex<Option<String>>,
    sleeper: Condvar,
}

// SAFETY: the work may be called from any thread (it is Sync), while it lives, see `each`.
unsafe impl Send for State {}
// SAFETY: as above.
unsafe impl Sync for State {}

/// What another thread does: pieces that nobody has begun. Where it comes too late, nothing.
///
/// # Safety
/// `data` is an Arc of a [`State`] that was given away.
unsafe extern "C" fn help(data: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { Arc::from_raw(data.cast_const().cast::<State>()) }.work();
}

impl State {
    fn work(&self) {
        loop {
            let piece = self.claimed.fetch_add(1, Ordering::Relaxed);
            if piece >= self.pieces {
                return;
            }
            // SAFETY: this piece is claimed and not done, so `each` has not returned.
            let work = unsafe { &*self.work };
            let made = catch_unwind(AssertUnwindSafe(|| work(piece)));
            let failure = made.unwrap_or_else(|panic| Err(in_words(&*panic))).err();
            let mut failures = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            *failures = failures.take().or(failure);
            // Under the lock, so that nobody goes to sleep in between.
            if self.done.fetch_add(1, Ordering::AcqRel) + 1 == self.pieces {
                self.sleeper.notify_all();
            }
        }
    }

    /// Until every piece has ended. Each that has not is some thread's, which is at it.
    fn wait(&self) {
        let is_done = || self.done.load(Ordering::Acquire) == self.pieces;
        for _ in 0..LOOKS {
            if is_done() {
                return;
            }
            std::hint::spin_loop();
        }
        let mut failures = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        while !is_done() {
            failures = self.sleeper.wait(failures).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
