//! What a run is. Every error names the file, the path of the field, its value and what would be right.

mod commented;
mod difference;
mod error;
mod fields;
mod json;
mod loss;
mod prior;
mod reference;
mod schema;
mod validation;

use std::path::{Path, PathBuf};

use natgrad_ir::DType;
use natgrad_layers::{Activation, Criterion, MAX_PARAMETERS, Mlp, NamedModel, Task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use difference::{Difference, differences};
pub use error::ConfigError;
pub use fields::{Field, Origin};
pub(crate) use json::modernize;
pub use loss::{ClassWeights, LossConfig};
pub use prior::PriorConfig;
pub use reference::reference;
pub use schema::schema;
pub use validation::{ScoreName, Validation};

use crate::compile::DeviceOptions;
use crate::data::DataConfig;
use crate::rule::group::{self, ParamGroup};
use crate::rule::{AdamW, Group, Hyper, Ivon, NamedRule, Needs, RuleError, Schedule};
use crate::step::{Compute, NoiseSource, Recipe, StatePlan, StepPlan, linked_evaluation};

/// A training run. In JSON every section and field may be left out: it then has the default run's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// The model.
    pub model: NamedModel,
    /// The optimizer.
    pub rule: NamedRule,
    /// How the labels' likelihoods make the training loss.
    #[serde(skip_serializing_if = "LossConfig::is_plain")]
    pub loss: LossConfig,
    /// The learning-rate schedule.
    pub schedule: Schedule,
    /// How a step is carried out.
    pub step: StepPlan,
    /// Parameters that are frozen, or have a weight decay or learning rate of their own.
    pub groups: Vec<ParamGroup>,
    /// The data set.
    pub data: DataConfig,
    /// Rows of a batch; with accumulation, of each of a step's micro-batches.
    #[schemars(range(min = 1, max = 2147483647))]
    pub batch: usize,
    /// How long to train.
    pub length: Length,
    /// The seed of initialization, batches and noise.
    pub seed: u64,
    /// Weights to start from: a safetensors file, such as Hugging Face's `model.safetensors`, the
    /// `model.safetensors.index.json` of several, the folder of either, or that of a run. Drawn from the seed if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// The posterior of an earlier run as the prior, in the place of weight decay; the run starts at its mean unless `init`
    /// says otherwise. `weight_decay` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prior: Option<PriorConfig>,
    /// How the trained model is judged.
    pub evaluation: Evaluation,
    /// How the run is judged while it goes on; not at all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
    /// When the run is saved.
    pub checkpoint: CheckpointConfig,
    /// How the run uses the GPUs that are attached.
    #[serde(skip_serializing_if = "DeviceOptions::is_default")]
    pub device: DeviceOptions,
}

/// How long to train. In JSON: `{"epochs": 30}` or `{"steps": 1000}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Length {
    /// Passes over the training rows.
    Epochs(#[schemars(range(min = 1))] u64),
    /// Steps.
    Steps(#[schemars(range(min = 1, max = 2147483647))] u64),
}

/// How the trained model is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluation {
    /// Posterior samples that predictions are averaged over.
    #[schemars(range(min = 1))]
    pub samples: u32,
    /// Bins of the expected calibration error.
    #[schemars(range(min = 1, max = 1000000))]
    pub bins: usize,
    /// How many of the test examples to judge by, drawn at random; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub examples: Option<usize>,
}

/// When the run is saved, besides at its start and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Steps between checkpoints. About every ten seconds if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub every_steps: Option<u64>,
    /// How many checkpoints are kept: the last one as `checkpoint.safetensors`, those before it by their step.
    #[schemars(range(min = 1))]
    pub keep: u64,
}

impl Default for CheckpointConfig {
    fn default() -> CheckpointConfig {
        CheckpointConfig { every_steps: None, keep: 1 }
    }
}

impl Default for Evaluation {
    fn default() -> Evaluation {
        Evaluation { samples: 64, bins: 20, examples: None }
    }
}

impl Default for RunConfig {
    fn default() -> RunConfig {
        RunConfig {
            model: NamedModel::Mlp(Mlp {
                sizes: vec![784, 512, 512, 10],
                activation: Activation::Relu,
                noise: None,
            }),
            loss: LossConfig::default(),
            rule: NamedRule::Ivon(Ivon::default()),
            schedule: Schedule::default(),
            step: StepPlan::default(),
            groups: Vec::new(),
            data: DataConfig::default(),
            batch: 50,
            length: Length::Epochs(30),
            seed: 0,
            init: None,
            prior: None,
            evaluation: Evaluation::default(),
            validation: None,
            checkpoint: CheckpointConfig::default(),
            device: DeviceOptions::default(),
        }
    }
}

