//! GPT-2 (Radford et al. 2019): a decoder of pre-norm transformer blocks with learned positions and an embedding that is
//! tied to the output.

use natgrad_ir::{Builder, DType, Op, TensorType, Value};
use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::attention::{Attended, Sizes, attention_at, causal_attention};
use crate::init::Init;
use crate::network::Network;
use crate::next::Cached;
use crate::norm::layer_norm;
use crate::spec::{ModelError, Param};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gpt2 {
    /// Number of tokens that exist: 50257, or 50304 to have a multiple of 64.
    pub vocabulary: usize,
    /// Number of tokens that are seen at once.
    pub context: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Attention heads of each block.
    pub heads: usize,
    /// Numbers that describe a token between blocks; a multiple of `heads`.
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

    /// The type of one example's tokens: `u32[context]`.
    pub fn features(&self) -> TensorType {
        TensorType::new(DType::U32, [self.context])
    }

    /// The parameters, in Hugging Face's order and names.
    pub fn params(&self) -> Vec<Param> {
        let tokens = TensorType::new(DType::U32, [1, self.context]);
        Network::declare(tokens, |net, tokens| self.describe(net, tokens))
    }

    /// The logits `[rows*time, vocabulary]` of the next token, after each of `tokens`, a `u32[rows, time]` with `time` at most
    /// the context, and the values that cancel, which differentiation may hold constant.
    pub fn logits(&self, b: &mut Builder, params: &[Value], tokens: Value) -> (Value, Vec<Value>) {
        Network::build(b, params, |net| self.describe(net, tokens))
    }

    /// The logits `[1, vocabulary]` of the token after that at `position`, a `u32[]`, of one sequence of `tokens`, a
    /// `u32[1, time]`, and the keys and values of all of them, in the order of [`Gpt2::cache`]. What comes after the
    /// position makes no difference to the logits, nor to what is kept of the tokens up to it.
    pub(crate) fn next_logits(
        &self,
        b: &mut Builder,
        params: &[Value],
        tokens: Value,
        position: Value,
    ) -> (Value, Vec<Value>) {
        let (out, _) = Network::build(b, params, |net| {
            let Read { embedding, x, seen } = self.read(net, tokens);
            let position = net.reshape(position, [1]);
            let x = net.take(x, position);
            (head(net, embedding, x), seen)
        });
        out
    }

    /// The logits `[1, vocabulary]` of the token after `token`, a `u32[1, 1]` at `position`, a `u32[]`, given what was
    /// kept of the tokens before it, of at most `positions`; then what is kept of these and itself.
    pub(crate) fn extended_logits(
        &self,
        b: &mut Builder,
        params: &[Value],
        token: Value,
        position: Value,
        seen: &[Value],
        positions: usize,
    ) -> (Value, Vec<Value>) {
        let sizes = Sizes { rows: 1, time: positions, heads: self.heads, head: self.width / self.heads };
        let (out, _) = Network::build(b, params, |net| {
            let embedding = self.embedding(net);
            let x = self.placed(net, |net, places| {
                let token = net.reshape(token, [1]);
                let meaning = net.take(embedding, token);
                let position = net.reshape(position, [1]);
                let place = net.take(places, position);
                net.add(meaning, place)
            });
            let mut kept = Vec::new();
            let x = self.blocks(net, x, &mut |net, qkv| {
                let (keys, values) = (seen[kept.len()], seen[kept.len() + 1]);
                let Attended { read, keys, values } = attention_at(net, qkv, keys, values, position, sizes);
                kept.extend([keys, values]);
                read
            });
            (head(net, embedding, x), kept)
        });
        out
    }

    /// What is kept of so many `positions`: each layer's keys, then its values.
    pub(crate) fn cache(&self, positions: usize, dtype: DType) -> Vec<Cached> {
        let ty = TensorType::new(dtype, [self.heads, positions, self.width / self.heads]);
        let of = |layer: usize| {
            ["keys", "values"].map(|what| Cached { name: format!("h.{layer}.attn.{what}"), ty: ty.clone() })
        };
        (0..self.layers).flat_map(of).collect()
    }

    fn describe(&self, net: &mut Network, tokens: Value) -> Value {
        let Read { embedding, x, seen: _ } = self.read(net, tokens);
        head(net, embedding, x)
    }

    /// Tokens `u32[rows, time]` read from their beginning.
    fn read(&self, net: &mut Network, tokens: Value) -> Read {
        let [rows, time] = *net.ty(tokens).shape.dims() else {
            return Read { embedding: tokens, x: tokens, seen: Vec::new() };
        };
        let sizes = Sizes { rows, time, heads: self.heads, head: self.width / self.heads };
        let embedding = self.embedding(net);
        let x = self.placed(net, |net, positions| self.embed(net, embedding, positions, tokens));
        let mut seen = Vec::new();
        let x = self.blocks(net, x, &mut |net, qkv| {
            let Attended { read, keys, values } = causal_attention(net, qkv, sizes);
            seen.extend([keys, values]);
            read
        });
        Read { embedding, x, seen }
    }

    /// The embedding of tokens, `[vocabulary, width]`.
    fn embedding(&self, net: &mut Network) -> Value {
        net.module("wte", |net| {
            net.param("weight", [self.vocabulary, self.width], Init::Normal { std: INITIAL_STD })
        })
    }

    /// What is made with the embedding of positions, `[context, width]`.
    fn placed(&self, net: &mut Network, make: impl FnOnce(&mut Network, Value) -> Value) -> Value {
        net.module("wpe", |net| {
            let positions =
                net.param("weight", [self.context, self.width], Init::Normal { std: INITIAL_STD });
            make(net, positions)
        })
    }

    /// What the last layer norm gives, in the type of `x`, `[rows, width]`. `attend` says what each row reads, `[rows,
    /// width]`, given its query, key and value, `[rows, 3*width]`; it is asked layer by layer.
    fn blocks(&self, net: &mut Network, mut x: Value, attend: Attend) -> Value {
        for layer in 0..self.layers {
            x = net.module(&format!("h.{layer}"), |net| self.block(net, x, attend));
        }
        net.module("ln_f", |net| layer_norm(net, x, self.bias))
    }

    /// The sum of each token's and each position's embedding, `[rows*time, width]`.
    fn embed(&self, net: &mut Network, embedding: Value, positions: Value, tokens: Value) -> Value {
        let [rows, time] = *net.ty(tokens).shape.dims() else { return tokens };
        let flat = net.reshape(tokens, [rows * time]);
        let meaning = net.take(embedding, flat);
        let slice = Op::Slice { starts: vec![0, 0], limits: vec![time, self.width], strides: vec![1, 1] };
        let place = if time == self.context { positions } else { net.push(slice, vec![positions], None)[0] };
        let place = net.broadcast(place, [rows, time, self.width], &[1, 2]);
        let place = net.reshape(place, [rows * time, self.width]);
        net.add(meaning, place)
    }

    fn block(&self, net: &mut Network, x: Value, attend: Attend) -> Value {
        let width = self.width;
        let normal = net.module("ln_1", |net| layer_norm(net, x, self.bias));
        let read = net.module("attn", |net| {
            let qkv = self.linear(net, "c_attn", normal, 3 * width, INITIAL_STD);
            let read = attend(net, qkv);
            self.linear(net, "c_proj", read, width, self.residual_std())
        });
        let x = net.add(x, read);
        let normal = net.module("ln_2", |net| layer_norm(net, x, self.bias));
        let out = net.module("mlp", |net| {
            let hidden = self.linear(net, "c_fc", normal, 4 * width, INITIAL_STD);
            let hidden = self.activation.apply(net, hidden);
            self.linear(net, "c_proj", hidden, width, self.residual_std())
        });
        net.add(x, out)
    }

    /// Standard deviation of the projections that add to the residual stream, of which there are two a block (Radford et
    /// al. 2019, sec. 2.3).
    fn residual_std(&self) -> f64 {
        INITIAL_STD / (2.0 * self.layers as f64).sqrt()
    }

    /// The linear layer `name` of `x[rows, inputs]`.
    fn linear(&self, net: &mut Network, name: &str, x: Value, outputs: usize, std: f64) -> Value {
        net.module(name, |net| {
            let inputs = net.ty(x).shape.dims()[1];
            let weight = net.param("weight", [inputs, outputs], Init::Normal { std });
            let product = net.matmul(x, weight);
            if !self.bias {
                return product;
            }
            let bias = net.param("bias", [outputs], Init::Constant(0.0));
            let shape = net.ty(product).shape.clone();
            let bias = net.broadcast(bias, shape, &[1]);
            net.add(product, bias)
        })
    }
}

