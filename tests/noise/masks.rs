//! Masks of dropout: as many kept as stated, independent of everything, and for a row alone those of the batch.

use natgrad::noise::{Grade, Purpose, plain};
use natgrad_ir::{DType, Shape};

use crate::battery::{Battery, LIMIT};
use crate::device::DEVICE;
use crate::sampler::Sampler;
use crate::stats::{correlation, count_errors};
use crate::uniform::even_errors;

const SEED: u64 = 0x5eed_0000_0000_002a;

/// Masks of so many elements that keep with these probabilities, as 0 and 1.
fn masks(size: usize, keeps: Vec<f64>) -> Sampler {
    let shapes = vec![Shape::from([size]); keeps.len()];
    let next = std::cell::Cell::new(0);
    Sampler::of(DEVICE.client(), Purpose::Mask, &shapes, |b, key, shape| {
        let mask = key.keeps(b, shape, keeps[next.replace(next.get() + 1)], None);
        b.convert(mask, DType::F32)
    })
}

/// With mean 0 and variance 1.
fn standard(mask: &[f32], keep: f64) -> Vec<f32> {
    let deviation = (keep * (1.0 - keep)).sqrt();
    mask.iter().map(|&kept| ((f64::from(kept) - keep) / deviation) as f32).collect()
}

fn kept(mask: &[f32]) -> usize {
    mask.iter().filter(|&&kept| kept == 1.0).count()
}

#[test]
fn as_many_are_kept_as_stated() {
    const SIZE: usize = 1 << 20;
    let keeps = vec![1e-3, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999];
    let sampler = masks(SIZE, keeps.clone());
    let mut battery = Battery::default();
    for step in 0..4 {
        for (mask, &keep) in sampler.draw(SEED, step, 0).iter().zip(&keeps) {
            assert!(mask.iter().all(|&kept| kept == 0.0 || kept == 1.0));
            battery.add(count_errors(kept(mask), SIZE, keep), || format!("step {step}, {keep}"));
        }
    }
    battery.check("kept");
}

#[test]
fn elements_and_rows_are_unrelated() {
    const SIZE: usize = 1 << 18;
    let keeps = vec![0.25, 0.5, 0.9];
    let sampler = masks(SIZE, keeps.clone());
    let mut battery = Battery::default();
    let mut patterns = Battery::default();
    for step in [0, 1] {
        for (mask, &keep) in sampler.draw(SEED, step, 0).iter().zip(&keeps) {
            let mask = standard(mask, keep);
            // Neighbours, the rows of common widths, and powers of two.
            for lag in (1..=64).chain([100, 768, 784, 1000, 1023]).chain((7..17).map(|bit| 1 << bit)) {
                battery.add(correlation(&mask, &mask[lag..]), || format!("step {step}, {keep}, lag {lag}"));
            }
        }
        // Every pattern of eight neighbours, and of eight rows below each other, is as likely as any other.
        let mask = &sampler.draw(SEED, step, 0)[1];
        for width in [1, 64, 784] {
            let mut counts = [0; 256];
            for start in (0..SIZE).filter(|at| at / width % 8 == 0 && at + 7 * width < SIZE) {
                let bit = |row: usize| usize::from(mask[start + row * width] == 1.0) << row;
                counts[(0..8).map(bit).sum::<usize>()] += 1;
            }
            patterns.add(even_errors(&counts), || format!("step {step}, width {width}"));
        }
    }
    battery.check("within a mask");
    patterns.check("patterns");
}

