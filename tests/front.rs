//! The front door: runs of one's own models on arrays, in whatever order the calls come.

#[allow(dead_code, reason = "nothing is compiled here")]
#[path = "support/device.rs"]
mod device;
#[allow(dead_code)]
#[path = "../examples/own_model.rs"]
mod own_model;
#[path = "front/pytorch.rs"]
mod pytorch;
#[path = "front/refusals.rs"]
mod refusals;
#[path = "front/stepper.rs"]
mod stepper;

use device::DEVICE;
use natgrad::data::{Batch, Batches, Examples};
use natgrad::ndarray::{Array1, Array2, Axis, Slice, arr1};
use natgrad::prelude::*;
use natgrad::train::HostTensor;

/// Points of a square, and whether each lies in a circle.
fn points(count: usize) -> (Array2<f32>, Array1<bool>) {
    let at = |row: usize, axis: usize| ((row * 37 + axis * 11 * row) % 97) as f32 / 48.0 - 1.0;
    let x = Array2::from_shape_fn((count, 2), |(row, axis)| at(row, axis));
    let y = x.map_axis(Axis(1), |point| point[0].hypot(point[1]) < 0.7);
    (x, y)
}

/// A perceptron with dropout, which natgrad does not have.
#[derive(Debug)]
struct Dropping;

impl Model for Dropping {
    fn inputs(&self) -> Vec<Input> {
        vec![Input::numbers("x", [2])]
    }

    fn task(&self) -> Task {
        Task::Classes
    }

    fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
        let hidden = Linear::new("hidden", 16).then(Activation::Tanh).apply(net, inputs[0]);
        Linear::new("out", 2).apply(net, Dropout::new(0.3).apply(net, hidden))
    }
}

fn ivon() -> Ivon {
    Ivon { lr: 0.3, hess_init: 0.1, ..Ivon::default() }
}

fn run() -> Run {
    let (x, y) = points(60);
    Run::new(Dropping, ivon()).data((&x, &y)).batch(8).steps(40)
}

fn state(training: &Training) -> Vec<HostTensor> {
    training.state().unwrap()
}

#[test]
fn a_loop_of_ones_own_takes_the_steps_of_fit() {
    let mut fitted = run().start(&DEVICE).unwrap();
    let mut losses = Vec::new();
    fitted.fit(|record| losses.push(record.loss)).unwrap();
    assert_eq!((losses.len(), fitted.steps_done(), fitted.total_steps()), (4, 40, 40));

    // Without data: the number of rows is enough.
    let (x, y) = points(60);
    let mut stepped = Run::new(Dropping, ivon()).rows(60).batch(8).steps(40).start(&DEVICE).unwrap();
    let mut batches = Batches::new(60, 8, 0).unwrap();
    let mut sum = 0.0;
    for step in 0..40 {
        let rows: Vec<usize> = batches.rows(step).iter().map(|&row| row as usize).collect();
        let (x, y) = (x.select(Axis(0), &rows), y.select(Axis(0), &rows));
        let loss = stepped.step((&x, &y)).unwrap().loss();
        sum += if step < 10 { loss } else { 0.0 };
    }
    assert_eq!(state(&stepped), state(&fitted));
    assert!((sum / 10.0 - losses[0]).abs() < 1e-6);
}

#[test]
fn a_run_that_is_saved_and_resumed_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = run().start(&DEVICE).unwrap();
    whole.fit(|_| {}).unwrap();

    let mut first = run().start(&DEVICE).unwrap();
    let stopped = first.fit_until(&mut |_| {}, &|| true).unwrap_err();
    assert!(matches!(stopped, TrainError::Stopped { .. }), "{stopped}");
    assert!(first.steps_done() < 40);
    first.save(folder.path()).unwrap();
    let mut second = run().resume(folder.path()).unwrap().start(&DEVICE).unwrap();
    assert_eq!(second.steps_done(), first.steps_done());
    second.fit(|_| {}).unwrap();
    assert_eq!(state(&second), state(&whole));
    // A run that was stopped goes on by itself, too.
    first.fit(|_| {}).unwrap();
    assert_eq!(state(&first), state(&whole));
}

