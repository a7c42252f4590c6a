//! A slow, obvious interpreter: the oracle for gradient and lowering tests.
//!
//! Floats are held as doubles and rounded to their element type after every operation. For `f32` this makes
//! `+ - * /` and the square root exactly rounded; other functions are those of double precision, rounded once.
//! Dots and sums accumulate in double precision and are rounded once. Integers wrap.

mod conv;
mod layout;
mod philox;
mod scalar;
mod tensor;

use crate::graph::{FuncId, Function, InstData, Module, Value};
use crate::infer::{Signature, infer};
use crate::literal::wrap_to;
use crate::op::{CompareOp, Op};
use crate::types::{DType, TensorType};
use crate::verify::Verified;

pub use tensor::{Data, Tensor};

/// The most elements that a value may have: larger programs are not for an interpreter.
pub const MAX_ELEMENTS: usize = 1 << 27;

/// How floats are rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// To their element type, after every operation.
    #[default]
    AsTyped,
    /// Never: every operation is in double precision, whatever the element type. Constants remain as the
    /// program holds them, rounded to their element type.
    F64,
}

/// Why a program cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterpError {
    /// A tensor was asked for with the wrong number of elements.
    #[error("a tensor of type {ty} has {} elements, not {found}", ty.shape.elements())]
    ElementCount {
        /// The type.
        ty: TensorType,
        /// The number of elements given.
        found: usize,
    },
    /// The wrong number of inputs was given.
    #[error("function `{function}` takes {wanted} inputs, not {found}")]
    InputCount {
        /// The function.
        function: String,
        /// How many it takes.
        wanted: usize,
        /// How many were given.
        found: usize,
    },
    /// An input has the wrong type.
    #[error("input {index} of function `{function}`, {name}, is {wanted}, not {found}")]
    InputType {
        /// The function.
        function: String,
        /// Which input.
        index: usize,
        /// How the parameter is written, e.g. `%x`.
        name: String,
        /// The type of the parameter.
        wanted: TensorType,
        /// The type of the input.
        found: TensorType,
    },
    /// The module has no such function.
    #[error("the module has {functions} functions; there is none with index {index}")]
    NoFunction {
        /// How many functions there are.
        functions: usize,
        /// The index asked for.
        index: usize,
    },
    /// A value is too large to be interpreted.
    #[error("{ty} has more than {MAX_ELEMENTS} elements, too many for the interpreter")]
    TooLarge {
        /// The type of the value.
        ty: TensorType,
    },
    /// The function breaks an invariant of the IR; the verifier says more.
    #[error("the program is malformed: {message}")]
    Malformed {
        /// What is wrong.
        message: String,
    },
}

/// Runs the entry function, rounding floats to their element type.
///
/// # Errors
/// If inputs do not fit the parameters, or a value is too large.
pub fn evaluate(module: &Verified, inputs: &[Tensor]) -> Result<Vec<Tensor>, InterpError> {
    evaluate_with(module, inputs, Precision::AsTyped)
}

/// Runs the entry function.
///
/// # Errors
/// If inputs do not fit the parameters, or a value is too large.
pub fn evaluate_with(
    module: &Verified,
    inputs: &[Tensor],
    precision: Precision,
) -> Result<Vec<Tensor>, InterpError> {
    let module = module.module();
    let entry = FuncId::from_index(module.functions.len().saturating_sub(1));
    evaluate_function(module, entry, inputs, precision)
}

/// Runs one function of a module, which need not be verified.
///
/// # Errors
/// If there is no such function, inputs do not fit the parameters, a value is too large, or the function breaks
/// an invariant of the IR.
pub fn evaluate_function(
    module: &Module,
    function: FuncId,
    inputs: &[Tensor],
    precision: Precision,
) -> Result<Vec<Tensor>, InterpError> {
    run(&module.functions, function.index(), inputs, precision)
}

/// Runs a function that calls no other.
///
/// # Errors
/// If inputs do not fit the parameters, a value is too large, or the function breaks an invariant of the IR.
pub fn evaluate_flat(
    function: &Function,
    inputs: &[Tensor],
    precision: Precision,
) -> Result<Vec<Tensor>, InterpError> {
    run(std::slice::from_ref(function), 0, inputs, precision)
}

fn malformed(message: impl Into<String>) -> InterpError {
    InterpError::Malformed { message: message.into() }
}

