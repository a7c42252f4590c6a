//! The type rule of every operation.

use crate::literal::Elements;
use crate::op::{CallKind, ConvDims, Domain, DotDims, Op, dilated};
use crate::types::{DType, Shape, TensorType};

/// Why an operation does not accept its operands or attributes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TypeError(String);

macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition { return Err(TypeError(format!($($message)*))); }
    };
}

/// Parameter and result types of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Types of the parameters.
    pub params: Vec<TensorType>,
    /// Types of the results.
    pub results: Vec<TensorType>,
}

/// The result types of `op` on operands of these types. `callee` is the signature of the function that a call
/// or a loop names, and is not used otherwise.
///
/// # Errors
/// Says which operand or attribute is wrong and what would be right.
pub fn infer(
    op: &Op,
    operands: &[&TensorType],
    callee: Option<&Signature>,
) -> Result<Vec<TensorType>, TypeError> {
    if let Some(id) = op.callee() {
        let name = op.name();
        let Some(signature) = callee else {
            return Err(TypeError(format!("{name} of function {}, which does not exist", id.index())));
        };
        check_operands(name, operands, signature)?;
        if let Op::Loop { body: _, carried } = op {
            check_body(signature, *carried)?;
        }
        if let Op::Call { callee: _, kind: CallKind::Fuse } = op {
            ensure!(
                signature.results.len() == 1,
                "a fused call gives {} results, not one",
                signature.results.len()
            );
        }
        return Ok(signature.results.clone());
    }
    if let Op::Foreign(foreign) = op {
        check_operands(op.name(), operands, &foreign.signature)?;
        return Ok(foreign.signature.results.clone());
    }
    let result = infer_one(op, operands)?;
    ensure!(
        result.shape.checked_elements().is_some(),
        "the result {result} has too many elements (2^48 or more)"
    );
    Ok(vec![result])
}

