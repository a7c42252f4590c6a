//! Building, lowering and running a step: MLP 784-1024-1024-10 at batch 256, and what calls of several steps save on a
//! network so small (784-64-10 at batch 32) that its steps are mostly calls.
//!
//! What is compared is timed in turns within each sample, so that a drift of the machine's speed cancels in the ratios;
//! their medians and spreads are printed after criterion's own figures.

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use natgrad::compile::{Cache, Compiled, Device, Target, stablehlo};
use natgrad::lower::Materialization;
use natgrad::pjrt::{Arg, Buffer, Client, Plugin};
use natgrad::rule::{Adam, Ivon, Rule, Schedule};
use natgrad::step::{Recipe, Slot, StepPlan};
use natgrad::train::{CallData, CallRows, Session};
use natgrad_ir::DType;
use natgrad_models::{Activation, Mlp, Model};

const ROWS: usize = 256;
const SIZES: [usize; 4] = [784, 1024, 1024, 10];
const SMALL_ROWS: usize = 32;
const SMALL_SIZES: [usize; 3] = [784, 64, 10];
/// Steps of the calls that are compared with calls of one.
const STEPS_PER_CALL: u32 = 100;
const TOTAL_STEPS: u64 = 1_000_000;

fn perceptron(sizes: &[usize]) -> Model {
    Model::Mlp(Mlp { sizes: sizes.to_vec(), activation: Activation::Relu })
}

fn model() -> Model {
    perceptron(&SIZES)
}

fn recipe<'a>(model: &'a Model, rule: &'a Rule) -> Recipe<'a> {
    Recipe { schedule: Schedule::default(), ..Recipe::new(model, rule) }
}

fn open_device() -> Device {
    let plugin = natgrad::assets::cpu_plugin().expect("the CPU plugin");
    let plugin = Plugin::load(plugin).expect("a PJRT plugin");
    let client = Client::create(&plugin, &Target::Cpu.client_options()).expect("a client");
    let cache = Cache::open(natgrad::assets::cache_root().expect("a cache folder").join("executables"));
    Device::new(client, cache, Target::Cpu.options())
}

/// A session at step 0 with the data of a call.
struct Running<'a> {
    session: Session<'a>,
    features: Vec<u8>,
    labels: Vec<u8>,
    per_call: u64,
}

