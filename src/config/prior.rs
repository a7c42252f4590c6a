//! The Gaussian prior of a run: the posterior of an earlier one.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The posterior of an earlier run as the prior of this one, in the place of `weight_decay`. In JSON: `{"run": "runs/first"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriorConfig {
    /// The folder of the run, or its checkpoint: by a rule that leaves a posterior, of the same model.
    pub run: PathBuf,
    /// What the earlier posterior's precision is multiplied by, above 0. 1 is Bayes' rule, less forgets.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub strength: f64,
}

fn one() -> f64 {
    1.0
}
