//! The device that the tests' programs run on, with natgrad's own options, and tensors to and from it.

use std::sync::LazyLock;

use natgrad::compile::bytes::{from_bytes, to_bytes};
use natgrad::compile::{Cache, Device, Target};
use natgrad::lower::{Loops, Lowering};
use natgrad::pjrt::{Buffer, Client, Plugin, TrustedLibrary};
use natgrad_ir::interp::{Data, Tensor};
use natgrad_ir::{DType, TensorType};

/// The one device of the test process: one CPU, an executable cache that is empty when the process starts.
pub static DEVICE: LazyLock<Device> = LazyLock::new(|| {
    let plugin = Plugin::load(&TrustedLibrary::at(natgrad::assets::cpu_plugin().unwrap())).unwrap();
    let client = Client::create(&plugin, &Target::Cpu.client_options()).unwrap();
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/", env!("CARGO_CRATE_NAME"), "-executables");
    // What an earlier run compiled must not stand in for what this one would.
    std::fs::remove_dir_all(folder).ok();
    Device::new(client, Cache::open(folder), Loops::Merged)
});

/// How programs are told to the device.
#[allow(dead_code, reason = "not every test crate lowers by itself")]
pub fn lowering() -> Lowering {
    DEVICE.lowering()
}

/// The elements as bytes, each in its type's own form.
pub fn bytes(tensor: &Tensor) -> Vec<u8> {
    let dtype = tensor.ty().dtype;
    match tensor.data() {
        Data::Float(values) => to_bytes(dtype, values),
        Data::Int(values) => {
            values.iter().flat_map(|value| value.to_le_bytes()[..dtype.size_bytes()].to_vec()).collect()
        }
        Data::Bool(values) => values.iter().map(|&value| u8::from(value)).collect(),
    }
}

/// Copies a tensor to the device.
pub fn upload(tensor: &Tensor) -> Buffer {
    DEVICE.upload(tensor.ty(), &bytes(tensor)).unwrap()
}

/// Reads an array of this type, which must be of floats or `u32`.
pub fn download(buffer: &Buffer, ty: &TensorType) -> Tensor {
    let bytes = buffer.to_host().unwrap();
    match ty.dtype {
        DType::U32 => {
            let words = bytes.as_chunks().0.iter().map(|&word| u32::from_ne_bytes(word));
            Tensor::from_u32s(ty.shape.clone(), &words.collect::<Vec<_>>()).unwrap()
        }
        dtype => {
            assert!(dtype.is_float(), "{dtype}");
            Tensor::unrounded(ty.clone(), &from_bytes(dtype, &bytes)).unwrap()
        }
    }
}
