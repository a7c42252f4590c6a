//! Functions that come as StableHLO from elsewhere, and are linked into a program.

use std::hash::{Hash, Hasher};

use crate::infer::Signature;
use crate::types::DType;

/// A function of a StableHLO module that was written elsewhere. Lowering calls it by its symbol and puts its text beside
/// natgrad's own functions. It has no side effects; nothing else is known of it, so it can be neither differentiated,
/// vectorized nor interpreted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The function's symbol, which begins with a prefix that no function of natgrad's has.
    pub symbol: String,
    /// Definitions of the locations that the text refers to, a line each: they stand before everything else.
    pub locations: String,
    /// The module's functions and other symbols, all of them private, every symbol with the prefix.
    pub text: String,
    /// The types of its parameters and results.
    pub signature: Signature,
    /// The version of StableHLO that it was written in, if that is known.
    pub version: Option<[u32; 3]>,
}

/// An element type as StableHLO writes it.
pub fn stablehlo_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "f64",
        DType::F32 => "f32",
        DType::BF16 => "bf16",
        DType::F16 => "f16",
        DType::S32 => "i32",
        DType::U32 => "ui32",
        DType::U64 => "ui64",
        DType::Bool => "i1",
    }
}

/// Of the symbol alone, which tells foreign functions of a program apart.
impl Hash for Foreign {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.symbol.hash(state);
    }
}