fn run(
    functions: &[Function],
    index: usize,
    inputs: &[Tensor],
    precision: Precision,
) -> Result<Vec<Tensor>, InterpError> {
    let Some(function) = functions.get(index) else {
        return Err(InterpError::NoFunction { functions: functions.len(), index });
    };
    let mut values: Vec<Option<Tensor>> = vec![None; function.values.len()];
    bind_inputs(function, inputs, precision, &mut values)?;
    for inst in &function.insts {
        let mut operands: Vec<&Tensor> = Vec::with_capacity(inst.operands.len());
        for &operand in &inst.operands {
            let tensor = values.get(operand.index()).and_then(Option::as_ref);
            operands.push(tensor.ok_or_else(|| undefined(function, operand))?);
        }
        let results = step(&functions[..index], inst, &operands, precision)?;
        for (&value, result) in inst.results.iter().zip(results) {
            let slot = values.get_mut(value.index()).ok_or_else(|| undefined(function, value))?;
            *slot = Some(result);
        }
    }
    let result = |&value: &Value| {
        values.get(value.index()).cloned().flatten().ok_or_else(|| undefined(function, value))
    };
    function.results.iter().map(result).collect()
}

fn undefined(function: &Function, value: Value) -> InterpError {
    malformed(format!("{} of function `{}` is not defined", function.label(value), function.name))
}

fn bind_inputs(
    function: &Function,
    inputs: &[Tensor],
    precision: Precision,
    values: &mut [Option<Tensor>],
) -> Result<(), InterpError> {
    if inputs.len() != function.params.len() {
        return Err(InterpError::InputCount {
            function: function.name.clone(),
            wanted: function.params.len(),
            found: inputs.len(),
        });
    }
    for (index, (&param, input)) in function.params.iter().zip(inputs).enumerate() {
        let data = function.values.get(param.index()).ok_or_else(|| undefined(function, param))?;
        if data.ty != *input.ty() {
            return Err(InterpError::InputType {
                function: function.name.clone(),
                index,
                name: function.label(param),
                wanted: data.ty.clone(),
                found: input.ty().clone(),
            });
        }
        check_size(input.ty())?;
        let mut input = input.clone();
        if precision == Precision::AsTyped {
            input.round();
        }
        values[param.index()] = Some(input);
    }
    Ok(())
}

/// Runs one instruction. `callees` are the functions that it may call or repeat.
fn step(
    callees: &[Function],
    inst: &InstData,
    operands: &[&Tensor],
    precision: Precision,
) -> Result<Vec<Tensor>, InterpError> {
    let types: Vec<&TensorType> = operands.iter().map(|operand| operand.ty()).collect();
    if let Op::Call { callee, kind: _ } = &inst.op {
        let inputs: Vec<Tensor> = operands.iter().map(|&operand| operand.clone()).collect();
        return run(callees, callee.index(), &inputs, precision);
    }
    if let Op::Loop { body, carried } = &inst.op {
        return repeat(callees, *body, *carried, operands, precision);
    }
    if let Op::Foreign(foreign) = &inst.op {
        return Err(malformed(format!(
            "`{}` is from elsewhere: it is known as StableHLO only",
            foreign.symbol
        )));
    }
    // The operations rely on their type rules, so that they cannot fail.
    let result_types =
        infer(&inst.op, &types, None::<&Signature>).map_err(|error| malformed(error.to_string()))?;
    let [ty] = result_types.as_slice() else {
        return Err(malformed(format!("{} has {} results", inst.op.name(), result_types.len())));
    };
    check_size(ty)?;
    let mut result = apply(&inst.op, operands, ty.clone(), precision)?;
    if precision == Precision::AsTyped {
        result.round();
    }
    Ok(vec![result])
}

/// Runs a loop.
fn repeat(
    callees: &[Function],
    body: FuncId,
    carried: usize,
    operands: &[&Tensor],
    precision: Precision,
) -> Result<Vec<Tensor>, InterpError> {
    let values: Vec<Tensor> = operands.iter().skip(1).map(|&operand| operand.clone()).collect();
    let count = operands.first().map(|count| count.to_ints());
    let (Some([count]), Some((state, invariants))) = (count.as_deref(), values.split_at_checked(carried))
    else {
        return Err(malformed(format!("loop of {} operands that carries {carried} values", operands.len())));
    };
    let mut state = state.to_vec();
    for index in 0..*count {
        let index = Tensor::from_data(TensorType::scalar(DType::U32), Data::Int(vec![index]));
        let inputs = [&[index], state.as_slice(), invariants].concat();
        state = run(callees, body.index(), &inputs, precision)?;
        if state.len() != carried {
            return Err(malformed(format!(
                "a loop carries {carried} values, its body makes {}",
                state.len()
            )));
        }
    }
    Ok(state)
}

