//! What is computed again in the backward pass changes no step.

use natgrad::rule::{AdamW, Estimator, Ivon, NamedRule, Sgd, Vogn};
use natgrad::step::{Compute, StepPlan};
use natgrad::train::{CallData, CallRows, Session};
use natgrad_ir::DType;
use natgrad_layers::{Gpt2, NamedModel, Remat};

use crate::device::DEVICE;
use crate::kit::Setup;
use crate::oracle::furthest_on;

const ALL: [Remat; 3] = [Remat::None, Remat::Cheap, Remat::Blocks];

/// A GPT-2 whose context is more than a block of attention, and no multiple of one.
fn gpt2() -> NamedModel {
    NamedModel::Gpt2(Gpt2 { vocabulary: 5, context: 260, layers: 1, heads: 2, width: 8, ..Gpt2::default() })
}

fn setup(model: NamedModel, rule: NamedRule, remat: Remat) -> Setup {
    let plan = StepPlan { remat, ..StepPlan::default() };
    Setup { rows: 1, total_steps: 2, plan, ..Setup::new(model, rule) }
}

#[test]
fn steps_are_the_interpreters_whatever_is_computed_again() {
    let gradients = [NamedRule::Adamw(AdamW::default()), NamedRule::Ivon(Ivon::default())];
    let gradients = gradients.into_iter().flat_map(|rule| ALL.map(|remat| (rule.clone(), remat)));
    // Those of each example, and products of the Hessian, are of the loss as it is.
    let hessian = NamedRule::Ivon(Ivon { estimator: Estimator::HessianVector, ..Ivon::default() });
    let others = [NamedRule::Vogn(Vogn::default()), hessian].map(|rule| (rule, Remat::Blocks));
    for (rule, remat) in gradients.chain(others) {
        let (distance, of) = furthest_on(&DEVICE, &setup(gpt2(), rule.clone(), remat), 1);
        assert!(distance < 1e-9, "{} {remat:?}: {of} {distance:e}", rule.name());
    }
    let resnet = r#"{"resnet": {"depth": 8, "image": [8, 8, 1], "classes": 3}}"#;
    let resnet: NamedModel = serde_json::from_str(resnet).unwrap();
    let resnet = setup(resnet, NamedRule::Adamw(AdamW::default()), Remat::Blocks);
    let (distance, of) = furthest_on(&DEVICE, &resnet, 2);
    assert!(distance < 1e-9, "{of} {distance:e}");
}

#[test]
fn steps_in_single_precision_and_bf16_are_too() {
    for (compute, tolerance) in [(Compute::F32, 1e-4), (Compute::Bf16, 5e-2)] {
        for remat in ALL {
            let setup = setup(gpt2(), NamedRule::Sgd(Sgd::default()), remat);
            let setup = Setup { dtype: DType::F32, plan: StepPlan { compute, ..setup.plan }, ..setup };
            let (distance, of) = furthest_on(&DEVICE, &setup, 1);
            assert!(distance < tolerance, "{remat:?} {compute:?}: {of} {distance:e}");
        }
    }
}

/// Of a vocabulary so large that its logits are made in two chunks: what XLA makes of it whole.
#[test]
fn logits_in_chunks_give_the_same_step() {
    let model = Gpt2 { vocabulary: 1 << 17, context: 300, layers: 1, heads: 1, width: 2, ..Gpt2::default() };
    let state = |remat: Remat| -> Vec<f64> {
        let setup = setup(NamedModel::Gpt2(model.clone()), NamedRule::Adamw(AdamW::default()), remat);
        let setup = Setup { dtype: DType::F32, ..setup };
        let recipe = setup.recipe();
        let mut session = Session::new(&DEVICE, &recipe, setup.rows, &setup.hypers(), setup.seed).unwrap();
        let params = setup.model.params();
        let means: Vec<Vec<f64>> = (params.iter().enumerate())
            .map(|(param, of)| (0..of.shape.elements()).map(|at| ((at + param) as f64).sin()).collect())
            .collect();
        session.begin(&means, &[]).unwrap();
        let (features, labels) = setup.bytes(0);
        let rows = CallRows::Given { features: &features, labels: &labels };
        let data = CallData { rows, steps: 1, noise: &[], further_noise: &[] };
        let scalars = session.step(data).unwrap().wait().unwrap();
        let metrics = recipe.metrics().unwrap().into_iter();
        let mut found: Vec<f64> = metrics.map(|metric| scalars[0].get(metric)).collect();
        for tensor in session.state_to_host().unwrap() {
            found.extend(natgrad::compile::bytes::from_bytes(tensor.ty.dtype, &tensor.bytes));
        }
        found
    };
    let (whole, chunks) = (state(Remat::None), state(Remat::Cheap));
    assert_eq!(whole.len(), chunks.len());
    // Adam's first moments are a tenth of the gradient; its steps are of the gradient's sign, where that is none of rounding.
    let apart = whole.iter().zip(&chunks).filter(|(a, b)| (*a - *b).abs() > 1e-5 * (1.0 + a.abs())).count();
    assert!(apart * 1000 < whole.len(), "{apart} of {}", whole.len());
    assert!((whole[0] - chunks[0]).abs() < 1e-4, "{} {}", whole[0], chunks[0]);
}

/// Twice the tokens take twice the memory: of attention there is one block of queries at a time.
#[test]
fn memory_grows_as_the_text_does() {
    for remat in [Remat::Cheap, Remat::Blocks] {
        let temporaries = |context: usize| {
            let model = Gpt2 { vocabulary: 5, context, layers: 1, heads: 4, width: 32, ..Gpt2::default() };
            let setup = setup(NamedModel::Gpt2(model), NamedRule::Sgd(Sgd::default()), remat);
            let setup = Setup { dtype: DType::F32, ..setup };
            let step = DEVICE.compile(setup.recipe().step(1).unwrap()).unwrap();
            step.executable.memory_stats().unwrap().temporaries
        };
        let (short, long) = (temporaries(1024), temporaries(2048));
        assert!(10 * long < 23 * short, "{remat:?}: {short} and {long} bytes");
    }
}
