//! Maps a function over a new leading dimension, IR to IR.
//!
//! What was computed for one row is computed for all rows at once: every value that depends on a mapped parameter
//! gets the new dimension in front, and every operation becomes one or a few that treat its rows alike. There is one
//! rule per operation. Values that depend on no mapped parameter are computed once, as before.

mod conv;
mod emit;
mod rules;

use crate::graph::{Function, Origin, Value};
use crate::types::{Shape, TensorType};
use crate::verify::{Violations, verify_function};

use emit::{Emitter, Refused};

/// Why a function cannot be mapped over a new dimension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VectorizeError {
    /// It was not said of every parameter whether it is mapped.
    #[error("function `{function}` has {params} parameters, but {found} flags say which are mapped")]
    Flags {
        /// The function.
        function: String,
        /// How many parameters there are.
        params: usize,
        /// How many flags were given.
        found: usize,
    },
    /// The function calls or repeats another one.
    #[error(
        "function `{function}` has a {operation} of another (made at {origin}); only functions without calls and \
         loops can be mapped"
    )]
    Call {
        /// The function.
        function: String,
        /// `call` or `loop`.
        operation: &'static str,
        /// Where the call or loop was made.
        origin: Origin,
    },
    /// The function breaks an invariant of the IR.
    #[error("the function to map is malformed: {0}")]
    Malformed(Violations),
    /// With the new dimension, a value of the function is too large, or too many rows draw random bits of their own.
    #[error("in function `{function}`, what was made at {origin} cannot have {size} rows: {message}")]
    TooLarge {
        /// The function.
        function: String,
        /// Where the instruction was made.
        origin: Origin,
        /// The size of the new dimension.
        size: usize,
        /// What is wrong.
        message: String,
    },
}

/// The function that maps `function` over a new leading dimension of `size` on the parameters marked in `batched`;
/// the others are shared by all rows. Every result gets the leading dimension.
///
/// It is named after `function` with `_vectorized` appended, and keeps the names of values, the scopes and the
/// places of instructions. Each row of a result is what `function` gives for that row of the parameters, up to the
/// order of sums in a dot and the sign of a zero taken by an index of its own row.
///
/// # Errors
/// If `batched` has not one flag for each parameter, the function calls or repeats another or is malformed, a value
/// would be too large, or too many rows draw random bits of their own.
///
/// ```
/// use natgrad_ir::{Builder, DType, TensorType, interp, vectorize};
///
/// let mut b = Builder::new("scaled_sum");
/// let x = b.param("x", TensorType::new(DType::F32, [3]));
/// let scale = b.param("scale", TensorType::scalar(DType::F32));
/// let sum = b.sum(x, &[0]);
/// let scaled = b.mul(sum, scale);
/// let rows = vectorize::vectorize(&b.finish(&[scaled]).unwrap(), &[true, false], 2).unwrap();
/// let x = interp::Tensor::from_f32s([2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
/// let scale = interp::Tensor::scalar(DType::F32, 10.0);
/// let results = interp::evaluate_flat(&rows, &[x, scale], interp::Precision::AsTyped).unwrap();
/// assert_eq!(results[0].to_f32s(), [60.0, 150.0]);
/// ```
pub fn vectorize(function: &Function, batched: &[bool], size: usize) -> Result<Function, VectorizeError> {
    check(function, batched)?;
    mapped(function, batched, size).map_err(|(origin, message)| {
        let function = function.name.clone();
        VectorizeError::TooLarge { function, origin, size, message }
    })
}

fn mapped(function: &Function, batched: &[bool], size: usize) -> Result<Function, Refused> {
    let mut e = Emitter::new(format!("{}_vectorized", function.name), function.values.len(), size);
    for (&param, &batched) in function.params.iter().zip(batched) {
        e.param(param, function.value(param), batched)?;
    }
    for inst in &function.insts {
        e.follow(inst);
        let Some(&result) = inst.results.first() else { continue };
        let (value, batched) = rules::map(&mut e, &inst.op, &inst.operands)?;
        e.define(result, value, batched, function.value(result).name.as_deref());
    }
    e.follow_none();
    for &result in &function.results {
        let value = e.rows(result)?;
        e.returns(value);
    }
    Ok(e.finish())
}

fn check(function: &Function, batched: &[bool]) -> Result<(), VectorizeError> {
    let name = || function.name.clone();
    if batched.len() != function.params.len() {
        let (params, found) = (function.params.len(), batched.len());
        return Err(VectorizeError::Flags { function: name(), params, found });
    }
    if let Some(inst) = function.insts.iter().find(|inst| inst.op.callee().is_some()) {
        let (operation, origin) = (inst.op.name(), inst.origin);
        return Err(VectorizeError::Call { function: name(), operation, origin });
    }
    verify_function(function).map_err(VectorizeError::Malformed)
}

/// The type with a leading dimension of `size`.
fn with_rows(ty: &TensorType, size: usize) -> TensorType {
    TensorType { dtype: ty.dtype, shape: Shape::new([&[size], ty.shape.dims()].concat()) }
}

/// A value of the mapped function, and whether it has the new dimension.
type Mapped = (Value, bool);
