//! Random steps of networks: convolutions, and slices by index.

use super::facts::Fact;
use super::generate::{Generator, MAX_ELEMENTS};
use crate::graph::Value;
use crate::infer::infer;
use crate::op::{ConvDims, Op};
use crate::types::{DType, Shape, TensorType};

impl Generator<'_> {
    pub(super) fn reverse(&mut self) -> Option<Value> {
        let x = self.ranked()?;
        let dims = (0..self.ty(x).rank()).filter(|_| self.dice.one_in(2)).collect();
        let y = self.builder.push(Op::Reverse { dims }, vec![x], None)[0];
        Some(self.put(y, self.fact(x)))
    }

    /// A convolution over one or two dimensions of two values in other shapes.
    pub(super) fn conv(&mut self) -> Option<Value> {
        let x = self.pick(|generator, value| generator.builder.ty(value).dtype.is_float())?;
        let x = self.tame(x);
        let dtype = self.ty(x).dtype;
        let kernel = self.pick(|generator, value| {
            let ty = generator.builder.ty(value);
            ty.dtype == dtype && ty.shape.elements() > 0
        })?;
        let kernel = self.tame(kernel);
        let features = self.divisor(x);
        let groups = if features == 2 && self.dice.one_in(2) { 2 } else { 1 };
        let window = self.divisor(kernel);
        let (size, weights) = (self.ty(x).shape.elements(), self.ty(kernel).shape.elements());
        let part = features / groups;
        let outputs = weights / (window * part);
        if window * part * outputs != weights {
            return None;
        }
        let flat = self.dice.one_in(2);
        let shapes = if flat {
            [vec![1, size / features, features], vec![window, part, outputs]]
        } else {
            [vec![1, size / features, 1, features], vec![1, window, part, outputs]]
        };
        let spatial = if flat { 1 } else { 2 };
        let mut numbers = |least: usize, count: usize| -> Vec<usize> {
            (0..spatial).map(|_| least + self.dice.below(count)).collect()
        };
        let dims = ConvDims {
            strides: numbers(1, 2),
            low: numbers(0, 4).into_iter().map(|pad| pad as i64 - 1).collect(),
            high: numbers(0, 4).into_iter().map(|pad| pad as i64 - 1).collect(),
            lhs_dilation: numbers(1, 2),
            rhs_dilation: numbers(1, 2),
            groups,
        };
        let types = shapes.clone().map(|shape| TensorType::new(dtype, Shape::new(shape)));
        let result = infer(&Op::Conv(dims.clone()), &[&types[0], &types[1]], None).ok()?.pop()?;
        if result.shape.elements() > MAX_ELEMENTS {
            return None;
        }
        let bound = self.fact(x).bound * self.fact(kernel).bound * (window * part) as f64;
        let [x, kernel] = [(x, &shapes[0]), (kernel, &shapes[1])]
            .map(|(value, shape)| self.builder.reshape(value, shape.as_slice()));
        let y = self.builder.conv(x, kernel, dims);
        Some(self.put(y, Fact::rounded(bound)))
    }

    /// One or two, a divisor of the number of elements.
    fn divisor(&mut self, value: Value) -> usize {
        let even = self.ty(value).shape.elements().is_multiple_of(2);
        if even && self.dice.one_in(2) { 2 } else { 1 }
    }

    pub(super) fn take(&mut self) -> Option<Value> {
        let x = self.table(|_| true)?;
        let indices = self.indices()?;
        let ty = infer(&Op::Take, &[&self.ty(x), &self.ty(indices)], None).ok()?.pop()?;
        if ty.shape.elements() > MAX_ELEMENTS {
            return None;
        }
        let y = self.builder.take(x, indices);
        Some(self.put(y, self.fact(x)))
    }

    pub(super) fn scatter_add(&mut self) -> Option<Value> {
        let x = self.table(|dtype| dtype.is_float())?;
        let x = self.tame(x);
        let indices = self.indices()?;
        let slices = infer(&Op::Take, &[&self.ty(x), &self.ty(indices)], None).ok()?.pop()?;
        if slices.shape.elements() > MAX_ELEMENTS {
            return None;
        }
        let slices = match self.pick_of(&slices) {
            Some(slices) => slices,
            None => self.full(slices, 0.5),
        };
        let count = self.ty(indices).shape.elements() as f64;
        let bound = self.fact(x).bound + count * self.fact(slices).bound;
        let y = self.builder.scatter_add(x, indices, slices);
        Some(self.put(y, Fact::rounded(bound)))
    }

    /// Something with slices to take.
    fn table(&mut self, accept: impl Fn(DType) -> bool) -> Option<Value> {
        self.pick(|generator, value| {
            let ty = generator.builder.ty(value);
            accept(ty.dtype) && ty.shape.dims().first().is_some_and(|&size| size > 0)
        })
    }

    /// Indices that every implementation computes alike.
    fn indices(&mut self) -> Option<Value> {
        let found = self.pick(|generator, value| {
            let exact = generator.wild() || generator.fact(value).exact;
            generator.builder.ty(value).dtype == DType::U32 && exact
        });
        if let (Some(found), false) = (found, self.dice.one_in(3)) {
            return Some(found);
        }
        let shape = self.shape();
        Some(self.constant(TensorType { dtype: DType::U32, shape }))
    }
}
