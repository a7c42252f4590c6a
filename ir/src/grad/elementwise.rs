//! Pullbacks of elementwise operations: the cotangent of the result to those of the operands.

use super::emit::Emitter;
use crate::graph::Value;
use crate::op::{BinaryOp, CompareOp, Op, UnaryOp};

/// The cotangent of `x` from that of `y = op(x)`. `None` where the derivative is zero or does not exist.
pub(super) fn unary(e: &mut Emitter, op: UnaryOp, x: Value, y: Value, dy: Value) -> Option<Value> {
    Some(match op {
        UnaryOp::Neg => e.neg(dy),
        UnaryOp::Abs => {
            let sign = e.unary(UnaryOp::Sign, x);
            e.mul(dy, sign)
        }
        UnaryOp::Exp => e.mul(dy, y),
        UnaryOp::Expm1 => {
            let one = e.full_like(y, 1.0);
            let slope = e.add(y, one);
            e.mul(dy, slope)
        }
        UnaryOp::Log => e.div(dy, x),
        UnaryOp::Log1p => {
            let one = e.full_like(x, 1.0);
            let shifted = e.add(x, one);
            e.div(dy, shifted)
        }
        UnaryOp::Sqrt => {
            let half = e.scale(dy, 0.5);
            e.div(half, y)
        }
        UnaryOp::Rsqrt => {
            let square = e.mul(y, y);
            let half = e.scale(y, -0.5);
            let slope = e.mul(half, square);
            e.mul(dy, slope)
        }
        UnaryOp::Tanh => {
            let one = e.full_like(y, 1.0);
            let square = e.mul(y, y);
            let slope = e.sub(one, square);
            e.mul(dy, slope)
        }
        UnaryOp::Logistic => {
            let one = e.full_like(y, 1.0);
            let rest = e.sub(one, y);
            let slope = e.mul(y, rest);
            e.mul(dy, slope)
        }
        UnaryOp::Sin => {
            let slope = e.unary(UnaryOp::Cos, x);
            e.mul(dy, slope)
        }
        UnaryOp::Cos => {
            let sine = e.unary(UnaryOp::Sin, x);
            let down = e.mul(dy, sine);
            e.neg(down)
        }
        UnaryOp::Erf => {
            let square = e.mul(x, x);
            let down = e.neg(square);
            let exp = e.unary(UnaryOp::Exp, down);
            let slope = e.scale(exp, std::f64::consts::FRAC_2_SQRT_PI);
            e.mul(dy, slope)
        }
        UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Not => return None,
    })
}

/// The cotangents of `x` and `y` from that of `z = op(x, y)`.
pub(super) fn binary(
    e: &mut Emitter,
    op: BinaryOp,
    (x, y, z): (Value, Value, Value),
    dz: Value,
    wanted: [bool; 2],
) -> [Option<Value>; 2] {
    let [want_x, want_y] = wanted;
    match op {
        BinaryOp::Add => [want_x.then_some(dz), want_y.then_some(dz)],
        BinaryOp::Sub => [want_x.then_some(dz), want_y.then(|| e.neg(dz))],
        BinaryOp::Mul if x == y => {
            let half = e.mul(dz, x);
            [Some(e.add(half, half)), None]
        }
        BinaryOp::Mul => [want_x.then(|| e.mul(dz, y)), want_y.then(|| e.mul(dz, x))],
        BinaryOp::Div => {
            let dx = e.div(dz, y);
            let dy = want_y.then(|| {
                let down = e.mul(dx, z);
                e.neg(down)
            });
            [want_x.then_some(dx), dy]
        }
        BinaryOp::Max => extremum(e, CompareOp::Gt, CompareOp::Lt, (x, y), dz, wanted),
        BinaryOp::Min => extremum(e, CompareOp::Lt, CompareOp::Gt, (x, y), dz, wanted),
        BinaryOp::Pow => {
            let dx = if want_x { power_base(e, (x, y, z), dz) } else { None };
            [dx, want_y.then(|| power_exponent(e, (x, z), dz))]
        }
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::Shl | BinaryOp::Shr => [None, None],
    }
}

