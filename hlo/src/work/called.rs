//! Convolutions that natgrad's programs call by name (`natgrad.convolution`), with their numbers in the call's configuration, as
//! MLIR writes them: `{dilation = array<i64: 1, 1>, low = array<i64: 1, 1>, pass = "forward", strides = array<i64: 1, 1>}`.

use super::{convolution_flops, size};
use crate::attributes::{Convolution, ConvolutionDimensions, Precision, WindowDimension};
use crate::shape::ArrayShape;

/// Whether a call of this name is one.
pub(super) fn is_known(target: &str) -> bool {
    target == "natgrad.convolution"
}

/// The operations of a call, from its first two operands and its first result; none where the configuration is another.
pub(super) fn flops(config: &str, [first, second, result]: [&ArrayShape; 3]) -> Option<u64> {
    // Each gradient multiplies the same pairs of numbers as the convolution itself.
    let (input, kernel, output) = match text(config, "pass")? {
        "forward" => (first, second, result),
        "images" => (result, second, first),
        "kernel" => (first, result, second),
        _ => return None,
    };
    let [strides, low, dilation] = ["strides", "low", "dilation"].map(|name| numbers(config, name));
    let (strides, low, dilation) = (strides?, low?, dilation?);
    let window = (0..2).map(|axis| WindowDimension {
        size: i64::try_from(size(kernel, axis as i64)).unwrap_or(0),
        stride: strides[axis],
        padding_low: low[axis],
        padding_high: 0,
        window_dilation: dilation[axis],
        base_dilation: 1,
        reversal: false,
    });
    let convolution = Convolution {
        window: window.collect(),
        dimensions: ConvolutionDimensions {
            input: (0, 3, vec![1, 2]),
            kernel: (2, 3, vec![0, 1]),
            output: (0, 3, vec![1, 2]),
        },
        feature_groups: 1,
        batch_groups: 1,
        precision: Precision::default(),
    };
    Some(convolution_flops(&convolution, input, kernel, output))
}

/// What stands behind `name = `.
fn value<'a>(config: &'a str, name: &str) -> Option<&'a str> {
    let mut places = config.match_indices(name);
    places.find_map(|(at, _)| {
        let is_whole = config[..at].chars().next_back().is_none_or(|before| !before.is_alphanumeric());
        config[at + name.len()..].strip_prefix(" = ").filter(|_| is_whole)
    })
}

fn text<'a>(config: &'a str, name: &str) -> Option<&'a str> {
    value(config, name)?.strip_prefix('"')?.split('"').next()
}

fn numbers(config: &str, name: &str) -> Option<[i64; 2]> {
    let (list, _) = value(config, name)?.strip_prefix("array<i64: ")?.split_once('>')?;
    let numbers: Option<Vec<i64>> = list.split(", ").map(|number| number.parse().ok()).collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::ElementType;

    #[test]
    fn padding_is_no_work_in_any_pass() {
        let array = |dimensions: [u64; 4]| ArrayShape {
            element_type: ElementType::F32,
            dimensions: dimensions.to_vec(),
            dynamic: Vec::new(),
            layout: None,
        };
        let (images, kernel, outputs) = (array([2, 4, 4, 3]), array([3, 3, 3, 5]), array([2, 4, 4, 5]));
        let of = |pass: &str, shapes| {
            let config = format!(
                "{{dilation = array<i64: 1, 1>, low = array<i64: 1, 1>, pass = \"{pass}\", strides = array<i64: 1, 1>}}"
            );
            flops(&config, shapes)
        };
        // Along 4 rows with a row of zeros at either end the window meets 3 + 3 + 2 + 2 rows.
        let wanted = Some(2 * 10 * 10 * 2 * 3 * 5);
        assert_eq!(of("forward", [&images, &kernel, &outputs]), wanted);
        assert_eq!(of("images", [&outputs, &kernel, &images]), wanted);
        assert_eq!(of("kernel", [&images, &outputs, &kernel]), wanted);
        assert_eq!(of("backward", [&images, &outputs, &kernel]), None);
        assert_eq!(flops("", [&images, &outputs, &kernel]), None);
    }
}
