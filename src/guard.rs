//! Calls of other people's code, which ends in a panic over some files: then there is an error instead.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread becomes an error, so that nothing is to be printed.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Makes panics silent where they become errors, once.
static SILENCE: Once = Once::new();

/// What the call gives, or what it panicked over.
pub(crate) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    SILENCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_GUARDED.get() {
                before(info);
            }
        }));
    });
    let was = IS_GUARDED.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(call));
    IS_GUARDED.set(was);
    outcome.map_err(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string));
        text.unwrap_or_else(|| "it gave up without a reason".to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::guarded;

    #[test]
    fn a_panic_becomes_an_error() {
        assert_eq!(guarded(|| 3), Ok(3));
        assert_eq!(guarded(|| -> u8 { panic!("no {}", 5) }), Err("no 5".to_string()));
        assert_eq!(guarded(|| -> u8 { panic!("no") }), Err("no".to_string()));
    }
}
