//! What a program computes, in a form that is equal where every bit is.

use crate::graph::Value;
use crate::interp::{Data, InterpError, Tensor, evaluate};
use crate::verify::Verified;

/// Type and elements of every result of the entry, floats as bits, with one NaN.
///
/// # Errors
/// The inputs do not fit the entry, or the interpreter refuses the program.
pub fn results(module: &Verified, inputs: &[Vec<f64>]) -> Result<Vec<(String, Vec<i128>)>, InterpError> {
    let Some(function) = module.module().entry() else { return Ok(Vec::new()) };
    let tensor =
        |(&param, values): (&Value, &Vec<f64>)| Tensor::from_f64s(function.ty(param).clone(), values);
    let inputs: Vec<Tensor> = function.params.iter().zip(inputs).map(tensor).collect::<Result<_, _>>()?;
    let bits = |tensor: Tensor| {
        let elements = match tensor.data() {
            Data::Float(values) => {
                let canonical = |value: &f64| if value.is_nan() { f64::NAN } else { *value };
                values.iter().map(|value| i128::from(canonical(value).to_bits())).collect()
            }
            Data::Int(values) => values.clone(),
            Data::Bool(values) => values.iter().map(|&value| i128::from(value)).collect(),
        };
        (tensor.ty().to_string(), elements)
    };
    Ok(evaluate(module, &inputs)?.into_iter().map(bits).collect())
}
