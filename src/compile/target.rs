//! What natgrad asks of XLA on each platform.

use super::linear;
use crate::lower::{Halves, Linear, Loops, Lowering, Materialization, WeightGradients};
use crate::pjrt::{Client, CompileOptions, OptionValue};
use crate::step::{Placement, Program, Recipe, StatePlan, StepError};

/// A kind of platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The host's processor.
    Cpu,
    /// A graphics processor of any vendor.
    Gpu,
    /// A tensor processing unit.
    Tpu,
    /// A platform natgrad knows nothing of.
    Other,
}

/// The option of XLA:CPU by which it makes one loop of results that are elementwise in the same tensors
/// ([`Loops::Merged`]).
const MERGING_OPTION: &str = "xla_cpu_use_multi_output_fusion";

/// LLVM's option for the most rounds of a loop that it writes out round by round, and their number. LLVM does so before it makes loops
/// of vectors, and makes none of what is written out. Without this option, loops over 16 channels are computed element by element. Loops
/// of fewer rounds than a vector of 512 bits has numbers in single precision stay as they are.
const UNROLLING_OPTION: (&str, &str) = ("-unroll-full-max-count", "15");

/// What a target makes of computations that share inputs and have several outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// A kernel for each output.
    Apart,
    /// One kernel.
    Fused,
    /// One loop, and one for several tensors of a shape as long as it has few operands, as XLA:CPU merges loops.
    Merged,
}

impl Target {
    /// The target a client compiles for.
    pub fn of(client: &Client) -> Target {
        Target::of_platform(client.platform_name())
    }

    /// The target of a platform of this name.
    pub(super) fn of_platform(name: &str) -> Target {
        match name.to_ascii_lowercase().as_str() {
            "cpu" => Target::Cpu,
            "gpu" | "cuda" | "rocm" | "sycl" => Target::Gpu,
            "tpu" => Target::Tpu,
            _ => Target::Other,
        }
    }

    /// The options natgrad starts a client with on this target, for [`Client::create`].
    pub fn client_options(self) -> Vec<(String, OptionValue)> {
        match self {
            // Left alone, CPU plugins show one processor as several devices.
            Target::Cpu => vec![("cpu_device_count".to_owned(), OptionValue::Int(1))],
            Target::Gpu | Target::Tpu | Target::Other => Vec::new(),
        }
    }

