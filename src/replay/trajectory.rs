//! The format of recorded trajectories: JSON with the model, the data, the start, and per step the learning rate,
//! the noise and the reference optimizer's state afterwards.

use std::path::Path;

use natgrad_ir::DType;
use natgrad_layers::{Activation, Mlp, NamedModel};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::ReplayError;
use crate::data::gzip;
use crate::rule::{Adam, AdamW, Estimator, Ivon, NamedRule, RmsProp, Sgd, Vadam, Vogn};
use crate::step::StepPlan;

/// A recorded trajectory. Tensors are row-major, in the order of the model's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectory {
    /// Its name.
    pub name: String,
    /// The model.
    pub model: NamedModel,
    /// The optimizer with its hyperparameters.
    pub rule: NamedRule,
    /// Monte-Carlo samples of the gradient a step.
    pub samples: u32,
    /// Features `[rows, inputs]`, the same at every step.
    pub features: Vec<f64>,
    /// The class of each row.
    pub labels: Vec<f64>,
    /// The parameters before the first step.
    pub init: Vec<Vec<f64>>,
    /// The steps.
    pub steps: Vec<RecordedStep>,
}

/// One recorded step.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedStep {
    /// The learning rate.
    pub lr: f64,
    /// The standard normal noise of each sample that a gradient was taken at, a tensor a parameter; empty for point
    /// rules.
    pub noise: Vec<Vec<Vec<f64>>>,
    /// The parameters afterwards.
    pub params: Vec<Vec<f64>>,
    /// The momentum afterwards; empty if not recorded.
    pub momentum: Vec<Vec<f64>>,
    /// The Hessian afterwards; empty if not recorded.
    pub hess: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct RawFile {
    name: String,
    model: RawModel,
    x: Value,
    y: Vec<u32>,
    init: Map<String, Value>,
    optimizer: String,
    hyperparameters: Map<String, Value>,
    #[serde(default = "one")]
    mc_samples: u32,
    steps: Vec<RawStep>,
}

fn one() -> u32 {
    1
}

#[derive(Deserialize)]
struct RawModel {
    kind: String,
    sizes: Vec<usize>,
    activation: String,
    loss: String,
}

#[derive(Deserialize)]
struct RawStep {
    lr: f64,
    #[serde(default)]
    noise: Vec<Map<String, Value>>,
    params: Map<String, Value>,
    #[serde(default)]
    momentum: Option<Map<String, Value>>,
    #[serde(default)]
    hess: Option<Map<String, Value>>,
}

/// Makes errors that name the file.
struct Errors<'a>(&'a Path);

impl Errors<'_> {
    fn malformed(&self, reason: impl Into<String>) -> ReplayError {
        ReplayError::Malformed { path: self.0.to_path_buf(), reason: reason.into() }
    }

    fn unsupported(&self, feature: impl Into<String>) -> ReplayError {
        ReplayError::Unsupported { path: self.0.to_path_buf(), feature: feature.into() }
    }
}

impl Trajectory {
    /// Reads a trajectory, which may be compressed with gzip.
    ///
    /// # Errors
    /// Names the file and the field; features that natgrad does not have are told apart from malformed files.
    pub fn load(path: &Path) -> Result<Trajectory, ReplayError> {
        let bytes =
            gzip::read(path).map_err(|source| ReplayError::Read { path: path.to_path_buf(), source })?;
        let text = String::from_utf8(bytes)
            .map_err(|error| Errors(path).malformed(format!("is not text: {error}")))?;
        Trajectory::parse(&text, path)
    }

