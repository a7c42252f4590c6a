//! A step as a function of its state.

use natgrad::config::{Length, PriorConfig, RunConfig};
use natgrad::data::DataConfig;
use natgrad::ir::DType;
use natgrad::train::{State, Stepper};

use super::*;

const ROWS: usize = 8;

fn config() -> RunConfig {
    RunConfig {
        model: Dropping.into(),
        rule: ivon().into(),
        data: DataConfig::Arrays {},
        batch: ROWS,
        length: Length::Steps(40),
        ..RunConfig::default()
    }
}

fn stepper(config: RunConfig) -> Stepper<'static> {
    Stepper::new(&DEVICE, config, DType::F32, 60).unwrap()
}

fn means(stepper: &Stepper) -> Vec<Vec<u8>> {
    let values: Vec<Vec<f32>> = stepper.config().model.initial_values(0).collect();
    let bytes = |value: &f32| value.to_ne_bytes();
    values.iter().map(|values| values.iter().flat_map(bytes).collect()).collect()
}

fn begun(stepper: &mut Stepper, seed: u64) -> Option<State> {
    let means = means(stepper);
    let means: Vec<&[u8]> = means.iter().map(Vec::as_slice).collect();
    Some(stepper.init(&means, seed).unwrap())
}

/// The rows of a step.
fn batch(step: usize) -> (Vec<u8>, Vec<u8>) {
    let (x, y) = points((step + 1) * ROWS);
    let x = x.iter().skip(step * ROWS * 2).flat_map(|x| x.to_ne_bytes()).collect();
    (x, y.iter().skip(step * ROWS).flat_map(|&y| u32::from(y).to_ne_bytes()).collect())
}

fn go(stepper: &mut Stepper, state: &mut Option<State>, step: usize) -> f64 {
    let (x, y) = batch(step);
    let (next, told) = stepper.step(state, &[&x, &y]).unwrap();
    assert!(state.is_none());
    *state = Some(next);
    told.wait().unwrap()[0].loss()
}

#[test]
fn states_are_values_and_do_not_mix() {
    let mut stepper = stepper(config());
    let (mut first, mut second) = (begun(&mut stepper, 0), begun(&mut stepper, 7));
    let losses: Vec<[f64; 2]> = (0..4)
        .map(|step| [go(&mut stepper, &mut first, step), go(&mut stepper, &mut second, step)])
        .collect();
    let mut alone = begun(&mut stepper, 7);
    for (step, [_, wanted]) in losses.iter().enumerate() {
        assert_eq!(go(&mut stepper, &mut alone, step), *wanted);
    }
    assert!(losses.iter().all(|[first, second]| first != second));
    let tensors =
        |stepper: &mut Stepper, state: &mut Option<State>| stepper.tensors(state.as_mut().unwrap()).unwrap();
    assert_eq!(tensors(&mut stepper, &mut alone), tensors(&mut stepper, &mut second));
    assert_ne!(tensors(&mut stepper, &mut alone), tensors(&mut stepper, &mut first));
}

/// The steps of one call are those of as many calls, and the state and what is told are of all of them.
#[test]
fn several_steps_in_a_call_are_those_of_several_calls() {
    let mut one = stepper(config());
    let mut state = begun(&mut one, 3);
    let wanted: Vec<f64> = (0..4).map(|step| go(&mut one, &mut state, step)).collect();
    let mut config = config();
    config.step.per_call = 2;
    let mut several = stepper(config);
    let mut of_calls = begun(&mut several, 3);
    let mut found = Vec::new();
    for first in [0, 2] {
        let batches = [batch(first), batch(first + 1)];
        let x = batches.iter().flat_map(|(x, _)| x.clone()).collect::<Vec<u8>>();
        let y = batches.iter().flat_map(|(_, y)| y.clone()).collect::<Vec<u8>>();
        let (next, told) = several.step(&mut of_calls, &[&x, &y]).unwrap();
        of_calls = Some(next);
        found.extend(told.wait().unwrap().iter().map(|told| told.loss()));
        let done = first as u64 + 2;
        assert_eq!(of_calls.as_ref().unwrap().step(), done);
        let tensors = several.tensors(of_calls.as_mut().unwrap()).unwrap();
        let step = tensors.iter().find(|tensor| tensor.name == "step").unwrap();
        assert_eq!(step.numbers(), [done as f64]);
    }
    for (found, wanted) in found.iter().zip(&wanted) {
        assert!((found - wanted).abs() < 1e-5, "{found}, not {wanted}");
    }
    assert_eq!(found.len(), wanted.len());
}

#[test]
fn a_step_is_that_of_a_run() {
    let mut run = Run::of(config()).rows(60).start(&DEVICE).unwrap();
    let mut stepper = stepper(config());
    let mut state = begun(&mut stepper, 0);
    for step in 0..3 {
        let (x, y) = points((step + 1) * ROWS);
        let tail = |rows: usize| Slice::from(step * ROWS..rows);
        let rows = (step + 1) * ROWS;
        let (x, y) =
            (x.slice_axis(Axis(0), tail(rows)).to_owned(), y.slice_axis(Axis(0), tail(rows)).to_owned());
        let wanted = run.step((&x, &y)).unwrap().loss();
        assert_eq!(go(&mut stepper, &mut state, step), wanted);
    }
    assert_eq!(stepper.tensors(state.as_mut().unwrap()).unwrap(), run.state().unwrap());
}

