//! Compiled programs that do nothing but draw noise.

use natgrad::compile::Target;
use natgrad::lower::{Donation, Loops, to_stablehlo};
use natgrad::noise::{Grade, Key, Purpose, Stream};
use natgrad::pjrt::{Arg, Client, ElementType, Executable};
use natgrad_ir::{Builder, DType, Module, Shape, TensorType, Value, verify};

/// Draws the noise of several tensors in single precision.
pub struct Sampler {
    client: Client,
    executable: Executable,
}

impl Sampler {
    pub fn new(client: &Client, purpose: Purpose, grade: Grade, shapes: &[Shape]) -> Sampler {
        Sampler::of(client, purpose, shapes, |b, key, shape| key.normal(b, grade, DType::F32, shape))
    }

    /// One of what is made in single precision of each tensor's key.
    pub fn of(
        client: &Client,
        purpose: Purpose,
        shapes: &[Shape],
        make: impl Fn(&mut Builder, Key, &Shape) -> Value,
    ) -> Sampler {
        let mut b = Builder::new("main");
        let seed = b.param("seed", TensorType::scalar(DType::U64));
        let [count, draw] = ["count", "draw"].map(|name| b.param(name, TensorType::scalar(DType::U32)));
        let keys = Stream { seed, purpose, count, draw }.keys(&mut b, 1, shapes.len())[0];
        let results: Vec<_> = (shapes.iter().enumerate())
            .map(|(number, shape)| {
                let key = Key::of(&mut b, keys, number);
                make(&mut b, key, shape)
            })
            .collect();
        let mut module = Module::new("noise");
        module.push(b.finish(&results).unwrap());
        let module = verify(module).unwrap();
        let target = Target::of(client);
        let text = to_stablehlo(&module, &Donation::none(), target.lowering(Loops::Merged)).unwrap();
        let executable = client.compile(text.as_bytes(), &target.options(Loops::Merged)).unwrap();
        Sampler { client: client.clone(), executable }
    }

    /// The noise of every tensor, for this seed, step or posterior sample, and draw within the step.
    pub fn draw(&self, seed: u64, count: u32, draw: u32) -> Vec<Vec<f32>> {
        let scalar = |element_type, bytes: &[u8]| self.client.upload(element_type, &[], bytes).unwrap();
        let inputs = [
            scalar(ElementType::U64, &seed.to_ne_bytes()),
            scalar(ElementType::U32, &count.to_ne_bytes()),
            scalar(ElementType::U32, &draw.to_ne_bytes()),
        ];
        let outputs = self.executable.execute(inputs.iter().map(Arg::Keep)).unwrap();
        let floats = |bytes: Vec<u8>| bytes.as_chunks().0.iter().map(|&x| f32::from_ne_bytes(x)).collect();
        outputs.iter().map(|output| floats(output.to_host().unwrap())).collect()
    }

    /// The noise of the first tensor, of draw 0.
    pub fn first(&self, seed: u64, count: u32) -> Vec<f32> {
        self.draw(seed, count, 0).swap_remove(0)
    }
}
