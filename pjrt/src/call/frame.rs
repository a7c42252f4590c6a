//! What XLA gives a function that it calls, as slices.

use std::any::Any;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use super::register::note_version;
use super::sys::{self, CallFrame, FfiError};
use super::{Called, Threads};
use crate::sys::Args;

/// One call of a function of this program.
#[derive(Debug)]
pub struct Call<'a> {
    /// The operands, row by row.
    pub arguments: Vec<Argument<'a>>,
    /// Where the results go, row by row.
    pub results: Vec<Output<'a>>,
    attributes: Vec<(&'a str, Attribute<'a>)>,
    /// The threads that may help.
    pub threads: Threads<'a>,
}

/// An operand of a call.
#[derive(Clone, Copy, Debug)]
pub struct Argument<'a> {
    /// Its dimensions.
    pub dims: &'a [i64],
    /// Its elements.
    pub bytes: &'a [u8],
    /// How many bytes an element has.
    pub element_bytes: usize,
}

/// A result of a call.
#[derive(Debug)]
pub struct Output<'a> {
    /// Its dimensions.
    pub dims: &'a [i64],
    /// Its elements, which are any numbers before the call.
    pub bytes: &'a mut [u8],
    /// How many bytes an element has.
    pub element_bytes: usize,
}

/// An attribute of the operation that calls (`backend_config`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute<'a> {
    /// `array<i64: ...>`.
    Numbers(&'a [i64]),
    /// A text.
    Text(&'a str),
}

impl<'a> Call<'a> {
    /// The numbers of this name.
    ///
    /// # Errors
    /// There are none.
    pub fn numbers(&self, name: &str) -> Result<&'a [i64], String> {
        match self.attribute(name) {
            Some(Attribute::Numbers(numbers)) => Ok(numbers),
            _ => Err(format!("a call has no numbers `{name}`")),
        }
    }

    /// The text of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn text(&self, name: &str) -> Result<&'a str, String> {
        match self.attribute(name) {
            Some(Attribute::Text(text)) => Ok(text),
            _ => Err(format!("a call has no text `{name}`")),
        }
    }

    fn attribute(&self, name: &str) -> Option<Attribute<'a>> {
        self.attributes.iter().find(|(known, _)| *known == name).map(|(_, attribute)| *attribute)
    }
}

/// Calls `H`: the function that XLA is given.
///
/// # Safety
/// XLA calls it, with a frame as `xla/ffi/api/c_api.h` has it, whose buffers are the host's memory.
pub(super) unsafe extern "C" fn entry<H: Called>(frame: *mut CallFrame) -> *mut FfiError {
    // SAFETY: the frame is XLA's, alive for this call, and only read but for what its metadata and results are for.
    let frame = unsafe { &*frame };
    // SAFETY: as above.
    if unsafe { tell_version(frame) } || frame.stage != sys::EXECUTE {
        return ptr::null_mut();
    }
    // SAFETY: this is the execution of a call, so its buffers hold what they are to hold.
    let called = catch_unwind(AssertUnwindSafe(|| H::call(unsafe { read(frame) }?)));
    match called.unwrap_or_else(|panic| Err(in_words(&*panic))) {
        Ok(()) => ptr::null_mut(),
        // SAFETY: the frame is XLA's.
        Err(message) => unsafe { error(frame, &message) },
    }
}

/// Whether XLA asked only for which version of the interface this is written.
///
/// # Safety
/// The frame is XLA's.
unsafe fn tell_version(frame: &CallFrame) -> bool {
    let mut extension = frame.extension_start;
    while !extension.is_null() {
        // SAFETY: extensions are a list that ends with null; each begins with the same fields.
        let (kind, next) = unsafe { ((*extension).kind, (*extension).next) };
        if kind == sys::METADATA_EXTENSION {
            // SAFETY: the table, if there is one, begins with its version.
            let version = unsafe { frame.api.as_ref() }.map(|api| (api.version.major, api.version.minor));
            if let Some((sys::API_MAJOR, minor)) = version {
                // SAFETY: of this kind they have metadata, which is to be written.
                unsafe {
                    let metadata = (*extension.cast::<sys::MetadataExtension>()).metadata;
                    (*metadata).version.major = sys::API_MAJOR;
                    // Older ones have fewer functions, none of which are used here without looking.
                    (*metadata).version.minor = minor.min(sys::API_MINOR);
                    (*metadata).traits = 0;
                }
            }
            // XLA of before this version of calls tells no table here.
            note_version(matches!(version, Some((sys::API_MAJOR, _))));
            return true;
        }
        extension = next;
    }
    false
}

