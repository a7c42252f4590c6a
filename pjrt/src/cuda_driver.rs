//! NVIDIA's driver: whether it is there, which CUDA it runs, and which GPUs it shows to this process.
//!
//! Functions and numbers are those of the CUDA driver API's reference manual (`cuda.h`).

use std::ffi::{c_char, c_int, c_uint};
use std::path::Path;

use super::library;
use super::plugin::TrustedLibrary;

/// The driver's libraries, both of which XLA opens.
const LIBRARIES: [&str; 2] = ["libcuda.so.1", "libnvidia-ml.so.1"];

/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR`, and `_MINOR`.
const CAPABILITY: [c_int; 2] = [75, 76];

/// `CUDA_ERROR_NO_DEVICE`.
const NO_DEVICE: c_uint = 100;

/// The driver of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaDriver {
    /// The newest CUDA that it runs: major and minor version.
    pub cuda: (u32, u32),
    /// The GPUs that this process can use, or why there is no telling.
    pub gpus: Result<Vec<Gpu>, String>,
}

/// A GPU, as its driver shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its name, such as NVIDIA H100 80GB HBM3.
    pub name: String,
    /// Its architecture: the compute capability's major and minor version.
    pub capability: (u32, u32),
}

impl CudaDriver {
    /// Opens the driver's libraries and asks.
    ///
    /// # Errors
    /// A library is missing or no driver's, in words.
    pub fn open() -> Result<CudaDriver, String> {
        for name in LIBRARIES {
            library::open_library(&TrustedLibrary::at(name))?;
        }
        let cuda = library::open(Path::new(LIBRARIES[0]))?;
        ask(&cuda)
    }
}

fn ask(cuda: &libloading::Library) -> Result<CudaDriver, String> {
    let missing = |error: libloading::Error| error.to_string();
    // SAFETY: all of these have had these types since CUDA 2.0, but for names of newer versions, which are not used.
    let (version, init, count, get, name, attribute) = unsafe {
        (
            cuda.get::<unsafe extern "C" fn(*mut c_int) -> c_uint>(b"cuDriverGetVersion\0")
                .map_err(missing)?,
            cuda.get::<unsafe extern "C" fn(c_uint) -> c_uint>(b"cuInit\0").map_err(missing)?,
            cuda.get::<unsafe extern "C" fn(*mut c_int) -> c_uint>(b"cuDeviceGetCount\0").map_err(missing)?,
            cuda.get::<unsafe extern "C" fn(*mut c_int, c_int) -> c_uint>(b"cuDeviceGet\0")
                .map_err(missing)?,
            cuda.get::<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_uint>(b"cuDeviceGetName\0")
                .map_err(missing)?,
            cuda.get::<unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_uint>(b"cuDeviceGetAttribute\0")
                .map_err(missing)?,
        )
    };
    let fine = |call: &str, code: c_uint| {
        if code == 0 { Ok(()) } else { Err(format!("{call}: CUDA's error {code}")) }
    };

    let mut number: c_int = 0;
    // SAFETY: it writes one number, and needs no initialization.
    fine("cuDriverGetVersion", unsafe { version(&raw mut number) })?;
    let number = u32::try_from(number).unwrap_or_default();
    let cuda = (number / 1000, number % 1000 / 10);

    let gpus = || {
        // SAFETY: 0 is the only flag there is.
        match unsafe { init(0) } {
            NO_DEVICE => return Ok(Vec::new()),
            code => fine("cuInit", code)?,
        }
        let mut number: c_int = 0;
        // SAFETY: it writes one number; the driver is initialized.
        fine("cuDeviceGetCount", unsafe { count(&raw mut number) })?;
        let gpu = |ordinal| {
            let mut device: c_int = 0;
            // SAFETY: it writes one number; the driver has this many devices.
            fine("cuDeviceGet", unsafe { get(&raw mut device, ordinal) })?;
            let mut text = [0_u8; 128];
            // SAFETY: it writes at most so many bytes, the last of them zero.
            fine("cuDeviceGetName", unsafe { name(text.as_mut_ptr().cast(), 128, device) })?;
            let mut capability = [0; 2];
            for (number, which) in capability.iter_mut().zip(CAPABILITY) {
                let mut value: c_int = 0;
                // SAFETY: it writes one number.
                fine("cuDeviceGetAttribute", unsafe { attribute(&raw mut value, which, device) })?;
                *number = u32::try_from(value).unwrap_or_default();
            }
            let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
            let name = String::from_utf8_lossy(&text[..end]).into_owned();
            Ok(Gpu { name, capability: capability.into() })
        };
        (0..number).map(gpu).collect::<Result<Vec<Gpu>, String>>()
    };
    let gpus = gpus();
    Ok(CudaDriver { cuda, gpus })
}

/// A library of CUDA that tells its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CudaLibrary {
    /// cuBLAS, by `cublasLtGetVersion`.
    CublasLt,
    /// cuDNN, by `cudnnGetVersion`.
    Cudnn,
    /// The runtime that cuDNN was built for, by `cudnnGetCudartVersion`.
    CudnnRuntime,
}

impl CudaLibrary {
    /// The version, as the library numbers its versions.
    ///
    /// # Errors
    /// The library at this path cannot be opened, or has no such function.
    pub fn version(self, library: &TrustedLibrary) -> Result<u64, String> {
        let name: &[u8] = match self {
            CudaLibrary::CublasLt => b"cublasLtGetVersion\0",
            CudaLibrary::Cudnn => b"cudnnGetVersion\0",
            CudaLibrary::CudnnRuntime => b"cudnnGetCudartVersion\0",
        };
        let opened = library::open(library.path())?;
        // SAFETY: each of these takes nothing and returns a size_t, in all versions of its library.
        let version =
            unsafe { opened.get::<unsafe extern "C" fn() -> usize>(name) }.map_err(|it| it.to_string())?;
        // SAFETY: they may be called at any time.
        let version = unsafe { version() } as u64;
        std::mem::forget(opened);
        Ok(version)
    }
}
