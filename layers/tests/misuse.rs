//! Models that cannot be: each gets an error that says what is wrong and what would be right, and none a panic.

mod described;

use std::sync::atomic::{AtomicUsize, Ordering};

use described::{Described, classifier};
use natgrad_ir::{DType, Expr};
use natgrad_layers::{
    Activation, Attention, Conv, Dropout, Embedding, FilterResponseNorm, Gpt2, Init, Input, LayerNorm,
    Linear, LinearRegression, MAX_PARAMETERS, Mlp, Model, NamedModel, Network, Noise, Padding, ResNet,
    SoftmaxRegression, Task, max_pool, mean_pool, spatial_mean,
};

const HUGE: usize = 1 << 40;

/// What is wrong with a model. Whoever does not check gets an error too, or a function.
fn fault(model: &dyn Model) -> String {
    model.params();
    model.classes();
    for rows in [1, 2] {
        let _ = model.loss_function(rows, DType::F32, DType::BF16, None);
        let _ = model.predict_function(rows, DType::F64);
    }
    model.check().unwrap_err().to_string()
}

/// What is wrong with a classifier of such an input.
fn fault_of<F>(dims: &[usize], network: F) -> String
where
    F: for<'b> Fn(&Network<'b>, &[Expr<'b>]) -> Expr<'b> + Send + Sync,
{
    fault(&Described { inputs: vec![Input::numbers("x", dims)], ..classifier(network) })
}

/// Three logits of anything.
fn head<'b>(net: &Network<'b>, x: Expr<'b>) -> Expr<'b> {
    let dims = x.dims();
    let rest = dims[1..].iter().product();
    Linear::new("out", 3).apply(net, x.reshape([dims[0], rest]))
}

/// The same numbers as indices.
fn indices<'b>(x: Expr<'b>) -> Expr<'b> {
    x.iota(DType::U32, 1)
}

#[track_caller]
fn says(text: &str, wanted: &str) {
    assert!(text.contains(wanted), "{text}");
}

#[test]
fn built_in_models_have_no_mistakes() {
    let models: Vec<NamedModel> = vec![
        SoftmaxRegression { inputs: 3, classes: 2 }.into(),
        LinearRegression { inputs: 3, noise: 0.5 }.into(),
        Mlp { sizes: vec![3, 2], activation: Activation::Tanh, noise: None }.into(),
        Mlp { sizes: vec![3, 1, 4, 2], activation: Activation::Relu, noise: None }.into(),
        ResNet {
            depth: 8,
            image: [4, 5, 1],
            classes: 2,
            width: Some(2),
            stem: None,
            residual_relu: true,
            outputs: 0,
            noise: None,
        }
        .into(),
        ResNet {
            depth: 50,
            image: [33, 32, 3],
            classes: 3,
            width: Some(2),
            stem: None,
            residual_relu: false,
            outputs: 0,
            noise: None,
        }
        .into(),
        Gpt2 { vocabulary: 5, context: 3, layers: 2, heads: 2, width: 4, ..Gpt2::default() }.into(),
        Gpt2 { vocabulary: 2, context: 1, layers: 1, heads: 1, width: 1, bias: false, ..Gpt2::default() }
            .into(),
    ];
    for model in models {
        model.check().unwrap_or_else(|fault| panic!("{model:?}: {fault}"));
    }
}

#[test]
fn inputs_have_names_and_sizes() {
    for (dims, wanted) in [
        (vec![0], "`x` of shape [0], which must have sizes of at least 1"),
        (vec![0, usize::MAX], "which must have sizes of at least 1"),
        (vec![HUGE], "`x` of shape [1099511627776], which must have at most 2^36 elements"),
        (vec![HUGE, HUGE], "at most 2^36 elements"),
    ] {
        says(&fault_of(&dims, |net, x| Linear::new("out", 3).apply(net, x[0])), wanted);
    }
    // Layers compute with sizes: none of them beyond what a number holds.
    let most = usize::MAX;
    let faults = [
        fault_of(&[most, 4], |net, x| Attention::new("attn", 1).apply(net, x[0])),
        fault_of(&[most, most], |net, x| LayerNorm::new("norm").apply(net, x[0])),
        fault_of(&[most, most], |net, x| Linear::new("out", 3).apply(net, x[0])),
        fault_of(&[most, most, 3], |net, x| Conv::new("conv", 3, 4).apply(net, x[0])),
        fault_of(&[most, most, 3], |net, x| head(net, mean_pool(net, x[0], 2, 2))),
        fault_of(&[most, most, 3], |net, x| head(net, spatial_mean(net, x[0]))),
        fault_of(&[most, most, 3], |net, x| head(net, FilterResponseNorm::new("frn").apply(net, x[0]))),
    ];
    faults.iter().for_each(|fault| says(fault, "at most 2^36 elements"));
}

