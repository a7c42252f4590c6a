//! Stages that call functions from elsewhere.

use natgrad_ir::{Builder, Op, TensorType, Value};
use natgrad_layers::{Linked, LinkedFunction, Port, Task, loss};

use super::StepError;
use super::interface::Interface;
use super::slot::{Extent, Metric, Slot};
use super::stage::{Stage, StageFunction, StageKind};
use crate::rule::{Needs, StateKind};

/// The function that gives what the rule needs of an evaluation of the loss, or the file that the model's folder lacks.
pub(crate) fn evaluation<'l>(linked: &'l Linked, needs: &Needs) -> Result<&'l LinkedFunction, &'static str> {
    if needs.squared_gradients {
        return linked.squared_gradients.as_ref().ok_or("squared_gradients.mlir");
    }
    if needs.hessian_product {
        return linked.hessian_vector.as_ref().ok_or("hessian_vector.mlir");
    }
    Ok(&linked.loss_and_gradient)
}

/// Loss, hits, gradients and what else the rule needs, at [`Slot::Theta`] on one micro-batch.
pub(super) fn loss_and_gradient(linked: &Linked, interface: &Interface) -> Result<StageFunction, StepError> {
    linked_rows(linked, interface)?;
    let needs = &interface.needs;
    let function = evaluation(linked, needs)
        .map_err(|function| StepError::NotLinked { model: linked.name.clone(), function })?;
    let mut stage = Stage::new(StageKind::LossAndGradient, interface);
    let results = call(&mut stage, function, Slot::Theta);
    let given = |port: Port| function.results.iter().position(|&known| known == port).map(|at| results[at]);
    let trained: Vec<usize> = interface.trained().collect();
    let mut out = Vec::new();
    let mut give = |stage: &mut Stage, slot: Slot, port: Port| {
        let ty = stage.interface().ty(slot);
        let value = match given(port) {
            Some(value) => stage.b.convert(value, ty.dtype),
            // A number that the function does not give is not known.
            None => {
                let unknown = stage.b.scalar(ty.dtype, f64::NAN);
                stage.b.splat(unknown, ty.shape)
            }
        };
        out.push((slot, value));
    };
    for metric in interface.evaluated() {
        let port = match metric {
            Metric::Loss => Port::Loss,
            Metric::Told(index) => Port::Told(index),
            _ => Port::Counted,
        };
        give(&mut stage, Slot::Metric(metric), port);
    }
    for &param in &trained {
        give(&mut stage, Slot::Gradient(param), Port::Gradient(param));
    }
    for &param in &trained {
        if needs.squared_gradients {
            give(&mut stage, Slot::SquaredGradient(param), Port::SquaredGradient(param));
        } else if needs.hessian_product {
            give(&mut stage, Slot::HessianVector(param), Port::HessianVector(param));
        }
    }
    for param in interface.replaced() {
        give(&mut stage, Slot::State(StateKind::MEAN, param), Port::Param(param));
    }
    Ok(stage.finish(out)?)
}

/// What the model predicts, as [`Slot::Prediction`], from parameters in the place of the mean.
pub(super) fn predict(linked: &Linked, interface: &Interface) -> Result<StageFunction, StepError> {
    linked_rows(linked, interface)?;
    let function = linked.predict.as_ref();
    let function =
        function.ok_or(StepError::NotLinked { model: linked.name.clone(), function: "predict.mlir" })?;
    let mut stage = Stage::new(StageKind::Predict, interface);
    // All of them, and in order, whichever the function takes.
    for param in 0..interface.params.len() {
        stage.get(Slot::State(StateKind::MEAN, param));
    }
    for slot in interface.inputs(Extent::Batch) {
        stage.get(slot);
    }
    let results = call(&mut stage, function, |param| Slot::State(StateKind::MEAN, param));
    let at = function.results.iter().position(|&port| port == Port::Prediction).unwrap_or(0);
    let outputs = stage.b.convert(results[at], interface.dtype);
    let ty = interface.ty(Slot::Prediction);
    let prediction = match interface.task {
        Task::Classes => stage.b.formula([outputs], |[outputs]| loss::log_softmax(outputs)),
        Task::Tokens => {
            let labels = stage.get(Slot::Labels(Extent::Batch));
            let positions = ty.shape.elements();
            let labels = stage.b.reshape(labels, [positions]);
            let outputs = stage.b.reshape(outputs, [positions, interface.classes]);
            let picked = loss::label_log_probabilities(&mut stage.b, outputs, labels);
            stage.b.reshape(picked, ty.shape)
        }
        Task::Numbers { .. } | Task::Own => stage.b.reshape(outputs, ty.shape),
    };
    Ok(stage.finish(vec![(Slot::Prediction, prediction)])?)
}

/// Functions from elsewhere take batches of one size.
fn linked_rows(linked: &Linked, interface: &Interface) -> Result<(), StepError> {
    if interface.rows == linked.rows {
        return Ok(());
    }
    Err(StepError::Rows { model: linked.name.clone(), wanted: linked.rows, found: interface.rows })
}

/// The results of a function, whose parameters come from the stage's slots.
fn call(stage: &mut Stage, function: &LinkedFunction, param_slot: fn(usize) -> Slot) -> Vec<Value> {
    let types = &function.foreign.signature.params;
    let operands: Vec<Value> = function
        .params
        .iter()
        .zip(types)
        .map(|(&port, ty)| {
            let slot = match port {
                Port::Param(param) => param_slot(param),
                Port::Probe(param) => Slot::Probe(param),
                Port::Input(input) => Slot::Features(input, Extent::Batch),
                Port::Whole(input) => Slot::Whole(input),
                Port::Labels => Slot::Labels(Extent::Batch),
                Port::Seed => return seed(stage, ty),
                // Frozen parameters have no random signs; no result is a parameter.
                _ => return zeros(&mut stage.b, ty),
            };
            match slot {
                Slot::Probe(param) if stage.interface().members[param].frozen => zeros(&mut stage.b, ty),
                slot => {
                    let value = stage.get(slot);
                    let value = stage.b.convert(value, ty.dtype);
                    stage.b.reshape(value, ty.shape.clone())
                }
            }
        })
        .collect();
    stage.b.call_foreign(&function.foreign, &operands)
}

fn zeros(b: &mut Builder, ty: &TensorType) -> Value {
    let zero = b.scalar(ty.dtype, 0.0);
    b.splat(zero, ty.shape.clone())
}

/// The seed of what a function draws, from the evaluation's keys: another one in each evaluation of the loss.
fn seed(stage: &mut Stage, ty: &TensorType) -> Value {
    let keys = stage.get(Slot::MaskKeys);
    let words = ty.shape.elements().min(4);
    let slice = Op::Slice { starts: vec![0, 0], limits: vec![1, words], strides: vec![1, 1] };
    let first = stage.b.push(slice, vec![keys], None)[0];
    let first = stage.b.reshape(first, ty.shape.clone());
    stage.b.convert(first, ty.dtype)
}
