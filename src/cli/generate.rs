//! `natgrad generate`.

mod candidates;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use natgrad_layers::{Gpt2, NamedModel};

use super::out::folder_of;
use super::output::{Inputs, check};
use super::print::{print, result};
use super::trained::{GPT2_VOCABULARY, Trained};
use super::{Failure, backend};
use crate::assets::Asset;
use crate::posterior::{Choice, Generator, Prompt};
use crate::text::{Growing, Tokenizer};

/// Write text with a trained GPT-2
#[derive(Debug, Args)]
pub(super) struct Generate {
    /// The output folder of the run
    run: PathBuf,
    /// What the text begins with; its last tokens count if it is longer than the model's context
    #[arg(long, default_value = "", hide_default_value = true)]
    prompt: String,
    /// How many tokens to add at most; GPT-2's end of a text ends it too
    #[arg(long, value_name = "N", default_value_t = 200, allow_negative_numbers = true)]
    tokens: u32,
    /// What log-probabilities are divided by; 0 takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 1.0, allow_negative_numbers = true)]
    temperature: f64,
    /// Choose from the K likeliest tokens [default: from all]
    #[arg(long, value_name = "K", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    top_k: Option<u32>,
    /// The seed of choices and samples [default: that of the run]
    #[arg(long, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Average each token's probability over M samples of the posterior [default: use the mean]; with --candidates, M samples
    /// write them in turn [default: as many as candidates]
    #[arg(long, value_name = "M", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    samples: Option<u32>,
    /// Write N texts, each with a sample of the posterior, where the rule leaves one, and print the one that is expected to
    /// be most like another of the model's: that of minimum Bayes risk, by chrF
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(2..=1000))]
    candidates: Option<u32>,
    /// Write all candidates here
    #[arg(long, value_name = "FILE", requires = "candidates")]
    json: Option<PathBuf>,
    /// A tokenizer.json, or a folder with vocab.json and merges.txt [default: the run's; for GPT-2's vocabulary GPT-2's]
    #[arg(long, value_name = "PATH")]
    tokenizer: Option<PathBuf>,
    #[command(flatten)]
    on: backend::OnDevice,
}

impl Generate {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            let temperature = self.temperature;
            return Err(Failure::usage(anyhow::anyhow!(
                "--temperature {temperature}: must be a number of at least 0"
            )));
        }
        let trained = Trained::load(&self.run)?;
        let gpt2 = match &trained.config.model {
            NamedModel::Gpt2(gpt2) => gpt2,
            other => {
                let name = other.name();
                return Err(Failure::usage(anyhow::anyhow!(
                    "a model of kind {name} writes no text, only gpt2 does"
                )));
            }
        };
        if self.samples.is_some() {
            trained.must_sample("--samples")?;
        } else if self.candidates.is_some() && trained.config.rule.has_posterior() {
            trained.must_sample("--candidates")?;
        }
        let inputs = Inputs::default().with_config(&trained.config);
        check(&[("--json", self.json.as_deref())], &inputs)?;
        self.on.look_for()?;
        let tokenizer = self.tokenizer(gpt2)?;
        let mut tokens = tokenizer
            .encode(&self.prompt)
            .map_err(|error| Failure::usage(anyhow::Error::new(error).context("--prompt")))?;
        if tokens.is_empty() {
            tokens.push(tokenizer.start());
        }
        if let Some(token) = tokens.iter().find(|&&token| token as usize >= gpt2.vocabulary) {
            return Err(Failure::usage(anyhow::anyhow!(
                "the tokenizer gives token {token}, but the model has only {}: --tokenizer must be the one that it \
                 was trained with",
                gpt2.vocabulary
            )));
        }

        let seed = self.seed.unwrap_or(trained.config.seed);
        let device = self.on.open(&trained.config.device)?;
        let parameters = match self.samples {
            Some(samples) if self.candidates.is_none() => trained.samples(&device, seed, 0..samples)?,
            _ => vec![trained.posterior(&device)?.into_mean()],
        };
        let count = self.tokens as usize;
        let recipe = trained.recipe(&device);
        let mut generator = Generator::new(&device, &recipe, parameters, tokens.len().saturating_add(count))?
            .ok_or_else(|| anyhow::anyhow!("the model predicts no tokens"))?;
        let choice = Choice { temperature: self.temperature, top_k: self.top_k.map(|k| k as usize) };
        let (vocabulary, end) = (tokenizer.vocabulary(), tokenizer.end());
        let prompt = Prompt { tokens: &tokens, count, choice, vocabulary, end, seed };
        if let Some(candidates) = self.candidates {
            return self.choose(&trained, &device, &mut generator, &tokenizer, &prompt, candidates);
        }
        print(&self.prompt)?;
        let mut text = Growing::new(&tokenizer, &tokens)?;
        let mut told = |token: u32| print(&text.push(token)?);
        generator.generate(&prompt, &mut told)?;
        result(text.end()?);
        Ok(ExitCode::SUCCESS)
    }

    fn tokenizer(&self, gpt2: &Gpt2) -> Result<Tokenizer, Failure> {
        if let Some(path) = &self.tokenizer {
            return Tokenizer::load(path).map_err(Failure::usage);
        }
        if let Some(own) = Tokenizer::of_run(&folder_of(&self.run)).map_err(Failure::usage)? {
            return Ok(own);
        }
        if !GPT2_VOCABULARY.contains(&gpt2.vocabulary) {
            return Err(Failure::usage(anyhow::anyhow!(
                "the run has no tokenizer of its own, and its vocabulary of {} tokens is not GPT-2's: --tokenizer \
                 must say what its tokens stand for",
                gpt2.vocabulary
            )));
        }
        Ok(Tokenizer::gpt2(&backend::fetch(Asset::Gpt2Encoding)?)?)
    }
}
