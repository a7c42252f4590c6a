//! Models as builders over natgrad's IR: a loss function, a prediction function, and named parameters with
//! their initialization.

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
