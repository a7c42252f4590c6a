//! The stage that evaluates the loss: its gradient, and what the rule's curvature estimate needs beside it.

use natgrad_ir::verify::verify_function;
use natgrad_ir::{Builder, DType, DotDims, Function, Module, Op, Shape, Value, grad, vectorize};
use natgrad_layers::{Criterion, LossFunction, MaskDrawing, Model, Remat};

use super::StepError;
use super::interface::Interface;
use super::linked;
use super::slot::{Extent, Slot};
use super::stage::{StageFunction, StageKind};
use crate::rule::StateKind;

/// Loss, hits, gradients and what else the rule needs, at [`Slot::Theta`] on one micro-batch.
pub(super) fn loss_and_gradient(
    model: &dyn Model,
    criterion: &Criterion,
    interface: &Interface,
    module: &mut Module,
) -> Result<StageFunction, StepError> {
    if let Some(linked) = model.linked() {
        return linked::loss_and_gradient(linked, interface);
    }
    let trained: Vec<usize> = interface.trained().collect();
    let compute = interface.plan.compute_type(interface.dtype);
    let mut inputs: Vec<Slot> = (0..interface.params.len()).map(Slot::Theta).collect();
    inputs.extend(interface.inputs(Extent::Batch));
    inputs.push(Slot::Labels(Extent::Batch));
    if interface.masks > 0 {
        inputs.push(Slot::MaskKeys);
    }
    let mut outputs: Vec<Slot> = interface.evaluated().into_iter().map(Slot::Metric).collect();
    outputs.extend(trained.iter().copied().map(Slot::Gradient));
    if interface.needs.squared_gradients {
        outputs.extend(trained.iter().copied().map(Slot::SquaredGradient));
        if criterion.depends_on_batch() {
            return Err(StepError::NoMeanOverRows);
        }
        return per_example(model, criterion, interface, module, &trained, inputs, outputs);
    }
    // Second derivatives are of the loss as it is.
    let remat = if interface.needs.hessian_product { Remat::None } else { interface.plan.remat };
    let masks = Some(masks(false));
    let LossFunction { function: loss, held, regions } =
        model.loss_function_with(criterion, interface.rows, interface.dtype, compute, masks, remat)?;
    verify_function(&loss)?;
    let mut function = if interface.needs.hessian_product {
        inputs.extend(trained.iter().copied().map(Slot::Probe));
        outputs.extend(trained.iter().copied().map(Slot::HessianVector));
        grad::hessian_vector(&loss, &trained, &held)?
    } else {
        grad::value_and_grad_of_regions(module, &loss, &trained, &held, &regions)?
    };
    function.name = StageKind::LossAndGradient.name().to_string();
    Ok(StageFunction { function, inputs, outputs })
}

/// How dropout's masks are drawn, for a batch or for one example of it: the same bits.
fn masks(is_of_one_row: bool) -> MaskDrawing {
    MaskDrawing { draw: super::sample::mask, is_of_one_row }
}

/// One example's loss and gradient, vectorized over the rows; then their means, and the mean of squares.
fn per_example(
    model: &dyn Model,
    criterion: &Criterion,
    interface: &Interface,
    module: &mut Module,
    trained: &[usize],
    inputs: Vec<Slot>,
    outputs: Vec<Slot>,
) -> Result<StageFunction, StepError> {
    let compute = interface.plan.compute_type(interface.dtype);
    let (loss, constants) =
        model.loss_function_by(criterion, 1, interface.dtype, compute, Some(masks(true)))?;
    verify_function(&loss)?;
    let example = grad::value_and_grad_with(&loss, trained, &constants)?;
    let mut batched = vec![false; interface.params.len()];
    batched.extend(vec![true; interface.features.len() + 1]);
    if interface.masks > 0 {
        // The keys are those of all rows; each has a number.
        batched.extend([false, true]);
    }
    let mut examples = vectorize::vectorize(&example, &batched, interface.rows)?;
    examples.name = "examples".to_string();
    let gradients = take_gradients(&mut examples, 2);

    let mut b = Builder::new(StageKind::LossAndGradient.name());
    let params: Vec<_> =
        inputs.iter().map(|&slot| b.param(interface.name(slot), interface.ty(slot))).collect();
    let mut operands = params.clone();
    let of_one = interface.features.iter().map(|(_, ty)| ty).chain([&interface.labels]);
    for (operand, example) in operands[interface.params.len()..].iter_mut().zip(of_one) {
        let shape = Shape::new([&[interface.rows, 1], example.shape.dims()].concat());
        *operand = b.reshape(*operand, shape);
    }
    if interface.masks > 0 {
        operands.push(b.iota(DType::U32, [interface.rows], 0));
    }
    let callee = module.push(examples);
    let results = b.call(module, callee, &operands);
    let share = 1.0 / interface.rows as f64;
    let total = b.sum(results[0], &[0]);
    let mut out = vec![b.mul_const(total, share), b.sum(results[1], &[0])];
    let (mut means, mut squares) = (Vec::new(), Vec::new());
    for (gradient, &param) in gradients.iter().zip(trained) {
        b.enter(&format!("{}/grad", interface.params[param].name));
        for (sums, power) in [(&mut means, 1), (&mut squares, 2)] {
            let total = gradient.sum_of_powers(&mut b, &results, power, interface.dtype);
            sums.push(b.mul_const(total, share));
        }
        b.leave();
    }
    out.extend(means);
    out.extend(squares);
    Ok(StageFunction { function: b.finish(&out)?, inputs, outputs })
}

