//! The `natgrad` command.
fn main() {}
