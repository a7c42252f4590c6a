//! The StableHLO of a function that calls a function of this program.

use natgrad_ir::{Foreign, Signature, TensorType};

use crate::lower::attribute::write_type;

/// What is called, and how.
pub(super) struct Call {
    /// The name by which it was registered.
    pub(super) target: &'static str,
    /// The name of the function that calls it.
    pub(super) symbol: String,
    /// What it is told, as MLIR writes attributes.
    pub(super) config: String,
    /// The last part of the operation's path.
    pub(super) location: &'static str,
}

impl Call {
    /// The function, of such operands and results, all of them row by row.
    pub(super) fn of(self, operands: Vec<TensorType>, results: Vec<TensorType>) -> Foreign {
        let Call { target, symbol, config, location } = self;
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
        let (params, outs) = (list(&operands, &written), list(&results, &written));
        let text = format!(
        "\"func.func\"() ({{
  ^bb0({arguments}):
    %out{several} = \"stablehlo.custom_call\"({names}) {{api_version = 4 : i32, backend_config = {{{config}}}, \
         call_target_name = \"{target}\", has_side_effect = false, operand_layouts = [{operand_layouts}], \
         result_layouts = [{result_layouts}]}} : ({params}) -> ({outs}) loc(\"{location}\")
    \"func.return\"({returned}) : ({outs}) -> () loc(unknown)
  }}) {{function_type = ({params}) -> ({outs}), sym_name = \"{symbol}\", sym_visibility = \"private\"}} : () -> () loc(unknown)
",
        arguments = list(&operands, &|at, ty| format!("%arg{at}: {} loc(unknown)", written(at, ty))),
        several = if results.len() > 1 { format!(":{}", results.len()) } else { String::new() },
        names = list(&operands, &|at, _| format!("%arg{at}")),
                operand_layouts = list(&operands, &row_by_row),
        result_layouts = list(&results, &row_by_row),
        returned = list(&results, &|at, _| if results.len() > 1 { format!("%out#{at}") } else { "%out".to_owned() }),
    );
        Foreign {
            symbol,
            locations: String::new(),
            text,
            signature: Signature { params: operands, results },
            version: None,
        }
    }
}
