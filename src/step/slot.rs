//! What flows between the stages of a step and across the boundary of its program.

use natgrad_layers::Task;

use crate::rule::{Hyper, StateKind};

/// A scalar that a step tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// The mean loss over the step's rows, at the points that gradients were taken at, in nats.
    Loss,
    /// How many labels have the largest logit, on average over samples.
    Correct,
    /// The sum over rows of squared errors, on average over samples.
    SquaredError,
    /// A number that a linked model tells beside its loss, by its place in [`Interface::told`](super::Interface::told): the mean
    /// over micro-batches and samples.
    Told(usize),
    /// The learning rate that the schedule gave.
    LearningRate,
    /// The norm of the averaged gradient of all trained parameters, before it is clipped.
    GradientNorm,
    /// The norm of the change of the mean.
    UpdateNorm,
    /// The share of elements whose scaled step is beyond the clip radius, and cut to it.
    Clipped,
    /// The Kullback-Leibler divergence in nats of the posterior that was sampled from the prior, over parameters that
    /// have a prior.
    Kl,
    /// The estimate `-ess loss - kl` of the evidence's lower bound, in nats.
    Elbo,
    /// The least element of the new Hessian.
    HessMin,
    /// The largest element of the new Hessian.
    HessMax,
    /// The mean over elements of the new `|mean| / sigma`.
    SignalToNoise,
}

impl Metric {
    /// What the loss counts beside itself, if natgrad knows what is predicted.
    pub const fn counted(task: Task) -> Option<Metric> {
        match task {
            Task::Classes | Task::Tokens => Some(Metric::Correct),
            Task::Numbers { noise: _ } => Some(Metric::SquaredError),
            Task::Own => None,
        }
    }

    /// What every step tells.
    pub fn always(task: Task) -> Vec<Metric> {
        [Some(Metric::Loss), Metric::counted(task), Some(Metric::LearningRate)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The name in programs and reports; of what a linked model tells, see
    /// [`Interface::metric_name`](super::Interface::metric_name).
    pub const fn name(self) -> &'static str {
        match self {
            Metric::Loss => "loss",
            Metric::Correct => "correct",
            Metric::SquaredError => "squared_error",
            Metric::Told(_) => "metric",
            Metric::LearningRate => "learning_rate_used",
            Metric::GradientNorm => "gradient_norm",
            Metric::UpdateNorm => "update_norm",
            Metric::Clipped => "clipped",
            Metric::Kl => "kl",
            Metric::Elbo => "elbo",
            Metric::HessMin => "hess_min",
            Metric::HessMax => "hess_max",
            Metric::SignalToNoise => "signal_to_noise",
        }
    }
}

/// How much of the data an input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Extent {
    /// One micro-batch.
    Batch,
    /// The micro-batches of one step.
    Step,
    /// Those of all steps of a call.
    Call,
}

/// A value that a stage takes or gives. Indices are of parameters, in model order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// A state tensor.
    State(StateKind, usize),
    /// A tensor of the prior, which stays as it is.
    Prior(StateKind, usize),
    /// A state tensor as it was before the update.
    Before(StateKind, usize),
    /// The count of steps done, `u32[]`.
    Step,
    /// The seed of all noise, `u64[]`.
    Seed,
    /// The keys of the carried sample's noise, `u32[parameters, 4]`.
    Keys,
    /// Those of the sample that is carried to the next step.
    NextKeys,
    /// The number of a posterior sample, `u32[]`.
    SampleIndex,
    /// A hyperparameter, a scalar of the program's floating-point type.
    Hyper(Hyper),
    /// An input of the model, by its number: the features.
    Features(usize, Extent),
    /// An input of the model without rows, by its number: one for all micro-batches and steps of a call.
    Whole(usize),
    /// Labels.
    Labels(Extent),
    /// The features of every training example, where the device has them.
    TableFeatures,
    /// Their labels.
    TableLabels,
    /// The numbers of the examples, `u32`, where the device has all of them.
    Rows(Extent),
    /// How each image is changed, `u32[3]`: rows and columns that it is moved by, as two's complements, and whether it
    /// is mirrored.
    Crops(Extent),
    /// How many steps a call runs, `u32[]`, at most those that it holds data for.
    StepCount,
    /// Standard normal noise given from outside, of the sample that is drawn for the next step.
    Noise(usize),
    /// Standard normal noise given from outside, of this step's samples beyond the first.
    FurtherNoise(usize),
    /// The number of an evaluation of the loss within the step, `u32[]`.
    Draw,
    /// Where the gradient is taken.
    Theta(usize),
    /// Theta less the mean.
    Offset(usize),
    /// Random signs.
    Probe(usize),
    /// The keys of an evaluation's dropout masks, `u32[masks, 4]`.
    MaskKeys,
    /// The gradient of the loss.
    Gradient(usize),
    /// The mean over examples of their squared gradients.
    SquaredGradient(usize),
    /// The Hessian times the random signs.
    HessianVector(usize),
    /// What one evaluation contributes for the rule.
    Product(usize),
    /// The sum of gradients over evaluations so far.
    GradientSum(usize),
    /// The sum of products over evaluations so far.
    ProductSum(usize),
    /// The mean over evaluations of what a rule has them contribute, with the limit of the gradient's norm.
    Contribution(usize),
    /// What gradients are multiplied by so that their norm keeps its limit.
    ClipScale,
    /// How many elements of a parameter's scaled step are beyond the clip radius.
    ClippedCount(usize),
    /// A scalar of a step.
    Metric(Metric),
    /// The sum of a scalar over evaluations so far.
    MetricSum(Metric),
    /// The number of a loop's round, `u32[]`, from zero.
    Index,
    /// A scalar of each step of a call.
    Trace(Metric),
    /// What the model's `predict_function` gives.
    Prediction,
    /// Which token of a sequence the next is predicted after, `u32[]`.
    Position,
    /// What the model's `next_function` gives.
    Next,
    /// A tensor of what is kept of the tokens before, by its number in the model's `cache`.
    Cache(usize),
    /// The sums over samples of each token's probability at every position.
    ProbabilitySums,
    /// How many samples these are of, a scalar of the program's floating-point type.
    SampleCount,
    /// The entropy of each position's probabilities.
    Entropy,
    /// The largest probability of each position.
    Largest,
    /// How many tokens are likelier than the label of each position.
    Ahead,
}

impl Slot {
    /// Whether the program keeps it between calls: such inputs are donated to the output that replaces them.
    pub fn is_carried(self) -> bool {
        matches!(self, Slot::State(..) | Slot::Step | Slot::Cache(_) | Slot::ProbabilitySums)
    }
}
