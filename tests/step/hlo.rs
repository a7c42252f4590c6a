//! What XLA:CPU makes of a step: one program of all stages, noise computed once an element and never stored, state
//! updated in place. And that each of these checks can fail.

use std::collections::BTreeSet;

use natgrad::compile::stablehlo;
use natgrad::inspect::{BufferRole, CopySource, HloModule, Stage, StageTotal, Summary, hashed_elements};
use natgrad::lower::{Donation, to_stablehlo};
use natgrad::pjrt::{Arg, Buffer, CompileOptions, Executable};
use natgrad::rule::{Adam, AdamW, Estimator, Ivon, NamedRule, Schedule};
use natgrad::step::{NoiseSource, Program, Slot, StatePlan, StepPlan};
use natgrad_ir::graph::{Def, ValueData};
use natgrad_ir::{DType, FuncId, Function, Inst, Value, verify};
use natgrad_layers::{Activation, Mlp, NamedModel};

use crate::device::{DEVICE, lowering, upload};
use crate::kit::Setup;

/// Hashes that one normal takes.
const HASHES: u64 = 2;
const POINT: &[Stage] = &[Stage::LossAndGradient, Stage::Update];
const VARIATIONAL: &[Stage] = &[Stage::LossAndGradient, Stage::Estimate, Stage::Update, Stage::Resample];

pub fn mlp(sizes: &[usize], activation: Activation) -> NamedModel {
    NamedModel::Mlp(Mlp { sizes: sizes.to_vec(), activation, noise: None })
}

pub fn small() -> NamedModel {
    mlp(&[4, 3, 2], Activation::Tanh)
}

/// The step program in single precision, as training compiles it.
pub fn step(model: NamedModel, rule: NamedRule, rows: usize) -> Program {
    let schedule = Schedule::default();
    Setup { dtype: DType::F32, schedule, rows, ..Setup::new(model, rule) }.recipe().step(rows).unwrap()
}

pub fn compile(text: &str, options: &CompileOptions) -> Executable {
    DEVICE.client().compile(text.as_bytes(), options).unwrap()
}

pub fn natgrads_own() -> CompileOptions {
    DEVICE.options().clone()
}

pub fn summary(executable: &Executable) -> Summary {
    Summary::of(&HloModule::decode(&executable.optimized_hlo().unwrap()).unwrap())
}

/// A promise that an optimized step does not keep.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing in the program belongs to the stage.
    NoStage(Stage),
    /// Another number of elements is hashed than the noise of all parameters takes.
    Hashed { found: u64, wanted: u64 },
    /// A fusion computes the hash of one element several times, or a loop runs around it.
    Repeated { instruction: String },
    /// A hash is in another stage than the one that draws.
    Elsewhere { stage: Option<Stage> },
    /// What computes noise writes something other than state.
    Stored { shape: String, role: BufferRole },
    /// A copy is made.
    Copied { source: String },
    /// A carried input is not in the memory of the output that replaces it, or another input is in any.
    NotInPlace { input: Slot },
}

pub fn faults(summary: &Summary, program: &Program, stages: &[Stage], draws: bool) -> BTreeSet<Fault> {
    let mut faults = BTreeSet::new();
    let found: BTreeSet<Stage> = summary.instructions.iter().flat_map(|it| it.stages.clone()).collect();
    faults.extend(stages.iter().filter(|stage| !found.contains(stage)).map(|&stage| Fault::NoStage(stage)));

    let elements: usize = program.interface.params.iter().map(|param| param.shape.elements()).sum();
    let wanted = if draws { HASHES * elements as u64 } else { 0 };
    let hashed = hashed_elements(&summary.noise);
    if hashed != wanted {
        faults.insert(Fault::Hashed { found: hashed, wanted });
    }
    for site in &summary.noise {
        if site.evaluations != site.elements || site.trips != Some(1) {
            faults.insert(Fault::Repeated { instruction: site.instruction.clone() });
        }
        if site.stage != Some(Stage::Resample) {
            faults.insert(Fault::Elsewhere { stage: site.stage });
        }
        for output in &site.producer.outputs {
            if !matches!(output.role, BufferRole::State { .. }) {
                faults.insert(Fault::Stored { shape: output.shape.to_string(), role: output.role.clone() });
            }
        }
    }
    for copy in &summary.copies {
        let source = match &copy.source {
            CopySource::Parameter(number) => format!("{:?}", program.inputs[*number as usize]),
            CopySource::Value(_) => "a value".to_owned(),
        };
        faults.insert(Fault::Copied { source });
    }
    assert_eq!(summary.parameters.len(), program.inputs.len());
    for (parameter, (&input, output)) in
        summary.parameters.iter().zip(program.inputs.iter().zip(program.donation()))
    {
        let wanted: Vec<Vec<i64>> = output.into_iter().map(|output| vec![output as i64]).collect();
        if parameter.aliased_outputs != wanted {
            faults.insert(Fault::NotInPlace { input });
        }
    }
    faults
}

