//! What follows from a model's description: its parameters, and the types of labels and predictions.

use std::cell::RefCell;
use std::collections::HashSet;

use natgrad_ir::{Builder, DType, Shape, TensorType};

use crate::error::ModelFault;
use crate::function;
use crate::init::Param;
use crate::model::{Input, Model, Task};
use crate::network::Network;

/// Rows that a network is described with, to see what it gives.
const ROWS: usize = 2;

/// What a model's network is.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The parameters, in the order that every function takes them in.
    pub params: Vec<Param>,
    /// Number of masks that dropout draws in an evaluation of the loss.
    pub masks: usize,
    /// The outputs for two rows in single precision.
    outputs: TensorType,
}

impl<'m> dyn Model + 'm {
    /// What the network is. Mistakes of the network are left to [`Model::check`](trait.Model.html#method.check).
    pub fn describe(&self) -> Description {
        let b = RefCell::new(Builder::new("parameters"));
        let net = Network::declaring(&b);
        let inputs = function::declare_inputs(self, &net, ROWS, DType::F32);
        let outputs = self.outputs(&net, &inputs).ty();
        Description { params: net.params(), masks: net.masks(), outputs }
    }

    /// Checks that the model can be trained and used.
    ///
    /// # Errors
    /// The first mistake of its description.
    pub fn check(&self) -> Result<(), ModelFault> {
        let model = || self.name().to_string();
        let inputs = self.inputs();
        let names: HashSet<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        if inputs.is_empty() || names.len() < inputs.len() || names.contains("labels") {
            let found: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(ModelFault::Inputs { model: model(), found: format!("{found:?}") });
        }
        let build = |errors| ModelFault::Build { model: model(), errors };
        function::network(self, ROWS).map_err(build)?;
        let described = self.describe();
        if described.params.is_empty() {
            return Err(ModelFault::NoParameters { model: model() });
        }
        let positions = inputs.first().map_or(0, |input| input.shape.elements());
        let (fits, wanted) = match (self.task(), described.outputs.shape.dims()) {
            (Task::Classes, dims) => (
                matches!(dims, &[ROWS, classes] if classes >= 2),
                "logits `[2, classes]`, of at least two classes",
            ),
            (Task::Tokens, dims) => {
                let fits =
                    dims.len() > 1 && dims[..dims.len() - 1].iter().product::<usize>() == ROWS * positions;
                (fits, "logits `[2, positions, tokens]`, of as many positions as the first input has")
            }
            (Task::Numbers { noise: _ }, dims) => (dims.first() == Some(&ROWS), "numbers `[2, ...]`"),
        };
        if !(fits && described.outputs.dtype.is_float()) {
            return Err(ModelFault::Outputs { model: model(), found: described.outputs, wanted });
        }
        if let Some(found) = function::own_loss_type(self, ROWS)
            && found != TensorType::scalar(DType::F32)
        {
            return Err(ModelFault::Loss { model: model(), found });
        }
        self.loss_function(ROWS, DType::F32, DType::F32, None).map_err(build)?;
        self.predict_function(ROWS, DType::F32).map_err(build)?;
        Ok(())
    }

    /// The parameters, in the order that every function takes them in.
    pub fn params(&self) -> Vec<Param> {
        self.describe().params
    }

    /// The parameters' initial values, in their order.
    pub fn initial_values(&self, seed: u64) -> Vec<Vec<f64>> {
        let of = |(index, param): (usize, Param)| {
            let values = param.init.values(seed, index, param.shape.elements());
            values.into_iter().map(f64::from).collect()
        };
        self.params().into_iter().enumerate().map(of).collect()
    }

    /// The type of one example's inputs, one by one, in a program whose floating-point type is `dtype`.
    pub fn features(&self, dtype: DType) -> Vec<TensorType> {
        self.inputs().iter().map(|input| input.ty(dtype)).collect()
    }

    /// The type of one example's labels, in a program whose floating-point type is `dtype`: a class, the next token at
    /// each position, or numbers.
    pub fn labels(&self, dtype: DType) -> TensorType {
        match self.task() {
            Task::Classes => TensorType::scalar(DType::U32),
            Task::Tokens => {
                self.inputs().first().map_or(TensorType::scalar(DType::U32), |input| input.ty(dtype))
            }
            Task::Numbers { noise: _ } => {
                // One output is one number, with or without a dimension for it.
                let outputs = self.describe().outputs;
                let dims = outputs.shape.dims().get(1..).unwrap_or_default();
                let dims = if dims == [1] { &[] } else { dims };
                TensorType::new(dtype, Shape::new(dims))
            }
        }
    }

    /// Number of classes, or of different tokens; one where numbers are predicted.
    pub fn classes(&self) -> usize {
        match self.task() {
            Task::Classes | Task::Tokens => self.describe().outputs.shape.dims().last().copied().unwrap_or(0),
            Task::Numbers { noise: _ } => 1,
        }
    }

    /// The type of the predictions for `rows` examples that `predict_function` gives.
    pub fn prediction(&self, rows: usize, dtype: DType) -> TensorType {
        match self.task() {
            Task::Classes => TensorType::new(dtype, [rows, self.classes()]),
            Task::Tokens | Task::Numbers { noise: _ } => {
                with_rows(rows, &self.labels(dtype)).with_dtype(dtype)
            }
        }
    }
}

/// The type of `rows` examples.
pub fn with_rows(rows: usize, example: &TensorType) -> TensorType {
    TensorType::new(example.dtype, [&[rows], example.shape.dims()].concat().as_slice())
}

/// The type of an input of `rows` examples.
pub(crate) fn input_with_rows(rows: usize, input: &Input, dtype: DType) -> TensorType {
    with_rows(rows, &input.ty(dtype))
}
