//! Models as builders over natgrad's IR: a loss function, a prediction function, and named parameters with
//! their initialization.

mod activation;
pub mod init;
pub mod linear;
pub mod loss;
pub mod mlp;
mod spec;

pub use activation::Activation;
pub use init::Init;
pub use linear::{Linear, LinearRegression};
pub use mlp::Mlp;
pub use spec::{Model, ModelError, Param, Task, with_rows};