/// From the prior's mean, with its tensors beside the state.
#[test]
fn a_step_with_a_prior_is_that_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let model = Mlp { sizes: vec![2, 8, 2], activation: Activation::Tanh, noise: None };
    let config = RunConfig { model: model.into(), ..config() };
    let mut first = stepper(config.clone());
    let mut state = begun(&mut first, 5);
    go(&mut first, &mut state, 0);
    first.save(state.as_mut().unwrap(), folder.path(), None).unwrap();
    let means = first.mean(state.as_mut().unwrap()).unwrap();
    let means: Vec<&[u8]> = means.iter().map(Vec::as_slice).collect();

    let prior = PriorConfig { run: folder.path().to_path_buf(), strength: 30.0 };
    let config = RunConfig { prior: Some(prior), ..config };
    let mut run = Run::of(config.clone()).rows(60).start(&DEVICE).unwrap();
    let mut stepper = stepper(config.clone());
    let mut state = Some(stepper.init(&means, 0).unwrap());
    for step in 0..3 {
        let (x, y) = points((step + 1) * ROWS);
        let rows = Slice::from(step * ROWS..(step + 1) * ROWS);
        let (x, y) = (x.slice_axis(Axis(0), rows).to_owned(), y.slice_axis(Axis(0), rows).to_owned());
        assert_eq!(go(&mut stepper, &mut state, step), run.step((&x, &y)).unwrap().loss());
    }
    let tensors = stepper.tensors(state.as_mut().unwrap()).unwrap();
    assert_eq!(tensors, run.state().unwrap());
    assert!(tensors.iter().any(|tensor| tensor.name.starts_with("prior_weight_decay/")));
    let drawn = stepper.draw(state.as_mut().unwrap(), 0, 0).unwrap();
    assert_ne!(drawn, stepper.mean(state.as_mut().unwrap()).unwrap());

    let missing = PriorConfig { run: "nowhere".into(), strength: 1.0 };
    let config = RunConfig { prior: Some(missing), ..config };
    let error = Stepper::new(&DEVICE, config, DType::F32, 60).unwrap_err().to_string();
    assert!(error.starts_with("`prior.run` is nowhere, which cannot be the prior: "), "{error}");
}

#[test]
fn a_saved_state_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    for plan in [natgrad::step::StatePlan::Explicit, natgrad::step::StatePlan::Implicit] {
        let mut config = config();
        config.step.state = plan;
        let mut first = stepper(config.clone());
        let mut state = begun(&mut first, 3);
        go(&mut first, &mut state, 0);
        first.save(state.as_mut().unwrap(), folder.path(), None).unwrap();
        let wanted = go(&mut first, &mut state, 1);

        let mut again = stepper(config.clone());
        let mut loaded = Some(again.load(folder.path()).unwrap());
        assert_eq!((loaded.as_ref().unwrap().step(), loaded.as_ref().unwrap().seed()), (1, 3));
        assert_eq!(go(&mut again, &mut loaded, 1), wanted);

        config.rule = Ivon { beta1: 0.5, ..ivon() }.into();
        let error = stepper(config).load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("`rule.beta1` 0.9, but this run has 0.5"), "{error}");
    }
}

#[test]
fn samples_are_those_of_the_number_and_the_seed() {
    let mut stepper = stepper(config());
    let mut state = begun(&mut stepper, 0);
    go(&mut stepper, &mut state, 0);
    let state = state.as_mut().unwrap();
    let mean = stepper.mean(state).unwrap();
    let first = stepper.draw(state, 5, 0).unwrap();
    assert_ne!(mean, first);
    assert_eq!(first, stepper.draw(state, 5, 0).unwrap());
    assert_ne!(first, stepper.draw(state, 5, 1).unwrap());
    assert_ne!(first, stepper.draw(state, 6, 0).unwrap());
}

#[test]
fn a_wrong_batch_leaves_the_state_whole() {
    let mut stepper = stepper(config());
    let mut state = begun(&mut stepper, 0);
    let (x, y) = batch(0);
    let mut refused = |batch: &[&[u8]], wanted: &str| {
        let error = stepper.step(&mut state, batch).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
        assert!(state.is_some());
    };
    refused(&[&x[4..], &y], "`features/x` is f32[8,2], of 64 bytes, but 60 are given");
    refused(&[&x, &y[4..]], "`labels` is u32[8], of 32 bytes, but 28 are given");
    refused(&[&x], "a batch has 2 arrays, but 1 are given");
    let mut adamw = self::stepper(RunConfig { rule: AdamW::default().into(), ..config() });
    let mut state = begun(&mut adamw, 0).unwrap();
    let error = adamw.draw(&mut state, 0, 0).unwrap_err().to_string();
    assert!(error.contains("adamw leaves no posterior to sample"), "{error}");
    let epochs = RunConfig { length: Length::Epochs(1), ..config() };
    assert!(Stepper::new(&DEVICE, epochs, DType::F32, 60).is_err());
}
