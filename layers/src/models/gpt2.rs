//! GPT-2 (Radford et al. 2019): a decoder of pre-norm transformer blocks with learned positions and an embedding that is
//! tied to the output.

use natgrad_ir::{DType, DotDims, Expr, TensorType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::init::Init;
use crate::layer::activation::Activation;
use crate::layer::attention::{Attended, Sizes, attention, attention_at, is_long};
use crate::layer::embedding::Embedding;
use crate::layer::linear::Linear;
use crate::layer::norm::LayerNorm;
use crate::model::{Input, Model, Task};
use crate::network::Network;
use crate::next::{Cached, Writer};
use crate::remat::Remat;

/// Standard deviation of the initial weights (`initializer_range` of Hugging Face's and nanoGPT's GPT-2).
const INITIAL_STD: f64 = 0.02;

/// The largest vocabulary, context or width.
const MAX_SIZE: usize = 1 << 20;

/// The most blocks.
const MAX_LAYERS: usize = 1000;

/// A GPT-2. Without fields, the small one: `{"kind": "gpt2"}` has 124,439,808 parameters.
///
/// Parameters have Hugging Face's names and layouts (`wte.weight[vocabulary, width]`,
/// `h.0.attn.c_attn.weight[width, 3*width]`), so those of `openai-community/gpt2` fit as they are; they were trained with the
/// activation `gelu-tanh`. There is no dropout, as in nanoGPT's pretraining.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gpt2 {
    /// Number of tokens that exist: 50257, or 50304 to have a multiple of 64.
    #[schemars(range(min = 2, max = 1048576))]
    pub vocabulary: usize,
    /// Number of tokens that are seen at once.
    #[schemars(range(min = 1, max = 1048576))]
    pub context: usize,
    /// Number of blocks.
    #[schemars(range(min = 1, max = 1000))]
    pub layers: usize,
    /// Attention heads of each block.
    #[schemars(range(min = 1, max = 1048576))]
    pub heads: usize,
    /// Numbers that describe a token between blocks; a multiple of `heads`.
    #[schemars(range(min = 1, max = 1048576))]
    pub width: usize,
    /// Whether linear layers and layer norms have biases.
    pub bias: bool,
    /// The nonlinearity of the blocks' perceptrons.
    pub activation: Activation,
}

impl Default for Gpt2 {
    fn default() -> Gpt2 {
        Gpt2 {
            vocabulary: 50257,
            context: 1024,
            layers: 12,
            heads: 12,
            width: 768,
            bias: true,
            activation: Activation::Gelu,
        }
    }
}

impl Gpt2 {
    /// GPT-2 small: 12 blocks of width 768, 124 million parameters.
    pub fn small() -> Gpt2 {
        Gpt2::default()
    }

    /// GPT-2 medium: 24 blocks of width 1024, 355 million parameters.
    pub fn medium() -> Gpt2 {
        Gpt2 { layers: 24, heads: 16, width: 1024, ..Gpt2::default() }
    }

    /// GPT-2 large: 36 blocks of width 1280, 774 million parameters.
    pub fn large() -> Gpt2 {
        Gpt2 { layers: 36, heads: 20, width: 1280, ..Gpt2::default() }
    }

    /// nanoGPT's character-level model: 6 blocks of width 384 over 256 characters, without biases.
    pub fn characters(vocabulary: usize) -> Gpt2 {
        Gpt2 { vocabulary, context: 256, layers: 6, heads: 6, width: 384, bias: false, ..Gpt2::default() }
    }

    /// Checks the sizes.
    ///
    /// # Errors
    /// Names the field and the value.
    pub fn validate(&self) -> Result<(), ModelError> {
        if !(2..=MAX_SIZE).contains(&self.vocabulary) {
            return Err(ModelError::new("vocabulary", &self.vocabulary, "from 2 to 1048576 tokens"));
        }
        for (field, value) in [("context", self.context), ("heads", self.heads), ("width", self.width)] {
            if !(1..=MAX_SIZE).contains(&value) {
                return Err(ModelError::new(field, &value, "from 1 to 1048576"));
            }
        }
        if !(1..=MAX_LAYERS).contains(&self.layers) {
            return Err(ModelError::new("layers", &self.layers, "from 1 to 1000"));
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(ModelError::new("width", &self.width, "a multiple of the number of heads"));
        }
        Ok(())
    }

    fn sizes(&self, rows: usize, time: usize) -> Sizes {
        Sizes { rows, time, heads: self.heads, head: self.width / self.heads }
    }

