//! Expressions: a formula in Rust that looks like the formula in print.
//!
//! ```
//! use natgrad_ir::{Builder, DType, TensorType};
//!
//! let mut b = Builder::new("momentum");
//! let [m, g] = ["m", "g"].map(|name| b.param(name, TensorType::new(DType::F32, [3])));
//! let new = b.formula([m, g], |[m, g]| 0.9 * m + 0.1 * g);
//! assert_eq!(b.finish(&[new])?.insts.len(), 5); // two constants, two products, a sum
//! # Ok::<(), natgrad_ir::BuildErrors>(())
//! ```

use std::cell::RefCell;
use std::fmt;
use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Range, Shl, Shr, Sub};

use crate::build::Builder;
use crate::graph::Value;
use crate::op::{BinaryOp, CompareOp, ConvDims, DotDims, Op, ReduceOp};
use crate::types::{DType, Shape, TensorType};

/// A value of a function being built, with the builder: the operators and methods append instructions.
///
/// Operands are tensors of one shape, or scalars, which are broadcast. Plain numbers are constants of the other operand's
/// type. Wrong requests are recorded, as everywhere in the builder.
#[derive(Clone, Copy)]
pub struct Expr<'b> {
    builder: &'b RefCell<Builder>,
    value: Value,
}

impl fmt::Debug for Expr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expr").field(&self.value).finish()
    }
}

impl Builder {
    /// The value of a formula of these operands.
    ///
    /// ```
    /// use natgrad_ir::{Builder, DType, TensorType};
    ///
    /// let mut b = Builder::new("hypotenuse");
    /// let [x, y] = ["x", "y"].map(|name| b.param(name, TensorType::new(DType::F64, [3])));
    /// let z = b.formula([x, y], |[x, y]| (x.square() + y.square()).sqrt());
    /// assert_eq!(b.ty(z), &TensorType::new(DType::F64, [3]));
    /// ```
    pub fn formula<const N: usize>(
        &mut self,
        operands: [Value; N],
        formula: impl for<'b> FnOnce([Expr<'b>; N]) -> Expr<'b>,
    ) -> Value {
        let [value] = self.formulas(operands, |operands| [formula(operands)]);
        value
    }

    /// The values of several formulas of these operands.
    pub fn formulas<const N: usize, const M: usize>(
        &mut self,
        operands: [Value; N],
        formulas: impl for<'b> FnOnce([Expr<'b>; N]) -> [Expr<'b>; M],
    ) -> [Value; M] {
        self.share(|b| formulas(operands.map(|value| Expr::new(b, value))).map(Expr::value))
    }

    /// What `build` gives with this builder in a cell, through which expressions share it.
    pub fn share<T>(&mut self, build: impl FnOnce(&RefCell<Builder>) -> T) -> T {
        let cell = RefCell::new(std::mem::replace(self, Builder::new("")));
        let built = build(&cell);
        *self = cell.into_inner();
        built
    }
}

/// What stands beside an expression in an operation: another one, or a number.
pub trait Operand<'b> {
    /// The operand as an expression beside this one.
    fn beside(self, other: Expr<'b>) -> Expr<'b>;
}

impl<'b> Operand<'b> for Expr<'b> {
    fn beside(self, _: Expr<'b>) -> Expr<'b> {
        self
    }
}

impl<'b> Operand<'b> for f64 {
    #[track_caller]
    fn beside(self, other: Expr<'b>) -> Expr<'b> {
        other.constant(self)
    }
}

impl<'b> Operand<'b> for u32 {
    #[track_caller]
    fn beside(self, other: Expr<'b>) -> Expr<'b> {
        other.constant(self)
    }
}

macro_rules! operators {
    ($($operator:ident $method:ident $op:ident),*) => {$(
        impl<'b, R: Operand<'b>> $operator<R> for Expr<'b> {
            type Output = Expr<'b>;

            #[track_caller]
            fn $method(self, other: R) -> Expr<'b> {
                self.binary(BinaryOp::$op, other)
            }
        }
    )*};
}
operators!(Add add Add, Sub sub Sub, Mul mul Mul, Div div Div);
operators!(BitAnd bitand And, BitOr bitor Or, BitXor bitxor Xor, Shl shl Shl, Shr shr Shr);

