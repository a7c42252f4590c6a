//! Models of one's own: shared parameters, several inputs, losses, dropout, and the words for mistakes.

mod described;

use described::{Described, classifier};
use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
use natgrad_ir::{Builder, DType, Expr, TensorType, Value};
use natgrad_layers::{
    Activation, Attention, Conv, Dropout, Embedding, Input, LayerNorm, Linear, MaskDrawing, MaskSite, Model,
    Network, Noise, Task, max_pool, mean_pool,
};

fn names(model: &dyn Model) -> Vec<String> {
    model.params().into_iter().map(|param| format!("{}{}", param.name, param.shape)).collect()
}

fn fault(model: &dyn Model) -> String {
    model.check().unwrap_err().to_string()
}

fn tensor(dims: &[usize], numbers: &[f64]) -> Tensor {
    Tensor::from_f64s(TensorType::new(DType::F64, dims), numbers).unwrap()
}

#[test]
fn a_layer_that_is_used_twice_shares_its_parameters() {
    let twice = classifier(|net, inputs| {
        let square = Linear::new("square", 4).then(Activation::Tanh);
        let x = square.apply(net, square.apply(net, inputs[0]));
        Linear::new("out", 3).apply(net, x)
    });
    let model: &dyn Model = &twice;
    model.check().unwrap();
    assert_eq!(names(model), ["square.weight[4,4]", "square.bias[4]", "out.weight[4,3]", "out.bias[3]"]);
}

#[test]
fn two_layers_of_one_name_are_refused() {
    let twins = classifier(|net, inputs| {
        let x = Linear::new("fc", 4).apply(net, inputs[0]);
        Linear::new("fc", 4).apply(net, x)
    });
    let text = fault(&twins);
    assert!(text.contains("two layers have a parameter `fc.weight`: give them different names"), "{text}");
    assert!(text.contains("in `fc`"), "{text}");
    let shapes = classifier(|net, inputs| {
        let fc = Linear::new("fc", 3);
        fc.apply(net, fc.apply(net, inputs[0]))
    });
    let text = fault(&shapes);
    assert!(
        text.contains("the shared parameter `fc.weight` is [4,3] in one place and [3,3] in another"),
        "{text}"
    );
}

#[test]
fn mistakes_are_named() {
    let wrong_rank = classifier(|net, inputs| Conv::new("conv", 3, 2).apply(net, inputs[0]));
    let text = fault(&wrong_rank);
    assert!(
        text.contains(
            "the convolution `conv` wants numbers `[rows, height, width, channels]`, but is given f32[2,4]"
        ),
        "{text}"
    );
    assert!(text.contains("layers/tests/own.rs") || text.contains("tests/own.rs"), "{text}");

    let one_class = classifier(|net, inputs| Linear::new("out", 1).apply(net, inputs[0]));
    assert_eq!(
        fault(&one_class),
        "the model `described` gives f32[2,1] for 2 rows, but its task needs logits `[2, classes]`, of at least two classes"
    );
    let nothing = classifier(|_, inputs| inputs[0]);
    assert_eq!(fault(&nothing), "the model `described` has no parameters, so there is nothing to train");
    let rate =
        classifier(|net, inputs| Linear::new("out", 2).apply(net, Dropout::new(1.0).apply(net, inputs[0])));
    assert!(fault(&rate).contains("a dropout's rate is 1, but must be at least 0 and below 1"));
    let pool = classifier(|net, inputs| max_pool(net, inputs[0], 2, 2, 0));
    assert!(fault(&pool).contains("do not fit f32[2,4]"), "{}", fault(&pool));
    let named =
        Described { inputs: vec![Input::numbers("labels", [4])], ..classifier(|_, inputs| inputs[0]) };
    assert!(fault(&named).contains(r#"wants inputs with names of their own, but has ["labels"]"#));
}

/// Every public layer of images and of tokens, in a model that is checked, differentiated and predicted with.
#[test]
fn every_layer_builds_in_every_type() {
    let images = Described {
        inputs: vec![Input::numbers("image", [8, 6, 3]), Input::numbers("more", [2])],
        task: Task::Classes,
        network: images,
    };
    let texts =
        Described { inputs: vec![Input::indices("tokens", [5], 11)], task: Task::Tokens, network: texts };
    let models: [&dyn Model; 2] = [&images, &texts];
    for model in models {
        model.check().unwrap();
        for (rows, compute) in [(3, DType::F32), (1, DType::BF16)] {
            let masks = MaskDrawing { draw: first_element, is_of_one_row: rows == 1 };
            let (loss, constants) = model.loss_function(rows, DType::F32, compute, Some(masks)).unwrap();
            let all: Vec<usize> = (0..model.params().len()).collect();
            let gradient = natgrad_ir::grad::value_and_grad_with(&loss, &all, &constants).unwrap();
            natgrad_ir::verify::verify_function(&gradient).unwrap();
        }
        model.predict_function(2, DType::F64).unwrap();
    }
    assert_eq!(models[0].classes(), 5);
    assert_eq!((models[1].classes(), models[1].labels(DType::F32)), (11, TensorType::new(DType::U32, [5])));

    fn images<'b>(net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
        let x = Conv::new("conv", 3, 4).then(Activation::Relu).apply(net, inputs[0]);
        let x = mean_pool(net, max_pool(net, x, 2, 2, 0), 2, 2);
        let dims = x.dims();
        let x = x.reshape([dims[0], dims[1..].iter().product()]).concat(&[inputs[1]], 1);
        let x = Dropout::new(0.5).apply(net, LayerNorm::new("norm").apply(net, x));
        Linear::new("out", 5).apply(net, x)
    }

    fn texts<'b>(net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
        let x = Embedding::new("tokens", 11, 8).apply(net, inputs[0]);
        let x = x + Attention::new("attn", 2).causal().apply(net, LayerNorm::new("norm").apply(net, x));
        let x = x + Attention::new("all", 4).apply(net, x);
        Linear::new("out", 11).bias(false).apply(net, Dropout::new(0.25).apply(net, x))
    }
}

