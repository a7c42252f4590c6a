//! The network of `examples/own_model.rs` beside the same one in PyTorch.

use std::path::Path;

use natgrad::ndarray::{Array1, Array4, Axis};
use natgrad::prelude::*;
use safetensors::SafeTensors;

use super::{DEVICE, own_model::SameDigit};

/// The same start and data give the losses of 25 steps of AdamW that `fixtures/own_model/record.py` recorded, in double
/// precision, and then the same probabilities.
#[test]
fn losses_are_those_of_pytorch() {
    let folder = Path::new("tests/fixtures/own_model");
    let bytes = std::fs::read(folder.join("run.safetensors")).unwrap();
    let recorded = SafeTensors::deserialize(&bytes).unwrap();
    let bytes_of = |name: &str| recorded.tensor(name).unwrap().data().to_vec();
    let numbers = |name: &str| -> Vec<f64> {
        bytes_of(name).chunks(8).map(|number| f64::from_le_bytes(number.try_into().unwrap())).collect()
    };
    let images = |name: &str| {
        let pixels = bytes_of(name).into_iter().map(|pixel| f32::from(pixel) / 255.0).collect();
        Array4::from_shape_vec((40, 28, 28, 1), pixels).unwrap()
    };
    let (left, right) = (images("left"), images("right"));
    let labels = Array1::from(bytes_of("labels"));

    let rule = AdamW(Adam { lr: 3e-3, weight_decay: Some(0.01), ..Adam::default() });
    let mut run = Run::new(SameDigit { dropout: 0.0 }, rule)
        .rows(40)
        .batch(8)
        .steps(25)
        .with(|config| {
            config.schedule = Schedule::CONSTANT;
            config.init = Some(folder.join("start.safetensors"));
        })
        .start(&DEVICE)
        .unwrap();
    for (step, wanted) in numbers("losses").into_iter().enumerate() {
        let rows: Vec<usize> = (step % 5 * 8..(step % 5 + 1) * 8).collect();
        let of_batch = |images: &Array4<f32>| images.select(Axis(0), &rows);
        let batch = Arrays::named("left", &of_batch(&left)).and("right", &of_batch(&right));
        let loss = run.step(batch.labels(&labels.select(Axis(0), &rows))).unwrap().loss();
        assert!((loss - wanted).abs() < 2e-5, "step {step}: {loss}, but PyTorch has {wanted}");
    }
    let found = run.predict(Arrays::named("left", &left).and("right", &right), At::Mean).unwrap();
    let wanted = numbers("probabilities");
    assert_eq!(found.mean.len(), wanted.len());
    for (found, wanted) in found.mean.iter().zip(&wanted) {
        assert!((found - wanted).abs() < 1e-4, "{found}, but PyTorch has {wanted}");
    }
}
