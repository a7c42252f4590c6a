//! Whether all images can be decoded, seen before anything depends on it.

use std::io;
use std::num::NonZero;

use super::{ImageFolder, read};
use crate::data::DataError;

impl ImageFolder {
    /// Decodes every image once, by as many threads as there are processors. What was found whole is not looked at again,
    /// by this or by a clone.
    ///
    /// # Errors
    /// The first file that is no image.
    pub(in crate::data) fn check_readable(&self) -> Result<(), DataError> {
        if self.is_readable.get().is_some() {
            return Ok(());
        }
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let per_thread = self.files.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let parts = self.files.chunks(per_thread);
            let check = |files| scope.spawn(move || self.check_files(files));
            let workers: Vec<_> = parts.map(check).collect();
            workers.into_iter().try_for_each(|worker| match worker.join() {
                Ok(checked) => checked,
                Err(_) => Err(DataError::Thread(io::Error::other("it panicked"))),
            })
        })?;
        // Another thread may have been faster, with the same.
        self.is_readable.set(()).ok();
        Ok(())
    }

    fn check_files(&self, files: &[super::Entry]) -> Result<(), DataError> {
        files.iter().try_for_each(|entry| read(&self.path(entry)).map(drop))
    }
}
