//! The log that XLA itself writes to stderr.

/// Leaves only warnings and errors in the log that XLA writes to stderr, unless the user has chosen a level.
///
/// Call it first in `main`: XLA reads the level when a plugin is opened.
pub fn quiet_log() {
    const LEVEL: &str = "TF_CPP_MIN_LOG_LEVEL";
    if std::env::var_os(LEVEL).is_none() {
        // SAFETY: called at the start of `main`, before any other thread that could read the environment.
        unsafe { std::env::set_var(LEVEL, "1") };
    }
}
