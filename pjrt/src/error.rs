//! What can go wrong between a program and a plugin.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::plugin::ApiVersion;
use super::sys::{self, Args};

/// The result of a PJRT operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Who answered: a plugin's path, and its versions as far as they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The shared library.
    pub path: PathBuf,
    /// The version of the PJRT API it was built with.
    pub api_version: ApiVersion,
    /// The platform's name and version, once a client exists.
    pub platform: Option<(String, String)>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PJRT plugin {} (API {}", self.path.display(), self.api_version)?;
        if let Some((name, version)) = &self.platform {
            write!(f, ", platform {name}, version {version:?}")?;
        }
        f.write_str(")")
    }
}

/// The kind of an error that XLA reports; the numbers are those of absl's status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The operation was cancelled.
    Cancelled,
    /// Nothing more is known.
    Unknown,
    /// The caller's argument is wrong whatever the state.
    InvalidArgument,
    /// Time ran out.
    DeadlineExceeded,
    /// Something asked for is not there.
    NotFound,
    /// Something to be made is there already.
    AlreadyExists,
    /// The caller may not do this.
    PermissionDenied,
    /// Out of memory or of another resource.
    ResourceExhausted,
    /// The state does not allow it.
    FailedPrecondition,
    /// The operation was given up.
    Aborted,
    /// Past a valid range.
    OutOfRange,
    /// The plugin does not have this operation.
    Unimplemented,
    /// An invariant of XLA broke.
    Internal,
    /// The service is not there at the moment.
    Unavailable,
    /// Data is lost or broken.
    DataLoss,
    /// The caller is not known.
    Unauthenticated,
    /// A number that the API does not list.
    Other(i32),
}

impl Code {
    pub(super) fn from_number(number: i32) -> Code {
        match number {
            1 => Code::Cancelled,
            2 => Code::Unknown,
            3 => Code::InvalidArgument,
            4 => Code::DeadlineExceeded,
            5 => Code::NotFound,
            6 => Code::AlreadyExists,
            7 => Code::PermissionDenied,
            8 => Code::ResourceExhausted,
            9 => Code::FailedPrecondition,
            10 => Code::Aborted,
            11 => Code::OutOfRange,
            12 => Code::Unimplemented,
            13 => Code::Internal,
            14 => Code::Unavailable,
            15 => Code::DataLoss,
            16 => Code::Unauthenticated,
            other => Code::Other(other),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Code::Cancelled => f.write_str("CANCELLED"),
            Code::Unknown => f.write_str("UNKNOWN"),
            Code::InvalidArgument => f.write_str("INVALID_ARGUMENT"),
            Code::DeadlineExceeded => f.write_str("DEADLINE_EXCEEDED"),
            Code::NotFound => f.write_str("NOT_FOUND"),
            Code::AlreadyExists => f.write_str("ALREADY_EXISTS"),
            Code::PermissionDenied => f.write_str("PERMISSION_DENIED"),
            Code::ResourceExhausted => f.write_str("RESOURCE_EXHAUSTED"),
            Code::FailedPrecondition => f.write_str("FAILED_PRECONDITION"),
            Code::Aborted => f.write_str("ABORTED"),
            Code::OutOfRange => f.write_str("OUT_OF_RANGE"),
            Code::Unimplemented => f.write_str("UNIMPLEMENTED"),
            Code::Internal => f.write_str("INTERNAL"),
            Code::Unavailable => f.write_str("UNAVAILABLE"),
            Code::DataLoss => f.write_str("DATA_LOSS"),
            Code::Unauthenticated => f.write_str("UNAUTHENTICATED"),
            Code::Other(number) => write!(f, "code {number}"),
        }
    }
}

/// An error of a plugin, or of a call to it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no readable file at the path.
    #[error("PJRT plugin {}: the file cannot be read: {reason}", path.display())]
    Missing {
        /// The path asked for.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The file cannot be loaded as a shared library.
    #[error("PJRT plugin {}: cannot be loaded: {reason}; the file is {found}, and should be {wanted}",
        path.display())]
    NotLoadable {
        /// The path asked for.
        path: PathBuf,
        /// What the dynamic linker said.
        reason: String,
        /// What the file looks like.
        found: String,
        /// What this machine can load.
        wanted: String,
    },
    /// The library is not a PJRT plugin.
    #[error("PJRT plugin {}: the library has no function GetPjrtApi, so it is not a PJRT plugin ({reason})",
        path.display())]
    NoEntryPoint {
        /// The path asked for.
        path: PathBuf,
        /// What the dynamic linker said.
        reason: String,
    },
    /// The plugin's API version is not one that is spoken here.
    #[error("{plugin}: this version of the PJRT API does not fit: {reason}")]
    Version {
        /// The plugin.
        plugin: Arc<Identity>,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// XLA reported an error.
    #[error("{plugin}: {call}: {code}: {message}")]
    Xla {
        /// The plugin.
        plugin: Arc<Identity>,
        /// The function that failed.
        call: &'static str,
        /// The error's kind.
        code: Code,
        /// XLA's own words.
        message: String,
    },
    /// A call was given something that does not fit, or the plugin answered so.
    #[error("{plugin}: {reason}")]
    Unfit {
        /// The plugin.
        plugin: Arc<Identity>,
        /// The value and what would be right.
        reason: String,
    },
}

