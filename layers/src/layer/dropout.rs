//! Dropout.

use natgrad_ir::Expr;

use crate::network::Network;

/// Sets each element to zero with a probability while training, and scales the others so that their mean stays
/// (Srivastava et al. 2014). Predictions drop nothing.
///
/// Rows come first in what is dropped. What has no rows, such as a weight, is dropped alike for all.
///
/// The masks are a pure function of seed, step, evaluation, layer and element, so a resumed run drops the same ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    rate: f64,
}

impl Dropout {
    /// Dropout with this probability of being dropped, below 1.
    pub fn new(rate: f64) -> Dropout {
        Dropout { rate }
    }

    /// `x` with elements dropped.
    #[track_caller]
    pub fn apply<'b>(&self, net: &Network<'b>, x: Expr<'b>) -> Expr<'b> {
        if !(0.0..1.0).contains(&self.rate) {
            net.refuse(format!("a dropout's rate is {}, but must be at least 0 and below 1", self.rate));
            return x;
        }
        if !x.ty().dtype.is_float() {
            net.refuse(format!("dropout wants numbers, but is given {}", x.ty()));
            return x;
        }
        if self.rate == 0.0 {
            return x;
        }
        let keep = 1.0 - self.rate;
        net.layer("dropout", || match net.mask(x.ty().shape, keep) {
            Some(mask) => mask.select(x * (1.0 / keep), x.constant(0.0)),
            None => x,
        })
    }
}
