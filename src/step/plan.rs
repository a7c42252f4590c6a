//! How a step is made of evaluations of the loss, and what it keeps between steps.

use natgrad_ir::DType;
use natgrad_layers::Remat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lower::ProductPrecision;
use crate::noise::Grade;
use crate::rule::RuleError;

/// The floating-point type that the model computes in. State is kept in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compute {
    /// The type of the state: single precision in training.
    #[default]
    F32,
    /// `bf16`; the loss itself is summed in the state's type.
    Bf16,
}

/// What a rule with samples keeps of mean and sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StatePlan {
    /// Whichever the target is faster with.
    #[default]
    Auto,
    /// Both the mean and the sample.
    Explicit,
    /// The sample alone, from which the mean is recovered with the noise computed again: the memory and traffic of
    /// AdamW.
    Implicit,
}

/// Where training examples are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Small tables on devices that have memory of their own; else on the host.
    #[default]
    Auto,
    /// All on the device, where the step takes its rows by their numbers: for tables of up to a gigabyte.
    Device,
    /// On the host, which sends each call its rows, made ready while earlier steps run.
    Host,
}

/// What computes products of matrices and convolutions on a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Linear {
    /// oneDNN, the library that PyTorch has convolutions from, for convolutions, and on processors with AMX for products of bf16 with 512
    /// rows or more; XLA for all else. It is fetched when a model has some of these.
    #[default]
    Onednn,
    /// XLA.
    Xla,
}

/// How a step is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StepPlan {
    /// Monte-Carlo samples of the gradient a micro-batch, at least 1.
    #[schemars(range(min = 1, max = 65536))]
    pub samples: u32,
    /// Micro-batches a step, at least 1, each with samples of its own.
    #[schemars(range(min = 1, max = 65536))]
    pub accumulation: u32,
    /// Steps that one call of the program runs in a loop on the device, at least 1.
    #[schemars(range(min = 1, max = 65536))]
    pub per_call: u32,
    /// The norm that the averaged gradient of all parameters together is clipped to. None if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub clip_norm: Option<f64>,
    /// The type that the model computes in.
    pub compute: Compute,
    /// What the backward pass computes again, so that less is stored.
    pub remat: Remat,
    /// How exact products and convolutions of single precision are.
    pub precision: ProductPrecision,
    /// What computes products of matrices and convolutions on a CPU.
    pub linear: Linear,
    /// Whether every run gives the same bits on a GPU, where this costs time. On a CPU and a TPU every run does.
    pub deterministic: bool,
    /// How normal the noise is.
    pub noise: Grade,
    /// What is kept of mean and sample.
    pub state: StatePlan,
    /// Where training examples are.
    pub data: Placement,
    /// Whether every step tells of its posterior and update.
    pub diagnostics: bool,
}

impl Default for StepPlan {
    fn default() -> StepPlan {
        StepPlan {
            samples: 1,
            accumulation: 1,
            per_call: 1,
            clip_norm: None,
            compute: Compute::F32,
            remat: Remat::default(),
            precision: ProductPrecision::Default,
            linear: Linear::default(),
            deterministic: false,
            noise: Grade::default(),
            state: StatePlan::Auto,
            data: Placement::Auto,
            diagnostics: false,
        }
    }
}

/// More than these would not be counted apart from each other in the noise's 32-bit words, or fit any memory.
const MOST: u32 = 1 << 16;

impl StepPlan {
    /// Evaluations of the loss and its gradient a step.
    pub fn evaluations(&self) -> usize {
        self.samples as usize * self.accumulation as usize
    }

    /// Whether the gradient's norm is limited.
    pub fn clips_norm(&self) -> bool {
        self.clip_norm.is_some()
    }

    /// The type that the model computes in, in a program whose state has the type `state`.
    pub fn compute_type(&self, state: DType) -> DType {
        match self.compute {
            Compute::F32 => state,
            Compute::Bf16 => DType::BF16,
        }
    }

    /// Checks the fields. `samples` tells whether the rule takes gradients at samples.
    ///
    /// # Errors
    /// Names the field, its value and its range.
    pub fn validate(&self, samples: bool) -> Result<(), RuleError> {
        let wanted = "from 1 to 65536";
        for (field, value) in
            [("samples", self.samples), ("accumulation", self.accumulation), ("per_call", self.per_call)]
        {
            RuleError::check(field, f64::from(value), (1..=MOST).contains(&value), wanted)?;
        }
        let one_point = "1 for a rule that takes its gradient at the mean, where all samples are the same";
        RuleError::check("samples", f64::from(self.samples), samples || self.samples == 1, one_point)?;
        if let Some(norm) = self.clip_norm {
            RuleError::check("clip_norm", norm, norm > 0.0, "a number above 0, or absent for no clipping")?;
        }
        if !samples && self.state == StatePlan::Implicit {
            return Err(RuleError {
                field: "state",
                value: "\"implicit\"".to_string(),
                wanted: "\"auto\" or \"explicit\" for a rule that keeps no sample to recover the mean from",
            });
        }
        Ok(())
    }
}
