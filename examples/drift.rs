//! How far a run that recovers its mean from the sample drifts from one that keeps it.
//!
//! `cargo run --release --example drift -- [STEPS]` trains softmax regression and a small perceptron on the digits by
//! IVON, with the mean explicit, implicit, and, to tell drift from chaos, explicit from a start that is off by one unit
//! in the last place. It prints the root mean square distance of the means, in posterior standard deviations.

use anyhow::{Context, Result};
use natgrad::assets;
use natgrad::compile::Device;
use natgrad::config::RunConfig;
use natgrad::data::{Batch, Batches, Splits};
use natgrad::rule::{Group, Hyper, HyperValues};
use natgrad::step::{StatePlan, StepPlan};
use natgrad::train::{CallData, CallRows, HostTensor, Session};

const BATCH: usize = 32;
const STEPS_PER_CALL: u32 = 100;

/// A run of the configuration with its own state plan, begun from means times `scale`.
struct Running<'a> {
    session: Session<'a>,
    batches: Batches,
    splits: &'a Splits,
    done: u64,
}

impl<'a> Running<'a> {
    fn new(
        device: &'a Device,
        config: &RunConfig,
        splits: &'a Splits,
        total: u64,
        scale: f64,
    ) -> Result<Self> {
        let recipe = config.recipe(StatePlan::Explicit);
        let values = recipe.values(splits.train.len(), total);
        let mut session = Session::new(device, &recipe, BATCH, &values, config.seed)?;
        let mut means: Vec<Vec<f32>> = config.model.initial_values(config.seed).collect();
        means.iter_mut().flatten().for_each(|mean| *mean *= scale as f32);
        session.begin(&means, &[])?;
        let batches = Batches::new(splits.train.len(), BATCH, config.seed)?;
        Ok(Running { session, batches, splits, done: 0 })
    }

    fn run_to(&mut self, step: u64) -> Result<Vec<HostTensor>> {
        while self.done < step {
            let steps = u64::from(STEPS_PER_CALL).min(step - self.done);
            let mut rows = Batch::default();
            for step in self.done..self.done + steps {
                self.batches.append(&self.splits.train, step, &mut rows)?;
            }
            let data = CallData {
                rows: CallRows::Given { features: &rows.features, labels: &rows.labels },
                steps: steps as usize,
                noise: &[],
                further_noise: &[],
            };
            self.session.step(data)?.wait()?;
            self.done += steps;
        }
        Ok(self.session.state_to_host()?)
    }
}

/// The root mean square over all elements of the means' distance over the posterior's standard deviation in `of`.
fn distance(of: &[HostTensor], from: &[HostTensor], values: &HyperValues) -> Result<f64> {
    let ess = values.get(Hyper::Ess).context("an effective sample size")?;
    let delta = values.get(Hyper::WeightDecay(Group::DEFAULT)).context("a weight decay")?;
    let named = |state: &[HostTensor], name: &str| {
        state.iter().find(|tensor| tensor.name == name).map(HostTensor::numbers).context("a tensor")
    };
    let (mut sum, mut count) = (0.0, 0.0);
    for tensor in of.iter().filter(|tensor| tensor.name.starts_with("mean/")) {
        let other = named(from, &tensor.name)?;
        let hess = named(of, &tensor.name.replacen("mean/", "hess/", 1))?;
        for ((mean, other), hess) in tensor.numbers().into_iter().zip(other).zip(hess) {
            sum += (mean - other).powi(2) * ess * (hess + delta);
            count += 1.0;
        }
    }
    Ok(f64::sqrt(sum / count))
}

fn main() -> Result<()> {
    let total: u64 = std::env::args().nth(1).map_or(Ok(100_000), |steps| steps.parse())?;
    let device = Device::cpu()?;
    for model in ["model.kind=linear", "model.kind=mlp"] {
        let shape = match model {
            "model.kind=linear" => [r#"model.inputs=784"#, r#"model.classes=10"#],
            _ => ["model.sizes=[784,32,10]", "model.activation=tanh"],
        };
        let settings = [&[model, "schedule.kind=constant", "rule.lr=0.1"][..], &shape].concat();
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let config = RunConfig::load(None, &settings)?;
        let splits = config.data.load(assets::fetch)?;
        let with = |state| RunConfig {
            step: StepPlan { state, per_call: STEPS_PER_CALL, ..config.step },
            ..config.clone()
        };
        let values = config.recipe(StatePlan::Explicit).values(splits.train.len(), total);
        let mut explicit = Running::new(&device, &with(StatePlan::Explicit), &splits, total, 1.0)?;
        let mut implicit = Running::new(&device, &with(StatePlan::Implicit), &splits, total, 1.0)?;
        let nudge = 1.0 + f64::from(f32::EPSILON);
        let mut nudged = Running::new(&device, &with(StatePlan::Explicit), &splits, total, nudge)?;
        println!("{model}\n{:>10}  {:>12}  {:>12}", "steps", "implicit", "nudged");
        let mut step = 100;
        while step <= total {
            let state = explicit.run_to(step)?;
            let drift = distance(&state, &implicit.run_to(step)?, &values)?;
            let chaos = distance(&state, &nudged.run_to(step)?, &values)?;
            println!("{step:>10}  {drift:>12.2e}  {chaos:>12.2e}");
            step *= 10;
        }
    }
    Ok(())
}
