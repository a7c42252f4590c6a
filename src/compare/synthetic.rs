//! Random examples of the types that a model takes. A step's time does not depend on their values.

use natgrad_ir::DType;
use natgrad_layers::{Init, InputKind, Model, Task};

/// Features and labels of examples, as a step takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RandomExamples {
    /// Features, input by input, row-major.
    pub features: Vec<Vec<u8>>,
    /// Labels, row-major.
    pub labels: Vec<u8>,
}

const SEED: u64 = 1;

/// Random examples: normal features, uniform tokens and classes, normal numbers to predict.
pub fn examples(model: &dyn Model, rows: usize) -> RandomExamples {
    let labels = rows * model.labels(DType::F32).shape.elements();
    let classes = model.classes();
    // The labels' numbers are those of tensor 1.
    let tensors = [0].into_iter().chain(2..);
    let features = model.inputs().into_iter().zip(tensors).map(|(input, tensor)| {
        let elements = rows * input.shape.elements();
        match input.kind {
            InputKind::Numbers => normal(tensor, elements),
            InputKind::Indices { below } => numbers_below(below, tensor, elements),
        }
    });
    let labels = match model.task() {
        Task::Tokens | Task::Classes => numbers_below(classes, 1, labels),
        Task::Own if !model.labels(DType::F32).dtype.is_float() => numbers_below(1, 1, labels),
        Task::Numbers { noise: _ } | Task::Own => normal(1, labels),
    };
    RandomExamples { features: features.collect(), labels }
}

fn normal(tensor: usize, elements: usize) -> Vec<u8> {
    Init::Normal { std: 1.0 }.values(SEED, tensor, elements).into_iter().flat_map(f32::to_ne_bytes).collect()
}

fn numbers_below(bound: usize, tensor: usize, elements: usize) -> Vec<u8> {
    let uniform = Init::Uniform { bound: 0.5 }.values(SEED, tensor, elements);
    let number = |uniform: f32| (((uniform + 0.5) * bound as f32) as u32).min(bound.saturating_sub(1) as u32);
    uniform.into_iter().flat_map(|uniform| number(uniform).to_ne_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use natgrad_layers::{Activation, Gpt2, Mlp};

    fn words(bytes: &[u8]) -> Vec<u32> {
        bytes.chunks(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap())).collect()
    }

    #[test]
    fn examples_have_the_models_types_and_ranges() {
        let mlp = Mlp { sizes: vec![7, 3], activation: Activation::Relu, noise: None };
        let RandomExamples { features, labels } = examples(&mlp, 50);
        assert_eq!((features[0].len(), labels.len()), (50 * 7 * 4, 50 * 4));
        let labels = words(&labels);
        assert!((0..3).all(|class| labels.contains(&class)) && labels.iter().all(|&label| label < 3));

        let gpt2 = Gpt2 { context: 16, ..Gpt2::characters(5) };
        let RandomExamples { features, labels } = examples(&gpt2, 4);
        assert_eq!((features[0].len(), labels.len()), (4 * 16 * 4, 4 * 16 * 4));
        assert!(words(&features[0]).iter().chain(&words(&labels)).all(|&token| token < 5));
        assert_ne!(features[0], labels);
    }
}
