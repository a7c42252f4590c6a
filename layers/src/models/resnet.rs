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

use natgrad_ir::Expr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mlp::{check_noise, task};
use crate::error::ModelError;
use crate::init::Init;
use crate::layer::activation::Activation;
use crate::layer::conv::{Conv, Padding};
use crate::layer::linear::Linear;
use crate::layer::norm::FilterResponseNorm;
use crate::layer::pool::{max_pool, spatial_mean};
use crate::model::{Input, Model, Task};
use crate::network::Network;
use crate::noise::Noise;
use crate::remat::Remat;

/// A residual network. In JSON: `{"kind": "resnet", "depth": 20, "image": [32, 32, 3], "classes": 10}`, or with
/// `"outputs": 2, "noise": "learned"` in place of the classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResNet {
    /// Number of layers: 18, 34, 50, 101 or 152 for four stages; any other 6n+2 for three.
    pub depth: usize,
    /// Height, width and channels of an image.
    #[schemars(inner(range(min = 1, max = 65536)))]
    pub image: [usize; 3],
    /// Number of classes; 0 where numbers are predicted.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("default" = 0))]
    pub classes: usize,
    /// How many numbers are predicted, where there is `noise`; else 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(extend("default" = 0))]
    pub outputs: usize,
    /// The noise of numbers, where these are predicted and not classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What comes before the first stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
struct Size {
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
        match self.noise {
            None if self.outputs > 0 => {
                let wanted = "left out, or with `noise`: how far numbers are from the outputs";
                return Err(ModelError::new("outputs", &self.outputs, wanted));
            }
            None if self.classes < 2 || !sound(self.classes) => {
                return Err(ModelError::new("classes", &self.classes, "from 2 to 65536"));
            }
            Some(_) if self.classes > 0 => {
                let wanted = "left out with `noise`: `outputs` says how many numbers are predicted";
                return Err(ModelError::new("classes", &self.classes, wanted));
            }
            Some(_) if !sound(self.outputs) => {
                return Err(ModelError::new("outputs", &self.outputs, "from 1 to 65536"));
            }
            Some(noise) => check_noise(noise)?,
            None => {}
        }
        match self.width {
            Some(width) if !sound(width) => Err(ModelError::new("width", &width, "from 1 to 65536")),
            Some(_) | None => Ok(()),
        }
    }

    fn first_width(&self, plan: &Plan) -> usize {
        self.width.unwrap_or(match plan.family {
            Family::Small => 16,
            Family::Large => 64,
        })
    }

    fn stem<'b>(&self, net: &Network<'b>, plan: &Plan, images: Expr<'b>) -> Expr<'b> {
        let outputs = self.first_width(plan);
        let stem = self.stem.unwrap_or(match plan.family {
            Family::Small => Stem::Small,
            Family::Large => Stem::Large,
        });
        match stem {
            Stem::Small => {
                plan.conv_norm(net, ["conv1", "frn1"], images, Size { kernel: 3, stride: 1, outputs })
            }
            Stem::Large => {
                let x =
                    plan.conv_norm(net, ["conv1", "frn1"], images, Size { kernel: 7, stride: 2, outputs });
                net.module("maxpool", || max_pool(net, x, 3, 2, 1))
            }
        }
    }

    fn block<'b>(
        &self,
        net: &Network<'b>,
        plan: &Plan,
        x: Expr<'b>,
        channels: usize,
        stride: usize,
    ) -> Expr<'b> {
        let wide = 4 * channels;
        let (convs, outputs): (&[_], _) = match plan.bottleneck {
            false => (&[(3, stride, channels), (3, 1, channels)], channels),
            true => (&[(1, 1, channels), (3, stride, channels), (1, 1, wide)], wide),
        };
        let mut out = x;
        for (index, &(kernel, stride, outputs)) in convs.iter().enumerate() {
            let names = [format!("conv{}", index + 1), format!("frn{}", index + 1)];
            let names = names.each_ref().map(String::as_str);
            out = plan.conv_norm(net, names, out, Size { kernel, stride, outputs });
        }
        let shortcut = if stride > 1 || x.dims()[3] != outputs {
            plan.conv_norm(net, ["downsample.0", "downsample.1"], x, Size { kernel: 1, stride, outputs })
        } else {
            x
        };
        let sum = out + shortcut;
        if self.residual_relu { Activation::Relu.apply(sum) } else { sum }
    }
}

impl Model for ResNet {
    fn name(&self) -> &str {
        "resnet"
    }

    fn inputs(&self) -> Vec<Input> {
        vec![Input::numbers("features", self.image)]
    }

    fn task(&self) -> Task {
        task(self.noise)
    }

    fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
        let images = inputs[0];
        let Some(plan) = Plan::of(self.depth) else {
            net.refuse(format!("there is no residual network of {} layers", self.depth));
            return images;
        };
        let mut x = self.stem(net, &plan, images);
        for (stage, &blocks) in plan.stages.iter().enumerate() {
            let channels = self.first_width(&plan) << stage;
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let name = format!("layer{}.{block}", stage + 1);
                let block = || net.module(&name, || self.block(net, &plan, x, channels, stride));
                x = net.again(Remat::Blocks, block);
            }
        }
        let mean = net.module("avgpool", || spatial_mean(net, x));
        // One of the two is 0.
        Linear::new("fc", self.classes.max(self.outputs)).apply(net, mean).named("logits")
    }
}

impl Plan {
    /// A convolution and its normalization, with these names.
    fn conv_norm<'b>(
        &self,
        net: &Network<'b>,
        [conv, norm]: [&str; 2],
        x: Expr<'b>,
        Size { kernel, stride, outputs }: Size,
    ) -> Expr<'b> {
        let conv = Conv::new(conv, kernel, outputs).stride(stride);
        let conv = match self.family {
            Family::Small => conv,
            Family::Large => {
                let init = Init::kaiming_fan_out(kernel, kernel, outputs);
                conv.padding(Padding::Around(kernel / 2)).bias(false).init(init)
            }
        };
        FilterResponseNorm::new(norm).apply(net, conv.apply(net, x))
    }
}

#[cfg(test)]
mod tests;
