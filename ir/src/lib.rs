//! The typed tensor IR of natgrad: SSA functions over statically shaped tensors.
//!
//! It knows nothing of compilers, files or optimizers. Functions are built with [`Builder`], checked by [`verify()`],
//! changed by [`grad`], [`vectorize`] and [`pass`], and run by [`interp`], the reference for whatever else runs them.
//!
//! ```
//! use natgrad_ir::grad::value_and_grad;
//! use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
//! use natgrad_ir::{Builder, DType, TensorType};
//!
//! let mut b = Builder::new("square");
//! let x = b.param("x", TensorType::scalar(DType::F64));
//! let square = b.mul(x, x);
//! let square = b.finish(&[square])?;
//!
//! let gradient = value_and_grad(&square, &[0])?;
//! let x = Tensor::from_f64s(TensorType::scalar(DType::F64), &[3.0])?;
//! let results = evaluate_flat(&gradient, &[x], Precision::AsTyped)?;
//! assert_eq!((results[0].to_f64s(), results[1].to_f64s()), (vec![9.0], vec![6.0]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attributes;
pub mod build;
mod expr;
mod flops;
mod foreign;
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

pub use attributes::{Attribute, Attributes};
pub use build::{BuildError, BuildErrors, Builder};
pub use expr::{Expr, Operand};
pub use flops::flops;
pub use foreign::{Foreign, stablehlo_name};
pub use graph::{Def, FuncId, Function, Inst, InstData, Module, Origin, Value, ValueData};
pub use infer::{Signature, TypeError, infer};
pub use literal::{Elements, Literal, Scalar};
pub use op::{BinaryOp, CallKind, CompareOp, ConvDims, DotDims, Op, ReduceOp, UnaryOp};
pub use types::{DType, Shape, TensorType};
pub use verify::{Invariant, Verified, Violation, Violations, verify};
