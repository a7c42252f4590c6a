//! Models against independent implementations, whose logits, losses and gradients `fixtures/record/` recorded in double
//! precision.

use std::collections::BTreeMap;
use std::path::Path;

use natgrad_ir::interp::{Precision, Tensor, evaluate, evaluate_flat};
use natgrad_ir::{DType, Module, TensorType, grad, verify};
use natgrad_layers::{
    Activation, Criterion, Gpt2, LossFunction, Mlp, NamedModel, Noise, Remat, ResNet, Stem,
};
use safetensors::{Dtype, SafeTensors};

/// The largest difference that rounding in double precision may make, relative to a tensor's largest element.
const TOLERANCE: f64 = 1e-10;

/// A recorded tensor.
#[derive(Clone, Debug)]
struct Recorded {
    shape: Vec<usize>,
    values: Vec<f64>,
}

struct Fixture(BTreeMap<String, Recorded>);

impl Fixture {
    fn read(name: &str) -> Fixture {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let bytes = std::fs::read(path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let of = |(name, view): (String, safetensors::tensor::TensorView)| {
            let values = match view.dtype() {
                Dtype::F64 => numbers(view.data(), f64::from_le_bytes),
                Dtype::F32 => numbers(view.data(), |bytes| f64::from(f32::from_le_bytes(bytes))),
                Dtype::I32 => numbers(view.data(), |bytes| f64::from(i32::from_le_bytes(bytes))),
                other => panic!("{name} is {other:?}"),
            };
            (name, Recorded { shape: view.shape().to_vec(), values })
        };
        Fixture(tensors.tensors().into_iter().map(of).collect())
    }

    fn get(&self, name: &str) -> &Recorded {
        self.0.get(name).unwrap_or_else(|| panic!("{name} is not recorded"))
    }

    fn input(&self, name: &str, dtype: DType) -> Tensor {
        let Recorded { shape, values } = self.get(name);
        Tensor::from_f64s(TensorType::new(dtype, shape.as_slice()), values).unwrap()
    }
}

fn numbers<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.chunks_exact(N).map(|chunk| read(chunk.try_into().unwrap())).collect()
}

/// The largest difference, over the largest recorded element unless all are zero.
fn difference(found: &Tensor, recorded: &Recorded) -> f64 {
    assert_eq!(found.ty().shape.elements(), recorded.values.len());
    let largest = recorded.values.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let values = found.to_f64s();
    assert!(values.iter().all(|x| x.is_finite()));
    let pairs = values.iter().zip(&recorded.values);
    let worst = pairs.fold(0.0, |worst: f64, (x, y)| worst.max((x - y).abs()));
    if largest > 0.0 { worst / largest } else { worst }
}

fn close(what: &str, found: &Tensor, recorded: &Recorded) {
    let difference = difference(found, recorded);
    assert!(difference <= TOLERANCE, "{what} is off by {difference:e}");
}

/// Checks the predictions, the loss and the gradients recorded with this prefix.
fn check(model: &NamedModel, fixture: &Fixture, features: &str, prefix: &str) {
    model.validate().unwrap();
    let params = model.params();
    let recorded = fixture.0.keys().filter(|name| name.starts_with("weight.")).count();
    assert_eq!(params.len(), recorded);
    let mut inputs = Vec::new();
    for param in &params {
        let weight = fixture.get(&format!("weight.{}", param.name));
        assert_eq!(param.shape.dims(), weight.shape, "{}", param.name);
        inputs.push(fixture.input(&format!("weight.{}", param.name), DType::F64));
    }
    let labels = fixture.input("labels", model.labels(DType::F64).dtype);
    let rows = labels.ty().shape.dims()[0];
    let features = fixture.input(features, model.features(DType::F64)[0].dtype);
    inputs.extend([features, labels]);

    for remat in [Remat::None, Remat::Cheap, Remat::Blocks] {
        check_gradient(model, fixture, &inputs, (rows, remat), prefix);
    }

    // The logits are a value on the way to the loss.
    let (loss, _) = model.loss_function(rows, DType::F64, DType::F64, None).unwrap();
    let mut forward = loss.clone();
    let logits = (0..loss.values.len()).map(natgrad_ir::Value::from_index);
    let logits = logits.filter(|&value| loss.value(value).name.as_deref() == Some("logits")).collect();
    forward.results = logits;
    let logits = evaluate_flat(&forward, &inputs, Precision::AsTyped).unwrap();
    close("the logits", &logits[0], fixture.get(&format!("{prefix}logits")));
}

