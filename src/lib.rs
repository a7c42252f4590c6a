//! natgrad compiles a model and an optimizer into one XLA program per training step, and trains with it.
//!
//!

pub mod assets;
pub mod compile;
pub mod config;
pub mod data;
pub mod inspect;
pub mod lower;
pub mod noise;
pub mod pjrt;
pub mod posterior;
pub mod replay;
pub mod rule;
pub mod step;
pub mod train;
