//! Models as builders over natgrad's IR: a loss function, a prediction function, and named parameters with
//! their initialization.

pub mod init;
pub mod loss;
pub mod mlp;
mod spec;

pub use init::Init;
pub use mlp::{Activation, Linear, Mlp};
pub use spec::{Model, ModelError, Param};
