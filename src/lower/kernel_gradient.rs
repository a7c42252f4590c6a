//! Writes the gradients of small convolutions' kernels as products of matrices.

use natgrad_ir::pass::Pass;
use natgrad_ir::{
    Builder, CallKind, ConvDims, DType, DotDims, Elements, FuncId, Function, Literal, Module, Op, ReduceOp,
    Scalar, Shape, TensorType, Value, Verified,
};

/// The pass, which changes results by rounding alone: a product adds in another order.
pub(super) const PRODUCTS: Pass = Pass { name: "kernel_gradient", run: as_products };

/// The side of the windows that were measured.
const SIDE: usize = 3;

/// Whether a product is faster for images of `c` features and a cotangent of `o` (`docs/measured.md`).
fn is_faster(dtype: DType, c: usize, o: usize) -> bool {
    match dtype {
        // From 16 to 512 features, but for these: there XLA's own convolution is as fast or faster.
        DType::F32 | DType::BF16 => (c, o) != (64, 64),
        DType::F16 | DType::F64 | DType::Bool | DType::S32 | DType::U32 | DType::U64 => false,
    }
}

/// Into how many parts the sum over `n` examples is cut, for threads to share. Large products have work for all of them in one
/// part, and each part writes a result.
fn parts(n: usize, c: usize, o: usize) -> usize {
    let most = if c * o <= 32 * 32 { 8 } else { 2 };
    (1..=most).rev().find(|parts| n.is_multiple_of(*parts)).unwrap_or(1)
}

/// Writes every convolution that sums examples and positions, as the gradient of a kernel does, as a product, where it
/// is known to be faster on a processor.
fn as_products(module: &Verified) -> Module {
    let module = module.module();
    let mut new = Module::new(module.name.clone());
    let mut ids: Vec<FuncId> = Vec::with_capacity(module.functions.len());
    for function in &module.functions {
        let mut function = function.clone();
        for index in 0..function.insts.len() {
            if let Some(callee) = function.insts[index].op.callee_mut() {
                *callee = ids[callee.index()];
            }
            let Some(gradient) = KernelGradient::of(&function, index) else { continue };
            let name = format!("{}.product{index}", function.name);
            let Some(product) = gradient.product(&function, &name) else { continue };
            let callee = new.push(product);
            let inst = &mut function.insts[index];
            // Inlined, XLA would write the images side by side in the forward pass, and keep all of them until they are used.
            inst.op = Op::Call { callee, kind: CallKind::Materialize };
            inst.operands = vec![gradient.images, gradient.cotangent];
        }
        ids.push(new.push(function));
    }
    new
}

/// A convolution of images `[n, h, w, c]` with a cotangent `[n, h', w', o]` as the kernel, where examples and features
/// have changed places.
struct KernelGradient {
    images: Value,
    cotangent: Value,
    /// Zeros before the images' first row and column.
    low: [i64; 2],
}

impl KernelGradient {
    fn of(function: &Function, index: usize) -> Option<KernelGradient> {
        let inst = &function.insts[index];
        let Op::Conv(ConvDims { strides, low, high: _, lhs_dilation, rhs_dilation, groups }) = &inst.op
        else {
            return None;
        };
        let is_plain = [strides, lhs_dilation, rhs_dilation].iter().all(|steps| **steps == [1, 1]);
        let &[images, cotangent] = inst.operands.as_slice() else { return None };
        let images = turned(function, images, &[3, 1, 2, 0])?;
        let cotangent = turned(function, cotangent, &[1, 2, 0, 3])?;
        let dtype = function.ty(images).dtype;
        let (&[n, height, width, c], &[.., o]) = (dims(function, images)?, dims(function, cotangent)?);
        let is_faster = n * height * width * c * o > 0 && is_faster(dtype, c, o);
        let &[_, rows, columns, _] = dims(function, *inst.results.first()?)?;
        let fits = is_plain && is_faster && *groups == 1 && [rows, columns] == [SIDE; 2];
        fits.then_some(KernelGradient { images, cotangent, low: [*low.first()?, *low.get(1)?] })
    }

