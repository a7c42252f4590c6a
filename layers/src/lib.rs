//! Models as builders over natgrad's IR: a loss function, a prediction function, and named parameters with
//! their initialization.
//!
//! ```
//! use natgrad_ir::DType;
//! use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
//! use natgrad_layers::{Linear, Model};
//!
//! let model = Model::Linear(Linear { inputs: 2, classes: 3 });
//! let names: Vec<String> = model.params().into_iter().map(|param| param.name).collect();
//! assert_eq!(names, ["layers.0.weight", "layers.0.bias"]);
//!
//! // Parameters and two rows of features, all 0.
//! let predict = model.predict(2, DType::F32)?;
//! let zero = |ty: &natgrad_ir::TensorType| Tensor::from_f64s(ty.clone(), &vec![0.0; ty.shape.elements()]);
//! let inputs = predict.signature().params.iter().map(zero).collect::<Result<Vec<_>, _>>()?;
//! let log_probabilities = &evaluate_flat(&predict, &inputs, Precision::AsTyped)?[0];
//! assert!(log_probabilities.to_f64s().iter().all(|log_p| (log_p.exp() - 1.0 / 3.0).abs() < 1e-6));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod activation;
mod attention;
pub mod gpt2;
pub mod init;
pub mod linear;
pub mod loss;
pub mod mlp;
mod network;
mod next;
mod norm;
mod pool;
pub mod resnet;
mod spec;

pub use activation::Activation;
pub use gpt2::Gpt2;
pub use init::Init;
pub use linear::{Linear, LinearRegression};
pub use mlp::Mlp;
pub use next::Cached;
pub use resnet::{ResNet, Stem};
pub use spec::{Model, ModelError, Param, Task, with_rows};
