//! Studies: sets of runs that answer one question, with what was claimed and whether it held.
//!
//! A study makes its runs ([`runs`]), keeps those that are finished ([`kept`]), and ends with claims ([`claim`]).
//!
//! Runs of whole configurations ([`trained`]) are made several at a time ([`pool`]).
//!
//! - [`sweep`]: which values of some fields are best?
//! - [`suggest`]: which values suit the data and the length of a run?
//! - [`curves`]: how do IVON and AdamW compare on images and text, tuned with as many runs?
//! - [`sensitivity`]: how much of a grid around the usual values trains well?
//! - [`convex`]: do the rules find what theory says they find, on problems whose answer is known?
//! - [`dynamics`]: do the updates follow natural-gradient theory?
//! - [`overhead`]: what do sampling and the Hessian's estimate cost?

pub mod claim;
pub mod convex;
pub mod curves;
pub mod dynamics;
pub mod kept;
pub mod overhead;
pub mod pool;
pub mod runs;
pub mod sensitivity;
pub mod suggest;
pub mod sweep;
pub mod trained;

pub use claim::Claim;
pub use kept::{Finished, Kept, KeptError};
pub use runs::{Runs, StudyError};
pub use trained::Trained;

/// What a study found, serialized as all that was found, every run included.
pub trait Report: serde::Serialize {
    /// Tables, then what was claimed.
    fn text(&self) -> String;

    /// A page with drawings.
    fn html(&self) -> String;

    /// Runs that were made now, where others were kept.
    fn made(&self) -> u64;
}
