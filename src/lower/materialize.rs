//! How a call whose results are stored is told to XLA.

/// What keeps the results of a materialized call from being recomputed in what uses them. Each target honours one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Materialization {
    /// The call itself, marked as not to be inlined: its function stays a computation of its own. XLA:CPU drops
    /// optimization barriers before it fuses. XLA:GPU would leave the function unfused.
    Call,
    /// An optimization barrier on the results of a call that is inlined.
    Barrier,
}
