//! The step compiler: model and rule to a program of named stages.
//!
//! The state is carried from call to call with the sample theta in it: the gradient is taken at theta, a plain
//! input, and the next theta is drawn from the new mean and Hessian in the same pass over memory. So noise is
//! computed once an element and never stored.

mod estimate;
mod gather;
mod gradient;
mod interface;
mod linked;
mod metrics;
mod once;
mod part;
mod plan;
mod program;
mod repeat;
mod sample;
mod schedule;
mod scores;
mod slot;
mod stage;
mod supply;
#[cfg(test)]
mod tests;
mod update;
mod wiring;

pub use crate::rule::StateKind;
pub use interface::{DeviceTable, Images, Interface, NoiseSource};
pub(crate) use linked::evaluation as linked_evaluation;
pub use part::Part;
pub use plan::{Compute, Linear, Placement, StatePlan, StepPlan};
pub use program::{Program, Recipe, StepError};
pub use slot::{Extent, Metric, Slot};
pub use stage::{Stage, StageKind};