/// The faults of a step by IVON, compiled as training compiles it.
fn faults_of_ivon(program: &Program) -> BTreeSet<Fault> {
    let executable = compile(&stablehlo(program, lowering()).unwrap(), &natgrads_own());
    faults(&summary(&executable), program, VARIATIONAL, true)
}

#[test]
fn every_variant_is_one_program_that_keeps_all_promises() {
    let variants = [
        Ivon::default(),
        Ivon { estimator: Estimator::Gradsq, clip_radius: Some(0.1), ..Ivon::default() },
        Ivon { debias: false, rescale_lr: false, ..Ivon::default() },
        Ivon { beta2: 0.999, hess_clip: Some(1.5), ..Ivon::default() },
    ];
    for variant in variants {
        for activation in [Activation::Relu, Activation::Tanh] {
            let model = mlp(&[12, 16, 8, 3], activation);
            let program = step(model, NamedRule::Ivon(variant.clone()), 5);
            assert_eq!(faults_of_ivon(&program), BTreeSet::new(), "{variant:?}");
        }
    }
    for rule in [NamedRule::Adam(Adam::default()), NamedRule::Adamw(AdamW::default())] {
        let program = step(small(), rule, 5);
        let executable = compile(&stablehlo(&program, lowering()).unwrap(), &natgrads_own());
        assert_eq!(faults(&summary(&executable), &program, POINT, false), BTreeSet::new());
    }
}

/// Samples beyond the first are drawn where they are stored, once for each: not in the loops that use them.
#[test]
fn further_samples_are_drawn_once_and_stored() {
    let plan = StepPlan { samples: 2, accumulation: 2, ..StepPlan::default() };
    for state in [StatePlan::Explicit, StatePlan::Implicit] {
        let rule = NamedRule::Ivon(Ivon::default());
        let plan = StepPlan { state, ..plan };
        let setup = Setup {
            dtype: DType::F32,
            rows: 5,
            plan,
            ..Setup::new(mlp(&[12, 16, 3], Activation::Relu), rule)
        };
        let program = setup.recipe().step(5).unwrap();
        let executable = compile(&stablehlo(&program, lowering()).unwrap(), &natgrads_own());
        let summary = summary(&executable);
        let elements: u64 = program.interface.params.iter().map(|param| param.shape.elements() as u64).sum();
        let drawn = |stage: Stage| -> Vec<_> {
            summary.noise.iter().filter(|site| site.stage == Some(stage)).cloned().collect()
        };
        for stage in [Stage::Further, Stage::Resample] {
            let sites = drawn(stage);
            assert_eq!(hashed_elements(&sites), HASHES * elements, "{stage}");
            for site in &sites {
                assert_eq!(site.evaluations, site.elements, "{stage}");
            }
        }
        // XLA:CPU, which has no fusion of several outputs, computes the noise of an implicit mean for each that needs it.
        let elsewhere = summary.noise.iter().filter(|site| {
            !matches!(site.stage, Some(Stage::Further | Stage::Resample))
                && (state == StatePlan::Explicit || site.stage != Some(Stage::Recover))
        });
        assert_eq!(elsewhere.count(), 0);
    }
}

#[test]
fn one_call_replaces_all_state_in_place() {
    let setup = Setup::new(small(), NamedRule::Ivon(Ivon::default()));
    let program = setup.recipe().step(setup.rows).unwrap();
    let given = setup.begin(&program);
    let compiled = DEVICE.compile(program).unwrap();
    let mut buffers: Vec<(Slot, Buffer)> =
        compiled.program.inputs.iter().map(|&slot| (slot, upload(&given[&slot]))).collect();
    let address = |buffers: &[(Slot, Buffer)]| -> Vec<(Slot, usize)> {
        let carried = buffers.iter().filter(|(slot, _)| slot.is_carried());
        carried.map(|(slot, buffer)| (*slot, buffer.address().unwrap())).collect()
    };
    let before = address(&buffers);
    let (carried, kept): (Vec<_>, Vec<_>) = buffers.drain(..).partition(|(slot, _)| slot.is_carried());
    let mut carried = carried.into_iter();
    let outputs = compiled.run(|slot| match slot.is_carried() {
        true => carried.next().map(|(_, buffer)| Arg::Donate(buffer)),
        false => kept.iter().find(|(known, _)| *known == slot).map(|(_, buffer)| Arg::Keep(buffer)),
    });
    assert_eq!(address(&outputs.unwrap()), before);
    assert_eq!(before.len(), 4 * 4 + 1);
}

