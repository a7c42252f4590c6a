//! The `natgrad` command as its users run it.

mod cache;
mod compare;
mod device_data;
mod diverge;
mod examples;
mod faults;
mod fetch;
mod folders;
mod help;
mod input;
mod inspect;
mod linked;
mod loss;
mod outputs;
mod page;
mod plugins;
mod predict;
mod regression;
mod replay;
mod resume;
mod runs;
mod support;
mod targets;
mod text;
mod tokens;
mod train;
