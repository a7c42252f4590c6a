//! The steps that random programs are made of.

use super::facts::{Fact, input_bound, int_bound, type_bound};
use super::generate::{Generator, MAX_COUNT, MAX_ELEMENTS};
use crate::graph::Value;
use crate::infer::infer;
use crate::op::{BinaryOp, CompareOp, DotDims, Op, ReduceOp, UnaryOp};
use crate::types::{DType, TensorType};

const FLOAT_UNARY: [UnaryOp; 15] = [
    UnaryOp::Neg,
    UnaryOp::Abs,
    UnaryOp::Sign,
    UnaryOp::Floor,
    UnaryOp::Exp,
    UnaryOp::Expm1,
    UnaryOp::Log,
    UnaryOp::Log1p,
    UnaryOp::Sqrt,
    UnaryOp::Rsqrt,
    UnaryOp::Tanh,
    UnaryOp::Logistic,
    UnaryOp::Sin,
    UnaryOp::Cos,
    UnaryOp::Erf,
];
const FLOAT_BINARY: [BinaryOp; 7] =
    [BinaryOp::Add, BinaryOp::Mul, BinaryOp::Sub, BinaryOp::Div, BinaryOp::Max, BinaryOp::Min, BinaryOp::Pow];

impl Generator<'_> {
    /// Makes one random instruction, with the others that it needs. `None` if the values at hand do not allow it.
    pub fn step(&mut self) -> Option<Value> {
        match self.dice.below(29) {
            0..=2 => self.unary_float(),
            3..=5 => self.binary_float(),
            6 => self.broadcast(),
            7 => self.reshape(),
            8 => self.transpose(),
            9 => self.slice(),
            10 => self.pad(),
            11 => self.concat(),
            12..=13 => self.reduce(),
            14 => self.dot(),
            15 => self.fresh(),
            16 => self.convert(),
            17 => self.select(),
            18 if self.config.max_functions > 1 => self.call(),
            18 => self.dot(),
            23 => self.at(),
            24 if !self.smooth() => self.philox(),
            25 => self.conv(),
            26 => self.take(),
            27 => self.scatter_add(),
            28 => self.reverse(),
            22 if self.config.max_functions > 1 => self.repeat(),
            _ if self.smooth() => self.binary_float(),
            _ => self.discrete(),
        }
    }

    fn pick_float(&mut self) -> Option<Value> {
        let value = self.pick(|generator, value| generator.builder.ty(value).dtype.is_float())?;
        Some(self.tame(value))
    }

    pub(super) fn pick_of(&mut self, ty: &TensorType) -> Option<Value> {
        let value = self.pick(|generator, value| generator.builder.ty(value) == ty)?;
        Some(self.tame(value))
    }

    pub(super) fn ranked(&mut self) -> Option<Value> {
        self.pick(|generator, value| generator.builder.ty(value).rank() > 0)
    }

    /// `x * x + 1/2`, away from zero.
    fn positive(&mut self, x: Value) -> Value {
        let half = self.full(self.builder.ty(x).clone(), 0.5);
        let square = self.builder.square(x);
        let sum = self.builder.add(square, half);
        let bound = self.fact(x).bound;
        self.put(sum, Fact::rounded(bound * bound + 0.5))
    }

    fn unary_float(&mut self) -> Option<Value> {
        let x = self.pick_float()?;
        let op = self.dice.choose(&FLOAT_UNARY)?;
        if self.wild() {
            let y = self.builder.unary(op, x);
            return Some(self.put(y, Fact::rounded(f64::INFINITY)));
        }
        let fact = self.fact(x);
        let kinked = matches!(op, UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Floor);
        let jumps = matches!(op, UnaryOp::Sign | UnaryOp::Floor);
        let op = if (kinked && self.smooth()) || (jumps && !fact.exact) { UnaryOp::Neg } else { op };
        let (x, fact) = match op {
            UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sign | UnaryOp::Floor => {
                (x, Fact { bound: fact.bound.ceil().max(1.0), exact: fact.exact })
            }
            UnaryOp::Exp | UnaryOp::Expm1 if fact.bound > 3.0 => {
                let x = self.builder.tanh(x);
                (x, Fact::rounded(3.0))
            }
            UnaryOp::Exp | UnaryOp::Expm1 => (x, Fact::rounded(fact.bound.exp())),
            UnaryOp::Log | UnaryOp::Sqrt | UnaryOp::Log1p => {
                (self.positive(x), Fact::rounded(fact.bound + 1.0))
            }
            UnaryOp::Rsqrt => (self.positive(x), Fact::rounded(1.5)),
            UnaryOp::Tanh | UnaryOp::Logistic | UnaryOp::Sin | UnaryOp::Cos | UnaryOp::Erf | UnaryOp::Not => {
                (x, Fact::rounded(1.0))
            }
        };
        let y = self.builder.unary(op, x);
        Some(self.put(y, fact))
    }

    fn binary_float(&mut self) -> Option<Value> {
        let x = self.pick_float()?;
        let ty = self.ty(x);
        let y = self.pick_of(&ty).unwrap_or(x);
        let op = self.dice.choose(&FLOAT_BINARY)?;
        if self.wild() {
            let z = self.builder.binary(op, x, y);
            return Some(self.put(z, Fact::rounded(f64::INFINITY)));
        }
        let (a, b) = (self.fact(x), self.fact(y));
        let op =
            if self.smooth() && matches!(op, BinaryOp::Max | BinaryOp::Min) { BinaryOp::Mul } else { op };
        let (x, y, fact) = match op {
            BinaryOp::Mul => (x, y, Fact::rounded(a.bound * b.bound)),
            BinaryOp::Div => (x, self.positive(y), Fact::rounded(a.bound * 2.0)),
            BinaryOp::Max | BinaryOp::Min => (x, y, a.join(b)),
            BinaryOp::Pow => {
                let base = self.positive(x);
                let exponent = self.builder.tanh(y);
                (base, exponent, Fact::rounded(a.bound * a.bound + 2.0))
            }
            _ => (x, y, Fact::rounded(a.bound + b.bound)),
        };
        let z = self.builder.binary(op, x, y);
        Some(self.put(z, fact))
    }

    fn reduce(&mut self) -> Option<Value> {
        let x = self.ranked()?;
        let x = self.tame(x);
        let (ty, fact) = (self.ty(x), self.fact(x));
        let dims: Vec<usize> = (0..ty.rank()).filter(|_| !self.dice.one_in(3)).collect();
        let count: usize = dims.iter().map(|&dim| ty.shape.dims()[dim]).product();
        let ops: Vec<ReduceOp> =
            ReduceOp::ALL.iter().copied().filter(|op| op.domain().accepts(ty.dtype)).collect();
        let op = self.dice.choose(&ops)?;
        let extreme = matches!(op, ReduceOp::Max | ReduceOp::Min);
        // The largest of nothing is infinite; the largest of several has kinks.
        let op = if extreme && (self.smooth() || (count == 0 && !self.wild())) { ReduceOp::Sum } else { op };
        let fact = match op {
            ReduceOp::Sum if ty.dtype.is_float() => Fact::rounded(fact.bound * count as f64),
            ReduceOp::Sum => Fact::exact(int_bound(BinaryOp::Mul, ty.dtype, fact.bound, count as f64)),
            ReduceOp::Max | ReduceOp::Min => fact,
            ReduceOp::All | ReduceOp::Any => Fact::exact(type_bound(ty.dtype)),
        };
        let y = self.builder.push(Op::Reduce { op, dims }, vec![x], None)[0];
        Some(self.put(y, fact))
    }

    fn dot(&mut self) -> Option<Value> {
        let x = self.pick_float()?;
        let dtype = self.ty(x).dtype;
        let y = self.pick(|generator, value| generator.builder.ty(value).dtype == dtype)?;
        let y = self.tame(y);
        let (lhs, rhs) = (self.ty(x), self.ty(y));
        let mut dims = DotDims::default();
        let mut terms = 1;
        for (left, &size) in lhs.shape.dims().iter().enumerate().rev() {
            let free = |&right: &usize| {
                rhs.shape.dims()[right] == size
                    && !dims.rhs_contract.contains(&right)
                    && !dims.rhs_batch.contains(&right)
            };
            let Some(right) = (0..rhs.rank()).find(free) else { continue };
            match self.dice.below(3) {
                0 => {
                    dims.lhs_contract.push(left);
                    dims.rhs_contract.push(right);
                    terms *= size;
                }
                1 => {
                    dims.lhs_batch.push(left);
                    dims.rhs_batch.push(right);
                }
                _ => {}
            }
        }
        let result = infer(&Op::Dot(dims.clone()), &[&lhs, &rhs], None).ok()?.pop()?;
        if result.shape.elements() > MAX_ELEMENTS {
            return None;
        }
        let bound = self.fact(x).bound * self.fact(y).bound * terms as f64;
        let z = self.builder.dot(x, y, dims);
        Some(self.put(z, Fact::rounded(bound)))
    }

    /// A constant or iota.
    fn fresh(&mut self) -> Option<Value> {
        let ty = match self.pick(|_, _| true) {
            Some(value) if !self.dice.one_in(4) => self.ty(value),
            _ => TensorType { dtype: self.any_type(), shape: self.shape() },
        };
        if ty.rank() == 0 || ty.dtype == DType::Bool || self.dice.one_in(2) {
            return Some(self.constant(ty));
        }
        let dim = self.dice.below(ty.rank());
        let bound = ty.shape.dims()[dim] as f64;
        let iota = self.builder.iota(ty.dtype, ty.shape, dim);
        Some(self.put(iota, Fact::exact(bound)))
    }

    /// Random bits of a key and a counter that are small numbers.
    fn philox(&mut self) -> Option<Value> {
        let ty = TensorType::new(DType::U64, [2]);
        let exact = |generator: &Generator<'_>, value: Value| {
            *generator.builder.ty(value) == ty && (generator.wild() || generator.fact(value).exact)
        };
        let state = match self.pick(exact) {
            Some(state) => state,
            None => self.constant(ty),
        };
        let shape = self.shape();
        let bits = self.builder.philox(state, shape);
        Some(self.put(bits, Fact::exact(type_bound(DType::U32))))
    }

    fn convert(&mut self) -> Option<Value> {
        let x = self.pick(|_, _| true)?;
        let from = self.ty(x).dtype;
        let to = if self.dice.one_in(4) { from } else { self.any_type() };
        let mut x = x;
        if !self.wild() {
            x = self.tame(x);
            let exact = self.fact(x).exact;
            if from.is_float() && !to.is_float() && !exact {
                return None;
            }
            if from.is_float() && matches!(to, DType::U32 | DType::U64) {
                let fact = self.fact(x);
                let positive = self.builder.abs(x);
                x = self.put(positive, fact);
            }
        }
        let fact = self.fact(x);
        let bound = match (from, to) {
            (_, DType::Bool) => 1.0,
            (DType::S32, DType::U32 | DType::U64) => type_bound(to),
            _ if fact.bound > type_bound(to) => type_bound(to),
            _ => fact.bound,
        };
        let y = self.builder.push(Op::Convert { dtype: to }, vec![x], None)[0];
        Some(self.put(y, Fact { bound, exact: fact.exact }))
    }

    fn select(&mut self) -> Option<Value> {
        let x = self.pick(|_, _| true)?;
        let ty = self.ty(x);
        let y = self.pick(|generator, value| *generator.builder.ty(value) == ty)?;
        let mask = TensorType::new(DType::Bool, ty.shape.clone());
        let condition = match self.pick(|generator, value| *generator.builder.ty(value) == mask) {
            Some(condition) => condition,
            None if ty.rank() > 0 && self.dice.one_in(2) => {
                let dim = self.dice.below(ty.rank());
                let index = self.builder.iota(DType::F32, ty.shape.clone(), dim);
                let middle = self.builder.full_like(index, 1.0);
                let less = self.builder.compare(CompareOp::Lt, index, middle);
                self.put(less, Fact::exact(1.0))
            }
            None => self.constant(mask),
        };
        let z = self.builder.push(Op::Select, vec![condition, x, y], None)[0];
        Some(self.put(z, self.fact(x).join(self.fact(y))))
    }

    /// A comparison, or an operation on integers or booleans.
    fn discrete(&mut self) -> Option<Value> {
        if self.dice.one_in(2) {
            let wild = self.wild();
            let x = self.pick(|generator, value| wild || generator.fact(value).exact)?;
            let ty = self.ty(x);
            let y = self.pick(|generator, value| {
                *generator.builder.ty(value) == ty && (wild || generator.fact(value).exact)
            })?;
            let ops: Vec<CompareOp> =
                CompareOp::ALL.iter().copied().filter(|op| op.domain().accepts(ty.dtype)).collect();
            let op = self.dice.choose(&ops)?;
            let z = self.builder.compare(op, x, y);
            return Some(self.put(z, Fact::exact(1.0)));
        }
        let x = self.pick(|generator, value| !generator.builder.ty(value).dtype.is_float())?;
        let ty = self.ty(x);
        if self.dice.one_in(4) {
            let op = if ty.dtype != DType::Bool && self.dice.one_in(2) { UnaryOp::Neg } else { UnaryOp::Not };
            let y = self.builder.unary(op, x);
            return Some(self.put(y, Fact::exact(type_bound(ty.dtype))));
        }
        let y = self.pick_of(&ty)?;
        let ops: Vec<BinaryOp> =
            BinaryOp::ALL.iter().copied().filter(|op| op.domain().accepts(ty.dtype)).collect();
        let op = self.dice.choose(&ops)?;
        let bound = int_bound(op, ty.dtype, self.fact(x).bound, self.fact(y).bound);
        let z = self.builder.binary(op, x, y);
        Some(self.put(z, Fact::exact(bound)))
    }

    fn call(&mut self) -> Option<Value> {
        let (callee, params, facts) = self.callee()?;
        let (operands, exact) = self.arguments(params);
        let module = self.module;
        let results = if self.dice.one_in(3) {
            self.builder.call_materialized(module, callee, &operands)
        } else {
            self.builder.call(module, callee, &operands)
        };
        for (&result, fact) in results.iter().zip(facts) {
            self.put(result, Fact { exact: fact.exact && exact, ..fact });
        }
        results.first().copied()
    }

    /// A loop over a function that is made for it.
    fn repeat(&mut self) -> Option<Value> {
        let (body, mut params, facts) = self.callee()?;
        let carried = facts.len();
        let count = TensorType::scalar(DType::U32);
        let results = self.module.functions.get(body.index())?.signature().results;
        if params.first() != Some(&count) || params.get(1..=carried) != Some(&results) {
            return None;
        }
        let (values, exact) = self.arguments(params.split_off(1));
        let count = match self.pick(|generator, value| *generator.builder.ty(value) == count) {
            Some(value) if self.wild() || self.fact(value).exact => {
                let most = self.full(count, MAX_COUNT);
                let least = self.builder.min(value, most);
                self.put(least, Fact::exact(MAX_COUNT))
            }
            _ => {
                let runs = self.dice.below(MAX_COUNT as usize + 1) as f64;
                self.full(count, runs)
            }
        };
        let (initial, invariants) = values.split_at(carried);
        let module = self.module;
        let results = self.builder.repeat(module, body, count, initial, invariants);
        for ((&result, fact), &initial) in results.iter().zip(facts).zip(initial) {
            let fact = fact.join(self.fact(initial));
            self.put(result, Fact { exact: fact.exact && exact, ..fact });
        }
        results.first().copied()
    }

    /// Values for the parameters of a function, and whether all are exact.
    fn arguments(&mut self, params: Vec<TensorType>) -> (Vec<Value>, bool) {
        let wild = self.wild();
        let mut operands = Vec::new();
        let mut exact = true;
        for ty in params {
            let fits = |generator: &Generator<'_>, value: Value| {
                let fact = generator.fact(value);
                let tame = fact.bound <= input_bound(ty.dtype) && (fact.exact || generator.smooth());
                *generator.builder.ty(value) == ty && (wild || tame)
            };
            let operand = match self.pick(fits) {
                Some(operand) => operand,
                None => self.full(ty, 1.0),
            };
            exact &= self.fact(operand).exact;
            operands.push(operand);
        }
        (operands, exact)
    }
}