/// Without a folder the best state is kept in memory.
#[test]
fn a_run_is_judged_while_it_goes_on() {
    let (x, y) = points(60);
    let (other, theirs) = (x.mapv(|x| 0.9 * x), y.clone());
    let run = |steps| {
        let run = Run::new(Dropping, Ivon { lr: 3.0, ..ivon() }).data((&x, &y)).batch(8).steps(steps);
        run.validation((&other, &theirs)).with(|config| {
            config.schedule = natgrad::rule::Schedule::CONSTANT;
            config.validation.as_mut().unwrap().every = natgrad::config::Length::Steps(5);
        })
    };
    let mut training = run(200).start(&DEVICE).unwrap();
    let mut judged = Vec::new();
    training.fit(|record| judged.extend(record.valid.map(|valid| (record.step, valid.mean.nll())))).unwrap();
    assert_eq!(judged.len(), 40);
    let last = training.validate().unwrap().mean.nll();
    assert_eq!(judged[39], (200, last));
    let (step, nll) = judged.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    let best = training.best().unwrap();
    assert!((best.step, best.value) == (step, nll) && step < 200, "{best:?}");
    training.restore_best().unwrap();
    assert_eq!((training.steps_done(), training.validate().unwrap().mean.nll()), (step, nll));
    let mut shorter = run(step).start(&DEVICE).unwrap();
    shorter.fit(|_| {}).unwrap();
    assert_eq!(state(&training), state(&shorter));

    // Rows are held out of arrays, too, and then they are not trained on.
    let held_out = Run::new(Dropping, ivon()).data((&x, &y)).batch(8).epochs(1);
    let held_out = held_out.with(|config| config.validation = Some(natgrad::config::Validation::default()));
    let mut training = held_out.start(&DEVICE).unwrap();
    assert_eq!(training.total_steps(), 54 / 8);
    assert!(training.validate().unwrap().mean.nll() > 0.0);
    let mut without = Run::new(Dropping, ivon()).data((&x, &y)).batch(8).start(&DEVICE).unwrap();
    assert!(
        without
            .validate()
            .unwrap_err()
            .to_string()
            .starts_with("`validate` is refused: there are no validation rows")
    );
}

#[test]
fn a_saved_run_predicts_as_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let (x, y) = points(60);
    let mlp = Mlp { sizes: vec![2, 16, 2], activation: Activation::Tanh, noise: None };
    let mut run = Run::new(mlp, ivon()).data((&x, &y)).test((&x, &y)).epochs(20).start(&DEVICE).unwrap();
    // Before it is trained, it can be used.
    let before = run.predict(&x, At::Mean).unwrap();
    run.fit(|_| {}).unwrap();
    let scores = run.evaluate().unwrap();
    let averaged = run.predict((&x, &y), At::Samples(16)).unwrap();
    let at_mean = run.predict((&x, &y), At::Mean).unwrap();
    assert_ne!(before.mean, at_mean.mean);
    assert_eq!(at_mean.scores, Some(scores.mean));
    assert!(at_mean.spread.iter().all(|&spread| spread == 0.0));
    assert!(averaged.spread.iter().all(|&spread| spread > 0.0));
    assert!(averaged.epistemic.iter().zip(&averaged.entropy).all(|(part, all)| 0.0 <= *part && part <= all));
    assert_eq!((averaged.mean.shape(), averaged.class.len()), (&[60, 2][..], 60));
    for (row, class) in averaged.mean.axis_iter(Axis(0)).zip(&averaged.class) {
        assert!((row.sum() - 1.0).abs() < 1e-6);
        assert_eq!(*class, u32::from(row[1] > row[0]));
    }

    run.save(folder.path()).unwrap();
    let mut loaded = Run::load(folder.path()).unwrap().start(&DEVICE).unwrap();
    assert_eq!(loaded.predict((&x, &y), At::Samples(16)).unwrap(), averaged);
    // Few rows, and many.
    for rows in [1, 7, 60] {
        let few = loaded.predict(&x.slice_axis(Axis(0), Slice::from(..rows)), At::Samples(16)).unwrap();
        let wanted = averaged.mean.slice_axis(Axis(0), Slice::from(..rows));
        assert!((&few.mean - &wanted).iter().all(|error| error.abs() < 1e-6), "{rows} rows");
    }
    let many = natgrad::ndarray::concatenate(Axis(0), &[x.view(); 20]).unwrap();
    let many = loaded.predict(&many, At::Mean).unwrap();
    assert_eq!(many.mean.shape(), [1200, 2]);
    assert!(
        (&many.mean.slice_axis(Axis(0), Slice::from(1140..)) - &at_mean.mean)
            .iter()
            .all(|error| error.abs() < 1e-6)
    );
}

