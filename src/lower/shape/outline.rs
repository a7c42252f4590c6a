//! Writes a result that is computed elementwise as a function of its own.

use std::collections::HashMap;

use natgrad_ir::{BinaryOp, DType, Elements, Function, InstData, Literal, Op, Shape, TensorType, Value};

/// A function from tensors and scalars to one result, elementwise.
pub(super) struct Outlined {
    /// The function, whose tensors have the shape that was asked for.
    pub function: Function,
    /// What it reads, by its parameters, in the function that it was taken from: scalars, and tensors of the result's shape.
    pub operands: Vec<Value>,
}

/// The expression of a result, as far as it is elementwise, with its tensors in the shape `to`: the result's own, or one dimension of
/// as many elements or of a whole part of them, in which indices count from its start. None if the result is not elementwise, or `to`
/// has a single element, or all of them along one of several dimensions.
///
/// It has no operation but elementwise ones, broadcasts of scalars, constants and indices: an index into the flat tensor is
/// computed from those of the dimensions. A movement such as a reshape could not stand in a fusion that is not XLA's own,
/// which lacks layouts. XLA makes such a reshape of the broadcast of a scalar to one element, and of an index along a dimension of one element.
pub(super) fn outline(function: &Function, result: Value, name: String, to: Shape) -> Option<Outlined> {
    let is_root = function.def_inst(result).is_some_and(|inst| inst.op.is_elementwise());
    let is_line = to.dims().contains(&to.elements());
    if to.elements() < 2 || (is_line && to.rank() > 1) || !is_root {
        return None;
    }
    let shape = &function.ty(result).shape;
    let new = Function { name, ..Function::default() };
    let mut outliner =
        Outliner { from: function, shape, to, new, operands: Vec::new(), whole: HashMap::new() };
    let root = outliner.whole(result);
    outliner.new.results = vec![root];
    Some(Outlined { function: outliner.new, operands: outliner.operands })
}

struct Outliner<'a> {
    from: &'a Function,
    /// The result's shape.
    shape: &'a Shape,
    /// The shape of tensors in the new function.
    to: Shape,
    new: Function,
    operands: Vec<Value>,
    /// Values, as the new function has them.
    whole: HashMap<Value, Value>,
}

impl Outliner<'_> {
    /// A value of the result's shape, or a scalar.
    fn whole(&mut self, value: Value) -> Value {
        if let Some(&known) = self.whole.get(&value) {
            return known;
        }
        let made = self.computed(value).unwrap_or_else(|| self.operand(value));
        self.whole.insert(value, made);
        made
    }

    /// The value computed in the new function; none if it is to be handed in.
    fn computed(&mut self, value: Value) -> Option<Value> {
        let (from, ty) = (self.from, self.from.ty(value));
        let inst = from.def_inst(value)?;
        if ty.rank() == 0 {
            return match &inst.op {
                Op::Constant(_) => Some(self.push(inst, inst.op.clone(), Vec::new(), ty.clone())),
                op if is_integer(ty.dtype) && op.is_elementwise() => {
                    let operands = inst.operands.iter().map(|&operand| self.whole(operand)).collect();
                    Some(self.push(inst, op.clone(), operands, ty.clone()))
                }
                _ => None,
            };
        }
        if ty.shape != *self.shape {
            return None;
        }
        let ty = self.ty(ty);
        match &inst.op {
            op if op.is_elementwise() => {
                let operands = inst.operands.iter().map(|&operand| self.whole(operand)).collect();
                Some(self.push(inst, op.clone(), operands, ty))
            }
            Op::Constant(Literal { elements: Elements::Splat(number), .. }) => {
                let splat = Op::Constant(Literal { ty: ty.clone(), elements: Elements::Splat(*number) });
                Some(self.push(inst, splat, Vec::new(), ty))
            }
            Op::Broadcast { .. } if from.ty(inst.operands[0]).rank() == 0 => {
                let scalar = self.whole(inst.operands[0]);
                let repeat = Op::Broadcast { shape: self.to.clone(), dims: Vec::new() };
                Some(self.push(inst, repeat, vec![scalar], ty))
            }
            Op::Iota { dim, .. } if self.to == *self.shape && ty.shape.dims()[*dim] == 1 => {
                let zero = Op::Constant(Literal::splat(ty.clone(), 0.0));
                Some(self.push(inst, zero, Vec::new(), ty))
            }
            Op::Iota { .. } if self.to == *self.shape => {
                Some(self.push(inst, inst.op.clone(), Vec::new(), ty))
            }
            _ if is_flat_index(from, value) => Some(self.flat_index(inst, ty.dtype)),
            _ => None,
        }
    }

    /// The index of each element in the flat tensor.
    fn flat_index(&mut self, at: &InstData, dtype: DType) -> Value {
        let ty = TensorType::new(dtype, self.to.clone());
        let mut sum = None;
        for (dim, stride) in self.to.strides().into_iter().enumerate() {
            if self.to.dims()[dim] == 1 {
                continue;
            }
            let iota = Op::Iota { dtype, shape: self.to.clone(), dim };
            let mut index = self.push(at, iota, Vec::new(), ty.clone());
            if stride != 1 {
                let stride = Op::Constant(Literal::splat(ty.clone(), stride as f64));
                let stride = self.push(at, stride, Vec::new(), ty.clone());
                index = self.push(at, Op::Binary(BinaryOp::Mul), vec![index, stride], ty.clone());
            }
            sum = Some(match sum {
                Some(sum) => self.push(at, Op::Binary(BinaryOp::Add), vec![sum, index], ty.clone()),
                None => index,
            });
        }
        let zero = Op::Constant(Literal::splat(ty.clone(), 0.0));
        sum.unwrap_or_else(|| self.push(at, zero, Vec::new(), ty))
    }

    /// The type in the new function.
    fn ty(&self, ty: &TensorType) -> TensorType {
        let shape = if ty.shape == *self.shape { &self.to } else { &ty.shape };
        TensorType::new(ty.dtype, shape.clone())
    }

    /// A value that is handed in.
    fn operand(&mut self, value: Value) -> Value {
        let name = format!("operand{}", self.operands.len());
        self.operands.push(value);
        let ty = self.ty(self.from.ty(value));
        self.new.add_param(ty, Some(name))
    }

    /// An operation, made where `at` was.
    fn push(&mut self, at: &InstData, op: Op, operands: Vec<Value>, ty: TensorType) -> Value {
        let (scope, origin) = (at.scope.clone(), at.origin);
        let inst = InstData { op, operands, results: Vec::new(), scope, origin };
        self.new.append(inst, [(ty, None)])[0]
    }
}

/// Whether a value is the index of each element in the flat tensor.
fn is_flat_index(function: &Function, value: Value) -> bool {
    let ty = function.ty(value);
    match function.def_inst(value).map(|inst| (&inst.op, inst.operands.as_slice())) {
        Some((Op::Iota { .. }, _)) => ty.rank() == 1 && is_integer(ty.dtype),
        Some((Op::Reshape { .. }, &[line])) => is_flat_index(function, line),
        _ => false,
    }
}

pub(super) fn is_integer(dtype: DType) -> bool {
    match dtype {
        DType::U32 | DType::U64 | DType::S32 | DType::Bool => true,
        DType::F64 | DType::F32 | DType::BF16 | DType::F16 => false,
    }
}
