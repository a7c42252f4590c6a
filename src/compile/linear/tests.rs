//! Programs with calls of oneDNN against the interpreter.

use natgrad_ir::grad::value_and_grad;
use natgrad_ir::interp::{Tensor, evaluate};
use natgrad_ir::pass::run;
use natgrad_ir::{
    Builder, ConvDims, DType, DotDims, Function, Module, ReduceOp, TensorType, Value, Verified, verify,
};

use super::register_calls;
use crate::compile::bytes::{element_type, from_bytes, to_bytes};
use crate::compile::{Target, host, testing};
use crate::lower::{CONVOLUTION, Donation, Linear, Loops, Lowering, PRODUCT, to_stablehlo};
use crate::pjrt::Arg;

/// The sum of a convolution times other numbers, with the gradients of all of its inputs.
fn layer(dtype: DType, examples: usize, side: usize, window: usize, dims: &ConvDims) -> Verified {
    let mut b = Builder::new("main");
    let x = b.param("x", TensorType::new(dtype, [examples, side, side + 2, 16]));
    let k = b.param("k", TensorType::new(dtype, [window, window, 16, 24]));
    let bias = b.param("bias", TensorType::new(dtype, [24]));
    let y = b.conv(x, k, dims.clone());
    let shape = b.ty(y).shape.clone();
    let bias = b.broadcast(bias, shape.clone(), &[3]);
    let y = b.add(y, bias);
    let weight = b.param("weight", TensorType::new(dtype, shape));
    let product = b.mul(y, weight);
    let loss = b.reduce(ReduceOp::Sum, product, &[0, 1, 2, 3]);
    let loss = b.finish(&[loss]).unwrap();
    let mut module = Module::new("layer");
    module.push(value_and_grad(&loss, &[0, 1, 2, 3]).unwrap());
    run(verify(module).unwrap()).unwrap()
}

/// Small integers, whose sums every order of adding gives exactly.
fn inputs(function: &Function) -> Vec<Tensor> {
    let input = |(seed, &param): (usize, &Value)| {
        let ty = function.ty(param).clone();
        let numbers = (0..ty.shape.elements()).map(|at| ((at * 7 + seed) * 13 % 5) as f64 - 2.0);
        Tensor::from_f64s(ty.clone(), &numbers.collect::<Vec<_>>()).unwrap()
    };
    function.params.iter().enumerate().map(input).collect()
}

/// What the plugin makes of a program, told in this way.
fn results(module: &Verified, lowering: Lowering) -> (String, Vec<Vec<f64>>) {
    let text = to_stablehlo(module, &Donation::none(), lowering).unwrap();
    let found = executed(module, &text, lowering.loops);
    (text, found)
}

/// What a text gives that stands for a program.
fn executed(module: &Verified, text: &str, loops: Loops) -> Vec<Vec<f64>> {
    let client = testing::client();
    let executable = client.compile(text.as_bytes(), &Target::Cpu.options(loops)).unwrap();
    // As the cache has it.
    let executable = client.deserialize(&executable.serialize().unwrap()).unwrap();
    let function = module.module().entry().unwrap();
    let buffers: Vec<_> = inputs(function)
        .iter()
        .map(|input| {
            let ty = input.ty();
            let dims: Vec<i64> = ty.shape.dims().iter().map(|&dim| dim as i64).collect();
            client.upload(element_type(ty.dtype), &dims, &to_bytes(ty.dtype, &input.to_f64s())).unwrap()
        })
        .collect();
    let outputs = executable.execute(buffers.iter().map(Arg::Keep)).unwrap();
    let types = function.results.iter().map(|&result| function.ty(result).dtype);
    let numbers = types.zip(outputs).map(|(dtype, output)| from_bytes(dtype, &output.to_host().unwrap()));
    numbers.collect()
}

#[test]
fn layers_and_their_gradients_are_those_of_the_interpreter() {
    register_calls(&testing::plugin());
    let lowering = Target::Cpu.lowering(Loops::Merged);
    for (window, dims) in [
        (3, ConvDims::padded(2, 1, 1)),
        (3, ConvDims::padded(2, 2, 1)),
        (1, ConvDims::padded(2, 2, 0)),
        (5, ConvDims::padded(2, 1, 0)),
        (3, ConvDims { rhs_dilation: vec![2, 2], ..ConvDims::padded(2, 1, 2) }),
        // XLA's own: nothing that oneDNN is asked for.
        (3, ConvDims { lhs_dilation: vec![2, 1], ..ConvDims::padded(2, 1, 1) }),
    ] {
        for (dtype, examples) in [(DType::F32, 2), (DType::F32, 33), (DType::BF16, 2)] {
            let module = layer(dtype, examples, 8, window, &dims);
            let (text, found) = results(&module, lowering);
            assert!(text.contains(CONVOLUTION), "{dims:?}");
            let wanted = evaluate(&module, &inputs(module.module().entry().unwrap())).unwrap();
            agree(&format!("{dtype:?} {dims:?}"), dtype, &found, &wanted);
        }
    }
}