#[test]
fn names_are_made_of_letters() {
    let wanted = "must have a name of letters, digits and `_`";
    for name in ["", "a b", "x/y", "ä", "名", "a..b", ".a", "a.", "\n", "\"", "%x", "a-b"] {
        let input =
            Described { inputs: vec![Input::numbers(name, [4])], ..classifier(|net, x| head(net, x[0])) };
        says(&fault(&input), wanted);
        says(&fault_of(&[4], |net, x| head(net, Linear::new(name, 2).apply(net, x[0]))), wanted);
        says(
            &fault_of(&[4], |net, x| head(net, Attention::new(name, 2).apply(net, x[0].reshape([2, 1, 4])))),
            wanted,
        );
        says(&fault_of(&[4], |net, x| net.module(name, || head(net, x[0]))), wanted);
        // A module without parameters is told by its name too.
        says(&fault_of(&[4], |net, x| head(net, net.module(name, || x[0] + 1.0))), wanted);
        says(
            &fault_of(&[4], |net, x| net.param(name, [2, 3], Init::Constant(1.0)) + head(net, x[0])),
            wanted,
        );
    }
    says(&fault_of(&[4], |net, x| head(net, Linear::new("0", 2).apply(net, x[0]))), wanted);
    let numbered = classifier(|net, x| net.module("layer.0", || head(net, x[0])));
    (&numbered as &dyn Model).check().unwrap();
    for taken in ["x", "labels"] {
        let text = fault_of(&[4], |net, x| {
            net.param(taken, [3], Init::Constant(1.0)).broadcast([2, 3], &[1]) + head(net, x[0])
        });
        says(&text, &format!("the name `{taken}` is taken"));
        says(&text, "tests/misuse.rs");
    }
}

/// Names that programs have for what they take beside inputs.
#[test]
fn inputs_may_be_called_as_anything_else() {
    for name in ["mask_keys", "row", "step", "index", "seed", "position", "features"] {
        let model = Described {
            inputs: vec![Input::numbers(name, [4])],
            ..classifier(|net, x| head(net, Dropout::new(0.5).apply(net, x[0])))
        };
        (&model as &dyn Model).check().unwrap();
    }
}

#[test]
fn layers_refuse_sizes_that_cannot_be() {
    let flat = |outputs| fault_of(&[4], move |net, x| head(net, Linear::new("fc", outputs).apply(net, x[0])));
    says(&flat(0), "the parameter `fc.weight` would be [4,0], but must have sizes of at least 1");
    says(
        &flat(HUGE),
        "the parameter `fc.weight` would be [4,1099511627776], but must have at most 2^36 elements",
    );
    says(&flat(usize::MAX), "at most 2^36 elements");

    let embed = |count, width| {
        fault_of(&[4], move |net, x| {
            head(net, Embedding::new("words", count, width).apply(net, indices(x[0])))
        })
    };
    says(&embed(0, 2), "the parameter `words.weight` would be [0,2], but must have sizes of at least 1");
    says(&embed(3, 0), "`words.weight` would be [3,0]");
    says(&embed(usize::MAX, 8), "at most 2^36 elements");
    let numbers = fault_of(&[4], |net, x| head(net, Embedding::new("words", 3, 2).apply(net, x[0])));
    says(&numbers, "the embedding `words` wants indices `u32[...]`, but is given f32[2,4]");

    for heads in [0, 3, usize::MAX] {
        let text = fault_of(&[4, 4], |net, x| head(net, Attention::new("attn", heads).apply(net, x[0])));
        says(&text, &format!("the attention `attn` has {heads} heads, which do not divide the width 4"));
    }
}

