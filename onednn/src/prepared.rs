//! A convolution made ready: the code that computes it, and the one that brings kernels into its order.

use std::ffi::{c_char, c_int};
use std::fmt::Debug;
use std::ptr;

use crate::Library;
use crate::memory::{Attributes, Desc, dims};
use crate::sys::{self, Dims};
use crate::{Convolution, Error, Pass, Window};

/// Code of oneDNN's.
pub(super) struct Code {
    library: &'static Library,
    pub(super) primitive: *mut sys::Primitive,
    desc: *mut sys::PrimitiveDesc,
}

// SAFETY: a primitive with a scratchpad of its caller's is not changed by running it, which any number of threads may do.
unsafe impl Send for Code {}
// SAFETY: as above.
unsafe impl Sync for Code {}

impl Drop for Code {
    fn drop(&mut self) {
        let functions = &self.library.functions;
        // SAFETY: both were made by this library and are used nowhere else.
        unsafe {
            (functions.primitive_destroy)(self.primitive);
            (functions.primitive_desc_destroy)(self.desc);
        }
    }
}

impl Code {
    /// Of a description, which is owned from now on.
    pub(super) fn new(
        library: &'static Library,
        of: &dyn Debug,
        desc: *mut sys::PrimitiveDesc,
    ) -> Result<Code, Error> {
        let mut code = Code { library, primitive: ptr::null_mut(), desc };
        // SAFETY: the handle goes to this place.
        let status = unsafe { (library.functions.primitive_create)(&raw mut code.primitive, desc) };
        library.check(of, "dnnl_primitive_create", status)?;
        Ok(code)
    }

    /// How one of its operands lies; lives as long as this.
    pub(super) fn desc_of(&self, which: c_int) -> *const sys::MemoryDesc {
        // SAFETY: the description is alive.
        unsafe { (self.library.functions.query_desc)(self.desc, which, 0) }
    }

    /// The name of what computes it.
    pub(super) fn implementation(&self) -> String {
        let mut name: *const c_char = ptr::null();
        // SAFETY: the description is alive; a text goes to this place, which lives as long as the description.
        unsafe {
            (self.library.functions.query)(self.desc, sys::QUERY_IMPLEMENTATION, 0, (&raw mut name).cast());
            sys::text(name).to_owned()
        }
    }

    /// Bytes of what one of its operands is.
    pub(super) fn size_of(&self, which: c_int) -> usize {
        match self.desc_of(which) {
            desc if desc.is_null() => 0,
            // SAFETY: it is alive as long as this.
            desc => unsafe { (self.library.functions.desc_size)(desc) },
        }
    }
}

/// A convolution made ready.
pub(super) struct Prepared {
    /// What computes it.
    pub(super) code: Code,
    /// What brings the kernel into the order of `code`, or its gradient out of that.
    pub(super) reorder: Code,
    pub(super) images: Desc,
    pub(super) results: Desc,
    /// The kernel as it comes, or its gradient as it goes: of single precision, as parts are added up.
    pub(super) kernel: Desc,
    /// The same of the numbers that are added, if there are any.
    pub(super) bias: Option<Desc>,
    pub(super) implementation: String,
}

// SAFETY: descriptions do not change.
unsafe impl Send for Prepared {}
// SAFETY: as above.
unsafe impl Sync for Prepared {}