    /// Tokens `u32[rows, time]` read from their beginning, with `time` at most the context.
    fn read<'b>(&self, net: &Network<'b>, tokens: Expr<'b>) -> Read<'b> {
        let [rows, time] = *tokens.dims() else {
            return Read { embedding: tokens, x: tokens, seen: Vec::new() };
        };
        let wte = self.tokens();
        let embedding = wte.table(net);
        let x = net.module("wpe", || {
            let positions = self.positions(net);
            let meaning = embedding.take(tokens.reshape([rows * time]));
            let place = if time == self.context { positions } else { positions.slice(0, 0..time) };
            let place = place.broadcast([rows, time, self.width], &[1, 2]);
            meaning + place.reshape([rows * time, self.width])
        });
        let mut seen = Vec::new();
        let x = self.blocks(net, x, time, &mut |qkv| {
            let Attended { read, keys, values } = attention(net, qkv, self.sizes(rows, time), true);
            seen.extend([keys, values]);
            read
        });
        Read { embedding, x, seen }
    }

    /// The embedding of tokens, `[vocabulary, width]`.
    fn tokens(&self) -> Embedding {
        Embedding::new("wte", self.vocabulary, self.width).init(Init::Normal { std: INITIAL_STD })
    }

    /// The embedding of positions, `[context, width]`.
    fn positions<'b>(&self, net: &Network<'b>) -> Expr<'b> {
        net.param("weight", [self.context, self.width], Init::Normal { std: INITIAL_STD })
    }

    /// What the last layer norm gives, in the type of `x`, `[rows, width]`. `attend` says what each row reads, `[rows,
    /// width]`, given its query, key and value, `[rows, 3*width]`; it is asked layer by layer.
    fn blocks<'b>(
        &self,
        net: &Network<'b>,
        mut x: Expr<'b>,
        time: usize,
        attend: Attend<'_, 'b>,
    ) -> Expr<'b> {
        for layer in 0..self.layers {
            let block = || net.module(&format!("h.{layer}"), || self.block(net, x, time, attend));
            x = net.again(Remat::Blocks, block);
        }
        LayerNorm::new("ln_f").bias(self.bias).apply(net, x)
    }

    fn block<'b>(&self, net: &Network<'b>, x: Expr<'b>, time: usize, attend: Attend<'_, 'b>) -> Expr<'b> {
        let width = self.width;
        let qkv = again_if_long(net, time, || {
            let normal = LayerNorm::new("ln_1").bias(self.bias).apply(net, x);
            net.module("attn", || self.linear("c_attn", 3 * width, INITIAL_STD).apply(net, normal))
        });
        let read =
            net.module("attn", || self.linear("c_proj", width, self.residual_std()).apply(net, attend(qkv)));
        let x = x + read;
        let hidden = again_if_long(net, time, || {
            let normal = LayerNorm::new("ln_2").bias(self.bias).apply(net, x);
            net.module("mlp", || self.linear("c_fc", 4 * width, INITIAL_STD).apply(net, normal))
        });
        let out = again_if_long(net, time, || {
            net.module("mlp", || {
                let hidden = self.activation.apply(hidden);
                self.linear("c_proj", width, self.residual_std()).apply(net, hidden)
            })
        });
        x + out
    }

    /// Standard deviation of the projections that add to the residual stream, of which there are two a block (Radford et
    /// al. 2019, sec. 2.3).
    fn residual_std(&self) -> f64 {
        INITIAL_STD / (2.0 * self.layers as f64).sqrt()
    }

    /// A linear layer whose weight starts normal.
    fn linear(&self, name: &str, outputs: usize, std: f64) -> Linear {
        Linear::new(name, outputs).bias(self.bias).init(Init::Normal { std })
    }
}

impl Model for Gpt2 {
    fn name(&self) -> &str {
        "gpt2"
    }

    fn inputs(&self) -> Vec<Input> {
        vec![Input::indices("features", [self.context], self.vocabulary)]
    }

    fn task(&self) -> Task {
        Task::Tokens
    }

    fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
        let Read { embedding, x, seen: _ } = self.read(net, inputs[0]);
        head(net, embedding, x)
    }

    fn writer(&self) -> Option<&dyn Writer> {
        Some(self)
    }
}

