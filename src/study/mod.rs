//! Studies: sets of runs that answer one question, with what was claimed and whether it held.
//!
//! A study makes its runs ([`runs`]), keeps those that are finished ([`kept`]), and ends with claims ([`claim`]).
//!
//! - [`convex`]: do the rules find what theory says they find, on problems whose answer is known?

pub mod claim;
pub mod convex;
pub mod kept;
pub mod runs;

pub use claim::Claim;
pub use kept::{Finished, Kept, KeptError};
pub use runs::{Runs, StudyError};

/// What a study found, serialized as all that was found, every run included.
pub trait Report: serde::Serialize {
    /// Tables, then what was claimed.
    fn text(&self) -> String;

    /// A page with drawings.
    fn html(&self) -> String;

    /// Runs that were made now, where others were kept.
    fn made(&self) -> u64;
}
