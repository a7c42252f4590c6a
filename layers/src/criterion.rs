//! How likelihoods of labels make the training loss: smoothed, weighted by class, without an ignored label.

use natgrad_ir::{Builder, CompareOp, DType, Expr, Literal, Value};

use crate::loss::{CrossEntropy, at_label_if_first, is_label, log_sum_exp, mean_cross_entropy, shifted};

/// How the likelihoods of classes or tokens make the training loss, as `torch.nn.functional.cross_entropy` has it.
///
/// The default is the mean negative log-likelihood. With logits' log-probabilities `p`, a smoothing `e`, class weights `w` and
/// `K` classes, the loss of a row with the label `y` is `-(1 - e) w[y] p[y] - e/K sum(w p)`; the loss of a batch is their sum
/// over the sum of `w[y]`. Rows whose label is ignored are in neither sum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Criterion {
    /// The share of each label that is spread over all classes, in `[0, 1)`.
    pub label_smoothing: f64,
    /// A weight for each class, at least 0; none for the same of all.
    pub class_weights: Option<Vec<f64>>,
    /// The label whose rows do not count.
    pub ignore: Option<u32>,
}

impl Criterion {
    /// Whether it is the mean negative log-likelihood.
    pub fn is_plain(&self) -> bool {
        self.label_smoothing == 0.0 && !self.depends_on_batch()
    }

    /// Whether what a row adds to the loss depends on the other rows of its batch, so that the loss is no mean over rows.
    pub fn depends_on_batch(&self) -> bool {
        self.class_weights.is_some() || self.ignore.is_some()
    }
}

/// The training loss of logits `[rows, classes]` with labels `u32[rows]`. Counted are the rows whose label has the largest
/// logit; where labels are ignored, those of the others, scaled up to all rows. Without any row that counts the loss is 0.
pub fn cross_entropy_by(
    b: &mut Builder,
    criterion: &Criterion,
    logits: Value,
    labels: Value,
) -> CrossEntropy {
    if criterion.is_plain() {
        return mean_cross_entropy(b, logits, labels);
    }
    let [loss, correct, shift] =
        b.formulas([logits, labels], |[logits, labels]| formula(criterion, logits, labels));
    b.name(loss, "loss");
    b.name(correct, "correct");
    CrossEntropy { loss, correct, shift }
}

fn formula<'b>(criterion: &Criterion, logits: Expr<'b>, labels: Expr<'b>) -> [Expr<'b>; 3] {
    let rows = logits.dims().first().copied().unwrap_or(1);
    let Rows { row, share, hit, counts, shift } = of_rows(criterion, logits, labels);
    let loss = match share {
        Some(share) => row.total() / or_one(share.total()),
        None => row.mean(&[0]),
    };
    let correct = match counts {
        Some(counts) => (hit * counts).total() * rows as f64 / or_one(counts.total()),
        None => hit.total(),
    };
    [loss, correct, shift]
}

/// What each row adds to the loss, `[rows]`.
pub(crate) struct Rows<'b> {
    /// The loss times the row's share.
    pub row: Expr<'b>,
    /// The row's share in the mean, if they differ.
    pub share: Option<Expr<'b>>,
    /// Whether the label has the largest logit.
    pub hit: Expr<'b>,
    /// Whether the row counts, where labels are ignored.
    pub counts: Option<Expr<'b>>,
    /// What is taken off the logits, which cancels.
    pub shift: Expr<'b>,
}

/// What rows of logits `[rows, classes]` with labels `u32[rows]` add to the loss.
pub(crate) fn of_rows<'b>(criterion: &Criterion, logits: Expr<'b>, labels: Expr<'b>) -> Rows<'b> {
    let Criterion { label_smoothing: smoothing, class_weights, ignore: _ } = criterion;
    let dtype = logits.ty().dtype;
    let classes = logits.dims().last().copied().unwrap_or(1);
    let (centred, shift) = shifted(logits);
    let log_sum = log_sum_exp(centred);
    let picked = at_label_if_first(centred, labels);
    let weights =
        class_weights.as_ref().map(|weights| vector(logits, weights, dtype).broadcast_like(centred, &[1]));

    let counts = counts(criterion, labels, dtype);
    let of_label = weights.map(|weights| is_label(centred, labels).select(weights, zero(weights)).sum(&[1]));
    let share = share(of_label, counts);

    let likelihood = log_sum - picked;
    let mut row = match share {
        Some(share) => likelihood * share,
        None => likelihood,
    };
    if *smoothing > 0.0 {
        let (weighted, total) = match (weights, class_weights) {
            (Some(weights), Some(numbers)) => (centred * weights, numbers.iter().sum::<f64>()),
            _ => (centred, classes as f64),
        };
        let spread = log_sum * total - weighted.sum(&[1]);
        let spread = match counts {
            Some(counts) => spread * counts,
            None => spread,
        };
        row = row * (1.0 - smoothing) + spread * (smoothing / classes as f64);
    }
    let is_class = labels.compare(CompareOp::Lt, u32::try_from(classes).unwrap_or(u32::MAX));
    let hit = (picked.compare(CompareOp::Eq, 0.0) & is_class).convert(dtype);
    Rows { row, share, hit, counts, shift }
}

