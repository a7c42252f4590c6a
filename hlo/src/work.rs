//! The arithmetic that instructions do, counted from shapes.

mod called;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::attributes::{
    Attributes, Convolution, ConvolutionDimensions, CustomCall, DotDimensions, WindowDimension,
};
use super::flow::{Flow, Site, trip_count};
use super::module::Instruction;
use super::opcode::Opcode;
use super::shape::{ArrayShape, ElementType, Shape};

/// Arithmetic operations, as the program's text says them: each element of each value once, whatever a fusion computes
/// again. A multiplication and an addition are two. Loops count as often as they run (once where XLA does not know),
/// branches the one with more work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Of matrix products, by the type of their operands.
    pub dots: BTreeMap<String, u64>,
    /// Of convolutions, by the type of their operands: products with padding are left out.
    pub convolutions: BTreeMap<String, u64>,
    /// On single floating-point numbers, one for each result: sums, products, functions, comparisons, reductions.
    pub elementwise: u64,
    /// On single integers: hashes, counters, comparisons.
    pub integers: u64,
    /// Calls of code that is not HLO and that this reader does not know.
    pub unknown: u64,
}

impl Work {
    /// Floating-point operations.
    pub fn flops(&self) -> u64 {
        let products = self.dots.values().chain(self.convolutions.values());
        products.fold(self.elementwise, |sum, &flops| sum.saturating_add(flops))
    }

    /// Floating-point operations of matrix products.
    pub fn dot_flops(&self) -> u64 {
        self.dots.values().fold(0, |sum, &flops| sum.saturating_add(flops))
    }

    /// Floating-point operations of convolutions.
    pub fn convolution_flops(&self) -> u64 {
        self.convolutions.values().fold(0, |sum, &flops| sum.saturating_add(flops))
    }

    /// Those of products of matrices and of convolutions, by the type of their operands.
    pub fn products(&self) -> BTreeMap<&str, u64> {
        let mut products = BTreeMap::new();
        for (ty, &flops) in self.dots.iter().chain(&self.convolutions) {
            let sum: &mut u64 = products.entry(ty.as_str()).or_default();
            *sum = sum.saturating_add(flops);
        }
        products
    }

    /// The sum.
    pub fn plus(mut self, other: &Work) -> Work {
        for (mine, others) in [(&mut self.dots, &other.dots), (&mut self.convolutions, &other.convolutions)] {
            for (ty, &flops) in others {
                let sum = mine.entry(ty.clone()).or_default();
                *sum = sum.saturating_add(flops);
            }
        }
        self.elementwise = self.elementwise.saturating_add(other.elementwise);
        self.integers = self.integers.saturating_add(other.integers);
        self.unknown = self.unknown.saturating_add(other.unknown);
        self
    }

    /// The work of so many runs.
    pub fn times(mut self, n: u64) -> Work {
        for flops in self.dots.values_mut().chain(self.convolutions.values_mut()) {
            *flops = flops.saturating_mul(n);
        }
        for count in [&mut self.elementwise, &mut self.integers, &mut self.unknown] {
            *count = count.saturating_mul(n);
        }
        self
    }

    fn dot(ty: ElementType, flops: u64) -> Work {
        Work { dots: [(ty.name().to_owned(), flops)].into(), ..Work::default() }
    }

    fn convolution(ty: ElementType, flops: u64) -> Work {
        Work { convolutions: [(ty.name().to_owned(), flops)].into(), ..Work::default() }
    }

    /// So many operations on single numbers of a type.
    fn single(ty: ElementType, operations: u64) -> Work {
        match is_float(ty) {
            true => Work { elementwise: operations, ..Work::default() },
            false => Work { integers: operations, ..Work::default() },
        }
    }
}

/// The work of an instruction, with that of the computations that it runs.
pub fn of(flow: &Flow<'_>, site: Site) -> Work {
    let instruction = flow.instruction(site);
    let callees = || {
        flow.callees(site).iter().map(|&frame| {
            let sites = flow.computation(frame).iter().map(|(id, _)| Site { frame, instruction: id });
            sites.fold(Work::default(), |sum, site| sum.plus(&of(flow, site)))
        })
    };
    match instruction.opcode {
        Opcode::Fusion | Opcode::Call | Opcode::AsyncStart => {
            callees().fold(Work::default(), |sum, work| sum.plus(&work))
        }
        Opcode::While => {
            let once = callees().fold(Work::default(), |sum, work| sum.plus(&work));
            once.times(trip_count(instruction).unwrap_or(1))
        }
        Opcode::Conditional => callees().max_by_key(Work::flops).unwrap_or_default(),
        _ => own(flow, site),
    }
}

