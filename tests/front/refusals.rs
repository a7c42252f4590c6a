//! What cannot be done is refused with the reason.

use natgrad::ndarray::Array2;
use natgrad::prelude::*;

use super::{DEVICE, Dropping, ivon, points, run};

fn refused<T>(outcome: Result<T, TrainError>) -> String {
    match outcome {
        Ok(_) => panic!("not refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn calls_that_cannot_be_done_say_why() {
    let (x, y) = points(8);
    let bare = || Run::new(Dropping, ivon()).batch(8);
    assert_eq!(
        refused(bare().start(&DEVICE)),
        "`start` is refused: there is no data: give it by `Run::data`, or for a loop of your own the number of training rows by `Run::rows`"
    );
    let mut training = bare().rows(8).steps(1).start(&DEVICE).unwrap();
    assert_eq!(
        refused(training.fit(|_| {})),
        "`fit` is refused: the run has no data: give it by `Run::data`"
    );
    assert_eq!(
        refused(training.evaluate()),
        "`evaluate` is refused: there are no test rows: give them by `Run::test`"
    );
    let (few, their) = points(7);
    assert_eq!(
        refused(training.step((&few, &their))),
        "`step` is refused: a step takes 8 rows, but is given 7"
    );
    assert_eq!(
        refused(training.step(&x)),
        "the rows have no labels: give them as `(&inputs, &labels)`, or by `Arrays::labels`"
    );
    training.step((&x, &y)).unwrap();
    assert_eq!(
        refused(training.step((&x, &y))),
        "`step` is refused: the run is at its end, of 1 steps: a new one can have more, by `Run::steps`"
    );
    assert_eq!(
        refused(training.predict(&Array2::<f32>::zeros((3, 5)), At::Mean)),
        "the input `x` have the shape [3, 5], but must have [rows, 2]"
    );

    let mut point = Run::new(Dropping, Adam::default()).data((&x, &y)).steps(1).start(&DEVICE).unwrap();
    assert_eq!(
        refused(point.predict(&x, At::Samples(2))),
        "`predict` is refused: adam leaves no posterior to sample; predict at the mean"
    );
    let per_call = bare().rows(8).steps(4).with(|config| config.step.per_call = 2);
    assert_eq!(
        refused(per_call.start(&DEVICE).unwrap().step((&x, &y))),
        "`step` is refused: `step.per_call` is 2, and a batch is of one step"
    );
    let samples = bare().rows(8).steps(1).start(&DEVICE).unwrap().predict(&x, At::Samples(0));
    assert!(refused(samples).contains("0 of them were asked for"));
}

#[test]
fn options_out_of_range_are_named() {
    let (x, y) = points(8);
    let run = || Run::new(Dropping, ivon()).data((&x, &y));
    assert!(
        refused(run().batch(9).start(&DEVICE)).contains("`batch` is 9, but there are only 8 training rows")
    );
    let wrong = run().with(|config| config.step.samples = 0).start(&DEVICE);
    assert!(refused(wrong).contains("`step.samples` is 0"));
    let wrong = Run::new(Dropping, Ivon { lr: -1.0, ..ivon() }).data((&x, &y)).start(&DEVICE);
    assert!(refused(wrong).contains("`rule.lr` is -1"));
    let wrong = Run::new(Mlp { sizes: vec![2, 0, 2], activation: Activation::Relu, noise: None }, ivon())
        .data((&x, &y));
    let text = refused(wrong.start(&DEVICE));
    assert!(text.contains("sizes"), "{text}");
}

#[test]
fn a_model_with_a_mistake_is_refused_at_the_start() {
    #[derive(Debug)]
    struct Twins;

    impl Model for Twins {
        fn name(&self) -> &str {
            "twins"
        }

        fn inputs(&self) -> Vec<Input> {
            vec![Input::numbers("x", [2])]
        }

        fn task(&self) -> Task {
            Task::Classes
        }

        fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
            let x = Linear::new("fc", 2).apply(net, inputs[0]);
            Linear::new("fc", 2).apply(net, x)
        }
    }

    let (x, y) = points(8);
    let text = refused(Run::new(Twins, ivon()).data((&x, &y)).start(&DEVICE));
    assert!(
        text.contains("the model `twins`") && text.contains("two layers have a parameter `fc.weight`"),
        "{text}"
    );
    assert!(text.contains("tests/front/refusals.rs"), "{text}");
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(refused(Run::load(folder.path())).contains("checkpoint.safetensors"));
    run().start(&DEVICE).unwrap().save(folder.path()).unwrap();
    let resume = |run: Run| refused(run.resume(folder.path()).unwrap().start(&DEVICE));
    assert_eq!(
        resume(run().seed(3)),
        "the checkpoint does not fit the run: it is of a run with `seed` 0, but this run has 3"
    );
    assert!(resume(run().steps(41)).contains("it is of a run of 40 steps, but this run has 41"));
    let (x, y) = points(60);
    let other = Run::new(Dropping, Adam::default()).data((&x, &y)).batch(8).steps(40);
    assert!(resume(other).ends_with(r#"it is of a run with `rule.kind` "ivon", but this run has "adam""#));
    let text = refused(Run::load(folder.path()));
    assert!(text.contains("the model `own` is a program's own, and only that program has it"), "{text}");
}
