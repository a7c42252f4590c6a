//! Programs that score the tokens of a text: by a sample, and on average.

use super::program::{Program, Recipe, StepError, of_function, of_model};
use super::slot::{Extent, Slot};
use super::stage::StageKind;

impl Recipe<'_> {
    /// How each token of `rows` windows is predicted by one set of parameters in the place of the mean, and its
    /// probabilities added to the sums; none unless a network of natgrad's predicts tokens.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn distribution(&self, rows: usize) -> Result<Option<Program>, StepError> {
        let Some(function) = self.model.distribution_function(rows, self.dtype) else { return Ok(None) };
        let interface = self.interface(rows)?;
        let mut inputs = interface.inputs(Extent::Batch);
        inputs.extend([Slot::Labels(Extent::Batch), Slot::ProbabilitySums]);
        let outputs = vec![Slot::Prediction, Slot::Entropy, Slot::ProbabilitySums];
        of_model(&interface, StageKind::Distribution, function?, inputs, outputs).map(Some)
    }

    /// What such sums say on average; none unless a network of natgrad's predicts tokens.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn ranking(&self, rows: usize) -> Result<Option<Program>, StepError> {
        let Some(function) = self.model.ranking_function(rows, self.dtype) else { return Ok(None) };
        let interface = self.interface(rows)?;
        let inputs = vec![Slot::Labels(Extent::Batch), Slot::ProbabilitySums, Slot::SampleCount];
        let outputs = vec![Slot::Largest, Slot::Ahead, Slot::Entropy];
        of_function(&interface, StageKind::Ranking, function?, inputs, outputs).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use natgrad_ir::{DType, TensorType};
    use natgrad_layers::{Activation, Mlp, NamedModel};

    use super::*;
    use crate::rule::{Ivon, NamedRule};

    #[test]
    fn probabilities_are_summed_in_place() {
        let gpt2 = natgrad_layers::Gpt2 {
            vocabulary: 5,
            context: 4,
            layers: 1,
            heads: 1,
            width: 2,
            ..Default::default()
        };
        let (model, rule) = (NamedModel::Gpt2(gpt2), NamedRule::Ivon(Ivon::default()));
        let recipe = Recipe::new(model.model(), rule.rule());
        let distribution = recipe.distribution(3).unwrap().unwrap();
        let ranking = recipe.ranking(3).unwrap().unwrap();
        for program in [&distribution, &ranking] {
            let signature = program.module.module().entry().unwrap().signature();
            let types = |slots: &[Slot]| -> Vec<TensorType> {
                slots.iter().map(|&slot| program.interface.ty(slot)).collect()
            };
            assert_eq!(signature.params, types(&program.inputs));
            assert_eq!(signature.results, types(&program.outputs));
        }
        assert_eq!(distribution.interface.ty(Slot::ProbabilitySums), TensorType::new(DType::F32, [12, 5]));
        assert_eq!(distribution.donation().into_iter().flatten().collect::<Vec<_>>(), [2]);
        assert!(ranking.donation().iter().all(Option::is_none));
        let perceptron =
            NamedModel::Mlp(Mlp { sizes: vec![3, 2], activation: Activation::Tanh, noise: None });
        assert!(Recipe::new(perceptron.model(), rule.rule()).distribution(3).unwrap().is_none());
    }
}