#[test]
fn windows_fit_images() {
    let conv = |conv: Conv| fault_of(&[4, 4, 1], move |net, x| head(net, conv.apply(net, x[0])));
    let around = |size, pad| Conv::new("conv", size, 2).padding(Padding::Around(pad));
    says(
        &conv(around(5, 0)),
        "the convolution `conv` by a kernel of 5 by 5 wants a larger image than 4 by 4 with 0 zeros on every side",
    );
    let sizes = "which must be from 1 to 1048576";
    says(&conv(Conv::new("conv", 3, 2).stride(0)), "the convolution `conv` has the size 3 and the stride 0");
    for one in
        [Conv::new("conv", 0, 2), Conv::new("conv", HUGE, 2), Conv::new("conv", 3, 2).stride(usize::MAX)]
    {
        says(&conv(one), sizes);
    }
    for pad in [HUGE, usize::MAX] {
        says(&conv(around(3, pad)), "zeros on every side must have at most 1048576");
    }
    says(&conv(Conv::new("conv", 3, 0)), "the parameter `conv.weight` would be [3,3,1,0]");
    let larger = Described {
        inputs: vec![Input::numbers("x", [4, 4, 1])],
        ..classifier(|net, x| head(net, Conv::new("conv", 5, 2).apply(net, x[0])))
    };
    (&larger as &dyn Model).check().unwrap();

    // A window without a place of the image would have the maximum of nothing.
    for (size, stride, pad) in
        [(5, 1, 0), (2, 0, 0), (0, 1, 0), (2, 2, 2), (2, 2, usize::MAX), (usize::MAX, 1, 0)]
    {
        let text = fault_of(&[4, 4, 1], |net, x| head(net, max_pool(net, x[0], size, stride, pad)));
        says(
            &text,
            &format!("windows of {size} by {size}, {stride} apart, with {pad} places around do not fit"),
        );
    }
    let pooled =
        fault_of(&[4, 4, 1], |net, x| head(net, max_pool(net, indices(x[0]), 2, 2, 0).convert(DType::F32)));
    says(&pooled, "do not fit u32[2,4,4,1], which should be numbers");
}

#[test]
fn dropout_drops_numbers_row_by_row() {
    for rate in [f64::NAN, -0.5, 1.0, f64::INFINITY] {
        let text = fault_of(&[4], |net, x| head(net, Dropout::new(rate).apply(net, x[0])));
        says(&text, &format!("a dropout's rate is {rate}, but must be at least 0 and below 1"));
    }
    let whole =
        fault_of(&[4], |net, x| head(net, Dropout::new(0.5).apply(net, indices(x[0])).convert(DType::F32)));
    says(&whole, "dropout wants numbers, but is given u32[2,4]");
    let turned = fault_of(&[4], |net, x| {
        let x = Dropout::new(0.5).apply(net, x[0].transpose(&[1, 0]));
        head(net, x.transpose(&[1, 0]))
    });
    says(&turned, "drops elements of [4,2] for 2 rows, but rows must come first there");
}

#[test]
fn tasks_and_sizes_of_models_are_checked() {
    for noise in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let model = Described {
            task: Task::Numbers { noise: Noise::Given(noise) },
            ..classifier(|net, x| head(net, x[0]))
        };
        says(&fault(&model), &format!("the noise of the model `described` is {noise}, but must be"));
    }
    let wide = |net: &Network<'_>, name: &str| {
        net.param(name, [MAX_PARAMETERS], Init::Constant(0.0));
    };
    let text = fault_of(&[4], |net, x| {
        wide(net, "one");
        wide(net, "two");
        head(net, x[0])
    });
    says(&text, "parameters, but must have at most 2^36");
    says(&fault_of(&[4], |net, x| head(net, x[0]).total()), "gives f32[] for 2 rows");
    let two_rows = fault_of(&[4], |net, x| head(net, x[0].reshape([2, 2, 2]).reshape([2, 4])));
    says(&two_rows, "reshape of f32[1,4] to [2,2,2] changes the number of elements");
}

/// Networks that differ from call to call, in turns of two and of three, whichever call comes first.
#[test]
fn a_network_is_the_same_each_time() {
    for turns in [2, 3] {
        for first in 0..turns {
            for kind in 0..6 {
                let calls = AtomicUsize::new(first);
                let text = fault_of(&[4], |net, x| {
                    let call = calls.fetch_add(1, Ordering::Relaxed);
                    let other = call.is_multiple_of(turns);
                    let of = |x| head(net, x);
                    match kind {
                        0 => Linear::new("out", 3 + usize::from(other)).apply(net, x[0]),
                        1 => Linear::new(format!("out{call}"), 3).apply(net, x[0]),
                        2 if other => of(x[0]).total(),
                        3 if other => of(Linear::new("more", 4).apply(net, x[0])),
                        4 if other => of(Dropout::new(0.5).apply(net, x[0])),
                        5 if other => of(x[0]).reshape([x[0].dims()[0], 3, 1]),
                        _ => of(x[0]),
                    }
                });
                let told = ["describe the same network each time", "for 2 rows"];
                assert!(told.iter().any(|wanted| text.contains(wanted)), "{turns} {first} {kind}: {text}");
            }
        }
    }
}