/// Refuses types whose walks are too long: empty dimensions count as one, for a walk may skip them.
fn check_size(ty: &TensorType) -> Result<(), InterpError> {
    let walk = ty.shape.dims().iter().fold(1usize, |product, &dim| product.saturating_mul(dim.max(1)));
    if walk > MAX_ELEMENTS { Err(InterpError::TooLarge { ty: ty.clone() }) } else { Ok(()) }
}

/// Applies an operation other than a call or loop to operands that satisfy its type rule.
fn apply(op: &Op, operands: &[&Tensor], ty: TensorType, precision: Precision) -> Result<Tensor, InterpError> {
    let kind = || malformed(format!("{} does not take elements of this kind", op.name()));
    let data = match (op, operands) {
        (Op::Constant(literal), _) => return Ok(Tensor::from_sound_literal(literal)),
        (Op::Iota { dim, .. }, _) => return Ok(layout::iota(ty, *dim)),
        (Op::Unary(unary), [x]) => match x.data() {
            Data::Float(x) => {
                x.iter().map(|&x| scalar::unary_float(*unary, x)).collect::<Option<_>>().map(Data::Float)
            }
            Data::Int(x) => {
                let one = |&x: &i128| scalar::unary_int(*unary, x).map(|value| wrap_to(ty.dtype, value));
                x.iter().map(one).collect::<Option<_>>().map(Data::Int)
            }
            Data::Bool(x) => Some(Data::Bool(x.iter().map(|x| !x).collect())),
        }
        .ok_or_else(kind)?,
        (Op::Binary(binary), [x, y]) => match (x.data(), y.data()) {
            (Data::Float(x), Data::Float(y)) => {
                let pairs = x.iter().zip(y).map(|(&x, &y)| scalar::binary_float(*binary, x, y));
                pairs.collect::<Option<_>>().map(Data::Float)
            }
            (Data::Int(x), Data::Int(y)) => {
                let one = |(&x, &y): (&i128, &i128)| {
                    let value = scalar::binary_int(*binary, ty.dtype, x, y)?;
                    Some(wrap_to(ty.dtype, value))
                };
                x.iter().zip(y).map(one).collect::<Option<_>>().map(Data::Int)
            }
            (Data::Bool(x), Data::Bool(y)) => {
                let pairs = x.iter().zip(y).map(|(&x, &y)| scalar::binary_bool(*binary, x, y));
                pairs.collect::<Option<_>>().map(Data::Bool)
            }
            (Data::Float(_) | Data::Int(_) | Data::Bool(_), _) => None,
        }
        .ok_or_else(kind)?,
        (Op::Compare(compare), [x, y]) => match (x.data(), y.data()) {
            (Data::Float(x), Data::Float(y)) => compare_all(*compare, x, y),
            (Data::Int(x), Data::Int(y)) => compare_all(*compare, x, y),
            (Data::Bool(x), Data::Bool(y)) => compare_all(*compare, x, y),
            (Data::Float(_) | Data::Int(_) | Data::Bool(_), _) => return Err(kind()),
        },
        (Op::Select, [condition, on_true, on_false]) => {
            let Data::Bool(condition) = condition.data() else { return Err(kind()) };
            match (on_true.data(), on_false.data()) {
                (Data::Float(x), Data::Float(y)) => Data::Float(choose(condition, x, y)),
                (Data::Int(x), Data::Int(y)) => Data::Int(choose(condition, x, y)),
                (Data::Bool(x), Data::Bool(y)) => Data::Bool(choose(condition, x, y)),
                (Data::Float(_) | Data::Int(_) | Data::Bool(_), _) => return Err(kind()),
            }
        }
        (Op::Convert { dtype }, [x]) => convert(x.data(), *dtype, precision),
        (Op::Broadcast { dims, .. }, [x]) => return Ok(layout::broadcast(x, ty, dims)),
        (Op::Reshape { .. }, [x]) => x.data().clone(),
        (Op::Transpose { perm }, [x]) => return Ok(layout::transpose(x, ty, perm)),
        (Op::Slice { starts, strides, .. }, [x]) => return Ok(layout::slice(x, ty, starts, strides)),
        (Op::Pad { low, interior, .. }, [x, value]) => return Ok(layout::pad(x, value, ty, low, interior)),
        (Op::Concat { dim }, _) => return Ok(layout::concat(operands, ty, *dim)),
        (Op::Reduce { op, dims }, [x]) => return Ok(layout::reduce(*op, x, ty, dims)),
        (Op::Dot(dims), [x, y]) => return Ok(layout::dot(x, y, ty, dims)),
        (Op::Conv(dims), [x, kernel]) => return Ok(conv::conv(x, kernel, ty, dims)),
        (Op::Reverse { dims }, [x]) => return Ok(layout::reverse(x, ty, dims)),
        (Op::Take, [x, indices]) => return Ok(conv::take(x, indices, ty)),
        (Op::ScatterAdd, [x, indices, slices]) => return Ok(conv::scatter_add(x, indices, slices, ty)),
        (Op::Philox { .. }, [state]) => philox::bits(state, &ty),
        (Op::At, [x, index]) => return Ok(layout::at(x, index, ty)),
        (
            Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::Convert { .. }
            | Op::Broadcast { .. }
            | Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Pad { .. }
            | Op::Reduce { .. }
            | Op::Dot(_)
            | Op::Conv(_)
            | Op::Reverse { .. }
            | Op::Take
            | Op::ScatterAdd
            | Op::At
            | Op::Philox { .. }
            | Op::Call { .. }
            | Op::Loop { .. }
            | Op::Foreign(_),
            _,
        ) => return Err(malformed(format!("{} of {} operands", op.name(), operands.len()))),
    };
    Ok(Tensor::from_data(ty, data))
}

