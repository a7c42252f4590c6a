//! The noise that compiled programs draw: standard normal, independent of everything, and the same every time.

mod battery;
#[path = "../support/device.rs"]
mod device;
mod masks;
mod sampler;
mod stats;
mod stream;
mod study;
mod uniform;

use natgrad::noise::{Grade, Purpose};
use natgrad::pjrt::Arg;
use natgrad::rule::{HyperValues, Ivon, NamedRule};
use natgrad::step::{NoiseSource, Recipe, Slot, StateKind};
use natgrad_ir::interp::Tensor;
use natgrad_ir::{DType, Shape};
use natgrad_layers::{NamedModel, SoftmaxRegression};

use battery::{Battery, LIMIT};
use device::{DEVICE, download, upload};
use sampler::Sampler;
use stats::{Normality, count_errors, kolmogorov_above, moment_errors, moments, normal_cdf};
use study::Study;

const SEED: u64 = 0x5eed_0000_0000_002a;

fn flat(elements: usize) -> Sampler {
    sampler(Purpose::Training, &[Shape::from([elements])])
}

fn sampler(purpose: Purpose, shapes: &[Shape]) -> Sampler {
    Sampler::new(DEVICE.client(), purpose, Grade::default(), shapes)
}

/// Moments, tails, the distribution function and correlations of two million normals of each grade, as
/// `examples/noise_normals.rs` examines a billion.
#[test]
fn every_grade_is_standard_normal_and_unrelated() {
    for grade in Grade::ALL {
        let study = Study::of(DEVICE.client(), grade, SEED, 1 << 21, 1 << 17);
        assert_eq!(study.count, 1 << 21);
        // A count of few is not normal enough to be judged by standard errors.
        let tails = study.tails.iter().filter(|tail| tail.wanted > 20.0);
        for finding in study.moments.iter().chain(tails).chain(&study.correlations) {
            let (name, found, errors) = (&finding.name, finding.found, finding.errors);
            println!("{}: {name}: {found:.6}, {errors:+.2} standard errors", grade.name());
            assert!(
                errors.abs() < LIMIT,
                "{}: {name} is {found}: {errors} standard errors off",
                grade.name()
            );
        }
        let (distance, probability) = study.kolmogorov;
        println!("{}: Kolmogorov-Smirnov distance {distance:.2e}, p {probability:.3}", grade.name());
        assert!(probability > 1e-6, "{}: {distance}", grade.name());
        let reach = match grade {
            Grade::Fast => 6.155,
            Grade::Exact | Grade::Philox => 6.338,
        };
        assert!(study.largest > 4.8 && study.largest < reach + 1e-3, "{}: {}", grade.name(), study.largest);
    }
}

#[test]
fn steps_tensors_samples_and_seeds_are_uncorrelated() {
    const SIZE: usize = 1 << 17;
    let shape = Shape::from([SIZE]);
    let training = sampler(Purpose::Training, &vec![shape.clone(); 6]);
    let posterior = sampler(Purpose::Posterior, &[shape]);

    let mut battery = Battery::default();
    let tensors = training.draw(SEED, 7, 0);
    for (a, x) in tensors.iter().enumerate() {
        for (b, y) in tensors.iter().enumerate().skip(a + 1) {
            battery.pair(x, y, || format!("tensors {a} and {b}"));
        }
    }
    battery.check("between tensors");

    let mut battery = Battery::default();
    let steps: Vec<Vec<f32>> = (0..17).map(|step| training.draw(SEED, step, 0).swap_remove(0)).collect();
    for (step, pair) in steps.windows(2).enumerate() {
        battery.pair(&pair[0], &pair[1], || format!("steps {step} and {}", step + 1));
    }
    for bit in 0..32 {
        let other = training.draw(SEED, 1 << bit, 0).swap_remove(0);
        battery.pair(&steps[0], &other, || format!("steps 0 and 2^{bit}"));
    }
    battery.check("between steps");

    let mut battery = Battery::default();
    let samples: Vec<Vec<f32>> = (0..17).map(|sample| posterior.first(SEED, sample)).collect();
    for (sample, pair) in samples.windows(2).enumerate() {
        battery.pair(&pair[0], &pair[1], || format!("posterior samples {sample} and {}", sample + 1));
    }
    for (count, (step, sample)) in steps.iter().zip(&samples).enumerate() {
        battery.pair(step, sample, || format!("step and posterior sample {count}"));
    }
    battery.check("between posterior samples, and with steps");

    let mut battery = Battery::default();
    let first = &tensors[0];
    for bit in 0..64 {
        let other = training.draw(SEED ^ (1 << bit), 7, 0).swap_remove(0);
        battery.pair(first, &other, || format!("seeds that differ in bit {bit}"));
    }
    for other in [0, 1, 2, u64::MAX, SEED.swap_bytes(), SEED.rotate_left(32)] {
        battery.pair(first, &training.draw(other, 7, 0)[0], || format!("seeds {SEED:#x} and {other:#x}"));
    }
    battery.check("between seeds");
}

