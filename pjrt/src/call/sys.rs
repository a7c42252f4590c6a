//! The C structs by which XLA calls functions of other programs, after `xla/ffi/api/c_api.h` and
//! `xla/pjrt/c/pjrt_c_api_ffi_extension.h` of the openxla/xla repository.

use std::ffi::{c_char, c_int, c_void};

use crate::sys::{Args, Error, Function, args};

/// `XLA_FFI_API_MAJOR`: another one has other structs.
pub(super) const API_MAJOR: c_int = 0;
/// `XLA_FFI_API_MINOR` that these structs are of.
pub(super) const API_MINOR: c_int = 4;
/// `PJRT_Extension_Type_FFI`.
pub(super) const FFI_EXTENSION: c_int = 5;
/// `XLA_FFI_Extension_Metadata`.
pub(super) const METADATA_EXTENSION: c_int = 1;
/// `XLA_FFI_ExecutionStage_EXECUTE`.
pub(super) const EXECUTE: c_int = 3;
/// `XLA_FFI_Error_Code_INTERNAL`.
pub(super) const INTERNAL: c_int = 13;
/// `XLA_FFI_AttrType_ARRAY`.
pub(super) const ARRAY: c_int = 1;
/// `XLA_FFI_AttrType_STRING`.
pub(super) const STRING: c_int = 4;
/// `XLA_FFI_DataType_S64`.
pub(super) const S64: c_int = 5;

/// `PJRT_Extension_Base`, and `XLA_FFI_InternalExtension`, which is the same.
#[repr(C)]
pub(super) struct Extension {
    pub(super) struct_size: usize,
    pub(super) kind: c_int,
    pub(super) next: *const Extension,
}

/// `PJRT_FFI_Extension`.
#[repr(C)]
pub(super) struct FfiExtension {
    pub(super) base: Extension,
    _type_register: *const c_void,
    _user_data_add: *const c_void,
    pub(super) register_handler: Function<RegisterArgs>,
}

/// `PJRT_FFI_Register_Handler_Args`. Older plugins have a number before the handler, see [`OldRegisterArgs`].
#[repr(C)]
pub(super) struct RegisterArgs {
    pub(super) struct_size: usize,
    pub(super) target_name: *const c_char,
    pub(super) target_name_size: usize,
    pub(super) handler: *mut c_void,
    pub(super) platform_name: *const c_char,
    pub(super) platform_name_size: usize,
    pub(super) traits: c_int,
}

/// `PJRT_FFI_Register_Handler_Args` of the extension's version 2. It is longer, so a plugin that wants it refuses the other.
#[repr(C)]
pub(super) struct OldRegisterArgs {
    pub(super) struct_size: usize,
    pub(super) target_name: *const c_char,
    pub(super) target_name_size: usize,
    pub(super) api_version: c_int,
    pub(super) handler: *mut c_void,
    pub(super) platform_name: *const c_char,
    pub(super) platform_name_size: usize,
    pub(super) traits: c_int,
}

/// `PJRT_FFI_Register_Handler`.
pub(super) type Register = unsafe extern "C-unwind" fn(*mut RegisterArgs) -> *mut Error;

/// `XLA_FFI_Api_Version`.
#[repr(C)]
pub(super) struct Version {
    pub(super) struct_size: usize,
    pub(super) extension_start: *const Extension,
    pub(super) major: c_int,
    pub(super) minor: c_int,
}

/// `XLA_FFI_Metadata`, of which the rest is left as XLA has set it.
#[repr(C)]
pub(super) struct Metadata {
    pub(super) struct_size: usize,
    pub(super) version: Version,
    pub(super) traits: u32,
}

/// `XLA_FFI_Metadata_Extension`.
#[repr(C)]
pub(super) struct MetadataExtension {
    pub(super) base: Extension,
    pub(super) metadata: *mut Metadata,
}

/// An error of XLA's.
#[repr(C)]
pub struct FfiError {
    _opaque: [u8; 0],
}

