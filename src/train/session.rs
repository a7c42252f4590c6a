//! A session: the state of a run on its device, moved forward one execute call a step.

mod rows;

use natgrad_ir::TensorType;

use super::TrainError;
use super::finite::first_not_finite_of;
use super::prior::Prior;
use super::programs::SessionPrograms;
use super::save::{Elements, Stored};
use crate::compile::bytes::from_bytes;
use crate::compile::{Compiled, Device, DeviceError, Target};
use crate::pjrt::{Arg, Buffer, PendingRead, release_freed_memory};
use crate::rule::HyperValues;
use crate::step::{Metric, Program, Recipe, Slot, StateKind};

pub use rows::{CallRows, UploadedRows};

/// Calls that may be under way when the next one is made.
const MOST_CALLS_AHEAD: usize = 3;

/// Bytes of temporaries that are worth to be given back where they are of no use.
const MUCH: usize = 1 << 28;

/// Bytes that the temporaries of these calls may take together.
const TEMPORARIES_AHEAD: usize = 1 << 30;

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

/// Scalars of the steps of one call, which are still being computed.
#[derive(Debug)]
pub struct PendingSteps {
    outputs: Vec<(Metric, PendingRead)>,
    steps: usize,
    dtype: natgrad_ir::DType,
}

/// Scalars of a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepScalars(Vec<(Metric, f64)>);

impl StepScalars {
    /// A metric; NaN if the program does not tell it.
    pub fn get(&self, metric: Metric) -> f64 {
        self.0.iter().find(|(known, _)| *known == metric).map_or(f64::NAN, |&(_, value)| value)
    }

    /// The mean loss over the step's rows where gradients were taken, in nats.
    pub fn loss(&self) -> f64 {
        self.get(Metric::Loss)
    }

    /// Every metric.
    pub fn iter(&self) -> impl Iterator<Item = (Metric, f64)> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<(Metric, f64)> for StepScalars {
    fn from_iter<I: IntoIterator<Item = (Metric, f64)>>(metrics: I) -> StepScalars {
        StepScalars(metrics.into_iter().collect())
    }
}

impl PendingSteps {
    /// How many steps the call runs.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Waits for the steps to end, and gives the scalars of each.
    ///
    /// # Errors
    /// The error of the call, if the device failed.
    pub fn wait(self) -> Result<Vec<StepScalars>, TrainError> {
        let mut scalars = vec![StepScalars::default(); self.steps];
        for (metric, read) in self.outputs {
            let bytes = read.wait().map_err(DeviceError::from)?;
            for (step, value) in scalars.iter_mut().zip(from_bytes(self.dtype, &bytes)) {
                step.0.push((metric, value));
            }
        }
        Ok(scalars)
    }
}

/// What a call of the step program takes.
#[derive(Clone, Copy, Debug)]
pub struct CallData<'a> {
    /// The examples of every micro-batch of every step.
    pub rows: CallRows<'a>,
    /// How many steps the data is of: as many as a call may run, or fewer.
    pub steps: usize,
    /// Where the program takes noise from outside, that of the next step's carried sample, a tensor a parameter.
    pub noise: &'a [Vec<f64>],
    /// Likewise, that of this step's further samples, one after another.
    pub further_noise: &'a [Vec<f64>],
}

/// What runs the calls of fewer steps than the plan says.
#[derive(Debug)]
enum Rest {
    /// The same program, which takes the number.
    Same,
    /// A program that is not compiled yet, as most runs have no such call.
    Written(Box<Program>),
    /// That program.
    Compiled(Box<Compiled>),
}