fn infer_one(op: &Op, operands: &[&TensorType]) -> Result<TensorType, TypeError> {
    match op {
        Op::Constant(literal) => {
            arity(op, operands, 0)?;
            match &literal.elements {
                Elements::Splat(element) => {
                    ensure!(element.fits(literal.ty.dtype), "constant {element:?} is no {}", literal.ty.dtype)
                }
                Elements::Dense(elements) => {
                    ensure!(
                        Some(elements.len()) == literal.ty.shape.checked_elements(),
                        "constant of type {} has {} elements",
                        literal.ty,
                        elements.len()
                    );
                    let misfit = elements.iter().find(|element| !element.fits(literal.ty.dtype));
                    ensure!(misfit.is_none(), "constant element {misfit:?} is no {}", literal.ty.dtype);
                }
            }
            Ok(literal.ty.clone())
        }
        Op::Iota { dtype, shape, dim } => {
            arity(op, operands, 0)?;
            ensure!(*dtype != DType::Bool, "iota cannot be bool");
            ensure!(*dim < shape.rank(), "iota dimension {dim} of a shape of rank {}", shape.rank());
            Ok(TensorType::new(*dtype, shape.clone()))
        }
        Op::Unary(unary) => {
            arity(op, operands, 1)?;
            in_domain(op, unary.domain().accepts(operands[0].dtype), operands[0], unary.domain().describe())?;
            Ok(operands[0].clone())
        }
        Op::Binary(binary) => {
            same_types(op, operands)?;
            in_domain(
                op,
                binary.domain().accepts(operands[0].dtype),
                operands[0],
                binary.domain().describe(),
            )?;
            Ok(operands[0].clone())
        }
        Op::Compare(compare) => {
            same_types(op, operands)?;
            in_domain(
                op,
                compare.domain().accepts(operands[0].dtype),
                operands[0],
                compare.domain().describe(),
            )?;
            Ok(operands[0].with_dtype(DType::Bool))
        }
        Op::Select => {
            arity(op, operands, 3)?;
            ensure!(operands[0].dtype == DType::Bool, "select condition is {}, not bool", operands[0]);
            ensure!(
                operands[1] == operands[2],
                "select chooses between {} and {}: the types must be equal",
                operands[1],
                operands[2]
            );
            ensure!(
                operands[0].shape == operands[1].shape,
                "select condition {} and values {} must have one shape",
                operands[0],
                operands[1]
            );
            Ok(operands[1].clone())
        }
        Op::Convert { dtype } => {
            arity(op, operands, 1)?;
            Ok(operands[0].with_dtype(*dtype))
        }
        Op::Broadcast { shape, dims } => {
            arity(op, operands, 1)?;
            let operand = operands[0];
            ensure!(
                dims.len() == operand.rank(),
                "broadcast of {operand} names {} dimensions, not {}",
                dims.len(),
                operand.rank()
            );
            ensure!(increasing(dims), "broadcast dimensions {dims:?} must increase");
            for (from, &to) in dims.iter().enumerate() {
                ensure!(to < shape.rank(), "broadcast dimension {to} of a shape of rank {}", shape.rank());
                ensure!(
                    operand.shape.dims()[from] == shape.dims()[to],
                    "broadcast maps dimension {from} of {operand} to dimension {to} of {shape}: sizes differ"
                );
            }
            Ok(TensorType::new(operand.dtype, shape.clone()))
        }
        Op::Reshape { shape } => {
            arity(op, operands, 1)?;
            ensure!(
                operands[0].shape.checked_elements() == shape.checked_elements(),
                "reshape of {} to {shape} changes the number of elements",
                operands[0]
            );
            Ok(TensorType::new(operands[0].dtype, shape.clone()))
        }
        Op::Transpose { perm } => {
            arity(op, operands, 1)?;
            let mut sorted = perm.clone();
            sorted.sort_unstable();
            ensure!(
                sorted.iter().copied().eq(0..operands[0].rank()),
                "{perm:?} is no permutation of the dimensions of {}",
                operands[0]
            );
            let dims: Vec<usize> = perm.iter().map(|&axis| operands[0].shape.dims()[axis]).collect();
            Ok(TensorType::new(operands[0].dtype, dims.as_slice()))
        }
        Op::Slice { starts, limits, strides } => infer_slice(op, operands, starts, limits, strides),
        Op::Pad { low, high, interior } => infer_pad(op, operands, low, high, interior),
        Op::Concat { dim } => infer_concat(operands, *dim),
        Op::Reduce { op: reduce, dims } => {
            arity(op, operands, 1)?;
            let operand = operands[0];
            in_domain(op, reduce.domain().accepts(operand.dtype), operand, reduce.domain().describe())?;
            ensure!(increasing(dims), "reduced dimensions {dims:?} must increase");
            ensure!(
                dims.iter().all(|&dim| dim < operand.rank()),
                "reduced dimensions {dims:?} of {operand}: out of range"
            );
            let kept: Vec<usize> = (0..operand.rank())
                .filter(|axis| !dims.contains(axis))
                .map(|axis| operand.shape.dims()[axis])
                .collect();
            Ok(TensorType::new(operand.dtype, kept.as_slice()))
        }
        Op::Dot(dims) => infer_dot(op, operands, dims),
        Op::Conv(dims) => infer_conv(op, operands, dims),
        Op::Reverse { dims } => {
            arity(op, operands, 1)?;
            let operand = operands[0];
            ensure!(increasing(dims), "reversed dimensions {dims:?} must increase");
            ensure!(
                dims.iter().all(|&dim| dim < operand.rank()),
                "reversed dimensions {dims:?} of {operand}: out of range"
            );
            Ok(operand.clone())
        }
        Op::Take => {
            arity(op, operands, 2)?;
            Ok(TensorType::new(operands[0].dtype, taken(op, operands[0], operands[1])?))
        }
        Op::ScatterAdd => {
            arity(op, operands, 3)?;
            let [x, indices, slices] = [operands[0], operands[1], operands[2]];
            in_domain(op, x.dtype != DType::Bool, x, Domain::Number.describe())?;
            let wanted = TensorType::new(x.dtype, taken(op, x, indices)?);
            ensure!(*slices == wanted, "the slices of {} are {slices}, not {wanted}", op.name());
            Ok(x.clone())
        }
        Op::At => {
            arity(op, operands, 2)?;
            let operand = operands[0];
            ensure!(
                *operands[1] == TensorType::scalar(DType::U32),
                "the index of at is {}, not {}",
                operands[1],
                TensorType::scalar(DType::U32)
            );
            let Some((&size, rest)) = operand.shape.dims().split_first() else {
                return Err(TypeError(format!("at of {operand}, which has no dimension to index")));
            };
            ensure!(size > 0, "at of {operand}, which has nothing to take");
            Ok(TensorType::new(operand.dtype, rest))
        }
        Op::Philox { shape } => {
            arity(op, operands, 1)?;
            let state = TensorType::new(DType::U64, [2]);
            ensure!(*operands[0] == state, "the state of philox is {}, not {state}", operands[0]);
            Ok(TensorType::new(DType::U32, shape.clone()))
        }
        Op::Call { .. } | Op::Loop { .. } | Op::Foreign(_) => {
            Err(TypeError(format!("{} has no single result", op.name())))
        }
    }
}

