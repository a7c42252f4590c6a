//! Expressions: a formula in Rust that looks like the formula in print.
//!
//! ```
//! use std::cell::RefCell;
//! use natgrad_ir::{Builder, DType, Expr, TensorType};
//!
//! let mut b = Builder::new("momentum");
//! let [m, g] = ["m", "g"].map(|name| b.param(name, TensorType::new(DType::F32, [3])));
//! let b = RefCell::new(b);
//! let [m, g] = [m, g].map(|value| Expr::new(&b, value));
//! let new = 0.9 * m + 0.1 * g;
//! let new = new.value();
//! assert_eq!(b.into_inner().finish(&[new])?.insts.len(), 5); // two constants, two products, a sum
//! # Ok::<(), natgrad_ir::BuildErrors>(())
//! ```

use std::cell::RefCell;
use std::fmt;
use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::build::Builder;
use crate::graph::Value;
use crate::op::{BinaryOp, CompareOp, ReduceOp};
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

macro_rules! operators {
    ($($operator:ident $method:ident $op:ident),*) => {$(
        impl<'b, R: Operand<'b>> $operator<R> for Expr<'b> {
            type Output = Expr<'b>;

            #[track_caller]
            fn $method(self, other: R) -> Expr<'b> {
                self.binary(BinaryOp::$op, other)
            }
        }

        impl<'b> $operator<Expr<'b>> for f64 {
            type Output = Expr<'b>;

            #[track_caller]
            fn $method(self, other: Expr<'b>) -> Expr<'b> {
                other.constant(self).binary(BinaryOp::$op, other)
            }
        }
    )*};
}
operators!(Add add Add, Sub sub Sub, Mul mul Mul, Div div Div);

impl<'b> Neg for Expr<'b> {
    type Output = Expr<'b>;

    #[track_caller]
    fn neg(self) -> Expr<'b> {
        self.with(|b, x| b.neg(x))
    }
}

macro_rules! functions {
    ($($(#[$doc:meta])* $method:ident),*) => {$(
        $(#[$doc])*
        #[track_caller]
        #[must_use]
        pub fn $method(self) -> Expr<'b> {
            self.with(|b, x| b.$method(x))
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

    /// The expression that the builder makes of this one.
    #[track_caller]
    pub fn with(self, make: impl FnOnce(&mut Builder, Value) -> Value) -> Expr<'b> {
        let value = make(&mut self.builder.borrow_mut(), self.value);
        Expr { value, ..self }
    }

    /// A constant of this type, the number everywhere.
    #[track_caller]
    pub fn constant(self, number: f64) -> Expr<'b> {
        self.with(|b, x| b.full_like(x, number))
    }

    #[track_caller]
    fn binary(self, op: BinaryOp, other: impl Operand<'b>) -> Expr<'b> {
        let other = other.beside(self);
        self.with(|b, x| b.binary(op, x, other.value))
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
        self.with(|b, x| b.compare(op, x, other.value))
    }

    /// `yes` where this holds, else `no`.
    #[track_caller]
    #[must_use]
    pub fn select(self, yes: Expr<'b>, no: Expr<'b>) -> Expr<'b> {
        let shape = yes.ty().shape;
        self.splat(shape).with(|b, holds| b.select(holds, yes.value, no.value))
    }

    /// A scalar, everywhere in a tensor of this shape; a tensor as it is.
    #[track_caller]
    #[must_use]
    pub fn splat(self, shape: impl Into<Shape>) -> Expr<'b> {
        self.with(|b, x| b.splat(x, shape))
    }

    /// The same in another element type.
    #[track_caller]
    #[must_use]
    pub fn convert(self, dtype: DType) -> Expr<'b> {
        self.with(|b, x| b.convert(x, dtype))
    }

    /// The sum of all elements, a scalar.
    #[track_caller]
    #[must_use]
    pub fn total(self) -> Expr<'b> {
        self.reduce(ReduceOp::Sum)
    }

    /// All elements reduced to a scalar.
    #[track_caller]
    #[must_use]
    pub fn reduce(self, op: ReduceOp) -> Expr<'b> {
        let dims: Vec<usize> = (0..self.ty().rank()).collect();
        self.with(|b, x| b.reduce(op, x, &dims))
    }
}
