//! Passes that change programs, but not what they compute, bit by bit (NaNs up to their payload).
//!
//! A pass is a plain function; [`PASSES`] lists those that make programs smaller in the order that they run in. They
//! keep the parameters of every function, the names of parameters and results, and scope and origin of every instruction
//! that stays. [`run`] numbers values anew, in the order of definition.
//!
//! What a target asks of a program is for passes outside this crate, made of the same parts: [`rebuild()`] copies a
//! function with another [`Fate`] for some instructions, [`Function::append`] writes one anew, [`run_one`] verifies what a
//! pass has made, and [`run`] tidies up behind it.
//!
//! [`Function::append`]: crate::graph::Function::append

mod cse;
mod dce;
mod fold;
mod inline;
mod rebuild;
mod splat;
#[cfg(test)]
mod tests;

pub use cse::common_subexpressions;
pub use dce::{dead_code, dead_functions};
pub use fold::fold_constants;
pub use inline::inline_calls;
pub use rebuild::{Fate, rebuild};

use crate::graph::{Function, Module};
use crate::verify::{Verified, Violations, verify};

/// A pass with its name.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// The name.
    pub name: &'static str,
    /// What it makes of a module; none where it finds nothing to change, so that [`run`] copies nothing.
    pub run: fn(&Verified) -> Option<Module>,
}

/// Every pass that makes programs smaller, in order.
pub const PASSES: &[Pass] = &[
    Pass { name: "fold_constants", run: fold_constants },
    Pass { name: "common_subexpressions", run: common_subexpressions },
    Pass { name: "dead_code", run: dead_code },
    Pass { name: "dead_functions", run: dead_functions },
];

/// How often the list is run at most. Programs settle after two or three rounds.
const MAX_ROUNDS: usize = 16;

/// A pass broke an invariant, which is a mistake in the pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pass `{pass}` broke the module: {violations}")]
pub struct PassError {
    /// The name of the pass.
    pub pass: &'static str,
    /// What is wrong with what it made.
    pub violations: Violations,
}

/// Runs every pass until nothing changes.
///
/// # Errors
/// As [`run_one`], of the first pass that fails.
pub fn run(module: Verified) -> Result<Verified, PassError> {
    let is_in_order = module.module().functions.iter().all(is_in_order);
    let mut module = if is_in_order { module } else { run_one(&NUMBER, &module)? };
    for _ in 0..MAX_ROUNDS {
        let mut changed = false;
        for pass in PASSES {
            // What is the same has been verified.
            if let Some(next) = (pass.run)(&module).filter(|next| next != module.module()) {
                module = verified(pass, next)?;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    Ok(module)
}

/// Numbers values anew, which the others do only where they change something.
const NUMBER: Pass =
    Pass { name: "number", run: |module| Some(rebuild::rebuild_all(module, |_, _| Fate::Keep)) };

/// Whether values are numbered in the order of definition, parameters first.
fn is_in_order(function: &Function) -> bool {
    let results = function.insts.iter().flat_map(|inst| &inst.results);
    function.params.iter().chain(results).enumerate().all(|(index, value)| value.index() == index)
}

/// Runs one pass.
///
/// # Errors
/// What the pass makes breaks an invariant.
pub fn run_one(pass: &Pass, module: &Verified) -> Result<Verified, PassError> {
    (pass.run)(module).map_or_else(|| Ok(module.clone()), |made| verified(pass, made))
}

fn verified(pass: &Pass, made: Module) -> Result<Verified, PassError> {
    verify(made).map_err(|violations| PassError { pass: pass.name, violations })
}
