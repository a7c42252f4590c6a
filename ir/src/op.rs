//! The closed set of operations. One declaration per operation gives its name and what it accepts; the
//! type rules are in [`mod@crate::infer`].

use std::sync::Arc;

use crate::foreign::Foreign;
use crate::graph::FuncId;
use crate::literal::Literal;
use crate::types::{DType, Shape};

/// Which element types an elementwise operation accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Floating-point types.
    Float,
    /// Floating-point and integer types.
    Number,
    /// Integer types.
    Integer,
    /// Integer types and booleans.
    Bits,
    /// Every type.
    Any,
}

impl Domain {
    /// Whether `dtype` belongs to the domain.
    pub fn accepts(self, dtype: DType) -> bool {
        match self {
            Domain::Float => dtype.is_float(),
            Domain::Number => dtype != DType::Bool,
            Domain::Integer => dtype.is_integer(),
            Domain::Bits => !dtype.is_float(),
            Domain::Any => true,
        }
    }

    /// The domain in words, for error messages.
    pub fn describe(self) -> &'static str {
        match self {
            Domain::Float => "a floating-point type",
            Domain::Number => "a number type",
            Domain::Integer => "an integer type",
            Domain::Bits => "an integer type or bool",
            Domain::Any => "any type",
        }
    }
}

macro_rules! elementwise {
    ($(#[$meta:meta])* $kind:ident { $($(#[$doc:meta])* $variant:ident = $name:literal : $domain:ident,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $kind { $($(#[$doc])* $variant,)* }

        impl $kind {
            /// Every operation of this kind.
            pub const ALL: &'static [$kind] = &[$($kind::$variant),*];

            /// The name in the textual form.
            pub const fn name(self) -> &'static str {
                match self { $($kind::$variant => $name,)* }
            }

            /// The element types that it accepts.
            pub const fn domain(self) -> Domain {
                match self { $($kind::$variant => Domain::$domain,)* }
            }

            /// The operation with this name, if there is one.
            pub fn from_name(name: &str) -> Option<$kind> {
                $kind::ALL.iter().copied().find(|op| op.name() == name)
            }
        }
    };
}

elementwise! {
    /// Elementwise operations of one operand; the result has the operand's type.
    UnaryOp {
        /// `-x`; integers wrap.
        Neg = "neg": Number,
        /// `|x|`.
        Abs = "abs": Float,
        /// The sign: -1, 0 or 1 (NaN stays NaN).
        Sign = "sign": Float,
        /// The largest whole number not above `x`.
        Floor = "floor": Float,
        /// `e^x`.
        Exp = "exp": Float,
        /// `e^x - 1`, accurate near zero.
        Expm1 = "expm1": Float,
        /// The natural logarithm.
        Log = "log": Float,
        /// `ln(1 + x)`, accurate near zero.
        Log1p = "log1p": Float,
        /// The square root.
        Sqrt = "sqrt": Float,
        /// `1 / sqrt(x)`.
        Rsqrt = "rsqrt": Float,
        /// The hyperbolic tangent.
        Tanh = "tanh": Float,
        /// The logistic function `1 / (1 + e^-x)`.
        Logistic = "logistic": Float,
        /// The sine, in radians.
        Sin = "sin": Float,
        /// The cosine, in radians.
        Cos = "cos": Float,
        /// The error function.
        Erf = "erf": Float,
        /// Logical negation of booleans, bitwise complement of integers.
        Not = "not": Bits,
    }
}

elementwise! {
    /// Elementwise operations of two operands of one type; the result has that type.
    BinaryOp {
        /// `x + y`; integers wrap.
        Add = "add": Number,
        /// `x - y`; integers wrap.
        Sub = "sub": Number,
        /// `x * y`; integers wrap.
        Mul = "mul": Number,
        /// `x / y`.
        Div = "div": Float,
        /// The larger one; NaN if either is.
        Max = "max": Number,
        /// The smaller one; NaN if either is.
        Min = "min": Number,
        /// `x` to the power `y`.
        Pow = "pow": Float,
        /// Logical or bitwise and.
        And = "and": Bits,
        /// Logical or bitwise or.
        Or = "or": Bits,
        /// Logical or bitwise exclusive or.
        Xor = "xor": Bits,
        /// Shift left; zero where the shift is not below the width.
        Shl = "shl": Integer,
        /// Logical shift right; zero where the shift is not below the width.
        Shr = "shr": Integer,
    }
}