/// Fields to set, as the command line gives them.
#[derive(Clone, Copy, Debug)]
pub struct Overrides<'a> {
    /// The option that they were given with, for errors.
    pub flag: &'a str,
    /// Each `path=value`, such as `rule.lr=0.1`.
    pub texts: &'a [String],
}

impl RunConfig {
    /// Reads the file, or takes the default run, and applies overrides such as `rule.lr=0.1`.
    ///
    /// # Errors
    /// Names the file or override, the path of the field, its value and what would be right.
    pub fn load(file: Option<&Path>, overrides: &[String]) -> Result<RunConfig, ConfigError> {
        RunConfig::load_with(file, Overrides { flag: "--set", texts: overrides })
    }

    /// As [`RunConfig::load`], with overrides that some option gave.
    ///
    /// # Errors
    /// As [`RunConfig::load`].
    pub fn load_with(file: Option<&Path>, overrides: Overrides<'_>) -> Result<RunConfig, ConfigError> {
        let source = file.map_or_else(|| "the default run".to_string(), |path| path.display().to_string());
        let mut value = json::start(file)?;
        json::apply(&mut value, overrides)?;
        RunConfig::from_json(&source, value).map_err(|error| error.blame(overrides))
    }

    /// Reads the data that a file describes: a section `data` alone, or the one of a run's configuration.
    ///
    /// # Errors
    /// As [`RunConfig::load`].
    pub fn load_data_section(file: &Path) -> Result<DataConfig, ConfigError> {
        let value = json::read(file)?;
        let data = if value.get("kind").is_some() { value } else { value["data"].clone() };
        let source = file.display().to_string();
        RunConfig::from_json(&source, serde_json::json!({ "data": data })).map(|config| config.data)
    }

    /// Reads the file that a run keeps its configuration in.
    ///
    /// # Errors
    /// As [`RunConfig::load`].
    pub(crate) fn load_kept(file: &Path) -> Result<RunConfig, ConfigError> {
        let mut value = json::read(file)?;
        modernize(&mut value);
        RunConfig::from_json(&file.display().to_string(), value)
    }

    /// This configuration with some fields set. A choice whose kind changes keeps the fields that are not its kind's
    /// defaults; the new kind must have them.
    ///
    /// # Errors
    /// As [`RunConfig::load`].
    pub fn changed(&self, overrides: Overrides<'_>) -> Result<RunConfig, ConfigError> {
        let mut value = self.to_json();
        for section in json::CHOICES {
            if overrides.setting(&format!("{section}.kind")).is_some() {
                json::leave_out_defaults(&mut value, section);
            }
        }
        json::apply(&mut value, overrides)?;
        RunConfig::from_json("the configuration", value).map_err(|error| error.blame(overrides))
    }

    /// Parses a configuration that was printed by [`RunConfig::to_json`]. `source` is named in errors.
    ///
    /// # Errors
    /// As [`RunConfig::load`].
    pub fn from_json(source: &str, value: serde_json::Value) -> Result<RunConfig, ConfigError> {
        let config = json::parse(source, value)?;
        config.validate(source)?;
        Ok(config)
    }

