//! The step of a run as a function of its state, for loops of a program's own.

use std::path::{Path, PathBuf};

use natgrad_ir::{DType, TensorType};

use super::changes::difference;
use super::checkpoint::{Checkpoint, Header};
use super::evaluate::with_state;
use super::prior::Prior;
use super::session::{CallData, CallRows, HostTensor, PendingSteps, Session};
use super::source::Source;
use super::validation::Validated;
use super::{TrainError, check_memory};
use crate::compile::{Compiled, Conditions, Device, DeviceError};
use crate::config::{Length, RunConfig};
use crate::pjrt::Buffer;
use crate::posterior::draw_sample;
use crate::rule::HyperValues;
use crate::step::{Interface, Metric, Recipe, Slot, StateKind};

/// What one step gives and the next one takes: all that is carried, on the device.
#[derive(Debug)]
pub struct State {
    carried: Vec<(Slot, Buffer)>,
    step: u64,
    seed: u64,
}

impl State {
    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The seed of its noise.
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

/// A compiled step, which takes a [`State`] and gives the next one. [`Run`](super::Run) is for whole runs; this is for whoever
/// has batches of tensors, and several states.
#[derive(Debug)]
pub struct Stepper<'a> {
    device: &'a Device,
    config: RunConfig,
    dtype: DType,
    labels: usize,
    total: u64,
    values: HyperValues,
    /// Its state is that of a call, and empty between calls.
    session: Session<'a>,
    /// The seed that the session has.
    seed: u64,
    /// Made when it is first used.
    draw: Option<Compiled>,
}

