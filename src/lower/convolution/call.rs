//! The StableHLO of a call of oneDNN.

use natgrad_ir::{Foreign, Signature, TensorType};
use natgrad_onednn::{Convolution, Pass};

use crate::lower::attribute::write_type;

/// The name by which programs call oneDNN.
pub(crate) const TARGET: &str = "natgrad.convolution";

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
            Pass::Kernel => [of.window[0], of.window[1], of.inputs, of.outputs],
        },
    )];
    if of.bias && of.pass == Pass::Kernel {
        results.push(TensorType::new(dtype, [of.outputs]));
    }
    let pass = pass_name(of.pass);
    let pair = |name: &str, [first, second]: [usize; 2]| format!("{name} = array<i64: {first}, {second}>");
    let config = [
        pair("dilation", of.dilation),
        pair("low", of.low),
        format!("pass = \"{pass}\""),
        pair("strides", of.strides),
    ];
    let sizes = |sizes: &[usize]| sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    let symbol = [
        "onednn",
        pass,
        dtype.name(),
        &sizes(&[of.examples, of.image[0], of.image[1], of.inputs]),
        &sizes(&of.window),
        &sizes(&[of.places[0], of.places[1], of.outputs]),
        &sizes(&of.strides),
        &sizes(&of.low),
        &sizes(&of.dilation),
    ];
    let symbol = symbol.join(".") + if of.bias { ".bias" } else { "" };
    let list = |types: &[TensorType], of: &dyn Fn(usize, &TensorType) -> String| {
        types.iter().enumerate().map(|(at, ty)| of(at, ty)).collect::<Vec<_>>().join(", ")
    };
    let written = |_: usize, ty: &TensorType| {
        let mut text = String::new();
        write_type(&mut text, ty);
        text
    };
    let row_by_row = |_: usize, ty: &TensorType| {
        let axes = (0..ty.rank()).rev().map(|axis| axis.to_string()).collect::<Vec<_>>().join(", ");
        format!("dense<[{axes}]> : tensor<{}xindex>", ty.rank())
    };
    let (params, outs) = (list(operands, &written), list(&results, &written));
    let text = format!(
        "\"func.func\"() ({{
  ^bb0({arguments}):
    %out{several} = \"stablehlo.custom_call\"({names}) {{api_version = 4 : i32, backend_config = {{{config}}}, \
         call_target_name = \"{TARGET}\", has_side_effect = false, operand_layouts = [{operand_layouts}], \
         result_layouts = [{result_layouts}]}} : ({params}) -> ({outs}) loc(\"conv\")
    \"func.return\"({returned}) : ({outs}) -> () loc(unknown)
  }}) {{function_type = ({params}) -> ({outs}), sym_name = \"{symbol}\", sym_visibility = \"private\"}} : () -> () loc(unknown)
",
        arguments = list(operands, &|at, ty| format!("%arg{at}: {} loc(unknown)", written(at, ty))),
        several = if results.len() > 1 { format!(":{}", results.len()) } else { String::new() },
        names = list(operands, &|at, _| format!("%arg{at}")),
        config = config.join(", "),
        operand_layouts = list(operands, &row_by_row),
        result_layouts = list(&results, &row_by_row),
        returned = list(&results, &|at, _| if results.len() > 1 { format!("%out#{at}") } else { "%out".to_owned() }),
    );
    Foreign {
        symbol,
        locations: String::new(),
        text,
        signature: Signature { params: operands.to_vec(), results },
        version: None,
    }
}