fn compare_all<T: PartialOrd>(op: CompareOp, x: &[T], y: &[T]) -> Data {
    Data::Bool(x.iter().zip(y).map(|(x, y)| scalar::compare(op, x, y)).collect())
}

fn choose<T: Copy>(condition: &[bool], on_true: &[T], on_false: &[T]) -> Vec<T> {
    let pairs = on_true.iter().zip(on_false);
    condition.iter().zip(pairs).map(|(&condition, (&x, &y))| if condition { x } else { y }).collect()
}

/// Converts elements; floats are rounded by the caller.
fn convert(data: &Data, dtype: DType, precision: Precision) -> Data {
    match (data, dtype) {
        (Data::Float(x), DType::F64 | DType::F32 | DType::BF16 | DType::F16) => Data::Float(x.clone()),
        (Data::Float(x), DType::S32 | DType::U32 | DType::U64) => {
            Data::Int(x.iter().map(|&x| scalar::float_to_int(dtype, x)).collect())
        }
        (Data::Float(x), DType::Bool) => Data::Bool(x.iter().map(|&x| x != 0.0).collect()),
        // Straight to single precision where that is asked for, so that large integers are rounded once.
        (Data::Int(x), DType::F32) if precision == Precision::AsTyped => {
            Data::Float(x.iter().map(|&x| f64::from(x as f32)).collect())
        }
        (Data::Int(x), DType::F64 | DType::F32 | DType::BF16 | DType::F16) => {
            Data::Float(x.iter().map(|&x| x as f64).collect())
        }
        (Data::Int(x), DType::S32 | DType::U32 | DType::U64) => {
            Data::Int(x.iter().map(|&x| wrap_to(dtype, x)).collect())
        }
        (Data::Int(x), DType::Bool) => Data::Bool(x.iter().map(|&x| x != 0).collect()),
        (Data::Bool(x), DType::F64 | DType::F32 | DType::BF16 | DType::F16) => {
            Data::Float(x.iter().map(|&x| f64::from(u8::from(x))).collect())
        }
        (Data::Bool(x), DType::S32 | DType::U32 | DType::U64) => {
            Data::Int(x.iter().map(|&x| i128::from(x)).collect())
        }
        (Data::Bool(x), DType::Bool) => Data::Bool(x.clone()),
    }
}

#[cfg(test)]
mod tests;