#[test]
fn layers_steps_evaluations_and_seeds_are_unrelated() {
    const SIZE: usize = 1 << 16;
    const KEEP: f64 = 0.7;
    let sampler = masks(SIZE, vec![KEEP; 4]);
    let draw = |seed, step, draw| -> Vec<Vec<f32>> {
        sampler.draw(seed, step, draw).iter().map(|mask| standard(mask, KEEP)).collect()
    };
    let mut battery = Battery::default();
    let layers = draw(SEED, 7, 0);
    for (a, x) in layers.iter().enumerate() {
        for (b, y) in layers.iter().enumerate().skip(a + 1) {
            battery.add(correlation(x, y), || format!("layers {a} and {b}"));
        }
    }
    let first = &layers[0];
    let mut other = |what: String, masks: Vec<Vec<f32>>| {
        battery.add(correlation(first, &masks[0]), || what.clone());
        battery.add(correlation(first, &masks[1]), || format!("{what}, another layer"));
        // The index goes into the hash by exclusive or.
        for d in [1, 2, 64, 1024] {
            let moved: Vec<f32> = (0..SIZE).map(|index| masks[0][index ^ d]).collect();
            battery.add(correlation(first, &moved), || format!("{what}, i and i ^ {d}"));
        }
    };
    for bit in 0..32 {
        other(format!("steps 7 and 7 ^ 2^{bit}"), draw(SEED, 7 ^ (1 << bit), 0));
    }
    for number in (1..9).chain([1 << 16, 1 << 31]) {
        other(format!("evaluations 0 and {number}"), draw(SEED, 7, number));
    }
    for bit in 0..64 {
        other(format!("seeds that differ in bit {bit}"), draw(SEED ^ (1 << bit), 7, 0));
    }
    // Noise of the same step, tensor and element.
    let shapes = vec![Shape::from([SIZE]); 2];
    for purpose in [Purpose::Training, Purpose::Posterior, Purpose::Probe] {
        let normals = Sampler::new(DEVICE.client(), purpose, Grade::default(), &shapes);
        other(format!("noise for {purpose:?}"), normals.draw(SEED, 7, 0));
    }
    battery.check("between masks");
}

/// The bits of a row alone are those of the batch, and both are what the plain functions say.
#[test]
fn rows_alone_have_the_bits_of_the_batch() {
    const ROWS: usize = 5;
    const KEEP: f64 = 0.6;
    let one = [1, 3, 4];
    let batch = Sampler::of(DEVICE.client(), Purpose::Mask, &[Shape::from([ROWS, 3, 4])], |b, key, shape| {
        let mask = key.keeps(b, shape, KEEP, None);
        b.convert(mask, DType::F32)
    });
    let limit = (KEEP * 2f64.powi(32)) as u32;
    for (seed, step, evaluation) in [(SEED, 0, 0), (SEED, 3, 2), (u64::MAX, u32::MAX, 1)] {
        let whole = batch.draw(seed, step, evaluation).swap_remove(0);
        let key = plain::key(plain::root(seed, Purpose::Mask, step, evaluation), 0);
        let words = (0..whole.len() as u32).map(|element| plain::words(key, element)[0]);
        let wanted: Vec<f32> = words.map(|word| if word < limit { 1.0 } else { 0.0 }).collect();
        assert_eq!(whole, wanted);
        for row in 0..ROWS {
            let alone = Sampler::of(DEVICE.client(), Purpose::Mask, &[Shape::from(one)], |b, key, shape| {
                let row = b.scalar(DType::U32, row as f64);
                let mask = key.keeps(b, shape, KEEP, Some(row));
                b.convert(mask, DType::F32)
            });
            assert_eq!(alone.draw(seed, step, evaluation)[0], whole[row * 12..(row + 1) * 12]);
        }
    }
}

/// Faults would be seen: made on purpose here.
#[test]
fn weak_masks_are_found() {
    const SIZE: usize = 1 << 18;
    const KEEP: f64 = 0.5;
    let sampler = masks(SIZE, vec![KEEP]);
    let [x, y] = [0, 1].map(|step| standard(&sampler.first(SEED, step), KEEP));
    assert!(correlation(&x, &y).abs() < LIMIT);
    // Every fiftieth element is that of the other mask.
    let mixed: Vec<f32> = (0..SIZE).map(|at| if at % 50 == 0 { x[at] } else { y[at] }).collect();
    assert!(correlation(&x, &mixed) > LIMIT);
    let more = kept(&sampler.first(SEED, 2)) + SIZE / 200;
    assert!(count_errors(more, SIZE, KEEP) > LIMIT);
}
