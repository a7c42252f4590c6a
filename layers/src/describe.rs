//! What follows from a model's description: its parameters, and the types of labels and predictions.

use std::cell::RefCell;
use std::collections::HashSet;

use natgrad_ir::{Builder, DType, Elements, Literal, Scalar, Shape, TensorType, Value};

use crate::error::ModelFault;
use crate::function::{self, MaskDrawing};
use crate::init::Param;
use crate::linked::Linked;
use crate::model::{Input, Model, Task};
use crate::network::{MAX_PARAMETERS, MaskSite, NAMES, Network, is_name, sizes_fault};
use crate::noise::{Noise, outputs_and_log_noise};

/// Rows that a network is described with, to see what it gives.
const ROWS: usize = 2;

/// What a model's network is.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The parameters, in the order that every function takes them in.
    pub params: Vec<Param>,
    /// The masks that dropout draws in an evaluation of the loss: their shapes for two rows.
    pub masks: Vec<Shape>,
    /// The outputs for two rows in single precision.
    pub(crate) outputs: TensorType,
    task: Task,
    /// The first input, whose type the labels of tokens have.
    first: Option<Input>,
    /// The labels of a linked model.
    linked_labels: Option<Input>,
    /// Whether there are labels: only linked models may have none.
    pub takes_labels: bool,
}

impl<'m> dyn Model + 'm {
    /// What the network is. Mistakes of the network are left to [`Model::check`](trait.Model.html#method.check).
    pub fn describe(&self) -> Description {
        self.describe_rows(ROWS)
    }

    fn describe_rows(&self, rows: usize) -> Description {
        if let Some(linked) = self.linked() {
            return Description::of_linked(linked, rows);
        }
        let b = RefCell::new(Builder::new("parameters"));
        let net = Network::declaring(&b);
        let inputs = function::declare_inputs(self, &net, rows, DType::F32);
        let (outputs, _) = outputs_and_log_noise(self, &net, &inputs);
        let outputs = outputs.ty();
        let (task, first) = (self.task(), self.inputs().into_iter().next());
        let (params, masks) = (net.params(), net.masks());
        Description { params, masks, outputs, task, first, linked_labels: None, takes_labels: true }
    }

    /// Checks that the model can be trained and used.
    ///
    /// # Errors
    /// The first mistake of its description.
    pub fn check(&self) -> Result<(), ModelFault> {
        if self.linked().is_some() {
            return Ok(());
        }
        let model = || self.name().to_string();
        let inputs = self.inputs();
        if let Some((input, wanted)) = inputs.iter().find_map(|input| Some((input, fault_of_input(input)?))) {
            let found = format!("`{}` of shape {}", input.name, input.shape);
            return Err(ModelFault::Input { model: model(), found, wanted });
        }
        let names: HashSet<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        if inputs.is_empty() || names.len() < inputs.len() || names.contains("labels") {
            let found: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(ModelFault::Inputs { model: model(), found: format!("{found:?}") });
        }
        if let Task::Numbers { noise } = self.task()
            && let Noise::Given(found) = noise
            && !noise.is_sound()
        {
            return Err(ModelFault::Noise { model: model(), found });
        }
        let build = |errors| ModelFault::Build { model: model(), errors };
        function::network(self, ROWS).map_err(build)?;
        let described = self.describe();
        let elements = described.params.iter().map(|param| param.shape.elements());
        match elements.fold(0, usize::saturating_add) {
            0 => return Err(ModelFault::NoParameters { model: model() }),
            1..=MAX_PARAMETERS => {}
            found => return Err(ModelFault::TooManyParameters { model: model(), found }),
        }
        let of_one = self.describe_rows(1).masks;
        if let Some((_, mask)) =
            of_one.iter().zip(&described.masks).find(|(one, two)| !has_rows_in_front(one, two))
        {
            return Err(ModelFault::Mask { model: model(), found: mask.clone() });
        }
        let positions = inputs.first().map_or(0, |input| input.shape.elements());
        let (fits, wanted) = match (self.task(), described.outputs.shape.dims()) {
            (Task::Classes, dims) => (
                matches!(dims, &[ROWS, classes] if classes >= 2),
                "logits `[2, classes]`, of at least two classes",
            ),
            (Task::Tokens, dims) => {
                let found = dims.split_last().map(|(_, before)| Shape::new(before).elements());
                let fits = dims.len() > 1 && found == Some(positions.saturating_mul(ROWS));
                (fits, "logits `[2, positions, tokens]`, of as many positions as the first input has")
            }
            (Task::Numbers { noise: _ }, dims) => (dims.first() == Some(&ROWS), "numbers `[2, ...]`"),
            (Task::Own, _) => (false, "those of one of the tasks: only linked models have one of their own"),
        };
        if !(fits && described.outputs.dtype.is_float()) {
            return Err(ModelFault::Outputs { model: model(), found: described.outputs, wanted });
        }
        if let Some(found) = function::own_loss_type(self, ROWS)
            && found != TensorType::scalar(DType::F32)
        {
            return Err(ModelFault::Loss { model: model(), found });
        }
        if self.task() == (Task::Numbers { noise: Noise::Learned }) && self.has_own_loss() {
            return Err(ModelFault::OwnLossOfNoise { model: model() });
        }
        // As a batch, and as one example, which per-example gradients are of.
        for is_of_one_row in [false, true] {
            let rows = if is_of_one_row { 1 } else { ROWS };
            let masks = MaskDrawing { draw: keep_all, is_of_one_row };
            self.loss_function(rows, DType::F32, DType::F32, Some(masks)).map_err(build)?;
            self.predict_function(rows, DType::F32).map_err(build)?;
        }
        for written in
            [self.next_function(positions, DType::F32), self.extend_function(positions, DType::F32)]
        {
            written.transpose().map_err(build)?;
        }
        Ok(())
    }