    /// Where the run's programs come from. `state` is what the target is faster with, for [`StatePlan::Auto`].
    pub fn recipe(&self, state: StatePlan) -> Recipe<'_> {
        let state = match self.step.state {
            StatePlan::Auto if self.rule.samples() => state,
            StatePlan::Auto => StatePlan::Explicit,
            chosen @ (StatePlan::Explicit | StatePlan::Implicit) => chosen,
        };
        Recipe {
            model: self.model.model(),
            rule: self.rule.rule(),
            criterion: self.criterion(),
            groups: &self.groups,
            schedule: self.schedule,
            dtype: DType::F32,
            noise: NoiseSource::Counter,
            plan: StepPlan { state, ..self.step },
            table: None,
            prior: self.prior.is_some(),
            without: None,
        }
    }

    /// The loss of classes or tokens.
    fn criterion(&self) -> Criterion {
        if self.loss.is_plain() { Criterion::default() } else { self.loss.criterion(self.model.classes()) }
    }

    /// The same run by another rule. One that takes its gradient at the mean takes one where this one averages over samples.
    #[must_use]
    pub fn by(&self, rule: NamedRule) -> RunConfig {
        let samples = if rule.samples() { self.step.samples } else { 1 };
        let step = StepPlan { samples, state: StatePlan::Auto, ..self.step };
        let takes_prior = Needs::of(rule.rule()).is_ok_and(|needs| needs.takes_prior);
        let prior = self.prior.clone().filter(|_| takes_prior);
        RunConfig { rule, step, prior, ..self.clone() }
    }

    /// The run by AdamW that this one is compared with, or nothing if it is one by AdamW.
    pub fn by_adamw(&self) -> Option<RunConfig> {
        match self.rule {
            NamedRule::Adamw(_) => None,
            _ => Some(self.by(NamedRule::Adamw(AdamW::default()))),
        }
    }

    /// Rows of a step: those of all its micro-batches.
    pub fn rows_per_step(&self) -> usize {
        self.batch.saturating_mul(self.step.accumulation as usize)
    }

    /// Labels of a row, which the loss is the mean over: the numbers of a row are one observation, its tokens are several.
    pub(crate) fn labels_of_row(&self) -> usize {
        match self.model.task() {
            Task::Numbers { noise: _ } => 1,
            Task::Classes | Task::Tokens | Task::Own => self.model.labels(DType::F32).shape.elements(),
        }
    }

    /// The configuration as JSON that [`RunConfig::load`] reads.
    pub fn to_json(&self) -> serde_json::Value {
        json::print(self)
    }

    /// Steps of the run over data with this many steps an epoch.
    pub fn total_steps(&self, steps_per_epoch: u64) -> u64 {
        match self.length {
            Length::Epochs(epochs) => epochs.saturating_mul(steps_per_epoch),
            Length::Steps(steps) => steps,
        }
    }

    /// Checks ranges. `source` is named in errors.
    ///
    /// # Errors
    /// The first field out of range.
    pub fn validate(&self, source: &str) -> Result<(), ConfigError> {
        let out_of_range = |path: &str, value: String, wanted: &str| {
            Err(ConfigError::Range {
                source_name: source.to_string(),
                path: path.to_string(),
                value,
                wanted: wanted.to_string(),
            })
        };
        if let Err(error) = self.model.validate() {
            return out_of_range(&format!("model.{}", error.field), error.value, error.wanted);
        }
        if let Some(linked) = self.model.linked() {
            if let Some(input) = linked.whole.first().filter(|_| self.data != DataConfig::Arrays {}) {
                let value = format!("one with the input `{}`, which has no rows", input.name);
                let wanted = "one whose inputs all have rows: others cannot come from data, but from a program's own \
                              loop, in Python or over `Stepper`";
                return out_of_range("model", value, wanted);
            }
            if self.batch != linked.rows {
                let wanted = format!("{}, the rows that the model was exported for", linked.rows);
                return out_of_range("batch", self.batch.to_string(), &wanted);
            }
            if self.step.compute != Compute::default() {
                let wanted = "left out: the model computes in the types that it was exported with";
                return out_of_range(
                    "step.compute",
                    format!("{:?}", self.step.compute).to_lowercase(),
                    wanted,
                );
            }
            if let Ok(needs) = Needs::of(self.rule.rule())
                && let Err(file) = linked_evaluation(linked, &needs)
            {
                let wanted = format!("a rule that needs gradients alone: the model's folder has no `{file}`");
                return out_of_range("rule.kind", self.rule.name().to_string(), &wanted);
            }
        }
        let parameters = self.model.params().into_iter().map(|param| param.shape.elements());
        let parameters = parameters.fold(0, usize::saturating_add);
        if parameters > MAX_PARAMETERS {
            return out_of_range("model", format!("one of {parameters} parameters"), "one of at most 2^36");
        }
        let checks: [(&str, Result<(), RuleError>); 4] = [
            ("rule", self.rule.validate()),
            ("schedule", self.schedule.validate()),
            ("step", self.step.validate(self.rule.samples())),
            ("device", self.device.validate()),
        ];
        for (section, check) in checks {
            if let Err(error) = check {
                return out_of_range(&format!("{section}.{}", error.field), error.value, error.wanted);
            }
        }
        if let Err(fault) = self.loss.validate(&self.model, &self.rule) {
            return out_of_range(&fault.path, fault.value, &fault.wanted);
        }
        if let Err(error) = group::resolve(&self.groups, &self.model.params()) {
            return out_of_range(&format!("groups{}", error.path), error.value, &error.wanted);
        }
        if let Some(prior) = &self.prior {
            if !(prior.strength > 0.0 && prior.strength.is_finite()) {
                return out_of_range("prior.strength", prior.strength.to_string(), "a number above 0");
            }
            if Needs::of(self.rule.rule()).is_ok_and(|needs| !needs.takes_prior) {
                let value = format!("an earlier posterior, and the rule {}", self.rule.name());
                let wanted = "left out: of natgrad's rules ivon, von, vogn, vadam and blr have such a prior";
                return out_of_range("prior", value, wanted);
            }
        }
        let trained = self.groups.iter().enumerate().filter(|(_, group)| !group.frozen);
        for (index, group) in trained {
            if let Err(error) = self.rule.validate_group(group) {
                let path = format!("groups[{index}].{}", error.field);
                return out_of_range(&path, error.value, error.wanted);
            }
        }
        for (hyper, value) in self.recipe(StatePlan::Explicit).values(1, 1).iter() {
            if let Some(path) = single_precision_field(hyper)
                && !(value == 0.0 || (value as f32).is_normal())
            {
                let wanted = "in the range of single precision, 1.2e-38 to 3.4e38";
                return out_of_range(&path, format!("{value:e}"), wanted);
            }
        }
        if !(1..=MAX_BATCH).contains(&self.batch) {
            return out_of_range("batch", self.batch.to_string(), "from 1 to 2^31 - 1");
        }
        if self.rows_per_step() > MAX_BATCH {
            let wanted =
                "such that the rows of a step, `batch` times `step.accumulation`, are at most 2^31 - 1";
            return out_of_range("step.accumulation", self.step.accumulation.to_string(), wanted);
        }
        match self.length {
            Length::Epochs(0) => return out_of_range("length.epochs", "0".to_string(), "at least 1"),
            Length::Steps(0) => return out_of_range("length.steps", "0".to_string(), "at least 1"),
            Length::Steps(steps) if steps > MAX_STEPS => {
                return out_of_range("length.steps", steps.to_string(), "at most 2^31 - 1");
            }
            Length::Epochs(_) | Length::Steps(_) => {}
        }
        if self.evaluation.samples == 0 {
            return out_of_range("evaluation.samples", "0".to_string(), "at least 1");
        }
        if self.evaluation.examples == Some(0) {
            let wanted = "at least 1, or absent for all";
            return out_of_range("evaluation.examples", "0".to_string(), wanted);
        }
        if !(1..=MAX_BINS).contains(&self.evaluation.bins) {
            return out_of_range("evaluation.bins", self.evaluation.bins.to_string(), "from 1 to 1000000");
        }
        if let Some(validation) = &self.validation
            && let Some((path, value, wanted)) = validation.fault(self.model.task())
        {
            return out_of_range(path, value, &wanted);
        }
        if self.checkpoint.keep == 0 {
            return out_of_range("checkpoint.keep", "0".to_string(), "at least 1");
        }
        if self.checkpoint.every_steps == Some(0) {
            let wanted = "at least 1, or absent for about every ten seconds";
            return out_of_range("checkpoint.every_steps", "0".to_string(), wanted);
        }
        Ok(())
    }
}

