//! What plugins read from the environment.

use std::env::VarError;
use std::ffi::OsString;
use std::process::Command;
use std::sync::OnceLock;

/// The variable by which XLA is given flags.
const FLAGS: &str = "XLA_FLAGS";

/// What it was before natgrad added to it.
static GIVEN_FLAGS: OnceLock<Option<OsString>> = OnceLock::new();

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

/// Gives XLA a flag by the variable `XLA_FLAGS`, unless the user has set that flag there or keeps flags in a file.
///
/// Call it before anything has started a thread, and before the plugin is opened: a flag that XLA does not know ends the
/// process.
pub fn default_xla_flag(name: &str, value: &str) {
    let given = match std::env::var(FLAGS) {
        Ok(given) => given,
        Err(VarError::NotPresent) => String::new(),
        Err(VarError::NotUnicode(_)) => return,
    };
    if let Some(flags) = with_flag(&given, name, value) {
        GIVEN_FLAGS.get_or_init(|| std::env::var_os(FLAGS));
        // SAFETY: before the plugin is opened nothing reads the environment but the standard library, which locks it.
        unsafe { std::env::set_var(FLAGS, flags) };
    }
}

/// Starts this command with the flags of XLA that the user gave, without those of [`default_xla_flag`].
pub fn with_given_xla_flags(command: &mut Command) -> &mut Command {
    match GIVEN_FLAGS.get() {
        None => command,
        Some(None) => command.env_remove(FLAGS),
        Some(Some(flags)) => command.env(FLAGS, flags),
    }
}

/// Flags with one more; none if it is among them, or if they are the name of a file.
fn with_flag(given: &str, name: &str, value: &str) -> Option<String> {
    let is_file = !given.trim().is_empty() && !given.trim_start().starts_with('-');
    let flags = || given.split_whitespace().map(|flag| flag.trim_start_matches('-'));
    let is_given = flags().any(|flag| flag.split('=').next() == Some(name));
    (!is_file && !is_given).then(|| format!("{given} --{name}={value}").trim().to_owned())
}

/// Leaves only warnings and errors in the log that XLA writes to stderr, unless the user has chosen a level.
///
/// Call it first in `main`: XLA reads the level when a plugin is opened.
pub fn quiet_log() {
    default_environment(&[("TF_CPP_MIN_LOG_LEVEL", "1")]);
}

#[cfg(test)]
mod tests {
    use super::with_flag;

    #[test]
    fn a_flag_is_added_unless_the_user_has_chosen() {
        let with = |given: &str| with_flag(given, "xla_fast", "false");
        assert_eq!(with("").as_deref(), Some("--xla_fast=false"));
        assert_eq!(with("--xla_faster=1").as_deref(), Some("--xla_faster=1 --xla_fast=false"));
        assert_eq!(with("--a=1 --xla_fast=true"), None);
        assert_eq!(with("-xla_fast"), None);
        assert_eq!(with("flags.txt"), None);
    }
}
