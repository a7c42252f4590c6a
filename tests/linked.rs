//! Models that come as StableHLO: their steps and predictions are those of the framework that exported them, recorded by
//! `tests/fixtures/foreign/record.py`; what cannot be linked is refused by name.

#[allow(dead_code)]
#[path = "support/device.rs"]
mod device;
#[path = "linked/given.rs"]
mod given;

use std::path::{Path, PathBuf};

use device::{DEVICE, download, upload};
use natgrad::compile::bytes::to_bytes;
use natgrad::config::RunConfig;
use natgrad::pjrt::Arg;
use natgrad::rule::{NamedRule, Sgd};
use natgrad::step::{Extent, Recipe, Slot, StateKind};
use natgrad::train::{CallData, CallRows, Session};
use natgrad_ir::interp::Tensor;
use natgrad_ir::{DType, TensorType};
use natgrad_layers::{Linked, Model, Stablehlo};
use safetensors::{Dtype, SafeTensors};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/foreign").join(name)
}

/// Recorded tensors.
struct Recorded(Vec<u8>);

impl Recorded {
    fn of(name: &str) -> Recorded {
        Recorded(std::fs::read(folder(name).join("expected.safetensors")).unwrap())
    }

    fn numbers(&self, name: &str) -> Vec<f64> {
        let all = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = all.tensor(name).unwrap();
        let data = tensor.data();
        match tensor.dtype() {
            Dtype::F64 => data.as_chunks().0.iter().map(|&x| f64::from_le_bytes(x)).collect(),
            Dtype::F32 => data.as_chunks().0.iter().map(|&x| f64::from(f32::from_le_bytes(x))).collect(),
            Dtype::I32 => data.as_chunks().0.iter().map(|&x| f64::from(i32::from_le_bytes(x))).collect(),
            other => panic!("{name} is {other:?}"),
        }
    }

    /// The bytes of an input, as the model takes it.
    fn input(&self, name: &str, ty: &TensorType) -> Vec<u8> {
        match ty.dtype {
            DType::U32 => self.numbers(name).iter().flat_map(|&x| (x as u32).to_le_bytes()).collect(),
            dtype => to_bytes(dtype, &self.numbers(name)),
        }
    }
}

fn assert_close(found: &[f64], wanted: &[f64], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let largest = wanted.iter().fold(1e-3_f64, |largest, x| largest.max(x.abs()));
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!((found - wanted).abs() <= 2e-5 * largest, "{what}[{at}]: {found}, not {wanted}");
    }
}

/// A step of plain gradient descent at rate 1 takes the gradient off the parameters, and replaces what is not trained.
#[test]
fn steps_are_the_frameworks() {
    for (name, inputs) in [("mlp", ["x", "y"]), ("conv", ["input_0", "input_1"])] {
        let model = Stablehlo::open(folder(name)).unwrap();
        let (linked, recorded) = (model.linked().unwrap(), Recorded::of(name));
        let described: &dyn Model = &model;
        let rule = Sgd { lr: 1.0, momentum: 0.0, weight_decay: 0.0, ..Sgd::default() };
        let recipe = Recipe::new(&model, &rule);
        let values = recipe.values(linked.rows, 1);
        let mut session = Session::new(&DEVICE, &recipe, linked.rows, &values, 0).unwrap();
        session.begin(linked.values.as_ref().unwrap(), &[]).unwrap();
        let features = [recorded.input(&format!("input/{}", inputs[0]), &described.features(DType::F32)[0])];
        let labels = recorded.input(&format!("input/{}", inputs[1]), &described.labels(DType::F32));
        let rows = CallRows::Given { features: &features, labels: &labels };
        let data = CallData { rows, steps: 1, noise: &[], further_noise: &[] };
        let scalars = session.step(data).unwrap().wait().unwrap().pop().unwrap();
        assert_close(&[scalars.loss()], &recorded.numbers("loss"), "the loss");
        let counted = scalars.get(natgrad::step::Metric::Correct);
        assert_eq!([counted], recorded.numbers("metric/correct")[..], "{name}");
        let state = session.state_to_host().unwrap();
        for (index, param) in linked.params.iter().enumerate() {
            let mean = state.iter().find(|tensor| tensor.name == format!("mean/{}", param.name)).unwrap();
            let (found, wanted) = if index < linked.trained {
                let begun = recorded.numbers(&format!("parameter/{}", param.name));
                let moved = begun.iter().zip(mean.numbers()).map(|(before, after)| before - after).collect();
                (moved, recorded.numbers(&format!("gradient/{}", param.name)))
            } else {
                (mean.numbers(), recorded.numbers(&format!("new_carried/{}", param.name)))
            };
            assert_close(&found, &wanted, &format!("{name}, {}", param.name));
        }
    }
}