#[test]
fn elements_of_a_tensor_are_uncorrelated() {
    const SIZE: usize = 1 << 20;
    let sampler = flat(SIZE);
    let mut battery = Battery::default();
    for step in [0, 1] {
        let samples = sampler.first(SEED, step);
        // Neighbours, rows of common widths, and powers of two.
        let lags = (1..=64).chain([100, 784, 1000, 1023]).chain((7..19).map(|bit| 1 << bit));
        for lag in lags {
            battery.add(stats::correlation(&samples, &samples[lag..]), || format!("step {step}, lag {lag}"));
        }
        for lag in 1..=8 {
            battery.pair(&samples, &samples[lag..], || format!("step {step}, lag {lag}"));
        }
    }
    battery.check("within a tensor");
}

/// Element `i` of one step against element `i + d` and `i ^ d` of another: the element's index goes into the hash by
/// exclusive or, so a weak hash of the step would show here.
#[test]
fn no_step_is_another_one_moved() {
    const SIZE: usize = 1 << 15;
    let sampler = flat(SIZE);
    let steps: Vec<Vec<f32>> = (0..8).map(|step| sampler.first(SEED, step)).collect();
    let mut battery = Battery::default();
    let mut moved = vec![0.0; SIZE];
    for (a, x) in steps.iter().enumerate() {
        for (b, y) in steps.iter().enumerate().skip(a) {
            for d in (1..16).chain((4..15).map(|bit| 1 << bit)).chain([SIZE - 1]) {
                for (index, moved) in moved.iter_mut().enumerate() {
                    *moved = y[index ^ d];
                }
                // Within a step each pair is met from both of its ends.
                let (x, moved) = if a == b { halves(x, &moved, d) } else { (x.clone(), moved.clone()) };
                battery.add(stats::correlation(&x, &moved), || format!("steps {a}, {b}: i and i ^ {d}"));
            }
            for d in 1..8 {
                battery.add(stats::correlation(x, &y[d..]), || format!("steps {a}, {b}: i and i + {d}"));
            }
        }
    }
    battery.check("between moved steps");

    // No value is found again at the same place, and values repeat as often as those of so few bits must.
    let again = steps[0].iter().zip(&steps[1]).filter(|(x, y)| x == y).count();
    // Two sums of four 16-bit fields are equal with probability 1 / (2 sqrt(pi) 37837.4), by their normal density.
    let errors = count_errors(again, SIZE, 1.0 / (2.0 * std::f64::consts::PI.sqrt() * 37_837.4));
    assert!(errors.abs() < LIMIT, "{again} values of {SIZE} are those of the step before");
}

/// The elements whose index lacks the highest bit of `d`, so that each pair `i`, `i ^ d` is in it once.
fn halves(x: &[f32], moved: &[f32], d: usize) -> (Vec<f32>, Vec<f32>) {
    let bit = 1 << d.ilog2();
    x.iter().zip(moved).enumerate().filter(|(index, _)| index & bit == 0).map(|(_, (&x, &y))| (x, y)).unzip()
}

/// The statistics see small faults: made on purpose here.
#[test]
fn faults_are_found() {
    const SIZE: usize = 1 << 17;
    let sampler = flat(SIZE);
    let [x, y] = [0, 1].map(|step| sampler.first(SEED, step));
    let mix = |share: f32| -> Vec<f32> {
        let rest = (1.0 - share * share).sqrt();
        x.iter().zip(&y).map(|(x, y)| share * x + rest * y).collect()
    };
    assert!(stats::correlation(&x, &mix(0.0)).abs() < LIMIT);
    assert!(stats::correlation(&x, &mix(0.02)) > LIMIT);
    // The same widths in other places: no correlation, but for the squares.
    let signs = x.iter().zip(&y).map(|(x, y)| x.abs().copysign(*y));
    let signs: Vec<f32> = signs.collect();
    assert!(stats::correlation(&x, &signs).abs() < LIMIT);
    assert!(stats::correlation_of_squares(&x, &signs) > LIMIT);
    let wider: Vec<f32> = x.iter().map(|x| x * 1.02).collect();
    assert!(moment_errors(2, moments(&wider)[1], SIZE) > LIMIT);
    let bounded: Vec<f32> = x.iter().map(|x| x.clamp(-3.0, 3.0)).collect();
    // Expected to be four standard errors off.
    assert!(moment_errors(4, moments(&bounded)[3], SIZE) < -1.5);
    let beyond = bounded.iter().filter(|&&x| x > 3.0).count();
    assert!(count_errors(beyond, SIZE, normal_cdf(-3.0)) < -LIMIT);
    assert!(kolmogorov_above(1.0) > 0.26 && kolmogorov_above(1.0) < 0.28);
    let distance = |samples: &[f32]| {
        let mut normality = Normality::new();
        normality.add(samples);
        normality.kolmogorov()
    };
    assert!(distance(&x).1 > 1e-3);
    assert!(distance(&wider).1 < 0.05, "{:?}", distance(&wider));
    let moved: Vec<f32> = x.iter().map(|x| x + 0.03).collect();
    assert!(distance(&moved).1 < 1e-6);
    // Many correlations, each too small to be seen alone.
    let mut battery = Battery::default();
    (0..200).for_each(|k| battery.add(if k % 2 == 0 { 2.0 } else { -2.0 }, String::new));
    assert!(std::panic::catch_unwind(|| battery.check("small correlations")).is_err());
}

