//! natgrad's own IR as a dialect of MLIR, `natgrad`.
//!
//! A module of the IR is one of MLIR: its functions, stages and formulas of rules among them, are `func.func`, the last one
//! public; calls are `func.call`; every other operation is one of the dialect, by its name in the IR. Attributes are
//! the IR's, and locations are its scopes: function, then scope.
//!
//! | | where it is |
//! |---|---|
//! | what becomes of a call's results | `natgrad.call` of the call: `materialize`, `again` or `fuse` |
//! | the names of results | `natgrad.names` of the operation that gives them |
//! | the names of parameters | the locations of the function's arguments |
//! | which parameter gives its memory to which result | `tf.aliasing_output` of the argument, as in StableHLO |
//! | a linked function | a declaration with its text as `natgrad.stablehlo` |

pub(super) mod passes;
pub(super) mod read;
pub(super) mod write;

use std::convert::Infallible;

use natgrad_ir::{Attributes, DType, Op, TensorType};

use super::operations::{Attribute, Kind, Operation, required};

/// What stands in front of the name of an operation of the IR.
pub(super) const PREFIX: &str = "natgrad.";
/// What becomes of a call's results, if not the usual.
const CALL: &str = "natgrad.call";
/// The names of an operation's results, where one has a name.
const NAMES: &str = "natgrad.names";
/// The text of a linked function, and what else is known of it.
const LINKED: [&str; 3] = ["natgrad.stablehlo", "natgrad.locations", "natgrad.version"];
/// How many values a loop carries.
const CARRIED: &str = "carried";
/// The function that a loop repeats.
const BODY: &str = "body";

/// The operations that MLIR checks: all but those whose operands differ in type.
pub(super) fn operations() -> Vec<Operation> {
    let constant = Operation {
        name: "natgrad.constant".into(),
        operands: &[],
        results: &["r"],
        attributes: vec![required("value", Kind::Constant)].into(),
        regions: &[],
    };
    let anything = TensorType::scalar(DType::F32);
    let described = Op::names().filter_map(|name| {
        let mut asked = Asked::default();
        let Ok(op) = Op::read(name, &anything, &mut asked);
        let (operands, results) = values(&op?)?;
        let name = format!("{PREFIX}{name}").into();
        Some(Operation { name, operands, results, attributes: asked.0.into(), regions: &[] })
    });
    [constant].into_iter().chain(described).collect()
}

type Variables = &'static [&'static str];

/// The types of an operation's operands and results, as variables. None where they are a list of types that differ.
fn values(op: &Op) -> Option<(Variables, Variables)> {
    Some(match op {
        Op::Unary(_) | Op::Reverse { .. } => (&["t"], &["t"]),
        Op::Binary(_) => (&["t", "t"], &["t"]),
        Op::Compare(_) => (&["t", "t"], &["r"]),
        Op::Select => (&["p", "t", "t"], &["t"]),
        Op::Constant(_) | Op::Iota { .. } => (&[], &["r"]),
        Op::Convert { .. }
        | Op::Broadcast { .. }
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Reduce { .. }
        | Op::Philox { .. } => (&["t"], &["r"]),
        Op::Pad { .. } => (&["t", "s"], &["r"]),
        Op::Dot(_) | Op::Conv(_) => (&["l", "k"], &["r"]),
        Op::Take | Op::At => (&["t", "i"], &["r"]),
        Op::ScatterAdd => (&["t", "i", "u"], &["t"]),
        Op::Concat { .. } | Op::Call { .. } | Op::Loop { .. } | Op::Foreign(_) => return None,
    })
}

/// Keeps which attributes an operation asks for.
#[derive(Default)]
struct Asked(Vec<Attribute>);

impl Attributes for Asked {
    type Error = Infallible;

    fn number(&mut self, name: &'static str) -> Result<usize, Infallible> {
        self.0.push(required(name, Kind::Integer));
        Ok(0)
    }

    fn numbers(&mut self, name: &'static str) -> Result<Vec<usize>, Infallible> {
        self.0.push(required(name, Kind::Integers));
        Ok(Vec::new())
    }

    fn integers(&mut self, name: &'static str) -> Result<Vec<i64>, Infallible> {
        self.0.push(required(name, Kind::Integers));
        Ok(Vec::new())
    }

    fn pair(&mut self, name: &'static str) -> Result<(Vec<usize>, Vec<usize>), Infallible> {
        self.0.push(required(name, Kind::Lists));
        Ok((Vec::new(), Vec::new()))
    }
}
