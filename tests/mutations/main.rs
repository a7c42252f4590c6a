//! Damaged input of every kind: it is refused or taken for what it says, but nothing panics, hangs, or asks for memory that
//! it does not need. `NATGRAD_MUTATIONS=100000 cargo test --test mutations` tries more.

mod binary;
mod data;
mod entries;
mod fuzz;
#[path = "../support/mutate.rs"]
mod mutate;
mod programs;
mod settings;
#[path = "../../fuzz/targets/lib.rs"]
mod targets;
mod weights;
