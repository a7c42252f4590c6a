//! The attributes of operations by their names: what the forms of a program outside this crate write, and read again.

use crate::op::{BinaryOp, CompareOp, ConvDims, DotDims, Op, ReduceOp, UnaryOp};
use crate::types::TensorType;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A whole number from zero, such as a dimension.
    Number(usize),
    /// Whole numbers from zero.
    Numbers(Vec<usize>),
    /// Whole numbers of both signs.
    Integers(Vec<i64>),
    /// Whole numbers from zero for the left operand, and as many for the right one.
    Pair(Vec<usize>, Vec<usize>),
}

/// What the attributes of an operation are read from. They are asked for in the order in which [`Op::attributes`] has them.
pub trait Attributes {
    /// Why there is no such attribute.
    type Error;

    /// A whole number from zero.
    ///
    /// # Errors
    /// There is no such attribute. So are those of the other kinds.
    fn number(&mut self, name: &'static str) -> Result<usize, Self::Error>;

    /// Whole numbers from zero.
    ///
    /// # Errors
    /// There is no such attribute.
    fn numbers(&mut self, name: &'static str) -> Result<Vec<usize>, Self::Error>;

    /// Whole numbers of both signs.
    ///
    /// # Errors
    /// There is no such attribute.
    fn integers(&mut self, name: &'static str) -> Result<Vec<i64>, Self::Error>;

    /// Whole numbers for the left and the right operand.
    ///
    /// # Errors
    /// There is no such attribute.
    fn pair(&mut self, name: &'static str) -> Result<(Vec<usize>, Vec<usize>), Self::Error>;
}

/// The names of operations that are no constant and run no function, beside those that [`UnaryOp`], [`BinaryOp`],
/// [`CompareOp`] and [`ReduceOp`] list.
const OTHERS: [&str; 16] = [
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
];

impl Op {
    /// The names of all operations that [`Op::read`] makes.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let unary = UnaryOp::ALL.iter().map(|op| op.name());
        let binary = BinaryOp::ALL.iter().map(|op| op.name());
        let compare = CompareOp::ALL.iter().map(|op| op.name());
        let reduce = ReduceOp::ALL.iter().map(|op| op.name());
        unary.chain(binary).chain(compare).chain(reduce).chain(OTHERS)
    }

    /// The operation of this name that defines one value of this type. None of any other name, of a constant, and of what
    /// runs a function.
    ///
    /// # Errors
    /// Where an attribute cannot be read. Whether the operation accepts what is read, [`infer`](crate::infer()) says.
    pub fn read<A: Attributes>(
        name: &str,
        result: &TensorType,
        from: &mut A,
    ) -> Result<Option<Op>, A::Error> {
        let plain = UnaryOp::from_name(name)
            .map(Op::Unary)
            .or_else(|| BinaryOp::from_name(name).map(Op::Binary))
            .or_else(|| CompareOp::from_name(name).map(Op::Compare));
        if plain.is_some() {
            return Ok(plain);
        }
        if let Some(op) = ReduceOp::from_name(name) {
            return Ok(Some(Op::Reduce { op, dims: from.numbers("dims")? }));
        }
        let shape = result.shape.clone();
        Ok(Some(match name {
            "iota" => Op::Iota { dtype: result.dtype, shape, dim: from.number("dim")? },
            "select" => Op::Select,
            "convert" => Op::Convert { dtype: result.dtype },
            "broadcast" => Op::Broadcast { shape, dims: from.numbers("dims")? },
            "reshape" => Op::Reshape { shape },
            "transpose" => Op::Transpose { perm: from.numbers("perm")? },
            "slice" => Op::Slice {
                starts: from.numbers("starts")?,
                limits: from.numbers("limits")?,
                strides: from.numbers("strides")?,
            },
            "pad" => Op::Pad {
                low: from.numbers("low")?,
                high: from.numbers("high")?,
                interior: from.numbers("interior")?,
            },
            "concat" => Op::Concat { dim: from.number("dim")? },
            "dot" => {
                let (lhs_batch, rhs_batch) = from.pair("batch")?;
                let (lhs_contract, rhs_contract) = from.pair("contract")?;
                Op::Dot(DotDims { lhs_batch, rhs_batch, lhs_contract, rhs_contract })
            }
            "conv" => Op::Conv(ConvDims {
                strides: from.numbers("strides")?,
                low: from.integers("low")?,
                high: from.integers("high")?,
                lhs_dilation: from.numbers("lhs_dilation")?,
                rhs_dilation: from.numbers("rhs_dilation")?,
                groups: from.number("groups")?,
            }),
            "reverse" => Op::Reverse { dims: from.numbers("dims")? },
            "take" => Op::Take,
            "scatter_add" => Op::ScatterAdd,
            "at" => Op::At,
            "philox" => Op::Philox { shape },
            _ => return Ok(None),
        }))
    }

    /// The attributes, each with its name. What the types of operands and results say is not among them, nor what a constant
    /// is, nor which function is run.
    pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        use Attribute::{Integers, Number, Pair};
        let numbers = |list: &[usize]| Attribute::Numbers(list.to_vec());
        match self {
            Op::Iota { dim, .. } | Op::Concat { dim } => vec![("dim", Number(*dim))],
            Op::Broadcast { dims, .. } | Op::Reduce { dims, .. } | Op::Reverse { dims } => {
                vec![("dims", numbers(dims))]
            }
            Op::Transpose { perm } => vec![("perm", numbers(perm))],
            Op::Slice { starts, limits, strides } => {
                vec![("starts", numbers(starts)), ("limits", numbers(limits)), ("strides", numbers(strides))]
            }
            Op::Pad { low, high, interior } => {
                vec![("low", numbers(low)), ("high", numbers(high)), ("interior", numbers(interior))]
            }
            Op::Dot(DotDims { lhs_batch, rhs_batch, lhs_contract, rhs_contract }) => vec![
                ("batch", Pair(lhs_batch.clone(), rhs_batch.clone())),
                ("contract", Pair(lhs_contract.clone(), rhs_contract.clone())),
            ],
            Op::Conv(ConvDims { strides, low, high, lhs_dilation, rhs_dilation, groups }) => vec![
                ("strides", numbers(strides)),
                ("low", Integers(low.clone())),
                ("high", Integers(high.clone())),
                ("lhs_dilation", numbers(lhs_dilation)),
                ("rhs_dilation", numbers(rhs_dilation)),
                ("groups", Number(*groups)),
            ],
            Op::Constant(_)
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::Convert { .. }
            | Op::Reshape { .. }
            | Op::Take
            | Op::ScatterAdd
            | Op::At
            | Op::Philox { .. }
            | Op::Call { .. }
            | Op::Loop { .. }
            | Op::Foreign(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::types::DType;

    /// Gives what is asked for, and keeps what that was.
    #[derive(Default)]
    struct Any(Vec<(&'static str, Attribute)>);

    impl Attributes for Any {
        type Error = Infallible;

        fn number(&mut self, name: &'static str) -> Result<usize, Infallible> {
            self.0.push((name, Attribute::Number(3)));
            Ok(3)
        }

        fn numbers(&mut self, name: &'static str) -> Result<Vec<usize>, Infallible> {
            self.0.push((name, Attribute::Numbers(vec![1, 2])));
            Ok(vec![1, 2])
        }

        fn integers(&mut self, name: &'static str) -> Result<Vec<i64>, Infallible> {
            self.0.push((name, Attribute::Integers(vec![-1, 1])));
            Ok(vec![-1, 1])
        }

        fn pair(&mut self, name: &'static str) -> Result<(Vec<usize>, Vec<usize>), Infallible> {
            self.0.push((name, Attribute::Pair(vec![0], vec![4])));
            Ok((vec![0], vec![4]))
        }
    }

    #[test]
    fn what_is_read_is_what_is_written() {
        let ty = TensorType::new(DType::F32, [2, 3]);
        for name in Op::names() {
            let mut any = Any::default();
            let Ok(op) = Op::read(name, &ty, &mut any);
            let op = op.unwrap_or_else(|| panic!("no `{name}`"));
            assert_eq!(op.name(), name);
            assert_eq!(op.attributes(), any.0, "{name}");
        }
    }

    #[test]
    fn other_names_are_of_no_operation() {
        let ty = TensorType::new(DType::F32, [2, 3]);
        for name in ["constant", "call", "loop", "foreign", "tahn"] {
            assert_eq!(Op::read(name, &ty, &mut Any::default()), Ok(None), "{name}");
        }
    }
}
