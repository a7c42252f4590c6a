//! Functions of this program that XLA calls from within its own (`stablehlo.custom_call` with `api_version` 4), on platforms
//! whose memory is the host's.

mod frame;
mod register;
mod sys;
#[cfg(test)]
mod tests;
mod threads;

pub use frame::{Argument, Attribute, Call, Output};
pub use threads::Threads;

/// A function that programs can call by a name, once [`Plugin::register`](crate::Plugin::register) has told it.
pub trait Called: 'static {
    /// Computes the results, all of whose bytes it writes. Several threads may call it at the same time.
    ///
    /// # Errors
    /// What is wrong, which the run of the program fails with.
    fn call(call: Call<'_>) -> Result<(), String>;
}
