//! Why arrays do not fit a model.

/// Why arrays do not fit a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArrayError {
    /// An input of the model was not given.
    #[error("the input `{name}` is missing: the model takes {wanted}; `Arrays::named` gives one by its name")]
    Missing {
        /// The input.
        name: String,
        /// The names of the model's inputs.
        wanted: String,
    },
    /// The model has no such input.
    #[error("the model has no input `{name}`: it takes {wanted}")]
    Unknown {
        /// The name.
        name: String,
        /// The names of the model's inputs.
        wanted: String,
    },
    /// An input was given twice.
    #[error("the input `{name}` is given twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// There are no labels.
    #[error("the rows have no labels: give them as `(&inputs, &labels)`, or by `Arrays::labels`")]
    Unlabelled,
    /// Elements of the wrong type.
    #[error("{what} are of type {found}, but must be {wanted}")]
    Type {
        /// The array.
        what: String,
        /// The type of its elements.
        found: &'static str,
        /// What would be right.
        wanted: String,
    },
    /// The wrong shape.
    #[error("{what} have the shape {found:?}, but must have {wanted}")]
    Shape {
        /// The array.
        what: String,
        /// Its shape.
        found: Vec<usize>,
        /// What would be right.
        wanted: String,
    },
    /// A value out of range.
    #[error("{what} have {value} in row {row}, counted from 0, but it must be {wanted}")]
    Value {
        /// The array.
        what: String,
        /// The row.
        row: usize,
        /// The value.
        value: String,
        /// What would be right.
        wanted: String,
    },
    /// Arrays of different lengths.
    #[error("{what} have {found} rows, but the arrays before have {wanted}")]
    Rows {
        /// The array.
        what: String,
        /// Its rows.
        found: usize,
        /// Those of the arrays before.
        wanted: usize,
    },
    /// No rows.
    #[error("{what} have no rows")]
    Empty {
        /// The array.
        what: String,
    },
}
