//! Which convolution of a model's layer an operation is: the forward pass, or one of its two gradients.

use natgrad_ir::{ConvDims, DType, Function, InstData, Op, Value};
use natgrad_onednn::{Convolution, Element, Pass, Window};

/// The side of the largest window: what has a larger one is no layer of a model.
const MOST: usize = 16;

/// A convolution of a program as oneDNN has it.
pub(super) struct Told {
    pub(super) convolution: Convolution,
    pub(super) operands: [Value; 2],
}

impl Told {
    /// What an instruction is, if it is a convolution that oneDNN can be asked for.
    pub(super) fn of(function: &Function, index: usize) -> Option<Told> {
        let inst = &function.insts[index];
        let Op::Conv(dims) = &inst.op else { return None };
        let (&[left, right], &[result]) = (inst.operands.as_slice(), inst.results.as_slice()) else {
            return None;
        };
        let element = match function.ty(result).dtype {
            DType::F32 => Element::F32,
            DType::BF16 => Element::Bf16,
            _ => return None,
        };
        if dims.groups != 1 {
            return None;
        }
        let told = kernel_gradient(function, dims, [left, right], result)
            .or_else(|| image_gradient(function, dims, [left, right], result))
            .or_else(|| forward(function, dims, [left, right], result))?;
        let convolution = Convolution { element, ..told.convolution };
        let is_layer = convolution.window.sides.iter().all(|&side| side <= MOST);
        (is_layer && convolution.high().is_some()).then_some(Told { convolution, ..told })
    }
}

/// Sums over examples: the images and the cotangent with features and examples in each other's place.
fn kernel_gradient(
    function: &Function,
    dims: &ConvDims,
    [images, cotangent]: [Value; 2],
    result: Value,
) -> Option<Told> {
    let images = transposed(function, images, &[3, 1, 2, 0])?;
    let cotangent = transposed(function, cotangent, &[1, 2, 0, 3])?;
    if !is_ones(&dims.lhs_dilation) {
        return None;
    }
    let &[_, height, width, _] = sizes(function, result)?;
    told(
        function,
        Pass::Kernel,
        [images, cotangent],
        images,
        cotangent,
        window([height, width], &dims.rhs_dilation, &dims.low, &dims.strides)?,
    )
}

/// The cotangent over the kernel turned round, whose inputs and outputs are in each other's place.
fn image_gradient(
    function: &Function,
    dims: &ConvDims,
    [cotangent, kernel]: [Value; 2],
    result: Value,
) -> Option<Told> {
    let swapped = transposed(function, kernel, &[0, 1, 3, 2])?;
    let &[height, width, ..] = sizes(function, swapped)?;
    let kernel = match function.def_inst(swapped) {
        Some(InstData { op: Op::Reverse { dims }, operands, .. }) if *dims == [0, 1] => operands[0],
        _ if [height, width] == [1, 1] => swapped,
        _ => return None,
    };
    if !is_ones(&dims.strides) {
        return None;
    }
    let low = (0..2).map(|axis| {
        let reach = ([height, width][axis] as i64 - 1) * i64::try_from(dims.rhs_dilation[axis]).ok()?;
        Some(reach - dims.low[axis])
    });
    let low = low.collect::<Option<Vec<i64>>>()?;
    told(
        function,
        Pass::Images,
        [cotangent, kernel],
        result,
        cotangent,
        window([height, width], &dims.lhs_dilation, &low, &dims.rhs_dilation)?,
    )
}

fn forward(
    function: &Function,
    dims: &ConvDims,
    [images, kernel]: [Value; 2],
    result: Value,
) -> Option<Told> {
    if !is_ones(&dims.lhs_dilation) {
        return None;
    }
    let &[height, width, ..] = sizes(function, kernel)?;
    told(
        function,
        Pass::Forward,
        [images, kernel],
        images,
        result,
        window([height, width], &dims.strides, &dims.low, &dims.rhs_dilation)?,
    )
}

/// The convolution of these images and outputs, in single precision until its type is told.
fn told(
    function: &Function,
    pass: Pass,
    operands: [Value; 2],
    images: Value,
    outputs: Value,
    window: Window,
) -> Option<Told> {
    let (images, outputs) = (*sizes(function, images)?, *sizes(function, outputs)?);
    Some(Told { convolution: Convolution::new(pass, Element::F32, images, window, outputs), operands })
}

/// A window as oneDNN has it; none if it cuts the images, as oneDNN only adds zeros.
fn window(sides: [usize; 2], strides: &[usize], low: &[i64], dilation: &[usize]) -> Option<Window> {
    let low: Option<Vec<usize>> = low.iter().map(|&zeros| usize::try_from(zeros).ok()).collect();
    Some(Window {
        sides,
        strides: strides.try_into().ok()?,
        low: low?.try_into().ok()?,
        dilation: dilation.try_into().ok()?,
    })
}

fn is_ones(steps: &[usize]) -> bool {
    steps.iter().all(|&step| step == 1)
}

/// What a value is the transpose of, by these axes.
fn transposed(function: &Function, value: Value, axes: &[usize]) -> Option<Value> {
    match function.def_inst(value) {
        Some(InstData { op: Op::Transpose { perm }, operands, .. }) if perm == axes => {
            operands.first().copied()
        }
        _ => None,
    }
}

/// The four sizes of images, outputs or a kernel.
fn sizes(function: &Function, value: Value) -> Option<&[usize; 4]> {
    function.ty(value).shape.dims().try_into().ok()
}