/// The work of an instruction that runs nothing else on whole values.
fn own(flow: &Flow<'_>, site: Site) -> Work {
    let instruction = flow.instruction(site);
    let operand = |number: usize| {
        let id = *instruction.operands.get(number)?;
        first_array(&flow.instruction(Site { frame: site.frame, instruction: id }).shape)
    };
    let Some(result) = first_array(&instruction.shape) else { return Work::default() };
    match (&instruction.opcode, &instruction.attributes) {
        (Opcode::Dot, Attributes::Dot { dimensions, .. }) => match operand(0) {
            Some(lhs) => Work::dot(lhs.element_type, dot_flops(lhs, dimensions, result)),
            None => Work::default(),
        },
        (Opcode::Convolution, Attributes::Convolution(convolution)) => match (operand(0), operand(1)) {
            (Some(input), Some(kernel)) => {
                Work::convolution(input.element_type, convolution_flops(convolution, input, kernel, result))
            }
            _ => Work::default(),
        },
        (Opcode::CustomCall, Attributes::CustomCall(call)) => {
            let operands = [operand(0), operand(1)];
            match (operands, library_call(&call.target, &instruction.backend_config)) {
                ([Some(lhs), Some(_)], Some(LibraryCall::Product)) => match product_dimensions(instruction) {
                    Some(dimensions) => Work::dot(lhs.element_type, dot_flops(lhs, &dimensions, result)),
                    None => Work { unknown: 1, ..Work::default() },
                },
                ([Some(lhs), Some(_)], Some(LibraryCall::OwnProduct)) => {
                    let depth = lhs.dimensions.last().copied().unwrap_or(1);
                    Work::dot(lhs.element_type, result.elements().saturating_mul(depth).saturating_mul(2))
                }
                ([Some(first), Some(second)], Some(LibraryCall::Convolution(pass))) => {
                    // Each gradient multiplies the same pairs of numbers as the convolution itself.
                    let (input, kernel, output) = match pass {
                        Pass::Forward => (first, second, result),
                        Pass::InputGradient => (result, second, first),
                        Pass::KernelGradient => (first, result, second),
                    };
                    let own = || called::convolution(&instruction.backend_config, kernel);
                    match library_convolution(call).or_else(own) {
                        Some(convolution) => {
                            let flops = convolution_flops(&convolution, input, kernel, output);
                            Work::convolution(first.element_type, flops)
                        }
                        None => Work { unknown: 1, ..Work::default() },
                    }
                }
                (_, None) if moves_only(&call.target) => Work::default(),
                _ => Work { unknown: 1, ..Work::default() },
            }
        }
        (Opcode::Reduce, _) => match operand(0) {
            Some(input) => {
                let reduced = input.elements().saturating_sub(result.elements());
                let arrays = (instruction.operands.len() / 2).max(1) as u64;
                Work::single(input.element_type, reduced.saturating_mul(arrays))
            }
            None => Work::default(),
        },
        (Opcode::ReduceWindow, Attributes::Window(window)) => {
            let size = window.iter().fold(1u64, |n, dimension| n.saturating_mul(count(dimension.size)));
            let per_result = size.saturating_sub(1);
            Work::single(result.element_type, result.elements().saturating_mul(per_result))
        }
        (Opcode::SelectAndScatter, Attributes::Window(window)) => {
            let size = window.iter().fold(1u64, |n, dimension| n.saturating_mul(count(dimension.size)));
            let windows = operand(1).map_or(0, ArrayShape::elements);
            Work::single(result.element_type, windows.saturating_mul(size))
        }
        (Opcode::Scatter, _) => {
            let updates = operand(2).map_or(0, ArrayShape::elements);
            Work::single(result.element_type, updates)
        }
        (Opcode::Compare, _) => match operand(0) {
            Some(compared) => Work::single(compared.element_type, result.elements()),
            None => Work::default(),
        },
        (opcode, _) if is_arithmetic(opcode) => Work::single(result.element_type, result.elements()),
        _ => Work::default(),
    }
}

