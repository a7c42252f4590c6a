//! Residual networks (He et al. 2016) with filter response normalization, as IVON's authors train them
//! (github.com/team-approx-bayes/ivon-experiments, `common/models`).
//!
//! Two families, told apart by the depth:
//! - depth 20, 32, 44, 56, ... (6n+2): three stages of n basic blocks for small images, from `models32.py`. Convolutions have
//!   biases and TensorFlow's SAME padding; weights start as PyTorch's default.
//! - depth 18, 34, 50, 101 and 152: four stages, from `resnet224.py`, which is torchvision's version 1.5 (a bottleneck's stride is on
//!   its 3x3 kernel). Convolutions have no biases; kernels start as He's normal by the fan out.
//!
//! In both, a normalization with its thresholded linear unit follows every convolution, also those of the shortcuts and
//! the last one of a block; nothing follows the sum unless `residual_relu` says so. Shortcuts across sizes are 1x1
//! convolutions. The spatial mean of the last stage goes through one linear layer.
//!
//! Parameters are named in torchvision's way (`layer1.0.conv1.weight`, `layer1.0.downsample.0.weight`, `fc.weight`), with
//! `frn1.gamma`, `frn1.beta` and `frn1.tau` for `bn1.weight` and `bn1.bias`. **Kernels are stored as
//! `[height, width, inputs, outputs]`** and `fc.weight` as `[inputs, outputs]`, where PyTorch has outputs first.

use natgrad_ir::{Builder, ConvDims, DType, TensorType, Value};
use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::init::Init;
use crate::network::Network;
use crate::norm::{accumulator, filter_response_norm};
use crate::pool::max_pool;
use crate::spec::{ModelError, Param};

/// A residual network. In JSON: `{"kind": "resnet", "depth": 20, "image": [32, 32, 3], "classes": 10}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNet {
    /// Number of layers: 18, 34, 50, 101 or 152 for four stages; any other 6n+2 for three.
    pub depth: usize,
    /// Height, width and channels of an image.
    pub image: [usize; 3],
    /// Number of classes.
    pub classes: usize,
    /// Channels of the first stage, which later stages double; 16 for three stages and 64 for four.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// How it begins: small for three stages, large for four.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stem: Option<Stem>,
    /// Whether a ReLU follows each sum of a block and its shortcut: so in the authors' ResNet-18 for CIFAR
    /// (`resnet_frn.py`, which also has the small stem), but not in their ResNet-20 and ResNet-50.
    #[serde(default)]
    pub residual_relu: bool,
}

/// What comes before the first stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// A 3x3 convolution, which keeps the size.
    Small,
    /// A 7x7 convolution with stride 2, then the maximum over 3x3 with stride 2.
    Large,
}

/// Which of the authors' networks it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// Three stages.
    Small,
    /// Four stages.
    Large,
}

/// What a depth means.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    family: Family,
    /// Blocks of each stage.
    stages: Vec<usize>,
    /// Whether a block is 1x1, 3x3, 1x1 with four times the channels, or two 3x3.
    bottleneck: bool,
}

/// The deepest network that He et al. trained.
const MAX_DEPTH: usize = 1202;

/// The largest width, number of classes or side of an image.
const MAX_SIZE: usize = 1 << 16;

impl Plan {
    fn of(depth: usize) -> Option<Plan> {
        let four = |stages: [usize; 4], bottleneck| Plan {
            family: Family::Large,
            stages: stages.to_vec(),
            bottleneck,
        };
        match depth {
            18 => Some(four([2, 2, 2, 2], false)),
            34 => Some(four([3, 4, 6, 3], false)),
            50 => Some(four([3, 4, 6, 3], true)),
            101 => Some(four([3, 4, 23, 3], true)),
            152 => Some(four([3, 8, 36, 3], true)),
            8..=MAX_DEPTH if depth % 6 == 2 => {
                Some(Plan { family: Family::Small, stages: vec![(depth - 2) / 6; 3], bottleneck: false })
            }
            _ => None,
        }
    }
}

/// A convolution without its inputs.
#[derive(Clone, Copy, Debug)]
struct Conv {
    /// Height and width of the kernel.
    kernel: usize,
    stride: usize,
    outputs: usize,
}

impl ResNet {
    /// Checks the sizes.
    ///
    /// # Errors
    /// Names the field and the value.
    pub fn validate(&self) -> Result<(), ModelError> {
        let sound = |size: usize| (1..=MAX_SIZE).contains(&size);
        if Plan::of(self.depth).is_none() {
            let wanted = "18, 34, 50, 101 or 152, or 6n+2 from 8 to 1202, such as 20, 32, 44 or 56";
            return Err(ModelError::new("depth", &self.depth, wanted));
        }
        if !self.image.into_iter().all(sound) {
            return Err(ModelError::new("image", &self.image, "height, width and channels from 1 to 65536"));
        }
        if self.classes < 2 || !sound(self.classes) {
            return Err(ModelError::new("classes", &self.classes, "from 2 to 65536"));
        }
        match self.width {
            Some(width) if !sound(width) => Err(ModelError::new("width", &width, "from 1 to 65536")),
            Some(_) | None => Ok(()),
        }
    }

    /// The type of one example's image: `[height, width, channels]`.
    pub fn features(&self, dtype: DType) -> TensorType {
        TensorType::new(dtype, self.image)
    }

    /// The parameters, in the order of their use.
    pub fn params(&self) -> Vec<Param> {
        let [height, width, channels] = self.image;
        let image = TensorType::new(DType::F32, [1, height, width, channels]);
        Network::declare(image, |net, image| self.describe(net, image))
    }