/// The gradients of all examples, by the results of the function that gives them.
enum Gradients {
    /// `[rows, ...]`, the result with this number.
    Whole(usize),
    /// Outer products of each row's two vectors, the results with these numbers: a linear layer's weight. Their sums
    /// over rows are matrix products, and nothing of the size of rows times weights is ever made.
    Outer { lhs: usize, rhs: usize, dims: DotDims },
}

impl Gradients {
    /// The sum over rows of the gradients to a power, in the type `dtype`.
    fn sum_of_powers(&self, b: &mut Builder, results: &[Value], power: u32, dtype: DType) -> Value {
        let to_power = |b: &mut Builder, x: Value| {
            let x = b.convert(x, dtype);
            (1..power).fold(x, |product, _| b.mul(product, x))
        };
        match self {
            Gradients::Whole(index) => {
                let powers = to_power(b, results[*index]);
                b.sum(powers, &[0])
            }
            Gradients::Outer { lhs, rhs, dims } => {
                let [lhs, rhs] = [lhs, rhs].map(|&index| to_power(b, results[index]));
                b.dot(lhs, rhs, dims.clone())
            }
        }
    }
}

/// Lets the function give the two vectors in the place of every gradient, of its results from `first` on, that is their
/// outer product.
fn take_gradients(function: &mut Function, first: usize) -> Vec<Gradients> {
    let mut results = function.results[..first].to_vec();
    let gradients = function.results[first..]
        .iter()
        .map(|&gradient| match outer_product(function, gradient) {
            Some(([lhs, rhs], dims)) => {
                results.extend([lhs, rhs]);
                Gradients::Outer { lhs: results.len() - 2, rhs: results.len() - 1, dims }
            }
            None => {
                results.push(gradient);
                Gradients::Whole(results.len() - 1)
            }
        })
        .collect();
    function.results = results;
    gradients
}

/// The factors of a product that is batched over the rows and contracts nothing but dimensions of size one, and the
/// dimensions of the product that sums it over the rows. The product may be converted from the type that the model
/// computes in.
fn outer_product(function: &Function, value: Value) -> Option<([Value; 2], DotDims)> {
    let mut inst = function.def_inst(value)?;
    if let (Op::Convert { .. }, &[narrow]) = (&inst.op, inst.operands.as_slice()) {
        inst = function.def_inst(narrow)?;
    }
    let (Op::Dot(dims), &[lhs, rhs]) = (&inst.op, inst.operands.as_slice()) else { return None };
    let contracts_one = dims.lhs_contract.iter().all(|&dim| function.ty(lhs).shape.dims()[dim] == 1);
    if dims.lhs_batch != [0] || dims.rhs_batch != [0] || !contracts_one {
        return None;
    }
    let with_rows = |contract: &[usize]| [&[0], contract].concat();
    let summed = DotDims {
        lhs_contract: with_rows(&dims.lhs_contract),
        rhs_contract: with_rows(&dims.rhs_contract),
        ..DotDims::default()
    };
    Some(([lhs, rhs], summed))
}

/// [`Slot::Theta`] of every parameter from the state that it is: in the program's floating-point type.
pub(super) fn theta(wiring: &mut super::wiring::Wiring, interface: &Interface) {
    for param in 0..interface.params.len() {
        let kind =
            if interface.members[param].frozen { StateKind::MEAN } else { interface.needs.gradient_state() };
        let kept = wiring.get(Slot::State(kind, param));
        wiring.set(Slot::Theta(param), kept);
    }
}
