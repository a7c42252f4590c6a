//! The cross-entropy over a large vocabulary, some rows at a time, whose logits are never stored whole.

use natgrad_ir::grad::RegionKind;
use natgrad_ir::{Builder, Def, Expr, Function, InstData, Op, Shape, Value};

use crate::criterion::{Criterion, Rows, of_rows, totals};
use crate::network::Network;
use crate::remat::Remat;

/// The most logits that are computed at a time: 128 MB in single precision.
const MOST: usize = 1 << 25;

/// How many rows of these logits `[rows, classes]` are computed at a time; none if all are, as where they do not come of a
/// product with those rows.
pub(crate) fn chunk_rows(net: &Network<'_>, logits: Expr<'_>) -> Option<usize> {
    let &[rows, classes] = logits.dims().as_slice() else { return None };
    let chunks = (rows * classes).div_ceil(MOST).next_power_of_two().min(rows);
    let is_worth_it = chunks > 1 && net.remat() >= Remat::Cheap;
    (is_worth_it && net.build(|b| is_of_product(b.function(), logits.value()))).then(|| rows.div_ceil(chunks))
}

/// Whether [`rows_of`] a value leads to a product.
fn is_of_product(function: &Function, value: Value) -> bool {
    let Some(inst) = function.def_inst(value) else { return false };
    match (&inst.op, inst.operands.as_slice()) {
        (Op::Dot(dims), &[x, _]) => {
            dims.lhs_batch.is_empty() && dims.lhs_free(function.ty(x).rank()).first() == Some(&0)
        }
        (Op::Reshape { .. }, _) => {
            reshaped_back(function, value).is_some_and(|before| is_of_product(function, before))
        }
        (Op::Convert { .. } | Op::Unary(_) | Op::Binary(_), operands) => {
            operands.iter().any(|&operand| is_of_product(function, operand))
        }
        _ => false,
    }
}

/// The value that reshapes lead away from and back to its shape, as a layer over `[rows, time, width]` does.
fn reshaped_back(function: &Function, value: Value) -> Option<Value> {
    let mut at = value;
    while let Some(inst) = function.def_inst(at)
        && matches!(inst.op, Op::Reshape { .. })
    {
        at = inst.operands[0];
        if function.ty(at).shape == function.ty(value).shape {
            return Some(at);
        }
    }
    None
}