/// A mask that keeps the first element alone.
fn first_element(b: &mut Builder, site: &MaskSite) -> Value {
    let index = b.iota(DType::U32, [site.shape.elements()], 0);
    let index = b.reshape(index, site.shape.clone());
    b.formula([index], |[index]| index.compare(natgrad_ir::CompareOp::Lt, 1))
}

/// A loss of the model's own, of two outputs a row: their mean absolute error. What is kept by dropout is scaled.
#[derive(Debug)]
struct Absolute;

impl Model for Absolute {
    fn inputs(&self) -> Vec<Input> {
        vec![Input::numbers("x", [2])]
    }

    fn task(&self) -> Task {
        Task::Numbers { noise: Noise::Given(1.0) }
    }

    fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
        Linear::new("out", 2).bias(false).apply(net, Dropout::new(0.75).apply(net, inputs[0]))
    }

    fn loss<'b>(&self, _: &Network<'b>, outputs: Expr<'b>, labels: Expr<'b>) -> Option<Expr<'b>> {
        Some((outputs - labels).abs().mean(&[0, 1]))
    }

    fn predicted<'b>(&self, outputs: Expr<'b>) -> Expr<'b> {
        outputs.exp()
    }
}

#[test]
fn losses_and_predictions_of_ones_own_are_used() {
    let model: &dyn Model = &Absolute;
    model.check().unwrap();
    assert_eq!(model.labels(DType::F64), TensorType::new(DType::F64, [2]));
    let masks = MaskDrawing { draw: first_element, is_of_one_row: false };
    let (loss, _) = model.loss_function(1, DType::F64, DType::F64, Some(masks)).unwrap();
    let weight = tensor(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let x = tensor(&[1, 2], &[0.5, 7.0]);
    let keys = Tensor::from_u32s([1, 4], &[0; 4]).unwrap();
    let inputs = [weight.clone(), x.clone(), tensor(&[1, 2], &[1.0, 1.0]), keys];
    let found = evaluate_flat(&loss, &inputs, Precision::AsTyped).unwrap();
    // The second input is dropped, the first is 4 times 0.5: outputs 2 and 4, so errors 1 and 3.
    assert_eq!(found[0].to_f64s(), [2.0]);
    let error = [2.0f64.exp() - 1.0, 4.0f64.exp() - 1.0].map(|error| error * error).iter().sum::<f64>();
    assert!((found[1].to_f64s()[0] - error).abs() < 1e-9);

    // Predictions drop nothing.
    let predict = model.predict_function(1, DType::F64).unwrap();
    let found = evaluate_flat(&predict, &[weight, x], Precision::AsTyped).unwrap()[0].to_f64s();
    for (found, output) in found.into_iter().zip([21.5f64, 29.0]) {
        assert!((found / output.exp() - 1.0).abs() < 1e-12);
    }
}