    /// Parses a trajectory; `path` is named in errors.
    ///
    /// # Errors
    /// As [`Trajectory::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Trajectory, ReplayError> {
        let errors = Errors(path);
        let mut json = serde_json::Deserializer::from_str(text);
        let raw: RawFile = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| errors.malformed(format!("at `{}`: {}", error.path(), error.inner())))?;
        let model = model(&raw.model, &errors)?;
        let rule = rule(&raw, &errors)?;
        rule.validate().map_err(|error| errors.malformed(format!("hyperparameters: {error}")))?;
        let plan = StepPlan { samples: raw.mc_samples, ..StepPlan::default() };
        // Trajectories of point rules may say one.
        let samples = rule.samples();
        plan.validate(samples).map_err(|error| errors.malformed(format!("`mc_samples`: {error}")))?;
        let tensors = |at: &str, map: &Map<String, Value>| tensors(&model, at, map, &errors);

        let inputs = model.features(DType::F64)[0].shape.elements();
        let features = flatten(&raw.x, &[raw.y.len(), inputs]).ok_or_else(|| {
            errors.malformed(format!("`x` must have the shape [{}, {inputs}]", raw.y.len()))
        })?;
        if let Some(label) = raw.y.iter().find(|&&label| label as usize >= model.classes()) {
            return Err(errors
                .malformed(format!("`y` has the label {label}, but there are {} classes", model.classes())));
        }
        let init = tensors("init", &raw.init)?;
        let mut steps = Vec::with_capacity(raw.steps.len());
        for (index, step) in raw.steps.iter().enumerate() {
            let at = |field: &str| format!("steps[{index}].{field}");
            let optional = |field: &str, map: &Option<Map<String, Value>>| match map {
                Some(map) => tensors(&at(field), map),
                None => Ok(Vec::new()),
            };
            let wanted = if samples { raw.mc_samples as usize } else { 0 };
            if step.noise.len() != wanted {
                let reason =
                    format!("`{}` has {} draws, but must have {wanted}", at("noise"), step.noise.len());
                return Err(errors.malformed(reason));
            }
            steps.push(RecordedStep {
                lr: step.lr,
                noise: draws(&step.noise, &at("noise"), &tensors)?,
                params: tensors(&at("params"), &step.params)?,
                momentum: optional("momentum", &step.momentum)?,
                hess: optional("hess", &step.hess)?,
            });
        }
        if steps.is_empty() {
            return Err(errors.malformed("`steps` is empty"));
        }
        let labels = raw.y.iter().map(|&label| f64::from(label)).collect();
        let samples = raw.mc_samples;
        Ok(Trajectory { name: raw.name, model, rule, samples, features, labels, init, steps })
    }
}

/// The tensors of every draw.
fn draws(
    noise: &[Map<String, Value>],
    at: &str,
    tensors: &impl Fn(&str, &Map<String, Value>) -> Result<Vec<Vec<f64>>, ReplayError>,
) -> Result<Vec<Vec<Vec<f64>>>, ReplayError> {
    noise.iter().enumerate().map(|(index, draw)| tensors(&format!("{at}[{index}]"), draw)).collect()
}

fn model(raw: &RawModel, errors: &Errors) -> Result<NamedModel, ReplayError> {
    if raw.kind != "mlp" {
        return Err(errors.unsupported(format!("the model kind `{}` (only `mlp`)", raw.kind)));
    }
    if raw.loss != "mean_cross_entropy" {
        return Err(errors.unsupported(format!("the loss `{}` (only `mean_cross_entropy`)", raw.loss)));
    }
    let activation = match raw.activation.as_str() {
        "tanh" => Activation::Tanh,
        "relu" => Activation::Relu,
        other => return Err(errors.unsupported(format!("the activation `{other}` (only `tanh` and `relu`)"))),
    };
    let model = NamedModel::Mlp(Mlp { sizes: raw.sizes.clone(), activation, noise: None });
    model.validate().map_err(|error| errors.malformed(format!("model: {error}")))?;
    Ok(model)
}

/// Takes hyperparameters out one by one, so that what is left over is unknown.
struct Fields<'a> {
    rest: Map<String, Value>,
    errors: &'a Errors<'a>,
}

impl Fields<'_> {
    fn take<T: for<'de> Deserialize<'de>>(&mut self, name: &str) -> Result<Option<T>, ReplayError> {
        match self.rest.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value)
                .map(Some)
                .map_err(|error| self.errors.malformed(format!("at `hyperparameters.{name}`: {error}"))),
        }
    }

    fn number(&mut self, name: &str) -> Result<f64, ReplayError> {
        let missing = self.errors.malformed(format!("`hyperparameters.{name}` is missing"));
        self.take(name)?.ok_or(missing)
    }

    fn end(self) -> Result<(), ReplayError> {
        // What is switched off changes nothing.
        match self.rest.into_iter().find(|(_, value)| !matches!(value, Value::Bool(false) | Value::Null)) {
            None => Ok(()),
            Some((name, value)) => {
                Err(self.errors.unsupported(format!("the hyperparameter `{name}` ({value})")))
            }
        }
    }
}

/// What the authors of Vadam and VOGN state as precisions of all data.
struct Prior {
    ess: f64,
    hess_init: f64,
    weight_decay: f64,
}

impl Prior {
    fn take(fields: &mut Fields, default_init: f64) -> Result<Prior, ReplayError> {
        let ess = fields.number("train_set_size")?;
        let prior: f64 = fields.take("prior_prec")?.unwrap_or(1.0);
        let init = fields.take("prec_init")?.unwrap_or(default_init);
        Ok(Prior { ess, hess_init: (init - prior) / ess, weight_decay: prior / ess })
    }
}