elementwise! {
    /// Elementwise comparisons of two operands of one type; the result is boolean. Comparisons with NaN are
    /// false, except `ne`.
    CompareOp {
        /// `x == y`.
        Eq = "eq": Any,
        /// `x != y`.
        Ne = "ne": Any,
        /// `x < y`.
        Lt = "lt": Number,
        /// `x <= y`.
        Le = "le": Number,
        /// `x > y`.
        Gt = "gt": Number,
        /// `x >= y`.
        Ge = "ge": Number,
    }
}

elementwise! {
    /// Reductions over dimensions, each starting from its neutral element.
    ReduceOp {
        /// The sum.
        Sum = "reduce_sum": Number,
        /// The largest element; NaN if any is.
        Max = "reduce_max": Number,
        /// The smallest element; NaN if any is.
        Min = "reduce_min": Number,
        /// Whether all are true.
        All = "reduce_all": Bits,
        /// Whether any is true.
        Any = "reduce_any": Bits,
    }
}

/// Dimension numbers of a batched matrix product. The result's dimensions are the batch dimensions, then the
/// free dimensions of the left operand, then those of the right one, each in operand order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DotDims {
    /// Batch dimensions of the left operand.
    pub lhs_batch: Vec<usize>,
    /// Batch dimensions of the right operand, paired with `lhs_batch`.
    pub rhs_batch: Vec<usize>,
    /// Contracted dimensions of the left operand.
    pub lhs_contract: Vec<usize>,
    /// Contracted dimensions of the right operand, paired with `lhs_contract`.
    pub rhs_contract: Vec<usize>,
}

impl DotDims {
    /// The plain matrix product `[m,k] x [k,n]`.
    pub fn matmul() -> DotDims {
        DotDims::contracting(1, 0)
    }

    /// The product that contracts one dimension of each operand, without batch dimensions.
    pub fn contracting(lhs: usize, rhs: usize) -> DotDims {
        DotDims { lhs_contract: vec![lhs], rhs_contract: vec![rhs], ..DotDims::default() }
    }

    /// The dimensions of the left operand that are neither batch nor contracted.
    pub fn lhs_free(&self, rank: usize) -> Vec<usize> {
        free(rank, &self.lhs_batch, &self.lhs_contract)
    }

    /// The dimensions of the right operand that are neither batch nor contracted.
    pub fn rhs_free(&self, rank: usize) -> Vec<usize> {
        free(rank, &self.rhs_batch, &self.rhs_contract)
    }
}

fn free(rank: usize, batch: &[usize], contract: &[usize]) -> Vec<usize> {
    (0..rank).filter(|axis| !batch.contains(axis) && !contract.contains(axis)).collect()
}

/// How a kernel moves over the spatial dimensions of a convolution. Each list has an entry for each of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvDims {
    /// Steps of the kernel, at least one.
    pub strides: Vec<usize>,
    /// Zeros before the first element, after dilation; elements cut off if below zero.
    pub low: Vec<i64>,
    /// Zeros after the last element, or elements cut off.
    pub high: Vec<i64>,
    /// Distance of neighbouring elements of the left operand, at least one: zeros lie between them.
    pub lhs_dilation: Vec<usize>,
    /// Distance of neighbouring elements of the kernel, at least one.
    pub rhs_dilation: Vec<usize>,
    /// Number of groups that features are parted into; each part of the outputs sees one part of the inputs.
    pub groups: usize,
}

impl ConvDims {
    /// The convolution of this many spatial dimensions that moves by `stride` along each, with `pad` zeros at either
    /// end of each.
    pub fn padded(spatial: usize, stride: usize, pad: usize) -> ConvDims {
        ConvDims {
            strides: vec![stride; spatial],
            low: vec![pad as i64; spatial],
            high: vec![pad as i64; spatial],
            lhs_dilation: vec![1; spatial],
            rhs_dilation: vec![1; spatial],
            groups: 1,
        }
    }

    /// Number of spatial dimensions.
    pub fn spatial(&self) -> usize {
        self.strides.len()
    }
}

