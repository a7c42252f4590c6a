//! oneDNN, as programs on a CPU call it: where it comes from, and what a call asks it for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use natgrad_onednn::{Convolution, Element, Library, Pass, Pieces, TrustedLibrary};

use crate::assets::{self, Asset};
use crate::lower::{TARGET, pass_name};
use crate::pjrt::{Call, Called, Plugin};

/// Whether a plugin is in use whose programs may call oneDNN, and whether one is whose programs may not.
static TAKEN: AtomicBool = AtomicBool::new(false);
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Lets programs of a CPU's plugin call oneDNN, where the plugin has calls. Every [`Device`](super::Device) does so for its own; who
/// compiles what [`stablehlo`](super::stablehlo) gives by a client alone calls this first.
pub fn register_calls(plugin: &Plugin) {
    match plugin.register::<Convolved>(TARGET) {
        Ok(()) => TAKEN.store(true, Ordering::Relaxed),
        Err(error) => {
            if !REFUSED.swap(true, Ordering::Relaxed) {
                tracing::info!("convolutions stay XLA's: {error}");
            }
        }
    }
}

/// Takes it that natgrad's own plugin will be opened, whose programs may call oneDNN: for programs that are only written.
pub(crate) fn expect_calls() {
    TAKEN.store(true, Ordering::Relaxed);
}

/// The library, which is fetched if it is not here yet; none where no plugin is known to call it, or one in use cannot, or it
/// cannot be had, which is told once.
pub(super) fn library() -> Option<&'static Library> {
    let is_callable = TAKEN.load(Ordering::Relaxed) && !REFUSED.load(Ordering::Relaxed);
    if is_callable { opened().ok() } else { None }
}

/// The library's version, where it can be had.
pub(super) fn version() -> Option<String> {
    opened().ok().map(Library::version)
}

/// What computes convolutions, once a program with some was written: the library and its version, or XLA.
pub(super) fn used() -> Option<String> {
    OPENED.get().map(|opened| match opened {
        Ok(library) => format!("oneDNN {}", library.version()),
        Err(_) => "XLA".to_owned(),
    })
}

/// The library, or why it cannot be had.
static OPENED: OnceLock<Result<&'static Library, String>> = OnceLock::new();

/// The library, once a process.
fn opened() -> Result<&'static Library, &'static str> {
    let opened = OPENED.get_or_init(|| {
        let path = match assets::fetch(Asset::OneDnn) {
            // Nothing that anybody could do.
            Err(error @ assets::Error::UnsupportedPlatform { .. }) => {
                tracing::info!("XLA computes convolutions: {error}");
                return Err(error.to_string());
            }
            fetched => fetched.map_err(|error| error.to_string()),
        };
        let opened =
            path.and_then(|path| Library::open(&TrustedLibrary::at(path)).map_err(|error| error.to_string()));
        match &opened {
            Ok(library) => tracing::info!("oneDNN {} computes convolutions", library.version()),
            Err(error) => tracing::warn!(
                "oneDNN, by which convolutions are faster, is not here, so XLA computes them: {error}\n\
                 `step.convolutions` \"xla\" has no run look for it"
            ),
        }
        opened
    });
    opened.as_ref().copied().map_err(String::as_str)
}

/// What programs call.
struct Convolved;

impl Called for Convolved {
    fn call(mut call: Call<'_>) -> Result<(), String> {
        let convolution = asked_for(&call)?;
        let operands: Vec<&[u8]> = call.arguments.iter().map(|argument| argument.bytes).collect();
        let mut results: Vec<&mut [u8]> = call.results.iter_mut().map(|result| &mut *result.bytes).collect();
        let threads = &call.threads;
        let share: Pieces<'_> = &|pieces, work| threads.each(pieces, work);
        let ran = opened()?.run(&convolution, &operands, &mut results, threads.count(), share);
        ran.map_err(|error| error.to_string())
    }
}

