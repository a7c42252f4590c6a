//! The models that configurations name, written with the public layers.

pub mod gpt2;
pub mod linear;
pub mod mlp;
pub mod named;
pub mod resnet;
pub mod stablehlo;