    /// The function of images and cotangent that gives what the convolution gave, `[c, 3, 3, o]`. One operand of the product
    /// has the images at the window's columns, side by side, the other the cotangent at its rows, so that each of the nine
    /// places is multiplied once, and neither is written more than three times.
    fn product(&self, from: &Function, name: &str) -> Option<Function> {
        let (images, cotangent) = (from.ty(self.images).clone(), from.ty(self.cotangent).clone());
        let dtype = images.dtype;
        let (&[n, height, _, c], &[_, _, width, o]) = (dims(from, self.images)?, dims(from, self.cotangent)?);
        let mut b = Builder::new(name);
        let x = b.param("images", images);
        let dy = b.param("cotangent", cotangent);
        let taps = 0..SIDE as i64;
        let columns: Vec<Value> =
            taps.clone().map(|tap| shifted(&mut b, x, 2, tap - self.low[1], width)).collect();
        let rows: Vec<Value> = taps.map(|tap| shifted(&mut b, dy, 1, self.low[0] - tap, height)).collect();
        let parts = parts(n, c, o);
        let positions = n / parts * height * width;
        let mut operand = |values: &[Value], features: usize| {
            let side_by_side = b.concat(values, 3);
            b.reshape(side_by_side, Shape::new([parts, positions, SIDE * features]))
        };
        let (left, right) = (operand(&columns, c), operand(&rows, o));
        let each = b.dot(
            left,
            right,
            DotDims { lhs_batch: vec![0], rhs_batch: vec![0], lhs_contract: vec![1], rhs_contract: vec![1] },
        );
        // Sums of halves are accumulated in single precision.
        let summed = b.reduce(ReduceOp::Sum, each, &[0]);
        let places = b.reshape(summed, Shape::new([SIDE, c, SIDE, o]));
        let result = b.transpose(places, &[1, 2, 0, 3]);
        debug_assert_eq!(b.ty(result).dtype, dtype);
        b.finish(&[result]).ok()
    }
}

/// What a value is the transpose of, by these axes.
fn turned(function: &Function, value: Value, axes: &[usize]) -> Option<Value> {
    let inst = function.def_inst(value)?;
    match &inst.op {
        Op::Transpose { perm } if perm == axes => inst.operands.first().copied(),
        _ => None,
    }
}

/// The four sizes of images.
fn dims(function: &Function, value: Value) -> Option<&[usize; 4]> {
    function.ty(value).shape.dims().try_into().ok()
}

/// The elements of `x` along an axis from `offset` on, `size` of them, with zeros where `x` has none.
fn shifted(b: &mut Builder, x: Value, axis: usize, offset: i64, size: usize) -> Value {
    let ty = b.ty(x).clone();
    let here = ty.shape.dims()[axis] as i64;
    let (start, end) = (offset.clamp(0, here), (offset + size as i64).clamp(0, here));
    let before = (start - offset).clamp(0, size as i64);
    let mut parts = Vec::new();
    let zeros = |b: &mut Builder, count: i64| {
        let mut sizes = ty.shape.dims().to_vec();
        sizes[axis] = count as usize;
        let ty = TensorType::new(ty.dtype, Shape::new(sizes));
        b.constant(Literal { ty, elements: Elements::Splat(Scalar::Float(0.0)) })
    };
    if before > 0 {
        parts.push(zeros(b, before));
    }
    if end > start {
        let mut starts = vec![0; ty.rank()];
        let mut limits = ty.shape.dims().to_vec();
        (starts[axis], limits[axis]) = (start as usize, end as usize);
        let strides = vec![1; ty.rank()];
        parts.extend(b.push(Op::Slice { starts, limits, strides }, vec![x], None));
    }
    let after = size as i64 - before - (end - start);
    if after > 0 {
        parts.push(zeros(b, after));
    }
    if let [only] = parts[..] { only } else { b.concat(&parts, axis) }
}

#[cfg(test)]
mod tests {
    use natgrad_ir::interp::{Tensor, evaluate};
    use natgrad_ir::pass::run_one;
    use natgrad_ir::text::parse;
    use natgrad_ir::verify;

    use super::*;