/// Log-probabilities of classes, and those of the labels of tokens.
#[test]
fn predictions_are_the_frameworks() {
    let rule = Sgd::default();
    for (name, input, labels) in
        [("mlp", "x", "y"), ("conv", "input_0", "input_1"), ("gpt", "tokens", "labels")]
    {
        let model = Stablehlo::open(folder(name)).unwrap();
        let (linked, recorded) = (model.linked().unwrap(), Recorded::of(name));
        let described: &dyn Model = &model;
        let compiled = DEVICE.compile(Recipe::new(&model, &rule).predict(linked.rows).unwrap()).unwrap();
        let interface = &compiled.program.interface;
        let put = |slot: Slot, bytes: Vec<u8>| (slot, DEVICE.upload(&interface.ty(slot), &bytes).unwrap());
        let mut given = vec![
            put(
                Slot::Features(0, Extent::Batch),
                recorded.input(&format!("input/{input}"), &described.features(DType::F32)[0]),
            ),
            put(
                Slot::Labels(Extent::Batch),
                recorded.input(&format!("input/{labels}"), &described.labels(DType::F32)),
            ),
        ];
        for (param, values) in linked.values.as_ref().unwrap().iter().enumerate() {
            let slot = Slot::State(StateKind::MEAN, param);
            let values: Vec<f64> = values.iter().map(|&value| value.into()).collect();
            given.push((slot, upload(&Tensor::from_f64s(interface.ty(slot), &values).unwrap())));
        }
        let find = |slot| given.iter().find(|(known, _)| *known == slot).map(|(_, buffer)| Arg::Keep(buffer));
        let outputs = compiled.run(find).unwrap();
        let found = download(&outputs[0].1, &interface.ty(Slot::Prediction)).to_f64s();
        let logits = recorded.numbers("prediction");
        let classes = *linked.outputs.as_ref().unwrap().shape.dims().last().unwrap();
        let labels = recorded.numbers(&format!("input/{labels}"));
        let wanted: Vec<f64> = logits
            .chunks(classes)
            .zip(labels)
            .flat_map(|(row, label)| {
                let sum = row.iter().map(|x| x.exp()).sum::<f64>().ln();
                let all: Vec<f64> = row.iter().map(|x| x - sum).collect();
                if name == "gpt" { vec![all[label as usize]] } else { all }
            })
            .collect();
        assert_close(&found, &wanted, name);
    }
}

/// Every rule that the folder has functions for, in every plan, compiles; others are refused by name.
#[test]
fn every_plan_compiles_or_is_refused() {
    let plans = [
        serde_json::json!({}),
        serde_json::json!({"state": "implicit"}),
        serde_json::json!({"samples": 2, "accumulation": 2}),
        serde_json::json!({"per_call": 3, "diagnostics": true}),
    ];
    for name in ["mlp", "conv", "gpt"] {
        for rule in NamedRule::all() {
            for plan in &plans {
                let config = serde_json::json!({
                    "model": {"kind": "stablehlo", "path": folder(name)},
                    "rule": {"kind": rule.name()},
                    "step": plan,
                    "batch": Stablehlo::open(folder(name)).unwrap().linked().unwrap().rows,
                });
                let told = format!("{name} {} {plan}", rule.name());
                match RunConfig::from_json("the test", config) {
                    Ok(config) => {
                        let recipe = config.recipe(config.step.state);
                        let program =
                            recipe.step(config.batch).unwrap_or_else(|error| panic!("{told}: {error}"));
                        // XLA takes seconds for each: one rule with samples, one without.
                        if matches!(rule.name(), "ivon" | "adamw") {
                            DEVICE.compile(program).unwrap_or_else(|error| panic!("{told}: {error}"));
                        }
                    }
                    Err(error) => {
                        let error = error.to_string();
                        let lacks = name == "gpt" && error.contains(".mlir`");
                        assert!(lacks || error.contains("`step."), "{told}: {error}");
                    }
                }
            }
        }
    }
}

