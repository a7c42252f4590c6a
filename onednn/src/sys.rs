//! oneDNN's C interface, as far as it is called: `oneapi/dnnl/dnnl.h` and `dnnl_common.h` of version 3.

use std::ffi::{c_char, c_int, c_uint, c_void};

use crate::Element;

/// `dnnl_status_t`; zero is success.
pub(super) type Status = c_int;

/// `dnnl_cpu`.
pub(super) const CPU: c_int = 1;
/// `dnnl_stream_default_flags`.
pub(super) const DEFAULT_STREAM: c_uint = 1;
/// `dnnl_bf16`.
pub(super) const BF16: c_int = 2;
/// `dnnl_f32`.
pub(super) const F32: c_int = 3;

/// `dnnl_data_type_t` of a type.
pub(super) fn data_type(element: Element) -> c_int {
    match element {
        Element::F32 => F32,
        Element::Bf16 => BF16,
    }
}

/// `dnnl_format_tag_any`.
pub(super) const ANY: c_int = 1;
/// `dnnl_forward_training`.
pub(super) const FORWARD_TRAINING: c_int = 64;
/// `dnnl_convolution_direct`.
pub(super) const DIRECT: c_int = 1;
/// `dnnl_scratchpad_mode_user`.
pub(super) const USER_SCRATCHPAD: c_int = 1;
/// `dnnl_query_impl_info_str`.
pub(super) const QUERY_IMPLEMENTATION: c_int = 8;
/// `dnnl_query_weights_md`.
pub(super) const QUERY_WEIGHTS: c_int = 131;
/// `dnnl_query_diff_weights_md`.
pub(super) const QUERY_DIFF_WEIGHTS: c_int = 132;
/// `dnnl_query_scratchpad_md`.
pub(super) const QUERY_SCRATCHPAD: c_int = 136;
/// `DNNL_ARG_SRC`, and of a reorder what is read.
pub(super) const SRC: c_int = 1;
/// `DNNL_ARG_DST`, and of a reorder what is written.
pub(super) const DST: c_int = 17;
/// `DNNL_ARG_WEIGHTS`.
pub(super) const WEIGHTS: c_int = 33;
/// `DNNL_ARG_BIAS`.
pub(super) const BIAS: c_int = 41;
/// `DNNL_ARG_SCRATCHPAD`.
pub(super) const SCRATCHPAD: c_int = 80;
/// `DNNL_ARG_DIFF_SRC`.
pub(super) const DIFF_SRC: c_int = 129;
/// `DNNL_ARG_DIFF_DST`.
pub(super) const DIFF_DST: c_int = 145;
/// `DNNL_ARG_DIFF_WEIGHTS`.
pub(super) const DIFF_WEIGHTS: c_int = 161;
/// `DNNL_ARG_DIFF_BIAS`.
pub(super) const DIFF_BIAS: c_int = 169;

macro_rules! opaque {
    ($($name:ident),* $(,)?) => {$(
        #[repr(C)]
        pub(super) struct $name {
            _opaque: [u8; 0],
        }
    )*};
}

opaque!(Engine, Stream, MemoryDesc, Memory, PrimitiveDesc, Primitive, Attributes);

/// `dnnl_version_t`, its beginning.
#[repr(C)]
pub(super) struct Version {
    pub(super) major: c_int,
    pub(super) minor: c_int,
    pub(super) patch: c_int,
}

/// `dnnl_exec_arg_t`.
#[repr(C)]
pub(super) struct Argument {
    pub(super) index: c_int,
    pub(super) memory: *mut Memory,
}

/// `dnnl_dims_t`.
pub(super) type Dims = [i64; 12];

macro_rules! functions {
    ($($name:ident = $symbol:literal: fn($($arg:ty),* $(,)?) -> $result:ty;)*) => {
        /// The functions of the library.
        pub(super) struct Functions {
            $(pub(super) $name: unsafe extern "C" fn($($arg),*) -> $result,)*
        }

        impl Functions {
            /// Looks each up; else gives the name of one that the library does not have.
            pub(super) fn of(library: &libloading::Library) -> Result<Functions, &'static str> {
                Ok(Functions {$(
                    // SAFETY: the function has this type in version 3 of the library, whose version is looked at before
                    // any other is called.
                    $name: *unsafe { library.get::<unsafe extern "C" fn($($arg),*) -> $result>($symbol.as_bytes()) }
                        .map_err(|_| $symbol)?,
                )*})
            }
        }
    };
}

