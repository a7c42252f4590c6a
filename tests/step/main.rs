//! The compiled step: what XLA makes of it, that it computes what the interpreter computes, and the laws of the rules.

mod costs;
#[path = "../support/device.rs"]
mod device;
mod devices;
mod hlo;
mod kit;
mod laws;
mod masks;
mod metrics;
mod oracle;
#[path = "../own_models/mod.rs"]
mod own;
mod own_models;
#[path = "../own_rules/mod.rs"]
mod own_rules;
mod plans;
mod random;
mod remat;
mod runs;
mod schedule;
mod scorer;
mod snapshots;
mod state;
mod text;
mod verdicts;
