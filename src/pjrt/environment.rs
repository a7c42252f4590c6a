//! What plugins read from the environment.

/// Sets each of these variables that the user has not set.
///
/// Call it before anything has started a thread, and before the plugin that reads them is opened.
pub fn default_environment(variables: &[(&str, &str)]) {
    for (name, value) in variables {
        if std::env::var_os(name).is_none() {
            // SAFETY: called before any other thread that could read the environment.
            unsafe { std::env::set_var(name, value) };
        }
    }
}

/// Leaves only warnings and errors in the log that XLA writes to stderr, unless the user has chosen a level.
///
/// Call it first in `main`: XLA reads the level when a plugin is opened.
pub fn quiet_log() {
    default_environment(&[("TF_CPP_MIN_LOG_LEVEL", "1")]);
}
