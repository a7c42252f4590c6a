//! Runs that lose their numbers.

use crate::support::{Bench, Outcome};

/// Trains with a learning rate that is far too high.
fn train(bench: &Bench, out: &str, more: &[&str]) -> Outcome {
    let args = ["train", "run.json", "--out", out, "--set", "schedule.kind=constant"];
    bench.run(&[&args[..], more].concat())
}

/// The number after some words of the message.
fn number_after(message: &str, words: &str) -> u64 {
    let rest = message.split(words).nth(1).unwrap_or_else(|| panic!("no `{words}` in {message}"));
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

fn assert_checkpoint_is_good(bench: &Bench, out: &str, message: &str) -> u64 {
    let kept = number_after(message, "The last good checkpoint, of step ");
    assert!(message.contains(&format!("is kept: {out}/checkpoint.safetensors.")), "{message}");
    let checkpoint = bench.checkpoint(out);
    assert_eq!(checkpoint.header.step, kept);
    assert!(checkpoint.tensors.iter().flat_map(|tensor| tensor.numbers()).all(f64::is_finite));
    kept
}

#[test]
fn a_loss_that_overflows_is_told_with_its_step() {
    let bench = Bench::new();
    let rate = ["--set", "rule.lr=1e6"];
    let outcome = train(&bench, "out", &rate);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let message = outcome.stderr;
    assert!(message.starts_with("error: the loss became "), "{message}");
    assert!(message.contains("(learning rate 1.000e6)"), "{message}");
    assert!(
        message.contains("every state tensor was still finite, so the loss itself overflowed"),
        "{message}"
    );
    assert_eq!(assert_checkpoint_is_good(&bench, "out", &message), 0);

    // By hand: up to the step before, every loss and the state are fine.
    let step = number_after(&message, "at step ");
    assert!(step > 3, "{message}");
    let before = (step - 1).to_string();
    let outcome = train(&bench, "before", &[&rate[..], &["--steps", &before]].concat());
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let largest = bench.checkpoint("before").tensors.into_iter().flat_map(|tensor| tensor.numbers());
    let largest = largest.fold(0.0, |most: f64, x| most.max(x.abs()));
    assert!(message.contains(&format!("up to {largest:.3e}. ")), "{largest:e}: {message}");
    let after = step.to_string();
    assert_eq!(train(&bench, "after", &[&rate[..], &["--steps", &after]].concat()).code, Some(1));
}

#[test]
fn a_tensor_that_overflows_is_named() {
    let bench = Bench::new();
    // The first step overflows the mean, which the next step's loss shows.
    let rate = ["--set", "rule.lr=3e38", "--set", "rule.rescale_lr=false"];
    let outcome = train(&bench, "out", &rate);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let message = outcome.stderr;
    assert!(message.starts_with("error: the loss became NaN at step "), "{message}");
    let name = message.split("the first tensor that is not finite is `").nth(1).unwrap();
    let name = name.split('`').next().unwrap();
    let step = number_after(&message, "`, after step ");
    assert_eq!(number_after(&message, "at step "), step + 1);
    assert_checkpoint_is_good(&bench, "out", &message);

    // By hand: a run that would end with that step finds the same tensor before it is saved.
    let steps = step.to_string();
    let outcome = train(&bench, "by-hand", &[&rate[..], &["--steps", &steps]].concat());
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let wanted =
        format!("error: the state is not finite after step {step}, though every loss was (learning rate");
    assert!(outcome.stderr.starts_with(&wanted), "{outcome:?}");
    let wanted = format!("the first tensor that is not finite is `{name}`, after step {step}");
    assert!(outcome.stderr.contains(&wanted), "{outcome:?}");
}

/// The diagnosis starts from the last checkpoint, also in a run that was continued.
#[test]
fn a_continued_run_knows_its_checkpoint() {
    let bench = Bench::new();
    assert_eq!(train(&bench, "out", &["--steps", "20"]).code, Some(0));
    let outcome = bench.run(&["train", "--resume", "out", "--steps", "40", "--set", "rule.lr=1e30"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(number_after(&outcome.stderr, "at step ") > 20, "{outcome:?}");
    assert_eq!(assert_checkpoint_is_good(&bench, "out", &outcome.stderr), 20);
}
