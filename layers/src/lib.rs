//! Layers over natgrad's IR, and the models made of them. A model gives a loss, predictions, and named parameters with
//! their initialization.
//!
//! ```
//! use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
//! use natgrad_ir::{DType, TensorType};
//! use natgrad_layers::{Mlp, Model};
//!
//! let mlp = Mlp { sizes: vec![2, 3], activation: Default::default(), noise: None };
//! let model: &dyn Model = &mlp;
//! let names: Vec<String> = model.params().into_iter().map(|param| param.name).collect();
//! assert_eq!(names, ["layers.0.weight", "layers.0.bias"]);
//!
//! // Parameters and two rows of features, all 0.
//! let predict = model.predict_function(2, DType::F32)?;
//! let zero = |ty: &TensorType| Tensor::from_f64s(ty.clone(), &vec![0.0; ty.shape.elements()]);
//! let inputs = predict.signature().params.iter().map(zero).collect::<Result<Vec<_>, _>>()?;
//! let log_probabilities = &evaluate_flat(&predict, &inputs, Precision::AsTyped)?[0];
//! assert!(log_probabilities.to_f64s().iter().all(|log_p| (log_p.exp() - 1.0 / 3.0).abs() < 1e-6));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A network of one's own is a type with the trait [`Model`].

mod chunks;
mod criterion;
mod describe;
mod distribution;
mod error;
mod formula;
mod function;
pub mod init;
mod layer;
mod linked;
pub mod loss;
mod model;
mod models;
mod network;
mod next;
mod noise;
mod remat;

pub use criterion::{Criterion, cross_entropy_by};
pub use describe::{Description, with_rows};
pub use error::{ModelError, ModelFault};
pub use formula::{cross_entropy, one_hot};
pub use function::{LossFunction, MaskDrawing};
pub use init::{Init, Param};
pub use layer::activation::Activation;
pub use layer::attention::Attention;
pub use layer::conv::{Conv, Padding};
pub use layer::dropout::Dropout;
pub use layer::embedding::Embedding;
pub use layer::linear::Linear;
pub use layer::norm::{FilterResponseNorm, LayerNorm};
pub use layer::pool::{max_pool, mean_pool, spatial_mean};
pub use linked::{Linked, LinkedFunction, ModuleReader, Port, is_mlir_bytecode, read_modules_by};
pub use loss::log_softmax;
pub use model::{Input, InputKind, Model, Task};
pub use models::gpt2::Gpt2;
pub use models::linear::{LinearRegression, SoftmaxRegression};
pub use models::mlp::Mlp;
pub use models::named::{NamedModel, OwnModel};
pub use models::resnet::{ResNet, Stem};
pub use models::stablehlo::Stablehlo;
pub use network::{DrawMask, MAX_PARAMETERS, MaskSite, Network};
pub use next::{Cached, Writer};
pub use noise::{LOG_NOISE, Noise};
pub use remat::Remat;
