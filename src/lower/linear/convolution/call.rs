//! The StableHLO of a call of oneDNN that computes a convolution.

use natgrad_ir::{Foreign, TensorType};
use natgrad_onednn::{Convolution, Pass};

use crate::lower::linear::call::Call;

/// The name by which programs call it.
pub(crate) const CONVOLUTION: &str = "natgrad.convolution";

/// How a pass is named in programs.
pub(crate) fn pass_name(pass: Pass) -> &'static str {
    match pass {
        Pass::Forward => "forward",
        Pass::Images => "images",
        Pass::Kernel => "kernel",
    }
}

/// A function that calls oneDNN.
pub(super) fn called(of: &Convolution, operands: &[TensorType]) -> Foreign {
    let dtype = operands[0].dtype;
    let mut results = vec![TensorType::new(
        dtype,
        match of.pass {
            Pass::Forward => [of.examples, of.places[0], of.places[1], of.outputs],
            Pass::Images => [of.examples, of.image[0], of.image[1], of.inputs],
            Pass::Kernel => [of.window.sides[0], of.window.sides[1], of.inputs, of.outputs],
        },
    )];
    if of.bias && of.pass == Pass::Kernel {
        results.push(TensorType::new(dtype, [of.outputs]));
    }
    let pass = pass_name(of.pass);
    let pair = |name: &str, [first, second]: [usize; 2]| format!("{name} = array<i64: {first}, {second}>");
    let config = [
        pair("dilation", of.window.dilation),
        pair("low", of.window.low),
        format!("pass = \"{pass}\""),
        pair("strides", of.window.strides),
    ];
    let sizes = |sizes: &[usize]| sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    let symbol = [
        "onednn",
        pass,
        dtype.name(),
        &sizes(&[of.examples, of.image[0], of.image[1], of.inputs]),
        &sizes(&of.window.sides),
        &sizes(&[of.places[0], of.places[1], of.outputs]),
        &sizes(&of.window.strides),
        &sizes(&of.window.low),
        &sizes(&of.window.dilation),
    ];
    let symbol = symbol.join(".") + if of.bias { ".bias" } else { "" };
    let name = Call { target: CONVOLUTION, symbol, config: config.join(", "), location: "conv" };
    name.of(operands.to_vec(), results)
}
