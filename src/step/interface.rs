//! The shapes and names that a program's slots have.

use natgrad_ir::{DType, Shape, TensorType};
use natgrad_layers::{Cached, Input, Model, Param, Task, with_rows};
use serde::{Deserialize, Serialize};

use super::part::Part;
use super::plan::{StatePlan, StepPlan};
use super::slot::{Extent, Metric, Slot};
use crate::rule::{Member, Needs, StateKind};

/// Where noise comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoiseSource {
    /// Drawn in the program by the counter-based generator.
    #[default]
    Counter,
    /// Given as inputs, to replay a recorded trajectory.
    Input,
}

/// The inputs and outputs of a program: their names and types, and what these follow from.
#[derive(Clone, Debug, PartialEq)]
pub struct Interface {
    /// The parameters of the model.
    pub params: Vec<Param>,
    /// The group of each parameter.
    pub members: Vec<Member>,
    /// What the rule needs and keeps.
    pub needs: Needs,
    /// Rows of a micro-batch.
    pub rows: usize,
    /// The features of one example: the model's inputs, by name.
    pub features: Vec<(String, TensorType)>,
    /// The model's inputs without rows, by name.
    pub whole: Vec<(String, TensorType)>,
    /// The labels of one example.
    pub labels: TensorType,
    /// Whether there are labels.
    pub takes_labels: bool,
    /// The predictions for `rows` examples.
    pub prediction: TensorType,
    /// What is kept of the tokens of a text, in programs that predict the next one.
    pub cache: Vec<Cached>,
    /// What the model predicts.
    pub task: Task,
    /// Number of classes, or of different tokens.
    pub classes: usize,
    /// The names of the numbers that a linked model tells beside its loss.
    pub told: Vec<String>,
    /// The label that does not count, where there is one.
    pub ignore: Option<u32>,
    /// Number of dropout masks that an evaluation of the loss draws.
    pub masks: usize,
    /// How many of the parameters are the rule's, unless a group freezes them; each evaluation of the loss replaces the
    /// others.
    pub of_rule: usize,
    /// The floating-point type of state and scalars.
    pub dtype: DType,
    /// Where noise comes from.
    pub noise: NoiseSource,
    /// How a step is carried out.
    pub plan: StepPlan,
    /// The training examples, if the device has all of them.
    pub table: Option<DeviceTable>,
    /// Whether the prior is an earlier posterior, tensors beside the state.
    pub prior: bool,
    /// A part that is left out, to measure what it costs.
    pub without: Option<Part>,
}

/// The training examples, all on the device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceTable {
    /// How many there are.
    pub examples: usize,
    /// Of images that are changed before they are learned from, what is needed for it.
    pub images: Option<Images>,
}

/// Images on the device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Images {
    /// Height, width and channels.
    pub shape: [usize; 3],
    /// The black pixel.
    pub black: Vec<f32>,
}

impl Interface {
    /// The interface of programs of this model on micro-batches of `rows`, all of whose parameters are trained alike.
    pub fn new(model: &dyn Model, needs: Needs, rows: usize, dtype: DType, noise: NoiseSource) -> Interface {
        let described = model.describe();
        let named = |input: &Input| (input.name.clone(), input.ty(dtype));
        Interface {
            members: vec![Member::default(); described.params.len()],
            needs,
            rows,
            features: model.inputs().iter().map(named).collect(),
            whole: model.linked().map_or_else(Vec::new, |linked| linked.whole.iter().map(named).collect()),
            labels: described.labels(dtype),
            takes_labels: described.takes_labels,
            prediction: described.prediction(rows, dtype),
            cache: Vec::new(),
            task: model.task(),
            classes: described.classes(),
            told: model.linked().map_or_else(Vec::new, |linked| linked.told.clone()),
            ignore: None,
            masks: described.masks.len(),
            of_rule: model.linked().map_or(described.params.len(), |linked| linked.trained),
            params: described.params,
            dtype,
            noise,
            plan: StepPlan::default(),
            table: None,
            prior: false,
            without: None,
        }
    }

    /// Whether the sample is kept without its mean. [`StatePlan::Auto`] counts as explicit; whoever knows the target
    /// decides before. Noise from outside cannot be computed again, so then the mean is kept.
    pub fn is_implicit(&self) -> bool {
        self.plan.state == StatePlan::Implicit && self.noise == NoiseSource::Counter
    }

    /// Whether the step averages what the rule has each evaluation of the loss contribute.
    pub fn contributes(&self) -> bool {
        self.needs.contributes.is_some() && self.without != Some(Part::Curvature)
    }

    /// Elements of all parameters.
    pub fn elements(&self) -> usize {
        self.params.iter().map(|param| param.shape.elements()).sum()
    }

    /// Elements of the parameters that are trained.
    pub fn trained_elements(&self) -> usize {
        self.trained().map(|param| self.params[param].shape.elements()).sum()
    }

    /// Bytes of all carried state tensors.
    pub fn state_bytes(&self) -> usize {
        self.state().into_iter().map(|slot| self.ty(slot).size_bytes()).sum()
    }