/// The stages of a rule's step and its memory, as text.
fn costs(rule: &NamedRule, executable: &Executable, program: &Program) -> (Vec<StageTotal>, String) {
    let summary = summary(executable);
    let elements: usize = program.interface.params.iter().map(|param| param.shape.elements()).sum();
    let mut text = format!("{}, {elements} parameters\n", rule.name());
    for total in &summary.stages {
        let name = total.stage.map_or("none", Stage::name);
        let (read, written) = (total.traffic.read, total.traffic.written);
        let per_parameter = total.traffic.total() as f64 / elements as f64;
        text += &format!(
            "  {name:<18} {:>2} instructions, {:>2} fusions, {read:>8} bytes read, {written:>8} written, \
             {per_parameter:>5.1} a parameter\n",
            total.instructions, total.fusions
        );
    }
    let stats = executable.memory_stats().unwrap();
    text += &format!(
        "  arguments {}, outputs {}, in place {}, temporaries {}\n",
        stats.arguments, stats.outputs, stats.aliased, stats.temporaries
    );
    (summary.stages, text)
}

/// Stages, fusions, bytes and temporaries of IVON's step and AdamW's, in a snapshot.
///
/// XLA:CPU decides all of this from shapes. How many threads share a loop and which instructions it is made of
/// depend on the machine, and are not in here.
fn compare(name: &str, model: &NamedModel, rows: usize) {
    let [(ivon, ivon_text), (adamw, adamw_text)] =
        [(NamedRule::Ivon(Ivon::default()), VARIATIONAL), (NamedRule::Adamw(AdamW::default()), POINT)].map(
            |(rule, stages)| {
                let program = step(model.clone(), rule.clone(), rows);
                let executable = compile(&stablehlo(&program, lowering()).unwrap(), &natgrads_own());
                let draws = rule.has_posterior();
                let found = faults(&summary(&executable), &program, stages, draws);
                assert_eq!(found, BTreeSet::new(), "{name} {}", rule.name());
                costs(&rule, &executable, &program)
            },
        );
    let gradient = [&ivon, &adamw]
        .map(|stages| stages.iter().find(|total| total.stage == Some(Stage::LossAndGradient)).unwrap());
    assert_eq!(gradient[0], gradient[1], "{name}: the gradient costs what it costs AdamW");
    insta::assert_snapshot!(name, format!("{adamw_text}{ivon_text}"));
}

#[test]
fn what_ivon_costs_beyond_adamw_in_a_small_step() {
    compare("costs_of_a_small_step", &small(), 2);
}

#[test]
fn what_ivon_costs_beyond_adamw_in_the_step_of_the_large_perceptron() {
    compare("costs_of_a_large_step", &mlp(&[784, 1024, 1024, 10], Activation::Relu), 256);
}

/// A result added to one of the program's calls, and to the program.
pub fn add_result(main: &mut Function, call: usize, ty: natgrad_ir::TensorType) {
    let value = Value::from_index(main.values.len());
    let def = Def::Result { inst: Inst::from_index(call), index: main.insts[call].results.len() };
    main.values.push(ValueData { ty, def, name: None });
    main.insts[call].results.push(value);
    main.results.push(value);
}

/// The program with a change to its module, whose new results are counted as outputs.
pub fn changed(program: &Program, change: impl FnOnce(&mut [Function], FuncId)) -> Program {
    let mut module = program.module.module().clone();
    let resample = module.by_name("resample").unwrap();
    change(&mut module.functions, resample);
    let mut outputs = program.outputs.clone();
    let results = module.entry().unwrap().results.len();
    outputs.extend((outputs.len()..results).map(Slot::Noise));
    Program { module: verify(module).unwrap(), outputs, ..program.clone() }
}

pub fn call_of(main: &Function, callee: FuncId) -> usize {
    main.insts.iter().position(|inst| inst.op.callee() == Some(callee)).unwrap()
}

