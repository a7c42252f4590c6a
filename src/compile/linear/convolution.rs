//! What a call of a convolution asks for.

use natgrad_onednn::{Convolution, Pass, Pieces, Window};

use super::{element, opened};
use crate::lower::pass_name;
use crate::pjrt::{Call, Called};

/// What programs call.
pub(super) struct Convolved;

impl Called for Convolved {
    fn call(mut call: Call<'_>) -> Result<(), String> {
        let convolution = asked_for(&call)?;
        let operands: Vec<&[u8]> = call.arguments.iter().map(|argument| argument.bytes).collect();
        let mut results: Vec<&mut [u8]> = call.results.iter_mut().map(|result| &mut *result.bytes).collect();
        let threads = &call.threads;
        let share: Pieces<'_> = &|pieces, work| threads.each(pieces, work);
        let ran = opened()?.convolve(&convolution, &operands, &mut results, threads.count(), share);
        ran.map_err(|error| error.to_string())
    }
}

/// What a call asks for.
fn asked_for(call: &Call<'_>) -> Result<Convolution, String> {
    let sizes = |dims: &[i64]| -> Result<[usize; 4], String> {
        let sizes: Option<Vec<usize>> = dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
        sizes.and_then(|sizes| sizes.try_into().ok()).ok_or_else(|| format!("operands of sizes {dims:?}"))
    };
    let pair = |name: &str| -> Result<[usize; 2], String> {
        let numbers = call.numbers(name)?;
        let numbers: Option<Vec<usize>> =
            numbers.iter().map(|&number| usize::try_from(number).ok()).collect();
        numbers
            .and_then(|numbers| numbers.try_into().ok())
            .ok_or_else(|| format!("`{name}` has no two sizes"))
    };
    let ([left, right, ..], [result, ..]) = (call.arguments.as_slice(), call.results.as_slice()) else {
        return Err("a convolution has two operands and a result".to_owned());
    };
    let name = call.text("pass")?;
    let pass = [Pass::Forward, Pass::Images, Pass::Kernel].into_iter().find(|pass| pass_name(*pass) == name);
    let pass = pass.ok_or_else(|| format!("there is no pass \"{name}\""))?;
    let (images, kernel, outputs) = match pass {
        Pass::Forward => (left.dims, right.dims, result.dims),
        Pass::Images => (result.dims, right.dims, left.dims),
        Pass::Kernel => (left.dims, result.dims, right.dims),
    };
    let [height, width, ..] = sizes(kernel)?;
    let window = Window {
        sides: [height, width],
        strides: pair("strides")?,
        low: pair("low")?,
        dilation: pair("dilation")?,
    };
    let bias = call.arguments.len() + call.results.len() > 3;
    let element = element(result.element_bytes)?;
    Ok(Convolution { bias, ..Convolution::new(pass, element, sizes(images)?, window, sizes(outputs)?) })
}
