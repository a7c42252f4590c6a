//! Random programs and inputs for property tests, and tests as [`mod@files`]. Behind the feature `testing`.
//!
//! Random programs are well-typed by construction. They are made from plain random numbers, one group an instruction, so
//! that `proptest` shrinks them by leaving out instructions.

mod act;
mod diff;
mod facts;
pub mod files;
mod generate;
mod movement;
mod network;
mod results;
mod steps;

pub use act::{ActError, act, same};
pub use results::results;

use proptest::array::uniform12;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::graph::Function;
use crate::literal::round_to;
use crate::types::DType;
use crate::verify::Verified;

/// What programs are for, and so what they may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// Every operation on everything that it accepts. Values overflow and become NaN.
    Wild,
    /// Results are finite and agree between implementations up to rounding: values are scaled down where they may
    /// have grown, arguments of logarithms, roots and quotients are kept away from zero, and comparisons,
    /// truncations and the like see only values that no rounding has touched.
    Robust,
    /// As `Robust`, but floats only, and differentiable at every point.
    Smooth,
}

/// Bounds on random programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What programs may contain.
    pub flavor: Flavor,
    /// The floating-point types used, the most frequent one first; at least one. Integers and booleans are added
    /// except in smooth programs.
    pub floats: Vec<DType>,
    /// How many instructions are asked for in each function, at most; one can bring a few more with it.
    pub max_steps: usize,
    /// How many functions a module has at most, with the entry.
    pub max_functions: usize,
    /// Whether dimensions can be zero.
    pub zero_sized: bool,
    /// Whether every function returns one scalar of the first floating-point type, named `loss`, that depends on
    /// its latest values.
    pub scalar_loss: bool,
}

impl Config {
    /// Any program, in every type.
    pub fn wild() -> Config {
        Config {
            flavor: Flavor::Wild,
            floats: vec![DType::F32, DType::F64, DType::BF16, DType::F16],
            max_steps: 16,
            max_functions: 3,
            zero_sized: true,
            scalar_loss: false,
        }
    }

    /// Programs whose results can be compared between implementations.
    pub fn robust(floats: &[DType]) -> Config {
        Config { flavor: Flavor::Robust, floats: floats.to_vec(), ..Config::wild() }
    }

    /// Single functions with one differentiable scalar result, without empty tensors.
    pub fn smooth(floats: &[DType]) -> Config {
        Config {
            flavor: Flavor::Smooth,
            floats: floats.to_vec(),
            max_steps: 10,
            max_functions: 1,
            zero_sized: false,
            scalar_loss: true,
        }
    }
}

/// Random numbers that one instruction is made from.
type Entropy = [u16; 12];

/// Random verified modules.
///
/// # Panics
/// The strategy panics if the verifier does not accept what it made, or `config` names no floating-point type.
pub fn arb_module(config: Config) -> BoxedStrategy<Verified> {
    // The first group makes the parameters.
    let function = vec(uniform12(any::<u16>()), 1..=config.max_steps + 1);
    vec(function, 1..=config.max_functions.max(1))
        .prop_map(move |entropy| generate::module(&config, &entropy))
        .boxed()
}

/// Random single functions, which call no other.
///
/// # Panics
/// As [`arb_module`].
pub fn arb_function(config: Config) -> BoxedStrategy<Function> {
    arb_module(Config { max_functions: 1, ..config })
        .prop_filter_map("a module has an entry", |module| module.into_module().functions.pop())
        .boxed()
}

/// Random modules, each with inputs as by [`inputs`].
///
/// # Panics
/// As [`arb_module`].
pub fn arb_case(config: Config) -> BoxedStrategy<(Verified, Vec<Vec<f64>>)> {
    (arb_module(config), any::<u64>())
        .prop_map(|(module, seed)| {
            let inputs = module.module().entry().map_or_else(Vec::new, |entry| inputs(entry, seed));
            (module, inputs)
        })
        .boxed()
}

/// Random inputs of a function, as by [`inputs`].
pub fn arb_inputs(function: &Function) -> BoxedStrategy<Vec<Vec<f64>>> {
    let function = function.clone();
    any::<u64>().prop_map(move |seed| inputs(&function, seed)).boxed()
}

/// The elements of every parameter, row-major, as a function of `seed`: floats in [-2, 2], already rounded to their
/// type; integers in [-8, 8], unsigned ones in [0, 8]; booleans as 0 and 1.
pub fn inputs(function: &Function, seed: u64) -> Vec<Vec<f64>> {
    let mut counter = seed;
    let mut uniform = || {
        counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        // The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
        let mut bits = counter;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut element = |dtype: DType| match dtype {
        DType::F64 | DType::F32 | DType::BF16 | DType::F16 => round_to(dtype, 4.0 * uniform() - 2.0),
        DType::S32 => (17.0 * uniform()).floor() - 8.0,
        DType::U32 | DType::U64 => (9.0 * uniform()).floor(),
        DType::Bool => (2.0 * uniform()).floor(),
    };
    let types = function.params.iter().map(|&param| function.ty(param));
    types.map(|ty| (0..ty.shape.elements()).map(|_| element(ty.dtype)).collect()).collect()
}
