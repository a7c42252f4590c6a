//! Losses as IR.

use natgrad_ir::{Builder, CompareOp, DType, Expr, ReduceOp, Value};

/// Added to a logit less the row's largest: it is below the last digit of every one but zero.
const TINY: f64 = 1e-30;

/// What a classification loss gives.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy {
    /// The mean negative log-likelihood of the labels, a scalar in nats.
    pub loss: Value,
    /// How many rows give their label the largest logit, of equal ones the first: a scalar of the logits' type.
    pub correct: Value,
    /// The row maxima, which shift the logits and cancel: constants for differentiation.
    pub shift: Value,
}

/// Logits `[..., classes]` less their maximum, and the maximum, `[...]`.
pub(crate) fn shifted(logits: Expr<'_>) -> (Expr<'_>, Expr<'_>) {
    let (before, last) = dims(logits);
    let shift = logits.reduce(ReduceOp::Max, &[last]);
    (logits - shift.broadcast_like(logits, &before), shift)
}

/// The logarithm of the sum over classes of the exponentials: `[...]`.
pub(crate) fn log_sum_exp(centred: Expr<'_>) -> Expr<'_> {
    centred.exp().sum(&[dims(centred).1]).log()
}

/// The dimensions before that of the classes, and that.
fn dims(logits: Expr<'_>) -> (Vec<usize>, usize) {
    let last = logits.ty().rank().saturating_sub(1);
    ((0..last).collect(), last)
}

/// Where a class is the row's label: `bool[rows, classes]`.
pub(crate) fn is_label<'b>(centred: Expr<'b>, labels: Expr<'b>) -> Expr<'b> {
    let classes = centred.iota(DType::U32, 1);
    classes.compare(CompareOp::Eq, labels.broadcast_like(centred, &[0]))
}

/// Logits less their row maximum at the label, zero elsewhere; summed over classes: `[rows]`.
///
/// The label is picked by comparing it with an iota, which fuses; a gather would run as a serial loop on XLA:CPU.
pub(crate) fn at_label<'b>(centred: Expr<'b>, labels: Expr<'b>) -> Expr<'b> {
    let is_label = is_label(centred, labels);
    let zero = centred.with(|b, x| b.scalar(b.ty(x).dtype, 0.0));
    is_label.select(centred, zero).sum(&[1])
}

/// As [`at_label`], but zero only if the label is the first class whose logit is the largest.
///
/// An earlier one of the largest adds a number so small that nothing but zero is changed by it. So no reduction is
/// needed beside that of [`at_label`]: over the logits of a large vocabulary one takes as long as a layer.
pub(crate) fn at_label_if_first<'b>(centred: Expr<'b>, labels: Expr<'b>) -> Expr<'b> {
    let is_label = is_label(centred, labels);
    // Of another type than that of [`is_label`]: XLA:CPU would keep an iota that two loops use in memory.
    let classes = centred.iota(DType::S32, 1);
    let is_before = classes.compare(CompareOp::Lt, labels.convert(DType::S32).broadcast_like(centred, &[0]));
    let beats = is_before & centred.compare(CompareOp::Ge, 0.0);
    let [tiny, zero] = [TINY, 0.0].map(|number| centred.with(|b, x| b.scalar(b.ty(x).dtype, number)));
    is_label.select(centred, beats.select(tiny, zero)).sum(&[1])
}

/// The logarithm of the softmax over the last dimension of `logits[..., classes]`.
#[track_caller]
pub fn log_softmax(logits: Expr<'_>) -> Expr<'_> {
    let (centred, _) = shifted(logits);
    centred - log_sum_exp(centred).broadcast_like(logits, &dims(logits).0)
}

/// The log-probabilities `[rows]` of labels `u32[rows]` by logits `[rows, classes]`.
pub fn label_log_probabilities(b: &mut Builder, logits: Value, labels: Value) -> Value {
    b.formula([logits, labels], |[logits, labels]| {
        let (centred, _) = shifted(logits);
        let log_sum = log_sum_exp(centred);
        at_label(centred, labels) - log_sum
    })
}

/// The mean softmax cross-entropy of logits `[rows, classes]` with labels `u32[rows]`.
pub fn mean_cross_entropy(b: &mut Builder, logits: Value, labels: Value) -> CrossEntropy {
    let [loss, correct, shift] = b.formulas([logits, labels], |[logits, labels]| {
        let (centred, shift) = shifted(logits);
        let log_sum = log_sum_exp(centred);
        let picked = at_label_if_first(centred, labels);
        let loss = (log_sum - picked).mean(&[0]);
        let classes = logits.ty().shape.dims().last().copied().unwrap_or(0);
        let is_class = labels.compare(CompareOp::Lt, u32::try_from(classes).unwrap_or(u32::MAX));
        let hit = (picked.compare(CompareOp::Eq, 0.0) & is_class).convert(logits.ty().dtype);
        [loss, hit.total(), shift]
    });
    b.name(loss, "loss");
    b.name(correct, "correct");
    CrossEntropy { loss, correct, shift }
}

/// The mean over rows of half the squared error over the squared noise: the negative log-likelihood of numbers `[rows]`
/// that are normal about the outputs `[rows]`, less its constant. Then the sum of squared errors.
pub fn mean_squared_error(b: &mut Builder, outputs: Value, numbers: Value, noise: f64) -> (Value, Value) {
    let rows = b.ty(outputs).shape.dims().first().copied().unwrap_or(1) as f64;
    let [loss, total] = b.formulas([outputs, numbers], |[outputs, numbers]| {
        let total = (outputs - numbers).square().total();
        [total * (0.5 / (noise * noise * rows)), total]
    });
    b.name(total, "squared_error");
    b.name(loss, "loss");
    (loss, total)
}

/// The mean over rows of the negative log-likelihood of numbers `[rows, ...]` that are normal about the outputs, less its
/// constant: half the squared error over the squared noise and the logarithm of the noise, summed over a row's numbers. The
/// logarithm `[...]`, for outputs `[rows]` a number, is that of each number of a row. Then the sum of squared errors.
pub fn mean_normal_error(
    b: &mut Builder,
    outputs: Value,
    numbers: Value,
    log_noise: Value,
) -> (Value, Value) {
    let rows = b.ty(outputs).shape.dims().first().copied().unwrap_or(1) as f64;
    let [loss, total] = b.formulas([outputs, numbers, log_noise], |[outputs, numbers, log_noise]| {
        let of_row = outputs.dims().get(1..).unwrap_or_default().to_vec();
        let kept: Vec<usize> = (1..=of_row.len()).collect();
        let log_noise = log_noise.reshape(of_row.as_slice());
        let error = outputs - numbers;
        let scaled = error * (-log_noise).exp().broadcast_like(error, &kept);
        let logs = if kept.is_empty() { log_noise } else { log_noise.total() };
        [scaled.square().total() * (0.5 / rows) + logs, error.square().total()]
    });
    b.name(total, "squared_error");
    b.name(loss, "loss");
    (loss, total)
}

#[cfg(test)]
mod tests {
    use natgrad_ir::TensorType;
    use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};

    use super::*;

    /// Rows whose label has the largest logit alone, with a later class, with an earlier one; not the largest; NaN; and a
    /// label that is no class.
    #[test]
    fn of_equal_logits_the_first_is_the_prediction() {
        let logits = TensorType::new(DType::F32, [6, 3]);
        let labels = TensorType::new(DType::U32, [6]);
        let mut b = Builder::new("loss");
        let (x, y) = (b.param("logits", logits.clone()), b.param("labels", labels.clone()));
        let out = mean_cross_entropy(&mut b, x, y);
        let function = b.finish(&[out.correct]).unwrap();
        let rows =
            [[0.0, 2.0, 1.0], [0.0, 2.0, 2.0], [2.0, 2.0, 0.0], [1.0, 0.0, 3.0], [f64::NAN; 3], [1.0; 3]];
        let of = |label: usize| {
            let one = |row: usize| {
                let logits = Tensor::from_f64s(logits.clone(), &[rows[row]; 6].concat()).unwrap();
                let labels = Tensor::from_f64s(labels.clone(), &[label as f64; 6]).unwrap();
                evaluate_flat(&function, &[logits, labels], Precision::AsTyped).unwrap()[0].to_f64s()[0] / 6.0
            };
            (0..6).map(one).collect::<Vec<f64>>()
        };
        assert_eq!(of(0), [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
        assert_eq!(of(1), [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(of(2), [0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!(of(3), [0.0; 6]);
    }
}