/// How many places `size` elements take at this distance from one another.
pub(crate) fn dilated(size: usize, dilation: usize) -> Option<i64> {
    match size.checked_sub(1) {
        Some(gaps) => i64::try_from(gaps.checked_mul(dilation)?.checked_add(1)?).ok(),
        None => Some(0),
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// The function's operations may be fused with, and repeated in, whatever uses the results.
    #[default]
    Inline,
    /// The results are computed once and stored, never again in what uses them.
    Materialize,
    /// The results are computed here, once all operands are known, and share nothing with equal operations outside: what is
    /// computed again, so that it need not be kept.
    Again,
    /// As [`Inline`](CallKind::Inline), and the one result is to be computed in one loop over its elements, each from the
    /// operands' elements in the same place: the function has elementwise operations, constants of one element, indices
    /// and broadcasts of scalars, and every value of it is a scalar or has the result's shape.
    Fuse,
}

impl CallKind {
    /// Every kind.
    pub const ALL: [CallKind; 4] = [CallKind::Inline, CallKind::Materialize, CallKind::Again, CallKind::Fuse];

    /// The word for it in the forms of a program outside this crate; none for the usual kind.
    pub const fn word(self) -> Option<&'static str> {
        match self {
            CallKind::Inline => None,
            CallKind::Materialize => Some("materialize"),
            CallKind::Again => Some("again"),
            CallKind::Fuse => Some("fuse"),
        }
    }
}

/// An operation with its attributes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A constant tensor.
    Constant(Literal),
    /// The index along one dimension, as a tensor of a number type.
    Iota {
        /// Element type of the result.
        dtype: DType,
        /// Shape of the result.
        shape: Shape,
        /// The dimension that is counted.
        dim: usize,
    },
    /// An elementwise operation of one operand.
    Unary(UnaryOp),
    /// An elementwise operation of two operands.
    Binary(BinaryOp),
    /// An elementwise comparison.
    Compare(CompareOp),
    /// `select(condition, on_true, on_false)`, elementwise.
    Select,
    /// Conversion to another element type. Float to integer truncates; to bool is `!= 0`.
    Convert {
        /// Element type of the result.
        dtype: DType,
    },
    /// Broadcasts to `shape`; dimension `i` of the operand becomes dimension `dims[i]` of the result.
    Broadcast {
        /// Shape of the result.
        shape: Shape,
        /// Where each operand dimension goes, increasing; sizes must agree.
        dims: Vec<usize>,
    },
    /// The same elements, row-major, in another shape.
    Reshape {
        /// Shape of the result.
        shape: Shape,
    },
    /// Permutes dimensions: dimension `i` of the result is dimension `perm[i]` of the operand.
    Transpose {
        /// The permutation.
        perm: Vec<usize>,
    },
    /// Every `strides[i]`-th element of `[starts[i], limits[i])`.
    Slice {
        /// First index, per dimension.
        starts: Vec<usize>,
        /// One past the last index, per dimension.
        limits: Vec<usize>,
        /// Step, per dimension, at least one.
        strides: Vec<usize>,
    },
    /// Pads with the scalar second operand: `low[i]` elements before, `high[i]` after and `interior[i]` between
    /// the elements of each dimension.
    Pad {
        /// Elements before, per dimension.
        low: Vec<usize>,
        /// Elements after, per dimension.
        high: Vec<usize>,
        /// Elements between neighbours, per dimension.
        interior: Vec<usize>,
    },
    /// Concatenates one or more operands along a dimension.
    Concat {
        /// The dimension that grows.
        dim: usize,
    },
    /// Reduces over some dimensions, which vanish.
    Reduce {
        /// What is accumulated.
        op: ReduceOp,
        /// The reduced dimensions, increasing.
        dims: Vec<usize>,
    },
    /// A batched matrix product.
    Dot(DotDims),
    /// `conv(x: T[n, spatial..., c], kernel: T[window..., c / groups, o]) -> T[n, positions..., o]`: at each position
    /// the sum over window and features of products; as in neural networks, the kernel is not reversed.
    Conv(ConvDims),
    /// Reverses the order of elements along some dimensions.
    Reverse {
        /// The dimensions, increasing.
        dims: Vec<usize>,
    },
    /// `take(x: T[n, w...], indices: u32[k...]) -> T[k..., w...]`: the slices of `x` with these indices along its first
    /// dimension. An index past the end takes the last one.
    Take,
    /// `scatter_add(x: T[n, w...], indices: u32[k...], slices: T[k..., w...]) -> T[n, w...]`: `x` with each slice added
    /// at its index along the first dimension. An index past the end adds to the last one.
    ScatterAdd,
    /// `at(x: T[n, ...], index: u32[]) -> T[...]`: the slice of `x` with this index along its first dimension, which
    /// vanishes. An index past the end takes the last one.
    At,
    /// `philox(state: u64[2]) -> u32[...]`: random bits, a pure function of the state, which is a key and a counter.
    /// Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011) turns each
    /// block number into four elements, in row-major order; the last block may have some left over. As XLA does, block
    /// `i` has the 128-bit counter with `counter + i` as its lower and the key as its upper half, the carry included.
    Philox {
        /// Shape of the result.
        shape: Shape,
    },
    /// A call of an earlier function of the module; its results are the function's results.
    Call {
        /// The function called.
        callee: FuncId,
        /// Whether its results are stored.
        kind: CallKind,
    },
    /// A counted loop: `loop(count, carried..., invariants...)` runs the body for each index below `count`, which is
    /// known only when the program runs. Its results are the carried values after the last run; the initial ones if
    /// `count` is zero.
    Loop {
        /// An earlier function of the module, with parameters `(index: u32[], carried..., invariants...)` and the
        /// next carried values as its results.
        body: FuncId,
        /// How many values are carried from one run to the next.
        carried: usize,
    },
    /// A call of a function from elsewhere; its results are the function's results.
    Foreign(Arc<Foreign>),
}

