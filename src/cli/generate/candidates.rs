//! Several texts by samples of the posterior, of which the one of minimum Bayes risk is chosen.

use std::process::ExitCode;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::Generate;
use crate::cli::Failure;
use crate::cli::out::pretty;
use crate::cli::print::{note, print, result};
use crate::cli::trained::Trained;
use crate::compile::Device;
use crate::eval::BayesRisk;
use crate::phase::{self, Phase};
use crate::posterior::{Generator, PredictorError, Prompt, candidate_seed};
use crate::text::Tokenizer;
use crate::train::write_atomically;

impl Generate {
    /// Writes so many texts and prints the chosen one.
    pub(super) fn choose(
        &self,
        trained: &Trained,
        device: &Device,
        generator: &mut Generator,
        tokenizer: &Tokenizer,
        prompt: &Prompt,
        candidates: u32,
    ) -> Result<ExitCode, Failure> {
        // Without a posterior the mean writes all of them.
        let samples = match trained.config.rule.has_posterior() {
            true => Some(self.samples.unwrap_or(candidates).min(candidates)),
            false => None,
        };
        let posterior = trained.posterior(device)?;
        let running = phase::begin(Phase::Generating { candidates });
        let mut texts = vec![String::new(); candidates as usize];
        for first in 0..samples.unwrap_or(1) {
            if samples.is_some() {
                let drawn = posterior.sample(prompt.seed, first)?;
                generator.set_parameters(drawn.into_iter().collect());
            }
            for candidate in (first..candidates).step_by(samples.unwrap_or(1) as usize) {
                let mut added = Vec::new();
                let mut told = |token| -> Result<(), PredictorError> {
                    added.push(token);
                    Ok(())
                };
                let seed = candidate_seed(prompt.seed, candidate);
                generator.generate(&Prompt { seed, ..prompt.clone() }, &mut told)?;
                texts[candidate as usize] = tokenizer.decode_after(prompt.tokens, &added)?;
                running.advance(candidates.into());
            }
        }
        drop(running);
        let shown: Vec<&str> = texts.iter().map(String::as_str).collect();
        let BayesRisk { utilities, chosen } =
            BayesRisk::of(&shown).ok_or_else(|| anyhow!("one text leaves nothing to choose"))?;
        let sample = |candidate: usize| samples.map(|samples| candidate as u32 % samples);
        for (candidate, (text, utility)) in texts.iter().zip(&utilities).enumerate() {
            let by = sample(candidate).map_or("the mean".to_string(), |sample| format!("sample {sample}"));
            tracing::info!("candidate {candidate} by {by}, expected chrF {utility:.2}: {text:?}");
        }
        print(&self.prompt)?;
        result(&texts[chosen]);
        let by = match samples {
            Some(1) => "1 sample of the posterior".to_string(),
            Some(samples) => format!("{samples} samples of the posterior"),
            None => "the mean".to_string(),
        };
        let mean = utilities.iter().sum::<f64>() / utilities.len() as f64;
        note(&format!(
            "chosen of {candidates} candidates by {by}: its expected chrF is {:.2}, that of all {mean:.2} on average",
            utilities[chosen]
        ));
        if let Some(path) = &self.json {
            let each = |(candidate, (text, utility)): (usize, (&String, &f64))| -> Value {
                json!({ "text": text, "sample": sample(candidate), "expected_chrf": utility })
            };
            let all: Vec<Value> = texts.iter().zip(&utilities).enumerate().map(each).collect();
            let written = json!({ "prompt": self.prompt, "chosen": chosen, "candidates": all });
            write_atomically(path, pretty(&written)?.as_bytes())?;
            note(&format!("written to {}", path.display()));
        }
        Ok(ExitCode::SUCCESS)
    }
}
