//! Errors of configurations.

use std::path::PathBuf;

use super::Overrides;

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is not JSON.
    #[error("{} is not valid JSON: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The reason, with line and column.
        source: serde_json::Error,
    },
    /// A field is unknown or of the wrong type.
    #[error("{source_name}: at `{path}`: {message}")]
    Field {
        /// The file or override.
        source_name: String,
        /// The path of the field.
        path: String,
        /// What was found and what would be right.
        message: String,
    },
    /// A field is out of range.
    #[error("{source_name}: `{path}` is {value}, but must be {wanted}")]
    Range {
        /// The file or override.
        source_name: String,
        /// The path of the field.
        path: String,
        /// Its value.
        value: String,
        /// What would be right.
        wanted: String,
    },
    /// An override is not of the form `path=value`.
    #[error("{flag} {text}: must be PATH=VALUE, for example {flag} rule.lr=0.1")]
    Override {
        /// The option that gave it.
        flag: String,
        /// The override.
        text: String,
    },
}

impl ConfigError {
    /// The same error, said of the last override that set the field, if one did.
    pub(super) fn blame(mut self, overrides: Overrides<'_>) -> ConfigError {
        if let ConfigError::Field { source_name, path, .. } | ConfigError::Range { source_name, path, .. } =
            &mut self
            && let Some(text) = overrides.setting(path)
        {
            *source_name = format!("{} {text}", overrides.flag);
        } else if let ConfigError::Field { source_name, path, message } = &mut self
            && message.starts_with("unknown field")
            && let Some((section, _)) = path.split_once('.')
            && let Some(text) = overrides.setting(&format!("{section}.kind"))
            && let Some((_, kind)) = text.split_once(".kind=")
        {
            let flag = overrides.flag;
            message.push_str(&format!(
                "; {flag} {text} keeps the other fields of {source_name}; for the defaults of `{kind}` write \
                 {flag} '{section}={{\"kind\": \"{kind}\"}}'"
            ));
        }
        self
    }
}

impl<'a> Overrides<'a> {
    /// The last override of the field at `path`, of something around it or of something inside it.
    pub(crate) fn setting(self, path: &str) -> Option<&'a str> {
        self.texts.iter().rev().find(|text| sets(text, path)).map(String::as_str)
    }
}

/// Whether the override is of the field at `path`, of something around it or of something inside it.
fn sets(text: &str, path: &str) -> bool {
    let inside = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    text.split_once('=').is_some_and(|(set, _)| inside(set, path) || inside(path, set))
}