/// Checks the operands of a call.
fn check_operands(name: &str, operands: &[&TensorType], signature: &Signature) -> Result<(), TypeError> {
    ensure!(
        operands.len() == signature.params.len(),
        "{name} takes {} operands but has {}",
        signature.params.len(),
        operands.len()
    );
    for (index, (operand, param)) in operands.iter().zip(&signature.params).enumerate() {
        ensure!(*operand == param, "operand {index} of {name} is {operand} but the parameter is {param}");
    }
    Ok(())
}

/// Checks that a function can be the body of a loop.
fn check_body(body: &Signature, carried: usize) -> Result<(), TypeError> {
    let index = TensorType::scalar(DType::U32);
    let first = body.params.first();
    ensure!(first == Some(&index), "the first parameter of a loop's body is the index, {index}");
    ensure!(
        body.results.len() == carried,
        "a loop that carries {carried} values has a body with {} results",
        body.results.len()
    );
    ensure!(
        carried < body.params.len(),
        "a loop carries {carried} values but its body has {} parameters after the index",
        body.params.len().saturating_sub(1)
    );
    for (position, (result, param)) in body.results.iter().zip(&body.params[1..]).enumerate() {
        ensure!(result == param, "the body of a loop makes {result} of carried value {position}, a {param}");
    }
    Ok(())
}

fn infer_slice(
    op: &Op,
    operands: &[&TensorType],
    starts: &[usize],
    limits: &[usize],
    strides: &[usize],
) -> Result<TensorType, TypeError> {
    arity(op, operands, 1)?;
    let operand = operands[0];
    let rank = operand.rank();
    ensure!(
        [starts.len(), limits.len(), strides.len()] == [rank; 3],
        "slice of {operand} needs {rank} starts, limits and strides"
    );
    let mut dims = Vec::with_capacity(rank);
    for axis in 0..rank {
        let (start, limit, stride, size) =
            (starts[axis], limits[axis], strides[axis], operand.shape.dims()[axis]);
        ensure!(
            start <= limit && limit <= size,
            "slice [{start}, {limit}) of dimension {axis} of {operand} is out of range"
        );
        ensure!(stride >= 1, "slice stride of dimension {axis} must be at least 1");
        dims.push((limit - start).div_ceil(stride));
    }
    Ok(TensorType::new(operand.dtype, dims.as_slice()))
}