/// What a call asks for.
fn asked_for(call: &Call<'_>) -> Result<Convolution, String> {
    let sizes = |dims: &[i64]| -> Result<[usize; 4], String> {
        let sizes: Option<Vec<usize>> = dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
        sizes.and_then(|sizes| sizes.try_into().ok()).ok_or_else(|| format!("operands of sizes {dims:?}"))
    };
    let pair = |name: &str| -> Result<[usize; 2], String> {
        let numbers = call.numbers(name)?;
        let numbers: Option<Vec<usize>> =
            numbers.iter().map(|&number| usize::try_from(number).ok()).collect();
        numbers
            .and_then(|numbers| numbers.try_into().ok())
            .ok_or_else(|| format!("`{name}` has no two sizes"))
    };
    let ([left, right, ..], [result, ..]) = (call.arguments.as_slice(), call.results.as_slice()) else {
        return Err("a convolution has two operands and a result".to_owned());
    };
    let name = call.text("pass")?;
    let pass = [Pass::Forward, Pass::Images, Pass::Kernel].into_iter().find(|pass| pass_name(*pass) == name);
    let pass = pass.ok_or_else(|| format!("there is no pass \"{name}\""))?;
    let (images, kernel, outputs) = match pass {
        Pass::Forward => (left.dims, right.dims, result.dims),
        Pass::Images => (result.dims, right.dims, left.dims),
        Pass::Kernel => (left.dims, result.dims, right.dims),
    };
    let [examples, height, width, inputs] = sizes(images)?;
    let [window_height, window_width, ..] = sizes(kernel)?;
    let [_, rows, columns, outputs] = sizes(outputs)?;
    let convolution = Convolution {
        pass,
        element: Element::F32,
        examples,
        image: [height, width],
        inputs,
        window: [window_height, window_width],
        outputs,
        places: [rows, columns],
        strides: pair("strides")?,
        low: pair("low")?,
        dilation: pair("dilation")?,
        bias: call.arguments.len() + call.results.len() > 3,
    };
    // Which of the two types it is, sizes tell.
    let is_half = left.bytes.len() == left.dims.iter().product::<i64>() as usize * Element::Bf16.size_bytes();
    Ok(if is_half { Convolution { element: Element::Bf16, ..convolution } } else { convolution })
}

#[cfg(test)]
mod tests {
    use natgrad_ir::grad::value_and_grad;
    use natgrad_ir::interp::{Tensor, evaluate};
    use natgrad_ir::pass::run;
    use natgrad_ir::{
        Builder, ConvDims, DType, Function, Module, ReduceOp, TensorType, Value, Verified, verify,
    };

    use super::*;
    use crate::compile::bytes::{element_type, from_bytes, to_bytes};
    use crate::compile::{Target, testing};
    use crate::lower::{Convolutions, Donation, Loops, Lowering, to_stablehlo};
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
        let client = testing::client();
        let executable = client.compile(text.as_bytes(), &Target::Cpu.options(lowering.loops)).unwrap();
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
        (text, numbers.collect())
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
                assert!(text.contains(TARGET), "{dims:?}");
                let wanted = evaluate(&module, &inputs(module.module().entry().unwrap())).unwrap();
                for (result, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                    let wanted = wanted.to_f64s();
                    // Of halves XLA may keep more than their fraction until they are written.
                    let near = if dtype == DType::BF16 { 0.01 } else { 0.0 };
                    for (found, wanted) in found.iter().zip(&wanted) {
                        let bound = near * (1.0 + wanted.abs());
                        assert!(
                            (found - wanted).abs() <= bound,
                            "{dtype:?} {dims:?} {result}: {found} {wanted}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_run_can_have_xla_compute_them() {
        register_calls(&testing::plugin());
        let lowering = Target::Cpu.lowering(Loops::Merged);
        let module = layer(DType::F32, 2, 8, 3, &ConvDims::padded(2, 1, 1));
        let (text, by_xla) = results(&module, Lowering { convolutions: Convolutions::Xla, ..lowering });
        assert!(!text.contains(TARGET));
        assert_eq!(results(&module, lowering).1, by_xla);
    }
}
