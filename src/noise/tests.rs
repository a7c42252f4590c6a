//! The graph against the plain functions, and those against what their documentation states.

use std::collections::BTreeSet;

use natgrad_ir::TensorType;
use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};

use super::*;

/// The probability of a standard normal to be above `y`: a continued fraction in the tail, a series in the middle.
fn normal_above(y: f64) -> f64 {
    let density = (-y * y / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if y < 2.5 {
        let mut term = y;
        let mut sum = y;
        for k in 1..80 {
            term *= y * y / f64::from(2 * k + 1);
            sum += term;
        }
        return 0.5 - density * sum;
    }
    density / (1..120).rev().fold(y, |below, k| y + f64::from(k) / below)
}

/// The positive values of the centred sum, the probability of each, and that of each or a larger one.
fn sum_of_fields() -> impl Iterator<Item = (f64, f64, f64)> {
    // Counts of the sums 0..=131069, which are those of the positive values, the largest first.
    let mut counts = vec![1.0f64; 1];
    for _ in 0..4 {
        counts.resize(131_070, 0.0);
        let single = counts.clone();
        let mut window = 0.0;
        for (place, count) in counts.iter_mut().enumerate() {
            window += single[place];
            if place >= 65536 {
                window -= single[place - 65536];
            }
            *count = window;
        }
    }
    let mut tail = 0.0;
    counts.into_iter().enumerate().map(move |(sum, count)| {
        let probability = count / 2f64.powi(64);
        tail += probability;
        (fast::SUM_MEAN - sum as f64, probability, tail)
    })
}

/// What the documentation of the coefficients states.
#[test]
fn the_bent_sum_is_as_normal_as_stated() {
    let (mut moments, mut distance, mut last, mut total) = ([0.0; 4], 0.0f64, f64::INFINITY, 0.0);
    let limits = [3.0, 4.0, 4.5, 5.0, 5.5];
    let mut beyond = [0.0; 5];
    for (value, probability, tail) in sum_of_fields() {
        let y = plain::bend(value);
        assert!(y < last, "the map falls at {value}");
        if last.is_infinite() {
            assert!((y - 6.155).abs() < 1e-3, "{y}");
        }
        last = y;
        for (k, moment) in moments.iter_mut().enumerate() {
            *moment += 2.0 * probability * y.powi(2 * k as i32 + 2);
        }
        let wanted = normal_above(y);
        distance = distance.max((tail - wanted).abs()).max((tail - probability - wanted).abs());
        for (beyond, &limit) in beyond.iter_mut().zip(&limits) {
            *beyond += if y > limit { probability } else { 0.0 };
        }
        total += 2.0 * probability;
    }
    // All but the middle, which has two thirds of 1 / 65536.
    assert!((total + 2.0 / 3.0 / 65536.0 - 1.0).abs() < 1e-9, "{total}");
    for (found, wanted) in moments.into_iter().zip([1.0, 3.0, 15.0, 105.0]) {
        assert!((found / wanted - 1.0).abs() < 1e-9, "{found}, not {wanted}");
    }
    assert!((distance - 1.25e-5).abs() < 5e-8, "{distance}");
    let tails = beyond.iter().zip(limits).map(|(beyond, limit)| beyond / normal_above(limit) - 1.0);
    let stated = [-1e-4, -1e-4, 3.7e-3, 1e-4, -0.32];
    for ((found, stated), limit) in tails.zip(stated).zip(limits) {
        assert!((found - stated).abs() < 0.02f64.max(stated.abs()) * 0.02, "beyond {limit}: {found}");
    }
}

/// In double precision: all that is left is the polynomial's own error.
#[test]
fn the_quantile_is_that_of_a_normal() {
    let spread = (0..20_000u32).map(|k| k.wrapping_mul(214_748).wrapping_add(11));
    let outermost = (0..32).flat_map(|bit| [1u32 << 31, (1 << 31) - 1].map(|word| word ^ ((1 << bit) - 1)));
    for word in spread.chain(outermost) {
        let y = plain::quantile(word);
        let below = (f64::from(word as i32) + 0.5 + 2f64.powi(31)) / 2f64.powi(32);
        assert_eq!(y > 0.0, below > 0.5, "{word:#x}");
        let tail = below.min(1.0 - below);
        // One step of Newton's method gives what the quantile is off.
        let density = (-y * y / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let error = (normal_above(y.abs()) - tail) / density;
        assert!(error.abs() < 1.2e-7 * y.abs(), "{word:#x}: {y} is off by {error}");
    }
    assert!((plain::quantile(1 << 31) + 6.338).abs() < 1e-3);
}

/// In single precision, over words near and far.
#[test]
fn exact_is_exact_to_a_few_units_in_the_last_place() {
    let mut b = Builder::new("main");
    const N: usize = 4096;
    let word = b.param("word", TensorType::new(DType::U32, [N]));
    let single = quantile(&mut b, word, DType::F32);
    let function = b.finish(&[single]).unwrap();
    let places = (0..N as u32).map(|k| match k % 4 {
        0 => k.wrapping_mul(0x0010_0401),
        1 => k,
        2 => !k,
        _ => (1u32 << 31) ^ (k << (k % 20)),
    });
    let words: Vec<u32> = places.collect();
    let given = [Tensor::from_u32s([N], &words).unwrap()];
    let found = evaluate_flat(&function, &given, Precision::AsTyped).unwrap()[0].to_f64s();
    for (word, found) in words.into_iter().zip(found) {
        let error = found / plain::quantile(word) - 1.0;
        assert!(error.abs() < 4.0 * f64::from(f32::EPSILON), "{word:#x}: {found} is off by {error}");
    }
}

#[test]
fn the_finalizer_is_murmurs() {
    // From the reference implementation.
    assert_eq!([0, 1, 2].map(plain::finalize), [0, 0x514e_28b7, 0x30f4_c306]);
    let mut b = Builder::new("main");
    let x = b.param("x", TensorType::new(DType::U32, [4]));
    let hashed = b.formula([x], |[x]| finalize(x));
    let function = b.finish(&[hashed]).unwrap();
    let inputs = [0, 1, 0x8000_0001, u32::MAX];
    let given = [Tensor::from_u32s([4], &inputs).unwrap()];
    let results = evaluate_flat(&function, &given, Precision::AsTyped).unwrap();
    assert_eq!(results[0].to_ints(), inputs.map(|x| i128::from(plain::finalize(x))));
}

#[test]
fn the_graph_computes_the_plain_function() {
    const TENSORS: usize = 3;
    const COUNTS: usize = 2;
    let shape = Shape::from([3, 5]);
    for purpose in [Purpose::Training, Purpose::Posterior, Purpose::Probe] {
        let mut b = Builder::new("main");
        let seed = b.param("seed", TensorType::scalar(DType::U64));
        let [count, draw] = ["count", "draw"].map(|name| b.param(name, TensorType::scalar(DType::U32)));
        let keys = Stream { seed, purpose, count, draw }.keys(&mut b, COUNTS, TENSORS);
        let keys: Vec<Key> = keys
            .into_iter()
            .flat_map(|keys| (0..TENSORS).map(move |tensor| (keys, tensor)))
            .map(|(keys, tensor)| Key::of(&mut b, keys, tensor))
            .collect();
        let mut results: Vec<Value> = keys.iter().flat_map(|key| key.0).collect();
        for key in &keys {
            results.extend(key.words(&mut b, &shape));
            results.push(key.signs(&mut b, DType::F32, &shape));
            results.extend(Grade::ALL.map(|grade| key.normal(&mut b, grade, DType::F64, &shape)));
        }
        let function = b.finish(&results).unwrap();
        for (seed, count, draw) in [(0, 0, 0), (u64::MAX, 1, 7), (0x0123_4567_89ab_cdef, u32::MAX, 1)] {
            let given = [
                Tensor::from_u64s([], &[seed]),
                Tensor::from_u32s([], &[count]),
                Tensor::from_u32s([], &[draw]),
            ];
            let found = evaluate_flat(&function, &given.map(Result::unwrap), Precision::AsTyped).unwrap();
            let (key_words, found) = found.split_at(4 * COUNTS * TENSORS);
            let key_words: Vec<i128> = key_words.iter().flat_map(Tensor::to_ints).collect();
            for (number, found) in found.chunks(3 + Grade::ALL.len()).enumerate() {
                let (place, tensor) = (number / TENSORS, number % TENSORS);
                let root = plain::root(seed, purpose, u32::wrapping_add(count, place as u32), draw);
                let key = plain::key(root, tensor as u32);
                assert_eq!(key_words[4 * number..][..4], key.map(i128::from), "{seed:#x} {count} {number}");
                for element in 0..shape.elements() {
                    let words = plain::words(key, element as u32);
                    assert_eq!([0, 1].map(|k| found[k].to_ints()[element]), words.map(i128::from));
                    let sign = if words[0] >> 31 == 0 { 1.0 } else { -1.0 };
                    assert_eq!(found[2].to_f64s()[element], sign);
                    for (grade, noise) in Grade::ALL.into_iter().zip(&found[3..]) {
                        let wanted = plain::normal(key, element as u32, grade);
                        assert!((noise.to_f64s()[element] - wanted).abs() < 1e-12, "{grade:?} {element}");
                    }
                }
            }
        }
    }
}

/// Noise of a narrow type is that of `f32`, rounded.
#[test]
fn narrow_noise_is_wide_noise_rounded() {
    for grade in Grade::ALL {
        let mut b = Builder::new("main");
        let seed = b.param("seed", TensorType::scalar(DType::U64));
        let zero = b.scalar(DType::U32, 0.0);
        let stream = Stream { seed, purpose: Purpose::Training, count: zero, draw: zero };
        let keys = stream.keys(&mut b, 1, 1);
        let key = Key::of(&mut b, keys[0], 0);
        let shape = Shape::from([200]);
        let [wide, narrow] = [DType::F32, DType::BF16].map(|dtype| key.normal(&mut b, grade, dtype, &shape));
        let function = b.finish(&[wide, narrow]).unwrap();
        let given = [Tensor::from_u64s([], &[5]).unwrap()];
        let found = evaluate_flat(&function, &given, Precision::AsTyped).unwrap();
        let rounded = Tensor::from_f64s(found[1].ty().clone(), &found[0].to_f64s()).unwrap();
        assert_eq!(rounded.to_f64s(), found[1].to_f64s());
        assert_ne!(found[0].to_f64s(), found[1].to_f64s());
    }
}

/// Among so many, keys of 32 bits would be shared.
#[test]
fn tensors_steps_draws_and_seeds_share_no_key() {
    let mut seen = BTreeSet::new();
    for count in 0..1000 {
        for draw in 0..5 {
            let root = plain::root(7, Purpose::Training, count, draw);
            for tensor in 0..12 {
                assert!(seen.insert(plain::own(root, tensor)), "{count} {draw} {tensor}");
            }
        }
    }
    for count in 0..100 {
        let [training, posterior, probe] = [Purpose::Training, Purpose::Posterior, Purpose::Probe]
            .map(|purpose| plain::key(plain::root(7, purpose, count, 0), 0));
        for (a, b) in [(training, posterior), (training, probe), (posterior, probe)] {
            assert!(a.iter().zip(&b).all(|(a, b)| a != b), "{count}");
        }
    }
}

#[test]
fn names_are_those_of_a_configuration() {
    for grade in Grade::ALL {
        assert_eq!(serde_json::to_string(&grade).unwrap(), format!("{:?}", grade.name()));
    }
    assert_eq!(Grade::ALL[0], Grade::default());
}
