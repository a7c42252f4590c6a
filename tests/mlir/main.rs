//! Programs as true MLIR: the feature `mlir`.

// The matrix compiles more programs of each.
#[allow(dead_code)]
#[path = "../matrix/choices.rs"]
mod choices;
mod command;
mod dialect;
#[path = "../own_models/mod.rs"]
mod own_models;
#[path = "../own_rules/mod.rs"]
mod own_rules;
#[path = "../matrix/pairs.rs"]
mod pairs;
mod renamed;
mod wrong;

use std::collections::HashSet;

use natgrad::assets;
use natgrad::compile::{Target, register_calls, stablehlo};
use natgrad::config::RunConfig;
use natgrad::inspect::HloModule;
use natgrad::lower::Loops;
use natgrad::mlir::{Mlir, Origin};
use natgrad::pjrt::{Client, Plugin, TrustedLibrary};
use natgrad::step::{DeviceTable, Placement, Program, Recipe, StatePlan};
use serde_json::Value;

use choices::{Chosen, gpt2_in_small, own_models, pairs_of_choices};

/// The step of a configuration.
fn step(chosen: &Chosen) -> Program {
    let config = RunConfig::from_json("a choice", chosen.json.clone());
    let mut config = config.unwrap_or_else(|error| panic!("{chosen}: {error}"));
    if let Some(own) = &chosen.own {
        config.model = own.clone();
    }
    let table = (config.step.data == Placement::Device).then_some(DeviceTable { examples: 8, images: None });
    Recipe { table, ..config.recipe(StatePlan::Explicit) }.step(config.batch).unwrap()
}

/// A module without its own location, which is a file's where it was read.
fn without_location(text: &str) -> &str {
    text.trim_end().rsplit_once(" loc(").expect("a location").0
}

/// Both sinks give the same module, which MLIR verifies, and which bytecode keeps.
fn check(chosen: &[Chosen]) {
    // Convolutions become calls, in text of their own.
    register_calls(&Plugin::load(&TrustedLibrary::at(assets::cpu_plugin().unwrap())).unwrap());
    for chosen in chosen {
        let mlir = Mlir::new().unwrap();
        let program = step(chosen);
        let loops = if chosen.merged { Loops::Merged } else { Loops::Chosen };
        let lowering = Target::Cpu.lowering(loops);
        let built = mlir.program(&program, lowering).unwrap_or_else(|error| panic!("{chosen}: {error}"));
        built.verify(Origin::Natgrad).unwrap_or_else(|error| panic!("{chosen}: {error}"));
        let text = stablehlo(&program, lowering).unwrap();
        let read =
            mlir.read("step.mlir", text.as_bytes()).unwrap_or_else(|error| panic!("{chosen}: {error}"));
        assert_eq!(without_location(&built.text()), without_location(&read.text()), "{chosen}");
        let stored = mlir.read("step.mlirbc", &built.bytecode()).unwrap();
        assert_eq!(built.text(), stored.text(), "{chosen}");
    }
}

/// Those of the choices that have a model or a rule that none before has.
fn first_of_each(chosen: Vec<Chosen>) -> Vec<Chosen> {
    let mut seen = HashSet::new();
    let mut is_new = |part: &Value| seen.insert(part.to_string());
    // One behind the other: both are to be marked as seen.
    let is_first = |one: &Chosen| is_new(&one.json["model"]) | is_new(&one.json["rule"]);
    chosen.into_iter().filter(is_first).collect()
}

#[test]
fn both_sinks_give_the_same_module_for_every_model_and_rule() {
    let chosen = first_of_each(pairs_of_choices());
    assert!(chosen.len() > 15, "{}", chosen.len());
    check(&chosen);
    check(&own_models()[..4]);
}

#[test]
#[ignore = "takes minutes: all configurations of the matrix"]
fn both_sinks_give_the_same_module_for_the_matrix() {
    check(&pairs_of_choices());
    check(&own_models());
    check(&gpt2_in_small());
}

/// XLA takes MLIR's bytecode and generic text, and makes the same of them as of natgrad's own text.
#[test]
fn xla_makes_the_same_of_bytecode() {
    let mlir = Mlir::new().unwrap();
    let plugin = Plugin::load(&TrustedLibrary::at(assets::cpu_plugin().unwrap())).unwrap();
    register_calls(&plugin);
    let client = Client::create(&plugin, &[]).unwrap();
    let chosen = first_of_each(pairs_of_choices());
    let chosen = chosen.into_iter().step_by(8).chain(own_models().into_iter().take(1));
    for chosen in chosen {
        let program = step(&chosen);
        let loops = if chosen.merged { Loops::Merged } else { Loops::Chosen };
        let lowering = Target::Cpu.lowering(loops);
        let options = Target::Cpu.options(loops).flag("xla_backend_optimization_level", 0);
        let built = mlir.program(&program, lowering).unwrap();
        let text = stablehlo(&program, lowering).unwrap();
        let [wanted, generic, bytecode] =
            [text.as_bytes(), built.text().as_bytes(), &built.bytecode()].map(|source| {
                let executable = client.compile(source, &options);
                let executable = executable.unwrap_or_else(|error| panic!("{chosen}: {error}"));
                HloModule::decode(&executable.optimized_hlo().unwrap()).unwrap().to_text()
            });
        assert!(wanted == generic, "{chosen}");
        assert!(wanted == bytecode, "{chosen}");
    }
}

/// Of operations that MLIR does not know, what it keeps apart is with their other attributes; of functions it stays.
#[test]
fn properties_become_attributes() {
    let text = "func.func @f(%x: i1) -> i1 {
  %y = \"a.b\"(%x) <{s = \"}>{(\", t = [1]}> ({
  ^bb0(%z: i1):
    \"a.c\"(%z) <{u}> : (i1) -> ()
  }) {v = 2 : i8} : (i1) -> i1
  return %y : i1
}";
    let mlir = Mlir::new().unwrap();
    let read = mlir.read("a.mlir", text.as_bytes()).unwrap().text();
    for wanted in [
        "\"func.func\"() <{function_type = (i1) -> i1, sym_name = \"f\"}> ({",
        "\"a.b\"(%arg0) ({",
        "\"a.c\"(%arg1) {u} : (i1) -> ()",
        "}) {s = \"}>{(\", t = [1], v = 2 : i8} : (i1) -> i1",
    ] {
        assert!(read.contains(wanted), "no `{wanted}` in {read}");
    }
}
