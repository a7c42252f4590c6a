//! The stage that evaluates the loss: its gradient, and what the rule's curvature estimate needs beside it.

use natgrad_ir::verify::verify_function;
use natgrad_ir::{Builder, DType, Module, grad, vectorize};
use natgrad_models::Model;

use super::StepError;
use super::layout::Layout;
use super::slot::{Extent, Metric, Slot};
use super::stage::{StageFunction, StageKind};
use crate::rule::point::Curvature;

/// Loss, hits, gradients and what else the rule needs, at [`Slot::Theta`] on one micro-batch.
pub(super) fn loss_and_gradient(
    model: &Model,
    layout: &Layout,
    module: &mut Module,
) -> Result<StageFunction, StepError> {
    let trained: Vec<usize> = layout.trained().collect();
    let compute = layout.plan.compute_type(layout.dtype);
    let mut inputs: Vec<Slot> = (0..layout.params.len()).map(Slot::Theta).collect();
    inputs.extend([Slot::Features(Extent::Batch), Slot::Labels(Extent::Batch)]);
    let mut outputs = vec![Slot::Metric(Metric::Loss), Slot::Metric(Metric::Correct)];
    outputs.extend(trained.iter().copied().map(Slot::Gradient));
    let mut function = match layout.point.curvature {
        Curvature::PerExample => {
            outputs.extend(trained.iter().copied().map(Slot::SquaredGradient));
            return per_example(model, layout, module, &trained, inputs, outputs);
        }
        Curvature::HessianVector => {
            inputs.extend(trained.iter().copied().map(Slot::Probe));
            outputs.extend(trained.iter().copied().map(Slot::HessianVector));
            let (loss, constants) = model.loss(layout.rows, layout.dtype, compute)?;
            verify_function(&loss)?;
            grad::hessian_vector(&loss, &trained, &constants)?
        }
        Curvature::None | Curvature::SquaredMean | Curvature::Squared { .. } | Curvature::Price => {
            let (loss, constants) = model.loss(layout.rows, layout.dtype, compute)?;
            verify_function(&loss)?;
            grad::value_and_grad_with(&loss, &trained, &constants)?
        }
    };
    function.name = StageKind::LossAndGradient.name().to_string();
    Ok(StageFunction { function, inputs, outputs })
}

/// One example's loss and gradient, vectorized over the rows; then their means, and the mean of squares.
fn per_example(
    model: &Model,
    layout: &Layout,
    module: &mut Module,
    trained: &[usize],
    inputs: Vec<Slot>,
    outputs: Vec<Slot>,
) -> Result<StageFunction, StepError> {
    let compute = layout.plan.compute_type(layout.dtype);
    let (loss, constants) = model.loss(1, layout.dtype, compute)?;
    verify_function(&loss)?;
    let example = grad::value_and_grad_with(&loss, trained, &constants)?;
    let mut batched = vec![false; layout.params.len()];
    batched.extend([true, true]);
    let mut examples = vectorize::vectorize(&example, &batched, layout.rows)?;
    examples.name = "examples".to_string();

    let mut b = Builder::new(StageKind::LossAndGradient.name());
    let params: Vec<_> = inputs.iter().map(|&slot| b.param(layout.name(slot), layout.ty(slot))).collect();
    let mut operands = params[..layout.params.len()].to_vec();
    operands.push(b.reshape(params[layout.params.len()], [layout.rows, 1, layout.inputs]));
    operands.push(b.reshape(params[layout.params.len() + 1], [layout.rows, 1]));
    let callee = module.push(examples);
    let results = b.call(module, callee, &operands);
    let share = 1.0 / layout.rows as f64;
    let total = b.sum(results[0], &[0]);
    let mut out = vec![b.mul_const(total, share), b.sum(results[1], &[0])];
    let (mut means, mut squares) = (Vec::new(), Vec::new());
    for (&gradients, &param) in results[2..].iter().zip(trained) {
        b.enter(&layout.params[param].name);
        let total = b.sum(gradients, &[0]);
        means.push(b.mul_const(total, share));
        let square = b.square(gradients);
        let total = b.sum(square, &[0]);
        squares.push(b.mul_const(total, share));
        b.leave();
    }
    out.extend(means);
    out.extend(squares);
    Ok(StageFunction { function: b.finish(&out)?, inputs, outputs })
}

/// [`Slot::Theta`] of every parameter from the state that it is: in the program's floating-point type.
pub(super) fn theta(wiring: &mut super::wiring::Wiring, layout: &Layout) {
    let dtype: DType = layout.dtype;
    for param in 0..layout.params.len() {
        let kind = if layout.members[param].frozen {
            super::slot::StateKind::Mean
        } else {
            layout.point.gradient_state()
        };
        let kept = wiring.get(Slot::State(kind, param));
        let value = wiring.b.convert(kept, dtype);
        wiring.set(Slot::Theta(param), value);
    }
}
