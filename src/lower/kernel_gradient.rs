//! Writes the gradients of convolutions' kernels as products of matrices, for small windows.

use natgrad_ir::pass::Pass;
use natgrad_ir::{
    Builder, CallKind, ConvDims, DType, DotDims, Elements, Function, Literal, Module, Op, ReduceOp, Scalar,
    Shape, TensorType, Value, Verified,
};

use super::rewrite::rewrite;

/// The pass, which changes results by rounding alone: a product adds in another order.
pub(super) const PRODUCTS: Pass = Pass { name: "kernel_gradient", run: as_products };

/// Whether a product is faster for a window of this side, images of `c` features and a cotangent of `o`
/// (`docs/measured.md`).
fn is_faster(dtype: DType, side: usize, c: usize, o: usize) -> bool {
    match dtype {
        DType::F32 | DType::BF16 => match side {
            1 => true,
            // Measured from 16 to 512 features, as many in images as in the cotangent; the rest is taken to be like them. But for
            // these, where XLA's own convolution is as fast or faster.
            3 => (c, o) != (64, 64),
            _ => false,
        },
        DType::F16 | DType::F64 | DType::Bool | DType::S32 | DType::U32 | DType::U64 => false,
    }
}

/// Into how many parts the sum over `n` examples is cut, for threads to share. Large products have work for all of them in few
/// parts, and each part writes a result.
fn parts(n: usize, c: usize, o: usize) -> usize {
    let most = if c * o <= 32 * 32 { 8 } else { 2 };
    (1..=most).rev().find(|parts| n.is_multiple_of(*parts)).unwrap_or(1)
}

/// Writes every convolution that sums examples and positions, as the gradient of a kernel does, as a product, where it
/// is known to be faster on a processor.
fn as_products(module: &Verified) -> Module {
    rewrite(module, |mut function, new| {
        for index in 0..function.insts.len() {
            let Some(gradient) = KernelGradient::of(&function, index) else { continue };
            let name = format!("{}.product{index}", function.name);
            let Some(product) = gradient.product(&function, &name) else { continue };
            let callee = new.push(product);
            let inst = &mut function.insts[index];
            // Inlined, XLA would write the images side by side in the forward pass, and keep all of them until they are used.
            inst.op = Op::Call { callee, kind: CallKind::Materialize };
            inst.operands = vec![gradient.images, gradient.cotangent];
        }
        function
    })
}

/// A convolution of images `[n, h, w, c]` with a cotangent `[n, h', w', o]` as the kernel, where examples and features
/// have changed places.
struct KernelGradient {
    images: Value,
    cotangent: Value,
    /// Zeros before the images' first row and column.
    low: [i64; 2],
    /// The window's side.
    side: usize,
    /// Rows and columns from one place of the window to the next; more than one if the side is one.
    step: usize,
}

impl KernelGradient {
    fn of(function: &Function, index: usize) -> Option<KernelGradient> {
        let inst = &function.insts[index];
        let Op::Conv(ConvDims { strides, low, high: _, lhs_dilation, rhs_dilation, groups }) = &inst.op
        else {
            return None;
        };
        let &[step, same_step] = rhs_dilation.as_slice() else { return None };
        let is_plain = [strides, lhs_dilation].iter().all(|steps| **steps == [1, 1]) && step == same_step;
        let &[images, cotangent] = inst.operands.as_slice() else { return None };
        let images = turned(function, images, &[3, 1, 2, 0])?;
        let cotangent = turned(function, cotangent, &[1, 2, 0, 3])?;
        let dtype = function.ty(images).dtype;
        let (&[n, height, width, c], &[_, rows, columns_out, o]) =
            (dims(function, images)?, dims(function, cotangent)?);
        let &[_, side, columns, _] = dims(function, *inst.results.first()?)?;
        let is_faster = n * height * width * c * rows * columns_out * o > 0 && is_faster(dtype, side, c, o);
        let low = [*low.first()?, *low.get(1)?];
        let fits = is_plain && is_faster && *groups == 1 && side == columns;
        (fits && (step == 1 || (side == 1 && low == [0, 0]))).then_some(KernelGradient {
            images,
            cotangent,
            low,
            side,
            step,
        })
    }

