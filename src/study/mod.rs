//! Studies: sets of runs that answer one question, with what was claimed and whether it held.
//!
//! [`convex`]: do the rules find what theory says they find, on problems whose answer is known? A problem
//! ([`problem`]) has its exact posterior in closed form ([`quadratic`]) or to double precision ([`logistic`]); a run
//! ([`run`]) says how far a rule's mean and width are from it, step by step; finished runs are kept ([`kept`]).

pub mod convex;
mod grid;
pub mod kept;
mod linear;
pub mod logistic;
mod page;
pub mod problem;
pub mod quadratic;
pub mod run;

pub use convex::{Claim, Settings, Study};
pub use kept::{Kept, KeptError};