impl Writer for Gpt2 {
    fn next<'b>(&self, net: &Network<'b>, tokens: Expr<'b>, position: Expr<'b>) -> (Expr<'b>, Vec<Expr<'b>>) {
        let Read { embedding, x, seen } = self.read(net, tokens);
        let x = x.take(position.reshape([1]));
        (head(net, embedding, x), seen)
    }

    fn extend<'b>(
        &self,
        net: &Network<'b>,
        token: Expr<'b>,
        position: Expr<'b>,
        seen: &[Expr<'b>],
    ) -> (Expr<'b>, Vec<Expr<'b>>) {
        let positions = seen.first().map_or(1, |keys| keys.dims()[2]);
        let embedding = self.tokens().table(net);
        let x = net.module("wpe", || {
            let places = self.positions(net);
            let meaning = embedding.take(token.reshape([1]));
            meaning + places.take(position.reshape([1]))
        });
        let mut kept = Vec::new();
        let x = self.blocks(net, x, 1, &mut |qkv| {
            let (keys, values) = (seen[kept.len()], seen[kept.len() + 1]);
            let Attended { read, keys, values } =
                attention_at(net, qkv, keys, values, position, self.sizes(1, positions));
            kept.extend([keys, values]);
            read
        });
        (head(net, embedding, x), kept)
    }

    /// Each layer's keys, then its values.
    fn cache(&self, positions: usize, dtype: DType) -> Vec<Cached> {
        let ty = TensorType::new(dtype, [self.heads, self.width / self.heads, positions]);
        let of = |layer: usize| {
            ["keys", "values"].map(|what| Cached { name: format!("h.{layer}.attn.{what}"), ty: ty.clone() })
        };
        (0..self.layers).flat_map(of).collect()
    }
}

/// What a text is read into.
struct Read<'b> {
    /// The embedding of tokens.
    embedding: Expr<'b>,
    /// What the last layer norm gives, `[rows*time, width]`.
    x: Expr<'b>,
    /// Each layer's keys and values.
    seen: Vec<Expr<'b>>,
}

/// An attention of rows of queries, keys and values.
type Attend<'a, 'b> = &'a mut dyn FnMut(Expr<'b>) -> Expr<'b>;

/// The logits of rows of `x`.
fn head<'b>(net: &Network<'b>, embedding: Expr<'b>, x: Expr<'b>) -> Expr<'b> {
    net.module("lm_head", || x.dot(embedding, DotDims::contracting(1, 1)).named("logits"))
}