#[test]
fn several_numbers_a_row_are_predicted() {
    /// Two numbers of each row.
    #[derive(Debug)]
    struct Line;

    impl Model for Line {
        fn inputs(&self) -> Vec<Input> {
            vec![Input::numbers("x", [2])]
        }

        fn task(&self) -> Task {
            Task::Numbers { noise: Noise::Given(0.1) }
        }

        fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
            Linear::new("line", 2).apply(net, inputs[0])
        }
    }

    let (x, _) = points(60);
    let y = x.dot(&natgrad::ndarray::array![[1.0, -1.0], [0.5, 2.0]]) + 0.25;
    let rule = Adam { lr: 0.05, ..Adam::default() };
    let mut run = Run::new(Line, rule).data((&x, &y)).epochs(200).start(&DEVICE).unwrap();
    run.fit(|_| {}).unwrap();
    let found = run.predict((&x, &y), At::Mean).unwrap();
    assert_eq!((found.mean.shape(), found.class.len()), (&[60, 2][..], 0));
    assert!((&found.mean.mapv(|mean| mean as f32) - &y).iter().all(|error| error.abs() < 0.02));
}

/// A sine with a gap, as in docs/rust.md: the samples disagree where there were no data.
#[test]
fn samples_disagree_where_there_were_no_data() {
    #[derive(Debug)]
    struct Curve;

    impl Model for Curve {
        fn inputs(&self) -> Vec<Input> {
            vec![Input::numbers("x", [1])]
        }

        fn task(&self) -> Task {
            Task::Numbers { noise: Noise::Given(0.1) }
        }

        fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
            let x = Linear::new("first", 50).then(Activation::Tanh).apply(net, inputs[0]);
            let x = Linear::new("second", 50).then(Activation::Tanh).apply(net, x);
            Linear::new("out", 1).apply(net, x)
        }
    }

    // From -3 to -1, and from 1 to 3, with a ripple of the noise's size.
    let x = Array1::from_shape_fn(200, |row| (row % 100) as f32 / 50.0 + if row < 100 { -3.0 } else { 1.0 });
    let y = Array1::from_shape_fn(200, |row| x[row].sin() + 0.1 * (7.3 * row as f32).sin());
    let rule = Ivon {
        lr: 0.02,
        hess_init: 10.0,
        clip_radius: Some(0.05),
        weight_decay: 1e-4,
        beta2: 0.999,
        ..Ivon::default()
    };
    let run = Run::new(Curve, rule).data((&x, &y)).batch(50).epochs(800);
    let mut run = run.start(&DEVICE).unwrap();
    run.fit(|_| {}).unwrap();
    let found = run.predict(&arr1(&[-2.0, 2.0, -0.3, 0.0, 0.3]), At::Samples(64)).unwrap();
    let seen = found.spread[[0]].max(found.spread[[1]]);
    for gap in 2..5 {
        assert!(found.spread[[gap]] > 1.5 * seen, "{}", found.spread);
    }
    assert!((found.mean[[1]] - 2f64.sin()).abs() < 0.3, "{}", found.mean);
}

/// The example's own words: pairs of digits, two inputs.
#[test]
fn arrays_of_several_inputs_are_taken_by_name() {
    let x = natgrad::ndarray::Array4::<f32>::zeros((3, 28, 28, 1));
    let y = arr1(&[true, false, true]);
    let model = own_model::SameDigit { dropout: 0.1 };
    let swapped = Arrays::named("right", &(&x + 1.0)).and("left", &x).labels(&y);
    let examples = Examples::Arrays(swapped.examples(&model, true).unwrap());
    let mut batch = Batch::default();
    examples.append(&[2], None, &mut batch).unwrap();
    assert_eq!(batch.features.len(), 2);
    assert!(
        batch.features[0].iter().all(|&byte| byte == 0) && batch.features[1].ends_with(&1f32.to_ne_bytes())
    );
}

/// README's program is the documentation's front page, which is a test.
#[test]
fn readme_shows_the_documentations_example() {
    let documented = include_str!("../src/lib.rs");
    let code = documented.split("//! ```\n").nth(1).unwrap();
    let lines = code.lines().map(|line| line.trim_start_matches("//!"));
    let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let shown: Vec<&str> = lines.filter(|line| !line.starts_with("# ")).collect();
    assert!(shown.iter().filter(|line| !line.is_empty()).count() < 25);
    assert!(include_str!("../README.md").contains(&format!("```rust\n{}\n```", shown.join("\n"))));

    let example = include_str!("../examples/own_model.rs");
    let network = example.split("impl Model for").nth(1).unwrap().split("\n}\n").next().unwrap();
    assert!(include_str!("../docs/rust.md").contains(network));
}
