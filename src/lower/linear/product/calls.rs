//! Writes calls in the place of products of matrices.

use std::sync::Arc;

use natgrad_ir::{Foreign, InstData, Module, Op, TensorType, Verified};
use natgrad_onednn::Product;

use super::told::told;
use crate::lower::linear::call::Call;
use crate::lower::rewrite::rewrite;

/// The name by which programs call it.
pub(crate) const PRODUCT: &str = "natgrad.product";

/// The module with a call for each product that is fast so.
pub(in crate::lower::linear) fn with_calls(module: &Verified, is_fast: &dyn Fn(&Product) -> bool) -> Module {
    rewrite(module, |function, _| {
        let (mut made, mut map) = function.begin_copy();
        for (index, inst) in function.insts.iter().enumerate() {
            let planned = told(&function, index).filter(|product| is_fast(product));
            let (Some(product), &[left, right]) = (planned, inst.operands.as_slice()) else {
                made.append_copy(&function, inst, &mut map);
                continue;
            };
            let result = function.value(inst.results[0]);
            let types = [left, right].map(|operand| function.ty(operand).clone());
            let foreign = called(&product, types, result.ty.clone());
            let operands = vec![map[&left], map[&right]];
            let call = InstData { op: Op::Foreign(Arc::new(foreign)), operands, ..inst.clone() };
            let given = made.append(call, [(result.ty.clone(), result.name.clone())])[0];
            map.insert(inst.results[0], given);
        }
        made.results = function.results.iter().map(|result| map[result]).collect();
        made
    })
}

/// A function that calls oneDNN.
fn called(of: &Product, operands: [TensorType; 2], result: TensorType) -> Foreign {
    let right = if of.is_turned { "turned" } else { "plain" };
    let numbers =
        |ty: &TensorType| ty.shape.dims().iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    let symbol =
        ["onednn.product", result.dtype.name(), &numbers(&operands[0]), &numbers(&operands[1]), right];
    let (symbol, config) = (symbol.join("."), format!("right = \"{right}\""));
    let call = Call { target: PRODUCT, symbol, config, location: "dot" };
    call.of(operands.to_vec(), vec![result])
}

#[cfg(test)]
mod tests {
    use natgrad_ir::pass::run;
    use natgrad_ir::text::parse;
    use natgrad_ir::{Function, verify};

    use super::*;

    fn program() -> Verified {
        let text = "module @m
            func @main(%x: bf16[512,64], %w: bf16[64,64]) -> (bf16[512,64], bf16[512,512]) {
                %y: bf16[512,64] = dot %x, %w {batch = [] x [], contract = [1] x [0]} @\"layer\"
                %z: bf16[512,512] = dot %y, %x {batch = [] x [], contract = [1] x [1]}
                return %y, %z
            }";
        verify(parse(text).unwrap()).unwrap()
    }

    fn ops(function: &Function) -> Vec<String> {
        let name = |inst: &InstData| match &inst.op {
            Op::Foreign(foreign) => foreign.symbol.clone(),
            Op::Dot(_) => "dot".to_owned(),
            other => panic!("{other:?}"),
        };
        function.insts.iter().map(name).collect()
    }

    #[test]
    fn products_become_calls_where_they_are_fast() {
        let made = |is_fast: &dyn Fn(&Product) -> bool| verify(with_calls(&program(), is_fast)).unwrap();
        let found = |is_fast: &dyn Fn(&Product) -> bool| ops(made(is_fast).module().entry().unwrap());
        let calls = ["onednn.product.bf16.512x64.64x64.plain", "onednn.product.bf16.512x64.512x64.turned"];
        assert_eq!(found(&|of| of.columns == 64), [calls[0], "dot"]);
        assert_eq!(found(&|_| true), calls);
        assert_eq!(run(made(&|_| false)).unwrap(), program());
    }

    #[test]
    fn a_call_is_stablehlo_with_types_and_attributes() {
        let made = with_calls(&program(), &|of| of.columns == 64);
        let call =
            made.functions.iter().flat_map(|function| &function.insts).find_map(|inst| match &inst.op {
                Op::Foreign(foreign) => Some(foreign.text.clone()),
                _ => None,
            });
        insta::assert_snapshot!(call.unwrap());
    }
}