    /// What the environment must say before the target's plugin is opened, where the device is not here: without it
    /// libtpu asks Google Cloud's metadata server for the TPU of this machine, for minutes, and which type it is
    /// taken for does not matter to a topology.
    pub fn ahead_environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Target::Tpu => &[
                ("TPU_SKIP_MDS_QUERY", "1"),
                ("TPU_WORKER_HOSTNAMES", "localhost"),
                ("TPU_WORKER_ID", "0"),
                ("TPU_ACCELERATOR_TYPE", "v5litepod-4"),
                // No TPU is used, so several processes may compile for one at the same time.
                ("ALLOW_MULTIPLE_LIBTPU_LOAD", "true"),
                // What stops a compilation comes back as its error; libtpu's log speaks of huge pages.
                ("TPU_MIN_LOG_LEVEL", "3"),
            ],
            Target::Cpu | Target::Gpu | Target::Other => &[],
        }
    }

    /// How programs are told to XLA on this target. `loops` says what the plugin of a CPU takes: only natgrad's own is
    /// known to read `mhlo.fusion`, which is no part of StableHLO. Other targets merge loops by themselves.
    pub fn lowering(self, loops: Loops) -> Lowering {
        match self {
            Target::Cpu => Lowering {
                loops,
                weight_gradients: WeightGradients::Tuned,
                halves: Halves::Wide,
                linear: Linear::OneDnn(linear::library),
                ..Lowering::chosen(Materialization::Call)
            },
            Target::Gpu | Target::Tpu | Target::Other => Lowering::chosen(Materialization::Barrier),
        }
    }

    /// Where training examples are, for [`Placement::Auto`]. A processor's memory is the host's: nothing is gained there.
    pub fn placement(self) -> Placement {
        match self {
            Target::Gpu | Target::Tpu => Placement::Device,
            Target::Cpu | Target::Other => Placement::Host,
        }
    }

    /// What is kept of mean and sample, for [`StatePlan::Auto`]: a target bound by memory recovers the mean with noise
    /// that costs it nothing; a processor pays for arithmetic.
    pub fn state_plan(self) -> StatePlan {
        match self {
            Target::Gpu | Target::Tpu => StatePlan::Implicit,
            Target::Cpu | Target::Other => StatePlan::Explicit,
        }
    }

    /// Whether a call of several steps has their number compiled in: XLA:GPU asks the host before every round of a loop
    /// whose end it does not know.
    pub(super) fn counts_ahead(self) -> bool {
        match self {
            Target::Gpu | Target::Tpu => true,
            Target::Cpu | Target::Other => false,
        }
    }

    /// The training step for this target: one that knows how many steps a call runs, where the target wants so.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn step(self, recipe: &Recipe, rows: usize) -> Result<Program, StepError> {
        step(recipe, rows, self.counts_ahead())
    }

    /// What XLA makes of computations that share inputs and have several outputs.
    pub fn outputs(self, loops: Loops) -> Outputs {
        match (self, loops) {
            (Target::Cpu, Loops::Chosen) => Outputs::Apart,
            (Target::Cpu, Loops::Merged) => Outputs::Merged,
            (Target::Gpu | Target::Tpu | Target::Other, _) => Outputs::Fused,
        }
    }

    /// The compile options natgrad starts from on this target, for programs told with such loops.
    pub fn options(self, loops: Loops) -> CompileOptions {
        match (self, loops) {
            (Target::Cpu, Loops::Chosen) => Target::cpu_options(),
            // LLVM ends the process over an option that it does not know, so only natgrad's own plugin gets these.
            (Target::Cpu, Loops::Merged) => {
                let (unrolling, rounds) = UNROLLING_OPTION;
                Target::cpu_options().backend_option(MERGING_OPTION, "true").backend_option(unrolling, rounds)
            }
            (Target::Gpu | Target::Tpu | Target::Other, _) => CompileOptions::new(),
        }
    }

    /// The options by which a program gives the same bits in every run, also where it is compiled anew. On GPUs some
    /// operations add in any order, and XLA chooses algorithms, and the tiles of its own products, by their times
    /// (`docs/determinism.md` of XLA).
    pub fn deterministic(self, options: CompileOptions) -> CompileOptions {
        match self {
            Target::Gpu => options
                .flag("xla_gpu_exclude_nondeterministic_ops", true)
                .flag("xla_gpu_enable_triton_gemm", false)
                .flag("xla_gpu_autotune_level", 0),
            Target::Cpu | Target::Tpu | Target::Other => options,
        }
    }

    fn cpu_options() -> CompileOptions {
        CompileOptions::new()
            // Without it XLA:CPU copies a donated parameter that something may still read later, which costs a
            // training step one more pass over its whole state.
            .flag("xla_cpu_copy_insertion_use_region_analysis", true)
            // By default XLA:CPU's max(0, NaN) is 0, so that a maximum hides a loss that has diverged.
            .flag("xla_cpu_enable_fast_min_max", false)
            // XLA:CPU makes vectors of 256 bits where it could make 512. A step's one loop over state and noise is
            // bound by arithmetic at 256.
            .flag("xla_cpu_prefer_vector_width", 512)
    }
}

