//! Errors of natgrad's as the package's own.

use std::error::Error;
use std::fmt::Write;

use pyo3::prelude::*;

mod imported {
    pyo3::import_exception!(natgrad._errors, Error);
}

/// An error with what caused it.
pub fn raised(error: impl Error) -> PyErr {
    wrong(message(error))
}

/// An error with what caused it, as one message.
pub fn message(error: impl Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some messages have their cause's in them.
        let text = error.to_string();
        if !message.contains(&text) {
            let _ = write!(message, ": {text}");
        }
        cause = error.source();
    }
    message
}

/// A mistake in an argument.
pub fn wrong(message: impl Into<String>) -> PyErr {
    imported::Error::new_err(message.into())
}
