//! natgrad compiles a model and an optimizer into one XLA program per training step, and trains with it.

pub mod inspect;
