//! Appends the instructions of gradients to a function.

use std::ops::Range;

use super::GradError;
use super::shape::inverse;
use crate::graph::{Function, InstData, Origin, Value};
use crate::infer::infer;
use crate::literal::{Literal, Scalar};
use crate::op::{BinaryOp, CompareOp, DotDims, Op, ReduceOp, UnaryOp};
use crate::types::{DType, Shape, TensorType};

/// The last part of the scope paths of gradient instructions.
const SCOPE: &str = "grad";

/// A function that grows at its end.
///
/// Products with one and with minus one, and broadcasts of constants, are folded as they are made: the
/// cotangent of a loss starts as the constant one. A rule that breaks a type rule is recorded, not answered at
/// once, so that rules read as formulas.
pub(super) struct Emitter {
    pub function: Function,
    /// How many of the values and instructions are the primal ones.
    primal_values: usize,
    primal_insts: usize,
    scope: String,
    origin: Origin,
    error: Option<GradError>,
}

impl Emitter {
    pub fn new(function: Function) -> Emitter {
        Emitter {
            primal_values: function.values.len(),
            primal_insts: function.insts.len(),
            function,
            scope: SCOPE.to_string(),
            origin: Origin::Unknown,
            error: None,
        }
    }

    /// Gives the instructions that follow the place of `inst`, and its scope with `/grad` appended.
    pub fn follow(&mut self, inst: &InstData) {
        self.origin = inst.origin;
        self.scope =
            if inst.scope.is_empty() { SCOPE.to_string() } else { format!("{}/{SCOPE}", inst.scope) };
    }

    /// As [`Emitter::follow`], of the instruction that gives a value.
    pub fn follow_value(&mut self, value: Value) {
        match self.function.def_inst(value).cloned() {
            Some(inst) => self.follow(&inst),
            None => self.follow_none(),
        }
    }

