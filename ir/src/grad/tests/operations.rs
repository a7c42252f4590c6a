//! One or more checks of the rule of every operation, and a list of those that have none.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::*;
use crate::literal::{Elements, Scalar};
use crate::op::{BinaryOp, CompareOp, ConvDims, DotDims, ReduceOp, UnaryOp};

/// Where the inputs of a check come from. Each keeps clear of kinks and poles by many steps of the differences.
#[derive(Clone, Copy)]
enum Domain {
    /// Between -2 and 2, and not near zero.
    Signed,
    /// Between 0.4 and 2.
    Positive,
    /// Of both signs, no two near each other across all inputs.
    Distinct,
}

type Build = fn(&mut Builder, &[Value]) -> Value;

/// A check: the operation whose rule it exercises, the shapes of its inputs, and the function.
struct Case {
    op: &'static str,
    domain: Domain,
    inputs: &'static [&'static [usize]],
    build: Build,
}

const fn case(op: &'static str, domain: Domain, inputs: &'static [&'static [usize]], build: Build) -> Case {
    Case { op, domain, inputs, build }
}

fn slice(b: &mut Builder, x: Value, starts: &[usize], limits: &[usize], strides: &[usize]) -> Value {
    let op = Op::Slice { starts: starts.to_vec(), limits: limits.to_vec(), strides: strides.to_vec() };
    b.push(op, vec![x], None)[0]
}

fn pad(b: &mut Builder, operands: [Value; 2], low: &[usize], high: &[usize], interior: &[usize]) -> Value {
    let op = Op::Pad { low: low.to_vec(), high: high.to_vec(), interior: interior.to_vec() };
    b.push(op, operands.to_vec(), None)[0]
}

fn concat(b: &mut Builder, operands: &[Value], dim: usize) -> Value {
    b.push(Op::Concat { dim }, operands.to_vec(), None)[0]
}

fn at(b: &mut Builder, x: Value, index: f64) -> Value {
    let index = b.scalar(DType::U32, index);
    b.at(x, index)
}

fn power(b: &mut Builder, x: Value, exponent: f64) -> Value {
    let exponent = b.full_like(x, exponent);
    b.pow(x, exponent)
}

fn dims(lhs_batch: &[usize], rhs_batch: &[usize], lhs_contract: &[usize], rhs_contract: &[usize]) -> DotDims {
    DotDims {
        lhs_batch: lhs_batch.to_vec(),
        rhs_batch: rhs_batch.to_vec(),
        lhs_contract: lhs_contract.to_vec(),
        rhs_contract: rhs_contract.to_vec(),
    }
}

use Domain::{Distinct, Positive, Signed};

const UNARY: &[Case] = &[
    case("neg", Signed, &[&[3]], |b, p| b.neg(p[0])),
    case("abs", Signed, &[&[2, 3]], |b, p| b.abs(p[0])),
    case("exp", Signed, &[&[3]], |b, p| b.exp(p[0])),
    case("expm1", Signed, &[&[3]], |b, p| b.expm1(p[0])),
    case("log", Positive, &[&[3]], |b, p| b.log(p[0])),
    case("log1p", Positive, &[&[3]], |b, p| b.log1p(p[0])),
    case("sqrt", Positive, &[&[3]], |b, p| b.sqrt(p[0])),
    case("rsqrt", Positive, &[&[3]], |b, p| b.rsqrt(p[0])),
    case("tanh", Signed, &[&[2, 2]], |b, p| b.tanh(p[0])),
    case("logistic", Signed, &[&[3]], |b, p| b.logistic(p[0])),
    case("sin", Signed, &[&[3]], |b, p| b.sin(p[0])),
    case("erf", Signed, &[&[4]], |b, p| b.unary(UnaryOp::Erf, p[0])),
    case("cos", Signed, &[&[]], |b, p| b.cos(p[0])),
];

const BINARY: &[Case] = &[
    case("add", Signed, &[&[3], &[3]], |b, p| b.add(p[0], p[1])),
    case("add", Signed, &[&[3]], |b, p| b.add(p[0], p[0])),
    case("add", Signed, &[&[2, 3], &[]], |b, p| b.add(p[0], p[1])),
    case("sub", Signed, &[&[3], &[3]], |b, p| b.sub(p[0], p[1])),
    case("sub", Signed, &[&[3]], |b, p| b.sub(p[0], p[0])),
    case("mul", Signed, &[&[3], &[3]], |b, p| b.mul(p[0], p[1])),
    case("mul", Signed, &[&[3]], |b, p| b.square(p[0])),
    case("mul", Signed, &[&[2, 3], &[]], |b, p| {
        let y = b.mul(p[0], p[1]);
        let z = b.mul(y, p[0]);
        b.add(z, y)
    }),
    case("div", Positive, &[&[3], &[3]], |b, p| b.div(p[0], p[1])),
    case("div", Positive, &[&[3]], |b, p| {
        let one = b.full_like(p[0], 1.0);
        b.div(one, p[0])
    }),
    case("div", Positive, &[&[3]], |b, p| b.div(p[0], p[0])),
    case("max", Distinct, &[&[5], &[5]], |b, p| b.max(p[0], p[1])),
    case("max", Distinct, &[&[5]], |b, p| {
        let zero = b.full_like(p[0], 0.05);
        b.max(p[0], zero)
    }),
    case("min", Distinct, &[&[5], &[5]], |b, p| b.min(p[0], p[1])),
    case("min", Distinct, &[&[5]], |b, p| {
        let zero = b.full_like(p[0], 0.05);
        b.min(zero, p[0])
    }),
    case("pow", Positive, &[&[3], &[3]], |b, p| b.pow(p[0], p[1])),
    case("pow", Positive, &[&[3]], |b, p| b.pow(p[0], p[0])),
    case("pow", Positive, &[&[3]], |b, p| {
        let base = b.full_like(p[0], 1.7);
        b.pow(base, p[0])
    }),
    case("pow", Signed, &[&[3]], |b, p| power(b, p[0], 0.0)),
    case("pow", Signed, &[&[3]], |b, p| power(b, p[0], 1.0)),
    case("pow", Signed, &[&[3]], |b, p| power(b, p[0], 2.0)),
    case("pow", Signed, &[&[3]], |b, p| power(b, p[0], 3.0)),
    case("pow", Signed, &[&[3]], |b, p| power(b, p[0], 4.0)),
    case("pow", Positive, &[&[3]], |b, p| power(b, p[0], 0.5)),
    case("pow", Positive, &[&[3]], |b, p| power(b, p[0], -1.0)),
    case("pow", Positive, &[&[3]], |b, p| power(b, p[0], -2.5)),
];

const SHAPE: &[Case] = &[
    case("select", Distinct, &[&[5], &[5]], |b, p| {
        let condition = b.compare(CompareOp::Lt, p[0], p[1]);
        let square = b.square(p[0]);
        b.select(condition, square, p[1])
    }),
    case("select", Distinct, &[&[5]], |b, p| {
        let zero = b.full_like(p[0], 0.05);
        let condition = b.compare(CompareOp::Gt, p[0], zero);
        b.select(condition, p[0], p[0])
    }),
    case("convert", Signed, &[&[3]], |b, p| b.push(Op::Convert { dtype: DType::F64 }, vec![p[0]], None)[0]),
    case("broadcast", Signed, &[&[2, 3]], |b, p| b.broadcast(p[0], [4, 2, 2, 3], &[1, 3])),
    case("broadcast", Signed, &[&[]], |b, p| b.broadcast(p[0], [2, 3], &[])),
    case("broadcast", Signed, &[&[3]], |b, p| {
        b.push(Op::Broadcast { shape: [3].into(), dims: vec![0] }, vec![p[0]], None)[0]
    }),
    case("broadcast", Signed, &[&[2]], |b, p| b.broadcast(p[0], [0, 2], &[1])),
    case("reshape", Signed, &[&[2, 6]], |b, p| b.reshape(p[0], [3, 2, 2])),
    case("reshape", Signed, &[&[1, 1]], |b, p| b.reshape(p[0], [])),
    case("transpose", Signed, &[&[2, 3, 4]], |b, p| b.transpose(p[0], &[1, 2, 0])),
    case("transpose", Signed, &[&[2, 3]], |b, p| b.transpose(p[0], &[1, 0])),
    case("slice", Signed, &[&[5, 4]], |b, p| slice(b, p[0], &[1, 0], &[4, 2], &[1, 1])),
    case("slice", Signed, &[&[7, 6]], |b, p| slice(b, p[0], &[1, 0], &[7, 6], &[3, 2])),
    case("slice", Signed, &[&[3]], |b, p| slice(b, p[0], &[0], &[3], &[1])),
    case("slice", Signed, &[&[5]], |b, p| slice(b, p[0], &[2], &[2], &[2])),
    case("slice", Signed, &[&[4]], |b, p| {
        let left = slice(b, p[0], &[0], &[3], &[1]);
        let right = slice(b, p[0], &[1], &[4], &[1]);
        b.mul(left, right)
    }),
    // Taken apart and nothing left over, in another order: the cotangents are put side by side.
    case("slice", Signed, &[&[2, 6]], |b, p| {
        let last = slice(b, p[0], &[0, 4], &[2, 6], &[1, 1]);
        let first = slice(b, p[0], &[0, 0], &[2, 2], &[1, 1]);
        let middle = slice(b, p[0], &[0, 2], &[2, 4], &[1, 1]);
        let product = b.mul(last, first);
        b.mul(product, middle)
    }),
    case("pad", Signed, &[&[2, 3], &[]], |b, p| pad(b, [p[0], p[1]], &[1, 0], &[0, 2], &[0, 0])),
    case("pad", Signed, &[&[2, 3], &[]], |b, p| pad(b, [p[0], p[1]], &[0, 1], &[2, 0], &[2, 1])),
    case("pad", Signed, &[&[3]], |b, p| {
        let zero = b.scalar(DType::F64, 0.0);
        pad(b, [p[0], zero], &[2], &[1], &[1])
    }),
    case("pad", Signed, &[&[0], &[]], |b, p| pad(b, [p[0], p[1]], &[2], &[1], &[3])),
    case("concat", Signed, &[&[2, 1], &[2, 3], &[2, 2]], |b, p| concat(b, p, 1)),
    case("concat", Signed, &[&[2], &[0]], |b, p| concat(b, &[p[0], p[1], p[0]], 0)),
    case("concat", Signed, &[&[2, 3], &[2, 3]], |b, p| {
        let constant = b.full_like(p[0], 1.5);
        let y = concat(b, &[p[0], constant, p[1]], 0);
        b.square(y)
    }),
    case("at", Signed, &[&[3, 2, 2]], |b, p| at(b, p[0], 1.0)),
    case("at", Signed, &[&[4]], |b, p| at(b, p[0], 9.0)),
    case("at", Signed, &[&[3, 2]], |b, p| {
        let first = at(b, p[0], 0.0);
        let last = at(b, p[0], 2.0);
        b.mul(first, last)
    }),
];

const REDUCE: &[Case] = &[
    case("reduce_sum", Signed, &[&[2, 3, 2]], |b, p| b.sum(p[0], &[0, 2])),
    case("reduce_sum", Signed, &[&[2, 3]], |b, p| b.sum(p[0], &[0, 1])),
    case("reduce_sum", Signed, &[&[2, 3]], |b, p| {
        b.push(Op::Reduce { op: ReduceOp::Sum, dims: vec![] }, vec![p[0]], None)[0]
    }),
    case("reduce_sum", Signed, &[&[0, 2]], |b, p| b.sum(p[0], &[0])),
    case("reduce_max", Distinct, &[&[3, 4]], |b, p| b.reduce(ReduceOp::Max, p[0], &[1])),
    case("reduce_max", Distinct, &[&[2, 3, 2]], |b, p| b.reduce(ReduceOp::Max, p[0], &[0, 2])),
    case("reduce_max", Distinct, &[&[2, 3]], |b, p| {
        b.push(Op::Reduce { op: ReduceOp::Max, dims: vec![] }, vec![p[0]], None)[0]
    }),
    case("reduce_min", Distinct, &[&[3, 4]], |b, p| b.reduce(ReduceOp::Min, p[0], &[0])),
];

const DOT: &[Case] = &[
    case("dot", Signed, &[&[2, 3], &[3, 4]], |b, p| b.matmul(p[0], p[1])),
    case("dot", Signed, &[&[2, 3], &[4, 3]], |b, p| b.dot(p[0], p[1], DotDims::contracting(1, 1))),
    case("dot", Signed, &[&[3, 2], &[3, 4]], |b, p| b.dot(p[0], p[1], DotDims::contracting(0, 0))),
    case("dot", Signed, &[&[3, 2], &[4, 3]], |b, p| b.dot(p[0], p[1], DotDims::contracting(0, 1))),
    case("dot", Signed, &[&[3], &[3]], |b, p| b.dot(p[0], p[1], DotDims::contracting(0, 0))),
    case("dot", Signed, &[&[2], &[3]], |b, p| b.dot(p[0], p[1], DotDims::default())),
    case("dot", Signed, &[&[3, 3]], |b, p| b.matmul(p[0], p[0])),
    case("dot", Signed, &[&[2, 3, 2], &[2, 4, 2]], |b, p| b.dot(p[0], p[1], dims(&[0], &[0], &[2], &[2]))),
    case("dot", Signed, &[&[2, 3, 2], &[2, 2, 4]], |b, p| b.dot(p[0], p[1], dims(&[0], &[0], &[2], &[1]))),
    case("dot", Signed, &[&[2, 3, 2, 2], &[3, 2, 2, 3]], |b, p| {
        b.dot(p[0], p[1], dims(&[3, 0], &[1, 2], &[1], &[3]))
    }),
    case("dot", Signed, &[&[2, 3, 4], &[4, 3, 2]], |b, p| {
        b.dot(p[0], p[1], dims(&[], &[], &[1, 2], &[1, 0]))
    }),
    case("dot", Signed, &[&[2, 2, 3, 2], &[2, 3, 1, 2]], |b, p| {
        b.dot(p[0], p[1], dims(&[1], &[3], &[2], &[1]))
    }),
    case("dot", Signed, &[&[2, 0], &[0, 3]], |b, p| b.matmul(p[0], p[1])),
];

/// A convolution of two spatial dimensions with other attributes along each.
fn uneven(groups: usize) -> ConvDims {
    ConvDims {
        strides: vec![2, 1],
        low: vec![1, -1],
        high: vec![2, 1],
        lhs_dilation: vec![1, 2],
        rhs_dilation: vec![2, 1],
        groups,
    }
}

const CONV: &[Case] = &[
    case("conv", Signed, &[&[2, 4, 2], &[3, 2, 3]], |b, p| b.conv(p[0], p[1], ConvDims::padded(1, 1, 1))),
    case("conv", Signed, &[&[1, 5, 4, 2], &[3, 3, 2, 2]], |b, p| {
        b.conv(p[0], p[1], ConvDims::padded(2, 2, 1))
    }),
    case("conv", Signed, &[&[2, 4, 5, 1], &[1, 1, 1, 2]], |b, p| {
        b.conv(p[0], p[1], ConvDims::padded(2, 2, 0))
    }),
    case("conv", Signed, &[&[1, 4, 4, 2], &[2, 3, 2, 3]], |b, p| b.conv(p[0], p[1], uneven(1))),
    case("conv", Signed, &[&[2, 3, 3, 4], &[2, 2, 2, 4]], |b, p| b.conv(p[0], p[1], uneven(2))),
    case("conv", Signed, &[&[1, 2, 2, 3, 1], &[2, 1, 2, 1, 1]], |b, p| {
        b.conv(p[0], p[1], ConvDims::padded(3, 1, 1))
    }),
    case("reverse", Signed, &[&[2, 3]], |b, p| b.push(Op::Reverse { dims: vec![1] }, vec![p[0]], None)[0]),
];

fn indices(b: &mut Builder, dims: &[usize], indices: &[u32]) -> Value {
    let elements = indices.iter().map(|&index| Scalar::Int(index.into())).collect();
    b.constant(Literal { ty: TensorType::new(DType::U32, dims), elements: Elements::Dense(elements) })
}

const INDEX: &[Case] = &[
    case("take", Signed, &[&[3, 2]], |b, p| {
        let indices = indices(b, &[2, 2], &[2, 0, 2, 7]);
        b.take(p[0], indices)
    }),
    case("scatter_add", Signed, &[&[3, 2], &[4, 2]], |b, p| {
        let indices = indices(b, &[4], &[2, 0, 2, 7]);
        b.scatter_add(p[0], indices, p[1])
    }),
];

const TABLES: &[&[Case]] = &[UNARY, BINARY, SHAPE, REDUCE, DOT, CONV, INDEX];

/// Operations that carry no cotangent. `call` and `loop` are refused; the others make constants, integers or booleans, or
/// are constant almost everywhere.
const NOT_DIFFERENTIABLE: &[&str] = &[
    "sign",
    "floor",
    "not",
    "and",
    "or",
    "xor",
    "shl",
    "shr",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "reduce_all",
    "reduce_any",
    "constant",
    "iota",
    "philox",
    "call",
    "loop",
];

/// The name of an operation that is not of a kind with a list. A new operation must be entered here and in
/// [`STRUCTURAL`].
fn structural_name(op: &Op) -> Option<&'static str> {
    match op {
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Reduce { .. } => None,
        Op::Constant(_)
        | Op::Iota { .. }
        | Op::Select
        | Op::Convert { .. }
        | Op::Broadcast { .. }
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Concat { .. }
        | Op::Dot(_)
        | Op::Conv(_)
        | Op::Reverse { .. }
        | Op::Take
        | Op::ScatterAdd
        | Op::At
        | Op::Philox { .. }
        | Op::Foreign(_)
        | Op::Call { .. }
        | Op::Loop { .. } => STRUCTURAL.iter().copied().find(|&name| name == op.name()),
    }
}

