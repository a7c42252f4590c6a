//! Random steps that only move elements.

use super::generate::{Generator, MAX_ELEMENTS};
use crate::graph::Value;
use crate::infer::infer;
use crate::op::Op;
use crate::types::{DType, Shape, TensorType};

impl Generator<'_> {
    pub(super) fn broadcast(&mut self) -> Option<Value> {
        let x = self.pick(|_, _| true)?;
        let (mut shape, mut dims) = (Vec::new(), Vec::new());
        for &dim in self.ty(x).shape.dims() {
            if self.dice.one_in(3) {
                shape.push(self.dim());
            }
            dims.push(shape.len());
            shape.push(dim);
        }
        if shape.len() < 4 && (shape.is_empty() || self.dice.one_in(2)) {
            shape.push(self.dim());
        }
        if Shape::from(shape.as_slice()).elements() > MAX_ELEMENTS {
            return None;
        }
        let y = self.builder.broadcast(x, shape.as_slice(), &dims);
        Some(self.put(y, self.fact(x)))
    }

    pub(super) fn reshape(&mut self) -> Option<Value> {
        let x = self.pick(|_, _| true)?;
        let count = self.ty(x).shape.elements();
        let part = (1..=4).filter(|part| count.is_multiple_of(*part)).nth(self.dice.below(3)).unwrap_or(1);
        let shape = match self.dice.below(4) {
            0 => vec![count],
            1 => vec![part, count / part],
            2 if count == 1 => Vec::new(),
            2 => vec![count / part, 1, part],
            _ => self.ty(x).shape.dims().iter().rev().copied().collect(),
        };
        let op = Op::Reshape { shape: Shape::new(shape) };
        let y = self.builder.push(op, vec![x], None)[0];
        Some(self.put(y, self.fact(x)))
    }

    pub(super) fn transpose(&mut self) -> Option<Value> {
        let x = self.ranked()?;
        let mut left: Vec<usize> = (0..self.ty(x).rank()).collect();
        let mut perm = Vec::new();
        while !left.is_empty() {
            let index = self.dice.below(left.len());
            perm.push(left.remove(index));
        }
        let y = self.builder.transpose(x, &perm);
        Some(self.put(y, self.fact(x)))
    }

    pub(super) fn slice(&mut self) -> Option<Value> {
        let x = self.ranked()?;
        let (mut starts, mut limits, mut strides) = (Vec::new(), Vec::new(), Vec::new());
        for &dim in self.ty(x).shape.dims() {
            let start = self.dice.below(dim);
            let least = if self.config.zero_sized { 0 } else { dim.min(1) };
            let limit = dim - self.dice.below((dim - start + 1).saturating_sub(least));
            starts.push(start);
            limits.push(limit);
            strides.push(1 + self.dice.below(2));
        }
        let y = self.builder.push(Op::Slice { starts, limits, strides }, vec![x], None)[0];
        Some(self.put(y, self.fact(x)))
    }

    pub(super) fn pad(&mut self) -> Option<Value> {
        let x = self.ranked()?;
        let ty = self.ty(x);
        let scalar = TensorType::scalar(ty.dtype);
        let padding = match self.pick_of(&scalar) {
            Some(padding) => padding,
            None => self.full(scalar, 0.0),
        };
        let mut counts = || (0..ty.rank()).map(|_| self.dice.below(3)).collect::<Vec<usize>>();
        let op = Op::Pad { low: counts(), high: counts(), interior: counts() };
        let result = infer(&op, &[&ty, &TensorType::scalar(ty.dtype)], None).ok()?.pop()?;
        if result.shape.elements() > MAX_ELEMENTS {
            return None;
        }
        let y = self.builder.push(op, vec![x, padding], None)[0];
        Some(self.put(y, self.fact(x).join(self.fact(padding))))
    }

    pub(super) fn at(&mut self) -> Option<Value> {
        let filled = |generator: &Generator<'_>, value: Value| {
            generator.builder.ty(value).shape.dims().first().is_some_and(|&size| size > 0)
        };
        let x = self.pick(filled)?;
        let scalar = TensorType::scalar(DType::U32);
        let index = self.pick(|generator, value| {
            *generator.builder.ty(value) == scalar && (generator.wild() || generator.fact(value).exact)
        });
        let index = match index {
            Some(index) => index,
            None => {
                let index = self.dice.below(4) as f64;
                self.full(scalar, index)
            }
        };
        let y = self.builder.at(x, index);
        Some(self.put(y, self.fact(x)))
    }

    pub(super) fn concat(&mut self) -> Option<Value> {
        let x = self.ranked()?;
        let ty = self.ty(x);
        let dim = self.dice.below(ty.rank());
        let mut operands = vec![x];
        let mut fact = self.fact(x);
        for _ in 0..self.dice.below(3) {
            let fits = |generator: &Generator<'_>, value: Value| {
                let op = Op::Concat { dim };
                infer(&op, &[&ty, generator.builder.ty(value)], None).is_ok()
            };
            let other = self.pick(fits)?;
            fact = fact.join(self.fact(other));
            operands.push(other);
        }
        let count: usize = operands.iter().map(|&operand| self.ty(operand).shape.elements()).sum();
        if count > MAX_ELEMENTS {
            return None;
        }
        let y = self.builder.push(Op::Concat { dim }, operands, None)[0];
        Some(self.put(y, fact))
    }
}