/// The array of a value, or the first of a tuple: library calls give their result and scratch memory.
fn first_array(shape: &Shape) -> Option<&ArrayShape> {
    match shape {
        Shape::Array(array) => Some(array),
        Shape::Tuple(parts) => parts.first().and_then(Shape::as_array),
        Shape::Buffer(_) | Shape::Token | Shape::Opaque => None,
    }
}

fn count(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}

fn size(shape: &ArrayShape, dimension: i64) -> u64 {
    usize::try_from(dimension).ok().and_then(|at| shape.dimensions.get(at)).copied().unwrap_or(1)
}

/// Two for each element of the result and of what is summed.
fn dot_flops(lhs: &ArrayShape, dimensions: &DotDimensions, result: &ArrayShape) -> u64 {
    let summed = dimensions.lhs_contracting.iter().fold(1u64, |n, &at| n.saturating_mul(size(lhs, at)));
    result.elements().saturating_mul(summed).saturating_mul(2)
}

/// Two for each pair of an element of the input, no padding, and one of the kernel that meet.
fn convolution_flops(
    convolution: &Convolution,
    input: &ArrayShape,
    kernel: &ArrayShape,
    output: &ArrayShape,
) -> u64 {
    let ConvolutionDimensions { input: (_, _, spatial), kernel: (features, _, _), output: out } =
        &convolution.dimensions;
    let mut pairs = 1u64;
    for (at, window) in convolution.window.iter().enumerate() {
        let (Some(&from), Some(&to)) = (spatial.get(at), out.2.get(at)) else { continue };
        pairs = pairs.saturating_mul(meetings(window, size(input, from), size(output, to)));
    }
    // A kernel has the input features of one group only, so groups need no account of their own.
    [size(output, out.0), size(output, out.1), size(kernel, *features), 2]
        .into_iter()
        .fold(pairs, u64::saturating_mul)
}

/// The most places that are looked at one by one: only a damaged program says that there are more, and then all count.
const MOST_WALKED: u64 = 1 << 24;

/// How often, along one dimension, an element of the window lies on an element of the input: not on padding, nor
/// between dilated elements.
fn meetings(window: &WindowDimension, input: u64, output: u64) -> u64 {
    let most = output.saturating_mul(count(window.size));
    if most == 0 || most > MOST_WALKED {
        return most;
    }
    let wide =
        [window.stride, window.padding_low, window.window_dilation.max(1), window.base_dilation.max(1)];
    let [stride, low, step, dilation] = wide.map(i128::from);
    let extent = (i128::from(input) - 1) * dilation;
    let inside = |start: i128| (0..window.size).map(move |at| start + i128::from(at) * step);
    let places = (0..output).flat_map(|at| inside(i128::from(at) * stride - low));
    places.filter(|place| (0..=extent).contains(place) && place % dilation == 0).count() as u64
}

/// What a library call of XLA, or one of natgrad's, computes.
enum LibraryCall {
    /// A matrix product.
    Product,
    /// A convolution or a gradient of one.
    Convolution(Pass),
    /// Of natgrad's own, which sums over the last dimension of the left operand.
    OwnProduct,
}

#[derive(Clone, Copy)]
enum Pass {
    Forward,
    InputGradient,
    KernelGradient,
}

fn library_call(target: &str, config: &str) -> Option<LibraryCall> {
    Some(match target {
        "__cublas$gemm" | "__cublas$lt$matmul" | "__cublas$lt$matmul$f8" | "__triton_gemm" => {
            LibraryCall::Product
        }
        "__cudnn$convForward" | "__cudnn$convBiasActivationForward" => {
            LibraryCall::Convolution(Pass::Forward)
        }
        "__cudnn$convBackwardInput" => LibraryCall::Convolution(Pass::InputGradient),
        "__cudnn$convBackwardFilter" => LibraryCall::Convolution(Pass::KernelGradient),
        called::PRODUCT => LibraryCall::OwnProduct,
        called::CONVOLUTION => LibraryCall::Convolution(called::pass(config)?),
        _ => return None,
    })
}