/// The call that a frame tells.
///
/// # Safety
/// The frame is XLA's, of an execution, and alive for `'a`; nothing else reads or writes its results for so long.
unsafe fn read<'a>(frame: &'a CallFrame) -> Result<Call<'a>, String> {
    let mut arguments = Vec::new();
    let mut results = Vec::new();
    let mut attributes = Vec::new();
    // SAFETY: lists are as long as they say, and what they point to lives as long as the frame.
    unsafe {
        for &buffer in slice(frame.args.buffers, frame.args.size)? {
            let (dims, data, size, element_bytes) = extent(&*buffer)?;
            let bytes = if size == 0 { &[] } else { std::slice::from_raw_parts(data, size) };
            arguments.push(Argument { dims, bytes, element_bytes });
        }
        for &buffer in slice(frame.rets.buffers, frame.rets.size)? {
            let (dims, data, size, element_bytes) = extent(&*buffer)?;
            let bytes = if size == 0 { &mut [] } else { std::slice::from_raw_parts_mut(data, size) };
            results.push(Output { dims, bytes, element_bytes });
        }
        let told = &frame.attributes;
        let (types, values) = (slice(told.types, told.size)?, slice(told.values, told.size)?);
        for ((&name, &kind), &value) in slice(told.names, told.size)?.iter().zip(types).zip(values) {
            attributes.extend(attribute(kind, value)?.map(|value| (text(&*name), value)));
        }
        Ok(Call { arguments, results, attributes, threads: Threads::of(frame) })
    }
}

/// # Safety
/// `start` is null or the start of so many elements, alive for `'a`.
unsafe fn slice<'a, T>(start: *const T, size: i64) -> Result<&'a [T], String> {
    match usize::try_from(size) {
        Ok(0) => Ok(&[]),
        // SAFETY: the caller's promise.
        Ok(size) if !start.is_null() => Ok(unsafe { std::slice::from_raw_parts(start, size) }),
        _ => Err(format!("XLA gave a list of {size} elements")),
    }
}

/// The dimensions of a buffer, its memory, and how many bytes that and an element have.
///
/// # Safety
/// The buffer is XLA's, alive as long as it is used.
unsafe fn extent(buffer: &sys::Buffer) -> Result<(&[i64], *mut u8, usize, usize), String> {
    // SAFETY: it has so many dimensions.
    let dims = unsafe { slice(buffer.dims, buffer.rank) }?;
    let each = match buffer.dtype {
        // `XLA_FFI_DataType`: predicates and bytes, halves, words.
        1 | 2 | 6 => 1,
        3 | 7 | 10 | 16 => 2,
        4 | 8 | 11 => 4,
        5 | 9 | 12 => 8,
        other => return Err(format!("XLA gave elements of type {other}")),
    };
    let bytes =
        dims.iter().try_fold(each, |bytes: usize, &dim| bytes.checked_mul(usize::try_from(dim).ok()?));
    let bytes = bytes.ok_or_else(|| format!("XLA gave a buffer of dimensions {dims:?}"))?;
    if buffer.data.is_null() && bytes > 0 {
        return Err("XLA gave a buffer without memory".to_owned());
    }
    Ok((dims, buffer.data.cast(), bytes, each))
}

/// An attribute, of those that are read.
///
/// # Safety
/// `value` is of this kind, XLA's, and alive for `'a`.
unsafe fn attribute<'a>(
    kind: std::ffi::c_int,
    value: *const std::ffi::c_void,
) -> Result<Option<Attribute<'a>>, String> {
    // SAFETY: the kind says what it is.
    unsafe {
        Ok(match kind {
            sys::ARRAY => {
                let array = &*value.cast::<sys::Array>();
                let size = i64::try_from(array.size).unwrap_or(-1);
                let is_integers = array.dtype == sys::S64;
                is_integers.then(|| slice(array.data.cast(), size)).transpose()?.map(Attribute::Numbers)
            }
            sys::STRING => Some(Attribute::Text(text(&*value.cast::<sys::Span>()))),
            _ => None,
        })
    }
}

/// # Safety
/// The span is XLA's.
unsafe fn text(span: &sys::Span) -> &str {
    // SAFETY: it has so many bytes.
    let bytes = unsafe { slice(span.ptr, span.len as i64) }.unwrap_or_default();
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// XLA's error of this message.
///
/// # Safety
/// The frame is XLA's.
unsafe fn error(frame: &CallFrame, message: &str) -> *mut FfiError {
    let message = CString::new(message.replace('\0', " ")).unwrap_or_default();
    let mut args = sys::ErrorCreateArgs::new();
    (args.message, args.code) = (message.as_ptr(), sys::INTERNAL);
    // SAFETY: every version of the table has this function, which copies the message.
    unsafe { (*frame.api).error_create.map_or(ptr::null_mut(), |create| create(&raw mut args)) }
}

/// What a panic said.
pub(super) fn in_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a panic: {}", text.unwrap_or("without words"))
}
