//! The programs of small steps as they are written: the IR, the StableHLO, and what XLA:CPU makes of it.
//!
//! The first two follow from natgrad alone. Of the optimized program the snapshot holds the summary: the opcodes,
//! fusions, bytes and aliases of programs this small come from XLA's target-independent passes. It leaves out what
//! depends on the machine: the number of threads that share a loop, and machine code.

use natgrad::compile::stablehlo;
use natgrad::inspect::Difference;
use natgrad::lower::{Lowering, Materialization};
use natgrad::rule::{Adam, Ivon, Rule};
use natgrad::step::Program;
use natgrad_ir::text;
use natgrad_models::{Activation, Linear, Model};

use crate::costs;
use crate::device::DEVICE;
use crate::hlo::{mlp, step, summary};

/// Programs whose loops XLA chooses.
const CHOSEN: Lowering = Lowering::chosen(Materialization::Call);

/// One layer, so that the text remains readable: noise takes some seventy lines a tensor.
fn ivon() -> Program {
    step(Model::Linear(Linear { inputs: 3, classes: 2 }), Rule::Ivon(Ivon::default()), 2)
}

fn adamw() -> Program {
    step(mlp(&[4, 3, 2], Activation::Relu), Rule::Adamw(Adam::default()), 2)
}

#[test]
fn ir() {
    insta::assert_snapshot!("ivon_ir", text::print(ivon().module.module()));
    insta::assert_snapshot!("adamw_ir", text::print(adamw().module.module()));
}

#[test]
fn stablehlo_text() {
    insta::assert_snapshot!("ivon_stablehlo", stablehlo(&ivon(), CHOSEN).unwrap());
    insta::assert_snapshot!("adamw_stablehlo", stablehlo(&adamw(), CHOSEN).unwrap());
}

#[test]
fn optimized_summary() {
    for (name, program) in [("ivon_summary", ivon()), ("adamw_summary", adamw())] {
        insta::assert_snapshot!(name, summary(&DEVICE.compile(program).unwrap().executable));
    }
}

#[test]
fn report() {
    let model = Model::Linear(Linear { inputs: 3, classes: 2 });
    let report = costs::report(model, Rule::Ivon(Ivon::default()), 2);
    insta::assert_snapshot!("ivon_report", report.text());
}

#[test]
fn difference() {
    let of = |rule| costs::report(mlp(&[4, 3, 2], Activation::Relu), rule, 2);
    let (ivon, adamw) = (of(Rule::Ivon(Ivon::default())), of(Rule::Adamw(Adam::default())));
    let difference = Difference::between(&ivon, &adamw);
    assert!(!difference.is_same() && Difference::between(&ivon, &ivon).is_same());
    insta::assert_snapshot!("ivon_against_adamw", difference.text());
}
