//! The step compiler: model and rule to a program of named stages.
//!
//! The state is carried from call to call with the sample theta in it: the gradient is taken at theta, a plain
//! input, and the next theta is drawn from the new mean and Hessian in the same pass over memory. So noise is
//! computed once an element and never stored.

mod layout;
mod program;
mod slot;
mod stage;

pub use layout::{Layout, NoiseSource};
pub use program::{Program, Recipe, StepError};
pub use slot::{Slot, StateKind};
pub use stage::{Stage, StageKind};