/// What a text is read into.
struct Read {
    /// The embedding of tokens.
    embedding: Value,
    /// What the last layer norm gives, `[rows*time, width]`.
    x: Value,
    /// Each layer's keys and values.
    seen: Vec<Value>,
}

/// An attention of rows of queries, keys and values.
type Attend<'a> = &'a mut dyn FnMut(&mut Network, Value) -> Value;

/// The logits of rows of `x`.
fn head(net: &mut Network, embedding: Value, x: Value) -> Value {
    net.module("lm_head", |net| {
        let logits = net.dot(x, embedding, natgrad_ir::DotDims::contracting(1, 1));
        net.name(logits, "logits")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Model;

    fn count(model: &Gpt2) -> usize {
        model.params().iter().map(|param| param.shape.elements()).sum()
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
            tiny().params().into_iter().map(|p| format!("{}{} {:?}", p.name, p.shape, p.init)).collect();
        insta::assert_snapshot!(lines.join("\n"));
        let names = |bias| -> Vec<String> {
            Gpt2 { bias, ..tiny() }.params().into_iter().map(|param| param.name).collect()
        };
        let weights: Vec<String> = names(true).into_iter().filter(|name| !name.ends_with(".bias")).collect();
        assert_eq!(names(false), weights);
    }

    #[test]
    fn a_block_reads_as_it_should() {
        let (loss, constants) = Model::Gpt2(tiny()).loss(2, DType::F32, DType::F32).unwrap();
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
            let mut b = Builder::new("logits");
            let types = model.params().into_iter().map(|p| (p.name, TensorType::new(DType::F64, p.shape)));
            let params: Vec<Value> = types.map(|(name, ty)| b.param(name, ty)).collect();
            let features = b.param("tokens", TensorType::new(DType::U32, [1, tokens.len()]));
            let (logits, _) = model.logits(&mut b, &params, features);
            let function = b.finish(&[logits]).unwrap();
            let mut inputs: Vec<Tensor> = Vec::new();
            for (index, param) in model.params().into_iter().enumerate() {
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
        let model = Model::Gpt2(tiny());
        let (loss, constants) = model.loss(2, DType::F32, DType::BF16).unwrap();
        natgrad_ir::verify::verify_function(&loss).unwrap();
        let gradient = natgrad_ir::grad::value_and_grad_with(&loss, &[0, 3], &constants).unwrap();
        natgrad_ir::verify::verify_function(&gradient).unwrap();
        let predict = model.predict(2, DType::F32).unwrap();
        natgrad_ir::verify::verify_function(&predict).unwrap();
        assert_eq!(predict.signature().results, [TensorType::new(DType::F32, [2, 3])]);
    }
}