/// What the loss and the hits of a batch are divided by, of its labels alone: the rows' shares, and the rows that count. None
/// where each row counts as one.
pub(crate) fn totals<'b>(criterion: &Criterion, labels: Expr<'b>, dtype: DType) -> [Option<Expr<'b>>; 2] {
    let counts = counts(criterion, labels, dtype);
    let of_label = criterion.class_weights.as_ref().map(|weights| {
        let classes = u32::try_from(weights.len()).unwrap_or(u32::MAX);
        let is_class = labels.compare(CompareOp::Lt, classes).convert(dtype);
        vector(labels, weights, dtype).take(labels) * is_class
    });
    [share(of_label, counts), counts].map(|share| share.map(|share| or_one(share.total())))
}

/// Which rows count, where labels are ignored: one or zero.
fn counts<'b>(criterion: &Criterion, labels: Expr<'b>, dtype: DType) -> Option<Expr<'b>> {
    criterion.ignore.map(|ignored| labels.compare(CompareOp::Ne, ignored).convert(dtype))
}

/// The rows' shares in the mean, by the weights of their labels and by which rows count; none where all are the same.
fn share<'b>(of_label: Option<Expr<'b>>, counts: Option<Expr<'b>>) -> Option<Expr<'b>> {
    match (of_label, counts) {
        (Some(weight), Some(counts)) => Some(weight * counts),
        (share, None) | (None, share) => share,
    }
}

/// A sum of weights, or one where that is zero.
fn or_one(sum: Expr<'_>) -> Expr<'_> {
    sum.compare(CompareOp::Gt, 0.0).select(sum, sum.constant(1.0))
}

fn zero(like: Expr<'_>) -> Expr<'_> {
    like.with(|b, x| b.scalar(b.ty(x).dtype, 0.0))
}

/// These numbers as a constant.
fn vector<'b>(like: Expr<'b>, numbers: &[f64], dtype: DType) -> Expr<'b> {
    like.with(|b, _| b.constant(Literal::dense(dtype, [numbers.len()], numbers)))
}

#[cfg(test)]
mod tests {
    use natgrad_ir::TensorType;
    use natgrad_ir::grad::value_and_grad_with;
    use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
    use serde_json::Value as Json;

    use super::*;

    fn numbers(json: &Json) -> Vec<f64> {
        json.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    }

    /// Loss and its gradient are those that `record/criterion.py` recorded of PyTorch.
    #[test]
    fn losses_are_those_of_pytorch() {
        let text = include_str!("../tests/fixtures/criterion.json");
        let cases: Vec<Json> = serde_json::from_str(text).unwrap();
        for case in &cases {
            let criterion = Criterion {
                label_smoothing: case["label_smoothing"].as_f64().unwrap(),
                class_weights: (!case["class_weights"].is_null()).then(|| numbers(&case["class_weights"])),
                ignore: case["ignore"].as_u64().map(|label| label as u32),
            };
            let labels = numbers(&case["labels"]);
            let logits = numbers(&case["logits"]);
            let shape = [labels.len(), logits.len() / labels.len()];
            let types = [TensorType::new(DType::F64, shape), TensorType::new(DType::U32, [labels.len()])];
            let mut b = Builder::new("loss");
            let [x, y] =
                ["logits", "labels"].map(|name| b.param(name, types[usize::from(name == "labels")].clone()));
            let out = cross_entropy_by(&mut b, &criterion, x, y);
            let function = b.finish(&[out.loss, out.correct]).unwrap();
            let function = value_and_grad_with(&function, &[0], &[out.shift]).unwrap();
            let given = [
                Tensor::from_f64s(types[0].clone(), &logits).unwrap(),
                Tensor::from_f64s(types[1].clone(), &labels).unwrap(),
            ];
            let found = evaluate_flat(&function, &given, Precision::AsTyped).unwrap();
            let wanted = [vec![case["loss"].as_f64().unwrap()], numbers(&case["gradient"])];
            for (found, wanted) in [&found[0], &found[2]].iter().zip(&wanted) {
                for (found, wanted) in found.to_f64s().iter().zip(wanted) {
                    assert!((found - wanted).abs() < 1e-12, "{}: {found} {wanted}", case["name"]);
                }
            }
            let right = found[1].to_f64s()[0] / labels.len() as f64;
            assert!((right - case["accuracy"].as_f64().unwrap()).abs() < 1e-15, "{}", case["name"]);
        }
        assert_eq!(cases.len(), 7);
    }

    /// Where no row counts there is nothing to learn; PyTorch gives NaN.
    #[test]
    fn a_batch_that_does_not_count_has_no_loss() {
        let criterion = Criterion { ignore: Some(1), label_smoothing: 0.1, ..Criterion::default() };
        let mut b = Builder::new("loss");
        let x = b.param("logits", TensorType::new(DType::F32, [2, 3]));
        let y = b.param("labels", TensorType::new(DType::U32, [2]));
        let out = cross_entropy_by(&mut b, &criterion, x, y);
        let function = b.finish(&[out.loss, out.correct]).unwrap();
        let logits = Tensor::from_f64s(TensorType::new(DType::F32, [2, 3]), &[1.0; 6]).unwrap();
        let labels = Tensor::from_u32s([2], &[1, 1]).unwrap();
        let found = evaluate_flat(&function, &[logits, labels], Precision::AsTyped).unwrap();
        assert_eq!(found.iter().map(|found| found.to_f64s()[0]).collect::<Vec<_>>(), [0.0, 0.0]);
    }
}