#[test]
fn it_is_the_same_every_time_and_in_every_shape() {
    let shapes: [Shape; 4] =
        [Shape::from([1001]), Shape::from([7, 11, 13]), Shape::from([77]), Shape::scalar()];
    let [wide, deep, short, scalar] = shapes.clone().map(|shape| sampler(Purpose::Training, &[shape]));
    let noise = wide.first(SEED, 3);
    assert_eq!(wide.first(SEED, 3), noise);
    assert_eq!(deep.first(SEED, 3), noise);
    assert_eq!(short.first(SEED, 3), noise[..77]);
    assert_eq!(scalar.first(SEED, 3), noise[..1]);
    let anew = sampler(Purpose::Training, &shapes);
    let together = anew.draw(SEED, 3, 0);
    assert_eq!(together[0], noise);
    assert_ne!(together[1], noise);
    for (seed, count) in [(SEED, 4), (SEED + 1, 3), (SEED ^ (1 << 63), 3)] {
        assert_ne!(wide.first(seed, count), noise);
    }
    assert_ne!(sampler(Purpose::Posterior, &shapes).draw(SEED, 3, 0)[0], noise);
}

/// The programs of a run draw this noise: the start that of step 0, posterior samples by their number. A posterior
/// around zero with unit precision is noise alone.
#[test]
fn programs_draw_this_noise() {
    let model = NamedModel::Linear(SoftmaxRegression { inputs: 40, classes: 25 });
    let ivon = Ivon { ess: Some(1.0), hess_init: 1.0, weight_decay: 0.0, ..Ivon::default() };
    let rule = NamedRule::Ivon(ivon);
    let (dtype, noise) = (DType::F32, NoiseSource::Counter);
    let recipe = Recipe { dtype, noise, ..Recipe::new(model.model(), rule.rule()) };
    let hypers: HyperValues = recipe.values(1, 1);
    let shapes = [Shape::from([40, 25]), Shape::from([25])];
    let cases = [
        (recipe.start().unwrap(), Purpose::Training, 0),
        (recipe.draw().unwrap(), Purpose::Posterior, 0),
        (recipe.draw().unwrap(), Purpose::Posterior, 5),
    ];
    for (program, purpose, count) in cases {
        let compiled = DEVICE.compile(program).unwrap();
        let interface = &compiled.program.interface;
        let inputs: Vec<_> = compiled
            .program
            .inputs
            .iter()
            .map(|&slot| {
                let fill = |number: f64| {
                    let ty = interface.ty(slot);
                    let numbers = vec![number; ty.shape.elements()];
                    Tensor::from_f64s(ty, &numbers).unwrap()
                };
                upload(&match slot {
                    Slot::Seed => Tensor::from_u64s([], &[SEED]).unwrap(),
                    Slot::SampleIndex => fill(f64::from(count)),
                    Slot::Hyper(hyper) => fill(hypers.get(hyper).unwrap()),
                    Slot::State(StateKind::MEAN, _) => fill(0.0),
                    Slot::State(StateKind::HESS, _) => fill(1.0),
                    other => panic!("{other:?}"),
                })
            })
            .collect();
        let mut inputs = inputs.iter();
        let outputs = compiled.run(|_| inputs.next().map(Arg::Keep)).unwrap();
        let wanted = sampler(purpose, &shapes).draw(SEED, count, 0);
        for (param, wanted) in wanted.iter().enumerate() {
            let is_sample =
                |slot: &Slot| *slot == Slot::State(StateKind::SAMPLE, param) || *slot == Slot::Theta(param);
            let (slot, buffer) = outputs.iter().find(|(slot, _)| is_sample(slot)).unwrap();
            let slot = *slot;
            assert_eq!(
                download(buffer, &interface.ty(slot)).to_f32s(),
                *wanted,
                "{purpose:?} {count} {param}"
            );
        }
    }
}