    /// The function of images and cotangent that gives what the convolution gave, `[c, side, side, o]`. One operand of the product
    /// has the images at the window's columns, side by side, the other the cotangent at its rows, so that each place of the
    /// window is multiplied once, and of nine places neither is written more than three times.
    fn product(&self, from: &Function, name: &str) -> Option<Function> {
        let (images, cotangent) = (from.ty(self.images).clone(), from.ty(self.cotangent).clone());
        let dtype = images.dtype;
        let (&[n, height, _, c], &[_, out, width, o]) =
            (dims(from, self.images)?, dims(from, self.cotangent)?);
        let (side, step) = (self.side, self.step);
        let mut b = Builder::new(name);
        let x = b.param("images", images);
        let dy = b.param("cotangent", cotangent);
        let (x, height) = match step {
            1 => (x, height),
            _ => (strided(&mut b, x, step, [out, width])?, out),
        };
        let taps = 0..side as i64;
        let columns: Vec<Value> =
            taps.clone().map(|tap| shifted(&mut b, x, 2, tap - self.low[1], width)).collect();
        let rows: Vec<Value> = taps.map(|tap| shifted(&mut b, dy, 1, self.low[0] - tap, height)).collect();
        let parts = parts(n, c, o);
        let positions = n / parts * height * width;
        let mut operand = |values: &[Value], features: usize| {
            let side_by_side = b.concat(values, 3);
            b.reshape(side_by_side, Shape::new([parts, positions, side * features]))
        };
        let (left, right) = (operand(&columns, c), operand(&rows, o));
        let each = b.dot(
            left,
            right,
            DotDims { lhs_batch: vec![0], rhs_batch: vec![0], lhs_contract: vec![1], rhs_contract: vec![1] },
        );
        // Sums of halves are accumulated in single precision.
        let summed = b.reduce(ReduceOp::Sum, each, &[0]);
        let places = b.reshape(summed, Shape::new([side, c, side, o]));
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

/// Every row and column of images that is a multiple of `step`, so many of each.
fn strided(b: &mut Builder, x: Value, step: usize, sizes: [usize; 2]) -> Option<Value> {
    let &[n, _, _, c] = dims(b.function(), x)?;
    let limit = |size: usize| size.saturating_sub(1) * step + 1;
    let limits = vec![n, limit(sizes[0]), limit(sizes[1]), c];
    let slice = Op::Slice { starts: vec![0; 4], limits, strides: vec![1, step, step, 1] };
    b.push(slice, vec![x], None).first().copied()
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

    /// The gradient of a kernel as it is differentiated: of images `[n, h, w, c]` and a cotangent `[n, h', w', o]` of a
    /// convolution by such a window, step and padding; what the last steps do not reach is cut off.
    fn gradient(
        dtype: &str,
        images: [usize; 4],
        o: usize,
        (low, mut high): ([i64; 2], [i64; 2]),
        side: i64,
        step: i64,
    ) -> Verified {
        let [n, h, w, c] = images;
        let mut sizes = [h as i64, w as i64];
        for (axis, size) in sizes.iter_mut().enumerate() {
            let out = (*size + low[axis] + high[axis] - side) / step + 1;
            high[axis] = side + step * (out - 1) - *size - low[axis];
            *size = out;
        }
        let ([h2, w2], rows, columns) = (sizes, side, side);
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

    fn is_same(module: &Verified, near: f64) {
        let function = module.module().entry().unwrap();
        let made = run_one(&PRODUCTS, module).unwrap();
        let (expected, found) = (numbers(function, module), numbers(function, &made));
        assert_eq!(expected.len(), found.len());
        for (expected, found) in expected.iter().zip(&found) {
            let bound = near * (1.0 + expected.abs());
            assert!((expected - found).abs() <= bound, "{expected} {found}: {}", module.module());
        }
    }

    #[test]
    fn products_are_the_gradients() {
        for (dtype, near) in [("f32", 1e-5), ("bf16", 0.02)] {
            for (images, o) in [([2, 5, 4, 3], 2), ([8, 3, 6, 1], 4), ([3, 1, 1, 2], 1), ([1, 7, 2, 2], 3)] {
                for padding in [
                    ([1, 1], [1, 1]),
                    ([2, 0], [2, 2]),
                    ([0, 3], [2, 0]),
                    ([3, 2], [-1, 1]),
                    ([-1, 1], [3, 2]),
                ] {
                    for side in [1, 3] {
                        let module = gradient(dtype, images, o, padding, side, 1);
                        assert!(is_product(&module), "{images:?} {padding:?}");
                        is_same(&module, near);
                    }
                }
                for step in [2, 3] {
                    let module = gradient(dtype, images, o, ([0, 0], [0, 0]), 1, step);
                    assert!(is_product(&module), "{images:?} {step}");
                    is_same(&module, near);
                }
            }
        }
    }

    #[test]
    fn what_was_not_measured_to_be_faster_stays_a_convolution() {
        let pad = ([1, 1], [1, 1]);
        let made = |dtype, c, o, side| is_product(&gradient(dtype, [2, 4, 4, c], o, pad, side, 1));
        assert!(made("f32", 32, 16, 3) && made("f32", 64, 128, 3) && made("bf16", 96, 96, 3));
        assert!(!made("f32", 64, 64, 3) && !made("bf16", 64, 64, 3));
        assert!(made("f32", 64, 64, 1));
        assert!(!made("f64", 8, 8, 3) && !made("f16", 8, 8, 1));
        assert!(!made("f32", 8, 8, 2));
        // Cotangents of strided convolutions, but for windows of one place without padding.
        assert!(!is_product(&gradient("f32", [2, 5, 5, 2], 2, pad, 3, 2)));
        assert!(!is_product(&gradient("f32", [2, 5, 5, 2], 2, ([1, 0], [0, 1]), 1, 2)));
        assert!(!is_product(&gradient("f32", [2, 4, 4, 2], 2, ([0, 0], [1, 1]), 1, 2)));
    }
}
