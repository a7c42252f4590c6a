//! Programs of many runs on one device: of those that want the same one, the first compiles or loads it, and the others wait
//! and take it from the first. So does a run from whoever loads its programs ahead.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::CacheOutcome;
use super::key::CacheKey;
use crate::pjrt::Executable;

type Place = Arc<Mutex<Option<(Arc<Executable>, CacheOutcome)>>>;

/// A place for each program that was compiled or loaded.
#[derive(Debug, Default)]
pub(super) struct Shared {
    places: Mutex<HashMap<CacheKey, Place>>,
    /// Whether what was made is kept. If not, a place is a lock, and holds what was made ahead until it is taken; a program is freed
    /// with the last run that has it.
    keeps: AtomicBool,
}

impl Shared {
    /// From now on keeps every program.
    pub fn keep(&self) {
        self.keeps.store(true, Ordering::Relaxed);
    }

    /// The program with this key: the one that is kept, unless it is not to be `trusted`, or what `make` makes, while nobody
    /// else makes the same one.
    pub fn take<E>(
        &self,
        key: CacheKey,
        trusted: bool,
        make: impl FnOnce() -> Result<(Executable, CacheOutcome), E>,
    ) -> Result<(Arc<Executable>, CacheOutcome), E> {
        let begin = Instant::now();
        let place = self.place(key);
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        let keeps = self.keeps.load(Ordering::Relaxed);
        match place.take().filter(|_| trusted) {
            Some((executable, _)) if keeps => {
                let load_seconds = begin.elapsed().as_secs_f64();
                let outcome = CacheOutcome::Hit { load_seconds, compile_seconds: None };
                *place = Some((Arc::clone(&executable), outcome.clone()));
                return Ok((executable, outcome));
            }
            Some(made_ahead) => return Ok(made_ahead),
            None => {}
        }
        let (executable, outcome) = make()?;
        let executable = Arc::new(executable);
        if keeps {
            *place = Some((Arc::clone(&executable), outcome.clone()));
        }
        Ok((executable, outcome))
    }

    /// Makes the program with this key for whoever takes it next, who waits for it, and makes it where this does not.
    pub fn ahead(&self, key: CacheKey, make: impl FnOnce() -> Option<(Executable, CacheOutcome)>) {
        let place = self.place(key);
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() {
            *place = make().map(|(executable, outcome)| (Arc::new(executable), outcome));
        }
    }

    fn place(&self, key: CacheKey) -> Place {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::compile::{MissReason, testing};

    fn made() -> Result<(Executable, CacheOutcome), Infallible> {
        let outcome = CacheOutcome::Miss { reason: MissReason::Absent, compile_seconds: 1.0 };
        Ok((testing::compile(&testing::client(), testing::DOUBLE), outcome))
    }

    #[test]
    fn what_is_kept_is_given_again_unless_it_is_not_trusted() {
        let (shared, key) = (Shared::default(), CacheKey::of_test(1));
        let Ok((first, _)) = shared.take(key, true, made);
        let Ok((second, _)) = shared.take(key, true, made);
        assert!(!Arc::ptr_eq(&first, &second));
        shared.keep();
        let Ok((third, outcome)) = shared.take(key, true, made);
        assert!(matches!(outcome, CacheOutcome::Miss { .. }));
        let Ok((fourth, outcome)) = shared.take(key, true, || -> Result<_, Infallible> { unreachable!() });
        assert!(Arc::ptr_eq(&third, &fourth) && matches!(outcome, CacheOutcome::Hit { .. }));
        let Ok((fifth, _)) = shared.take(key, false, made);
        assert!(!Arc::ptr_eq(&third, &fifth));
        let Ok((other, _)) = shared.take(CacheKey::of_test(2), true, made);
        assert!(!Arc::ptr_eq(&fifth, &other));
    }

    #[test]
    fn what_is_made_ahead_is_given_once() {
        let (shared, key) = (Shared::default(), CacheKey::of_test(1));
        shared.ahead(key, || made().ok());
        let Ok((first, outcome)) = shared.take(key, true, || -> Result<_, Infallible> { unreachable!() });
        assert!(matches!(outcome, CacheOutcome::Miss { .. }));
        // Nothing else has it.
        assert_eq!(Arc::strong_count(&first), 1);
        let Ok((second, _)) = shared.take(key, true, made);
        assert!(!Arc::ptr_eq(&first, &second));
        shared.ahead(key, || made().ok());
        let Ok((third, _)) = shared.take(key, false, made);
        assert_eq!(Arc::strong_count(&third), 1);
        shared.ahead(key, || None);
        assert!(shared.take(key, true, made).is_ok());
    }

    #[test]
    fn a_program_that_fails_is_made_by_the_next() {
        let (shared, key) = (Shared::default(), CacheKey::of_test(1));
        shared.keep();
        assert!(shared.take(key, true, || Err(3)).is_err_and(|error| error == 3));
        assert!(shared.take(key, true, made).is_ok());
    }
}
