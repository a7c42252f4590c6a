//! Has the gradients of weights read their left operand as they want it.

use std::collections::HashMap;

use natgrad_ir::pass::Pass;
use natgrad_ir::{
    Builder, CallKind, DType, DotDims, FuncId, Function, InstData, Module, Op, TensorType, Verified,
};

use super::rewrite::rewrite;

/// Multiplications below which a product stays as it is: one more kernel costs as much as is gained.
const LEAST: usize = 1 << 22;
/// Rows below which a product of single precision stays as it is, since Eigen is as fast there.
const LEAST_ROWS: usize = 512;
/// Bytes of the largest copy. The cotangent of a large vocabulary's logits is more, and memory is dearer than time.
const MOST_BYTES: usize = 1 << 27;

/// The pass, which changes results by rounding alone: a product adds in another order.
pub(super) const TURNED: Pass = Pass { name: "weight_gradient", run: with_turned_operands };

/// Writes each product `x^T y`, as the gradient of a layer's weight is, as one of a copy of `x` that lies as `x^T`. XLA:CPU's
/// fast library of products takes only left operands of which rows are multiplied; what else there is, Eigen computes, in single
/// precision alone (`docs/measured.md`).
fn with_turned_operands(module: &Verified) -> Option<Module> {
    let has_gradient = |function: &Function| function.insts.iter().any(|inst| is_gradient(function, inst));
    if !module.module().functions.iter().any(has_gradient) {
        return None;
    }
    let mut copies: HashMap<TensorType, FuncId> = HashMap::new();
    Some(rewrite(module, |function, new| {
        if !has_gradient(&function) {
            return function;
        }
        let (mut made, mut map) = function.begin_copy();
        for inst in &function.insts {
            if !is_gradient(&function, inst) {
                made.append_copy(&function, inst, &mut map);
                continue;
            }
            let left = function.ty(inst.operands[0]);
            let callee = match copies.get(left) {
                Some(&callee) => callee,
                None => {
                    let Some(turning) = turning(left) else { return function };
                    let callee = new.push(turning);
                    copies.insert(left.clone(), callee);
                    callee
                }
            };
            let flat = TensorType::new(left.dtype, [left.shape.elements()]);
            let turned = TensorType::new(left.dtype, [left.shape.dims()[1], left.shape.dims()[0]]);
            // Seen through, XLA would have the product read `x` as it lies.
            let call = Op::Call { callee, kind: CallKind::Materialize };
            let operands = vec![map[&inst.operands[0]]];
            let call = InstData { op: call, operands, ..inst.clone() };
            let copied = made.append(call, [(flat, None)]);
            let reshape = Op::Reshape { shape: turned.shape.clone() };
            let reshape = InstData { op: reshape, operands: copied, ..inst.clone() };
            let left = made.append(reshape, [(turned, None)]);
            let operands = [left, vec![map[&inst.operands[1]]]].concat();
            let product = InstData { op: Op::Dot(DotDims::matmul()), operands, ..inst.clone() };
            let result = function.value(inst.results[0]);
            let result = made.append(product, [(result.ty.clone(), result.name.clone())]);
            map.extend(inst.results.iter().copied().zip(result));
        }
        made.results = function.results.iter().map(|result| map[result]).collect();
        made
    }))
}

/// Whether this is `x^T y` of two matrices, of sizes and a type in which that is slow.
fn is_gradient(function: &Function, inst: &InstData) -> bool {
    if !matches!(&inst.op, Op::Dot(dims) if *dims == DotDims::contracting(0, 0)) {
        return false;
    }
    let [left, right] = [0, 1].map(|operand| function.ty(inst.operands[operand]));
    let (&[rows, inputs], &[_, outputs]) = (left.shape.dims(), right.shape.dims()) else { return false };
    let is_slow = match left.dtype {
        DType::BF16 => true,
        DType::F32 => rows >= LEAST_ROWS,
        DType::F64 | DType::F16 | DType::S32 | DType::U32 | DType::U64 | DType::Bool => false,
    };
    is_slow && rows.saturating_mul(inputs).saturating_mul(outputs) >= LEAST && left.size_bytes() <= MOST_BYTES
}