fn infer_pad(
    op: &Op,
    operands: &[&TensorType],
    low: &[usize],
    high: &[usize],
    interior: &[usize],
) -> Result<TensorType, TypeError> {
    arity(op, operands, 2)?;
    let operand = operands[0];
    let rank = operand.rank();
    ensure!(
        *operands[1] == TensorType::scalar(operand.dtype),
        "padding value is {}, not {}[]",
        operands[1],
        operand.dtype
    );
    ensure!(
        [low.len(), high.len(), interior.len()] == [rank; 3],
        "pad of {operand} needs {rank} low, high and interior counts"
    );
    let mut dims = Vec::with_capacity(rank);
    for axis in 0..rank {
        let size = operand.shape.dims()[axis];
        let padded = size
            .saturating_sub(1)
            .checked_mul(interior[axis])
            .and_then(|between| between.checked_add(size))
            .and_then(|inner| inner.checked_add(low[axis]))
            .and_then(|inner| inner.checked_add(high[axis]));
        let Some(padded) = padded else {
            return Err(TypeError(format!("padded dimension {axis} of {operand} overflows")));
        };
        dims.push(padded);
    }
    Ok(TensorType::new(operand.dtype, dims.as_slice()))
}

fn infer_concat(operands: &[&TensorType], dim: usize) -> Result<TensorType, TypeError> {
    let Some((first, rest)) = operands.split_first() else {
        return Err(TypeError("concat needs at least one operand".to_string()));
    };
    ensure!(dim < first.rank(), "concat dimension {dim} of {first}");
    let mut dims = first.shape.dims().to_vec();
    for operand in rest {
        let agrees = operand.dtype == first.dtype
            && operand.rank() == first.rank()
            && (0..first.rank())
                .all(|axis| axis == dim || operand.shape.dims()[axis] == first.shape.dims()[axis]);
        ensure!(agrees, "concat of {first} and {operand} along dimension {dim}");
        let Some(size) = dims[dim].checked_add(operand.shape.dims()[dim]) else {
            return Err(TypeError(format!("concat along dimension {dim} overflows")));
        };
        dims[dim] = size;
    }
    Ok(TensorType::new(first.dtype, dims.as_slice()))
}

fn infer_dot(op: &Op, operands: &[&TensorType], dims: &DotDims) -> Result<TensorType, TypeError> {
    arity(op, operands, 2)?;
    let (lhs, rhs) = (operands[0], operands[1]);
    ensure!(lhs.dtype == rhs.dtype, "dot of {lhs} and {rhs}: element types differ");
    ensure!(lhs.dtype.is_float(), "dot of {lhs}: needs a floating-point type");
    ensure!(
        dims.lhs_batch.len() == dims.rhs_batch.len() && dims.lhs_contract.len() == dims.rhs_contract.len(),
        "dot must pair its batch dimensions {:?} x {:?} and contracted dimensions {:?} x {:?}",
        dims.lhs_batch,
        dims.rhs_batch,
        dims.lhs_contract,
        dims.rhs_contract
    );
    for (side, ty, batch, contract) in [
        ("left", lhs, &dims.lhs_batch, &dims.lhs_contract),
        ("right", rhs, &dims.rhs_batch, &dims.rhs_contract),
    ] {
        let mut named: Vec<usize> = batch.iter().chain(contract).copied().collect();
        let count = named.len();
        named.sort_unstable();
        named.dedup();
        ensure!(named.len() == count, "dot names a dimension of its {side} operand twice");
        ensure!(
            named.last().is_none_or(|&axis| axis < ty.rank()),
            "dot names dimension {:?} of its {side} operand {ty}",
            named.last()
        );
    }
    let pairs =
        dims.lhs_batch.iter().zip(&dims.rhs_batch).chain(dims.lhs_contract.iter().zip(&dims.rhs_contract));
    for (&left, &right) in pairs {
        ensure!(
            lhs.shape.dims()[left] == rhs.shape.dims()[right],
            "dot pairs dimension {left} of {lhs} with dimension {right} of {rhs}: sizes differ"
        );
    }
    let lhs_kept = dims.lhs_batch.iter().copied().chain(dims.lhs_free(lhs.rank()));
    let mut out: Vec<usize> = lhs_kept.map(|axis| lhs.shape.dims()[axis]).collect();
    out.extend(dims.rhs_free(rhs.rank()).into_iter().map(|axis| rhs.shape.dims()[axis]));
    Ok(TensorType::new(lhs.dtype, Shape::new(out)))
}

