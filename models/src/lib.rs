//! Models as builders over natgrad's IR: a loss function, a prediction function, and named parameters with
//! their initialization.

pub mod init;
pub mod linear;
pub mod loss;
pub mod mlp;
mod spec;

pub use init::Init;
pub use linear::{Linear, LinearRegression};
pub use mlp::{Activation, Mlp};
pub use spec::{Model, ModelError, Param, Task, with_rows};