    /// Whether it has a loss of its own.
    pub fn has_own_loss(&self) -> bool {
        self.linked().is_some() || function::own_loss_type(self, ROWS).is_some()
    }

    /// The parameters, in the order that every function takes them in.
    pub fn params(&self) -> Vec<Param> {
        self.describe().params
    }

    /// The parameters' initial values, in their order, each made when it is asked for; zeros of a linked model that comes without.
    pub fn initial_values(&self, seed: u64) -> impl Iterator<Item = Vec<f32>> {
        let linked = self.linked().and_then(|linked| linked.values.as_ref());
        self.params().into_iter().enumerate().map(move |(index, param)| match linked {
            Some(values) => values[index].clone(),
            None => param.init.values(seed, index, param.shape.elements()),
        })
    }

    /// The type of one example's inputs, one by one, in a program whose floating-point type is `dtype`.
    pub fn features(&self, dtype: DType) -> Vec<TensorType> {
        self.inputs().iter().map(|input| input.ty(dtype)).collect()
    }

    /// The type of one example's labels, see [`Description::labels`].
    pub fn labels(&self, dtype: DType) -> TensorType {
        self.describe().labels(dtype)
    }

    /// Number of classes, see [`Description::classes`].
    pub fn classes(&self) -> usize {
        self.describe().classes()
    }
}

impl Description {
    /// That of a linked model; what it draws counts as one mask.
    fn of_linked(linked: &Linked, rows: usize) -> Description {
        let mut dims = linked.outputs.as_ref().map_or(Vec::new(), |outputs| outputs.shape.dims().to_vec());
        if let Some(first) = dims.first_mut() {
            *first = rows;
        }
        Description {
            params: linked.params.clone(),
            masks: if linked.draws { vec![Shape::scalar()] } else { Vec::new() },
            outputs: TensorType::new(DType::F32, dims.as_slice()),
            task: linked.task,
            first: linked.inputs.first().cloned(),
            linked_labels: linked.labels.clone(),
            takes_labels: linked.labels.is_some(),
        }
    }

    /// The type of one example's labels, in a program whose floating-point type is `dtype`: a class, the next token at
    /// each position, or numbers. One number stands for labels that are not there.
    pub fn labels(&self, dtype: DType) -> TensorType {
        match (self.task, &self.first) {
            (Task::Tokens, Some(input)) => input.ty(dtype),
            (Task::Own, _) => {
                self.linked_labels.as_ref().map_or(TensorType::scalar(DType::U32), |labels| labels.ty(dtype))
            }
            (Task::Classes | Task::Tokens, _) => TensorType::scalar(DType::U32),
            (Task::Numbers { noise: _ }, _) => {
                // One output is one number, with or without a dimension for it.
                let dims = self.outputs.shape.dims().get(1..).unwrap_or_default();
                let dims = if dims == [1] { &[] } else { dims };
                TensorType::new(dtype, Shape::new(dims))
            }
        }
    }

    /// Number of classes, or of different tokens; one where numbers are predicted, and none where natgrad does not know.
    pub fn classes(&self) -> usize {
        match self.task {
            Task::Classes | Task::Tokens => self.outputs.shape.dims().last().copied().unwrap_or(0),
            Task::Numbers { noise: _ } => 1,
            Task::Own => 0,
        }
    }

    /// The type of the predictions for `rows` examples, as
    /// [`predict_function`](trait.Model.html#method.predict_function) gives them.
    pub fn prediction(&self, rows: usize, dtype: DType) -> TensorType {
        match self.task {
            Task::Classes => TensorType::new(dtype, [rows, self.classes()]),
            Task::Tokens | Task::Numbers { noise: _ } => {
                with_rows(rows, &self.labels(dtype)).with_dtype(dtype)
            }
            // The outputs as they are.
            Task::Own => {
                let of_row = self.outputs.shape.dims().get(1..).unwrap_or_default();
                with_rows(rows, &TensorType::new(dtype, of_row))
            }
        }
    }
}

/// What would be right of an input, if something is wrong with it.
fn fault_of_input(input: &Input) -> Option<&'static str> {
    if is_name(&input.name) { sizes_fault(&input.shape) } else { Some(NAMES) }
}

/// Whether a mask of one row is the first part of that of two, or there is one mask for all rows.
fn has_rows_in_front(one: &Shape, two: &Shape) -> bool {
    match (one.dims(), two.dims()) {
        (one, two) if one == two => true,
        ([first, one @ ..], [both, two @ ..]) => first.checked_mul(2) == Some(*both) && one == two,
        _ => false,
    }
}

/// The mask that drops nothing, to check with.
fn keep_all(b: &mut Builder, site: &MaskSite) -> Value {
    let ty = TensorType::new(DType::Bool, site.shape.clone());
    b.constant(Literal { ty, elements: Elements::Splat(Scalar::Bool(true)) })
}

/// The type of `rows` examples.
pub fn with_rows(rows: usize, example: &TensorType) -> TensorType {
    TensorType::new(example.dtype, [&[rows], example.shape.dims()].concat().as_slice())
}

/// The type of an input of `rows` examples.
pub(crate) fn input_with_rows(rows: usize, input: &Input, dtype: DType) -> TensorType {
    with_rows(rows, &input.ty(dtype))
}
