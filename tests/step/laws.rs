//! What must hold of the rules whatever the numbers, in the interpreter in double precision.

use natgrad::compile::stablehlo;
use natgrad::noise::{Grade, Key, Purpose, Stream};
use natgrad::rule::{Adam, AdamW, Estimator, Ivon, NamedRule, Schedule, Span};
use natgrad::step::{Metric, NoiseSource, Slot, StateKind};
use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
use natgrad_ir::{Builder, DType, TensorType};
use natgrad_layers::{Activation, NamedModel};
use proptest::prelude::*;

use crate::device::lowering;
use crate::hlo::mlp;
use crate::kit::{Setup, Values, floats, interpret, scalar};
use crate::random::{adams, ivons, models, schedules, setups};

/// Numbers that no formula can tell apart when the largest has this magnitude.
const ROUNDING: f64 = 1e-9;

/// The state around one step, tensor by tensor: before it, and after.
struct Around {
    before: Values,
    after: Values,
    step: u64,
}

impl Around {
    fn before(&self, kind: StateKind, param: usize) -> Vec<f64> {
        floats(&self.before, Slot::State(kind, param))
    }

    fn after(&self, kind: StateKind, param: usize) -> Vec<f64> {
        floats(&self.after, Slot::State(kind, param))
    }

    fn rate(&self) -> f64 {
        scalar(&self.after, Slot::Metric(Metric::LearningRate))
    }
}

/// Runs all steps of a run in the interpreter.
fn run(setup: &Setup, steps: u64) -> Vec<Around> {
    let program = setup.recipe().step(setup.rows).unwrap();
    let mut values = setup.begin(&program);
    let mut trail = Vec::new();
    for step in 0..steps {
        setup.feed(step, &mut values);
        let before = values.clone();
        values.extend(interpret(&program, &values));
        trail.push(Around { before, after: values.clone(), step });
    }
    trail
}

/// Asserts that two tensors agree to rounding errors of their largest element, or of `scale` if it is larger.
fn assert_close(what: &str, found: &[f64], wanted: &[f64], scale: f64) -> Result<(), TestCaseError> {
    let scale = wanted.iter().fold(scale, |most, x| most.max(x.abs()));
    for (index, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let close = (found - wanted).abs() <= ROUNDING * scale;
        prop_assert!(close, "{}, element {}: {:e}, not {:e}", what, index, found, wanted);
    }
    prop_assert_eq!(found.len(), wanted.len());
    Ok(())
}

fn zip4<'a>([a, b, c, d]: [&'a [f64]; 4]) -> impl Iterator<Item = (f64, f64, f64, f64)> + use<'a> {
    a.iter().zip(b).zip(c).zip(d).map(|(((&a, &b), &c), &d)| (a, b, c, d))
}

/// Algorithm 1 of Shen et al. 2024 as it is printed, one element at a time, with the gradient taken from what the
/// step made of the momentum.
fn check_ivon(ivon: &Ivon, around: &Around, params: usize) -> Result<(), TestCaseError> {
    let Ivon { beta1, beta2, hess_init, weight_decay: delta, .. } = *ivon;
    let ess = ivon.ess.unwrap();
    let rate = around.rate() * if ivon.rescale_lr { hess_init + delta } else { 1.0 };
    let correction = if ivon.debias { 1.0 - beta1.powi(around.step as i32 + 1) } else { 1.0 };
    for param in 0..params {
        let [mean, momentum, hess, sample] =
            [StateKind::MEAN, StateKind::MOMENTUM, StateKind::HESS, StateKind::SAMPLE]
                .map(|kind| around.before(kind, param));
        let new_momentum = around.after(StateKind::MOMENTUM, param);
        let gradient: Vec<f64> = new_momentum
            .iter()
            .zip(&momentum)
            .map(|(new, old)| (new - beta1 * old) / (1.0 - beta1))
            .collect();
        let (mut new_mean, mut new_hess) = (Vec::new(), Vec::new());
        for ((m, h, theta, ghat), g) in zip4([&mean, &hess, &sample, &gradient]).zip(&new_momentum) {
            let hhat = match ivon.estimator {
                Estimator::Price => ghat * (theta - m) * (ess * (h + delta)),
                Estimator::Gradsq => ess * ghat * ghat,
                other => unreachable!("{other:?} is not drawn here"),
            };
            let limit = ivon.hess_clip.unwrap_or(f64::INFINITY) * (h + delta);
            let hhat = hhat.clamp(-limit, limit);
            let h_new = beta2 * h
                + (1.0 - beta2) * hhat
                + 0.5 * (1.0 - beta2).powi(2) * (h - hhat).powi(2) / (h + delta);
            let newton = (g / correction + delta * m) / (h_new + delta);
            let radius = ivon.clip_radius.unwrap_or(f64::INFINITY);
            new_mean.push(m - rate * newton.clamp(-radius, radius));
            new_hess.push(h_new);
        }
        assert_close("mean", &around.after(StateKind::MEAN, param), &new_mean, 1.0)?;
        assert_close("hess", &around.after(StateKind::HESS, param), &new_hess, 0.0)?;
    }
    Ok(())
}

