//! The step compiler: model and rule to a program of named stages.
//!
//! The state is carried from call to call with the sample theta in it: the gradient is taken at theta, a plain
//! input, and the next theta is drawn from the new mean and Hessian in the same pass over memory. So noise is
//! computed once an element and never stored.

mod gather;
mod gradient;
mod layout;
mod once;
mod part;
mod plan;
mod program;
mod repeat;
mod slot;
mod stage;
mod wiring;

pub use layout::{DeviceTable, Images, Layout, NoiseSource};
pub use part::Part;
pub use plan::{Compute, Placement, StatePlan, StepPlan};
pub use program::{Program, Recipe, StepError};
pub use slot::{Extent, Metric, Slot, StateKind};
pub use stage::{Stage, StageKind};
