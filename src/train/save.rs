//! Writes a checkpoint, tensor after tensor: of a state on a device the host never has more than a few tensors at a time.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Error};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;

use natgrad_ir::{DType, TensorType};
use safetensors::View;
use safetensors::tensor::Dtype;

use super::checkpoint::{FILE_NAME, HEADER_KEY, Header};
use super::finite::first_not_finite_of;
use super::{TrainError, seal};
use crate::compile::DeviceError;
use crate::phase::{self, Phase};
use crate::pjrt::Buffer;
use crate::size::Size;

/// A tensor to be written.
pub(super) struct Stored<'a> {
    /// Its name, e.g. `hess/layers.0.weight`.
    pub name: Cow<'a, str>,
    /// Its type.
    pub ty: TensorType,
    /// Its elements.
    pub elements: Elements<'a>,
}

/// Where a tensor's elements are.
pub(super) enum Elements<'a> {
    /// Here, row-major.
    Here(&'a [u8]),
    /// On a device. They must be finite.
    OnDevice(&'a Buffer),
}

/// Elements that two threads read.
#[derive(Clone)]
enum Bytes<'a> {
    Here(&'a [u8]),
    Copied(Arc<Vec<u8>>),
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Here(bytes) => bytes,
            Bytes::Copied(bytes) => bytes,
        }
    }
}

/// Why tensors are not all written.
enum Fault {
    Device(DeviceError),
    NotFinite,
}

impl<'a> Stored<'a> {
    fn read(&self) -> Result<Bytes<'a>, Fault> {
        match self.elements {
            Elements::Here(bytes) => Ok(Bytes::Here(bytes)),
            Elements::OnDevice(buffer) => {
                let bytes = buffer.to_host().map_err(|error| Fault::Device(error.into()))?;
                if first_not_finite_of(self.ty.dtype, &bytes).is_some() {
                    return Err(Fault::NotFinite);
                }
                Ok(Bytes::Copied(Arc::new(bytes)))
            }
        }
    }
}

/// Writes a checkpoint into a folder: to a temporary file, synced, then renamed over an earlier one; `before` is called when all is
/// written but the file's name. Nothing is changed if a tensor on a device is not finite, and none is the answer.
///
/// # Errors
/// Names the file and what the system said. The earlier checkpoint is then still whole.
pub(super) fn save(
    folder: &Path,
    header: &Header,
    tensors: &[Stored],
    before: impl FnOnce() -> io::Result<()>,
) -> Result<Option<PathBuf>, TrainError> {
    let path = folder.join(FILE_NAME);
    let begin = std::time::Instant::now();
    let _saving = phase::begin(Phase::Saving { path: path.clone() });
    let fail = |reason: String| TrainError::Write { path: path.clone(), reason };
    let step = header.step;
    let header = serde_json::to_string(header).map_err(|error| fail(error.to_string()))?;
    let metadata =
        [(HEADER_KEY, header), (seal::KEY, seal::BLANK.to_string())].map(|(k, v)| (k.to_string(), v));
    let order = RefCell::new(Vec::new());
    let apart = tensors.iter().map(|tensor| (&*tensor.name, Apart { tensor, order: &order }));
    let mut begin_of_file = safetensors::serialize(apart, Some(HashMap::from(metadata)))
        .map_err(|error| fail(error.to_string()))?;
    // It has room for all tensors.
    begin_of_file.shrink_to_fit();
    let tensors = order.into_inner();
    let length = begin_of_file.len();
    let size = Size(tensors.iter().map(|tensor| tensor.ty.size_bytes() as u64).sum::<u64>() + length as u64);
    let checksum = seal::Sum::begin(begin_of_file, seal::BLANK);
    let checksum = checksum.ok_or_else(|| fail("its header has no place for the checksum".to_string()))?;
    let mut fault = None;
    let fill = |put: &mut dyn FnMut(&[u8]) -> io::Result<()>| {
        // The checksum takes as long as writing, and is computed meanwhile.
        thread::scope(|scope| {
            let (read, is_read) = mpsc::sync_channel::<Bytes>(1);
            let with = |checksum: seal::Sum, part: Bytes| checksum.with(&part);
            let sealing = move || is_read.into_iter().fold(checksum, with).sealed();
            let sealing = thread::Builder::new().spawn_scoped(scope, sealing)?;
            for tensor in tensors {
                let part = tensor.read().map_err(|found| {
                    fault = Some(found);
                    Error::other("a tensor cannot be written")
                })?;
                let (name, bytes, ty) = (&tensor.name, part.len(), &tensor.ty);
                if bytes != ty.size_bytes() {
                    return Err(Error::other(format!("tensor `{name}` has {bytes} bytes, but is {ty}")));
                }
                // The thread of the checksum ends only when all was sent.
                read.send(part.clone()).ok();
                put(&part)?;
            }
            drop(read);
            Ok(sealing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    };
    let written = crate::files::write_after(&path, length, fill, before);
    match fault {
        Some(Fault::NotFinite) => return Ok(None),
        Some(Fault::Device(error)) => return Err(error.into()),
        None => written.map_err(|error| fail(error.to_string()))?,
    }
    let seconds = begin.elapsed().as_secs_f64();
    tracing::info!("checkpoint of step {step}: {}, {size}, in {seconds:.2} s", path.display());
    Ok(Some(path))
}

/// A tensor of a file whose bytes are written apart: asked for them, it notes that it comes next.
struct Apart<'a, 'b> {
    tensor: &'a Stored<'a>,
    order: &'b RefCell<Vec<&'a Stored<'a>>>,
}

impl View for Apart<'_, '_> {
    fn dtype(&self) -> Dtype {
        to_safetensors(self.tensor.ty.dtype)
    }

    fn shape(&self) -> &[usize] {
        self.tensor.ty.shape.dims()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.order.borrow_mut().push(self.tensor);
        Cow::Borrowed(&[])
    }

    fn data_len(&self) -> usize {
        self.tensor.ty.size_bytes()
    }
}

/// The word of safetensors for an element type.
pub(super) fn to_safetensors(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::BF16 => Dtype::BF16,
        DType::F16 => Dtype::F16,
        DType::S32 => Dtype::I32,
        DType::U32 => Dtype::U32,
        DType::U64 => Dtype::U64,
        DType::Bool => Dtype::BOOL,
    }
}