macro_rules! operators_after_numbers {
    ($($operator:ident $method:ident $op:ident),*) => {$(
        impl<'b> $operator<Expr<'b>> for f64 {
            type Output = Expr<'b>;

            #[track_caller]
            fn $method(self, other: Expr<'b>) -> Expr<'b> {
                other.constant(self).binary(BinaryOp::$op, other)
            }
        }
    )*};
}
operators_after_numbers!(Add add Add, Sub sub Sub, Mul mul Mul, Div div Div);

macro_rules! prefix_operators {
    ($($operator:ident $method:ident),*) => {$(
        impl<'b> $operator for Expr<'b> {
            type Output = Expr<'b>;

            #[track_caller]
            fn $method(self) -> Expr<'b> {
                self.made(self.builder.borrow_mut().$method(self.value))
            }
        }
    )*};
}
prefix_operators!(Neg neg, Not not);

macro_rules! functions {
    ($($(#[$doc:meta])* $method:ident),*) => {$(
        $(#[$doc])*
        #[track_caller]
        #[must_use]
        pub fn $method(self) -> Expr<'b> {
            self.made(self.builder.borrow_mut().$method(self.value))
        }
    )*};
}

impl<'b> Expr<'b> {
    /// A value of the function that is being built by `builder`.
    pub fn new(builder: &'b RefCell<Builder>, value: Value) -> Expr<'b> {
        Expr { builder, value }
    }

    /// The value.
    pub fn value(self) -> Value {
        self.value
    }

    /// Its type.
    pub fn ty(self) -> TensorType {
        self.builder.borrow().ty(self.value).clone()
    }

    /// Its dimensions.
    pub fn dims(self) -> Vec<usize> {
        self.ty().shape.dims().to_vec()
    }

    /// The expression that the builder makes of this one.
    pub fn with(self, make: impl FnOnce(&mut Builder, Value) -> Value) -> Expr<'b> {
        self.made(make(&mut self.builder.borrow_mut(), self.value))
    }

    /// A value made by the same builder.
    ///
    /// Methods here call the builder themselves rather than by [`Expr::with`]: closures know no caller, and the place of
    /// an instruction would be this file.
    fn made(self, value: Value) -> Expr<'b> {
        Expr { value, ..self }
    }

    /// A constant of this type, the number everywhere.
    #[track_caller]
    pub fn constant(self, number: impl Into<f64>) -> Expr<'b> {
        self.made(self.builder.borrow_mut().full_like(self.value, number.into()))
    }

    /// The index along a dimension, in this shape.
    #[track_caller]
    #[must_use]
    pub fn iota(self, dtype: DType, dim: usize) -> Expr<'b> {
        let shape = self.ty().shape;
        self.made(self.builder.borrow_mut().iota(dtype, shape, dim))
    }

    #[track_caller]
    fn binary(self, op: BinaryOp, other: impl Operand<'b>) -> Expr<'b> {
        let other = other.beside(self);
        self.made(self.builder.borrow_mut().binary(op, self.value, other.value))
    }

    functions! {
        /// The square root.
        sqrt,
        /// One over the square root.
        rsqrt,
        /// The exponential.
        exp,
        /// The exponential less one, exact near zero.
        expm1,
        /// The natural logarithm.
        log,
        /// The hyperbolic tangent.
        tanh,
        /// The error function.
        erf,
        /// The cosine.
        cos,
        /// The largest whole number that is not above.
        floor,
        /// The magnitude.
        abs,
        /// -1, 0 or 1.
        sign,
        /// The product with itself.
        square
    }

    /// The larger of both.
    #[track_caller]
    #[must_use]
    pub fn max(self, other: impl Operand<'b>) -> Expr<'b> {
        self.binary(BinaryOp::Max, other)
    }

    /// The smaller of both.
    #[track_caller]
    #[must_use]
    pub fn min(self, other: impl Operand<'b>) -> Expr<'b> {
        self.binary(BinaryOp::Min, other)
    }

    /// Limited to `[-radius, radius]`.
    #[track_caller]
    #[must_use]
    pub fn clip(self, radius: Expr<'b>) -> Expr<'b> {
        self.max(-radius).min(radius)
    }

    /// Whether the comparison holds.
    #[track_caller]
    #[must_use]
    pub fn compare(self, op: CompareOp, other: impl Operand<'b>) -> Expr<'b> {
        let other = other.beside(self);
        self.made(self.builder.borrow_mut().compare(op, self.value, other.value))
    }

    /// `yes` where this holds, else `no`.
    #[track_caller]
    #[must_use]
    pub fn select(self, yes: Expr<'b>, no: Expr<'b>) -> Expr<'b> {
        let holds = self.splat(yes.ty().shape);
        self.made(self.builder.borrow_mut().select(holds.value, yes.value, no.value))
    }

    /// A scalar, everywhere in a tensor of this shape; a tensor as it is.
    #[track_caller]
    #[must_use]
    pub fn splat(self, shape: impl Into<Shape>) -> Expr<'b> {
        self.made(self.builder.borrow_mut().splat(self.value, shape))
    }

    /// Broadcast to the shape of another: dimension `i` becomes dimension `dims[i]`.
    #[track_caller]
    #[must_use]
    pub fn broadcast_like(self, other: Expr<'b>, dims: &[usize]) -> Expr<'b> {
        let shape = other.ty().shape;
        self.made(self.builder.borrow_mut().broadcast(self.value, shape, dims))
    }

    /// A scalar or tensor in a shape of its own: dimension `i` becomes dimension `dims[i]`.
    #[track_caller]
    #[must_use]
    pub fn broadcast(self, shape: impl Into<Shape>, dims: &[usize]) -> Expr<'b> {
        self.made(self.builder.borrow_mut().broadcast(self.value, shape, dims))
    }

    /// The same elements in another shape, row-major.
    #[track_caller]
    #[must_use]
    pub fn reshape(self, shape: impl Into<Shape>) -> Expr<'b> {
        self.made(self.builder.borrow_mut().reshape(self.value, shape))
    }

    /// All but the first dimension as one: `[rows, rest]`.
    #[track_caller]
    #[must_use]
    pub fn flatten(self) -> Expr<'b> {
        match self.dims().split_first() {
            Some((&rows, rest)) => self.reshape([rows, rest.iter().product()]),
            None => self.reshape([1, 1]),
        }
    }

    /// Dimension `i` of the result is dimension `perm[i]` of this.
    #[track_caller]
    #[must_use]
    pub fn transpose(self, perm: &[usize]) -> Expr<'b> {
        self.made(self.builder.borrow_mut().transpose(self.value, perm))
    }

    /// The places `range` along a dimension.
    #[track_caller]
    #[must_use]
    pub fn slice(self, dim: usize, range: Range<usize>) -> Expr<'b> {
        let mut limits = self.ty().shape.dims().to_vec();
        let mut starts = vec![0; limits.len()];
        let strides = vec![1; limits.len()];
        match (starts.get_mut(dim), limits.get_mut(dim)) {
            (Some(start), Some(limit)) => (*start, *limit) = (range.start, range.end),
            // One limit too many, which the type rule refuses.
            _ => limits.push(range.end),
        }
        let op = Op::Slice { starts, limits, strides };
        self.made(self.builder.borrow_mut().push(op, vec![self.value], None)[0])
    }

    /// This and others one after another along a dimension.
    #[track_caller]
    #[must_use]
    pub fn concat(self, others: &[Expr<'b>], dim: usize) -> Expr<'b> {
        let all: Vec<Value> = [self].iter().chain(others).map(|one| one.value).collect();
        self.made(self.builder.borrow_mut().concat(&all, dim))
    }

    /// The product of matrices `[m, k]` and `[k, n]`.
    #[track_caller]
    #[must_use]
    pub fn matmul(self, other: Expr<'b>) -> Expr<'b> {
        self.made(self.builder.borrow_mut().matmul(self.value, other.value))
    }

    /// The product that sums over some dimensions of both.
    #[track_caller]
    #[must_use]
    pub fn dot(self, other: Expr<'b>, dims: DotDims) -> Expr<'b> {
        self.made(self.builder.borrow_mut().dot(self.value, other.value, dims))
    }

    /// The convolution of this with a kernel, see [`Builder::conv`].
    #[track_caller]
    #[must_use]
    pub fn conv(self, kernel: Expr<'b>, dims: ConvDims) -> Expr<'b> {
        self.made(self.builder.borrow_mut().conv(self.value, kernel.value, dims))
    }

    /// The slices along the first dimension with these indices, `u32[n]`.
    #[track_caller]
    #[must_use]
    pub fn take(self, indices: Expr<'b>) -> Expr<'b> {
        self.made(self.builder.borrow_mut().take(self.value, indices.value))
    }

    /// The name of the value in printed programs.
    pub fn named(self, name: &str) -> Expr<'b> {
        self.made(self.builder.borrow_mut().name(self.value, name))
    }

    /// The same in another element type.
    #[track_caller]
    #[must_use]
    pub fn convert(self, dtype: DType) -> Expr<'b> {
        self.made(self.builder.borrow_mut().convert(self.value, dtype))
    }

    /// Reduced over these dimensions.
    #[track_caller]
    #[must_use]
    pub fn reduce(self, op: ReduceOp, dims: &[usize]) -> Expr<'b> {
        self.made(self.builder.borrow_mut().reduce(op, self.value, dims))
    }

    /// The sum over these dimensions.
    #[track_caller]
    #[must_use]
    pub fn sum(self, dims: &[usize]) -> Expr<'b> {
        self.reduce(ReduceOp::Sum, dims)
    }

    /// The mean over these dimensions.
    #[track_caller]
    #[must_use]
    pub fn mean(self, dims: &[usize]) -> Expr<'b> {
        let shape = self.ty().shape;
        let reduced: Vec<usize> = dims.iter().filter_map(|&dim| shape.dims().get(dim).copied()).collect();
        let elements = Shape::new(reduced).elements();
        self.sum(dims) * (1.0 / elements as f64)
    }

    /// The sum of all elements, a scalar.
    #[track_caller]
    #[must_use]
    pub fn total(self) -> Expr<'b> {
        let dims: Vec<usize> = (0..self.ty().rank()).collect();
        self.sum(&dims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Origin;
    use crate::interp::{Precision, Tensor, evaluate_flat};

    /// Every instruction of a formula was made at the formula's line, in the builder's scope.
    #[test]
    fn instructions_know_the_line_and_the_scope_of_their_formula() {
        let mut b = Builder::new("f");
        let [x, y] = ["x", "y"].map(|name| b.param(name, TensorType::new(DType::F32, [2, 3])));
        let line = line!() + 3;
        let value = b.scoped("inner", |b| {
            b.formula([x, y], |[x, y]| {
                x.compare(CompareOp::Lt, 0.5).select(-x, 2.0 * y).max(y.exp()).mean(&[1])
            })
        });
        let function = b.finish(&[value]).unwrap();
        assert_eq!(function.insts.len(), 11);
        for inst in &function.insts {
            let Origin::Code(place) = inst.origin else { panic!("{}", inst.op.name()) };
            assert_eq!((place.file(), place.line()), (file!(), line), "{}", inst.op.name());
            assert_eq!(inst.scope, "inner");
        }
    }

    #[test]
    fn mistakes_before_in_and_after_a_formula_are_kept() {
        let mut b = Builder::new("f");
        let [x, y] = [2, 3].map(|size| b.param(format!("x{size}"), TensorType::new(DType::F32, [size])));
        b.add(x, y);
        let [sum, product] = b.formulas([x, y], |[x, y]| [x + y, x * y]);
        b.sub(sum, product);
        b.sub(x, y);
        let errors = b.finish(&[x]).unwrap_err().to_string();
        assert_eq!(errors.lines().count(), 4, "{errors}");
        assert!(errors.lines().all(|line| line.contains("in function `f`, made at ")), "{errors}");
    }

    #[test]
    fn words_have_the_operators_of_words() {
        let words = [0u32, 1, 0x8000_0001, 0xdead_beef];
        let mut b = Builder::new("f");
        let x = b.param("x", TensorType::new(DType::U32, [words.len()]));
        let value = b.formula([x], |[x]| ((x ^ (x >> 16)) * 3 + 1) & !(x << 5) | 0x10);
        let function = b.finish(&[value]).unwrap();
        let given = [Tensor::from_u32s([words.len()], &words).unwrap()];
        let found = evaluate_flat(&function, &given, Precision::AsTyped).unwrap()[0].to_f64s();
        let wanted = words.map(|x| ((x ^ (x >> 16)).wrapping_mul(3).wrapping_add(1)) & !(x << 5) | 0x10);
        assert_eq!(found, wanted.map(f64::from));
    }
}