/// The cotangent goes to the operand that was chosen, half to each where they are equal.
fn extremum(
    e: &mut Emitter,
    first_wins: CompareOp,
    second_wins: CompareOp,
    (x, y): (Value, Value),
    dz: Value,
    wanted: [bool; 2],
) -> [Option<Value>; 2] {
    let equal = e.compare(CompareOp::Eq, x, y);
    let half = e.scale(dz, 0.5);
    let zero = e.full_like(dz, 0.0);
    let tied = e.select(equal, half, zero);
    let mut share = |wins| {
        let condition = e.compare(wins, x, y);
        e.select(condition, dz, tied)
    };
    [wanted[0].then(|| share(first_wins)), wanted[1].then(|| share(second_wins))]
}

/// The cotangent of the base of `z = x^y`: `dz y x^(y-1)`, without a power where the exponent is a plain
/// constant.
fn power_base(e: &mut Emitter, (x, y, z): (Value, Value, Value), dz: Value) -> Option<Value> {
    let Some(exponent) = e.splat_of(y) else {
        // Where the exponent is zero the derivative is zero; x^-1 would make it NaN at a base of zero.
        let (zero, one) = (e.full_like(y, 0.0), e.full_like(y, 1.0));
        let constant = e.compare(CompareOp::Eq, y, zero);
        let lower = e.sub(y, one);
        let lower = e.select(constant, one, lower);
        let power = e.pow(x, lower);
        let slope = e.mul(y, power);
        return Some(e.mul(dz, slope));
    };
    if exponent == 0.0 {
        return None;
    }
    let scaled = e.scale(dz, exponent);
    if exponent == 0.5 {
        return Some(e.div(scaled, z));
    }
    let power = match exponent {
        1.0 => return Some(dz),
        2.0 => x,
        3.0 => e.mul(x, x),
        -1.0 => e.mul(z, z),
        _ => {
            let lower = e.full_like(y, exponent - 1.0);
            e.pow(x, lower)
        }
    };
    Some(e.mul(scaled, power))
}

/// The cotangent of the exponent of `z = x^y`: `dz z ln x`, and zero at a base of zero.
fn power_exponent(e: &mut Emitter, (x, z): (Value, Value), dz: Value) -> Value {
    let (zero, one) = (e.full_like(x, 0.0), e.full_like(x, 1.0));
    let vanishes = e.compare(CompareOp::Eq, x, zero);
    let base = e.select(vanishes, one, x);
    let log = e.unary(UnaryOp::Log, base);
    let slope = e.mul(z, log);
    e.mul(dz, slope)
}

/// The condition of a select again from its result, where it holds `x` at a bound: `x <= bound ? bound : x` is at most
/// `bound` where `x` is, and NaN where `x` is. So the backward pass of a rectifier reads what is kept anyway.
pub(super) fn at_bound(
    e: &mut Emitter,
    (condition, bound, x): (Value, Value, Value),
    result: Value,
) -> Value {
    let compared = e.function.def_inst(condition).map(|inst| (inst.op.clone(), inst.operands.clone()));
    match compared {
        Some((Op::Compare(op @ (CompareOp::Le | CompareOp::Ge)), operands)) if operands == [x, bound] => {
            e.compare(op, result, bound)
        }
        _ => condition,
    }
}

/// The cotangents of the two values of `select(condition, on_true, on_false)`.
pub(super) fn select(e: &mut Emitter, condition: Value, dz: Value, wanted: [bool; 2]) -> [Option<Value>; 2] {
    let zero = e.full_like(dz, 0.0);
    [wanted[0].then(|| e.select(condition, dz, zero)), wanted[1].then(|| e.select(condition, zero, dz))]
}
