//! What a GPU's runtime is started with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pjrt::OptionValue;
use crate::rule::RuleError;

/// How a run uses the GPUs that are attached. Other platforms do not look at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceOptions {
    /// The part of a GPU's memory that may be used, above 0 and at most 1.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub memory_fraction: f64,
    /// Whether all of it is taken at the start, which avoids fragments, but leaves others none.
    pub preallocate: bool,
    /// Who hands the memory out.
    pub allocator: Allocator,
    /// The GPUs that the process uses, by their numbers among those that it can see; all of those if absent. Programs run on
    /// the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visible_devices: Option<Vec<u32>>,
}

/// Who hands out a GPU's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Allocator {
    /// XLA's choice, which is `bfc`.
    #[default]
    Default,
    /// XLA's own: takes more from the driver when it needs it, and gives back the best fit.
    Bfc,
    /// The CUDA driver's pool (`cudaMallocAsync`).
    CudaAsync,
    /// The driver, anew for every buffer: slow, and least memory.
    Platform,
}

impl Default for DeviceOptions {
    fn default() -> DeviceOptions {
        let (allocator, visible_devices) = (Allocator::default(), None);
        DeviceOptions { memory_fraction: 0.9, preallocate: false, allocator, visible_devices }
    }
}

impl DeviceOptions {
    /// Whether these are the defaults.
    pub fn is_default(&self) -> bool {
        *self == DeviceOptions::default()
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// Names the field, its value and what would be right.
    pub fn validate(&self) -> Result<(), RuleError> {
        let DeviceOptions { memory_fraction: part, preallocate: _, allocator: _, visible_devices } = self;
        RuleError::check("memory_fraction", *part, *part > 0.0 && *part <= 1.0, "above 0 and at most 1")?;
        let Some(numbers) = visible_devices else { return Ok(()) };
        let twice = (1..numbers.len()).any(|at| numbers[..at].contains(&numbers[at]));
        if numbers.is_empty() || twice {
            let value = serde_json::to_string(numbers).unwrap_or_default();
            let wanted = "numbers of GPUs, at least one and each once, such as [0]; absent for all";
            return Err(RuleError { field: "visible_devices", value, wanted });
        }
        Ok(())
    }

    /// The options of XLA's client for GPUs (`xla/pjrt/c/pjrt_c_api_gpu_internal.cc`).
    pub(super) fn of_gpu_client(&self) -> Vec<(String, OptionValue)> {
        let allocator = match self.allocator {
            Allocator::Default => "default",
            Allocator::Bfc => "bfc",
            Allocator::CudaAsync => "cuda_async",
            Allocator::Platform => "platform",
        };
        let mut options = vec![
            ("memory_fraction", OptionValue::Float(self.memory_fraction as f32)),
            ("preallocate", OptionValue::Bool(self.preallocate)),
            ("allocator", OptionValue::Text(allocator.to_owned())),
        ];
        if let Some(numbers) = &self.visible_devices {
            let numbers = numbers.iter().map(|&number| i64::from(number)).collect();
            options.push(("visible_devices", OptionValue::Ints(numbers)));
        }
        options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_checked_and_told_to_xla() {
        let of = |json: serde_json::Value| serde_json::from_value::<DeviceOptions>(json).unwrap();
        assert_eq!(of(serde_json::json!({})), DeviceOptions::default());
        for (json, field) in [
            (serde_json::json!({"memory_fraction": 0}), "memory_fraction"),
            (serde_json::json!({"memory_fraction": 1.5}), "memory_fraction"),
            (serde_json::json!({"visible_devices": []}), "visible_devices"),
            (serde_json::json!({"visible_devices": [1, 1]}), "visible_devices"),
        ] {
            assert_eq!(of(json).validate().unwrap_err().field, field);
        }
        let options = of(serde_json::json!({"visible_devices": [2, 0], "allocator": "cuda-async"}));
        options.validate().unwrap();
        let told = options.of_gpu_client();
        assert!(told.contains(&("preallocate".to_owned(), OptionValue::Bool(false))));
        assert!(told.contains(&("allocator".to_owned(), OptionValue::Text("cuda_async".to_owned()))));
        assert!(told.contains(&("visible_devices".to_owned(), OptionValue::Ints(vec![2, 0]))));
    }
}
