//! A session: the state of a run on its device, moved forward one execute call a step.

use natgrad_ir::TensorType;

use super::TrainError;
use crate::compile::bytes::from_bytes;
use crate::compile::{Compiled, Device, DeviceError};
use crate::pjrt::{Arg, Buffer, PendingRead};
use crate::rule::HyperValues;
use crate::step::{Recipe, Slot, StateKind};

/// A host copy of one carried tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Its name, e.g. `hess/layers.0.weight`.
    pub name: String,
    /// Its type.
    pub ty: TensorType,
    /// Its elements, row-major.
    pub bytes: Vec<u8>,
}

impl HostTensor {
    /// The elements as numbers.
    pub fn numbers(&self) -> Vec<f64> {
        from_bytes(self.ty.dtype, &self.bytes)
    }
}

/// Scalars of a step that are still being computed.
#[derive(Debug)]
pub struct PendingStep {
    outputs: [PendingRead; 3],
    dtype: natgrad_ir::DType,
}

/// Scalars of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepScalars {
    /// The mean loss of the batch at the sample, in nats.
    pub loss: f64,
    /// How many rows of the batch are classified right.
    pub correct: f64,
    /// The learning rate that the schedule gave.
    pub learning_rate: f64,
}

impl PendingStep {
    /// Waits for the step to end.
    ///
    /// # Errors
    /// The error of the step, if the device failed.
    pub fn wait(self) -> Result<StepScalars, TrainError> {
        let mut numbers = [0.0; 3];
        for (number, read) in numbers.iter_mut().zip(self.outputs) {
            let bytes = read.wait().map_err(DeviceError::from)?;
            *number = from_bytes(self.dtype, &bytes).first().copied().unwrap_or(f64::NAN);
        }
        let [loss, correct, learning_rate] = numbers;
        Ok(StepScalars { loss, correct, learning_rate })
    }
}

/// The state of a run on its device.
#[derive(Debug)]
pub struct Session<'a> {
    device: &'a Device,
    step: Compiled,
    start: Compiled,
    /// The carried buffers, in the order of the step program's inputs and outputs.
    state: Vec<(Slot, Buffer)>,
    /// Inputs that stay: hyperparameters and seed.
    fixed: Vec<(Slot, Buffer)>,
}

