//! Losses as IR.

use natgrad_ir::{Builder, CompareOp, DType, ReduceOp, Value};

/// What a classification loss gives.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy {
    /// The mean negative log-likelihood of the labels, a scalar in nats.
    pub loss: Value,
    /// How many rows give their label the largest logit, a scalar of the logits' type.
    pub correct: Value,
    /// The row maxima, which shift the logits and cancel: constants for differentiation.
    pub shift: Value,
}

/// Logits minus their row maximum, and the maximum: `[rows, classes]`, `[rows]`.
fn shifted(b: &mut Builder, logits: Value) -> (Value, Value) {
    let shape = b.ty(logits).shape.clone();
    let shift = b.reduce(ReduceOp::Max, logits, &[1]);
    let wide = b.broadcast(shift, shape, &[0]);
    (b.sub(logits, wide), shift)
}

/// The logarithm of the softmax over the last dimension of logits `[rows, classes]`.
pub fn log_softmax(b: &mut Builder, logits: Value) -> Value {
    let shape = b.ty(logits).shape.clone();
    let (centred, _) = shifted(b, logits);
    let log = log_sum_exp(b, centred);
    let wide = b.broadcast(log, shape, &[0]);
    b.sub(centred, wide)
}

/// Logits less their row maximum at the label, zero elsewhere; summed over classes: `[rows]`.
///
/// The label is picked by comparing it with an iota, which fuses; a gather would run as a serial loop on XLA:CPU.
fn at_label(b: &mut Builder, centred: Value, labels: Value) -> Value {
    let ty = b.ty(centred).clone();
    let classes = b.iota(DType::U32, ty.shape.clone(), 1);
    let wide_labels = b.broadcast(labels, ty.shape.clone(), &[0]);
    let is_label = b.compare(CompareOp::Eq, classes, wide_labels);
    let zero = b.scalar(ty.dtype, 0.0);
    let picked = b.select(is_label, centred, zero);
    b.sum(picked, &[1])
}

/// The logarithm of the sum over classes of the exponentials: `[rows]`.
fn log_sum_exp(b: &mut Builder, centred: Value) -> Value {
    let exp = b.exp(centred);
    let sum = b.sum(exp, &[1]);
    b.log(sum)
}

/// The log-probabilities `[rows]` of labels `u32[rows]` by logits `[rows, classes]`.
pub fn label_log_probabilities(b: &mut Builder, logits: Value, labels: Value) -> Value {
    let (centred, _) = shifted(b, logits);
    let log_sum = log_sum_exp(b, centred);
    let picked = at_label(b, centred, labels);
    b.sub(picked, log_sum)
}

/// The mean softmax cross-entropy of logits `[rows, classes]` with labels `u32[rows]`.
pub fn mean_cross_entropy(b: &mut Builder, logits: Value, labels: Value) -> CrossEntropy {
    let ty = b.ty(logits).clone();
    let rows = ty.shape.dims()[0];
    let (centred, shift) = shifted(b, logits);
    let log_sum = log_sum_exp(b, centred);
    let picked = at_label(b, centred, labels);

    let nll = b.sub(log_sum, picked);
    let total = b.sum(nll, &[0]);
    let loss = b.mul_const(total, 1.0 / rows as f64);
    b.name(loss, "loss");

    let at_maximum = b.full_like(picked, 0.0);
    let hit = b.compare(CompareOp::Ge, picked, at_maximum);
    let hit = b.convert(hit, ty.dtype);
    let correct = b.sum(hit, &[0]);
    b.name(correct, "correct");
    CrossEntropy { loss, correct, shift }
}

/// The mean over rows of half the squared error over the squared noise: the negative log-likelihood of numbers `[rows]`
/// that are normal about the outputs `[rows]`, less its constant. Then the sum of squared errors.
pub fn mean_squared_error(b: &mut Builder, outputs: Value, numbers: Value, noise: f64) -> (Value, Value) {
    let rows = b.ty(outputs).shape.dims()[0];
    let error = b.sub(outputs, numbers);
    let square = b.square(error);
    let total = b.sum(square, &[0]);
    b.name(total, "squared_error");
    let loss = b.mul_const(total, 0.5 / (noise * noise * rows as f64));
    b.name(loss, "loss");
    (loss, total)
}
