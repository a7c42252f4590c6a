//! Verdicts on optimized steps: what natgrad promises holds, and each promise is seen to be broken where it is.

use natgrad::compile::{Outputs, stablehlo};
use natgrad::inspect::{
    Counterpart, HloModule, Kernel, Promise, Subject, Verdict, kernels, stage_costs, verdicts,
};
use natgrad::lower::{Donation, Loops, Lowering, to_stablehlo};
use natgrad::noise::Grade;
use natgrad::pjrt::CompileOptions;
use natgrad::rule::{AdamW, Ivon, NamedRule, Schedule, Vogn, Von};
use natgrad::step::{Compute, Program, StatePlan, StepPlan};
use natgrad_ir::{CallKind, DType, Op, UnaryOp, verify};
use natgrad_layers::{Activation, NamedModel};

use crate::device::lowering;
use crate::hlo::{self, changed, compile, mlp, natgrads_own, small};
use crate::kit::Setup;

fn ivon() -> NamedRule {
    NamedRule::Ivon(Ivon::default())
}

fn optimized(program: &Program, lowering: Lowering, options: &CompileOptions) -> HloModule {
    let text = stablehlo(program, lowering).unwrap();
    HloModule::decode(&compile(&text, options).optimized_hlo().unwrap()).unwrap()
}

/// The verdicts on a program compiled as training compiles it.
fn judged(program: &Program) -> Vec<Verdict> {
    let module = optimized(program, lowering(), &natgrads_own());
    let kernels = kernels(&module);
    verdicts(&Subject { program, module: &module, kernels: &kernels, adamw: None })
}

fn failed(verdicts: &[Verdict]) -> Vec<Promise> {
    verdicts.iter().filter(|verdict| !verdict.pass).map(|verdict| verdict.name).collect()
}

fn planned(model: NamedModel, rule: NamedRule, plan: StepPlan) -> Program {
    let setup =
        Setup { dtype: DType::F32, schedule: Schedule::default(), rows: 5, plan, ..Setup::new(model, rule) };
    setup.recipe().step(5).unwrap()
}

#[test]
fn steps_as_training_compiles_them_keep_all_promises() {
    let plan = StepPlan::default();
    let plans = [
        plan,
        StepPlan { samples: 2, accumulation: 2, ..plan },
        StepPlan { per_call: 3, ..plan },
        StepPlan { compute: Compute::Bf16, ..plan },
        StepPlan { noise: Grade::Exact, ..plan },
        StepPlan { noise: Grade::Philox, ..plan },
        StepPlan { clip_norm: Some(1.0), diagnostics: true, ..plan },
    ];
    for plan in plans {
        let verdicts = judged(&planned(mlp(&[12, 16, 3], Activation::Relu), ivon(), plan));
        assert_eq!(failed(&verdicts), [], "{plan:?}: {verdicts:#?}");
    }
    for rule in [NamedRule::Vogn(Vogn::default()), NamedRule::Adamw(AdamW::default())] {
        let verdicts = judged(&planned(mlp(&[12, 16, 3], Activation::Relu), rule.clone(), plan));
        assert_eq!(failed(&verdicts), [], "{}: {verdicts:#?}", rule.name());
    }
}

/// One loop recovers an implicit mean from noise and draws the next sample.
#[test]
fn an_implicit_mean_takes_its_noise_once() {
    let plan = StepPlan { state: StatePlan::Implicit, ..StepPlan::default() };
    let program = planned(mlp(&[12, 16, 3], Activation::Relu), ivon(), plan);
    let verdicts = judged(&program);
    assert_eq!(failed(&verdicts), [], "{verdicts:#?}");
    let module = optimized(&program, lowering(), &natgrads_own());
    let of_noise = kernels(&module).into_iter().filter(|kernel| {
        let names: Vec<&str> = kernel.phases.iter().map(|phase| phase.name()).collect();
        ["recover", "update", "resample"].iter().all(|stage| names.contains(stage))
    });
    assert_eq!(of_noise.count(), 4);
}

/// Probes of the Hessian are not materialized: XLA makes their signs again in the loops over activations.
#[test]
fn probes_that_are_made_again_for_each_row_are_seen() {
    let program =
        planned(mlp(&[12, 16, 3], Activation::Relu), NamedRule::Von(Von::default()), StepPlan::default());
    let verdicts = judged(&program);
    assert_eq!(failed(&verdicts), [Promise::NoiseOnce, Promise::NoSamplingInModel], "{verdicts:#?}");
}

#[test]
fn stored_noise_is_seen() {
    let verdicts = judged(&hlo::with_noise_stored(&hlo::step(small(), ivon(), 2)));
    assert!(failed(&verdicts).contains(&Promise::NoiseNotStored), "{verdicts:#?}");
}

#[test]
fn noise_used_twice_is_seen() {
    let verdicts = judged(&hlo::with_noise_used_twice(&hlo::step(small(), ivon(), 2)));
    assert_eq!(failed(&verdicts), [Promise::NoiseNotStored], "{verdicts:#?}");
}

#[test]
fn dropped_donation_is_seen() {
    let program = hlo::step(small(), ivon(), 2);
    let judged_with = |donation: Donation| {
        let text = to_stablehlo(&program.module, &donation, lowering()).unwrap();
        let module = HloModule::decode(&compile(&text, &natgrads_own()).optimized_hlo().unwrap()).unwrap();
        let kernels = kernels(&module);
        verdicts(&Subject { program: &program, module: &module, kernels: &kernels, adamw: None })
    };
    let whole = Donation { aliases: program.donation() };
    assert_eq!(failed(&judged_with(whole.clone())), []);
    // The momentum of the second tensor; then the sample that the gradient is taken at.
    let promises = [&[Promise::StateInPlace] as &[Promise], &[Promise::ThetaStored, Promise::StateInPlace]];
    for (dropped, broken) in [5, 12].into_iter().zip(promises) {
        let mut donation = whole.clone();
        donation.aliases[dropped] = None;
        let verdicts = judged_with(donation);
        assert_eq!(failed(&verdicts), broken, "{dropped}: {verdicts:#?}");
    }
}

