//! The event file of a run that TensorBoard watches.

use std::cell::RefCell;
use std::path::Path;

use super::Failure;
use super::print::note;
use crate::train::{EVENT_FOLDER, EventFile, TrainError};

/// An event file, once the run has begun.
#[derive(Default)]
pub(super) struct Watched(RefCell<Option<EventFile>>);

impl Watched {
    /// Begins a file in the run's folder, after so many steps.
    pub fn begin(&self, out: &Path, done: u64) -> Result<(), Failure> {
        let events = EventFile::create(&out.join(EVENT_FOLDER), done);
        *self.0.borrow_mut() = Some(events.map_err(|error| Failure::training(error, None))?);
        Ok(())
    }

    /// Writes, if the run is watched. What fails is told, once: the run is worth more than its watching.
    pub fn write(&self, write: impl FnOnce(&mut EventFile) -> Result<(), TrainError>) {
        let mut events = self.0.borrow_mut();
        if let Some(Err(error)) = events.as_mut().map(write) {
            note(&format!("{error}; the run goes on without it"));
            *events = None;
        }
    }
}