/// A copy of the perceptron's folder with a file changed.
fn changed(file: &str, change: impl FnOnce(String) -> String) -> String {
    let copy = given::copy();
    let path = copy.path().join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, change(text)).unwrap();
    let error = Linked::open(copy.path()).unwrap_err();
    assert!(error.contains(file), "{error}");
    error
}

#[test]
fn what_cannot_be_linked_is_refused_by_name() {
    let module = "loss_and_gradient.mlir";
    let replace = |file: &str, from: &str, to: &str| {
        changed(file, |text| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        })
    };
    for (error, wanted) in [
        (changed(module, |text| text[..text.len() / 2].to_string()), "cut off"),
        (changed(module, |_| String::new()), "empty"),
        (changed(module, |_| "ML\u{ef}R".to_string()), "where a module is wanted"),
        (changed(module, |_| "\"builtin.module\"() : () -> ()".to_string()), "has no body in braces"),
        (replace(module, "natgrad.name = \"gradient/unused\"", "x.y = \"z\""), "no attribute `natgrad.name`"),
        (replace(module, "\"gradient/unused\"", "\"gradient/used\""), "`gradient/used`, but must be one of"),
        (replace(module, "\"gradient/unused\"", "\"metric/unused\""), "does not give `gradient/unused`"),
        (
            replace(module, "\"gradient/layers.0.bias\"", "\"gradient/layers.1.bias\""),
            "does not give `gradient/layers.0.bias`",
        ),
        (
            replace(module, "tensor<8x6xf32> {natgrad", "tensor<9x6xf32> {natgrad"),
            "is f32[9,6], but must be f32[8,6]",
        ),
        (replace(module, "tensor<8x6xf32> {natgrad", "tensor<?x6xf32> {natgrad"), "known sizes"),
        (replace("model.json", "\"format\": 1", "\"format\": 2"), "format is 2"),
        (replace("model.json", "\"labels\": \"y\"", "\"labels\": \"z\""), "must be the name of an input"),
        (replace("model.json", "\"rows\": 8", "\"rows\": 4"), "shape of input `x` is [8, 6]"),
        (
            changed("predict.mlir", |text| {
                let from = "    return ";
                assert!(text.contains(from));
                text.replacen(
                    from,
                    "    stablehlo.custom_call @lapack_spotrf_ffi() : () -> ()\n    return ",
                    1,
                )
            }),
            "calls `lapack_spotrf_ffi`",
        ),
    ] {
        assert!(error.contains(wanted), "{error}, not {wanted}");
    }
    let copy = given::copy();
    std::fs::write(copy.path().join(module), b"ML\xefR\x01").unwrap();
    let bytecode = Linked::open(copy.path()).unwrap_err();
    assert!(
        bytecode.contains(module) && bytecode.contains("MLIR's bytecode, and must be text"),
        "{bytecode}"
    );
    let gone = Linked::open(Path::new("/nowhere")).unwrap_err();
    assert!(gone.contains("model.json"), "{gone}");
}

/// Whatever is done to the text of a module, reading it ends, without a panic.
#[test]
fn broken_text_is_never_taken_for_a_model_that_lacks_something_else() {
    let text = std::fs::read_to_string(folder("mlp").join("predict.mlir")).unwrap();
    for at in (0..text.len() - 200).step_by(211).filter(|&at| text.is_char_boundary(at)) {
        // The definitions of locations at the end may be cut off between two of them: XLA would then say so.
        let end = text.rfind("\n}").unwrap();
        if at < end {
            changed("predict.mlir", |text| text[..at].to_string());
        }
    }
}