impl<'a> Session<'a> {
    /// Compiles the step for batches of `rows`. The state must then be begun or restored.
    ///
    /// # Errors
    /// The programs cannot be built or compiled.
    pub fn new(
        device: &'a Device,
        recipe: &Recipe,
        rows: usize,
        values: &HyperValues,
        seed: u64,
    ) -> Result<Session<'a>, TrainError> {
        let step = device.compile(recipe.step(rows)?)?;
        let start = device.compile(recipe.start()?)?;
        let mut session = Session { device, step, start, state: Vec::new(), fixed: Vec::new() };
        session.set_values(values, seed)?;
        Ok(session)
    }

    /// The compiled programs: the step, then the start.
    pub fn programs(&self) -> [&Compiled; 2] {
        [&self.step, &self.start]
    }

    /// Replaces the hyperparameters and the seed; nothing is compiled anew.
    ///
    /// # Errors
    /// A value is missing, or the device fails.
    pub fn set_values(&mut self, values: &HyperValues, seed: u64) -> Result<(), TrainError> {
        self.fixed = self.device.upload_hypers(&self.step, values)?;
        for (slot, buffer) in self.device.upload_hypers(&self.start, values)? {
            if find(&self.fixed, slot).is_none() {
                self.fixed.push((slot, buffer));
            }
        }
        let layout = &self.step.program.layout;
        self.fixed.push((Slot::Seed, self.device.upload(&layout.ty(Slot::Seed), &seed.to_ne_bytes())?));
        Ok(())
    }

    /// Begins at step 0 from the mean of each parameter, given in double precision.
    ///
    /// `noise` holds the first sample's noise where the program takes noise from outside.
    ///
    /// # Errors
    /// The device fails.
    pub fn begin(&mut self, means: &[Vec<f64>], noise: &[Vec<f64>]) -> Result<(), TrainError> {
        let layout = &self.start.program.layout;
        let upload = |slot: Slot, numbers: &Vec<f64>| {
            Ok::<_, DeviceError>((slot, self.device.upload_numbers(&layout.ty(slot), numbers)?))
        };
        let upload_all = |slot_of: fn(usize) -> Slot, tensors: &[Vec<f64>]| {
            tensors
                .iter()
                .enumerate()
                .map(|(index, numbers)| upload(slot_of(index), numbers))
                .collect::<Result<Vec<_>, _>>()
        };
        let mut means = upload_all(|param| Slot::State(StateKind::Mean, param), means)?.into_iter();
        let noise = upload_all(Slot::Noise, noise)?;
        let outputs = self.start.run(|slot| {
            if slot.is_carried() {
                return means.next().filter(|(known, _)| *known == slot).map(|(_, mean)| Arg::Donate(mean));
            }
            find(&noise, slot).or_else(|| find(&self.fixed, slot)).map(Arg::Keep)
        });
        self.state = outputs?;
        Ok(())
    }

    /// Continues from carried tensors, as [`Session::state_to_host`] gave them.
    ///
    /// # Errors
    /// A tensor is missing or of another type, or the device fails.
    pub fn restore(&mut self, tensors: &[HostTensor]) -> Result<(), TrainError> {
        let layout = &self.step.program.layout;
        let mut state = Vec::new();
        for &slot in self.step.program.inputs.iter().filter(|slot| slot.is_carried()) {
            let name = layout.name(slot);
            let tensor = tensors
                .iter()
                .find(|tensor| tensor.name == name)
                .ok_or_else(|| TrainError::Checkpoint(format!("the tensor `{name}` is missing")))?;
            let wanted = layout.ty(slot);
            if tensor.ty != wanted {
                let message = format!("the tensor `{name}` is {}, but the run needs {wanted}", tensor.ty);
                return Err(TrainError::Checkpoint(message));
            }
            state.push((slot, self.device.upload(&wanted, &tensor.bytes)?));
        }
        self.state = state;
        Ok(())
    }

    /// One step on a batch, in one execute call. The state's buffers are donated and replaced.
    ///
    /// `noise` holds the next sample's noise where the program takes noise from outside.
    ///
    /// # Errors
    /// The device fails; the state is then lost.
    pub fn step(
        &mut self,
        features: &[u8],
        labels: &[u8],
        noise: &[Vec<f64>],
    ) -> Result<PendingStep, TrainError> {
        let layout = &self.step.program.layout;
        let features = self.device.upload(&layout.ty(Slot::Features), features)?;
        let labels = self.device.upload(&layout.ty(Slot::Labels), labels)?;
        let mut given = Vec::new();
        for (param, noise) in noise.iter().enumerate() {
            let slot = Slot::Noise(param);
            given.push((slot, self.device.upload_numbers(&layout.ty(slot), noise)?));
        }
        let mut carried = std::mem::take(&mut self.state).into_iter();
        let outputs = self.step.run(|slot| {
            if slot.is_carried() {
                return carried
                    .next()
                    .filter(|(known, _)| *known == slot)
                    .map(|(_, buffer)| Arg::Donate(buffer));
            }
            match slot {
                Slot::Features => Some(&features),
                Slot::Labels => Some(&labels),
                other => find(&self.fixed, other).or_else(|| find(&given, other)),
            }
            .map(Arg::Keep)
        })?;
        let mut scalars = [None, None, None];
        for (slot, buffer) in outputs {
            match slot {
                Slot::Loss => scalars[0] = Some(buffer),
                Slot::Correct => scalars[1] = Some(buffer),
                Slot::LearningRate => scalars[2] = Some(buffer),
                _ => self.state.push((slot, buffer)),
            }
        }
        let [Some(loss), Some(correct), Some(rate)] = scalars else {
            return Err(TrainError::Checkpoint("the step program gives no loss".to_string()));
        };
        let read = |buffer: Buffer| buffer.start_to_host().map_err(DeviceError::from);
        Ok(PendingStep { outputs: [read(loss)?, read(correct)?, read(rate)?], dtype: layout.dtype })
    }

    /// A state tensor on the device.
    pub fn state(&self, kind: StateKind, param: usize) -> Option<&Buffer> {
        find(&self.state, Slot::State(kind, param))
    }

    /// Copies every carried tensor to the host, waiting for the steps before.
    ///
    /// # Errors
    /// The device fails.
    pub fn state_to_host(&self) -> Result<Vec<HostTensor>, TrainError> {
        let layout = &self.step.program.layout;
        let reads: Vec<(Slot, PendingRead)> = self
            .state
            .iter()
            .map(|(slot, buffer)| Ok((*slot, buffer.start_to_host()?)))
            .collect::<Result<_, crate::pjrt::Error>>()
            .map_err(DeviceError::from)?;
        reads
            .into_iter()
            .map(|(slot, read)| {
                let bytes = read.wait().map_err(DeviceError::from)?;
                Ok(HostTensor { name: layout.name(slot), ty: layout.ty(slot), bytes })
            })
            .collect()
    }
}

fn find(buffers: &[(Slot, Buffer)], slot: Slot) -> Option<&Buffer> {
    buffers.iter().find(|(known, _)| *known == slot).map(|(_, buffer)| buffer)
}