fn rule(raw: &RawFile, errors: &Errors) -> Result<NamedRule, ReplayError> {
    let mut fields = Fields { rest: raw.hyperparameters.clone(), errors };
    let rule = match raw.optimizer.as_str() {
        // Defaults are those of ivon-opt 0.1.3.
        "ivon" => NamedRule::Ivon(Ivon {
            lr: fields.number("lr")?,
            ess: Some(fields.number("ess")?),
            hess_init: fields.take("hess_init")?.unwrap_or(1.0),
            beta1: fields.take("beta1")?.unwrap_or(0.9),
            beta2: fields.take("beta2")?.unwrap_or(0.99999),
            weight_decay: fields.take("weight_decay")?.unwrap_or(1e-4),
            clip_radius: fields.take("clip_radius")?,
            hess_clip: None,
            estimator: match fields.take::<String>("hess_approx")?.as_deref() {
                None | Some("price") => Estimator::Price,
                Some("gradsq") => Estimator::Gradsq,
                Some(other) => return Err(errors.unsupported(format!("the Hessian estimator `{other}`"))),
            },
            debias: fields.take("debias")?.unwrap_or(true),
            rescale_lr: fields.take("rescale_lr")?.unwrap_or(true),
            sampling: true,
        }),
        // Defaults are those of torch.optim.
        name @ ("adam" | "adamw") => {
            let [beta1, beta2] = fields.take("betas")?.unwrap_or([0.9, 0.999]);
            let adam = Adam {
                lr: fields.number("lr")?,
                beta1,
                beta2,
                eps: fields.take("eps")?.unwrap_or(1e-8),
                weight_decay: fields.take("weight_decay")?,
            };
            if name == "adam" { NamedRule::Adam(adam) } else { NamedRule::Adamw(AdamW(adam)) }
        }
        "sgd" => NamedRule::Sgd(Sgd {
            lr: fields.number("lr")?,
            momentum: fields.take("momentum")?.unwrap_or(0.0),
            dampening: fields.take("dampening")?.unwrap_or(0.0),
            nesterov: fields.take("nesterov")?.unwrap_or(false),
            weight_decay: fields.take("weight_decay")?.unwrap_or(0.0),
        }),
        "rmsprop" => NamedRule::Rmsprop(RmsProp {
            lr: fields.take("lr")?.unwrap_or(1e-2),
            alpha: fields.take("alpha")?.unwrap_or(0.99),
            eps: fields.take("eps")?.unwrap_or(1e-8),
            momentum: fields.take("momentum")?.unwrap_or(0.0),
            centered: fields.take("centered")?.unwrap_or(false),
            weight_decay: fields.take("weight_decay")?.unwrap_or(0.0),
        }),
        // The names and defaults of the authors' `pytorch/vadam/optimizers.py`.
        "vadam" => {
            let prior = Prior::take(&mut fields, 1.0)?;
            let [beta1, beta2] = fields.take("betas")?.unwrap_or([0.9, 0.999]);
            NamedRule::Vadam(Vadam {
                lr: fields.take("lr")?.unwrap_or(1e-3),
                ess: Some(prior.ess),
                hess_init: prior.hess_init,
                beta1,
                beta2,
                weight_decay: prior.weight_decay,
                sampling: true,
            })
        }
        "vogn" => {
            let prior = Prior::take(&mut fields, 0.0)?;
            NamedRule::Vogn(Vogn {
                lr: fields.take("lr")?.unwrap_or(1e-3),
                ess: Some(prior.ess),
                hess_init: prior.hess_init,
                beta1: 0.0,
                beta2: fields.take("beta")?.unwrap_or(0.999),
                weight_decay: prior.weight_decay,
                sampling: true,
            })
        }
        other => {
            let known = "`ivon`, `vadam`, `vogn`, `adam`, `adamw`, `sgd` and `rmsprop`";
            return Err(errors.unsupported(format!("the optimizer `{other}` (only {known})")));
        }
    };
    fields.end()?;
    Ok(rule)
}

fn tensors(
    model: &NamedModel,
    at: &str,
    map: &Map<String, Value>,
    errors: &Errors,
) -> Result<Vec<Vec<f64>>, ReplayError> {
    model
        .params()
        .iter()
        .map(|param| {
            let value = map
                .get(&param.name)
                .ok_or_else(|| errors.malformed(format!("`{at}` lacks the tensor `{}`", param.name)))?;
            flatten(value, param.shape.dims()).ok_or_else(|| {
                errors.malformed(format!("`{at}.{}` must have the shape {}", param.name, param.shape))
            })
        })
        .collect()
}

/// The numbers of nested lists of this shape, row-major.
fn flatten(value: &Value, dims: &[usize]) -> Option<Vec<f64>> {
    let Some((&size, inner)) = dims.split_first() else {
        return value.as_f64().map(|number| vec![number]);
    };
    let rows = value.as_array().filter(|rows| rows.len() == size)?;
    let mut numbers = Vec::new();
    for row in rows {
        numbers.extend(flatten(row, inner)?);
    }
    Some(numbers)
}
