//! Layers: each has a name, and its parameters are named after it.
//!
//! A layer learns its inputs' sizes from what it is applied to. Applied twice, it shares its parameters; two layers of one
//! name are refused.

pub mod activation;
pub mod attention;
pub mod conv;
pub mod dropout;
pub mod embedding;
pub mod linear;
pub mod norm;
pub mod pool;
