//! What can be wrong with a serialized module.

/// Why bytes cannot be read as an HLO module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They are no protobuf message of this form.
    #[error("not a serialized HLO module: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// There is nothing in it.
    #[error("not a serialized HLO module: it has no computations")]
    Empty,
    /// The entry is not among the computations.
    #[error("the HLO module's entry computation is `{name}`, but it has no computation of that name")]
    NoEntry {
        /// The name that the module gives.
        name: String,
    },
    /// A field has a value that it cannot have.
    #[error(
        "HLO computation `{computation}`, instruction `{instruction}`: `{field}` is `{value}`, not {expected}"
    )]
    Field {
        /// The computation.
        computation: String,
        /// The instruction.
        instruction: String,
        /// The field of `HloInstructionProto`.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}