/// The program with the noise of its last parameter as one more output.
pub fn with_noise_stored(program: &Program) -> Program {
    changed(program, |functions, resample| {
        let function = &mut functions[resample.index()];
        let noise = function.insts.iter().rev().find(|inst| inst.scope.ends_with("noise")).unwrap();
        let noise = noise.results[0];
        function.results.push(noise);
        let ty = function.ty(noise).clone();
        let main = functions.last_mut().unwrap();
        add_result(main, call_of(main, resample), ty);
    })
}

#[test]
fn noise_that_is_also_an_output_is_found() {
    let program = with_noise_stored(&step(small(), NamedRule::Ivon(Ivon::default()), 2));
    let output = BufferRole::Output { output: vec![program.outputs.len() as i64 - 1] };
    let found = faults_of_ivon(&program);
    let stored = |fault: &Fault| matches!(fault, Fault::Stored { role, .. } if *role == output);
    assert!(found.iter().any(stored), "{found:?}");
}

/// The program with a second sample by the same noise.
pub fn with_noise_used_twice(program: &Program) -> Program {
    changed(program, |functions, resample| {
        let callee = functions[resample.index()].clone();
        let main = functions.last_mut().unwrap();
        let mut again = main.insts[call_of(main, resample)].clone();
        // Another width of the posterior: two samples with one noise.
        let ess = callee.params.iter().position(|&param| Some(param) == callee.param("ess")).unwrap();
        again.operands[ess] = main.param("learning_rate").unwrap();
        again.results = Vec::new();
        main.insts.push(again);
        let call = main.insts.len() - 1;
        for &result in &callee.results {
            add_result(main, call, callee.ty(result).clone());
        }
    })
}

#[test]
fn noise_that_is_used_twice_is_found() {
    let program = with_noise_used_twice(&step(small(), NamedRule::Ivon(Ivon::default()), 2));
    let found = faults_of_ivon(&program);
    // One loop gives both samples, so that noise is computed once; but the second is no state.
    let stored = |fault: &Fault| matches!(fault, Fault::Stored { .. });
    assert!(found.len() == 4 && found.iter().all(stored), "{found:?}");
}

#[test]
fn noise_from_outside_is_not_taken_for_noise_of_the_program() {
    let setup = Setup {
        dtype: DType::F32,
        noise: NoiseSource::Input,
        schedule: Schedule::default(),
        ..Setup::new(small(), NamedRule::Ivon(Ivon::default()))
    };
    let found = faults_of_ivon(&setup.recipe().step(2).unwrap());
    assert_eq!(found, [Fault::Hashed { found: 0, wanted: 46 }].into());
}

#[test]
fn missing_stages_are_found() {
    let found = faults_of_ivon(&step(small(), NamedRule::Adamw(AdamW::default()), 2));
    let stages = [Stage::Estimate, Stage::Resample].map(Fault::NoStage);
    let noise = Fault::Hashed { found: 0, wanted: 46 };
    assert_eq!(found, stages.into_iter().chain([noise]).collect());
}

#[test]
fn state_that_is_not_donated_is_found() {
    let program = step(small(), NamedRule::Ivon(Ivon::default()), 2);
    let mut donation = Donation { aliases: program.donation() };
    donation.aliases[5] = None;
    let text = to_stablehlo(&program.module, &donation, lowering()).unwrap();
    let found = faults(&summary(&compile(&text, &natgrads_own())), &program, VARIATIONAL, true);
    assert!(found.contains(&Fault::NotInPlace { input: program.inputs[5] }), "{found:?}");
}

#[test]
fn state_donated_to_other_state_is_found() {
    let program = step(small(), NamedRule::Ivon(Ivon::default()), 2);
    let mut donation = Donation { aliases: program.donation() };
    let tensors = program.interface.params.len();
    // The mean of each tensor in the place of its momentum and the other way round.
    for param in 0..tensors {
        donation.aliases.swap(param, tensors + param);
    }
    let text = to_stablehlo(&program.module, &donation, lowering()).unwrap();
    let found = faults(&summary(&compile(&text, &natgrads_own())), &program, VARIATIONAL, true);
    for input in &program.inputs[..2 * tensors] {
        assert!(found.contains(&Fault::NotInPlace { input: *input }), "{input:?}: {found:?}");
    }
}

#[test]
fn copies_that_xla_makes_without_natgrads_options_are_found() {
    let program = step(small(), NamedRule::Ivon(Ivon::default()), 2);
    let executable = compile(&stablehlo(&program, lowering()).unwrap(), &CompileOptions::new());
    let found = faults(&summary(&executable), &program, VARIATIONAL, true);
    assert!(found.iter().any(|fault| matches!(fault, Fault::Copied { .. })), "{found:?}");
}
