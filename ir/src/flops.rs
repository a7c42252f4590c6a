//! The arithmetic of matrix products and convolutions.

use std::collections::BTreeMap;

use crate::graph::{Def, FuncId, Function, InstData, Module};
use crate::op::{DotDims, Op};
use crate::types::DType;

/// Floating-point operations of the matrix products and convolutions that a module's entry runs, by the type of their operands, a
/// product and its sum counted as two. Zeros that a convolution pads with count too; a loop counts as often as it runs, or once where
/// only the program knows.
pub fn flops(module: &Module) -> BTreeMap<DType, f64> {
    let mut sums = BTreeMap::new();
    if let Some(entry) = module.entry() {
        add_function(module, entry, 1.0, &mut sums);
    }
    sums
}

/// Adds what a function does in so many runs.
fn add_function(module: &Module, function: &Function, runs: f64, sums: &mut BTreeMap<DType, f64>) {
    for inst in &function.insts {
        let mut add_callee = |callee: FuncId, runs: f64| {
            if let Some(callee) = module.functions.get(callee.index()) {
                add_function(module, callee, runs, sums);
            }
        };
        match &inst.op {
            Op::Loop { body, carried: _ } => add_callee(*body, runs * rounds(function, inst)),
            other => match other.callee() {
                Some(callee) => add_callee(callee, runs),
                None => {
                    if let Some(flops) = of_product(function, inst) {
                        *sums.entry(function.ty(inst.operands[0]).dtype).or_insert(0.0) += runs * flops;
                    }
                }
            },
        }
    }
}

/// Those of a product or convolution.
fn of_product(function: &Function, inst: &InstData) -> Option<f64> {
    let written = function.ty(*inst.results.first()?).shape.elements() as f64;
    match &inst.op {
        Op::Dot(DotDims { lhs_contract, .. }) => {
            let lhs = function.ty(inst.operands[0]).shape.dims();
            Some(2.0 * written * lhs_contract.iter().map(|&axis| lhs[axis] as f64).product::<f64>())
        }
        Op::Conv(_) => {
            let kernel = &function.ty(inst.operands[1]).shape;
            let outputs = *kernel.dims().last().unwrap_or(&1);
            Some(2.0 * written * kernel.elements() as f64 / outputs as f64)
        }
        _ => None,
    }
}

/// How often a loop runs.
fn rounds(function: &Function, inst: &InstData) -> f64 {
    let count = match function.value(inst.operands[0]).def {
        Def::Param(_) => None,
        Def::Result { inst, .. } => match &function.inst(inst).op {
            Op::Constant(literal) => literal.as_splat(),
            _ => None,
        },
    };
    count.map_or(1.0, |count| count.to_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Builder;
    use crate::op::ConvDims;
    use crate::types::{Shape, TensorType};

    fn f32s(dims: &[usize]) -> TensorType {
        TensorType::new(DType::F32, Shape::new(dims.to_vec()))
    }

    #[test]
    fn products_and_convolutions_are_counted() {
        let mut b = Builder::new("f");
        let x = b.param("x", f32s(&[5, 7]));
        let w = b.param("w", f32s(&[7, 3]));
        let image = b.param("image", f32s(&[2, 8, 8, 4]));
        let kernel = b.param("kernel", f32s(&[3, 3, 4, 6]));
        let y = b.dot(x, w, DotDims::matmul());
        let z = b.conv(image, kernel, ConvDims::padded(2, 2, 1));
        let mut module = Module::new("m");
        let f = module.push(b.finish(&[y, z]).unwrap());
        let products = 2.0 * (5 * 7 * 3) as f64;
        let convolutions = 2.0 * (2 * 4 * 4 * 6) as f64 * (3 * 3 * 4) as f64;
        assert_eq!(flops(&module), [(DType::F32, products + convolutions)].into());

        let mut b = Builder::new("main");
        let x = b.param("x", f32s(&[5, 7]));
        let w = b.param("w", f32s(&[7, 3]));
        let image = b.param("image", f32s(&[2, 8, 8, 4]));
        let kernel = b.param("kernel", f32s(&[3, 3, 4, 6]));
        let once = b.call(&module, f, &[x, w, image, kernel]);
        let twice = b.call(&module, f, &[x, w, image, kernel]);
        let main = b.finish(&[once[0], twice[1]]).unwrap();
        module.push(main);
        assert_eq!(flops(&module), [(DType::F32, 2.0 * (products + convolutions))].into());
    }

    #[test]
    fn a_loop_counts_as_often_as_it_runs() {
        let mut b = Builder::new("body");
        b.param("index", TensorType::scalar(DType::U32));
        let x = b.param("x", f32s(&[4, 4]));
        let y = b.dot(x, x, DotDims::matmul());
        let mut module = Module::new("m");
        let body = module.push(b.finish(&[y]).unwrap());
        let mut b = Builder::new("main");
        let x = b.param("x", f32s(&[4, 4]));
        let unknown = b.param("count", TensorType::scalar(DType::U32));
        let count = b.scalar(DType::U32, 5.0);
        let x = b.repeat(&module, body, count, &[x], &[]);
        let x = b.repeat(&module, body, unknown, &x, &[]);
        let main = b.finish(&x).unwrap();
        module.push(main);
        assert_eq!(flops(&module), [(DType::F32, 6.0 * 2.0 * 64.0)].into());
    }

    #[test]
    fn types_are_counted_apart() {
        let mut b = Builder::new("main");
        let x = b.param("x", f32s(&[4, 4]));
        let y = b.param("y", TensorType::new(DType::BF16, [2, 2]));
        let (x, y) = (b.dot(x, x, DotDims::matmul()), b.dot(y, y, DotDims::matmul()));
        let mut module = Module::new("m");
        module.push(b.finish(&[x, y]).unwrap());
        assert_eq!(flops(&module), [(DType::F32, 2.0 * 64.0), (DType::BF16, 2.0 * 8.0)].into());
    }
}