/// Part of a block of texts of so many tokens: over short ones little is stored, and computing it again takes time.
fn again_if_long<T>(net: &Network<'_>, time: usize, describe: impl FnOnce() -> T) -> T {
    if is_long(time) { net.again(Remat::Cheap, describe) } else { describe() }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use natgrad_ir::{Builder, Value};

    use super::*;
    use crate::init::Param;
    use crate::models::named::NamedModel;

    fn params(model: &Gpt2) -> Vec<Param> {
        (model as &dyn Model).params()
    }

    fn count(model: &Gpt2) -> usize {
        params(model).iter().map(|param| param.shape.elements()).sum()
    }

    fn tiny() -> Gpt2 {
        Gpt2 { vocabulary: 5, context: 3, layers: 1, heads: 2, width: 4, ..Gpt2::default() }
    }

    /// With biases: those of Hugging Face's `openai-community` models. Without: nanoGPT's, which reports 10.65 million for
    /// characters since it leaves out the 98,304 of positions.
    #[test]
    fn parameters_are_as_many_as_published() {
        assert_eq!(count(&Gpt2::small()), 124_439_808);
        assert_eq!(count(&Gpt2::medium()), 354_823_168);
        assert_eq!(count(&Gpt2::large()), 774_030_080);
        assert_eq!(count(&Gpt2 { bias: false, ..Gpt2::small() }), 124_337_664);
        assert_eq!(count(&Gpt2 { vocabulary: 50304, ..Gpt2::small() }), 124_439_808 + 47 * 768);
        assert_eq!(count(&Gpt2::characters(65)), 10_646_784 + 98_304);
    }

    #[test]
    fn parameters_are_named_and_start_as_hugging_faces() {
        let lines: Vec<String> =
            params(&tiny()).into_iter().map(|p| format!("{}{} {:?}", p.name, p.shape, p.init)).collect();
        insta::assert_snapshot!(lines.join("\n"));
        let names = |bias| -> Vec<String> {
            params(&Gpt2 { bias, ..tiny() }).into_iter().map(|param| param.name).collect()
        };
        let weights: Vec<String> = names(true).into_iter().filter(|name| !name.ends_with(".bias")).collect();
        assert_eq!(names(false), weights);
    }

    #[test]
    fn a_block_reads_as_it_should() {
        let model = NamedModel::Gpt2(tiny());
        let (loss, constants) = model.loss_function(2, DType::F32, DType::F32, None).unwrap();
        natgrad_ir::verify::verify_function(&loss).unwrap();
        assert_eq!(constants.len(), 2, "the maxima of the attention's rows and of the logits");
        let mut module = natgrad_ir::Module::new("tiny");
        module.push(loss);
        insta::assert_snapshot!(module.to_string());
    }

    /// What comes later is not seen, and a shorter text gives the same logits.
    #[test]
    fn attention_is_causal() {
        use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
        let model = tiny();
        let logits = |tokens: &[u32]| {
            let cell = RefCell::new(Builder::new("logits"));
            let declared = params(&model).into_iter();
            let given: Vec<(String, Value)> = declared
                .map(|p| {
                    (p.name.clone(), cell.borrow_mut().param(p.name, TensorType::new(DType::F64, p.shape)))
                })
                .collect();
            let features = TensorType::new(DType::U32, [1, tokens.len()]);
            let features = cell.borrow_mut().param("tokens", features);
            let logits = {
                let net = Network::of(&cell, given, None);
                model.outputs(&net, &[net.expr(features)]).value()
            };
            let function = cell.into_inner().finish(&[logits]).unwrap();
            let mut inputs: Vec<Tensor> = Vec::new();
            for (index, param) in params(&model).into_iter().enumerate() {
                let values = Init::Uniform { bound: 1.0 }.values(1, index, param.shape.elements());
                let values: Vec<f64> = values.into_iter().map(f64::from).collect();
                inputs.push(Tensor::from_f64s(TensorType::new(DType::F64, param.shape), &values).unwrap());
            }
            inputs.push(Tensor::from_u32s([1, tokens.len()], tokens).unwrap());
            evaluate_flat(&function, &inputs, Precision::AsTyped).unwrap()[0].to_f64s()
        };
        let whole = logits(&[4, 1, 2]);
        assert_eq!(whole[..10], logits(&[4, 1, 0])[..10]);
        assert_eq!(whole[..10], logits(&[4, 1])[..]);
        assert_ne!(whole[5..10], logits(&[0, 1])[5..]);
    }

    #[test]
    fn configurations_are_checked() {
        let parse = serde_json::from_str::<Gpt2>;
        assert_eq!(parse("{}").unwrap(), Gpt2::small());
        let text = r#"{"layers": 24, "heads": 16, "width": 1024, "activation": "gelu-tanh"}"#;
        assert_eq!(parse(text).unwrap(), Gpt2 { activation: Activation::GeluTanh, ..Gpt2::medium() });
        assert!(parse(r#"{"depth": 3}"#).unwrap_err().to_string().starts_with("unknown field `depth`"));
        for (model, wanted) in [
            (Gpt2 { heads: 5, ..tiny() }, "width is 4, but must be a multiple of the number of heads"),
            (Gpt2 { heads: 0, ..tiny() }, "heads is 0, but must be from 1 to 1048576"),
            (
                Gpt2 { width: usize::MAX, ..tiny() },
                "width is 18446744073709551615, but must be from 1 to 1048576",
            ),
            (Gpt2 { layers: 1001, ..tiny() }, "layers is 1001, but must be from 1 to 1000"),
            (Gpt2 { vocabulary: 1, ..tiny() }, "vocabulary is 1, but must be from 2 to 1048576 tokens"),
        ] {
            assert_eq!(model.validate().unwrap_err().to_string(), wanted);
        }
        for model in [Gpt2::small(), Gpt2::medium(), Gpt2::large(), Gpt2::characters(65)] {
            model.validate().unwrap();
        }
    }

    #[test]
    fn half_precision_keeps_to_its_type() {
        let model = NamedModel::Gpt2(tiny());
        let (loss, constants) = model.loss_function(2, DType::F32, DType::BF16, None).unwrap();
        natgrad_ir::verify::verify_function(&loss).unwrap();
        let gradient = natgrad_ir::grad::value_and_grad_with(&loss, &[0, 3], &constants).unwrap();
        natgrad_ir::verify::verify_function(&gradient).unwrap();
        let predict = model.predict_function(2, DType::F32).unwrap();
        natgrad_ir::verify::verify_function(&predict).unwrap();
        assert_eq!(predict.signature().results, [TensorType::new(DType::F32, [2, 3])]);
    }
}