    /// The gradient of a kernel as it is differentiated: of images `[n, h, w, c]` and a cotangent `[n, h', w', o]`.
    fn gradient(
        dtype: &str,
        images: [usize; 4],
        o: usize,
        low: [i64; 2],
        high: [i64; 2],
        step: usize,
    ) -> Verified {
        let [n, h, w, c] = images;
        let size = |size: usize, low: i64, high: i64| (size as i64 + low + high - 2) as usize;
        let (h2, w2) = (size(h, low[0], high[0]), size(w, low[1], high[1]));
        let side = |size: usize, low: i64, high: i64, out: usize| {
            size as i64 + low + high - step as i64 * (out as i64 - 1)
        };
        let (rows, columns) = (side(h, low[0], high[0], h2), side(w, low[1], high[1], w2));
        let text = format!(
            "module @m
            func @main(%x: {dtype}[{n},{h},{w},{c}], %dy: {dtype}[{n},{h2},{w2},{o}]) -> ({dtype}[{c},{rows},{columns},{o}]) {{
                %images: {dtype}[{c},{h},{w},{n}] = transpose %x {{perm = [3, 1, 2, 0]}}
                %kernel: {dtype}[{h2},{w2},{n},{o}] = transpose %dy {{perm = [1, 2, 0, 3]}}
                %y: {dtype}[{c},{rows},{columns},{o}] = conv %images, %kernel {{strides = [1, 1], low = {low:?}, high = {high:?}, lhs_dilation = [1, 1], rhs_dilation = [{step}, {step}], groups = 1}}
                return %y
            }}"
        );
        verify(parse(&text).unwrap()).unwrap()
    }

    fn is_product(module: &Verified) -> bool {
        let made = run_one(&PRODUCTS, module).unwrap();
        let insts = made.module().functions.iter().flat_map(|function| &function.insts);
        insts.filter(|inst| matches!(inst.op, Op::Dot(_))).count() == 1
    }

    fn numbers(function: &Function, module: &Verified) -> Vec<f64> {
        let input = |&param: &Value| {
            let ty = function.ty(param).clone();
            let values = (0..ty.shape.elements())
                .map(|index| (index as f64 * 0.37 + ty.rank() as f64).sin())
                .collect::<Vec<f64>>();
            Tensor::from_f64s(ty, &values).unwrap()
        };
        let inputs: Vec<Tensor> = function.params.iter().map(input).collect();
        evaluate(module, &inputs).unwrap()[0].to_f64s()
    }

    #[test]
    fn products_are_the_gradients() {
        for (dtype, near) in [("f32", 1e-5), ("bf16", 0.02)] {
            for (images, o) in [([2, 5, 4, 3], 2), ([8, 3, 6, 1], 4), ([3, 1, 1, 2], 1), ([1, 7, 2, 2], 3)] {
                for (low, high) in [
                    ([1, 1], [1, 1]),
                    ([2, 0], [2, 2]),
                    ([0, 3], [2, 0]),
                    ([3, 2], [-1, 1]),
                    ([-1, 1], [3, 2]),
                ] {
                    let module = gradient(dtype, images, o, low, high, 1);
                    assert!(is_product(&module), "{images:?} {low:?} {high:?}");
                    let function = module.module().entry().unwrap();
                    let made = run_one(&PRODUCTS, &module).unwrap();
                    let (expected, found) = (numbers(function, &module), numbers(function, &made));
                    assert_eq!(expected.len(), found.len());
                    for (expected, found) in expected.iter().zip(&found) {
                        let bound = near * (1.0 + expected.abs());
                        assert!(
                            (expected - found).abs() <= bound,
                            "{dtype} {images:?} {low:?} {high:?}: {expected} {found}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_was_not_measured_to_be_faster_stays_a_convolution() {
        let same = ([1, 1], [1, 1]);
        let made = |dtype, c, o| is_product(&gradient(dtype, [2, 4, 4, c], o, same.0, same.1, 1));
        assert!(made("f32", 32, 16) && made("f32", 64, 128) && made("bf16", 96, 96));
        assert!(!made("f32", 64, 64) && !made("bf16", 64, 64));
        assert!(!made("f64", 8, 8) && !made("f16", 8, 8));
        // Windows of other sizes, and cotangents of strided convolutions.
        assert!(!is_product(&gradient("f32", [2, 5, 5, 2], 2, [0, 0], [-1, -1], 2)));
    }
}