/// Results that the library or XLA gives are the interpreter's.
fn agree(what: &str, dtype: DType, found: &[Vec<f64>], wanted: &[Tensor]) {
    // Of halves XLA may keep more than their fraction until they are written.
    let near = if dtype == DType::BF16 { 0.01 } else { 0.0 };
    for (result, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        for (found, wanted) in found.iter().zip(wanted.to_f64s()) {
            let bound = near * (1.0 + wanted.abs());
            assert!((found - wanted).abs() <= bound, "{what} {result}: {found} {wanted}");
        }
    }
}

/// The sum of a product of matrices times other numbers, with the gradients of all of its inputs.
fn product(dtype: DType) -> Verified {
    let mut b = Builder::new("main");
    let x = b.param("x", TensorType::new(dtype, [4, 130, 72]));
    let y = b.param("y", TensorType::new(dtype, [72, 40]));
    let product = b.dot(x, y, DotDims::contracting(2, 0));
    let weight = b.param("weight", TensorType::new(dtype, [4, 130, 40]));
    let product = b.mul(product, weight);
    let loss = b.reduce(ReduceOp::Sum, product, &[0, 1, 2]);
    let loss = b.finish(&[loss]).unwrap();
    let mut module = Module::new("product");
    module.push(value_and_grad(&loss, &[0, 1, 2]).unwrap());
    run(verify(module).unwrap()).unwrap()
}

#[test]
fn products_and_their_gradients_are_those_of_the_interpreter() {
    register_calls(&testing::plugin());
    let lowering = Target::Cpu.lowering(Loops::Merged);
    for dtype in [DType::F32, DType::BF16] {
        let module = product(dtype);
        let (text, found) = results(&module, lowering);
        // The product, and the gradient of what it reads.
        let calls = if dtype == DType::BF16 && host::has_amx() { 2 } else { 0 };
        assert_eq!(text.matches(PRODUCT).count(), calls, "{dtype:?} {text}");
        let wanted = evaluate(&module, &inputs(module.module().entry().unwrap())).unwrap();
        agree(&format!("{dtype:?}"), dtype, &found, &wanted);
    }
}

/// A program that calls oneDNN whatever the processor has: the calls' own way, also where nothing chooses it.
#[test]
fn calls_of_products_are_what_they_say() {
    register_calls(&testing::plugin());
    for (right, y) in [("plain", [72, 40]), ("turned", [40, 72])] {
        let mut b = Builder::new("main");
        let x = b.param("x", TensorType::new(DType::F32, [4, 130, 72]));
        let y = b.param("y", TensorType::new(DType::F32, y));
        let product = b.dot(x, y, DotDims::contracting(2, usize::from(right == "turned")));
        let mut module = Module::new("product");
        module.push(b.finish(&[product]).unwrap());
        let module = verify(module).unwrap();
        let ty = |value: Value| {
            let dims = module.module().entry().unwrap().ty(value).shape.dims().to_vec();
            format!("tensor<{}xf32>", dims.iter().map(usize::to_string).collect::<Vec<_>>().join("x"))
        };
        let (x, y, z) = (ty(x), ty(y), ty(product));
        let text = format!(
            "func.func @main(%x: {x}, %y: {y}) -> {z} {{
               %z = stablehlo.custom_call @{PRODUCT}(%x, %y) {{api_version = 4 : i32, backend_config = {{right = \"{right}\"}}}}
                 : ({x}, {y}) -> {z}
               return %z : {z}
             }}"
        );
        let found = executed(&module, &text, Loops::Merged);
        let wanted = evaluate(&module, &inputs(module.module().entry().unwrap())).unwrap();
        agree(right, DType::F32, &found, &wanted);
    }
}

#[test]
fn a_run_can_have_xla_compute_them() {
    register_calls(&testing::plugin());
    let lowering = Target::Cpu.lowering(Loops::Merged);
    let module = layer(DType::F32, 2, 8, 3, &ConvDims::padded(2, 1, 1));
    let (text, by_xla) = results(&module, Lowering { linear: Linear::Xla, ..lowering });
    assert!(!text.contains(CONVOLUTION));
    assert_eq!(results(&module, lowering).1, by_xla);
}
