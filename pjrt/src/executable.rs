//! Compiled programs, and running them.

use std::fmt;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError};

use super::artifact::{Artifact, Owner};
use super::buffer::Buffer;
use super::client;
use super::error::Result;
use super::last_word::{self, Note};
use super::sys::{self, Args};
use super::types::Shape;

/// An argument of a run.
#[derive(Debug)]
pub enum Arg<'a> {
    /// The program may reuse the buffer's memory for the output aliased to this parameter (StableHLO attribute
    /// `tf.aliasing_output` or `jax.buffer_donor`); without one, the buffer is freed after the run.
    Donate(Buffer),
    /// The buffer stays as it is. Where the program aliases this parameter, XLA works on a copy.
    Keep(&'a Buffer),
}

/// A compiled program, loaded on a device; what is known of it without running it is its [`Artifact`]'s.
pub struct Executable {
    client: Arc<client::Inner>,
    artifact: Artifact,
    loaded: Loaded,
    outputs: Vec<Arc<Shape>>,
    /// The last word of its runs.
    word: Note,
    /// Space for argument lists, reused from run to run.
    scratch: Mutex<Vec<Scratch>>,
}

// SAFETY: PJRT executables do not change once loaded and lock their caches, and frameworks run one from many
// threads at once; the scratch space is emptied before it goes back behind its lock.
unsafe impl Send for Executable {}
// SAFETY: as above.
unsafe impl Sync for Executable {}

/// The lists of one run.
#[derive(Default)]
struct Scratch {
    inputs: Vec<*mut sys::Buffer>,
    kept: Vec<i64>,
    donated: Vec<Buffer>,
    outputs: Vec<*mut sys::Buffer>,
}

impl Executable {
    /// Takes over an executable that the client's plugin just gave.
    pub(super) fn new(
        client: Arc<client::Inner>,
        loaded: NonNull<sys::LoadedExecutable>,
        options: String,
    ) -> Result<Executable> {
        let loaded = Loaded { client: client.clone(), raw: loaded };
        let mut args = sys::LoadedGetExecutableArgs::new();
        args.loaded = loaded.raw.as_ptr();
        let call = "PJRT_LoadedExecutable_GetExecutable";
        // SAFETY: the executable is alive.
        unsafe { client.invoke(client.api().loaded_get_executable, call, &mut args) }?;
        let artifact =
            Artifact::new(Owner::Client(client.clone()), client.given(args.executable, call)?, options)?;
        loaded.check_devices()?;
        let outputs = artifact.output_shapes()?.into_iter().map(Arc::new).collect();
        let word = artifact.word("running");
        Ok(Executable { client, artifact, loaded, outputs, word, scratch: Mutex::default() })
    }

    /// The shapes of the outputs, in order.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = &Shape> {
        self.outputs.iter().map(|shape| &**shape)
    }

    /// Starts a run and returns its outputs, which may still be being computed. An error of the run itself comes
    /// out where an output is waited for or read, also when it went through further runs first. If starting fails,
    /// the donated buffers are gone all the same.
    pub fn execute<'a>(&self, arguments: impl IntoIterator<Item = Arg<'a>>) -> Result<Vec<Buffer>> {
        last_word::running(self.word);
        let pooled = self.scratch.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = pooled.unwrap_or_default();
        let outputs = self.execute_with(arguments, &mut scratch);
        scratch.clear();
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        outputs
    }

    fn execute_with<'a>(
        &self,
        arguments: impl IntoIterator<Item = Arg<'a>>,
        scratch: &mut Scratch,
    ) -> Result<Vec<Buffer>> {
        for (index, argument) in arguments.into_iter().enumerate() {
            let buffer = match &argument {
                Arg::Donate(buffer) => buffer,
                Arg::Keep(buffer) => buffer,
            };
            if !buffer.belongs_to(&self.client) {
                return Err(self.client.unfit(format!(
                    "{}: argument {index} lives on another client than the executable",
                    self.name()
                )));
            }
            scratch.inputs.push(buffer.raw());
            match argument {
                Arg::Donate(buffer) => scratch.donated.push(buffer),
                Arg::Keep(_) => scratch.kept.push(index as i64),
            }
        }
        scratch.outputs.resize(self.outputs.len(), ptr::null_mut());

        let mut options = sys::ExecuteOptions::new();
        options.non_donatable_input_indices = scratch.kept.as_ptr();
        options.num_non_donatable_input_indices = scratch.kept.len();
        let argument_list = scratch.inputs.as_ptr();
        let output_list = scratch.outputs.as_mut_ptr();
        let mut args = sys::ExecuteArgs::new();
        args.executable = self.loaded.raw.as_ptr();
        args.options = &mut options;
        args.argument_lists = &argument_list;
        args.num_devices = 1;
        args.num_args = scratch.inputs.len();
        args.output_lists = &output_list;
        let call = "PJRT_LoadedExecutable_Execute";
        // SAFETY: all lists outlive the call, the output list is as long as the program has outputs, and the
        // inputs are alive: the kept ones are borrowed for 'a, the donated ones owned by the scratch.
        unsafe { self.client.invoke(self.client.api().loaded_execute, call, &mut args) }?;

        // Every output is taken over, also beside one that is missing: an error on the way would leave the rest to nobody.
        let mut outputs = Vec::with_capacity(self.outputs.len());
        let mut missing = None;
        for (raw, shape) in scratch.outputs.drain(..).zip(&self.outputs) {
            match self.client.given(raw, call) {
                Ok(raw) => outputs.push(Buffer::new(self.client.clone(), raw, shape.clone())),
                Err(error) => missing = Some(error),
            }
        }
        missing.map_or(Ok(outputs), Err)
    }
}

