//! Linear layers.

use natgrad_ir::{Expr, Shape};

use super::activation::Activation;
use crate::init::Init;
use crate::network::{Network, Owner};

/// A linear layer, `x W + b`: `NAME.weight[inputs, outputs]` and `NAME.bias[outputs]`, which start as PyTorch's.
#[derive(Clone, Debug)]
pub struct Linear {
    owner: Owner,
    name: String,
    outputs: usize,
    bias: bool,
    init: Option<Init>,
    activation: Option<Activation>,
}

impl Linear {
    /// A layer with so many outputs.
    pub fn new(name: impl Into<String>, outputs: usize) -> Linear {
        Linear::owned(Owner::new(), name, outputs)
    }

    /// A layer that is part of another, which knows its owner.
    pub(crate) fn owned(owner: Owner, name: impl Into<String>, outputs: usize) -> Linear {
        Linear { owner, name: name.into(), outputs, bias: true, init: None, activation: None }
    }

    /// With or without a bias.
    #[must_use]
    pub fn bias(self, bias: bool) -> Linear {
        Linear { bias, ..self }
    }

    /// With a weight that starts so, and a bias of zeros.
    #[must_use]
    pub fn init(self, init: Init) -> Linear {
        Linear { init: Some(init), ..self }
    }

    /// Followed by a nonlinearity.
    #[must_use]
    pub fn then(self, activation: Activation) -> Linear {
        Linear { activation: Some(activation), ..self }
    }

    /// `[..., outputs]` of `x[..., inputs]`.
    #[track_caller]
    pub fn apply<'b>(&self, net: &Network<'b>, x: Expr<'b>) -> Expr<'b> {
        let dims = x.dims();
        let (Some((&inputs, before)), true) = (dims.split_last(), x.ty().dtype.is_float()) else {
            net.refuse(format!(
                "the linear layer `{}` wants numbers `[..., inputs]`, but is given {}",
                self.name,
                x.ty()
            ));
            return x;
        };
        net.layer(&self.name, || {
            let default = Init::linear(inputs);
            let weight =
                net.owned_param(self.owner, "weight", [inputs, self.outputs], self.init.unwrap_or(default));
            // Products are of matrices.
            let is_matrix = before.len() == 1;
            let rows = if is_matrix { x } else { x.reshape([Shape::new(before).elements(), inputs]) };
            let mut out = rows.matmul(weight);
            if self.bias {
                let start = if self.init.is_some() { Init::Constant(0.0) } else { default };
                let bias = net.owned_param(self.owner, "bias", [self.outputs], start);
                out = out + bias.broadcast_like(out, &[1]);
            }
            let out = if is_matrix { out } else { out.reshape(&[before, &[self.outputs]].concat()[..]) };
            self.activation.map_or(out, |activation| activation.apply(out))
        })
    }
}
