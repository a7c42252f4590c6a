//! Small models of one's own that the tests train: of several inputs, with dropout, and losses of their own.

use std::sync::Arc;

use natgrad_ir::Expr;
use natgrad_layers::loss::mean_cross_entropy;
use natgrad_layers::{
    Activation, Attention, Conv, Dropout, Embedding, Input, LayerNorm, Linear, Model, NamedModel, Network,
    Noise, OwnModel, Task, mean_pool,
};

/// A model as configurations and recipes take it.
pub fn named(model: impl Model + 'static) -> NamedModel {
    NamedModel::Own(OwnModel(Arc::new(model)))
}

/// Three classes of a short text, whose words come with two numbers each.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// The rate of dropout.
    pub rate: f64,
    /// Whether the loss also limits the logits.
    pub own_loss: bool,
}

impl Model for Reader {
    fn name(&self) -> &str {
        "reader"
    }

    fn inputs(&self) -> Vec<Input> {
        vec![Input::numbers("sizes", [3, 2]), Input::indices("words", [3], 5)]
    }

    fn task(&self) -> Task {
        Task::Classes
    }

    fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
        let words = Embedding::new("words", 5, 4).apply(net, inputs[1]);
        let sizes = Linear::new("sizes", 4).apply(net, inputs[0]);
        // One layer reads both.
        let shared = Linear::new("shared", 4).then(Activation::Tanh);
        let x = shared.apply(net, words) + shared.apply(net, sizes);
        let x = Dropout::new(self.rate).apply(net, x);
        let x = x + Attention::new("attn", 2).apply(net, LayerNorm::new("norm").apply(net, x));
        let x = Dropout::new(self.rate / 2.0).apply(net, x.reshape([x.dims()[0], 12]));
        Linear::new("out", 3).apply(net, x)
    }

    fn loss<'b>(&self, net: &Network<'b>, outputs: Expr<'b>, labels: Expr<'b>) -> Option<Expr<'b>> {
        if !self.own_loss {
            return None;
        }
        let out = net.build(|b| mean_cross_entropy(b, outputs.value(), labels.value()));
        net.hold(net.expr(out.shift));
        Some(net.expr(out.loss) + 0.1 * outputs.square().mean(&[0, 1]))
    }
}

/// Two positive numbers of a small image and of the place that it shows.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    /// The rate of dropout.
    pub rate: f64,
}

impl Model for Meter {
    fn name(&self) -> &str {
        "meter"
    }

    fn inputs(&self) -> Vec<Input> {
        vec![Input::numbers("image", [4, 4, 2]), Input::indices("index", [], 5)]
    }

    fn task(&self) -> Task {
        Task::Numbers { noise: Noise::Given(0.5) }
    }

    fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
        let x = Conv::new("conv", 3, 3).then(Activation::Tanh).apply(net, inputs[0]);
        let x = mean_pool(net, Dropout::new(self.rate).apply(net, x), 2, 2);
        let place = Embedding::new("place", 5, 3).apply(net, inputs[1]);
        let x = x.reshape([x.dims()[0], 12]).concat(&[place], 1);
        let scale = net.param("scale", [15], natgrad_layers::Init::Constant(1.0));
        Linear::new("out", 2).apply(net, x * scale.broadcast_like(x, &[1]))
    }

    fn predicted<'b>(&self, outputs: Expr<'b>) -> Expr<'b> {
        outputs.exp()
    }
}

/// Two classes of three numbers: what tables of data hold.
#[allow(dead_code, reason = "not every test crate trains on a table")]
#[derive(Clone, Copy, Debug)]
pub struct Plain {
    /// The rate of dropout.
    pub rate: f64,
}

impl Model for Plain {
    fn name(&self) -> &str {
        "plain"
    }

    fn inputs(&self) -> Vec<Input> {
        vec![Input::numbers("x", [3])]
    }

    fn task(&self) -> Task {
        Task::Classes
    }

    fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
        let x = Linear::new("hidden", 8).then(Activation::Tanh).apply(net, inputs[0]);
        net.module("head", || Linear::new("out", 2).apply(net, Dropout::new(self.rate).apply(net, x)))
    }
}