impl Error {
    /// The kind of the error, where XLA reported it.
    pub fn code(&self) -> Option<Code> {
        match self {
            Error::Xla { code, .. } => Some(*code),
            Error::Missing { .. }
            | Error::NotLoadable { .. }
            | Error::NoEntryPoint { .. }
            | Error::Version { .. }
            | Error::Unfit { .. } => None,
        }
    }
}

/// Takes over an error of the plugin: reads its code and message and frees it.
///
/// # Safety
/// `api` must be the table of the plugin that made `error`, and `error` must not be used again.
pub(super) unsafe fn take(api: &sys::Api, error: *mut sys::Error) -> (Code, String) {
    let mut message = String::from("(no message)");
    if let Some(get_message) = api.error_message {
        let mut args = sys::ErrorMessageArgs::new();
        args.error = error;
        // SAFETY: the caller passes a live error of this plugin, and the struct is filled in as the API asks.
        unsafe { get_message(&mut args) };
        // SAFETY: the message is owned by the error, which lives until it is destroyed below.
        message =
            unsafe { text(args.message, args.message_size) }.unwrap_or_else(|absurd| absurd.to_string());
    }
    let mut code = Code::Unknown;
    if let Some(get_code) = api.error_get_code {
        let mut args = sys::ErrorGetCodeArgs::new();
        args.error = error;
        // SAFETY: as above.
        let failure = unsafe { get_code(&mut args) };
        if failure.is_null() {
            code = Code::from_number(args.code);
        } else {
            // SAFETY: this error, too, was just returned, and is used nowhere else.
            unsafe { destroy(api, failure) };
        }
    }
    // SAFETY: as above; nothing uses the error after this.
    unsafe { destroy(api, error) };
    (code, message)
}

/// Frees an error of the plugin.
///
/// # Safety
/// As [`take`].
unsafe fn destroy(api: &sys::Api, error: *mut sys::Error) {
    if let Some(destroy) = api.error_destroy {
        let mut args = sys::ErrorDestroyArgs::new();
        args.error = error;
        // SAFETY: the caller passes a live error of this plugin and does not use it again.
        unsafe { destroy(&mut args) };
    }
}

/// Copies a C text of known length.
///
/// # Safety
/// `start` must be null or point at `size` readable bytes.
pub(super) unsafe fn text(start: *const std::ffi::c_char, size: usize) -> Told<String> {
    // SAFETY: the caller's promise.
    Ok(String::from_utf8_lossy(unsafe { slice(start.cast(), size) }?).into_owned())
}

/// Borrows an array that a plugin describes by pointer and count; empty where either is null.
///
/// # Safety
/// `start` must be null or point at `count` valid values that outlive `'a`, unless that is [`Absurd`].
pub(super) unsafe fn slice<'a, T>(start: *const T, count: usize) -> Told<&'a [T]> {
    if start.is_null() || count == 0 {
        return Ok(&[]);
    }
    check_count::<T>(count)?;
    // SAFETY: the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(start, count) })
}

/// More bytes than any list of a plugin has.
const MOST_BYTES: usize = 1 << 40;

/// What a plugin tells, unless it is absurd.
pub(super) type Told<T> = std::result::Result<T, Absurd>;

/// A size that no plugin means. What it would be of is neither read nor given memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it tells of a list of {count} values of {size} bytes each, which cannot be")]
pub(super) struct Absurd {
    /// How many values.
    pub count: usize,
    /// The size of one.
    pub size: usize,
}

/// An error where so many values cannot be meant.
pub(super) fn check_count<T>(count: usize) -> Told<()> {
    let size = size_of::<T>();
    if count.checked_mul(size).is_some_and(|bytes| bytes <= MOST_BYTES) {
        return Ok(());
    }
    Err(Absurd { count, size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, fake};

    #[test]
    fn absurd_counts_are_not_followed() {
        let words = [7_u64];
        // SAFETY: one value is there, and an absurd count is refused before anything is read.
        let read = |count| unsafe { slice(words.as_ptr(), count) };
        assert_eq!(read(1), Ok(&words[..]));
        for count in [1 << 38, 1 << 60, usize::MAX] {
            assert_eq!(read(count), Err(Absurd { count, size: 8 }));
        }
        // SAFETY: a null pointer is no list, however long.
        assert_eq!(unsafe { text(std::ptr::null(), 1 << 60) }, Ok(String::new()));
    }

    #[test]
    fn an_error_of_asking_for_the_code_is_freed_with_the_error() {
        let client = fake::client();
        let executable = testing::compile(&client, "");
        fake::state(|state| state.run_fails = true);
        assert_eq!(executable.execute([]).unwrap_err().code(), Some(Code::Internal));
        fake::state(|state| state.code_fails = true);
        assert_eq!(executable.execute([]).unwrap_err().code(), Some(Code::Unknown));
        assert_eq!(fake::live("error"), 0);
    }
}
