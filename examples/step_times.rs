//! Times natgrad's own steps for `benches/reference/compare.py`, which sets them beside those of JAX and PyTorch.
//!
//! Reads commands from standard input and answers each with a line of JSON, as `benches/reference/steps.py serve` does:
//!
//! ```text
//! natgrad gpt6 ivon 3 [plan=implicit]
//! drop natgrad gpt6 ivon [plan=implicit]
//! quit
//! ```
//!
//! The first command for a step builds it and makes two steps that do not count. A step's time includes the copy of its
//! batch to the device.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use natgrad::assets;
use natgrad::compile::{Cache, Device, Target};
use natgrad::pjrt::{Client, Plugin, keep_freed_memory};
use natgrad::rule::{Adam, Ivon, Rule};
use natgrad::step::{Recipe, StatePlan, StepPlan};
use natgrad::train::{CallData, CallRows, Session};
use natgrad_ir::DType;
use natgrad_models::{Activation, Gpt2, Init, Mlp, Model, ResNet, Task};
use serde_json::{Value, json};

const SEED: u64 = 1;

/// Training rows and steps that the hyperparameters are for; neither changes the program.
const TRAINING_ROWS: usize = 50_000;
const TOTAL_STEPS: u64 = 1_000_000;

/// The model of a workload in `benches/reference/workloads.py`, and the rows of its batch.
fn workload(name: &str) -> Result<(Model, usize)> {
    Ok(match name {
        "mlp" => (Model::Mlp(Mlp { sizes: vec![784, 1024, 1024, 10], activation: Activation::Relu }), 256),
        "resnet20" => {
            let image = [32, 32, 3];
            let net = ResNet { depth: 20, image, classes: 10, width: None, stem: None, residual_relu: false };
            (Model::ResNet(net), 128)
        }
        "gpt6" => (Model::Gpt2(Gpt2 { bias: true, ..Gpt2::characters(65) }), 4),
        "gpt2-small" => (Model::Gpt2(Gpt2 { context: 256, ..Gpt2::small() }), 1),
        _ => bail!("no workload {name}: mlp, resnet20, gpt6, gpt2-small"),
    })
}

/// The rule with the values that the others are given.
fn rule(name: &str) -> Result<Rule> {
    Ok(match name {
        "adamw" => Rule::Adamw(Adam::default()),
        "ivon" => Rule::Ivon(Ivon {
            lr: 0.1,
            ess: Some(5e4),
            hess_init: 0.5,
            weight_decay: 2e-4,
            ..Ivon::default()
        }),
        _ => bail!("no rule {name}: adamw, ivon"),
    })
}

/// A random batch: features and labels as the step takes them.
fn batch(model: &Model, rows: usize) -> (Vec<u8>, Vec<u8>) {
    let words = |tensor: usize, elements: usize, below: usize| -> Vec<u8> {
        let numbers = Init::Uniform { bound: 0.5 }.values(SEED, tensor, elements);
        let word = |number: f32| (((number + 0.5) * below as f32) as u32).min(below as u32 - 1);
        numbers.into_iter().flat_map(|number| word(number).to_ne_bytes()).collect()
    };
    let features = rows * model.features(DType::F32).shape.elements();
    let labels = rows * model.labels(DType::F32).shape.elements();
    let classes = model.classes();
    let features = match model.task() {
        Task::Tokens => words(0, features, classes),
        Task::Classes | Task::Numbers { noise: _ } => {
            let numbers = Init::Normal { std: 1.0 }.values(SEED, 0, features);
            numbers.into_iter().flat_map(f32::to_ne_bytes).collect()
        }
    };
    (features, words(1, labels, classes))
}

/// One workload with one rule.
struct Step<'a> {
    session: Session<'a>,
    features: Vec<u8>,
    labels: Vec<u8>,
    parameters: usize,
}

impl<'a> Step<'a> {
    fn new(device: &'a Device, name: &str, rule_name: &str, state: StatePlan) -> Result<Step<'a>> {
        let (model, rows) = workload(name)?;
        let rule = rule(rule_name)?;
        let recipe = Recipe { plan: StepPlan { state, ..StepPlan::default() }, ..Recipe::new(&model, &rule) };
        let values = recipe.values(TRAINING_ROWS, TOTAL_STEPS);
        let mut session = Session::new(device, &recipe, rows, &values, SEED)?;
        session.begin(&model.initial_values(SEED), &[])?;
        let (features, labels) = batch(&model, rows);
        let parameters = model.params().iter().map(|param| param.shape.elements()).sum();
        let mut step = Step { session, features, labels, parameters };
        step.run()?;
        step.run()?;
        Ok(step)
    }

    /// Makes a step and waits for it; gives its wall time in ms and the loss.
    fn run(&mut self) -> Result<(f64, f64)> {
        let begin = Instant::now();
        let data = CallData {
            rows: CallRows::Given { features: &self.features, labels: &self.labels },
            steps: 1,
            noise: &[],
            further_noise: &[],
        };
        let scalars = self.session.step(data)?.wait()?;
        let wall = begin.elapsed().as_secs_f64() * 1e3;
        Ok((wall, scalars.first().context("a step")?.loss()))
    }

    /// Bytes of arguments, of results that lie beside them, and of temporaries.
    fn memory(&self) -> Result<[i64; 3]> {
        let compiled = self.session.programs().next().context("a program")?;
        let stats = compiled.executable.memory_stats()?;
        Ok([stats.arguments, stats.outputs - stats.aliased, stats.temporaries])
    }
}

fn answer<'a>(device: &'a Device, steps: &mut HashMap<String, Step<'a>>, words: &[&str]) -> Result<Value> {
    match words {
        ["drop", key @ ..] => {
            steps.remove(&key.join(" "));
            Ok(json!({"dropped": key}))
        }
        ["natgrad", name, rule, count, changes @ ..] => {
            let state = match changes {
                [] => StatePlan::Explicit,
                ["plan=implicit"] => StatePlan::Implicit,
                _ => bail!("only plan=implicit can be changed"),
            };
            let key = [&["natgrad", name, rule], changes].concat().join(" ");
            if !steps.contains_key(&key) {
                steps.insert(key.clone(), Step::new(device, name, rule, state)?);
            }
            let step = steps.get_mut(&key).context("the step")?;
            let rounds: Vec<(f64, f64)> = (0..count.parse()?).map(|_| step.run()).collect::<Result<_>>()?;
            let (times, losses): (Vec<f64>, Vec<f64>) = rounds.into_iter().unzip();
            let [arguments, beside, temporaries] = step.memory()?;
            Ok(json!({
                "framework": "natgrad", "workload": name, "rule": rule, "times_ms": times, "loss": losses.last(),
                "parameters": step.parameters, "argument_bytes": arguments, "result_bytes": beside,
                "temporary_bytes": temporaries,
            }))
        }
        _ => bail!("not a command: natgrad WORKLOAD RULE STEPS [plan=implicit]"),
    }
}

fn main() -> Result<()> {
    keep_freed_memory();
    let client = Client::create(&Plugin::load(assets::cpu_plugin()?)?, &Target::Cpu.client_options())?;
    let cache = Cache::open(assets::cache_root()?.join("executables"));
    let device = Device::new(client, cache, Target::Cpu.options());
    let mut steps = HashMap::new();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        if words == ["quit"] {
            break;
        }
        let answer = answer(&device, &mut steps, &words)
            .unwrap_or_else(|error| json!({"error": format!("{error:#}")}));
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
