//! natgrad compiles a model and an optimizer into one XLA program per training step, and trains with it. Its reason to exist
//! is IVON, a variational optimizer: beside the weights it learns how sure they are.
//!
//! ```
//! use natgrad::ndarray::{Array2, Axis, array};
//! use natgrad::prelude::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A grid of points in a square, and whether each lies in a circle.
//! let x = Array2::from_shape_fn((400, 2), |(row, axis)| [row % 20, row / 20][axis] as f32 / 5.0 - 1.9);
//! let y = x.map_axis(Axis(1), |point| point[0].hypot(point[1]) < 1.2);
//!
//! let device = Device::cpu()?; // or Device::cuda(0)
//! let model = Mlp { sizes: vec![2, 32, 2], activation: Activation::Tanh, noise: None };
//! let rule = Ivon { lr: 0.3, ..Ivon::default() };
//! let mut run = Run::new(model, rule).data((&x, &y)).epochs(200).start(&device)?;
//! run.fit(|record| println!("step {}: loss {:.3}", record.step, record.loss))?;
//!
//! let new = array![[0.0, 0.1], [1.2, 0.0], [-1.9, 1.9]]; // inside, on the edge, outside
//! let found = run.predict(&new, At::Samples(64))?;
//! println!("{:.2}\n+- {:.2}", found.mean, found.spread); // the samples disagree on the edge
//! assert_eq!((found.class[0], found.class[2]), (1, 0));
//! assert!(found.spread[[1, 0]] > found.spread[[2, 0]]);
//! run.save(std::env::temp_dir().join("circle"))?; // for `Run::load`, and `natgrad predict`
//! # Ok(())
//! # }
//! ```
//!
//! A model of your own is a type with the trait [`Model`](prelude::Model), made of [layers](prelude); a rule of your own one with
//! the trait [`Rule`](prelude::Rule). [`prelude`] has what a program needs of natgrad.
//!
//! The modules follow the data: [`config`] -> model ([`natgrad_layers`]) -> [`step`] (with [`rule`] and [`noise`])
//! -> [`lower`] -> [`compile`] (over [`pjrt`]) -> [`train`], then [`posterior`].

pub mod cli;
pub mod compare;
pub mod compile;
pub mod config;
pub mod data;
pub mod eval;
mod files;
mod guard;
pub mod inspect;
pub mod lower;
#[cfg(feature = "mlir")]
pub mod mlir;
pub mod noise;
pub mod phase;
pub mod posterior;
pub mod prelude;
pub mod replay;
pub mod report;
pub mod rule;
pub mod size;
pub mod step;
pub mod study;
pub mod text;
pub mod train;
pub mod weights;

pub use natgrad_assets as assets;
pub use natgrad_ir as ir;
pub use natgrad_layers as layers;
pub use natgrad_pjrt as pjrt;
pub use ndarray;
