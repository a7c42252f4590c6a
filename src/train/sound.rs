//! Whether a checkpoint says the same everywhere: in its header, in its tensors, and of its run's model.

use super::TrainError;
use super::checkpoint::Checkpoint;
use super::finite::first_not_finite;
use crate::config::RunConfig;

impl Checkpoint {
    /// What in it cannot be, whatever run it is of.
    pub(super) fn fault(&self) -> Option<String> {
        let (step, total) = (self.header.step, self.header.total_steps);
        if step > total {
            return Some(format!("its header says step {step}, but a run of only {total} steps"));
        }
        if let Some(tensor) = self.tensors.iter().find(|tensor| tensor.name == "step") {
            let steps = tensor.numbers();
            if steps[..] != [step as f64] {
                let found = steps.first().map_or("nothing".to_string(), f64::to_string);
                return Some(format!("its header says step {step}, but its tensor `step` says {found}"));
            }
        }
        let (tensor, at) = first_not_finite(&self.tensors)?;
        let (name, number) = (&tensor.name, tensor.numbers()[at]);
        Some(format!("the tensor `{name}` has {number} at element {at}, counted from 0, but must be finite"))
    }

    /// An error unless it can be a checkpoint of a run of this configuration's model.
    pub(super) fn check(&self, config: &RunConfig) -> Result<(), TrainError> {
        let fault = self.fault().or_else(|| self.misfit(config));
        fault.map_or(Ok(()), |reason| Err(TrainError::Checkpoint(reason)))
    }

    /// A tensor that the model does not have, or has in another shape; a parameter without its mean.
    pub(super) fn misfit(&self, config: &RunConfig) -> Option<String> {
        if self.is_of_start() {
            return None;
        }
        let params = config.model.params();
        for tensor in self.tensors.iter().filter(|tensor| tensor.name != "step") {
            let is_of = |name: &str| {
                tensor.name.strip_suffix(name).is_some_and(|kind| kind.len() > 1 && kind.ends_with('/'))
            };
            let of = params.iter().filter(|param| is_of(&param.name)).max_by_key(|param| param.name.len());
            let Some(param) = of else {
                return Some(format!("its tensor `{}` is of no parameter of the model", tensor.name));
            };
            if tensor.ty.shape != param.shape {
                let (name, ty) = (&tensor.name, &tensor.ty);
                return Some(format!("the tensor `{name}` is {ty}, but the model needs {}", param.shape));
            }
        }
        let mean = |name: &str| format!("mean/{name}");
        let has = |wanted: &str| self.tensors.iter().any(|tensor| tensor.name == wanted);
        let missing = params.iter().map(|param| mean(&param.name)).find(|wanted| !has(wanted))?;
        Some(format!("the tensor `{missing}` is missing"))
    }
}
