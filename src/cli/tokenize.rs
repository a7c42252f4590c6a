//! `natgrad tokenize`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::{Inputs, refuse};
use super::print::tell;
use super::{Failure, backend};
use crate::assets::Asset;
use crate::data::{TokenType, text};
use crate::text::Tokenizer;
use crate::train::write_atomically;

/// Turn a text into the train.bin and val.bin of nanoGPT, for data of the kind token-bins
#[derive(Debug, Args)]
pub(super) struct Tokenize {
    /// The text, in UTF-8; gzip too
    file: PathBuf,
    /// The folder of the two files
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A tokenizer.json, or a folder with vocab.json and merges.txt [default: GPT-2's]
    #[arg(long, value_name = "PATH")]
    tokenizer: Option<PathBuf>,
    /// The part of the text, at its end, that is for val.bin
    #[arg(long, value_name = "PART", default_value_t = 0.1, allow_negative_numbers = true)]
    test_fraction: f64,
}

impl Tokenize {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let part = self.test_fraction;
        if !(part > 0.0 && part < 1.0) {
            return Err(Failure::usage(anyhow::anyhow!(
                "--test-fraction {part}: must be above 0 and below 1"
            )));
        }
        let files = ["train.bin", "val.bin"].map(|name| self.out.join(name));
        let inputs = Inputs::default().with("the text", Some(&self.file));
        let inputs = inputs.with("the --tokenizer", self.tokenizer.as_ref());
        refuse(&files.each_ref().map(|file| ("--out", Some(file.as_path()))), &inputs)?;
        let tokenizer = match &self.tokenizer {
            Some(path) => Tokenizer::load(path).map_err(Failure::usage)?,
            None => Tokenizer::gpt2(&backend::fetch(Asset::Gpt2Encoding)?)?,
        };
        let vocabulary = tokenizer.vocabulary();
        let text = text::read(&self.file).map_err(Failure::usage)?;
        let tokens = text::tokens(&self.file, &text, &tokenizer).map_err(Failure::usage)?;
        let cut = tokens.len() - (tokens.len() as f64 * part).round() as usize;
        let parts = [("train.bin", &tokens[..cut]), ("val.bin", &tokens[cut..])];
        if let Some((name, _)) = parts.iter().find(|(_, tokens)| tokens.is_empty()) {
            return Err(Failure::usage(anyhow::anyhow!(
                "{}: with --test-fraction {part}, {name} would have none of its {} tokens, but must have some",
                self.file.display(),
                tokens.len()
            )));
        }
        std::fs::create_dir_all(&self.out)
            .map_err(|error| Failure::output(&error, format!("--out {}: {error}", self.out.display())))?;
        let dtype = TokenType::of(vocabulary);
        for (name, tokens) in parts {
            write_atomically(&self.out.join(name), &dtype.bytes(tokens))?;
        }
        let note = match dtype {
            TokenType::Uint16 => "",
            TokenType::Uint32 => ", in 32 bits: `data.dtype` is \"uint32\"",
        };
        tell(format_args!(
            "{cut} and {} tokens of {vocabulary} different ones written to {}: train.bin, val.bin{note}",
            tokens.len() - cut,
            self.out.display()
        ));
        Ok(ExitCode::SUCCESS)
    }
}
