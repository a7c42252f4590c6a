//! What a model is: its inputs, its task, and its network.

use std::fmt;

use natgrad_ir::{DType, Expr, Shape, TensorType};

use crate::linked::Linked;
use crate::network::Network;
use crate::next::Writer;
use crate::noise::Noise;

/// A model: what one example is, what is predicted, and the network between.
///
/// The network is described once, in [`Model::outputs`]; parameters, loss, gradients and predictions follow from that.
///
/// ```
/// use natgrad_ir::Expr;
/// use natgrad_layers::{Activation, Input, Linear, Model, Network, Task};
///
/// /// Do two images show the same? One tower reads both.
/// #[derive(Debug)]
/// struct Siamese;
///
/// impl Model for Siamese {
///     fn inputs(&self) -> Vec<Input> {
///         vec![Input::numbers("left", [64]), Input::numbers("right", [64])]
///     }
///
///     fn task(&self) -> Task {
///         Task::Classes
///     }
///
///     fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
///         let tower = Linear::new("tower", 32).then(Activation::Relu);
///         let [left, right] = [0, 1].map(|side| tower.apply(net, inputs[side]));
///         Linear::new("same", 2).apply(net, (left - right).square())
///     }
/// }
///
/// let model: &dyn Model = &Siamese;
/// model.check()?;
/// let names: Vec<String> = model.params().into_iter().map(|param| param.name).collect();
/// assert_eq!(names, ["tower.weight", "tower.bias", "same.weight", "same.bias"]);
/// # Ok::<(), natgrad_layers::ModelFault>(())
/// ```
pub trait Model: fmt::Debug + Send + Sync {
    /// Its name in reports.
    fn name(&self) -> &str {
        "own"
    }

    /// What one example consists of, beside its label.
    fn inputs(&self) -> Vec<Input>;

    /// What is predicted.
    fn task(&self) -> Task;

    /// The network: of the `inputs` of a batch, each with its rows in front, logits `[rows, classes]` for classes,
    /// `[rows * positions, tokens]` or `[rows, positions, tokens]` for tokens, and `[rows]` or `[rows, ...]` for numbers.
    ///
    /// Called several times, also with one row; it must describe the same network each time.
    fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b>;

    /// A loss of the model's own instead of the task's negative log-likelihood: one number, the mean over the rows, of the
    /// `outputs` and the `labels` of a batch.
    fn loss<'b>(&self, net: &Network<'b>, outputs: Expr<'b>, labels: Expr<'b>) -> Option<Expr<'b>> {
        let _ = (net, outputs, labels);
        None
    }

    /// Where numbers are predicted, the prediction of the outputs, such as the exponential of a logarithm.
    fn predicted<'b>(&self, outputs: Expr<'b>) -> Expr<'b> {
        outputs
    }

    /// Where its functions come from elsewhere, those. Then nothing else is asked for but name, inputs and task.
    fn linked(&self) -> Option<&Linked> {
        None
    }

    /// What writes text with this model, if it can.
    fn writer(&self) -> Option<&dyn Writer> {
        None
    }
}

/// What a model predicts, and so what its labels are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Task {
    /// A class of each example: `u32[]`, below the number of logits.
    Classes,
    /// The next token at each position of each example: labels have the first input's type.
    Tokens,
    /// Numbers of each example, normally distributed about the outputs, whose shape they have: a number each for outputs
    /// `[rows]` or `[rows, 1]`.
    ///
    /// The training loss is half the squared error over the squared noise, summed over a row's numbers and averaged over rows,
    /// and where the noise is learned its logarithm more;
    /// scores have the whole negative log-likelihood of a number, which is more by `ln(noise sqrt(2 pi))`. The loss and its
    /// curvature grow as the noise shrinks, and so must the steps: IVON's `lr` and `clip_radius` then want to be small.
    Numbers {
        /// The standard deviation about the output.
        noise: Noise,
    },
    /// Whatever a linked model's own loss is of: natgrad trains it and scores nothing.
    Own,
}

/// One input of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// The shape of one example's.
    pub shape: Shape,
    /// What its elements are.
    pub kind: InputKind,
}

/// What the elements of an input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// Numbers, in the type that the model is computed in.
    Numbers,
    /// Indices of `u32`, such as tokens, all below this number.
    Indices {
        /// How many there are to choose from.
        below: usize,
    },
}

impl Input {
    /// An input of numbers.
    pub fn numbers(name: impl Into<String>, shape: impl Into<Shape>) -> Input {
        Input { name: name.into(), shape: shape.into(), kind: InputKind::Numbers }
    }

    /// An input of indices, such as tokens, all below a number: that of the vectors in an embedding.
    pub fn indices(name: impl Into<String>, shape: impl Into<Shape>, below: usize) -> Input {
        Input { name: name.into(), shape: shape.into(), kind: InputKind::Indices { below } }
    }

    /// The type of one example's, in a program whose floating-point type is `dtype`.
    pub fn ty(&self, dtype: DType) -> TensorType {
        let dtype = match self.kind {
            InputKind::Numbers => dtype,
            InputKind::Indices { below: _ } => DType::U32,
        };
        TensorType::new(dtype, self.shape.clone())
    }
}
