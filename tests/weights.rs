//! Weights and tokens as other programs write them.

use std::path::{Path, PathBuf};

use natgrad::assets::{self, Asset};
use natgrad::text::Tokenizer;
use natgrad::weights;
use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
use natgrad_ir::{DType, TensorType};
use natgrad_layers::{Activation, Gpt2, NamedModel};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weights").join(name)
}

/// `tests/fixtures/weights/record.py` recorded both.
#[test]
fn bf16_weights_of_transformers_give_its_probabilities() {
    let activation = Activation::GeluTanh;
    let gpt2 = Gpt2 { vocabulary: 11, context: 6, layers: 2, heads: 2, width: 8, bias: true, activation };
    let model = NamedModel::Gpt2(gpt2.clone());
    let recorded: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(fixture("recorded.json")).unwrap()).unwrap();
    let tokens: Vec<u32> = serde_json::from_value(recorded["tokens"].clone()).unwrap();
    let wanted: Vec<Vec<f64>> = serde_json::from_value(recorded["log_probabilities"].clone()).unwrap();

    let weights = weights::read(&fixture("model.safetensors"), &model).unwrap();
    let params = model.params().into_iter().zip(&weights);
    let tensor = |(param, values): (natgrad_layers::Param, &Vec<f32>)| {
        let numbers: Vec<f64> = values.iter().map(|&value| value.into()).collect();
        Tensor::from_f64s(TensorType::new(DType::F64, param.shape), &numbers).unwrap()
    };
    let mut inputs: Vec<Tensor> = params.map(tensor).collect();
    inputs.push(Tensor::from_u32s([1, 6], &tokens).unwrap());
    let next = model.next_function(6, DType::F64).unwrap().unwrap();
    let mut worst: f64 = 0.0;
    for (position, wanted) in wanted.iter().enumerate() {
        let mut inputs = inputs.clone();
        inputs.push(Tensor::from_u32s([], &[position as u32]).unwrap());
        let found = evaluate_flat(&next, &inputs, Precision::AsTyped).unwrap()[0].to_f64s();
        assert_eq!(found.len(), wanted.len());
        worst = found.iter().zip(wanted).fold(worst, |worst, (x, y)| worst.max((x - y).abs()));
    }
    assert!(worst < 1e-12, "off by {worst:e}");

    let wrong = NamedModel::Gpt2(Gpt2 { activation: Activation::Gelu, ..gpt2 });
    let message = weights::check(&fixture(""), &wrong).unwrap_err().to_string();
    assert!(message.contains("`activation_function` gelu_new, which is gelu-tanh"), "{message}");
}

/// Tokens as the Python package transformers gives them with GPT-2's own files.
#[test]
fn gpt2s_encoding_is_that_of_transformers() {
    let tokenizer = Tokenizer::gpt2(&assets::fetch(Asset::Gpt2Encoding).unwrap()).unwrap();
    assert_eq!((tokenizer.vocabulary(), tokenizer.end()), (50257, Some(50256)));
    for (text, wanted) in TEXTS {
        assert_eq!(tokenizer.encode(text).unwrap(), wanted, "{text:?}");
        assert_eq!(tokenizer.decode(wanted).unwrap(), text);
    }
}

/// Each text and its tokens.
const TEXTS: [(&str, &[u32]); 6] = [
    ("Hello, world!", &[15496, 11, 995, 0]),
    (
        "  two  spaces\n\n\tand don't\r\nwe'll   ",
        &[220, 734, 220, 9029, 628, 197, 392, 836, 470, 201, 198, 732, 1183, 220, 220, 220],
    ),
    (
        "na\u{ef}ve \u{3a9}mega \u{6771}\u{4eac} \u{1f980} 1234567",
        &[2616, 38776, 7377, 102, 13731, 10545, 251, 109, 12859, 105, 12520, 99, 222, 17031, 2231, 3134],
    ),
    ("", &[]),
    ("In the beginning<|endoftext|>God", &[818, 262, 3726, 50256, 13482]),
    ("e\u{301}\u{a0}\u{200b}x", &[68, 136, 223, 1849, 9525, 87]),
];