/// The shape of the slices of `x` with these indices.
fn taken(op: &Op, x: &TensorType, indices: &TensorType) -> Result<Shape, TypeError> {
    let name = op.name();
    ensure!(indices.dtype == DType::U32, "the indices of {name} are {indices}, not u32");
    let Some((&size, rest)) = x.shape.dims().split_first() else {
        return Err(TypeError(format!("{name} of {x}, which has no dimension to index")));
    };
    ensure!(size > 0, "{name} of {x}, which has nothing to take");
    Ok(Shape::new([indices.shape.dims(), rest].concat()))
}

fn infer_conv(op: &Op, operands: &[&TensorType], dims: &ConvDims) -> Result<TensorType, TypeError> {
    arity(op, operands, 2)?;
    let (x, kernel) = (operands[0], operands[1]);
    ensure!(x.dtype == kernel.dtype, "conv of {x} and {kernel}: element types differ");
    ensure!(x.dtype.is_float(), "conv of {x}: needs a floating-point type");
    let spatial = dims.spatial();
    ensure!((1..=3).contains(&spatial), "conv over {spatial} dimensions: it takes 1 to 3");
    ensure!(
        [dims.low.len(), dims.high.len(), dims.lhs_dilation.len(), dims.rhs_dilation.len()] == [spatial; 4],
        "conv over {spatial} dimensions needs {spatial} of each attribute"
    );
    ensure!(
        [x.rank(), kernel.rank()] == [spatial + 2; 2],
        "conv over {spatial} dimensions of {x} and {kernel}: both need {} dimensions",
        spatial + 2
    );
    let (xs, ks) = (x.shape.dims(), kernel.shape.dims());
    let (features, part, outputs) = (xs[spatial + 1], ks[spatial], ks[spatial + 1]);
    let groups = dims.groups;
    ensure!(groups >= 1, "conv needs at least 1 group");
    ensure!(
        Some(features) == part.checked_mul(groups),
        "conv in {groups} groups of {x} and {kernel}: {features} features are not {groups} times {part}"
    );
    ensure!(
        outputs.is_multiple_of(groups),
        "conv in {groups} groups has {outputs} outputs, which are no multiple"
    );
    let mut out = vec![xs[0]];
    for axis in 0..spatial {
        let (size, window) = (xs[axis + 1], ks[axis]);
        let (stride, lhs, rhs) = (dims.strides[axis], dims.lhs_dilation[axis], dims.rhs_dilation[axis]);
        ensure!(stride >= 1 && lhs >= 1 && rhs >= 1, "conv strides and dilations must be at least 1");
        ensure!(window >= 1, "conv with the kernel {kernel}: its window must not be empty");
        let padded = dilated(size, lhs)
            .and_then(|size| size.checked_add(dims.low[axis]))
            .and_then(|size| size.checked_add(dims.high[axis]));
        let (Some(padded), Some(window)) = (padded, dilated(window, rhs)) else {
            return Err(TypeError(format!("padded dimension {} of {x} overflows", axis + 1)));
        };
        let room = usize::try_from(padded.saturating_sub(window)).ok();
        out.push(room.map_or(0, |room| room / stride + 1));
    }
    out.push(outputs);
    Ok(TensorType::new(x.dtype, Shape::new(out)))
}

fn arity(op: &Op, operands: &[&TensorType], wanted: usize) -> Result<(), TypeError> {
    ensure!(operands.len() == wanted, "{} takes {wanted} operands but has {}", op.name(), operands.len());
    Ok(())
}

fn same_types(op: &Op, operands: &[&TensorType]) -> Result<(), TypeError> {
    arity(op, operands, 2)?;
    ensure!(
        operands[0] == operands[1],
        "{} of {} and {}: the types must be equal",
        op.name(),
        operands[0],
        operands[1]
    );
    Ok(())
}

fn in_domain(op: &Op, accepted: bool, ty: &TensorType, wanted: &str) -> Result<(), TypeError> {
    ensure!(accepted, "{} of {ty}: needs {wanted}", op.name());
    Ok(())
}

fn increasing(dims: &[usize]) -> bool {
    dims.windows(2).all(|pair| pair[0] < pair[1])
}