/// A description that is freed when this is dropped.
struct Described(&'static Library, *mut sys::PrimitiveDesc);

impl Drop for Described {
    fn drop(&mut self) {
        // SAFETY: it was made by this library and is used nowhere else.
        unsafe { (self.0.functions.primitive_desc_destroy)(self.1) };
    }
}

impl Prepared {
    pub(super) fn new(library: &'static Library, convolution: &Convolution) -> Result<Prepared, Error> {
        let of = convolution;
        let refused = |call| Error::Refused { call, status: 0, what: format!("{of:?}") };
        let high = of.high().ok_or_else(|| refused("sizes"))?;
        let element = sys::data_type(of.element);
        // oneDNN tells dimensions in the order examples, features, rows, columns, wherever they lie.
        let nhwc = |[height, width]: [usize; 2], features: usize| {
            let sizes = [of.examples, features, height, width];
            let strides = [height * width * features, 1, width * features, features];
            Desc::new(library, of, &sizes, element, Some(&strides))
        };
        let (images, results) = (nhwc(of.image, of.inputs)?, nhwc(of.places, of.outputs)?);
        let Window { sides: [tall, wide], strides, low, dilation } = of.window;
        let sizes = [of.outputs, of.inputs, tall, wide];
        let lying = [1, of.outputs, wide * of.inputs * of.outputs, of.inputs * of.outputs];
        let kernel_element = if of.pass == Pass::Kernel { sys::F32 } else { element };
        let kernel = Desc::new(library, of, &sizes, kernel_element, Some(&lying))?;
        let any = Desc::new(library, of, &sizes, kernel_element, None)?;
        // Of the forward pass, which tells the gradients what it was.
        let forward_any = Desc::new(library, of, &sizes, element, None)?;
        let has_bias = of.bias && of.pass != Pass::Images;
        let bias = match has_bias {
            true => Some(Desc::new(library, of, &[of.outputs], kernel_element, Some(&[1]))?),
            false => None,
        };
        let bias_raw = bias.as_ref().map_or(ptr::null(), |bias| bias.raw.cast_const());
        // Of the forward pass the bias may have another type than its gradient.
        let forward_bias = if of.pass == Pass::Forward { bias_raw } else { ptr::null() };

        let attributes = Attributes::new(library, of)?;
        let functions = &library.functions;
        let lists: [Dims; 4] =
            [dims(&strides), dims(&dilation.map(|distance| distance - 1)), dims(&low), dims(&high)];
        let [strides, dilates, low, high] = lists.each_ref().map(ptr::from_ref);
        let engine = library.engine;
        let mut forward = Described(library, ptr::null_mut());
        // SAFETY: every handle is alive, lists are as long as oneDNN has them, and the new handle goes to this place.
        library.check(of, "dnnl_convolution_forward_primitive_desc_create", unsafe {
            (functions.forward)(
                &raw mut forward.1,
                engine,
                sys::FORWARD_TRAINING,
                sys::DIRECT,
                images.raw,
                forward_any.raw,
                forward_bias,
                results.raw,
                strides,
                dilates,
                low,
                high,
                attributes.raw(),
            )
        })?;
        let mut desc = ptr::null_mut();
        let (call, status) = match of.pass {
            Pass::Forward => {
                std::mem::swap(&mut desc, &mut forward.1);
                ("", 0)
            }
            Pass::Images => {
                // SAFETY: as above.
                let status = unsafe {
                    (functions.backward_data)(
                        &raw mut desc,
                        engine,
                        sys::DIRECT,
                        images.raw,
                        any.raw,
                        results.raw,
                        strides,
                        dilates,
                        low,
                        high,
                        forward.1,
                        attributes.raw(),
                    )
                };
                ("dnnl_convolution_backward_data_primitive_desc_create", status)
            }
            Pass::Kernel => {
                // SAFETY: as above.
                let status = unsafe {
                    (functions.backward_weights)(
                        &raw mut desc,
                        engine,
                        sys::DIRECT,
                        images.raw,
                        any.raw,
                        bias_raw,
                        results.raw,
                        strides,
                        dilates,
                        low,
                        high,
                        forward.1,
                        attributes.raw(),
                    )
                };
                ("dnnl_convolution_backward_weights_primitive_desc_create", status)
            }
        };
        library.check(of, call, status)?;
        let code = Code::new(library, of, desc)?;
        let implementation = code.implementation();
        let liked =
            code.desc_of(if of.pass == Pass::Kernel { sys::QUERY_DIFF_WEIGHTS } else { sys::QUERY_WEIGHTS });
        let (from, to) = match of.pass {
            Pass::Kernel => (liked, kernel.raw.cast_const()),
            Pass::Forward | Pass::Images => (kernel.raw.cast_const(), liked),
        };
        let mut desc = ptr::null_mut();
        // SAFETY: every handle is alive, and the new one goes to this place.
        library.check(of, "dnnl_reorder_primitive_desc_create", unsafe {
            (functions.reorder)(&raw mut desc, from, engine, to, engine, attributes.raw())
        })?;
        let reorder = Code::new(library, of, desc)?;
        Ok(Prepared { code, reorder, images, results, kernel, bias, implementation })
    }
}