impl<'a> Running<'a> {
    fn new(device: &'a Device, model: &Model, rule: &Rule) -> Running<'a> {
        Running::by_plan(device, recipe(model, rule), ROWS)
    }

    fn by_plan(device: &'a Device, recipe: Recipe, rows: usize) -> Running<'a> {
        let values = recipe.values(60_000, TOTAL_STEPS);
        let mut session = Session::new(device, &recipe, rows, &values, 0).expect("a session");
        let (model, per_call) = (recipe.model, recipe.plan.per_call as usize);
        session.begin(&model.initial_values(0), &[]).expect("a start");
        // Features as sparse as MNIST's: one pixel in five is lit.
        let features = (0..per_call * rows * model.features(DType::F32).shape.elements())
            .map(|index| if index * 2_654_435_761 % 5 == 0 { (index % 255) as f32 / 255.0 } else { 0.0 })
            .flat_map(f32::to_ne_bytes)
            .collect();
        let labels = (0..(per_call * rows) as u32).flat_map(|row| (row % 10).to_ne_bytes()).collect();
        Running { session, features, labels, per_call: per_call as u64 }
    }

    /// Runs calls of as many steps and waits for the last.
    fn run(&mut self, calls: u64) -> Duration {
        let begin = Instant::now();
        let mut last = None;
        for _ in 0..calls {
            let data = CallData {
                rows: CallRows::Given { features: &self.features, labels: &self.labels },
                steps: self.per_call as usize,
                noise: &[],
                further_noise: &[],
            };
            last = Some(self.session.step(data).expect("a step"));
        }
        if let Some(last) = last {
            last.wait().expect("a finished step");
        }
        begin.elapsed()
    }
}

/// The execute calls of a step alone: the batch is on the device already, and nothing is read back.
struct Bare {
    step: Compiled,
    state: Vec<(Slot, Buffer)>,
    fixed: Vec<(Slot, Buffer)>,
}

impl Bare {
    fn new(running: &Running, device: &Device, model: &Model, rule: &Rule) -> Bare {
        let step = device.compile(recipe(model, rule).step(ROWS).expect("a program")).expect("an executable");
        let values = recipe(model, rule).values(60_000, TOTAL_STEPS);
        let layout = &step.program.layout;
        let upload = |slot: Slot, bytes: &[u8]| device.upload(&layout.ty(slot), bytes).expect("a buffer");
        let mut host = running.session.state_to_host().expect("a state").into_iter();
        let (mut state, mut fixed) = (Vec::new(), Vec::new());
        for &slot in &step.program.inputs {
            match slot {
                Slot::State(..) | Slot::Step => {
                    state.push((slot, upload(slot, &host.next().expect("a state tensor").bytes)));
                }
                Slot::Features(_) => fixed.push((slot, upload(slot, &running.features))),
                Slot::Labels(_) => fixed.push((slot, upload(slot, &running.labels))),
                Slot::Seed => fixed.push((slot, upload(slot, &0u64.to_ne_bytes()))),
                Slot::Hyper(hyper) => {
                    let value = values.get(hyper).expect("a value");
                    fixed.push((slot, device.upload_numbers(&layout.ty(slot), &[value]).expect("a buffer")));
                }
                other => unreachable!("the step takes no {other:?}"),
            }
        }
        Bare { step, state, fixed }
    }

    /// Runs steps and waits for the last.
    fn run(&mut self, steps: u64) -> Duration {
        let begin = Instant::now();
        for _ in 0..steps {
            let mut carried = std::mem::take(&mut self.state).into_iter();
            let outputs = self.step.run(|slot| {
                if slot.is_carried() {
                    return carried.next().map(|(_, buffer)| Arg::Donate(buffer));
                }
                self.fixed.iter().find(|(known, _)| *known == slot).map(|(_, buffer)| Arg::Keep(buffer))
            });
            self.state = outputs.expect("a step");
            self.state.retain(|(slot, _)| slot.is_carried());
        }
        for (_, buffer) in &self.state {
            buffer.wait().expect("a finished step");
        }
        begin.elapsed()
    }
}

/// The median of ratios, with the least and the most.
fn spread(mut ratios: Vec<f64>) -> String {
    ratios.sort_by(f64::total_cmp);
    format!("median {:.3} ({:.3} to {:.3})", ratios[ratios.len() / 2], ratios[0], ratios[ratios.len() - 1])
}

fn building(c: &mut Criterion) {
    let model = model();
    let rule = Rule::Ivon(Ivon::default());
    c.bench_function("build ivon step", |b| b.iter(|| recipe(&model, &rule).step(ROWS).expect("a program")));
    let program = recipe(&model, &rule).step(ROWS).expect("a program");
    c.bench_function("lower ivon step", |b| {
        b.iter(|| stablehlo(&program, Materialization::Call).expect("StableHLO"))
    });
}

fn stepping(c: &mut Criterion) {
    let device = open_device();
    let model = model();
    let rule = Rule::Ivon(Ivon::default());
    let mut ivon = Running::new(&device, &model, &rule);
    let mut adamw = Running::new(&device, &model, &Rule::Adamw(Adam::default()));
    let mut bare = Bare::new(&ivon, &device, &model, &rule);
    let (mut against_adamw, mut against_bare) = (Vec::new(), Vec::new());
    let mut group = c.benchmark_group("mlp 784-1024-1024-10, batch 256");
    group.sample_size(20);
    group.bench_function("adamw step", |b| b.iter_custom(|steps| adamw.run(steps)));
    group.bench_function("ivon step", |b| {
        b.iter_custom(|steps| {
            let other = adamw.run(steps);
            let own = ivon.run(steps);
            let execute = bare.run(steps);
            against_adamw.push(own.as_secs_f64() / other.as_secs_f64());
            against_bare.push(own.as_secs_f64() / execute.as_secs_f64());
            own
        });
    });
    group.finish();
    if !against_adamw.is_empty() {
        println!("ivon step / adamw step, in turns: {}", spread(against_adamw));
        println!("ivon step / its execute calls alone, in turns: {}", spread(against_bare));
    }
}

/// What a step costs beyond its share of a call of many, on a network that is small beside its calls.
fn dispatching(c: &mut Criterion) {
    let device = open_device();
    let model = perceptron(&SMALL_SIZES);
    let mut group = c.benchmark_group("mlp 784-64-10, batch 32");
    group.sample_size(20);
    for rule in [Rule::Ivon(Ivon::default()), Rule::Adamw(Adam::default())] {
        let one = recipe(&model, &rule);
        let plan = StepPlan { per_call: STEPS_PER_CALL, ..StepPlan::default() };
        let many = Recipe { plan, ..one.clone() };
        let mut one = Running::by_plan(&device, one, SMALL_ROWS);
        let mut many = Running::by_plan(&device, many, SMALL_ROWS);
        let steps = u64::from(STEPS_PER_CALL);
        let mut ratios = Vec::new();
        group.bench_function(format!("{} {steps} steps, a call each", rule.name()), |b| {
            b.iter_custom(|times| one.run(times * steps));
        });
        group.bench_function(format!("{} {steps} steps in one call", rule.name()), |b| {
            b.iter_custom(|times| {
                let singly = one.run(times * steps);
                let together = many.run(times);
                ratios.push(singly.as_secs_f64() / together.as_secs_f64());
                together
            });
        });
        if !ratios.is_empty() {
            println!(
                "{}: calls of one step / one call of {steps}, in turns: {}",
                rule.name(),
                spread(ratios)
            );
        }
    }
    group.finish();
}

criterion_group!(benches, building, stepping, dispatching);
criterion_main!(benches);
