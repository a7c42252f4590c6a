//! Telling a plugin of functions that its programs may call.

use std::ffi::c_void;

use super::Called;
use super::frame::entry;
use super::sys::{self, Extension, FfiExtension};
use crate::error::{Code, Error, Result};
use crate::plugin::{Plugin, Session};

impl Plugin {
    /// Lets programs on the platform of this name (`Host` is the CPU's) call a function by a name, from now on and for good. A
    /// name told before means this function from now on, in programs that are compiled or loaded afterwards.
    ///
    /// # Errors
    /// The plugin has no calls, or of another version than is written here.
    pub fn register<H: Called>(&self, name: &str, platform: &str) -> Result<()> {
        let session = Session::new(self);
        let call = "PJRT_FFI_Register_Handler";
        let lacks = || {
            let message = "the plugin has no extension for calls (PJRT_FFI_Extension)".to_owned();
            Error::Xla { plugin: session.identity.clone(), call, code: Code::Unimplemented, message }
        };
        let mut extension = session.api().extension_start.cast_const().cast::<Extension>();
        let found = loop {
            if extension.is_null() {
                return Err(lacks());
            }
            // SAFETY: a plugin's extensions are a list that ends with null and lives as long as the plugin; each begins with
            // the same fields.
            let (size, kind, next) =
                unsafe { ((*extension).struct_size, (*extension).kind, (*extension).next) };
            if kind == sys::FFI_EXTENSION && size >= size_of::<FfiExtension>() {
                break extension.cast::<FfiExtension>();
            }
            extension = next;
        };
        // SAFETY: it is as long as this struct.
        let register = unsafe { (*found).register_handler }.ok_or_else(lacks)?;
        let handler = entry::<H> as *mut c_void;
        let mut args = sys::RegisterArgs {
            struct_size: std::mem::offset_of!(sys::RegisterArgs, traits) + size_of::<std::ffi::c_int>(),
            target_name: name.as_ptr().cast(),
            target_name_size: name.len(),
            handler,
            platform_name: platform.as_ptr().cast(),
            platform_name_size: platform.len(),
            traits: 0,
        };
        // SAFETY: the struct is filled in. A plugin that wants the older, longer one refuses it by its size.
        let refused = match unsafe { session.called(register, call, &mut args) } {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        let mut args = sys::OldRegisterArgs {
            struct_size: std::mem::offset_of!(sys::OldRegisterArgs, traits) + size_of::<std::ffi::c_int>(),
            target_name: name.as_ptr().cast(),
            target_name_size: name.len(),
            // A call with types.
            api_version: 1,
            handler,
            platform_name: platform.as_ptr().cast(),
            platform_name_size: platform.len(),
            traits: 0,
        };
        // SAFETY: the struct is filled in, as the older header has it.
        unsafe {
            let register = std::mem::transmute::<
                sys::Register,
                unsafe extern "C-unwind" fn(*mut sys::OldRegisterArgs) -> *mut crate::sys::Error,
            >(register);
            session.called(register, call, &mut args).map_err(|_| refused)
        }
    }
}