impl Deref for Executable {
    type Target = Artifact;

    fn deref(&self) -> &Artifact {
        &self.artifact
    }
}

impl fmt::Debug for Executable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executable").field("name", &self.name()).field("outputs", &self.outputs).finish()
    }
}

impl Scratch {
    fn clear(&mut self) {
        self.inputs.clear();
        self.kept.clear();
        self.donated.clear();
        self.outputs.clear();
    }
}

/// The handle of a loaded executable.
struct Loaded {
    client: Arc<client::Inner>,
    raw: NonNull<sys::LoadedExecutable>,
}

impl Loaded {
    fn check_devices(&self) -> Result<()> {
        let mut args = sys::LoadedDevicesArgs::new();
        args.executable = self.raw.as_ptr();
        let call = "PJRT_LoadedExecutable_AddressableDevices";
        // SAFETY: the executable is alive.
        unsafe { self.client.invoke(self.client.api().loaded_addressable_devices, call, &mut args) }?;
        // Runs pass lists of one device, so a program for more would read past them.
        match args.num_devices {
            1 => Ok(()),
            count => Err(self.client.unfit(format!("the program runs on {count} devices here, not on one"))),
        }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let mut args = sys::LoadedDestroyArgs::new();
        args.executable = self.raw.as_ptr();
        let call = "PJRT_LoadedExecutable_Destroy";
        // SAFETY: the executable is not used after this; PJRT keeps it until its last run has ended.
        let destroyed = unsafe { self.client.invoke(self.client.api().loaded_destroy, call, &mut args) };
        if let Err(error) = destroyed {
            tracing::warn!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ElementType;
    use crate::testing::{self, f32s, fake};

    #[test]
    fn a_donated_buffer_is_reused_for_the_output() {
        let client = testing::client();
        let executable = testing::compile(&client, testing::DOUBLE_IN_PLACE);
        let input = client.upload(ElementType::F32, &[4], &f32s(&[1.0, 2.0, 3.0, 4.0])).unwrap();
        let address = input.address().unwrap();
        let output = executable.execute([Arg::Donate(input)]).unwrap().remove(0);
        assert_eq!(output.address().unwrap(), address);
        assert_eq!(output.to_host().unwrap(), f32s(&[2.0, 4.0, 6.0, 8.0]));
    }

    #[test]
    fn a_kept_buffer_survives_a_program_that_could_reuse_it() {
        let client = testing::client();
        let executable = testing::compile(&client, testing::DOUBLE_IN_PLACE);
        let input = client.upload(ElementType::F32, &[4], &f32s(&[1.0, 2.0, 3.0, 4.0])).unwrap();
        let outputs = executable.execute([Arg::Keep(&input)]).unwrap();
        assert_ne!(outputs[0].address().unwrap(), input.address().unwrap());
        assert_eq!(outputs[0].to_host().unwrap(), f32s(&[2.0, 4.0, 6.0, 8.0]));
        assert_eq!(input.to_host().unwrap(), f32s(&[1.0, 2.0, 3.0, 4.0]));
    }

    #[test]
    fn a_read_under_way_outlives_donation() {
        const MANY: i64 = 1 << 20;
        let program = testing::DOUBLE_IN_PLACE.replace("4xf32", &format!("{MANY}xf32"));
        let client = testing::client();
        let executable = testing::compile(&client, &program);
        let ones = f32s(&vec![1.0; MANY as usize]);
        let mut state = client.upload(ElementType::F32, &[MANY], &ones).unwrap();
        let mut reads = Vec::new();
        for _ in 0..8 {
            reads.push(state.start_to_host().unwrap());
            state = executable.execute([Arg::Donate(state)]).unwrap().remove(0);
        }
        for (step, read) in reads.into_iter().enumerate() {
            assert!(
                read.wait().unwrap() == f32s(&vec![f32::powi(2.0, step as i32); MANY as usize]),
                "{step}"
            );
        }
        assert_eq!(state.to_host().unwrap()[..4], 256.0_f32.to_ne_bytes());
    }

    #[test]
    fn a_serialized_executable_gives_the_same_result() {
        let client = testing::client();
        let executable = testing::compile(&client, testing::DOUBLE_IN_PLACE);
        let bytes = executable.serialize().unwrap();
        drop(executable);
        let executable = testing::client().deserialize(&bytes).unwrap();
        assert_eq!(executable.name(), "double_in_place");
        let error =
            executable.execute([Arg::Keep(&client.upload(ElementType::F32, &[4], &[0; 16]).unwrap())]);
        assert!(error.unwrap_err().to_string().contains("argument 0 lives on another client"));

        let executable = client.deserialize(&bytes).unwrap();
        let input = client.upload(ElementType::F32, &[4], &f32s(&[0.5, 1.0, 2.0, 4.0])).unwrap();
        let address = input.address().unwrap();
        let output = executable.execute([Arg::Donate(input)]).unwrap().remove(0);
        assert_eq!(output.to_host().unwrap(), f32s(&[1.0, 2.0, 4.0, 8.0]));
        assert_eq!(output.address().unwrap(), address);
    }

    #[test]
    fn wrong_arguments_are_refused() {
        let client = testing::client();
        let executable = testing::compile(&client, testing::DOUBLE);
        assert!(executable.execute([]).is_err());
        let short = client.upload(ElementType::F32, &[3], &[0; 12]).unwrap();
        let run = executable.execute([Arg::Keep(&short)]).and_then(|outputs| outputs[0].to_host());
        assert!(run.is_err(), "{run:?}");
    }

    #[test]
    fn outputs_beside_a_missing_one_are_destroyed() {
        let client = fake::client();
        let executable = testing::compile(&client, "");
        for missing in 0..fake::OUTPUTS {
            fake::state(|state| state.outputs = std::array::from_fn(|index| index != missing));
            let error = executable.execute([]).unwrap_err().to_string();
            assert!(error.contains("PJRT_LoadedExecutable_Execute gave no handle"), "{error}");
            assert_eq!(fake::live("buffer"), 0, "output {missing}");
        }
        fake::state(|state| state.outputs = [true; fake::OUTPUTS]);
        let outputs = executable.execute([]).unwrap();
        assert_eq!((outputs.len(), fake::live("buffer")), (fake::OUTPUTS, fake::OUTPUTS));
        drop((executable, client));
        assert_eq!((fake::live("loaded"), fake::live("executable"), fake::live("client")), (0, 0, 1));
        drop(outputs);
        assert_eq!((fake::live("buffer"), fake::live("client")), (0, 0));
    }

    #[test]
    fn donated_buffers_are_destroyed_where_a_run_cannot_start() {
        let client = fake::client();
        let executable = testing::compile(&client, "");
        let input = client.upload(ElementType::U8, &[2], &[1, 2]).unwrap();
        fake::state(|state| state.run_fails = true);
        assert!(executable.execute([Arg::Donate(input)]).is_err());
        assert_eq!((fake::live("buffer"), fake::live("error")), (0, 0));
    }

    #[test]
    fn several_threads_run_one_executable() {
        let client = testing::client();
        let executable = testing::compile(&client, testing::DOUBLE);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (client, executable) = (&client, &executable);
                scope.spawn(move || {
                    for step in 0..50 {
                        let value = (thread * 100 + step) as f32;
                        let input = client.upload(ElementType::F32, &[4], &f32s(&[value; 4])).unwrap();
                        let outputs = executable.execute([Arg::Donate(input)]).unwrap();
                        assert_eq!(outputs[0].to_host().unwrap(), f32s(&[2.0 * value; 4]));
                    }
                });
            }
        });
    }
}