    /// The place of the instructions that follow.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Leaves the scopes of primal instructions.
    pub fn follow_none(&mut self) {
        self.origin = Origin::Unknown;
        self.scope = SCOPE.to_string();
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> TensorType {
        self.function.ty(value).clone()
    }

    fn dims(&self, value: Value) -> &[usize] {
        self.function.ty(value).shape.dims()
    }

    /// The element that a value has everywhere, where that is plain to see.
    pub fn splat_of(&self, value: Value) -> Option<f64> {
        let inst = self.function.def_inst(value)?;
        match (&inst.op, inst.operands.as_slice()) {
            (Op::Constant(literal), _) => literal.as_splat().map(Scalar::to_f64),
            (Op::Broadcast { .. }, [operand]) => self.splat_of(*operand),
            _ => None,
        }
    }

    pub fn emit(&mut self, op: Op, operands: Vec<Value>) -> Value {
        let types: Vec<&TensorType> = operands.iter().map(|&operand| self.function.ty(operand)).collect();
        let ty = match infer(&op, &types, None) {
            Ok(mut types) if types.len() == 1 => types.remove(0),
            Ok(_) => return self.fail("more than one result".to_string()),
            Err(error) => return self.fail(error.to_string()),
        };
        let (scope, origin) = (self.scope.clone(), self.origin);
        let inst = InstData { op, operands, results: Vec::new(), scope, origin };
        self.function.append(inst, [(ty, None)])[0]
    }

    fn fail(&mut self, message: String) -> Value {
        let error = GradError::Rule { function: self.function.name.clone(), origin: self.origin, message };
        self.error.get_or_insert(error);
        Value::from_index(0)
    }

    /// The constant with `value` everywhere.
    pub fn full(&mut self, ty: TensorType, value: f64) -> Value {
        self.emit(Op::Constant(Literal::splat(ty, value)), Vec::new())
    }

    /// The constant with the type of `like` and `value` everywhere.
    pub fn full_like(&mut self, like: Value, value: f64) -> Value {
        let ty = self.ty(like);
        self.full(ty, value)
    }

    pub fn unary(&mut self, op: UnaryOp, x: Value) -> Value {
        self.emit(Op::Unary(op), vec![x])
    }

    pub fn binary(&mut self, op: BinaryOp, x: Value, y: Value) -> Value {
        self.emit(Op::Binary(op), vec![x, y])
    }

    pub fn neg(&mut self, x: Value) -> Value {
        match self.splat_of(x) {
            Some(value) => self.full_like(x, -value),
            None => self.unary(UnaryOp::Neg, x),
        }
    }

    pub fn add(&mut self, x: Value, y: Value) -> Value {
        self.binary(BinaryOp::Add, x, y)
    }

    /// The sum of two cotangents. What is scattered into zeros is scattered into the other instead.
    pub fn accumulate(&mut self, x: Value, y: Value) -> Value {
        for (scattered, other) in [(x, y), (y, x)] {
            if let Some(InstData { op: Op::ScatterAdd, operands, .. }) = self.function.def_inst(scattered)
                && let [into, indices, slices] = operands[..]
                && self.splat_of(into) == Some(0.0)
            {
                return self.emit(Op::ScatterAdd, vec![other, indices, slices]);
            }
        }
        self.add(x, y)
    }

    pub fn sub(&mut self, x: Value, y: Value) -> Value {
        self.binary(BinaryOp::Sub, x, y)
    }

    pub fn mul(&mut self, x: Value, y: Value) -> Value {
        match (self.splat_of(x), self.splat_of(y)) {
            (Some(1.0), _) => y,
            (_, Some(1.0)) => x,
            (Some(-1.0), _) => self.neg(y),
            (_, Some(-1.0)) => self.neg(x),
            _ => self.binary(BinaryOp::Mul, x, y),
        }
    }

    pub fn div(&mut self, x: Value, y: Value) -> Value {
        self.binary(BinaryOp::Div, x, y)
    }

    pub fn pow(&mut self, x: Value, y: Value) -> Value {
        self.binary(BinaryOp::Pow, x, y)
    }

    /// `x * value`.
    pub fn scale(&mut self, x: Value, value: f64) -> Value {
        let factor = self.full_like(x, value);
        self.mul(x, factor)
    }

    pub fn compare(&mut self, op: CompareOp, x: Value, y: Value) -> Value {
        self.emit(Op::Compare(op), vec![x, y])
    }

    pub fn select(&mut self, condition: Value, on_true: Value, on_false: Value) -> Value {
        self.emit(Op::Select, vec![condition, on_true, on_false])
    }

    pub fn convert(&mut self, x: Value, dtype: DType) -> Value {
        if self.function.ty(x).dtype == dtype { x } else { self.emit(Op::Convert { dtype }, vec![x]) }
    }

    pub fn broadcast(&mut self, x: Value, shape: Shape, dims: Vec<usize>) -> Value {
        let ty = self.function.ty(x);
        match self.splat_of(x) {
            _ if ty.shape == shape => x,
            Some(value) => self.full(TensorType { dtype: ty.dtype, shape }, value),
            None => self.emit(Op::Broadcast { shape, dims }, vec![x]),
        }
    }

    pub fn sum(&mut self, x: Value, dims: Vec<usize>) -> Value {
        if dims.is_empty() { x } else { self.emit(Op::Reduce { op: ReduceOp::Sum, dims }, vec![x]) }
    }

    /// The sum over every dimension.
    pub fn sum_all(&mut self, x: Value) -> Value {
        let rank = self.dims(x).len();
        self.sum(x, (0..rank).collect())
    }

    /// Regroups the dimensions. What only splits dimensions of a transpose is done before it, so that transposes meet.
    pub fn reshape(&mut self, x: Value, shape: Shape) -> Value {
        if self.function.ty(x).shape == shape {
            return x;
        }
        if let Some((Op::Transpose { perm }, y)) = self.made_by(x)
            && let Some(groups) = groups(shape.dims(), self.dims(x))
        {
            let back = inverse(&perm);
            let split: Vec<usize> =
                back.iter().flat_map(|&to| &shape.dims()[groups[to].clone()]).copied().collect();
            let order: Vec<Range<usize>> = back.iter().map(|&to| groups[to].clone()).collect();
            let moved: Vec<usize> = order.into_iter().flatten().collect();
            let y = self.reshape(y, Shape::new(split));
            return self.transpose(y, inverse(&moved));
        }
        self.emit(Op::Reshape { shape }, vec![x])
    }

    /// Permutes the dimensions; nothing if they stay. A transpose of a transpose is one, also where dimensions are merged
    /// between them, so that none is left next to a dot, which could take it in and lose the order that it was given.
    pub fn transpose(&mut self, x: Value, perm: Vec<usize>) -> Value {
        if perm.iter().copied().eq(0..perm.len()) {
            return x;
        }
        match self.made_by(x) {
            Some((Op::Transpose { perm: first }, y)) => {
                return self.transpose(y, perm.into_iter().map(|axis| first[axis]).collect());
            }
            Some((Op::Reshape { shape }, y))
                if matches!(self.made_by(y), Some((Op::Transpose { .. }, _))) =>
            {
                if let Some(groups) = groups(self.dims(y), shape.dims()) {
                    let moved = perm.iter().flat_map(|&axis| groups[axis].clone()).collect();
                    let merged: Vec<usize> = perm.iter().map(|&axis| shape.dims()[axis]).collect();
                    let y = self.transpose(y, moved);
                    return self.reshape(y, Shape::new(merged));
                }
            }
            _ => {}
        }
        self.emit(Op::Transpose { perm }, vec![x])
    }

    /// The operation that made a value, if it has one operand, and that.
    fn made_by(&self, value: Value) -> Option<(Op, Value)> {
        let inst = self.function.def_inst(value)?;
        let [operand] = *inst.operands else { return None };
        Some((inst.op.clone(), operand))
    }

    pub fn dot(&mut self, x: Value, y: Value, dims: DotDims) -> Value {
        self.emit(Op::Dot(dims), vec![x, y])
    }

    /// Ends the function: drops gradient instructions that no result needs.
    ///
    /// # Errors
    /// The first type rule that a gradient broke.
    pub fn finish(mut self) -> Result<Function, GradError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let function = &mut self.function;
        let mut live = vec![false; function.values.len()];
        for &result in &function.results {
            live[result.index()] = true;
        }
        for inst in function.insts[self.primal_insts..].iter().rev() {
            if inst.results.iter().any(|result| live[result.index()]) {
                for &operand in &inst.operands {
                    live[operand.index()] = true;
                }
            }
        }
        let values = function.values.split_off(self.primal_values);
        let insts = function.insts.split_off(self.primal_insts);
        let mut moved: Vec<Value> = (0..self.primal_values).map(Value::from_index).collect();
        moved.resize(live.len(), Value::from_index(0));
        // Values were appended in the order of the instructions that give them.
        let mut values = values.into_iter();
        for mut inst in insts {
            let old: Vec<Value> = std::mem::take(&mut inst.results);
            let data: Vec<_> = values.by_ref().take(old.len()).collect();
            if !old.iter().any(|value| live[value.index()]) {
                continue;
            }
            inst.operands.iter_mut().for_each(|operand| *operand = moved[operand.index()]);
            let new = function.append(inst, data.into_iter().map(|data| (data.ty, data.name)));
            for (old, new) in old.into_iter().zip(new) {
                moved[old.index()] = new;
            }
        }
        function.results.iter_mut().for_each(|result| *result = moved[result.index()]);
        Ok(self.function)
    }
}

/// The dimensions of `fine` that are merged to each of `coarse`, in order; None if some are not merged whole.
fn groups(fine: &[usize], coarse: &[usize]) -> Option<Vec<Range<usize>>> {
    let mut groups: Vec<Range<usize>> = Vec::with_capacity(coarse.len());
    let mut end = 0;
    for &size in coarse {
        let (start, mut product) = (end, 1);
        while product < size {
            product *= fine.get(end)?;
            end += 1;
        }
        if product != size {
            return None;
        }
        groups.push(start..end);
    }
    // What is left are dimensions of one.
    groups.last_mut()?.end = fine.len();
    fine[end..].iter().all(|&size| size == 1).then_some(groups)
}