/// Loss and hits of [`cross_entropy_by`](crate::cross_entropy_by), so many rows at a time. The network's last product is
/// computed for these rows alone, and each chunk comes with its gradient.
pub(crate) fn cross_entropy_in_chunks<'b>(
    net: &Network<'b>,
    criterion: &Criterion,
    logits: Expr<'b>,
    labels: Expr<'b>,
    chunk: usize,
) -> (Value, Value) {
    let rows = logits.dims().first().copied().unwrap_or(1);
    let dtype = logits.ty().dtype;
    let module = "cross_entropy";
    let [share, counts] = net.module(module, || totals(criterion, labels, dtype));
    let mut sums: Option<[Expr<'b>; 2]> = None;
    for start in (0..rows).step_by(chunk) {
        let range = [start, rows.min(start + chunk)];
        let [loss, hits, shift] = net.region(RegionKind::AtOnce, || {
            let logits = net.expr(net.build(|b| rows_of(b, logits.value(), range)));
            net.module(module, || {
                let labels = labels.slice(0, range[0]..range[1]);
                let Rows { row, share: _, hit, counts, shift } = of_rows(criterion, logits, labels);
                let hits = counts.map_or(hit, |counts| hit * counts).total();
                let loss = match share {
                    Some(share) => row.total() / share,
                    None => row.total() * (1.0 / rows as f64),
                };
                [loss, hits, shift]
            })
        });
        net.hold(shift);
        sums = Some(match sums {
            Some([losses, all]) => net.module(module, || [losses + loss, all + hits]),
            None => [loss, hits],
        });
    }
    let [loss, hits] = sums.unwrap_or([logits, logits]);
    let correct = match counts {
        Some(counts) => net.module(module, || hits * rows as f64 / counts),
        None => hits,
    };
    (loss.named("loss").value(), correct.named("correct").value())
}

/// Rows of a value: of the operands of what made it, as far as that leads to a product.
fn rows_of(b: &mut Builder, value: Value, range: [usize; 2]) -> Value {
    let inst = match b.function().value(value).def {
        Def::Result { inst, .. } => b.function().inst(inst).clone(),
        Def::Param(_) => return sliced(b, value, range),
    };
    let shape = b.ty(value).shape.clone();
    let of = |b: &mut Builder, operand: Value| match b.ty(operand).shape == shape {
        true => Some(rows_of(b, operand, range)),
        false => None,
    };
    let made = match (&inst.op, inst.operands.as_slice()) {
        (Op::Dot(dims), &[x, weight])
            if dims.lhs_batch.is_empty() && dims.lhs_free(b.ty(x).rank()).first() == Some(&0) =>
        {
            let x = sliced(b, x, range);
            Some(again(b, &inst, inst.op.clone(), &[x, weight]))
        }
        (Op::Reshape { .. }, _) => reshaped_back(b.function(), value).map(|before| rows_of(b, before, range)),
        (Op::Broadcast { dims, .. }, &[x]) if !dims.contains(&0) => {
            let mut sizes = shape.dims().to_vec();
            sizes[0] = range[1] - range[0];
            let op = Op::Broadcast { shape: Shape::new(sizes), dims: dims.clone() };
            Some(again(b, &inst, op, &[x]))
        }
        (Op::Convert { .. } | Op::Unary(_) | Op::Binary(_), operands) => {
            let operands: Option<Vec<Value>> = operands.iter().map(|&it| of(b, it)).collect();
            operands.map(|operands| again(b, &inst, inst.op.clone(), &operands))
        }
        _ => None,
    };
    made.unwrap_or_else(|| sliced(b, value, range))
}

/// An operation as it was made, of other operands.
fn again(b: &mut Builder, inst: &InstData, op: Op, operands: &[Value]) -> Value {
    if !inst.scope.is_empty() {
        b.enter(&inst.scope);
    }
    let made = b.push(op, operands.to_vec(), None)[0];
    if !inst.scope.is_empty() {
        b.leave();
    }
    made
}

fn sliced(b: &mut Builder, value: Value, [start, limit]: [usize; 2]) -> Value {
    b.formula([value], |[value]| value.slice(0, start..limit))
}

#[cfg(test)]
mod tests {
    use natgrad_ir::{DType, DotDims, Literal, TensorType, UnaryOp};

    use super::*;
    use crate::cross_entropy_by;
    use crate::remat::testing::gradients;

    /// Loss, hits and gradients of a linear layer, whole or in chunks, and the number of calls.
    fn found(criterion: &Criterion, chunk: Option<usize>, remat: Remat) -> (Vec<f64>, usize) {
        let shapes = [vec![7, 4], vec![4, 5], vec![5]];
        gradients(&shapes, remat, |net, given| {
            let &[x, weight, bias] = given else { unreachable!() };
            let product = x.matmul(weight);
            let logits = product + bias.broadcast_like(product, &[1]);
            let labels = [4.0, 0.0, 1.0, 2.0, 2.0, 3.0, 9.0];
            let labels = net.build(|b| b.constant(Literal::dense(DType::U32, [7], &labels)));
            let (loss, correct) = match chunk {
                Some(chunk) => cross_entropy_in_chunks(net, criterion, logits, net.expr(labels), chunk),
                None => {
                    let out = net.build(|b| cross_entropy_by(b, criterion, logits.value(), labels));
                    net.hold(net.expr(out.shift));
                    (out.loss, out.correct)
                }
            };
            [loss, correct].map(|result| net.expr(result)).to_vec()
        })
    }

    #[test]
    fn chunks_have_the_loss_and_gradient_of_the_whole() {
        let weights = Some(vec![0.5, 2.0, 0.0, 1.0, 3.0]);
        for criterion in [
            Criterion::default(),
            Criterion { label_smoothing: 0.1, ..Criterion::default() },
            Criterion { ignore: Some(2), ..Criterion::default() },
            Criterion { class_weights: weights.clone(), ..Criterion::default() },
            Criterion { label_smoothing: 0.2, class_weights: weights, ignore: Some(0) },
        ] {
            let (whole, none) = found(&criterion, None, Remat::Cheap);
            assert_eq!(none, 0);
            for (chunk, count) in [(1, 7), (2, 4), (3, 3), (6, 2)] {
                for remat in [Remat::None, Remat::Cheap] {
                    let (chunks, calls) = found(&criterion, Some(chunk), remat);
                    assert_eq!((chunks.len(), calls), (whole.len(), count));
                    for (found, whole) in chunks.iter().zip(&whole) {
                        assert!((found - whole).abs() < 1e-12, "{found} {whole}: {criterion:?} by {chunk}");
                    }
                }
            }
        }
    }

    /// A layer over `[rows, time, width]` flattens its input, and so are its outputs for the loss.
    #[test]
    fn the_product_is_found_behind_reshapes() {
        let mut b = Builder::new("logits");
        let x = b.param("x", TensorType::new(DType::F32, [6, 4]));
        let weight = b.param("weight", TensorType::new(DType::F32, [4, 5]));
        let product = b.dot(x, weight, DotDims::matmul());
        let texts = b.reshape(product, [2, 3, 5]);
        let logits = b.reshape(texts, [6, 5]);
        let logits = b.unary(UnaryOp::Tanh, logits);
        let others = b.unary(UnaryOp::Exp, x);
        assert!(is_of_product(b.function(), logits));
        assert!(!is_of_product(b.function(), texts) && !is_of_product(b.function(), others));
        let before = b.function().insts.len();
        let rows = rows_of(&mut b, logits, [2, 4]);
        assert_eq!(b.ty(rows), &TensorType::new(DType::F32, [2, 5]));
        let made: Vec<&str> = b.function().insts[before..].iter().map(|inst| inst.op.name()).collect();
        assert_eq!(made, ["slice", "dot", "tanh"]);
    }
}
