//! A model that comes as StableHLO: `{"kind": "stablehlo", "path": "FOLDER"}`.

use std::path::PathBuf;
use std::sync::Arc;

use natgrad_ir::Expr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::linked::Linked;
use crate::model::{Input, Model, Task};
use crate::network::Network;

/// The model of a folder that JAX, or whoever writes StableHLO, exported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Folder", into = "Folder")]
pub struct Stablehlo {
    path: PathBuf,
    linked: Arc<Linked>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Folder {
    /// The folder that it was exported to.
    path: PathBuf,
}

impl TryFrom<Folder> for Stablehlo {
    type Error = String;

    fn try_from(Folder { path }: Folder) -> Result<Stablehlo, String> {
        let linked = Arc::new(Linked::open(&path)?);
        Ok(Stablehlo { path, linked })
    }
}

impl From<Stablehlo> for Folder {
    fn from(model: Stablehlo) -> Folder {
        Folder { path: model.path }
    }
}

impl Stablehlo {
    /// Reads the folder.
    ///
    /// # Errors
    /// Names the file, what it has and what would be right.
    pub fn open(path: impl Into<PathBuf>) -> Result<Stablehlo, String> {
        Stablehlo::try_from(Folder { path: path.into() })
    }

    /// The folder was checked when it was read.
    #[expect(clippy::unnecessary_wraps, reason = "as every model that configurations name")]
    pub(super) fn validate(&self) -> Result<(), ModelError> {
        Ok(())
    }
}

impl Model for Stablehlo {
    fn name(&self) -> &str {
        &self.linked.name
    }

    fn inputs(&self) -> Vec<Input> {
        self.linked.inputs.clone()
    }

    fn task(&self) -> Task {
        self.linked.task
    }

    fn outputs<'b>(&self, net: &Network<'b>, _: &[Expr<'b>]) -> Expr<'b> {
        net.refuse("the model comes as StableHLO, and has no network that natgrad knows");
        net.expr(net.build(|b| b.scalar(natgrad_ir::DType::F32, 0.0)))
    }

    fn linked(&self) -> Option<&Linked> {
        Some(&self.linked)
    }
}