impl<'a> Stepper<'a> {
    /// Compiles the step of a configuration whose length is given in steps, with state of type `dtype`; the data is not
    /// looked at. `labels` is the number of training labels, the effective sample size where the rule has none. A `prior` is
    /// read here; what [`Stepper::init`] is given is where the mean begins.
    ///
    /// # Errors
    /// The configuration is not valid, or its length is in epochs; the prior cannot be read; there is not enough memory; a program cannot be built
    /// or compiled.
    pub fn new(
        device: &'a Device,
        config: RunConfig,
        dtype: DType,
        labels: usize,
    ) -> Result<Stepper<'a>, TrainError> {
        let refused = |reason: &str| TrainError::Refused { call: "Stepper::new", reason: reason.to_string() };
        config.model.check()?;
        config.validate("the step")?;
        let Length::Steps(total) = config.length else {
            return Err(refused("`length` must be in steps: there is no data to count epochs by"));
        };
        check_memory(&config, device)?;
        let recipe = recipe(&config, device, dtype);
        let values = recipe.values(labels, total);
        let prior = Prior::of(&config, &values, labels)?;
        let mut session = Session::new(device, &recipe, config.batch, &values, config.seed)?;
        if let Some(prior) = &prior {
            session.set_prior(prior)?;
        }
        let seed = config.seed;
        Ok(Stepper { device, config, dtype, labels, total, values, session, seed, draw: None })
    }

    /// The configuration.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The steps after which the learning rate's schedule ends.
    pub fn total_steps(&self) -> u64 {
        self.total
    }

    /// What the step takes and gives.
    pub fn interface(&self) -> &Interface {
        &self.session.step_program().program.interface
    }

    /// The type of the state.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The device.
    pub fn device(&self) -> &'a Device {
        self.device
    }

    /// The compiled programs so far.
    pub fn programs(&self) -> impl Iterator<Item = &Compiled> {
        self.session.programs().chain(&self.draw)
    }

    /// Names and types of a batch: each input's, then those of the labels if the model takes some. Steps of a call and
    /// micro-batches are in front.
    pub fn batch_types(&self) -> Vec<(String, TensorType)> {
        let interface = self.interface();
        let slots = interface.data(interface.extent());
        slots.into_iter().map(|slot| (interface.name(slot), interface.ty(slot))).collect()
    }

    /// What a step tells, with its name.
    ///
    /// # Errors
    /// The rule has a mistake.
    pub fn told(&self) -> Result<Vec<(Metric, String)>, TrainError> {
        let metrics = recipe(&self.config, self.device, self.dtype).metrics()?;
        let interface = self.interface();
        Ok(metrics.into_iter().map(|metric| (metric, interface.metric_name(metric))).collect())
    }

    /// The state at step 0 from the mean of each parameter, in the step's type, row-major.
    ///
    /// # Errors
    /// A mean is missing or of another size, or the device fails.
    pub fn init(&mut self, means: &[&[u8]], seed: u64) -> Result<State, TrainError> {
        self.set_seed(seed)?;
        self.session.begin_at(means)?;
        Ok(self.taken(0))
    }

    /// One step, or the `step.per_call` of a call, on a batch of [`Stepper::batch_types`], row-major. It is under way when this returns; reading the metrics or
    /// the state waits for it. The memory of the state is the next one's, so the state is gone.
    ///
    /// # Errors
    /// The batch is not such as the step takes, or the device fails. Where it is the batch, the state is as it was.
    pub fn step(
        &mut self,
        state: &mut Option<State>,
        batch: &[&[u8]],
    ) -> Result<(State, PendingSteps), TrainError> {
        self.check(batch)?;
        let refused = || TrainError::Refused { call: "step", reason: "there is no state".to_string() };
        let seed = state.as_ref().ok_or_else(refused)?.seed;
        self.set_seed(seed)?;
        let uploaded = self.session.upload_batch(batch)?;
        let State { carried, step, .. } = state.take().ok_or_else(refused)?;
        self.session.exchange(carried);
        let rows = CallRows::Uploaded(&uploaded);
        let steps = self.config.step.per_call;
        let data = CallData { rows, steps: steps as usize, noise: &[], further_noise: &[] };
        let pending = self.session.step(data)?;
        Ok((self.taken(step + u64::from(steps)), pending))
    }

    /// An error unless a batch has the sizes that the step takes.
    fn check(&self, batch: &[&[u8]]) -> Result<(), TrainError> {
        let types = self.batch_types();
        let refused = |reason: String| Err(TrainError::Refused { call: "step", reason });
        if types.len() != batch.len() {
            return refused(format!("a batch has {} arrays, but {} are given", types.len(), batch.len()));
        }
        for ((name, ty), bytes) in types.iter().zip(batch) {
            if ty.size_bytes() != bytes.len() {
                let wanted = ty.size_bytes();
                return refused(format!(
                    "`{name}` is {ty}, of {wanted} bytes, but {} are given",
                    bytes.len()
                ));
            }
        }
        Ok(())
    }

    /// The mean of every parameter, in the step's type.
    ///
    /// # Errors
    /// The device fails.
    pub fn mean(&mut self, state: &mut State) -> Result<Vec<Vec<u8>>, TrainError> {
        let params = self.interface().params.len();
        self.with(state, |stepper| {
            with_state(&stepper.session, |state| {
                (0..params).map(|param| to_host(state(StateKind::MEAN, param))).collect()
            })
        })
    }

    /// Every parameter at a sample of the posterior, by the seed and number of the sample.
    ///
    /// # Errors
    /// The rule leaves no posterior, or the device fails.
    pub fn draw(&mut self, state: &mut State, seed: u64, sample: u32) -> Result<Vec<Vec<u8>>, TrainError> {
        if !self.config.rule.has_posterior() {
            let reason = format!("{} leaves no posterior to sample; take the mean", self.config.rule.name());
            return Err(TrainError::Refused { call: "draw", reason });
        }
        let draw = match self.draw.take() {
            Some(draw) => draw,
            None => self.device.compile(recipe(&self.config, self.device, self.dtype).draw()?)?,
        };
        let drawn = self.with(state, |stepper| {
            with_state(&stepper.session, |state| {
                Ok(draw_sample(stepper.device, &draw, state, &stepper.values, seed, sample)?)
            })
        });
        self.draw = Some(draw);
        drawn?.iter().map(|(_, buffer)| to_host(Some(buffer))).collect()
    }

    /// Every carried tensor by name, such as `hess/layers.0.weight`, and the means where they are not kept.
    ///
    /// # Errors
    /// The device fails.
    pub fn tensors(&mut self, state: &mut State) -> Result<Vec<HostTensor>, TrainError> {
        self.with(state, |stepper| stepper.session.state_to_host())
    }

    /// Writes a checkpoint into a folder that is there, for [`Stepper::load`] and [`Run::load`](super::Run::load), of this
    /// configuration's model or of the same one elsewhere.
    ///
    /// # Errors
    /// The device fails, or the file cannot be written.
    pub fn save(
        &mut self,
        state: &mut State,
        folder: &Path,
        model: impl Into<Option<natgrad_layers::NamedModel>>,
    ) -> Result<PathBuf, TrainError> {
        let (step, seed) = (state.step, state.seed);
        let tensors = self.tensors(state)?;
        let model = model.into().unwrap_or_else(|| self.config.model.clone());
        let config = RunConfig { model, seed, ..self.config.clone() };
        let header = Header {
            version: 1,
            step,
            total_steps: self.total,
            seconds: 0.0,
            labels: Some(self.labels as u64),
            class_names: Vec::new(),
            table: None,
            validated: Validated::default(),
            conditions: Conditions::of(self.device),
            source: Source::of(&config, [None; 3])?,
            config: config.to_json(),
        };
        Checkpoint { header, tensors }.save(folder)
    }

    /// The state of a checkpoint, in a folder or a file, which must be of such a step.
    ///
    /// # Errors
    /// The checkpoint cannot be read, or is of another step: the first difference is named.
    pub fn load(&mut self, path: &Path) -> Result<State, TrainError> {
        let checkpoint = Checkpoint::load(path)?;
        checkpoint.must_have_state(path)?;
        let Header { step, config, source, .. } = &checkpoint.header;
        if let Some(change) = source.change(&Source::of(&self.config, [None; 3])?) {
            return Err(TrainError::Checkpoint(change));
        }
        if let Some(difference) = self.difference(config) {
            return Err(TrainError::Checkpoint(difference));
        }
        let seed = config.get("seed").and_then(serde_json::Value::as_u64).unwrap_or(self.seed);
        self.set_seed(seed)?;
        self.session.restore(&checkpoint.tensors)?;
        Ok(self.taken(*step))
    }

    /// Where a run's configuration differs, but for the seed, which is the state's own, and for where a linked model lies.
    fn difference(&self, then: &serde_json::Value) -> Option<String> {
        // Of an older natgrad's checkpoint fields may be missing, which have their defaults.
        let known = RunConfig::from_json("the checkpoint", then.clone());
        let mut then = known.map_or_else(|_| then.clone(), |known| known.to_json());
        let now = self.config.to_json();
        let own = if self.config.model.linked().is_some() { &["seed", "model"][..] } else { &["seed"] };
        if let Some(then) = then.as_object_mut() {
            then.extend(own.iter().map(|&field| (field.to_string(), now[field].clone())));
        }
        difference(&then, &now, false)
    }

    fn set_seed(&mut self, seed: u64) -> Result<(), TrainError> {
        if self.seed != seed {
            self.session.set_values(&self.values, seed)?;
            self.seed = seed;
        }
        Ok(())
    }

    /// Does something with a state in the session, and gives the state back.
    fn with<T>(
        &mut self,
        state: &mut State,
        act: impl FnOnce(&mut Stepper<'a>) -> Result<T, TrainError>,
    ) -> Result<T, TrainError> {
        self.set_seed(state.seed)?;
        self.session.exchange(std::mem::take(&mut state.carried));
        let found = act(self);
        state.carried = self.session.exchange(Vec::new());
        found
    }

    /// What the session holds, as a state.
    fn taken(&mut self, step: u64) -> State {
        State { carried: self.session.exchange(Vec::new()), step, seed: self.seed }
    }
}

fn recipe<'c>(config: &'c RunConfig, device: &Device, dtype: DType) -> Recipe<'c> {
    Recipe { dtype, ..config.recipe(device.target().state_plan()) }
}

fn to_host(buffer: Option<&Buffer>) -> Result<Vec<u8>, TrainError> {
    let Some(buffer) = buffer else {
        return Err(TrainError::Checkpoint("a parameter has no mean".to_string()));
    };
    Ok(buffer.to_host().map_err(DeviceError::from)?)
}
