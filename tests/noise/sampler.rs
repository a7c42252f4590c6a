//! Compiled programs that do nothing but draw noise.

use natgrad::lower::{Donation, Materialization, to_stablehlo};
use natgrad::noise::{Grade, Purpose, Stream};
use natgrad::pjrt::{Arg, Executable};
use natgrad_ir::interp::Tensor;
use natgrad_ir::{Builder, DType, Module, Shape, TensorType, verify};

use crate::device::{DEVICE, download, upload};

/// Draws the noise of several tensors in single precision.
pub struct Sampler {
    executable: Executable,
    types: Vec<TensorType>,
}

impl Sampler {
    pub fn new(purpose: Purpose, shapes: &[Shape]) -> Sampler {
        let mut b = Builder::new("main");
        let seed = b.param("seed", TensorType::scalar(DType::U64));
        let count = b.param("count", TensorType::scalar(DType::U32));
        let draw = b.scalar(DType::U32, 0.0);
        let keys = Stream { seed, purpose, count, draw }.keys(&mut b, shapes.len());
        let results: Vec<_> = keys
            .into_iter()
            .zip(shapes)
            .map(|(key, shape)| key.normal(&mut b, Grade::Fast, DType::F32, shape))
            .collect();
        let mut module = Module::new("noise");
        module.push(b.finish(&results).unwrap());
        let text = to_stablehlo(&verify(module).unwrap(), &Donation::none(), Materialization::Call).unwrap();
        let options = natgrad::compile::Target::of(DEVICE.client()).options();
        let executable = DEVICE.client().compile(text.as_bytes(), &options).unwrap();
        let types = shapes.iter().map(|shape| TensorType::new(DType::F32, shape.clone())).collect();
        Sampler { executable, types }
    }

    /// The noise of every tensor, for this seed and step or posterior sample.
    pub fn draw(&self, seed: u64, count: u32) -> Vec<Vec<f32>> {
        let inputs = [Tensor::from_u64s([], &[seed]).unwrap(), Tensor::from_u32s([], &[count]).unwrap()];
        let inputs = inputs.map(|input| upload(&input));
        let outputs = self.executable.execute(inputs.iter().map(Arg::Keep)).unwrap();
        outputs.iter().zip(&self.types).map(|(output, ty)| download(output, ty).to_f32s()).collect()
    }

    /// The noise of the first tensor.
    pub fn first(&self, seed: u64, count: u32) -> Vec<f32> {
        self.draw(seed, count).swap_remove(0)
    }
}
