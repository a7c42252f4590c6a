//! natgrad compiles a model and an optimizer into one XLA program per training step, and trains with it.
//!
//! The modules follow the data: [`config`] -> model ([`natgrad_layers`]) -> [`step`] (with [`rule`] and [`noise`])
//! -> [`lower`] -> [`compile`] (over [`pjrt`]) -> [`train`], then [`posterior`].

pub mod cli;
pub mod compare;
pub mod compile;
pub mod config;
pub mod data;
mod files;
pub mod inspect;
pub mod lower;
pub mod noise;
pub mod posterior;
pub mod prelude;
pub mod replay;
pub mod report;
pub mod rule;
pub mod step;
pub mod text;
pub mod train;
pub mod weights;

pub use natgrad_assets as assets;
pub use natgrad_pjrt as pjrt;
pub use ndarray;