/// The training step, which knows how many steps a call runs if `ahead`.
pub(super) fn step(recipe: &Recipe, rows: usize, ahead: bool) -> Result<Program, StepError> {
    if ahead && recipe.plan.per_call > 1 { recipe.whole_call(rows) } else { recipe.step(rows) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::testing::{self, f32s};
    use crate::pjrt::{Arg, ElementType, Executable};

    /// A step on donated state (mean, momentum, hess), each read by several of the outputs that replace them.
    const STEP: &str = r#"module @step {
      "func.func"() ({
      ^bb0(%mean: tensor<1024xf32>, %mom: tensor<1024xf32>, %hess: tensor<1024xf32>, %grad: tensor<1024xf32>):
        %decay = "stablehlo.constant"() {value = dense<0.5> : tensor<1024xf32>} : () -> tensor<1024xf32>
        %zero = "stablehlo.constant"() {value = dense<0.0> : tensor<f32>} : () -> tensor<f32>
        %old_mom = "stablehlo.multiply"(%mom, %decay) : (tensor<1024xf32>, tensor<1024xf32>) -> tensor<1024xf32>
        %new_mom = "stablehlo.add"(%old_mom, %grad) : (tensor<1024xf32>, tensor<1024xf32>) -> tensor<1024xf32>
        %square = "stablehlo.multiply"(%grad, %grad) : (tensor<1024xf32>, tensor<1024xf32>) -> tensor<1024xf32>
        %old_hess = "stablehlo.multiply"(%hess, %decay) : (tensor<1024xf32>, tensor<1024xf32>) -> tensor<1024xf32>
        %new_hess = "stablehlo.add"(%old_hess, %square) : (tensor<1024xf32>, tensor<1024xf32>) -> tensor<1024xf32>
        %step = "stablehlo.divide"(%new_mom, %new_hess) : (tensor<1024xf32>, tensor<1024xf32>) -> tensor<1024xf32>
        %new_mean = "stablehlo.subtract"(%mean, %step) : (tensor<1024xf32>, tensor<1024xf32>) -> tensor<1024xf32>
        %product = "stablehlo.multiply"(%mean, %grad) : (tensor<1024xf32>, tensor<1024xf32>) -> tensor<1024xf32>
        %metric = "stablehlo.reduce"(%product, %zero) <{dimensions = array<i64: 0>}> ({
        ^bb1(%a: tensor<f32>, %b: tensor<f32>):
          %sum = "stablehlo.add"(%a, %b) : (tensor<f32>, tensor<f32>) -> tensor<f32>
          "stablehlo.return"(%sum) : (tensor<f32>) -> ()
        }) : (tensor<1024xf32>, tensor<f32>) -> tensor<f32>
        "func.return"(%new_mean, %new_mom, %new_hess, %metric)
          : (tensor<1024xf32>, tensor<1024xf32>, tensor<1024xf32>, tensor<f32>) -> ()
      }) {function_type = (tensor<1024xf32>, tensor<1024xf32>, tensor<1024xf32>, tensor<1024xf32>)
            -> (tensor<1024xf32>, tensor<1024xf32>, tensor<1024xf32>, tensor<f32>), sym_name = "main",
          arg_attrs = [{tf.aliasing_output = 0 : i32}, {tf.aliasing_output = 1 : i32},
                       {tf.aliasing_output = 2 : i32}, {}]} : () -> ()
    }"#;

    /// How many copy instructions the optimized program has: the opcode is field 2 of an instruction, a text.
    fn copies(executable: &Executable) -> usize {
        let hlo = executable.optimized_hlo().unwrap();
        hlo.windows(6).filter(|window| window == b"\x12\x04copy").count()
    }

    #[test]
    fn the_cpu_is_one_device() {
        let client = Client::create(&testing::plugin(), &Target::Cpu.client_options()).unwrap();
        assert_eq!(client.devices().len(), 1);
    }

    #[test]
    fn donated_state_is_updated_without_copies() {
        let client = testing::client();
        assert_eq!(Target::of(&client), Target::Cpu);
        let executable =
            client.compile(STEP.as_bytes(), &Target::of(&client).options(Loops::Chosen)).unwrap();
        assert_eq!(copies(&executable), 0);
        let plain = client.compile(STEP.as_bytes(), &CompileOptions::new()).unwrap();
        assert!(copies(&plain) > 0, "the flag is not needed any more");

        let upload = |value: f32| client.upload(ElementType::F32, &[1024], &f32s(&[value; 1024])).unwrap();
        let state = [upload(1.0), upload(2.0), upload(4.0)];
        let addresses: Vec<usize> = state.iter().map(|buffer| buffer.address().unwrap()).collect();
        let grad = upload(2.0);
        let arguments = state.into_iter().map(Arg::Donate).chain([Arg::Keep(&grad)]);
        let outputs = executable.execute(arguments).unwrap();
        let results: Vec<Vec<u8>> = outputs.iter().map(|buffer| buffer.to_host().unwrap()).collect();
        let expected = [f32s(&[0.5; 1024]), f32s(&[3.0; 1024]), f32s(&[6.0; 1024]), f32s(&[2048.0])];
        assert!(results == expected);
        let reused: Vec<usize> = outputs[..3].iter().map(|buffer| buffer.address().unwrap()).collect();
        assert_eq!(reused, addresses);
    }
}