#[test]
fn copies_without_natgrads_options_are_seen() {
    let program = hlo::step(small(), ivon(), 2);
    let module = optimized(&program, lowering(), &CompileOptions::new());
    let kernels = kernels(&module);
    let verdicts = verdicts(&Subject { program: &program, module: &module, kernels: &kernels, adamw: None });
    assert_eq!(failed(&verdicts), [Promise::StateInPlace], "{verdicts:#?}");
}

/// Left alone, XLA draws a further sample again in the loops over activations that use it.
#[test]
fn sampling_inside_the_model_is_seen() {
    let plan = StepPlan { samples: 2, ..StepPlan::default() };
    let program = planned(mlp(&[12, 16, 3], Activation::Relu), ivon(), plan);
    let mut module = program.module.module().clone();
    let mut insts = module.functions.iter_mut().flat_map(|function| &mut function.insts);
    let call = insts.find(|inst| matches!(inst.op, Op::Call { kind: CallKind::Materialize, .. })).unwrap();
    call.op = Op::Call { callee: call.op.callee().unwrap(), kind: CallKind::Inline };
    let program = Program { module: verify(module).unwrap(), ..program };
    let verdicts = judged(&program);
    let failed = failed(&verdicts);
    for promise in [Promise::NoSamplingInModel, Promise::ThetaStored] {
        assert!(failed.contains(&promise), "{verdicts:#?}");
    }
}

#[test]
fn stages_of_another_program_are_missed() {
    let (program, other) =
        (hlo::step(small(), ivon(), 2), hlo::step(small(), NamedRule::Adamw(AdamW::default()), 2));
    let module = optimized(&other, lowering(), &natgrads_own());
    let kernels = kernels(&module);
    let verdicts = verdicts(&Subject { program: &program, module: &module, kernels: &kernels, adamw: None });
    let failed = failed(&verdicts);
    for promise in [Promise::OneProgram, Promise::NoiseOnce, Promise::ThetaStored] {
        assert!(failed.contains(&promise), "{verdicts:#?}");
    }
}

#[test]
fn double_precision_is_seen() {
    let program = hlo::step(small(), ivon(), 2);
    let double = changed(&program, |functions, _| {
        // The loss through a cosine in double precision.
        let main = functions.last_mut().unwrap();
        let loss = main.results[main.results.len() - 3];
        let mut last = loss;
        for op in [Op::Convert { dtype: DType::F64 }, Op::Unary(UnaryOp::Cos)] {
            let inst = natgrad_ir::InstData {
                op,
                operands: vec![last],
                results: Vec::new(),
                scope: String::new(),
                origin: Default::default(),
            };
            main.insts.push(inst);
            hlo::add_result(main, main.insts.len() - 1, natgrad_ir::TensorType::scalar(DType::F64));
            last = *main.results.last().unwrap();
        }
    });
    assert!(verify(double.module.module().clone()).is_ok());
    assert!(failed(&judged(&double)).contains(&Promise::NoDouble));
}

#[test]
fn transfers_to_the_host_are_seen() {
    let program = hlo::step(small(), ivon(), 2);
    let mut module = optimized(&program, lowering(), &natgrads_own());
    let kernels = kernels(&module);
    let judged = |module: &HloModule| {
        failed(&verdicts(&Subject { program: &program, module, kernels: &kernels, adamw: None }))
    };
    assert_eq!(judged(&module), []);
    let entry = module.entry.0;
    module.computations[entry].instructions.last_mut().unwrap().opcode = natgrad::inspect::Opcode::Outfeed;
    assert!(judged(&module).contains(&Promise::NoHostTransfer));
}

#[test]
fn kernels_are_counted_beyond_adamws() {
    let model = mlp(&[12, 16, 8, 3], Activation::Relu);
    let compiled = |rule: NamedRule, lowering: Lowering| {
        let program = hlo::step(model.clone(), rule, 5);
        let module = optimized(&program, lowering, &natgrads_own());
        let kernels: Vec<Kernel> = kernels(&module);
        (program, module, kernels)
    };
    let adamw = compiled(NamedRule::Adamw(AdamW::default()), lowering());
    let judged = |own: &(Program, HloModule, Vec<Kernel>)| {
        let adamw = Counterpart { program: &adamw.0, kernels: &adamw.2, outputs: Outputs::Merged };
        let subject = Subject { program: &own.0, module: &own.1, kernels: &own.2, adamw: Some(adamw) };
        failed(&verdicts(&subject))
    };
    let own = compiled(ivon(), lowering());
    assert_eq!(judged(&own), []);
    // Left to itself, XLA makes a loop for most of a parameter's state tensors.
    let apart = compiled(ivon(), Lowering { loops: Loops::Chosen, ..lowering() });
    assert!(judged(&apart).contains(&Promise::KernelsBeyondAdamw));
    // The model's passes cost what they cost AdamW.
    let model = |kernels: &[Kernel]| {
        stage_costs(kernels).into_iter().filter(|cost| cost.name.is_model()).collect::<Vec<_>>()
    };
    assert_eq!(model(&own.2), model(&adamw.2));
    assert_eq!(model(&own.2).len(), 2);
}
