//! oneDNN's handles, each freed when it is dropped.

use std::cell::RefCell;
use std::ffi::c_int;
use std::fmt::Debug;
use std::ptr;

use crate::sys::{self, Dims};
use crate::{Error, Library};

/// How the elements of a tensor lie.
pub(super) struct Desc {
    library: &'static Library,
    pub(super) raw: *mut sys::MemoryDesc,
}

impl Drop for Desc {
    fn drop(&mut self) {
        // SAFETY: it was made by this library and is used nowhere else.
        unsafe { (self.library.functions.desc_destroy)(self.raw) };
    }
}

/// oneDNN's fixed list of sizes.
pub(super) fn dims(sizes: &[usize]) -> Dims {
    let mut dims = [0; 12];
    for (dim, &size) in dims.iter_mut().zip(sizes) {
        *dim = size as i64;
    }
    dims
}

impl Desc {
    /// A tensor with these strides; without, as oneDNN likes it best.
    pub(super) fn new(
        library: &'static Library,
        of: &dyn Debug,
        sizes: &[usize],
        element: c_int,
        strides: Option<&[usize]>,
    ) -> Result<Desc, Error> {
        let rank = sizes.len() as c_int;
        let (sizes, mut raw) = (dims(sizes), ptr::null_mut());
        let functions = &library.functions;
        // SAFETY: lists are as long as oneDNN has them; the handle goes to this place.
        let (call, status) = unsafe {
            match strides.map(dims) {
                Some(strides) => (
                    "dnnl_memory_desc_create_with_strides",
                    (functions.desc_with_strides)(
                        &raw mut raw,
                        rank,
                        &raw const sizes,
                        element,
                        &raw const strides,
                    ),
                ),
                None => (
                    "dnnl_memory_desc_create_with_tag",
                    (functions.desc_with_tag)(&raw mut raw, rank, &raw const sizes, element, sys::ANY),
                ),
            }
        };
        library.check(of, call, status)?;
        Ok(Desc { library, raw })
    }
}

/// How code is to be made: with scratch that its caller gives.
pub(super) struct Attributes(&'static Library, *mut sys::Attributes);

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: they were made by this library and are used nowhere else.
        unsafe { (self.0.functions.attributes_destroy)(self.1) };
    }
}

impl Attributes {
    pub(super) fn new(library: &'static Library, of: &dyn Debug) -> Result<Attributes, Error> {
        let mut attributes = Attributes(library, ptr::null_mut());
        let functions = &library.functions;
        // SAFETY: the handle goes to this place, and then is alive.
        library.check(of, "dnnl_primitive_attr_create", unsafe {
            (functions.attributes_create)(&raw mut attributes.1)
        })?;
        // SAFETY: they are alive.
        library.check(of, "dnnl_primitive_attr_set_scratchpad_mode", unsafe {
            (functions.set_scratchpad_mode)(attributes.1, sys::USER_SCRATCHPAD)
        })?;
        Ok(attributes)
    }

    /// The handle, which lives as long as this.
    pub(super) fn raw(&self) -> *const sys::Attributes {
        self.1
    }
}

/// Memory of this program's, told to oneDNN.
pub(super) struct Memory {
    library: &'static Library,
    pub(super) raw: *mut sys::Memory,
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was made by this library and is used nowhere else.
        unsafe { (self.library.functions.memory_destroy)(self.raw) };
    }
}

impl Memory {
    /// # Safety
    /// `start` has as many bytes as `desc` says, which live as long as this is used, and are written only if nothing else reads
    /// or writes them meanwhile.
    pub(super) unsafe fn new(
        library: &'static Library,
        of: &dyn Debug,
        desc: *const sys::MemoryDesc,
        start: *mut u8,
    ) -> Result<Memory, Error> {
        let mut raw = ptr::null_mut();
        // SAFETY: the caller's promise.
        let status =
            unsafe { (library.functions.memory_create)(&raw mut raw, desc, library.engine, start.cast()) };
        library.check(of, "dnnl_memory_create", status)?;
        Ok(Memory { library, raw })
    }
}

/// As much as vectors are aligned to.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

thread_local! {
    /// Memory that a thread uses again and again: for scratch, and for a kernel as oneDNN likes it.
    static SCRATCH: [RefCell<Vec<Line>>; 2] = const { [RefCell::new(Vec::new()), RefCell::new(Vec::new())] };
}

/// Which of a thread's memories.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Scratch,
    Kernel,
}

/// Gives the work so many bytes of any content, for its time.
pub(super) fn with_scratch<T>(of: Use, bytes: usize, work: impl FnOnce(*mut u8) -> T) -> T {
    SCRATCH.with(|scratch| {
        let mut memory = scratch[of as usize].borrow_mut();
        let lines = bytes.div_ceil(size_of::<Line>());
        if memory.len() < lines {
            memory.clear();
            memory.resize(lines, Line([0; 64]));
        }
        work(memory.as_mut_ptr().cast())
    })
}