/// Adam as `torch.optim` documents it.
fn check_adam(adam: &Adam, is_coupled: bool, around: &Around, params: usize) -> Result<(), TestCaseError> {
    let Adam { beta1, beta2, eps, weight_decay, .. } = *adam;
    let weight_decay = weight_decay.unwrap();
    let (rate, time) = (around.rate(), around.step as i32 + 1);
    for param in 0..params {
        let [mean, momentum, second] = [StateKind::MEAN, StateKind::MOMENTUM, StateKind::SECOND_MOMENT]
            .map(|kind| around.before(kind, param));
        let new_momentum = around.after(StateKind::MOMENTUM, param);
        let after = around.after(StateKind::SECOND_MOMENT, param);
        let (mut new_mean, mut new_second) = (Vec::new(), Vec::new());
        for ((theta, m, v, m_new), v_new) in zip4([&mean, &momentum, &second, &new_momentum]).zip(&after) {
            // With decay added to it, if it is.
            let gradient = (m_new - beta1 * m) / (1.0 - beta1);
            new_second.push(beta2 * v + (1.0 - beta2) * gradient * gradient);
            let kept = if is_coupled { theta } else { theta * (1.0 - rate * weight_decay) };
            let (m_hat, v_hat) = (m_new / (1.0 - beta1.powi(time)), v_new / (1.0 - beta2.powi(time)));
            new_mean.push(kept - rate * m_hat / (v_hat.sqrt() + eps));
        }
        assert_close("mean", &around.after(StateKind::MEAN, param), &new_mean, 1.0)?;
        // The moving average rounds at the larger of old and new.
        let scale = second.iter().fold(1e-6, |most: f64, x| most.max(*x));
        assert_close("second moment", &after, &new_second, scale)?;
    }
    Ok(())
}

/// The noise that the generator gives for a training sample, in a program of its own.
fn generated(setup: &Setup, count: u64) -> Vec<Vec<f64>> {
    let mut b = Builder::new("main");
    let seed = b.param("seed", TensorType::scalar(DType::U64));
    let count_of = b.param("count", TensorType::scalar(DType::U32));
    let params = setup.model.params();
    let draw = b.scalar(DType::U32, 0.0);
    let stream = Stream { seed, purpose: Purpose::Training, count: count_of, draw };
    let keys = stream.keys(&mut b, 1, params.len())[0];
    let noise: Vec<_> = (params.iter().enumerate())
        .map(|(number, param)| {
            Key::of(&mut b, keys, number).normal(&mut b, Grade::Fast, DType::F64, &param.shape)
        })
        .collect();
    let function = b.finish(&noise).unwrap();
    let inputs = [Tensor::from_u64s([], &[setup.seed]), Tensor::from_u32s([], &[count as u32])];
    let results = evaluate_flat(&function, &inputs.map(Result::unwrap), Precision::AsTyped).unwrap();
    results.iter().map(Tensor::to_f64s).collect()
}

/// Asserts that the sample is that of the posterior beside it, drawn with the noise of this count of steps.
fn check_sample(setup: &Setup, values: &Values, count: u64) -> Result<(), TestCaseError> {
    let ivon = ivon_of(setup);
    let generated = generated(setup, count);
    for (param, generated) in generated.into_iter().enumerate() {
        let of = |kind| floats(values, Slot::State(kind, param));
        let (mean, hess) = (of(StateKind::MEAN), of(StateKind::HESS));
        let noise = match setup.noise {
            NoiseSource::Counter => generated,
            NoiseSource::Input => setup.given_noise(count, param),
        };
        let sample = mean.iter().zip(&hess).zip(&noise).map(|((mean, hess), noise)| {
            mean + noise / (ivon.ess.unwrap() * (hess + ivon.weight_decay)).sqrt()
        });
        assert_close("sample", &of(StateKind::SAMPLE), &sample.collect::<Vec<_>>(), 1e-3)?;
    }
    Ok(())
}

