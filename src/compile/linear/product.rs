//! What a call of a product asks for.

use natgrad_onednn::{Pieces, Product};

use super::{element, opened};
use crate::pjrt::{Call, Called};

/// What programs call.
pub(super) struct Multiplied;

impl Called for Multiplied {
    fn call(mut call: Call<'_>) -> Result<(), String> {
        let is_turned = match call.text("right")? {
            "plain" => false,
            "turned" => true,
            other => return Err(format!("no matrix lies \"{other}\"")),
        };
        let ([left, right], [result]) = (call.arguments.as_slice(), call.results.as_mut_slice()) else {
            return Err("a product has two operands and a result".to_owned());
        };
        let (depth, rows) = last(left.dims)?;
        let (columns, _) = last(result.dims)?;
        let product = Product { element: element(result.element_bytes)?, rows, depth, columns, is_turned };
        let threads = &call.threads;
        let share: Pieces<'_> = &|pieces, work| threads.each(pieces, work);
        let ran = opened()?.multiply(&product, left.bytes, right.bytes, result.bytes, threads.count(), share);
        ran.map_err(|error| error.to_string())
    }
}

/// The last dimension, and the product of the others.
fn last(dims: &[i64]) -> Result<(usize, usize), String> {
    let sizes: Option<Vec<usize>> = dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let of = |sizes: Vec<usize>| {
        let (&last, others) = sizes.split_last()?;
        let others = others.iter().try_fold(1_usize, |count, &size| count.checked_mul(size))?;
        Some((last, others))
    };
    sizes.and_then(of).ok_or_else(|| format!("a matrix of sizes {dims:?}"))
}
