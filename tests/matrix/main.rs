//! Every configuration that validates must compile: XLA can end the process over a program, and no error comes of it then.
//!
//! Programs are compiled in batches, each in a child process, so that a batch that ends names the configuration which
//! ended it. A child is this very test program, told by a variable which batch it is to compile.

mod choices;
#[path = "../own_models/mod.rs"]
mod own_models;
#[path = "../own_rules/mod.rs"]
mod own_rules;
mod pairs;

use std::ops::Range;
use std::process::Command;

use natgrad::assets;
use natgrad::compile::{Target, register_calls, stablehlo};
use natgrad::config::RunConfig;
use natgrad::inspect::{HloModule, Opcode};
use natgrad::lower::Loops;
use natgrad::pjrt::{Client, Plugin, TrustedLibrary};
use natgrad::step::{DeviceTable, Placement, Program, Recipe, StatePlan};
use natgrad_hlo::Shape;

use choices::{Chosen, gpt2_in_small, own_models, pairs_of_choices};

/// The variable that tells a child its batch.
const BATCH: &str = "NATGRAD_TEST_MATRIX_BATCH";

/// Configurations of a child.
const PER_CHILD: usize = 24;

#[test]
fn gpt2_compiles_by_every_rule_estimator_and_number_of_samples() {
    compile_all("gpt2", gpt2_in_small().len());
}

#[test]
fn all_pairs_of_choices_compile() {
    compile_all("pairs", pairs_of_choices().len());
}

#[test]
fn own_models_compile_by_every_rule_and_estimator() {
    compile_all("own", own_models().len());
}

/// Compiles so many configurations of a list, in children one after another.
fn compile_all(list: &str, count: usize) {
    let mut faults = Vec::new();
    for start in (0..count).step_by(PER_CHILD) {
        let end = (start + PER_CHILD).min(count);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "the_batch_of_a_child"])
            .env(BATCH, format!("{list} {start} {end}"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        let begun: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("compiling ")).collect();
        faults.extend(said.lines().filter(|line| line.starts_with("fault ")).map(str::to_owned));
        let last = begun.last().copied().unwrap_or("nothing");
        if !child.status.success() || begun.len() != end - start {
            let words = String::from_utf8_lossy(&child.stderr);
            faults.push(format!("{} over {last}\n{words}", child.status));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What [`compile_all`] starts.
#[test]
#[ignore = "compiles the batch that the variable NATGRAD_TEST_MATRIX_BATCH names"]
fn the_batch_of_a_child() {
    let Ok(batch) = std::env::var(BATCH) else { return };
    let words: Vec<&str> = batch.split(' ').collect();
    let &[list, start, end] = &words[..] else { panic!("{batch}") };
    let range: Range<usize> = start.parse().unwrap()..end.parse().unwrap();
    let chosen = match list {
        "gpt2" => gpt2_in_small(),
        "own" => own_models(),
        "pairs" => pairs_of_choices(),
        _ => panic!("{list}"),
    };
    let plugin = Plugin::load(&TrustedLibrary::at(assets::cpu_plugin().unwrap())).unwrap();
    register_calls(&plugin);
    let client = Client::create(&plugin, &[]).unwrap();
    for one in &chosen[range] {
        println!("compiling {one}");
        compile(&client, one);
    }
}

/// Compiles the step of a configuration and, where all programs are wanted, those beside it.
fn compile(client: &Client, chosen: &Chosen) {
    let config = RunConfig::from_json("the matrix", chosen.json.clone());
    let mut config = config.unwrap_or_else(|error| panic!("{chosen}: {error}"));
    if let Some(own) = &chosen.own {
        own.check().unwrap_or_else(|fault| panic!("{chosen}: {fault}"));
        config.model = own.clone();
    }
    let table = (config.step.data == Placement::Device).then_some(DeviceTable { examples: 8, images: None });
    let recipe = Recipe { table, ..config.recipe(StatePlan::Explicit) };
    let step = recipe.step(config.batch).unwrap();
    let others = if chosen.all_programs { others(&recipe, &config) } else { Vec::new() };
    let loops = if chosen.merged { Loops::Merged } else { Loops::Chosen };
    // LLVM's optimizations are half of the time, and come after all that XLA does with a program.
    let options = Target::Cpu.options(loops).flag("xla_backend_optimization_level", 0);
    for program in [vec![step], others].concat() {
        let text = stablehlo(&program, Target::Cpu.lowering(loops)).unwrap();
        let executable = client.compile(text.as_bytes(), &options);
        let executable = executable.unwrap_or_else(|error| panic!("{chosen}: {error}"));
        let module = HloModule::decode(&executable.optimized_hlo().unwrap()).unwrap();
        for fault in faults(&module) {
            println!("fault {chosen}: {fault}");
        }
    }
}

/// The programs of a run beside its step.
fn others(recipe: &Recipe, config: &RunConfig) -> Vec<Program> {
    let mut programs = vec![recipe.start().unwrap(), recipe.predict(config.batch).unwrap()];
    if config.rule.has_posterior() {
        programs.push(recipe.draw().unwrap());
    }
    if recipe.plan.state == StatePlan::Implicit {
        programs.push(recipe.recover().unwrap());
    }
    programs.extend(recipe.next(4).unwrap());
    programs.extend(recipe.extend(4).unwrap());
    programs
}

/// Fusions of several results with an operation that XLA:CPU emits in a way of its own, for one result: it ends the
/// process over a scatter, and computes a product element by element.
fn faults(module: &HloModule) -> Vec<String> {
    let mut faults = Vec::new();
    for instruction in module.computations.iter().flat_map(|computation| &computation.instructions) {
        if instruction.opcode != Opcode::Fusion || !matches!(instruction.shape, Shape::Tuple(_)) {
            continue;
        }
        for &called in &instruction.called {
            let inside = &module.computations[called.0].instructions;
            let own_way = inside
                .iter()
                .find(|one| matches!(one.opcode, Opcode::Scatter | Opcode::Dot | Opcode::Convolution));
            if let Some(one) = own_way {
                faults.push(format!("{} is a fusion of several results with {}", instruction.name, one.name));
            }
        }
    }
    faults
}
