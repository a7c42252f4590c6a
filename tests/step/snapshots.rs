//! The programs of small steps as they are written: the IR, the StableHLO, and what XLA:CPU makes of it.
//!
//! The first two follow from natgrad alone. Of the optimized program the snapshot holds the summary: the opcodes,
//! fusions, bytes and aliases of programs this small come from XLA's target-independent passes. It leaves out what
//! depends on the machine: the number of threads that share a loop, and machine code.

use natgrad::compile::stablehlo;
use natgrad::inspect::Difference;
use natgrad::lower::{Lowering, Materialization};
use natgrad::rule::{AdamW, Ivon, NamedRule, ParamGroup, Schedule};
use natgrad::step::{NoiseSource, Program};
use natgrad_ir::{DType, text};
use natgrad_layers::{Activation, LinearRegression, NamedModel, SoftmaxRegression};

use crate::costs;
use crate::device::DEVICE;
use crate::hlo::{mlp, step, summary};
use crate::kit::Setup;

/// Programs whose loops XLA chooses.
const CHOSEN: Lowering = Lowering::chosen(Materialization::Call);

/// One layer, with few kernels.
fn ivon() -> Program {
    step(NamedModel::Linear(SoftmaxRegression { inputs: 3, classes: 2 }), NamedRule::Ivon(Ivon::default()), 2)
}

fn adamw() -> Program {
    step(mlp(&[4, 3, 2], Activation::Relu), NamedRule::Adamw(AdamW::default()), 2)
}

/// A step that learns one tensor, whose noise is an input: small enough to be read.
fn small(rule: NamedRule) -> Program {
    let model = NamedModel::LinearRegression(LinearRegression { inputs: 3, noise: 1.0 });
    let frozen = ParamGroup { names: vec!["*.bias".into()], frozen: true, ..ParamGroup::default() };
    let setup = Setup { dtype: DType::F32, noise: NoiseSource::Input, ..Setup::new(model, rule) };
    Setup { schedule: Schedule::default(), groups: vec![frozen], ..setup }.recipe().step(2).unwrap()
}

#[test]
fn ir() {
    for (name, rule) in
        [("ivon_ir", NamedRule::Ivon(Ivon::default())), ("adamw_ir", NamedRule::Adamw(AdamW::default()))]
    {
        insta::assert_snapshot!(name, text::print(small(rule).module.module()));
    }
}

#[test]
fn stablehlo_text() {
    let rules = [
        ("ivon_stablehlo", NamedRule::Ivon(Ivon::default())),
        ("adamw_stablehlo", NamedRule::Adamw(AdamW::default())),
    ];
    for (name, rule) in rules {
        insta::assert_snapshot!(name, stablehlo(&small(rule), CHOSEN).unwrap());
    }
}

#[test]
fn optimized_summary() {
    for (name, program) in [("ivon_summary", ivon()), ("adamw_summary", adamw())] {
        insta::assert_snapshot!(name, summary(&DEVICE.compile(program).unwrap().executable));
    }
}

#[test]
fn report() {
    let model = NamedModel::Linear(SoftmaxRegression { inputs: 3, classes: 2 });
    let report = costs::report(model, NamedRule::Ivon(Ivon::default()), 2);
    insta::assert_snapshot!("ivon_report", report.text());
}

#[test]
fn difference() {
    let of = |rule| costs::report(mlp(&[4, 3, 2], Activation::Relu), rule, 2);
    let (ivon, adamw) = (of(NamedRule::Ivon(Ivon::default())), of(NamedRule::Adamw(AdamW::default())));
    let difference = Difference::between(&ivon, &adamw);
    assert!(!difference.is_same() && Difference::between(&ivon, &ivon).is_same());
    insta::assert_snapshot!("ivon_against_adamw", difference.text());
}