const STRUCTURAL: &[&str] = &[
    "constant",
    "iota",
    "select",
    "convert",
    "broadcast",
    "reshape",
    "transpose",
    "slice",
    "pad",
    "concat",
    "dot",
    "conv",
    "reverse",
    "take",
    "scatter_add",
    "at",
    "philox",
    "call",
    "loop",
];

/// Inputs from numbers between zero and one.
fn inputs_of(case: &Case, unit: &[f64]) -> Vec<Tensor> {
    let mut order: Vec<usize> = (0..unit.len()).collect();
    order.sort_by(|&a, &b| unit[a].total_cmp(&unit[b]));
    let mut rank = vec![0usize; unit.len()];
    for (place, &index) in order.iter().enumerate() {
        rank[index] = place;
    }
    let value = |index: usize| {
        let u = unit[index];
        match case.domain {
            Domain::Signed if u < 0.5 => -2.0 + 3.6 * u,
            Domain::Signed => 0.2 + 3.6 * (u - 0.5),
            Domain::Positive => 0.4 + 1.6 * u,
            // Ranks 0.2 apart, moved by less than half of that, around zero; never within 0.04 of 0.05.
            Domain::Distinct => 0.2 * (rank[index] as f64 - (unit.len() / 2) as f64) - 0.05 + 0.05 * u,
        }
    };
    let mut next = 0;
    let tensor = |dims: &&[usize]| {
        let count: usize = dims.iter().product();
        let values: Vec<f64> = (next..next + count).map(value).collect();
        next += count;
        f64s(dims, &values)
    };
    case.inputs.iter().map(tensor).collect()
}