impl Op {
    /// Whether each element of the result is computed from the operands' elements in its place.
    pub fn is_elementwise(&self) -> bool {
        match self {
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Convert { .. } => true,
            Op::Constant(_)
            | Op::Iota { .. }
            | Op::Broadcast { .. }
            | Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Pad { .. }
            | Op::Concat { .. }
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
            | Op::Foreign(_) => false,
        }
    }

    /// The function called, if this is a call of kind [`CallKind::Fuse`].
    pub fn fused(&self) -> Option<FuncId> {
        match self {
            Op::Call { callee, kind: CallKind::Fuse } => Some(*callee),
            _ => None,
        }
    }

    /// The function of the module that the operation runs, if it runs one.
    pub fn callee(&self) -> Option<FuncId> {
        match self {
            Op::Call { callee, kind: _ } => Some(*callee),
            Op::Loop { body, carried: _ } => Some(*body),
            Op::Constant(_)
            | Op::Iota { .. }
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::Convert { .. }
            | Op::Broadcast { .. }
            | Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Pad { .. }
            | Op::Concat { .. }
            | Op::Reduce { .. }
            | Op::Dot(_)
            | Op::Conv(_)
            | Op::Reverse { .. }
            | Op::Take
            | Op::ScatterAdd
            | Op::At
            | Op::Philox { .. }
            | Op::Foreign(_) => None,
        }
    }

    /// The function of the module that the operation runs, to be changed.
    pub fn callee_mut(&mut self) -> Option<&mut FuncId> {
        match self {
            Op::Call { callee, kind: _ } => Some(callee),
            Op::Loop { body, carried: _ } => Some(body),
            _ => None,
        }
    }

    /// The name in the textual form.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Constant(_) => "constant",
            Op::Iota { .. } => "iota",
            Op::Unary(op) => op.name(),
            Op::Binary(op) => op.name(),
            Op::Compare(op) => op.name(),
            Op::Select => "select",
            Op::Convert { .. } => "convert",
            Op::Broadcast { .. } => "broadcast",
            Op::Reshape { .. } => "reshape",
            Op::Transpose { .. } => "transpose",
            Op::Slice { .. } => "slice",
            Op::Pad { .. } => "pad",
            Op::Concat { .. } => "concat",
            Op::Reduce { op, .. } => op.name(),
            Op::Dot(_) => "dot",
            Op::Conv(_) => "conv",
            Op::Reverse { .. } => "reverse",
            Op::Take => "take",
            Op::ScatterAdd => "scatter_add",
            Op::At => "at",
            Op::Philox { .. } => "philox",
            Op::Call { .. } => "call",
            Op::Loop { .. } => "loop",
            Op::Foreign(_) => "foreign",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = Vec::new();
        names.extend(UnaryOp::ALL.iter().map(|op| op.name()));
        names.extend(BinaryOp::ALL.iter().map(|op| op.name()));
        names.extend(CompareOp::ALL.iter().map(|op| op.name()));
        names.extend(ReduceOp::ALL.iter().map(|op| op.name()));
        names.extend(["constant", "iota", "select", "convert", "broadcast", "reshape", "transpose"]);
        names.extend([
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
        ]);
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