/// The convolution that a library call of XLA stands for, where it says so.
fn library_convolution(call: &CustomCall) -> Option<Convolution> {
    Some(Convolution {
        window: call.window.clone()?,
        dimensions: call.dimensions.clone()?,
        feature_groups: call.feature_groups,
        batch_groups: call.batch_groups,
        precision: call.precision.clone(),
    })
}

/// Whether code that is not HLO computes nothing: allocations, memory placement and markers of the partitioner.
fn moves_only(target: &str) -> bool {
    matches!(
        target,
        "AllocateBuffer"
            | "AssumeGatherIndicesInBound"
            | "MoveToDevice"
            | "MoveToHost"
            | "Sharding"
            | "SPMDFullToShardShape"
            | "SPMDShardToFullShape"
            | "annotate_device_placement"
    )
}

/// The dimension numbers that XLA:GPU keeps in the configuration of a library call for a matrix product.
fn product_dimensions(instruction: &Instruction) -> Option<DotDimensions> {
    let config: serde_json::Value = serde_json::from_str(&instruction.backend_config).ok()?;
    let numbers = &config["gemm_backend_config"]["dot_dimension_numbers"];
    let list = |name: &str| -> Option<Vec<i64>> {
        let Some(list) = numbers.get(name) else { return Some(Vec::new()) };
        list.as_array()?
            .iter()
            .map(|number| number.as_i64().or_else(|| number.as_str()?.parse().ok()))
            .collect()
    };
    numbers.is_object().then_some(())?;
    Some(DotDimensions {
        lhs_contracting: list("lhs_contracting_dimensions")?,
        rhs_contracting: list("rhs_contracting_dimensions")?,
        lhs_batch: list("lhs_batch_dimensions")?,
        rhs_batch: list("rhs_batch_dimensions")?,
    })
}

/// Whether numbers of the type are floating-point, complex ones included.
fn is_float(ty: ElementType) -> bool {
    use ElementType as T;
    match ty {
        T::Pred => false,
        T::S1 | T::S2 | T::S4 | T::S8 | T::S16 | T::S32 | T::S64 => false,
        T::U1 | T::U2 | T::U4 | T::U8 | T::U16 | T::U32 | T::U64 => false,
        T::F16 | T::F32 | T::Bf16 | T::F64 | T::C64 | T::C128 => true,
        T::F8e5m2 | T::F8e4m3 | T::F8e4m3fn | T::F8e4m3b11fnuz | T::F8e3m4 | T::F8e5m2fnuz => true,
        T::F8e4m3fnuz | T::F8e8m0fnu | T::F4e2m1fn | T::F6e3m2fn | T::F6e2m3fn => true,
    }
}

/// Whether each element of the result is one operation on the operands' elements. Selections and conversions move
/// numbers.
pub fn is_arithmetic(opcode: &Opcode) -> bool {
    matches!(
        opcode,
        Opcode::Abs
            | Opcode::Acos
            | Opcode::Acosh
            | Opcode::Add
            | Opcode::And
            | Opcode::Asin
            | Opcode::Asinh
            | Opcode::Atan2
            | Opcode::Atanh
            | Opcode::Cbrt
            | Opcode::Ceil
            | Opcode::Clamp
            | Opcode::Cosh
            | Opcode::Cosine
            | Opcode::CountLeadingZeros
            | Opcode::Divide
            | Opcode::Erf
            | Opcode::Exponential
            | Opcode::ExponentialMinusOne
            | Opcode::Floor
            | Opcode::IsFinite
            | Opcode::Log
            | Opcode::LogPlusOne
            | Opcode::Logistic
            | Opcode::Maximum
            | Opcode::Minimum
            | Opcode::MulHi
            | Opcode::Multiply
            | Opcode::Negate
            | Opcode::Not
            | Opcode::Or
            | Opcode::PopulationCount
            | Opcode::Power
            | Opcode::Remainder
            | Opcode::RoundNearestAfz
            | Opcode::RoundNearestEven
            | Opcode::Rsqrt
            | Opcode::ShiftLeft
            | Opcode::ShiftRightArithmetic
            | Opcode::ShiftRightLogical
            | Opcode::Sign
            | Opcode::Sine
            | Opcode::Sinh
            | Opcode::Sqrt
            | Opcode::Subtract
            | Opcode::Tan
            | Opcode::Tanh
            | Opcode::Xor
    )
}

#[cfg(test)]
mod tests;
