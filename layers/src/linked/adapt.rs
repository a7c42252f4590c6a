//! Functions with elements of types that the IR lacks, called through one that converts them.

use natgrad_ir::{DType, TensorType, stablehlo_name};

use super::text::Prepared;

/// What stands in the IR for elements of a type of StableHLO's.
pub(super) fn in_ir(written: &str) -> Option<DType> {
    Some(match written {
        "f64" => DType::F64,
        "f32" => DType::F32,
        "bf16" => DType::BF16,
        "f16" => DType::F16,
        "ui64" => DType::U64,
        "i1" => DType::Bool,
        "i8" | "i16" | "i32" | "i64" => DType::S32,
        "ui8" | "ui16" | "ui32" => DType::U32,
        _ => return None,
    })
}

/// Calls the module's function through one of the types that stand in the IR for its own, if it has others.
pub(super) fn adapt(mut prepared: Prepared, prefix: &str) -> Prepared {
    let is_own = |ty: &TensorType, written: &str| inside(ty) == written;
    let ports = || prepared.params.iter().chain(&prepared.results);
    if ports().all(|port| is_own(&port.ty, &port.written)) {
        return prepared;
    }
    let list = |items: Vec<String>| items.join(", ");
    let tensors = |ports: &[super::text::Port]| {
        let types = ports.iter().map(|port| format!("tensor<{}>", port.written)).collect();
        let given: Vec<String> = ports.iter().map(|port| format!("tensor<{}>", inside(&port.ty))).collect();
        (list(types), given)
    };
    let ((params, given_params), (results, given_results)) =
        (tensors(&prepared.params), tensors(&prepared.results));
    let convert = |out: &mut String, name: &str, from: &str, value: &str, to: &str| {
        // As MLIR without StableHLO's dialect reads it too.
        out.push_str(&format!("    %{name} = \"stablehlo.convert\"({value}) : ({from}) -> {to}\n"));
        format!("%{name}")
    };
    let mut body = String::new();
    let mut operands = Vec::new();
    for (index, (port, given)) in prepared.params.iter().zip(&given_params).enumerate() {
        let value = format!("%arg{index}");
        operands.push(match is_own(&port.ty, &port.written) {
            true => value,
            false => {
                convert(&mut body, &format!("in{index}"), given, &value, &format!("tensor<{}>", port.written))
            }
        });
    }
    let count = prepared.results.len();
    let operands = list(operands);
    body.push_str(&format!(
        "    %r:{count} = func.call @{}({operands}) : ({params}) -> ({results})\n",
        prepared.symbol
    ));
    let mut returned = Vec::new();
    for (index, (port, given)) in prepared.results.iter().zip(&given_results).enumerate() {
        let value = format!("%r#{index}");
        let from = format!("tensor<{}>", port.written);
        returned.push(match is_own(&port.ty, &port.written) {
            true => value,
            false => convert(&mut body, &format!("out{index}"), &from, &value, given),
        });
    }
    let arguments = given_params.iter().enumerate().map(|(index, ty)| format!("%arg{index}: {ty}")).collect();
    let symbol = format!("{prefix}.converted");
    prepared.text.push_str(&format!(
        "  func.func private @{symbol}({}) -> ({results_given}) {{\n{body}    return {} : {results_given}\n  }}\n",
        list(arguments),
        list(returned),
        results_given = list(given_results),
    ));
    Prepared { symbol, ..prepared }
}

/// What is in the brackets of a type of the IR's, in StableHLO.
fn inside(ty: &TensorType) -> String {
    let dims: String = ty.shape.dims().iter().map(|dim| format!("{dim}x")).collect();
    dims + stablehlo_name(ty.dtype)
}
