//! Convolutions of images.

use natgrad_ir::{ConvDims, Expr};

use super::activation::Activation;
use crate::init::Init;
use crate::network::{Network, Owner};

/// A convolution of `x[rows, height, width, channels]` by a square kernel: `NAME.weight[size, size, channels, outputs]` and
/// `NAME.bias[outputs]`, which start as PyTorch's. The stride is 1, and the padding keeps the size, unless told otherwise.
#[derive(Clone, Debug)]
pub struct Conv {
    owner: Owner,
    name: String,
    size: usize,
    outputs: usize,
    stride: usize,
    padding: Padding,
    bias: bool,
    init: Option<Init>,
    activation: Option<Activation>,
}

/// The largest kernel and stride.
const MAX_SIZE: usize = 1 << 20;

/// Zeros around an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// So many that an output is as large as the input, divided by the stride and rounded up. Of an odd number the larger
    /// half comes after the image, as in TensorFlow.
    Same,
    /// So many on every side.
    Around(usize),
}

impl Padding {
    /// What is put before and after a side of this size.
    fn of(self, side: usize, size: usize, stride: usize) -> (usize, usize) {
        match self {
            Padding::Same => {
                let last = side.div_ceil(stride).saturating_sub(1) * stride;
                let total = (last + size).saturating_sub(side);
                (total / 2, total - total / 2)
            }
            Padding::Around(pad) => (pad, pad),
        }
    }
}

impl Conv {
    /// A convolution by a kernel of `size` by `size`, with so many outputs.
    pub fn new(name: impl Into<String>, size: usize, outputs: usize) -> Conv {
        Conv {
            owner: Owner::new(),
            name: name.into(),
            size,
            outputs,
            stride: 1,
            padding: Padding::Same,
            bias: true,
            init: None,
            activation: None,
        }
    }

    /// With a kernel that moves by so many places.
    #[must_use]
    pub fn stride(self, stride: usize) -> Conv {
        Conv { stride, ..self }
    }

    /// With these zeros around the image.
    #[must_use]
    pub fn padding(self, padding: Padding) -> Conv {
        Conv { padding, ..self }
    }

    /// With or without a bias.
    #[must_use]
    pub fn bias(self, bias: bool) -> Conv {
        Conv { bias, ..self }
    }

    /// With a kernel that starts so, and a bias of zeros.
    #[must_use]
    pub fn init(self, init: Init) -> Conv {
        Conv { init: Some(init), ..self }
    }

    /// Followed by a nonlinearity.
    #[must_use]
    pub fn then(self, activation: Activation) -> Conv {
        Conv { activation: Some(activation), ..self }
    }

    /// What is wrong with it for an image of these sides, if something is.
    fn fault(&self, sides: [usize; 2]) -> Option<String> {
        let sound = |size: usize| (1..=MAX_SIZE).contains(&size);
        if !sound(self.size) || !sound(self.stride) {
            return Some(format!(
                "has the size {} and the stride {}, which must be from 1 to {MAX_SIZE}",
                self.size, self.stride
            ));
        }
        let Padding::Around(pad) = self.padding else { return None };
        let [height, width] = sides;
        let around = format!("with {pad} zeros on every side");
        if pad > MAX_SIZE {
            return Some(format!("{around} must have at most {MAX_SIZE}"));
        }
        (height.min(width) + 2 * pad < self.size).then(|| {
            let size = self.size;
            format!("by a kernel of {size} by {size} wants a larger image than {height} by {width} {around}")
        })
    }

    /// `[rows, height', width', outputs]` of `x[rows, height, width, channels]`.
    #[track_caller]
    pub fn apply<'b>(&self, net: &Network<'b>, x: Expr<'b>) -> Expr<'b> {
        let (&[_, height, width, channels], true) = (x.dims().as_slice(), x.ty().dtype.is_float()) else {
            net.refuse(format!(
                "the convolution `{}` wants numbers `[rows, height, width, channels]`, but is given {}",
                self.name,
                x.ty()
            ));
            return x;
        };
        if let Some(fault) = self.fault([height, width]) {
            net.refuse(format!("the convolution `{}` {fault}", self.name));
            return x;
        }
        net.layer(&self.name, || {
            let default = Init::linear((self.size * self.size).saturating_mul(channels));
            let shape = [self.size, self.size, channels, self.outputs];
            let weight = net.owned_param(self.owner, "weight", shape, self.init.unwrap_or(default));
            let padding = [height, width].map(|side| self.padding.of(side, self.size, self.stride));
            let dims = ConvDims {
                low: padding.map(|(before, _)| before as i64).to_vec(),
                high: padding.map(|(_, after)| after as i64).to_vec(),
                ..ConvDims::padded(2, self.stride, 0)
            };
            let mut out = x.conv(weight, dims);
            if self.bias {
                let start = if self.init.is_some() { Init::Constant(0.0) } else { default };
                let bias = net.owned_param(self.owner, "bias", [self.outputs], start);
                out = out + bias.broadcast_like(out, &[3]);
            }
            self.activation.map_or(out, |activation| activation.apply(out))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TensorFlow's SAME: with stride 2, an even side is padded after its end only.
    #[test]
    fn padding_keeps_or_halves_sizes() {
        for ((side, size, stride), wanted) in
            [((32, 3, 1), (1, 1)), ((32, 3, 2), (0, 1)), ((7, 3, 2), (1, 1)), ((32, 1, 2), (0, 0))]
        {
            assert_eq!(Padding::Same.of(side, size, stride), wanted);
        }
        assert_eq!(Padding::Around(3).of(224, 7, 2), (3, 3));
    }
}
