//! How a text's beginning goes on, as the mean and some samples of the posterior write it.

use super::text::Text;
use crate::cli::Failure;
use crate::compile::Device;
use crate::phase::{self, Phase};
use crate::posterior::{Choice, Generator, Posterior, PredictorError, Prompt};
use crate::report::escape;
use crate::step::Recipe;
use crate::text::Tokenizer;

/// Tokens of the beginning at most, and how many are added.
const BEGINNING: usize = 64;
const ADDED: usize = 120;
/// Samples that write.
const SAMPLES: u32 = 3;

/// Continuations of a text's beginning.
pub(super) struct Continuations {
    beginning: String,
    /// Who wrote each: the text itself, the mean and samples.
    written: Vec<(String, String)>,
}

impl Continuations {
    /// Those of one run, all with the same random numbers, so that samples differ by their weights alone; none of a text that
    /// is too short, or a model that writes none.
    pub fn of(
        device: &Device,
        recipe: &Recipe,
        posterior: Posterior,
        tokenizer: &Tokenizer,
        text: &Text,
        seed: u64,
    ) -> Result<Option<Continuations>, Failure> {
        let context = recipe.interface(1)?.labels.shape.elements();
        let known = text.tokens.text(0, BEGINNING.min(context / 2) + ADDED).map_err(Failure::usage)?;
        let (beginning, rest) = known.split_at(BEGINNING.min(context / 2).min(known.len()));
        if beginning.is_empty() || rest.is_empty() {
            return Ok(None);
        }
        let Some(mut generator) = Generator::new(device, recipe, Vec::new(), beginning.len() + ADDED)? else {
            return Ok(None);
        };
        let mut sets = Vec::new();
        for sample in 0..SAMPLES {
            let drawn = posterior.sample(seed, sample)?;
            sets.extend(drawn.map(|drawn| (format!("sample {sample}"), drawn)));
        }
        sets.insert(0, ("the mean".to_string(), posterior.into_mean()));
        let candidates = sets.len() as u32;
        let running = phase::begin(Phase::Generating { candidates });
        let mut written = vec![("the text".to_string(), tokenizer.decode_after(beginning, rest)?)];
        let choice = Choice { temperature: 1.0, top_k: None };
        let prompt = Prompt {
            tokens: beginning,
            count: ADDED,
            choice,
            vocabulary: tokenizer.vocabulary(),
            end: tokenizer.end(),
            seed,
        };
        for (name, parameters) in sets {
            generator.set_parameters(vec![parameters]);
            let mut added = Vec::new();
            let mut told = |token| -> Result<(), PredictorError> {
                added.push(token);
                Ok(())
            };
            generator.generate(&prompt, &mut told)?;
            written.push((name, tokenizer.decode_after(beginning, &added)?));
            running.advance(candidates.into());
        }
        Ok(Some(Continuations { beginning: tokenizer.decode(beginning)?, written }))
    }

    /// As HTML.
    pub fn html(&self) -> String {
        let row = |(name, text): &(String, String)| {
            format!("<tr><td>{}</td><td class=\"left passage\">{}</td></tr>\n", escape(name), escape(text))
        };
        let rows: String = self.written.iter().map(row).collect();
        format!(
            "<p>How the text's beginning goes on, and how it does by the mean of the weights and samples of them, all by the same random \
             numbers. It begins:</p>\n<div class=\"passage\">{}</div>\n<table>\n{rows}</table>\n",
            escape(&self.beginning)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shown_as_they_are() {
        let written = vec![("the mean".to_string(), "a < b\n".to_string())];
        let html = Continuations { beginning: "1 & 2".to_string(), written }.html();
        assert!(html.contains("<div class=\"passage\">1 &amp; 2</div>"), "{html}");
        assert!(html.contains("<td>the mean</td><td class=\"left passage\">a &lt; b\n</td>"), "{html}");
    }
}