/// The step is counted in 32 bits and converted as a signed number.
pub const MAX_STEPS: u64 = (1 << 31) - 1;
/// Rows are counted in 32 bits.
const MAX_BATCH: usize = (1 << 31) - 1;
const MAX_BINS: usize = 1_000_000;

/// The field of a hyperparameter that the compiled step takes in single precision as it is.
fn single_precision_field(hyper: Hyper) -> Option<String> {
    let of_rule = |field: &str| Some(format!("rule.{field}"));
    let of_group = |group: Group, field: &str| match group {
        Group::DEFAULT => of_rule(field),
        Group(number) => Some(format!("groups[{}].{field}", number - 1)),
    };
    match hyper {
        Hyper::LearningRate => of_rule("lr"),
        Hyper::LrFactor(group) => of_group(group, "lr_factor"),
        Hyper::WeightDecay(group) => of_group(group, "weight_decay"),
        Hyper::Ess => of_rule("ess"),
        Hyper::Own(name) => of_rule(name),
        Hyper::ClipNorm => Some("step.clip_norm".to_string()),
        Hyper::WarmupSteps
        | Hyper::TotalSteps
        | Hyper::EndFactor
        | Hyper::DropSteps
        | Hyper::LogDropFactor
        | Hyper::OneMinus(_)
        | Hyper::LogBeta(_) => None,
    }
}

#[cfg(test)]
mod tests;