/// The state of a run on its device.
#[derive(Debug)]
pub struct Session<'a> {
    device: &'a Device,
    step: Compiled,
    /// The step for calls of fewer steps, where `step` always runs as many.
    rest: Rest,
    start: Compiled,
    /// Where the mean is not kept.
    recover: Option<Compiled>,
    /// The carried buffers, in the order of the step program's inputs and outputs.
    state: Vec<(Slot, Buffer)>,
    /// Inputs that stay: hyperparameters and seed.
    fixed: Vec<(Slot, Buffer)>,
    /// The prior, if it is an earlier posterior.
    prior: Vec<(Slot, Buffer)>,
    /// The training examples, if the device has all of them.
    table: Vec<(Slot, Buffer)>,
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
        super::memory::check(device, &recipe.interface(rows)?, 0)?;
        let programs = SessionPrograms::of(recipe, rows, |recipe, rows| device.step(recipe, rows))?;
        let SessionPrograms { step, rest, start, recover } = programs;
        let step = device.compile(step)?;
        let rest = rest.map_or(Rest::Same, |rest| Rest::Written(Box::new(rest)));
        let start = device.compile(start)?;
        let recover = recover.map(|recover| device.compile(recover)).transpose()?;
        let (state, fixed, prior, table) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut session = Session { device, step, rest, start, recover, state, fixed, prior, table };
        session.set_values(values, seed)?;
        Ok(session)
    }

    /// The compiled programs: the step, the start, and the recovery of the mean where it is not kept.
    pub fn programs(&self) -> impl Iterator<Item = &Compiled> {
        [&self.step, &self.start].into_iter().chain(&self.recover)
    }

    /// Compiles all programs anew.
    ///
    /// # Errors
    /// XLA refuses one, which it did not before.
    pub(super) fn compile_anew(&mut self) -> Result<(), DeviceError> {
        let compiled = [&mut self.step, &mut self.start].into_iter().chain(&mut self.recover);
        for program in compiled {
            *program = self.device.compile(program.program.clone())?;
        }
        if let Rest::Compiled(rest) = &self.rest {
            self.rest = Rest::Written(Box::new(rest.program.clone()));
        }
        Ok(())
    }

    /// Compiles the program of calls of so many steps, unless that is done.
    fn prepare(&mut self, steps: usize) -> Result<(), DeviceError> {
        if let Rest::Written(program) = &self.rest
            && steps < self.steps_per_call()
        {
            self.rest = Rest::Compiled(Box::new(self.device.compile(Program::clone(program))?));
        }
        Ok(())
    }

    /// The program of calls of so many steps, which is prepared.
    fn program(&self, steps: usize) -> &Compiled {
        match &self.rest {
            Rest::Compiled(rest) if steps < self.steps_per_call() => rest,
            Rest::Same | Rest::Written(_) | Rest::Compiled(_) => &self.step,
        }
    }

    /// The compiled step.
    pub fn step_program(&self) -> &Compiled {
        &self.step
    }

    /// The most steps that a call runs.
    pub fn steps_per_call(&self) -> usize {
        self.step.program.interface.plan.per_call as usize
    }

    /// How many calls may be under way when the next one is made. XLA:CPU gives a call its temporaries when it is made, not when it
    /// begins, so that large ones would take their memory several times.
    pub(super) fn calls_ahead(&self) -> usize {
        (TEMPORARIES_AHEAD / self.temporaries().max(1)).min(MOST_CALLS_AHEAD)
    }

    /// The bytes of a call's temporaries on a CPU; elsewhere a call waits for those of the one before.
    fn temporaries(&self) -> usize {
        if self.device.target() != Target::Cpu {
            return 0;
        }
        let memory = self.step.executable.memory_stats();
        memory.map_or(0, |memory| usize::try_from(memory.temporaries).unwrap_or(0))
    }

    /// Gives free memory back to the system, where calls have large temporaries.
    pub(super) fn release_freed(&self) {
        if self.temporaries() >= MUCH {
            release_freed_memory();
        }
    }

    /// Whether a call takes the numbers of examples that the device holds, and not themselves.
    pub fn takes_numbers(&self) -> bool {
        self.step.program.interface.table.is_some()
    }

    /// Puts all training examples on the device, row-major, for a program that takes rows by their numbers.
    ///
    /// # Errors
    /// The device fails, for one for lack of memory.
    pub fn hold(&mut self, features: &[u8], labels: &[u8]) -> Result<(), TrainError> {
        let interface = &self.step.program.interface;
        let upload = |slot: Slot, bytes: &[u8]| {
            Ok::<_, DeviceError>((slot, self.device.upload(&interface.ty(slot), bytes)?))
        };
        self.table = vec![upload(Slot::TableFeatures, features)?];
        if interface.takes_labels {
            self.table.push(upload(Slot::TableLabels, labels)?);
        }
        Ok(())
    }

    /// Replaces the hyperparameters and the seed; nothing is compiled anew.
    ///
    /// # Errors
    /// A value is missing, or the device fails.
    pub fn set_values(&mut self, values: &HyperValues, seed: u64) -> Result<(), TrainError> {
        self.fixed = self.device.upload_hypers(&self.step, values)?;
        for program in [&self.start].into_iter().chain(&self.recover) {
            for (slot, buffer) in self.device.upload_hypers(program, values)? {
                if find(&self.fixed, slot).is_none() {
                    self.fixed.push((slot, buffer));
                }
            }
        }
        let interface = &self.step.program.interface;
        self.fixed.push((Slot::Seed, self.device.upload(&interface.ty(Slot::Seed), &seed.to_ne_bytes())?));
        Ok(())
    }

    /// Puts the prior on the device, where it stays.
    ///
    /// # Errors
    /// The device fails.
    pub fn set_prior(&mut self, prior: &Prior) -> Result<(), TrainError> {
        let interface = &self.step.program.interface;
        let upload = |slot: Slot| {
            let numbers = match slot {
                Slot::Prior(StateKind::PRIOR_MEAN, param) => prior.mean.get(param),
                Slot::Prior(_, param) => prior.weight_decay.get(param),
                _ => None,
            };
            let numbers = numbers.map_or(&[][..], Vec::as_slice);
            Ok::<_, DeviceError>((slot, self.device.upload_numbers(&interface.ty(slot), numbers)?))
        };
        self.prior = interface.prior().into_iter().map(upload).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Begins at step 0 from the mean of each parameter.
    ///
    /// `noise` holds the first sample's noise where the program takes noise from outside.
    ///
    /// # Errors
    /// The device fails.
    pub fn begin<X: Copy + Into<f64>>(
        &mut self,
        means: impl IntoIterator<Item: AsRef<[X]>>,
        noise: &[Vec<f64>],
    ) -> Result<(), TrainError> {
        let means = self.upload_all(|param| Slot::State(StateKind::MEAN, param), means)?;
        self.begin_on(means, &self.upload_all(Slot::Noise, noise)?)
    }

    /// Puts a tensor a parameter on the device, one after another.
    fn upload_all<X: Copy + Into<f64>>(
        &self,
        slot_of: fn(usize) -> Slot,
        tensors: impl IntoIterator<Item: AsRef<[X]>>,
    ) -> Result<Vec<(Slot, Buffer)>, TrainError> {
        let interface = &self.start.program.interface;
        let mut uploaded = Vec::new();
        for (slot, numbers) in (0..).map(slot_of).zip(tensors) {
            uploaded.push((slot, self.device.upload_numbers(&interface.ty(slot), numbers.as_ref())?));
        }
        Ok(uploaded)
    }

    /// Begins at step 0 from the mean of each parameter, in the type of the state and row-major.
    ///
    /// # Errors
    /// A mean is missing or of another size, or the device fails.
    pub fn begin_at(&mut self, means: &[&[u8]]) -> Result<(), TrainError> {
        let interface = &self.start.program.interface;
        let upload = |(param, bytes): (usize, &&[u8])| {
            let slot = Slot::State(StateKind::MEAN, param);
            Ok::<_, DeviceError>((slot, self.device.upload(&interface.ty(slot), bytes)?))
        };
        let means = means.iter().enumerate().map(upload).collect::<Result<Vec<_>, _>>()?;
        self.begin_on(means, &[])
    }

    /// Begins at step 0 from means on the device, with the first sample's noise if it comes from outside.
    fn begin_on(&mut self, means: Vec<(Slot, Buffer)>, noise: &[(Slot, Buffer)]) -> Result<(), TrainError> {
        let mut means = means.into_iter();
        let outputs = self.start.run(|slot| {
            if slot.is_carried() {
                return means.next().filter(|(known, _)| *known == slot).map(|(_, mean)| Arg::Donate(mean));
            }
            let given = find(noise, slot).or_else(|| find(&self.fixed, slot));
            given.or_else(|| find(&self.prior, slot)).map(Arg::Keep)
        });
        self.state = outputs?;
        Ok(())
    }

    /// Puts another state in the place of this one, which it gives.
    pub(super) fn exchange(&mut self, state: Vec<(Slot, Buffer)>) -> Vec<(Slot, Buffer)> {
        std::mem::replace(&mut self.state, state)
    }

    /// Continues from carried tensors, as [`Session::state_to_host`] gave them.
    ///
    /// # Errors
    /// A tensor is missing or of another type, or the device fails.
    pub fn restore(&mut self, tensors: &[HostTensor]) -> Result<(), TrainError> {
        let interface = &self.step.program.interface;
        let (mut state, mut prior) = (Vec::new(), Vec::new());
        let carried = self.step.program.inputs.iter().copied().filter(|slot| slot.is_carried());
        for slot in carried.chain(interface.prior()) {
            let name = interface.name(slot);
            let tensor = tensors
                .iter()
                .find(|tensor| tensor.name == name)
                .ok_or_else(|| TrainError::Checkpoint(format!("the tensor `{name}` is missing")))?;
            let wanted = interface.ty(slot);
            if tensor.ty != wanted {
                let message = format!("the tensor `{name}` is {}, but the run needs {wanted}", tensor.ty);
                return Err(TrainError::Checkpoint(message));
            }
            let of = if slot.is_carried() { &mut state } else { &mut prior };
            of.push((slot, self.device.upload(&wanted, &tensor.bytes)?));
        }
        (self.state, self.prior) = (state, prior);
        Ok(())
    }

    /// One step, or as many as the program runs in a call, in one execute call. The state's buffers are donated and
    /// replaced.
    ///
    /// # Errors
    /// The device fails; the state is then lost.
    pub fn step(&mut self, data: CallData) -> Result<PendingSteps, TrainError> {
        self.prepare(data.steps)?;
        let sent;
        let uploaded = match data.rows {
            CallRows::Uploaded(rows) => rows,
            CallRows::Given { .. } | CallRows::Numbered { .. } => {
                sent = self.upload(data.rows, data.steps)?;
                &sent
            }
        };
        let interface = &self.step.program.interface;
        let mut given = Vec::new();
        for (slot_of, tensors) in
            [(Slot::Noise as fn(usize) -> Slot, data.noise), (Slot::FurtherNoise, data.further_noise)]
        {
            for (param, noise) in tensors.iter().enumerate() {
                let slot = slot_of(param);
                given.push((slot, self.device.upload_numbers(&interface.ty(slot), noise)?));
            }
        }
        let mut carried = std::mem::take(&mut self.state).into_iter();
        let outputs = self.program(data.steps).run(|slot| {
            if slot.is_carried() {
                return carried
                    .next()
                    .filter(|(known, _)| *known == slot)
                    .map(|(_, buffer)| Arg::Donate(buffer));
            }
            let of_call = find(&uploaded.0, slot).or_else(|| find(&given, slot));
            let here = of_call.or_else(|| find(&self.fixed, slot));
            here.or_else(|| find(&self.prior, slot)).or_else(|| find(&self.table, slot)).map(Arg::Keep)
        })?;
        let mut scalars = Vec::new();
        for (slot, buffer) in outputs {
            match slot {
                Slot::Metric(metric) | Slot::Trace(metric) => {
                    scalars.push((metric, buffer.start_to_host().map_err(DeviceError::from)?));
                }
                _ => self.state.push((slot, buffer)),
            }
        }
        Ok(PendingSteps { outputs: scalars, steps: data.steps, dtype: interface.dtype })
    }

    /// Tensors that follow from the carried ones: the means, where they are not kept.
    ///
    /// # Errors
    /// The device fails.
    pub fn recovered(&self) -> Result<Vec<(Slot, Buffer)>, TrainError> {
        let Some(recover) = &self.recover else { return Ok(Vec::new()) };
        let supply = |slot: Slot| {
            let kept = find(&self.state, slot).or_else(|| find(&self.fixed, slot));
            kept.or_else(|| find(&self.prior, slot)).map(Arg::Keep)
        };
        Ok(recover.run(supply)?)
    }

    /// A state tensor on the device, or one of the prior.
    pub fn state(&self, kind: StateKind, param: usize) -> Option<&Buffer> {
        let state = find(&self.state, Slot::State(kind, param));
        state.or_else(|| find(&self.prior, Slot::Prior(kind, param)))
    }

    /// Copies every carried tensor to the host, and the means where they are not kept, waiting for the steps before.
    ///
    /// # Errors
    /// The device fails.
    pub fn state_to_host(&self) -> Result<Vec<HostTensor>, TrainError> {
        let interface = &self.step.program.interface;
        let recovered = self.recovered()?;
        let reads: Vec<(Slot, PendingRead)> = self
            .state
            .iter()
            .chain(&recovered)
            .chain(&self.prior)
            .map(|(slot, buffer)| Ok((*slot, buffer.start_to_host()?)))
            .collect::<Result<_, crate::pjrt::Error>>()
            .map_err(DeviceError::from)?;
        reads
            .into_iter()
            .map(|(slot, read)| {
                let bytes = read.wait().map_err(DeviceError::from)?;
                Ok(HostTensor { name: interface.name(slot), ty: interface.ty(slot), bytes })
            })
            .collect()
    }

    /// Every carried tensor, to be written, and those that are `recovered`.
    pub(super) fn stored<'b>(&'b self, recovered: &'b [(Slot, Buffer)]) -> Vec<Stored<'b>> {
        let interface = &self.step.program.interface;
        let stored = |(slot, buffer): &'b (Slot, Buffer)| Stored {
            name: interface.name(*slot).into(),
            ty: interface.ty(*slot),
            elements: Elements::OnDevice(buffer),
        };
        self.state.iter().chain(recovered).chain(&self.prior).map(stored).collect()
    }

    /// Whether the smallest carried tensors that together have at most so many bytes are finite.
    ///
    /// # Errors
    /// The device fails.
    pub(super) fn is_finite(&self, most: usize) -> Result<bool, TrainError> {
        let interface = &self.step.program.interface;
        let sized = self.state.iter().map(|(slot, buffer)| (interface.ty(*slot), buffer));
        let mut sized: Vec<(TensorType, &Buffer)> = sized.collect();
        sized.sort_by_key(|(ty, _)| ty.size_bytes());
        let mut sum = 0;
        for (ty, buffer) in sized {
            sum += ty.size_bytes();
            if sum > most {
                break;
            }
            let bytes = buffer.to_host().map_err(DeviceError::from)?;
            if first_not_finite_of(ty.dtype, &bytes).is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn find(buffers: &[(Slot, Buffer)], slot: Slot) -> Option<&Buffer> {
    buffers.iter().find(|(known, _)| *known == slot).map(|(_, buffer)| buffer)
}