/// Checks the loss and the gradients recorded with this prefix, where so much is computed again.
fn check_gradient(
    model: &NamedModel,
    fixture: &Fixture,
    inputs: &[Tensor],
    (rows, remat): (usize, Remat),
    prefix: &str,
) {
    let params = model.params();
    let criterion = Criterion::default();
    let LossFunction { function, held, regions } =
        model.loss_function_with(&criterion, rows, DType::F64, DType::F64, None, remat).unwrap();
    let wrt: Vec<usize> = (0..params.len()).collect();
    let mut module = Module::new("gradient");
    let gradient = grad::value_and_grad_of_regions(&mut module, &function, &wrt, &held, &regions).unwrap();
    module.push(gradient);
    let results = evaluate(&verify(module).unwrap(), inputs).unwrap();
    close("the loss", &results[0], fixture.get(&format!("{prefix}loss")));
    let mut checked = 0;
    for (param, found) in params.iter().zip(&results[2..]) {
        if let Some(wanted) = fixture.0.get(&format!("{prefix}gradient.{}", param.name)) {
            close(&format!("the gradient of {}", param.name), found, wanted);
            checked += 1;
        }
    }
    assert_eq!(
        checked,
        fixture.0.keys().filter(|name| name.starts_with(&format!("{prefix}gradient."))).count()
    );
    assert!(checked > 0);
}

fn gpt2(activation: Activation) -> NamedModel {
    NamedModel::Gpt2(Gpt2 {
        vocabulary: 37,
        context: 12,
        layers: 2,
        heads: 2,
        width: 16,
        bias: true,
        activation,
    })
}

#[test]
fn gpt2_is_that_of_transformers() {
    let fixture = Fixture::read("gpt2.safetensors");
    check(&gpt2(Activation::Gelu), &fixture, "tokens", "gelu.");
}

#[test]
fn gpt2_with_tanh_is_that_of_transformers() {
    let fixture = Fixture::read("gpt2.safetensors");
    check(&gpt2(Activation::GeluTanh), &fixture, "tokens", "gelu_new.");
}

fn resnet(depth: usize, image: [usize; 3], width: usize) -> ResNet {
    ResNet {
        depth,
        image,
        classes: 5,
        width: Some(width),
        stem: None,
        residual_relu: false,
        outputs: 0,
        noise: None,
    }
}

#[test]
fn three_stages_are_those_of_torch() {
    let model = NamedModel::ResNet(resnet(8, [7, 10, 3], 3));
    check(&model, &Fixture::read("resnet8.safetensors"), "images", "");
}

#[test]
fn four_stages_with_a_small_stem_are_those_of_torch() {
    let model = ResNet { stem: Some(Stem::Small), residual_relu: true, ..resnet(18, [16, 17, 1], 2) };
    check(&NamedModel::ResNet(model), &Fixture::read("resnet18.safetensors"), "images", "");
}

#[test]
fn bottlenecks_are_those_of_torch() {
    let model = NamedModel::ResNet(resnet(50, [33, 40, 1], 2));
    check(&model, &Fixture::read("resnet50.safetensors"), "images", "");
}

fn numbers_by_perceptron(noise: Noise) -> NamedModel {
    NamedModel::Mlp(Mlp { sizes: vec![3, 5, 2], activation: Activation::Relu, noise: Some(noise) })
}

#[test]
fn learned_noise_has_the_gaussian_loss_of_torch() {
    let fixture = Fixture::read("mlp_learned.safetensors");
    check(&numbers_by_perceptron(Noise::Learned), &fixture, "features", "");
}

#[test]
fn given_noise_has_the_gaussian_loss_of_torch() {
    let fixture = Fixture::read("mlp_given.safetensors");
    check(&numbers_by_perceptron(Noise::Given(0.3)), &fixture, "features", "");
}
