//! Formulas that losses of one's own are made of.

use natgrad_ir::{CompareOp, DType, Expr};

use crate::criterion::{Criterion, cross_entropy_by};
use crate::network::Network;

/// One where the class is the label, else zero: `[..., classes]` of `labels`, `u32[...]`, in the type `dtype`.
#[track_caller]
pub fn one_hot(labels: Expr<'_>, classes: usize, dtype: DType) -> Expr<'_> {
    let dims = labels.dims();
    let kept: Vec<usize> = (0..dims.len()).collect();
    let labels = labels.broadcast(&[&dims[..], &[classes]].concat()[..], &kept);
    labels.iota(DType::U32, kept.len()).compare(CompareOp::Eq, labels).convert(dtype)
}

/// The mean negative log-likelihood of classes, in nats: of `labels`, `u32[rows]`, by the softmax of `logits[rows, classes]`,
/// of which a share `smoothing` is spread over all classes (Szegedy et al. 2016, sec. 7); 0 for none.
#[track_caller]
pub fn cross_entropy<'b>(net: &Network<'b>, logits: Expr<'b>, labels: Expr<'b>, smoothing: f64) -> Expr<'b> {
    if logits.ty().rank() != 2 {
        net.refuse(format!("the cross-entropy is of logits `[rows, classes]`, but is given {}", logits.ty()));
        return logits;
    }
    let criterion = Criterion { label_smoothing: smoothing, ..Criterion::default() };
    let out = net.build(|b| cross_entropy_by(b, &criterion, logits.value(), labels.value()));
    net.hold(net.expr(out.shift));
    net.expr(out.loss)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
    use natgrad_ir::{Builder, TensorType};

    use super::*;

    #[test]
    fn label_smoothing_is_that_of_pytorch() {
        let b = RefCell::new(Builder::new("loss"));
        let loss = {
            let net = Network::declaring(&b);
            let param = |name: &str, ty| net.expr(net.build(|b| b.param(name, ty)));
            let logits = param("logits", TensorType::new(DType::F64, [2, 3]));
            let labels = param("labels", TensorType::new(DType::U32, [2]));
            [cross_entropy(&net, logits, labels, 0.0), cross_entropy(&net, logits, labels, 0.1)]
                .map(Expr::value)
        };
        let function = b.into_inner().finish(&loss).unwrap();
        let logits = TensorType::new(DType::F64, [2, 3]);
        let logits = Tensor::from_f64s(logits, &[1.0, 2.0, 0.5, -1.0, 0.0, 800.0]).unwrap();
        let labels = Tensor::from_u32s([2], &[1, 0]).unwrap();
        let found = evaluate_flat(&function, &[logits, labels], Precision::AsTyped).unwrap();
        // torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.0 and 0.1), in float64.
        for (found, wanted) in found.iter().zip([400.732_184_392, 387.407_184_392]) {
            assert!((found.to_f64s()[0] - wanted).abs() < 1e-6, "{found:?}");
        }
    }
}