    /// The logits `[rows, classes]` of images `[rows, height, width, channels]`.
    pub fn logits(&self, b: &mut Builder, params: &[Value], images: Value) -> Value {
        Network::build(b, params, |net| self.describe(net, images)).0
    }

    fn describe(&self, net: &mut Network, images: Value) -> Value {
        let Some(plan) = Plan::of(self.depth) else { return images };
        let mut x = self.stem(net, &plan, images);
        for (stage, &blocks) in plan.stages.iter().enumerate() {
            let channels = self.first_width(&plan) << stage;
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let name = format!("layer{}.{block}", stage + 1);
                x = net.module(&name, |net| self.block(net, &plan, x, channels, stride));
            }
        }
        self.head(net, x)
    }

    fn first_width(&self, plan: &Plan) -> usize {
        self.width.unwrap_or(match plan.family {
            Family::Small => 16,
            Family::Large => 64,
        })
    }

    fn stem(&self, net: &mut Network, plan: &Plan, images: Value) -> Value {
        let outputs = self.first_width(plan);
        let stem = self.stem.unwrap_or(match plan.family {
            Family::Small => Stem::Small,
            Family::Large => Stem::Large,
        });
        match stem {
            Stem::Small => {
                plan.conv_norm(net, ["conv1", "frn1"], images, Conv { kernel: 3, stride: 1, outputs })
            }
            Stem::Large => {
                let x =
                    plan.conv_norm(net, ["conv1", "frn1"], images, Conv { kernel: 7, stride: 2, outputs });
                net.module("maxpool", |net| max_pool(net, x, 3, 2, 1))
            }
        }
    }

    fn block(&self, net: &mut Network, plan: &Plan, x: Value, channels: usize, stride: usize) -> Value {
        let wide = 4 * channels;
        let (convs, outputs): (&[_], _) = match plan.bottleneck {
            false => (&[(3, stride, channels), (3, 1, channels)], channels),
            true => (&[(1, 1, channels), (3, stride, channels), (1, 1, wide)], wide),
        };
        let mut out = x;
        for (index, &(kernel, stride, outputs)) in convs.iter().enumerate() {
            let names = [format!("conv{}", index + 1), format!("frn{}", index + 1)];
            out = plan.conv_norm(
                net,
                names.each_ref().map(String::as_str),
                out,
                Conv { kernel, stride, outputs },
            );
        }
        let shortcut = if stride > 1 || net.ty(x).shape.dims()[3] != outputs {
            plan.conv_norm(net, ["downsample.0", "downsample.1"], x, Conv { kernel: 1, stride, outputs })
        } else {
            x
        };
        let sum = net.add(out, shortcut);
        if self.residual_relu { Activation::Relu.apply(net, sum) } else { sum }
    }

    fn head(&self, net: &mut Network, x: Value) -> Value {
        let ty = net.ty(x).clone();
        let [_, _, _, channels] = *ty.shape.dims() else { return x };
        let mean = net.module("avgpool", |net| {
            net.formula([x], |[x]| x.convert(accumulator(ty.dtype)).mean(&[1, 2]).convert(ty.dtype))
        });
        net.module("fc", |net| {
            let init = Init::linear(channels);
            let weight = net.param("weight", [channels, self.classes], init);
            let bias = net.param("bias", [self.classes], init);
            let product = net.matmul(mean, weight);
            let shape = net.ty(product).shape.clone();
            let bias = net.broadcast(bias, shape, &[1]);
            let logits = net.add(product, bias);
            net.name(logits, "logits")
        })
    }
}

impl Plan {
    /// A convolution and its normalization, with these names.
    fn conv_norm(&self, net: &mut Network, [conv, norm]: [&str; 2], x: Value, shape: Conv) -> Value {
        let x = net.module(conv, |net| self.conv(net, x, shape));
        net.module(norm, |net| filter_response_norm(net, x))
    }

    fn conv(&self, net: &mut Network, x: Value, Conv { kernel, stride, outputs }: Conv) -> Value {
        let [_, height, width, channels] = *net.ty(x).shape.dims() else { return x };
        let init = match self.family {
            Family::Small => Init::linear(kernel * kernel * channels),
            Family::Large => Init::kaiming_fan_out(kernel, kernel, outputs),
        };
        let weight = net.param("weight", [kernel, kernel, channels, outputs], init);
        let padding = [height, width].map(|size| self.padding(size, kernel, stride));
        let dims = ConvDims {
            low: padding.map(|(before, _)| before).to_vec(),
            high: padding.map(|(_, after)| after).to_vec(),
            ..ConvDims::padded(2, stride, 0)
        };
        let x = net.conv(x, weight, dims);
        match self.family {
            Family::Small => {
                let bias = net.param("bias", [outputs], init);
                let shape = net.ty(x).shape.clone();
                let bias = net.broadcast(bias, shape, &[3]);
                net.add(x, bias)
            }
            Family::Large => x,
        }
    }

    /// What is put before and after a side of this size.
    fn padding(&self, size: usize, kernel: usize, stride: usize) -> (i64, i64) {
        let (before, after) = match self.family {
            // The last window ends at the image's end or beyond; of an odd number, the larger half comes after.
            Family::Small => {
                let total = ((size.div_ceil(stride) - 1) * stride + kernel).saturating_sub(size);
                (total / 2, total - total / 2)
            }
            Family::Large => (kernel / 2, kernel / 2),
        };
        (before as i64, after as i64)
    }
}

#[cfg(test)]
mod tests;
