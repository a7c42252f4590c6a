//! Which product of a model's layer an operation is.

use natgrad_ir::{DType, Function, Op};
use natgrad_onednn::{Element, Product};

/// Multiplications below which a product stays XLA's: a call costs as much as is gained.
const LEAST: usize = 1 << 20;
/// Rows below which a product stays XLA's: in a whole step XLA shares out the work of a few rows better among threads
/// (`docs/measured.md`).
const LEAST_ROWS: usize = 512;
/// Numbers that are summed, and columns, below which it waits for memory whoever computes it.
const LEAST_SIZE: usize = 8;

/// What an instruction is, if it is a product that oneDNN can be asked for: a layer's forward pass, or the gradient of what the layer
/// reads, of halves. Products of single precision, gradients of weights and products of several matrices side by side are hardly
/// faster by oneDNN, or not.
pub(super) fn told(function: &Function, index: usize) -> Option<Product> {
    let inst = &function.insts[index];
    let Op::Dot(dims) = &inst.op else { return None };
    let &[left, right] = inst.operands.as_slice() else { return None };
    let (left, right) = (function.ty(left), function.ty(right));
    let (&depth, rows) = left.shape.dims().split_last()?;
    let &[first, second] = right.shape.dims() else { return None };
    let (&[contracted], &[by]) = (dims.lhs_contract.as_slice(), dims.rhs_contract.as_slice()) else {
        return None;
    };
    let is_turned = by == 1;
    let columns = if is_turned { first } else { second };
    let product = Product { element: Element::Bf16, rows: rows.iter().product(), depth, columns, is_turned };
    let is_layer = left.dtype == DType::BF16 && dims.lhs_batch.is_empty() && contracted == rows.len();
    let is_large =
        product.products() >= LEAST && product.rows >= LEAST_ROWS && depth.min(columns) >= LEAST_SIZE;
    (is_layer && is_large && product.bytes().is_some()).then_some(product)
}

#[cfg(test)]
mod tests {
    use natgrad_ir::text::parse;
    use natgrad_ir::verify;

    use super::*;

    fn dot(left: &str, right: &str, result: &str, dims: &str) -> Option<Product> {
        let text = format!(
            "module @m
            func @main(%x: {left}, %y: {right}) -> ({result}) {{
                %z: {result} = dot %x, %y {{{dims}}}
                return %z
            }}"
        );
        let module = verify(parse(&text).unwrap()).unwrap();
        told(module.module().entry().unwrap(), 0)
    }

    #[test]
    fn a_layer_has_two_products_for_onednn() {
        let of = |rows, depth, columns, is_turned| {
            Some(Product { element: Element::Bf16, rows, depth, columns, is_turned })
        };
        let forward =
            dot("bf16[512,64]", "bf16[64,96]", "bf16[512,96]", "batch = [] x [], contract = [1] x [0]");
        assert_eq!(forward, of(512, 64, 96, false));
        let backward =
            dot("bf16[512,96]", "bf16[64,96]", "bf16[512,64]", "batch = [] x [], contract = [1] x [1]");
        assert_eq!(backward, of(512, 96, 64, true));
        let texts =
            dot("bf16[4,128,64]", "bf16[64,96]", "bf16[4,128,96]", "batch = [] x [], contract = [2] x [0]");
        assert_eq!(texts, forward);
        let weight =
            dot("bf16[512,64]", "bf16[512,96]", "bf16[64,96]", "batch = [] x [], contract = [0] x [0]");
        assert_eq!(weight, None);
        let middle =
            dot("bf16[512,64,8]", "bf16[64,96]", "bf16[512,8,96]", "batch = [] x [], contract = [1] x [0]");
        assert_eq!(middle, None);
        let heads = dot(
            "bf16[8,512,64]",
            "bf16[8,64,96]",
            "bf16[8,512,96]",
            "batch = [0] x [0], contract = [2] x [1]",
        );
        assert_eq!(heads, None);
    }

    #[test]
    fn what_is_small_or_of_another_type_stays() {
        let of = |dtype: &str, rows: usize, columns: usize| {
            let (left, right) = (format!("{dtype}[{rows},64]"), format!("{dtype}[64,{columns}]"));
            dot(&left, &right, &format!("{dtype}[{rows},{columns}]"), "batch = [] x [], contract = [1] x [0]")
        };
        assert!(of("bf16", 512, 64).is_some());
        let others =
            [("f32", 512, 64), ("f16", 512, 64), ("bf16", 511, 96), ("bf16", 512, 16), ("bf16", 65536, 1)];
        for (dtype, rows, columns) in others {
            assert_eq!(of(dtype, rows, columns), None, "{dtype} {rows} {columns}");
        }
    }
}