functions! {
    version = "dnnl_version": fn() -> *const Version;
    engine_create = "dnnl_engine_create": fn(*mut *mut Engine, c_int, usize) -> Status;
    stream_create = "dnnl_stream_create": fn(*mut *mut Stream, *mut Engine, c_uint) -> Status;
    stream_destroy = "dnnl_stream_destroy": fn(*mut Stream) -> Status;
    stream_wait = "dnnl_stream_wait": fn(*mut Stream) -> Status;
    desc_with_strides = "dnnl_memory_desc_create_with_strides":
        fn(*mut *mut MemoryDesc, c_int, *const Dims, c_int, *const Dims) -> Status;
    desc_with_tag = "dnnl_memory_desc_create_with_tag":
        fn(*mut *mut MemoryDesc, c_int, *const Dims, c_int, c_int) -> Status;
    desc_destroy = "dnnl_memory_desc_destroy": fn(*mut MemoryDesc) -> Status;
    desc_size = "dnnl_memory_desc_get_size": fn(*const MemoryDesc) -> usize;
    memory_create = "dnnl_memory_create": fn(*mut *mut Memory, *const MemoryDesc, *mut Engine, *mut c_void) -> Status;
    memory_destroy = "dnnl_memory_destroy": fn(*mut Memory) -> Status;
    forward = "dnnl_convolution_forward_primitive_desc_create": fn(
        *mut *mut PrimitiveDesc, *mut Engine, c_int, c_int,
        *const MemoryDesc, *const MemoryDesc, *const MemoryDesc, *const MemoryDesc,
        *const Dims, *const Dims, *const Dims, *const Dims, *const Attributes,
    ) -> Status;
    backward_data = "dnnl_convolution_backward_data_primitive_desc_create": fn(
        *mut *mut PrimitiveDesc, *mut Engine, c_int,
        *const MemoryDesc, *const MemoryDesc, *const MemoryDesc,
        *const Dims, *const Dims, *const Dims, *const Dims, *const PrimitiveDesc, *const Attributes,
    ) -> Status;
    backward_weights = "dnnl_convolution_backward_weights_primitive_desc_create": fn(
        *mut *mut PrimitiveDesc, *mut Engine, c_int,
        *const MemoryDesc, *const MemoryDesc, *const MemoryDesc, *const MemoryDesc,
        *const Dims, *const Dims, *const Dims, *const Dims, *const PrimitiveDesc, *const Attributes,
    ) -> Status;
    matmul = "dnnl_matmul_primitive_desc_create": fn(
        *mut *mut PrimitiveDesc, *mut Engine,
        *const MemoryDesc, *const MemoryDesc, *const MemoryDesc, *const MemoryDesc, *const Attributes,
    ) -> Status;
    reorder = "dnnl_reorder_primitive_desc_create": fn(
        *mut *mut PrimitiveDesc, *const MemoryDesc, *mut Engine, *const MemoryDesc, *mut Engine, *const Attributes,
    ) -> Status;
    query = "dnnl_primitive_desc_query": fn(*const PrimitiveDesc, c_int, c_int, *mut c_void) -> Status;
    query_desc = "dnnl_primitive_desc_query_md": fn(*const PrimitiveDesc, c_int, c_int) -> *const MemoryDesc;
    primitive_desc_destroy = "dnnl_primitive_desc_destroy": fn(*mut PrimitiveDesc) -> Status;
    primitive_create = "dnnl_primitive_create": fn(*mut *mut Primitive, *const PrimitiveDesc) -> Status;
    primitive_destroy = "dnnl_primitive_destroy": fn(*mut Primitive) -> Status;
    primitive_execute = "dnnl_primitive_execute":
        fn(*const Primitive, *mut Stream, c_int, *const Argument) -> Status;
    attributes_create = "dnnl_primitive_attr_create": fn(*mut *mut Attributes) -> Status;
    attributes_destroy = "dnnl_primitive_attr_destroy": fn(*mut Attributes) -> Status;
    set_scratchpad_mode = "dnnl_primitive_attr_set_scratchpad_mode": fn(*mut Attributes, c_int) -> Status;
}

/// `omp_get_max_threads` and `omp_set_num_threads`, of the threads that the library was built with.
#[derive(Clone, Copy)]
pub(super) struct Threads {
    pub(super) get: unsafe extern "C" fn() -> c_int,
    pub(super) set: unsafe extern "C" fn(c_int),
}

impl Threads {
    /// Those that the library, or one that it needs, has; none where it was built with others.
    pub(super) fn of(library: &libloading::Library) -> Option<Threads> {
        // SAFETY: the functions have these types in every OpenMP.
        unsafe {
            Some(Threads {
                get: *library.get(b"omp_get_max_threads\0").ok()?,
                set: *library.get(b"omp_set_num_threads\0").ok()?,
            })
        }
    }
}

/// A text of the library's.
///
/// # Safety
/// It is null or ends with a zero, and lives for so long.
pub(super) unsafe fn text<'a>(start: *const c_char) -> &'a str {
    if start.is_null() {
        return "";
    }
    // SAFETY: the caller's promise.
    unsafe { std::ffi::CStr::from_ptr(start) }.to_str().unwrap_or_default()
}
