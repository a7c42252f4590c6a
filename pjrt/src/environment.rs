//! What plugins read from the environment.

/// Other threads run, so the environment of the process cannot be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the environment variable {name} cannot be set to {value}: other threads run; set it before this program starts"
)]
pub struct NotAlone {
    /// The variable.
    pub name: &'static str,
    /// The value that it should have.
    pub value: &'static str,
}

/// Sets each of these variables that the user has not set. Plugins read them when they are opened.
///
/// # Errors
/// Other threads run, or may: they could be reading the environment. Then the variables that are named stay as they are.
pub fn default_environment(variables: &[(&'static str, &'static str)]) -> Result<(), NotAlone> {
    for &(name, value) in variables {
        if std::env::var_os(name).is_some() {
            continue;
        }
        if !is_alone() {
            return Err(NotAlone { name, value });
        }
        // SAFETY: no other thread runs that could read the environment or start one.
        unsafe { std::env::set_var(name, value) };
    }
    Ok(())
}

/// Whether the calling thread is the only one of the process, as far as the system tells.
pub(super) fn is_alone() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

/// What says which messages of XLA's log are left out: 0 none, 1 information, 2 warnings too.
pub const LOG_LEVEL: &str = "TF_CPP_MIN_LOG_LEVEL";

/// Leaves only errors in the log that XLA writes to stderr, unless the user has chosen a level by [`LOG_LEVEL`].
///
/// Call it first in `main`: XLA reads the level when a plugin is opened, and where other threads run the log stays as it
/// is.
pub fn quiet_log() {
    // More words in the log are no reason to stop.
    default_environment(&[(LOG_LEVEL, "2")]).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_other_threads_the_environment_stays_as_it_is() {
        const NAME: &str = "PJRT_TEST_VARIABLE";
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        assert!(!is_alone());
        assert_eq!(default_environment(&[(NAME, "1")]), Err(NotAlone { name: NAME, value: "1" }));
        assert_eq!(std::env::var_os(NAME), None);
        // What is set already needs no change.
        assert_eq!(default_environment(&[("PATH", "1")]), Ok(()));
        drop(end);
        assert!(other.join().unwrap().is_err());
    }
}
