//! What natgrad's programs call by name (`natgrad.convolution`, `natgrad.product`). A convolution's numbers are in the call's configuration, as
//! MLIR writes them: `{dilation = array<i64: 1, 1>, low = array<i64: 1, 1>, pass = "forward", strides = array<i64: 1, 1>}`.

use super::{Pass, size};
use crate::attributes::{Convolution, ConvolutionDimensions, Precision, WindowDimension};
use crate::shape::ArrayShape;

/// The name of a call that computes a convolution.
pub(super) const CONVOLUTION: &str = "natgrad.convolution";
/// The name of a call that computes products of matrices.
pub(super) const PRODUCT: &str = "natgrad.product";

/// Which computation a call is, by its configuration.
pub(super) fn pass(config: &str) -> Option<Pass> {
    Some(match text(config, "pass")? {
        "forward" => Pass::Forward,
        "images" => Pass::InputGradient,
        "kernel" => Pass::KernelGradient,
        _ => return None,
    })
}

/// The convolution that a call stands for, of its configuration and kernel.
pub(super) fn convolution(config: &str, kernel: &ArrayShape) -> Option<Convolution> {
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
    Some(Convolution {
        window: window.collect(),
        dimensions: ConvolutionDimensions {
            input: (0, 3, vec![1, 2]),
            kernel: (2, 3, vec![0, 1]),
            output: (0, 3, vec![1, 2]),
        },
        feature_groups: 1,
        batch_groups: 1,
        precision: Precision::default(),
    })
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
    use crate::work::convolution_flops;

    const CONFIG: &str = "{dilation = array<i64: 1, 1>, low = array<i64: 1, 1>, pass = \"forward\", strides = array<i64: 1, 1>}";

    #[test]
    fn the_configuration_says_which_pass() {
        let of = |name: &str| pass(&CONFIG.replace("forward", name));
        assert!(matches!(of("forward"), Some(Pass::Forward)));
        assert!(matches!(of("images"), Some(Pass::InputGradient)));
        assert!(matches!(of("kernel"), Some(Pass::KernelGradient)));
        assert!(of("backward").is_none() && pass("").is_none());
    }

    #[test]
    fn padding_is_no_work() {
        let array = |dimensions: [u64; 4]| ArrayShape {
            element_type: ElementType::F32,
            dimensions: dimensions.to_vec(),
            dynamic: Vec::new(),
            layout: None,
        };
        let (images, kernel, outputs) = (array([2, 4, 4, 3]), array([3, 3, 3, 5]), array([2, 4, 4, 5]));
        let convolution = convolution(CONFIG, &kernel).unwrap();
        // Along 4 rows with a row of zeros at either end the window meets 3 + 3 + 2 + 2 rows.
        assert_eq!(convolution_flops(&convolution, &images, &kernel, &outputs), 2 * 10 * 10 * 2 * 3 * 5);
        assert!(super::convolution("", &kernel).is_none());
    }
}