fn ivon_of(setup: &Setup) -> &Ivon {
    let NamedRule::Ivon(ivon) = &setup.rule else { panic!("{:?}", setup.rule) };
    ivon
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn ivon_is_algorithm_1(setup in setups(ivons().prop_map(NamedRule::Ivon))) {
        for around in run(&setup, setup.total_steps.min(4)) {
            check_ivon(ivon_of(&setup), &around, setup.model.params().len())?;
        }
    }

    /// Where the next gradient is taken: a sample of the new posterior, with noise of its own at every step.
    #[test]
    fn the_sample_is_of_the_new_posterior(setup in setups(ivons().prop_map(NamedRule::Ivon))) {
        let trail = run(&setup, 3);
        check_sample(&setup, &trail[0].before, 0)?;
        for around in &trail {
            check_sample(&setup, &around.after, around.step + 1)?;
        }
    }

    #[test]
    fn adam_is_that_of_torch(
        adam in adams(),
        coupled in any::<bool>(),
        setup in setups(Just(NamedRule::Adam(Adam::default()))),
    ) {
        let rule = match coupled {
            true => NamedRule::Adam(adam.clone()),
            false => NamedRule::Adamw(AdamW(adam.clone())),
        };
        let setup = Setup { rule, ..setup };
        for around in run(&setup, setup.total_steps.min(4)) {
            check_adam(&adam, coupled, &around, setup.model.params().len())?;
        }
    }

    /// The correction keeps the precision from halving more than once a step, so it is never negative.
    #[test]
    fn the_precision_at_most_halves(setup in setups(ivons().prop_map(NamedRule::Ivon)), scale in -3.0..6.0f64) {
        let delta = ivon_of(&setup).weight_decay;
        let program = setup.recipe().step(setup.rows).unwrap();
        let mut values = setup.begin(&program);
        // Samples far from the mean, so that estimates are large and of both signs.
        for param in 0..setup.model.params().len() {
            let tensor = &values[&Slot::State(StateKind::SAMPLE, param)];
            let far: Vec<f64> = tensor.to_f64s().iter().map(|x| x * 10f64.powf(scale)).collect();
            let far = Tensor::from_f64s(tensor.ty().clone(), &far).unwrap();
            values.insert(Slot::State(StateKind::SAMPLE, param), far);
        }
        let after = interpret(&program, &values);
        for param in 0..setup.model.params().len() {
            let slot = Slot::State(StateKind::HESS, param);
            for (old, new) in floats(&values, slot).iter().zip(floats(&after, slot)) {
                let least = (old + delta) / 2.0;
                prop_assert!(new + delta >= least * (1.0 - 1e-15), "{} {}", old, new);
            }
        }
    }

    #[test]
    fn a_rate_of_zero_leaves_the_mean(
        setup in setups(ivons().prop_map(NamedRule::Ivon)),
        adam in adams(),
        which in 0..3usize,
    ) {
        let rule = match (which, setup.rule.clone()) {
            (0, NamedRule::Ivon(ivon)) => NamedRule::Ivon(Ivon { lr: 0.0, ..ivon }),
            (1, _) => NamedRule::Adam(Adam { lr: 0.0, ..adam }),
            _ => NamedRule::Adamw(AdamW(Adam { lr: 0.0, ..adam })),
        };
        let setup = Setup { rule, ..setup };
        for around in run(&setup, 2) {
            for param in 0..setup.model.params().len() {
                prop_assert_eq!(around.after(StateKind::MEAN, param), around.before(StateKind::MEAN, param));
            }
        }
    }

    #[test]
    fn a_radius_bounds_the_step(setup in setups(ivons().prop_map(NamedRule::Ivon)), radius in 1e-3..0.3f64) {
        let ivon = Ivon { clip_radius: Some(radius), ..ivon_of(&setup).clone() };
        let scale = if ivon.rescale_lr { ivon.hess_init + ivon.weight_decay } else { 1.0 };
        let setup = Setup { rule: NamedRule::Ivon(ivon), ..setup };
        for around in run(&setup, 3) {
            let bound = around.rate() * scale * radius;
            for param in 0..setup.model.params().len() {
                let moved = around.after(StateKind::MEAN, param);
                for (new, old) in moved.iter().zip(around.before(StateKind::MEAN, param)) {
                    // The new mean is rounded too.
                    let rounding = 1e-15 * (old.abs() + bound);
                    prop_assert!((new - old).abs() <= bound + rounding, "{} {} {}", old, new, bound);
                }
            }
        }
    }

    /// Without noise the sample is the mean and Price's estimate is zero, so the Hessian follows from itself.
    #[test]
    fn without_noise_ivon_is_deterministic(setup in setups(ivons().prop_map(NamedRule::Ivon))) {
        let ivon = ivon_of(&setup).clone();
        let setup = Setup { noise: NoiseSource::Input, ..setup };
        let program = setup.recipe().step(setup.rows).unwrap();
        let start = setup.recipe().start().unwrap();
        let silence = |values: &mut Values| {
            for (_, noise) in values.iter_mut().filter(|(slot, _)| matches!(slot, Slot::Noise(_))) {
                *noise = Tensor::from_f64s(noise.ty().clone(), &vec![0.0; noise.data().len()]).unwrap();
            }
        };
        let mut begin = setup.inputs(&start);
        silence(&mut begin);
        let mut values = setup.inputs(&program);
        values.extend(interpret(&start, &begin));
        let mut hess = ivon.hess_init;
        for step in 0..4 {
            setup.feed(step, &mut values);
            silence(&mut values);
            values.extend(interpret(&program, &values));
            let change = (1.0 - ivon.beta2) * hess;
            hess += change * change / (2.0 * (hess + ivon.weight_decay)) - change;
            for param in 0..setup.model.params().len() {
                let of = |kind| floats(&values, Slot::State(kind, param));
                prop_assert_eq!(of(StateKind::SAMPLE), of(StateKind::MEAN));
                if ivon.estimator == Estimator::Price {
                    let elements = of(StateKind::HESS);
                    assert_close("hess", &elements, &vec![hess; elements.len()], ivon.hess_init)?;
                }
            }
        }
    }

    /// The gradient that the step takes is that of the loss it reports, at the sample it carries.
    #[test]
    fn the_gradient_is_that_of_the_loss_at_the_sample(
        model in models(),
        schedule in schedules(),
        seed in any::<u64>(),
        adam in any::<bool>(),
    ) {
        // The slope of a rectifier jumps; without decay of old gradients the momentum is the gradient.
        let model = match model {
            NamedModel::Mlp(perceptron) => mlp(&perceptron.sizes, Activation::Tanh),
            linear => linear,
        };
        let ivon = NamedRule::Ivon(Ivon { beta1: 0.0, ess: Some(50.0), ..Ivon::default() });
        let adamw = NamedRule::Adamw(AdamW(Adam { beta1: 0.0, ..Adam::default() }));
        let (rule, at) = if adam { (adamw, StateKind::MEAN) } else { (ivon, StateKind::SAMPLE) };
        let setup = Setup { schedule, seed, ..Setup::new(model, rule) };
        let program = setup.recipe().step(setup.rows).unwrap();
        let values = setup.begin(&program);
        let after = interpret(&program, &values);
        const H: f64 = 1e-5;
        for param in 0..setup.model.params().len() {
            let slot = Slot::State(at, param);
            let place = floats(&values, slot);
            let gradient = floats(&after, Slot::State(StateKind::MOMENTUM, param));
            for element in [0, place.len() - 1] {
                let [above, below] = [H, -H].map(|h| {
                    let mut place = place.clone();
                    place[element] += h;
                    let mut values = values.clone();
                    values.insert(slot, Tensor::from_f64s(program.interface.ty(slot), &place).unwrap());
                    scalar(&interpret(&program, &values), Slot::Metric(Metric::Loss))
                });
                let slope = (above - below) / (2.0 * H);
                prop_assert!((slope - gradient[element]).abs() < 1e-8, "{} {}", slope, gradient[element]);
            }
        }
    }

    /// A sweep compiles once: numbers are inputs of the program, and it has no other inputs of this kind than those
    /// that the rule gives values for.
    #[test]
    fn numbers_are_not_in_the_program(
        one in setups(ivons().prop_map(NamedRule::Ivon)),
        other in ivons(),
        warmup in 0.0..0.9f64,
    ) {
        let ivon = ivon_of(&one);
        let other = Ivon {
            clip_radius: ivon.clip_radius.map(|radius| radius * 3.0),
            hess_clip: ivon.hess_clip.map(|limit| limit * 2.0),
            estimator: ivon.estimator,
            debias: ivon.debias,
            rescale_lr: ivon.rescale_lr,
            sampling: ivon.sampling,
            ..other
        };
        let schedule = match one.schedule {
            Schedule::Cosine { end, .. } => Schedule::Cosine { warmup: Span(warmup), end: 1.0 - end },
            other => other,
        };
        let other = Setup {
            rule: NamedRule::Ivon(other),
            schedule,
            total_steps: one.total_steps + 100,
            seed: !one.seed,
            ..one.clone()
        };
        let text = |setup: &Setup| {
            let recipe = setup.recipe();
            let programs = [recipe.step(setup.rows), recipe.start(), recipe.draw()];
            programs.map(|program| stablehlo(&program.unwrap(), lowering()).unwrap())
        };
        prop_assert_eq!(text(&one), text(&other));
        for setup in [&one, &other] {
            let hypers = setup.hypers();
            for slot in setup.recipe().step(setup.rows).unwrap().inputs {
                if let Slot::Hyper(hyper) = slot {
                    prop_assert!(hypers.get(hyper).is_some(), "{:?}", hyper);
                }
            }
        }
    }
}