/// A function that copies a matrix so that its columns lie as rows, all in one row: of a matrix XLA would turn the layout
/// instead.
fn turning(ty: &TensorType) -> Option<Function> {
    let dims = ty.shape.dims();
    let mut b = Builder::new(format!("turned.{}x{}.{}", dims[0], dims[1], ty.dtype.name()));
    let x = b.param("x", ty.clone());
    let turned = b.transpose(x, &[1, 0]);
    let flat = b.reshape(turned, [ty.shape.elements()]);
    b.finish(&[flat]).ok()
}

#[cfg(test)]
mod tests {
    use natgrad_ir::interp::{Tensor, evaluate};
    use natgrad_ir::pass::run_one;
    use natgrad_ir::text::parse;
    use natgrad_ir::verify;

    use super::*;

    fn program(dtype: &str, contract: &str) -> Verified {
        let (left, right) =
            if contract == "[1] x [1]" { ("128,512", "128,512") } else { ("512,128", "512,128") };
        let text = format!(
            "module @m
            func @main(%x: {dtype}[{left}], %y: {dtype}[{right}]) -> ({dtype}[128,128], {dtype}[128,128]) {{
                %a: {dtype}[128,128] = dot %x, %y {{batch = [] x [], contract = {contract}}} @\"layer/grad\"
                %z: {dtype}[{left}] = add %x, %x
                %b: {dtype}[128,128] = dot %z, %y {{batch = [] x [], contract = {contract}}}
                return %b, %a
            }}"
        );
        verify(parse(&text).unwrap()).unwrap()
    }

    fn results(module: &Verified) -> Vec<Vec<f64>> {
        let function = module.module().entry().unwrap();
        let input = |&param: &natgrad_ir::Value| {
            let ty = function.ty(param).clone();
            let values: Vec<f64> =
                (0..ty.shape.elements()).map(|index| (index * 7 % 11) as f64 - 5.0).collect();
            Tensor::from_f64s(ty, &values).unwrap()
        };
        let inputs: Vec<Tensor> = function.params.iter().map(input).collect();
        evaluate(module, &inputs).unwrap().iter().map(Tensor::to_f64s).collect()
    }

    #[test]
    fn products_of_turned_operands_are_the_same() {
        for dtype in ["f32", "bf16"] {
            let module = program(dtype, "[0] x [0]");
            let made = run_one(&TURNED, &module).unwrap();
            assert_eq!(results(&made), results(&module));
            let functions = &made.module().functions;
            // Both products have a left operand of one type, and so one function copies it.
            assert_eq!(functions.len(), 2);
            let entry = functions.last().unwrap();
            let products = entry.insts.iter().filter(|inst| inst.op == Op::Dot(DotDims::matmul()));
            assert_eq!(products.count(), 2);
            assert_eq!(entry.insts.iter().filter(|inst| inst.scope == "layer/grad").count(), 3);
            assert_eq!(run_one(&TURNED, &made).unwrap(), made);
        }
    }

    #[test]
    fn it_depends_on_the_sizes() {
        let is_turned = |dtype: &str, [rows, inputs, outputs]: [usize; 3]| {
            let text = format!(
                "module @m
                func @main(%x: {dtype}[{rows},{inputs}], %y: {dtype}[{rows},{outputs}]) -> ({dtype}[{inputs},{outputs}]) {{
                    %a: {dtype}[{inputs},{outputs}] = dot %x, %y {{batch = [] x [], contract = [0] x [0]}}
                    return %a
                }}"
            );
            let module = verify(parse(&text).unwrap()).unwrap();
            run_one(&TURNED, &module).unwrap() != module
        };
        assert!(is_turned("bf16", [50, 784, 512]) && is_turned("f32", [512, 784, 512]));
        assert!(!is_turned("bf16", [8, 784, 512]) && !is_turned("f32", [256, 784, 512]));
        assert!(is_turned("bf16", [1024, 50257, 768]) && !is_turned("bf16", [2048, 50257, 768]));
    }

    #[test]
    fn other_products_stay() {
        for (dtype, contract) in [("f64", "[0] x [0]"), ("f16", "[0] x [0]"), ("f32", "[1] x [1]")] {
            let module = program(dtype, contract);
            assert_eq!(run_one(&TURNED, &module).unwrap(), module, "{dtype} {contract}");
        }
    }
}
