//! The arithmetic of matrix products and convolutions.

use crate::graph::{Def, FuncId, Function, InstData, Module};
use crate::op::{DotDims, Op};

/// Floating-point operations of the matrix products and convolutions that a module's entry runs, a product and its sum counted as
/// two. Zeros that a convolution pads with count too; a loop counts as often as it runs, or once where only the program knows.
pub fn flops(module: &Module) -> f64 {
    module.entry().map_or(0.0, |entry| of_function(module, entry))
}

fn of_function(module: &Module, function: &Function) -> f64 {
    function.insts.iter().map(|inst| of_inst(module, function, inst)).sum()
}

fn of_callee(module: &Module, callee: FuncId) -> f64 {
    module.functions.get(callee.index()).map_or(0.0, |callee| of_function(module, callee))
}

fn of_inst(module: &Module, function: &Function, inst: &InstData) -> f64 {
    let elements = |operand: usize| function.ty(inst.operands[operand]).shape.elements() as f64;
    let written = || function.ty(inst.results[0]).shape.elements() as f64;
    match &inst.op {
        Op::Dot(DotDims { lhs_contract, .. }) => {
            let lhs = function.ty(inst.operands[0]).shape.dims();
            2.0 * written() * lhs_contract.iter().map(|&axis| lhs[axis] as f64).product::<f64>()
        }
        Op::Conv(_) => {
            let outputs = *function.ty(inst.operands[1]).shape.dims().last().unwrap_or(&1);
            2.0 * written() * elements(1) / outputs as f64
        }
        Op::Loop { body, carried: _ } => rounds(function, inst) * of_callee(module, *body),
        other => other.callee().map_or(0.0, |callee| of_callee(module, callee)),
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
    use crate::types::{DType, Shape, TensorType};

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
        assert_eq!(flops(&module), products + convolutions);

        let mut b = Builder::new("main");
        let x = b.param("x", f32s(&[5, 7]));
        let w = b.param("w", f32s(&[7, 3]));
        let image = b.param("image", f32s(&[2, 8, 8, 4]));
        let kernel = b.param("kernel", f32s(&[3, 3, 4, 6]));
        let once = b.call(&module, f, &[x, w, image, kernel]);
        let twice = b.call(&module, f, &[x, w, image, kernel]);
        let main = b.finish(&[once[0], twice[1]]).unwrap();
        module.push(main);
        assert_eq!(flops(&module), 2.0 * (products + convolutions));
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
        assert_eq!(flops(&module), 6.0 * 2.0 * 64.0);
    }
}