/// `XLA_FFI_InvokeContext`.
#[repr(C)]
pub(super) struct Context {
    _opaque: [u8; 0],
}

// The arguments of XLA's functions, which begin as those of plugins do.
args! {
    ErrorCreateArgs { message: *const c_char, code: c_int }
    ErrorDestroyArgs { error: *mut FfiError }
    ScheduleArgs { context: *mut Context, task: Option<unsafe extern "C" fn(*mut c_void)>, data: *mut c_void }
    NumThreadsArgs { context: *mut Context, num_threads: *mut i64 }
}

/// `XLA_FFI_Api`, as far as it is read.
#[repr(C)]
pub(super) struct Api {
    pub(super) struct_size: usize,
    _extension_start: *const Extension,
    pub(super) version: Version,
    _internal: *const c_void,
    pub(super) error_create: Option<unsafe extern "C" fn(*mut ErrorCreateArgs) -> *mut FfiError>,
    _error_message: *const c_void,
    pub(super) error_destroy: Option<unsafe extern "C" fn(*mut ErrorDestroyArgs)>,
    _others: [*const c_void; 8],
    pub(super) schedule: Option<unsafe extern "C" fn(*mut ScheduleArgs) -> *mut FfiError>,
    pub(super) num_threads: Option<unsafe extern "C" fn(*mut NumThreadsArgs) -> *mut FfiError>,
}

/// `XLA_FFI_Buffer`.
#[repr(C)]
pub(super) struct Buffer {
    pub(super) struct_size: usize,
    pub(super) extension_start: *const Extension,
    pub(super) dtype: c_int,
    pub(super) data: *mut c_void,
    pub(super) rank: i64,
    pub(super) dims: *const i64,
}

/// `XLA_FFI_Args` and `XLA_FFI_Rets`.
#[repr(C)]
pub(super) struct Buffers {
    pub(super) struct_size: usize,
    pub(super) extension_start: *const Extension,
    pub(super) size: i64,
    /// Buffers are the only type.
    pub(super) types: *const c_int,
    pub(super) buffers: *const *const Buffer,
}

/// `XLA_FFI_ByteSpan`.
#[repr(C)]
pub(super) struct Span {
    pub(super) ptr: *const u8,
    pub(super) len: usize,
}

/// `XLA_FFI_Array`.
#[repr(C)]
pub(super) struct Array {
    pub(super) dtype: c_int,
    pub(super) size: usize,
    pub(super) data: *const c_void,
}

/// `XLA_FFI_Attrs`.
#[repr(C)]
pub(super) struct Attributes {
    pub(super) struct_size: usize,
    pub(super) extension_start: *const Extension,
    pub(super) size: i64,
    pub(super) types: *const c_int,
    pub(super) names: *const *const Span,
    pub(super) values: *const *const c_void,
}

/// `XLA_FFI_CallFrame`.
#[repr(C)]
pub struct CallFrame {
    pub(super) struct_size: usize,
    pub(super) extension_start: *const Extension,
    pub(super) api: *const Api,
    pub(super) context: *mut Context,
    pub(super) stage: c_int,
    pub(super) args: Buffers,
    pub(super) rets: Buffers,
    pub(super) attributes: Attributes,
    pub(super) future: *mut c_void,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn structs_are_as_the_headers_have_them() {
        assert_eq!(size_of::<FfiExtension>(), 48);
        assert_eq!(size_of::<RegisterArgs>(), 56);
        assert_eq!(offset_of!(OldRegisterArgs, handler), 32);
        assert_eq!(offset_of!(Api, error_create), 16 + size_of::<Version>() + 8);
        assert_eq!(offset_of!(Api, schedule), offset_of!(Api, error_create) + 8 * 11);
        assert_eq!(offset_of!(CallFrame, args), 40);
        assert_eq!(size_of::<Buffers>(), 40);
        assert_eq!(size_of::<CallFrame>(), 40 + 40 + 40 + 48 + 8);
        assert_eq!(size_of::<ScheduleArgs>(), 40);
        assert_eq!(size_of::<Buffer>(), 48);
    }
}