/// Checks a case at random points, and then the gradient of a sum of its gradients.
fn check_case(case: &Case) -> Result<(), String> {
    let types: Vec<TensorType> = case.inputs.iter().map(|dims| f64_type(dims)).collect();
    let function = function_of(&types, |b, p| {
        let y = (case.build)(b, p);
        loss_of(b, y)
    });
    if !function.insts.iter().any(|inst| inst.op.name() == case.op) {
        return Err("the function does not contain the operation".to_string());
    }
    let wrt: Vec<usize> = (0..types.len()).collect();
    let gradient = value_and_grad(&function, &wrt).map_err(|error| error.to_string())?;
    let second = along(&gradient, 1);
    let elements = types.iter().map(|ty| ty.shape.elements()).sum::<usize>();
    let config = Config { cases: 12, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&vec(0.0..1.0f64, elements), |unit| {
            let inputs = inputs_of(case, &unit);
            check_gradient(&function, &inputs, &wrt).map_err(TestCaseError::fail)?;
            check_gradient(&second, &inputs, &wrt)
                .map_err(|error| TestCaseError::fail(format!("second order: {error}")))?;
            Ok(())
        })
        .map_err(|error| error.to_string())
}

fn check_table(table: &[Case]) {
    let failures: Vec<String> = table
        .iter()
        .enumerate()
        .filter_map(|(index, case)| {
            check_case(case).err().map(|error| format!("case {index}, {}: {error}", case.op))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn unary_rules() {
    check_table(UNARY);
}

#[test]
fn binary_rules() {
    check_table(BINARY);
}

#[test]
fn shape_rules() {
    check_table(SHAPE);
}

#[test]
fn reduce_rules() {
    check_table(REDUCE);
}

#[test]
fn conv_rules() {
    check_table(CONV);
}

#[test]
fn index_rules() {
    check_table(INDEX);
}

#[test]
fn dot_rules() {
    check_table(DOT);
}

#[test]
fn every_operation_is_checked_or_has_no_derivative() {
    let mut all: BTreeSet<&str> = STRUCTURAL.iter().copied().collect();
    all.extend(UnaryOp::ALL.iter().map(|op| op.name()));
    all.extend(BinaryOp::ALL.iter().map(|op| op.name()));
    all.extend(CompareOp::ALL.iter().map(|op| op.name()));
    all.extend(ReduceOp::ALL.iter().map(|op| op.name()));
    let checked: BTreeSet<&str> = TABLES.iter().flat_map(|table| table.iter()).map(|case| case.op).collect();
    let excluded: BTreeSet<&str> = NOT_DIFFERENTIABLE.iter().copied().collect();
    assert_eq!(checked.intersection(&excluded).collect::<Vec<_>>(), Vec::<&&str>::new());
    let covered: BTreeSet<&str> = checked.union(&excluded).copied().collect();
    assert_eq!(covered, all);
    assert_eq!(structural_name(&Op::Select), Some("select"));
}
