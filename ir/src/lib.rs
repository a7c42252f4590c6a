//! The typed tensor IR of natgrad: SSA functions over statically shaped tensors.
//!
//! It knows nothing of any one target, of files or optimizers. Functions are built with [`Builder`], checked by [`verify()`],
//! and lowered or interpreted elsewhere.

pub mod build;
mod flops;
pub mod grad;
pub mod graph;
pub mod infer;
pub mod interp;
pub mod literal;
pub mod op;
pub mod pass;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;
pub mod types;
pub mod vectorize;
pub mod verify;

pub use build::{BuildError, BuildErrors, Builder};
pub use flops::flops;
pub use graph::{Def, FuncId, Function, Inst, InstData, Module, Origin, Value, ValueData};
pub use infer::{Signature, TypeError, infer};
pub use literal::{Elements, Literal, Scalar};
pub use op::{BinaryOp, CallKind, CompareOp, ConvDims, DotDims, Op, ReduceOp, UnaryOp};
pub use types::{DType, Shape, TensorType};
pub use verify::{Invariant, Verified, Violation, Violations, verify};
