//! Runs that want the same program at a time: one of them compiles it, the others take it from the cache.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::key::CacheKey;

/// A lock for each program that was compiled or loaded.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<CacheKey, Arc<Mutex<()>>>>);

impl Turns {
    /// Does what compiles or loads the program with this key, while nobody else does so with the same program.
    pub fn take<T>(&self, key: CacheKey, work: impl FnOnce() -> T) -> T {
        let turn = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }
}
