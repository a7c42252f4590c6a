//! What a test file can ask for to be done with its program.

use super::{inputs, results};
use crate::grad::{GradError, hessian_vector, value_and_grad};
use crate::graph::{Function, Module};
use crate::interp::InterpError;
use crate::pass::{PASSES, Pass, PassError, inline_calls, run, run_one};
use crate::vectorize::{VectorizeError, vectorize};
use crate::verify::{Verified, Violations, verify};

/// Passes that programs are not tidied up with.
const FURTHER: &[Pass] = &[Pass { name: "inline_calls", run: inline_calls }];

/// Why what was asked for could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// There is no such step.
    #[error(
        "`{0}` is nothing that can be done here; there is `pass NAME`, `passes`, `grad PARAMS`, `hessian-vector PARAMS` and \
         `vectorize PARAMS by ROWS`"
    )]
    Unknown(String),
    /// There is no such pass.
    #[error("there is no pass `{0}`")]
    NoPass(String),
    /// A function has no such parameter.
    #[error("function `{function}` has no parameter `%{param}`")]
    NoParam {
        /// The function.
        function: String,
        /// The name asked for.
        param: String,
    },
    /// The step leaves a program that computes something else.
    #[error("what `{0}` makes computes something else")]
    Changed(String),
    /// A pass is at fault.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// A function has no gradient.
    #[error(transparent)]
    Grad(#[from] GradError),
    /// A function cannot be mapped.
    #[error(transparent)]
    Vectorize(#[from] VectorizeError),
    /// What was made breaks an invariant.
    #[error("what comes of it breaks the module: {0}")]
    Broken(#[from] Violations),
    /// The program could not be run.
    #[error(transparent)]
    Interp(#[from] InterpError),
    /// A step of another crate failed.
    #[error("{0}")]
    Other(String),
}

/// Does with a program what a line says: steps, with `then` between.
///
/// - `pass NAME` runs a pass once, one of [`PASSES`], `inline_calls` or one of `further`; `passes` runs [`PASSES`] until
///   nothing changes. Both must leave a program that computes the same bits.
/// - `grad x w` makes of every function the one with gradients with respect to these parameters, without any, to all
///   floats; `hessian-vector x w` likewise with products of the Hessian.
/// - `vectorize x y by 3` maps every function over three rows of these parameters.
///
/// # Errors
/// The first step that cannot be done.
pub fn act(line: &str, module: Verified, further: &[Pass]) -> Result<Verified, ActError> {
    line.split(" then ").try_fold(module, |module, step| one(step, module, further))
}

fn one(step: &str, module: Verified, further: &[Pass]) -> Result<Verified, ActError> {
    let words: Vec<&str> = step.split_whitespace().collect();
    match words[..] {
        ["passes"] => {
            let made = run(module.clone())?;
            same(step, &module, made)
        }
        ["pass", name] => {
            let mut passes = PASSES.iter().chain(FURTHER).chain(further);
            let pass = passes.find(|pass| pass.name == name);
            let made = run_one(pass.ok_or_else(|| ActError::NoPass(name.to_string()))?, &module)?;
            same(step, &module, made)
        }
        ["grad", ref wrt @ ..] => {
            each(module, |function| Ok(value_and_grad(function, &floats(function, wrt)?)?))
        }
        ["hessian-vector", ref wrt @ ..] => {
            each(module, |function| Ok(hessian_vector(function, &floats(function, wrt)?, &[])?))
        }
        ["vectorize", ref mapped @ .., "by", rows] => {
            let rows = rows.parse().map_err(|_| ActError::Unknown(step.to_string()))?;
            each(module, |function| {
                let mapped = params(function, mapped)?;
                let flags: Vec<bool> =
                    (0..function.params.len()).map(|index| mapped.contains(&index)).collect();
                Ok(vectorize(function, &flags, rows)?)
            })
        }
        _ => Err(ActError::Unknown(step.to_string())),
    }
}

/// What was made of a program, if it computes the same bits on a few inputs.
///
/// # Errors
/// It does not, or either cannot be run.
pub fn same(step: &str, before: &Verified, after: Verified) -> Result<Verified, ActError> {
    for seed in 0..4 {
        let Some(entry) = before.module().entry() else { break };
        let inputs = inputs(entry, seed);
        if results(before, &inputs)? != results(&after, &inputs)? {
            return Err(ActError::Changed(step.to_string()));
        }
    }
    Ok(after)
}

fn each(
    module: Verified,
    make: impl Fn(&Function) -> Result<Function, ActError>,
) -> Result<Verified, ActError> {
    let Module { name, functions } = module.into_module();
    let functions = functions.iter().map(make).collect::<Result<_, _>>()?;
    Ok(verify(Module { name, functions })?)
}

/// The indices of the parameters with these names.
fn params(function: &Function, names: &[&str]) -> Result<Vec<usize>, ActError> {
    let index = |name: &&str| {
        let param = function.param(name);
        function
            .params
            .iter()
            .position(|&other| Some(other) == param)
            .ok_or_else(|| ActError::NoParam { function: function.name.clone(), param: (*name).to_string() })
    };
    names.iter().map(index).collect()
}

/// As [`params`], but all of floats where no name is given.
fn floats(function: &Function, names: &[&str]) -> Result<Vec<usize>, ActError> {
    if !names.is_empty() {
        return params(function, names);
    }
    let is_float = |index: &usize| function.ty(function.params[*index]).dtype.is_float();
    Ok((0..function.params.len()).filter(is_float).collect())
}