    /// The parameters that are trained.
    pub fn trained(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.params.len()).filter(|&param| !self.members[param].frozen)
    }

    /// The parameters that are not trained, but replaced by each evaluation of the loss, such as averages of batch
    /// normalization: of linked models alone.
    pub fn replaced(&self) -> impl Iterator<Item = usize> + use<> {
        self.of_rule..self.params.len()
    }

    /// The state of a parameter that is carried from step to step.
    pub fn carried(&self, param: usize) -> Vec<StateKind> {
        if self.members[param].frozen {
            return vec![StateKind::MEAN];
        }
        let mut kinds = self.needs.state.clone();
        kinds.retain(|&kind| !(self.is_implicit() && kind == StateKind::MEAN));
        kinds
    }

    /// Every carried state tensor, kind by kind.
    pub fn state(&self) -> Vec<Slot> {
        let carried: Vec<Vec<StateKind>> = (0..self.params.len()).map(|param| self.carried(param)).collect();
        let of_kind = |kind| {
            let params = carried.iter().enumerate().filter(move |(_, kinds)| kinds.contains(&kind));
            params.map(move |(param, _)| Slot::State(kind, param))
        };
        self.needs.state.clone().into_iter().flat_map(of_kind).collect()
    }

    /// The tensors of the prior, if it is an earlier posterior.
    pub fn prior(&self) -> Vec<Slot> {
        let kinds: &[StateKind] =
            if self.prior { &[StateKind::PRIOR_MEAN, StateKind::PRIOR_DECAY] } else { &[] };
        kinds.iter().flat_map(|&kind| self.trained().map(move |param| Slot::Prior(kind, param))).collect()
    }

    /// All that is kept of the tokens of a text.
    pub fn cached(&self) -> Vec<Slot> {
        (0..self.cache.len()).map(Slot::Cache).collect()
    }

    /// How much data a call of the step program takes.
    pub fn extent(&self) -> Extent {
        match (self.plan.per_call, self.plan.accumulation) {
            (1, 1) => Extent::Batch,
            (1, _) => Extent::Step,
            _ => Extent::Call,
        }
    }

    /// How many examples the device has.
    fn examples(&self) -> usize {
        self.table.as_ref().map_or(0, |table| table.examples)
    }

    /// The inputs of the model: those with rows, then those without.
    pub fn inputs(&self, extent: Extent) -> Vec<Slot> {
        let features = (0..self.features.len()).map(|input| Slot::Features(input, extent));
        features.chain((0..self.whole.len()).map(Slot::Whole)).collect()
    }

    /// What each evaluation of the loss tells.
    pub fn evaluated(&self) -> Vec<Metric> {
        let counted = Metric::counted(self.task);
        let told = (0..self.told.len()).map(Metric::Told);
        [Metric::Loss].into_iter().chain(counted).chain(told).collect()
    }

    /// The name of a metric: `metric/NAME` of what a linked model tells.
    pub fn metric_name(&self, metric: Metric) -> String {
        match metric {
            Metric::Told(index) => format!("metric/{}", self.told[index]),
            known => known.name().to_string(),
        }
    }

    /// What a call of the step program takes of the data.
    pub fn data(&self, extent: Extent) -> Vec<Slot> {
        match &self.table {
            None => {
                let labels = self.takes_labels.then_some(Slot::Labels(extent));
                self.inputs(extent).into_iter().chain(labels).collect()
            }
            Some(DeviceTable { images: None, .. }) => vec![Slot::Rows(extent)],
            Some(DeviceTable { images: Some(_), .. }) => vec![Slot::Rows(extent), Slot::Crops(extent)],
        }
    }

    /// The type of many examples: the dimensions of an extent and the rows in front of one example's.
    fn extended(&self, extent: Extent, example: &TensorType) -> TensorType {
        let mut dims = Vec::new();
        match extent {
            Extent::Batch => {}
            Extent::Step => dims.push(self.plan.accumulation as usize),
            Extent::Call => {
                dims.push(self.plan.per_call as usize);
                if self.plan.accumulation > 1 {
                    dims.push(self.plan.accumulation as usize);
                }
            }
        }
        dims.push(self.rows);
        dims.extend(example.shape.dims());
        TensorType::new(example.dtype, Shape::new(dims))
    }

    /// The type of a slot.
    pub fn ty(&self, slot: Slot) -> TensorType {
        let of = |dtype: DType, param: usize| TensorType::new(dtype, self.params[param].shape.clone());
        match slot {
            Slot::State(_, param)
            | Slot::Before(_, param)
            | Slot::Prior(_, param)
            | Slot::Noise(param)
            | Slot::Theta(param)
            | Slot::Offset(param)
            | Slot::Probe(param)
            | Slot::Gradient(param)
            | Slot::GradientSum(param)
            | Slot::SquaredGradient(param)
            | Slot::HessianVector(param)
            | Slot::Product(param)
            | Slot::ProductSum(param)
            | Slot::Contribution(param) => of(self.dtype, param),
            Slot::FurtherNoise(param) => {
                let mut dims = vec![self.plan.evaluations().saturating_sub(1).max(1)];
                dims.extend(self.params[param].shape.dims());
                TensorType::new(self.dtype, Shape::new(dims))
            }
            Slot::Step | Slot::SampleIndex | Slot::StepCount | Slot::Draw | Slot::Index | Slot::Position => {
                TensorType::scalar(DType::U32)
            }
            Slot::Seed => TensorType::scalar(DType::U64),
            Slot::MaskKeys => TensorType::new(DType::U32, [self.masks, 4]),
            Slot::Keys | Slot::NextKeys => TensorType::new(DType::U32, [self.params.len(), 4]),
            Slot::Hyper(_)
            | Slot::Metric(_)
            | Slot::MetricSum(_)
            | Slot::ClippedCount(_)
            | Slot::SampleCount
            | Slot::ClipScale => TensorType::scalar(self.dtype),
            Slot::Trace(_) => TensorType::new(self.dtype, [self.plan.per_call as usize]),
            Slot::TableFeatures => with_rows(self.examples(), &self.features[0].1),
            Slot::TableLabels => with_rows(self.examples(), &self.labels),
            Slot::Rows(extent) => self.extended(extent, &TensorType::scalar(DType::U32)),
            Slot::Crops(extent) => self.extended(extent, &TensorType::new(DType::U32, [3])),
            Slot::Features(input, extent) => self.extended(extent, &self.features[input].1),
            Slot::Whole(input) => self.whole[input].1.clone(),
            Slot::Labels(extent) => self.extended(extent, &self.labels),
            Slot::Prediction | Slot::Entropy | Slot::Largest | Slot::Ahead => self.prediction.clone(),
            Slot::ProbabilitySums => {
                TensorType::new(self.dtype, [self.prediction.shape.elements(), self.classes])
            }
            Slot::Next => TensorType::new(self.dtype, [self.classes]),
            Slot::Cache(index) => self.cache[index].ty.clone(),
        }
    }

    /// The name of a slot, e.g. `hess/layers.0.weight`.
    pub fn name(&self, slot: Slot) -> String {
        let of = |kind: &str, param: usize| format!("{kind}/{}", self.params[param].name);
        match slot {
            Slot::State(kind, param) | Slot::Prior(kind, param) => of(kind.name(), param),
            Slot::Before(kind, param) => of(&format!("before/{}", kind.name()), param),
            Slot::Noise(param) => of("noise", param),
            Slot::FurtherNoise(param) => of("further_noise", param),
            Slot::Theta(param) => of("theta", param),
            Slot::Offset(param) => of("offset", param),
            Slot::Probe(param) => of("probe", param),
            Slot::Gradient(param) => of("gradient", param),
            Slot::GradientSum(param) => of("gradient_sum", param),
            Slot::SquaredGradient(param) => of("squared_gradient", param),
            Slot::HessianVector(param) => of("hessian_vector", param),
            Slot::Product(param) => of("product", param),
            Slot::ProductSum(param) => of("product_sum", param),
            Slot::Contribution(param) => of("contribution", param),
            Slot::ClippedCount(param) => of("clipped_count", param),
            Slot::Step => "step".to_string(),
            Slot::Seed => "seed".to_string(),
            Slot::Keys => "keys".to_string(),
            Slot::NextKeys => "next_keys".to_string(),
            Slot::MaskKeys => "mask_keys".to_string(),
            Slot::SampleIndex => "sample_index".to_string(),
            Slot::StepCount => "step_count".to_string(),
            Slot::Draw => "draw".to_string(),
            Slot::Index => "index".to_string(),
            Slot::Hyper(hyper) => hyper.name(),
            Slot::TableFeatures => "table/features".to_string(),
            Slot::TableLabels => "table/labels".to_string(),
            Slot::Rows(_) => "rows".to_string(),
            Slot::Crops(_) => "crops".to_string(),
            // An input may be called as another slot is; those of one input only have long been called so.
            Slot::Features(input, _) => match self.features[input].0.as_str() {
                "features" => "features".to_string(),
                name => format!("features/{name}"),
            },
            Slot::Whole(input) => format!("whole/{}", self.whole[input].0),
            Slot::Labels(_) => "labels".to_string(),
            Slot::ClipScale => "clip_scale".to_string(),
            Slot::Metric(metric) => self.metric_name(metric),
            Slot::MetricSum(metric) => format!("{}_sum", self.metric_name(metric)),
            Slot::Trace(metric) => format!("{}s", self.metric_name(metric)),
            Slot::Prediction => "prediction".to_string(),
            Slot::Position => "position".to_string(),
            Slot::Next => "next".to_string(),
            Slot::Cache(index) => format!("cache/{}", self.cache[index].name),
            Slot::ProbabilitySums => "probability_sums".to_string(),
            Slot::SampleCount => "sample_count".to_string(),
            Slot::Entropy => "entropy".to_string(),
            Slot::Largest => "largest".to_string(),
            Slot::Ahead => "ahead".to_string(),
        }
    }
}
