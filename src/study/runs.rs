//! The runs of a study, those that are kept and those that are still to be made.

use super::kept::{Finished, Kept, KeptError};
use crate::phase::{Phase, Running, begin};
use crate::train::TrainError;

/// Why a study ends early.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// A run fails.
    #[error(transparent)]
    Run(Box<TrainError>),
    /// A configuration is none.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// Its result cannot be kept, or that of an earlier one not be read.
    #[error(transparent)]
    Kept(#[from] KeptError),
}

impl From<TrainError> for StudyError {
    fn from(error: TrainError) -> StudyError {
        StudyError::Run(Box::new(error))
    }
}

/// Makes the runs of a study that are not kept, and shows how far it is.
#[derive(Debug)]
pub struct Runs<'a, D> {
    kept: &'a mut Kept<D>,
    total: u64,
    bar: Running,
    /// Runs that were made now.
    pub made: u64,
}

impl<'a, D: Finished> Runs<'a, D> {
    /// Those of a study of this name, which has so many in all.
    pub fn new(study: &'static str, kept: &'a mut Kept<D>, total: u64) -> Runs<'a, D> {
        Runs { kept, total, bar: begin(Phase::Studying { name: study, runs: total }), made: 0 }
    }

    /// The run with this key: the kept one, or else what `make` makes, which is kept from then on.
    ///
    /// # Errors
    /// It cannot be made or kept.
    pub fn get(
        &mut self,
        key: D::Key,
        make: impl FnOnce(D::Key) -> Result<D, StudyError>,
    ) -> Result<D, StudyError> {
        match self.kept(&key) {
            Some(done) => Ok(done),
            None => self.add(make(key)?),
        }
    }

    /// The run with this key, if it is kept.
    pub fn kept(&mut self, key: &D::Key) -> Option<D> {
        let done = self.kept.get(key)?.clone();
        self.bar.advance(self.total);
        Some(done)
    }

    /// Keeps a run that was made now.
    ///
    /// # Errors
    /// It cannot be kept.
    pub fn add(&mut self, done: D) -> Result<D, StudyError> {
        self.kept.add(done.clone())?;
        self.made += 1;
        self.bar.advance(self.total);
        Ok(done)
    }
}
