//! Telling a plugin of functions that its programs may call.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::offset_of;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::Called;
use super::frame::entry;
use super::sys::{self, Extension, FfiExtension};
use crate::error::{Code, Error, Result};
use crate::plugin::{Plugin, Session};

/// The platform whose memory is the host's, as XLA calls it.
const HOST: &str = "Host";

/// The functions that were told: the plugin, the name, and the function. XLA keeps the first of a name.
static TOLD: Mutex<Vec<(PathBuf, String, usize)>> = Mutex::new(Vec::new());

thread_local! {
    /// Whether XLA, asking for it while it is told of a function, was given a version that it can have; none if it has not asked.
    static FITS: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Notes that XLA has asked for the version.
pub(super) fn note_version(fits: bool) {
    FITS.set(Some(fits));
}

impl Plugin {
    /// Lets programs for a CPU call a function by a name, from now on and for good.
    ///
    /// # Errors
    /// The plugin has no calls, or of another version than is written here, or the name means another function already.
    pub fn register<H: Called>(&self, name: &str) -> Result<()> {
        let session = Session::new(self);
        let call = "PJRT_FFI_Register_Handler";
        let error = |code, message: &str| {
            let message = message.to_owned();
            Error::Xla { plugin: session.identity.clone(), call, code, message }
        };
        let handler = entry::<H> as *mut c_void;
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        match told.iter().find(|(path, known, _)| path == self.path() && known == name) {
            Some((_, _, known)) if *known == handler.addr() => return Ok(()),
            Some(_) => return Err(error(Code::AlreadyExists, "the name means another function already")),
            None => {}
        }
        FITS.set(None);
        tell(&session, name, handler).map_err(|refused| match refused {
            Some(refused) => refused,
            None => error(Code::Unimplemented, "the plugin has no extension for calls (PJRT_FFI_Extension)"),
        })?;
        // Plugins were seen that say nothing of a version which they refuse.
        if FITS.get() != Some(true) {
            return Err(error(Code::Unimplemented, "the plugin's calls are of another version"));
        }
        told.push((self.path().to_owned(), name.to_owned(), handler.addr()));
        Ok(())
    }
}

/// Tells the plugin; without an error where it has no calls.
fn tell(session: &Session, name: &str, handler: *mut c_void) -> std::result::Result<(), Option<Error>> {
    let call = "PJRT_FFI_Register_Handler";
    let mut extension = session.api().extension_start.cast_const().cast::<Extension>();
    let found = loop {
        if extension.is_null() {
            return Err(None);
        }
        // SAFETY: a plugin's extensions are a list that ends with null and lives as long as the plugin; each begins with the same
        // fields.
        let (size, kind, next) = unsafe { ((*extension).struct_size, (*extension).kind, (*extension).next) };
        if kind == sys::FFI_EXTENSION && size >= size_of::<FfiExtension>() {
            break extension.cast::<FfiExtension>();
        }
        extension = next;
    };
    // SAFETY: it is as long as this struct.
    let register = unsafe { (*found).register_handler }.ok_or(None)?;
    let mut args = sys::RegisterArgs {
        struct_size: offset_of!(sys::RegisterArgs, traits) + size_of::<c_int>(),
        target_name: name.as_ptr().cast(),
        target_name_size: name.len(),
        handler,
        platform_name: HOST.as_ptr().cast(),
        platform_name_size: HOST.len(),
        traits: 0,
    };
    // SAFETY: the struct is filled in. A plugin that wants the older, longer one refuses it by its size.
    let refused = match unsafe { session.called(register, call, &mut args) } {
        Ok(()) => return Ok(()),
        Err(refused) => refused,
    };
    let is_of_size = matches!(&refused, Error::Xla { code: Code::InvalidArgument, message, .. }
        if message.contains("PJRT_FFI_Register_Handler_Args size"));
    if !is_of_size {
        return Err(Some(refused));
    }
    let mut args = sys::OldRegisterArgs {
        struct_size: offset_of!(sys::OldRegisterArgs, traits) + size_of::<c_int>(),
        target_name: name.as_ptr().cast(),
        target_name_size: name.len(),
        // A call with types.
        api_version: 1,
        handler,
        platform_name: HOST.as_ptr().cast(),
        platform_name_size: HOST.len(),
        traits: 0,
    };
    // SAFETY: the struct is filled in, as the older header has it, and the plugin has refused the newer one.
    unsafe {
        let register = std::mem::transmute::<
            sys::Register,
            unsafe extern "C-unwind" fn(*mut sys::OldRegisterArgs) -> *mut crate::sys::Error,
        >(register);
        session.called(register, call, &mut args).map_err(Some)
    }
}
