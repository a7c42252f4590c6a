//! Runs that predict tokens: how likely they find a text, token by token.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde_json::{Value, json};

use super::Eval;
use super::continuations::Continuations;
use crate::cli::Failure;
use crate::cli::out::folder_of;
use crate::cli::trained::Trained;
use crate::compile::Device;
use crate::data::{Examples, Taught, Tokens, Window};
use crate::eval::{TextDetections, TextEvaluation};
use crate::posterior::{Scorer, TokenScores, WeightsAt};
use crate::text::Tokenizer;

/// Tokens that two texts are compared by at a time.
const COMPARED: usize = 1 << 16;

/// A text, and what it is called.
pub(super) struct Text {
    pub name: String,
    pub tokens: Tokens,
    /// How many bytes the tokens that are scored stand for, where the tokenizer is known.
    bytes: Option<usize>,
}

/// Predictions of a text by one set of weights, or averaged, and how good they are.
pub(super) struct Judged {
    pub scores: TokenScores,
    pub evaluation: TextEvaluation,
    /// Of a text of another kind.
    pub foreign: Option<(TextEvaluation, TextDetections)>,
}

/// What was found of one run.
pub(super) struct TextRun {
    pub folder: PathBuf,
    /// What it is called beside the others.
    pub name: String,
    rule: String,
    pub text: Text,
    pub foreign: Option<Text>,
    pub tokenizer: Option<Tokenizer>,
    pub context: usize,
    pub stride: usize,
    /// The token that counts as no label.
    pub ignore: Option<u32>,
    /// How many tokens the model tells apart.
    pub vocabulary: usize,
    pub at_mean: Judged,
    /// Averaged over so many samples.
    pub averaged: Option<(u32, Judged)>,
    /// For the page.
    pub continuations: Option<Continuations>,
}

/// What a run is asked, before anything is computed.
struct Asked {
    text: Text,
    foreign: Option<Text>,
    taught: Taught,
    stride: usize,
    ignore: Option<u32>,
}

impl TextRun {
    /// The columns of tables: what they are called, and what they hold.
    pub fn columns(&self) -> Vec<(String, &Judged)> {
        let averaged = self.averaged.iter().map(|(count, judged)| (super::over(&self.name, *count), judged));
        std::iter::once((super::at_mean(&self.name), &self.at_mean)).chain(averaged).collect()
    }

    /// The best predictions that there are.
    pub fn best(&self) -> &Judged {
        self.averaged.as_ref().map_or(&self.at_mean, |(_, judged)| judged)
    }

    pub fn to_json(&self) -> Value {
        let text = |text: &Text| json!({ "name": text.name, "tokens": text.tokens.text_len() });
        let mut run = json!({
            "run": self.folder.display().to_string(),
            "rule": self.rule,
            "data": text(&self.text),
            "context": self.context,
            "stride": self.stride,
            "mean": self.at_mean.to_json(),
        });
        if let Some(foreign) = &self.foreign {
            run["ood"] = text(foreign);
        }
        if let Some((samples, judged)) = &self.averaged {
            run["samples"] = json!(samples);
            run["posterior"] = judged.to_json();
        }
        run
    }
}

impl Judged {
    fn to_json(&self) -> Value {
        let mut judged = json!(self.evaluation);
        if let Some((foreign, detection)) = &self.foreign {
            judged["ood"] = json!(foreign);
            judged["detection"] = json!(detection);
        }
        judged
    }
}

/// Judges runs by one text.
pub(super) fn evaluate(
    eval: &Eval,
    device: &Device,
    trained: &[Trained],
    names: Vec<String>,
) -> Result<Vec<TextRun>, Failure> {
    let mut asked = Vec::new();
    for (run, own) in eval.runs.iter().zip(trained) {
        asked.push(Asked::of(eval, run, own)?);
    }
    if let Some((first, others)) = asked.split_first() {
        for (other, name) in others.iter().zip(&names[1..]) {
            must_be_the_same(first, other, [&names[0], name])?;
        }
    }
    let runs = eval.runs.iter().zip(trained).zip(names).zip(asked);
    runs.map(|(((run, own), name), asked)| asked.answer(eval, device, run, own, name)).collect()
}

impl Asked {
    fn of(eval: &Eval, run: &Path, trained: &Trained) -> Result<Asked, Failure> {
        let taught = trained.taught(trained.tokenizer(&folder_of(run))?);
        let context = taught.features.shape.elements();
        let stride = match eval.stride {
            None => (context / 2).max(1),
            Some(stride) if (1..=context as u64).contains(&stride) => stride as usize,
            Some(stride) => {
                return Err(Failure::usage(anyhow!(
                    "--stride {stride}: must be from 1 to {context}, the tokens that the model sees at once"
                )));
            }
        };
        let open = |path: &Path| {
            let name = path.display().to_string();
            let examples = trained.config.data.open_to_predict(path, &taught).map_err(Failure::usage)?;
            Text::of(name, examples, &taught)
        };
        // The second text first: it is wrong more often, and soon read.
        let foreign = eval.ood.as_deref().map(|ood| open(Path::new(ood))).transpose()?;
        let text = match &eval.data {
            Some(path) => open(path)?,
            None => {
                let name = format!("{}, the run's test text", trained.config.data.name());
                Text::of(name, trained.data()?.test, &taught)?
            }
        };
        Ok(Asked { text, foreign, taught, stride, ignore: trained.config.loss.ignore })
    }

    fn answer(
        self,
        eval: &Eval,
        device: &Device,
        run: &Path,
        trained: &Trained,
        name: String,
    ) -> Result<TextRun, Failure> {
        let Asked { text, foreign, taught, stride, ignore } = self;
        let config = &trained.config;
        let (model, context) = (config.model.model(), taught.features.shape.elements());
        let recipe = trained.recipe(device);
        let values = trained.values(&recipe);
        let posterior = trained.posterior(device)?;
        let windows = Window::over(text.tokens.text_len(), context, stride).len();
        let rows = Scorer::rows_at_a_time(model, config.batch, windows.next_power_of_two());
        let scorer = Scorer::new(device, &recipe, rows)?.ok_or_else(|| {
            Failure::usage(anyhow!(
                "the model `{}` is linked, so that only its own program predicts tokens: `natgrad predict` scores these",
                model.name()
            ))
        })?;
        let state = |kind, param| posterior.state(kind, param);
        let judge = |at: WeightsAt| -> Result<Judged, Failure> {
            let is_averaged = matches!(at, WeightsAt::Samples { .. });
            let of = |text: &Text| -> Result<(TokenScores, TextEvaluation), Failure> {
                let scores = scorer.score(&state, &text.tokens, stride, at).map_err(Failure::predicting)?;
                // Which bytes a token that is left out stands for is not known.
                let bytes = text.bytes.filter(|_| ignore.is_none());
                let evaluation = TextEvaluation::of(&scores, bytes, is_averaged, config.evaluation.bins);
                let lacks = || Failure::usage(anyhow!("{}: has no token that could be scored", text.name));
                Ok((scores, evaluation.ok_or_else(lacks)?))
            };
            let (scores, evaluation) = of(&text)?;
            let foreign = match &foreign {
                None => None,
                Some(foreign) => {
                    let (others, evaluation) = of(foreign)?;
                    TextDetections::of(&scores, &others, stride, is_averaged).map(|found| (evaluation, found))
                }
            };
            Ok(Judged { scores, evaluation, foreign })
        };
        let at_mean = judge(WeightsAt::Mean)?;
        let seed = eval.seed.unwrap_or(config.seed);
        let averaged = if config.rule.has_posterior() {
            let count = eval.samples.unwrap_or(config.evaluation.samples);
            Some((count, judge(WeightsAt::Samples { values: &values, seed, count })?))
        } else {
            None
        };
        let continuations = match &taught.tokenizer {
            Some(tokenizer) if eval.html.is_some() => {
                Continuations::of(device, &recipe, posterior, tokenizer, &text, seed)?
            }
            _ => None,
        };
        Ok(TextRun {
            folder: run.to_path_buf(),
            name,
            rule: config.rule.name().to_string(),
            tokenizer: taught.tokenizer.as_deref().cloned(),
            vocabulary: taught.classes,
            text,
            foreign,
            context,
            stride,
            ignore,
            at_mean,
            averaged,
            continuations,
        })
    }
}

impl Text {
    fn of(name: String, examples: Examples, taught: &Taught) -> Result<Text, Failure> {
        let tokens = match examples {
            Examples::Tokens(tokens) => tokens,
            Examples::Table(_) | Examples::Images(_) | Examples::Arrays(_) => {
                return Err(Failure::usage(anyhow!("{name}: is no text, but the runs predict tokens")));
            }
        };
        let mut bytes = None;
        if let Some(tokenizer) = &taught.tokenizer {
            let all = tokens.text(0, usize::MAX).map_err(Failure::usage)?;
            let (first, others) = all.split_at(all.len().min(1));
            bytes = Some(tokenizer.decode_after(first, others)?.len());
        }
        Ok(Text { name, tokens, bytes })
    }
}

/// An error unless two runs have the same tokens to predict.
fn must_be_the_same(first: &Asked, other: &Asked, names: [&str; 2]) -> Result<(), Failure> {
    let json = |asked: &Asked| asked.taught.tokenizer.as_ref().and_then(|own| own.to_json().ok());
    let [name, other_name] = names;
    let differ = |what: &str| {
        Failure::usage(anyhow!(
            "{other_name} has other {what} than {name}, so that their scores of tokens cannot be compared: judge them one by \
             one, and compare bits per byte"
        ))
    };
    if let (Some(one), Some(another)) = (json(first), json(other))
        && one != another
    {
        return Err(differ("tokens (tokenizer.json)"));
    }
    if first.ignore != other.ignore {
        return Err(differ("tokens that count (`loss.ignore`)"));
    }
    let texts = [Some((&first.text, &other.text)), first.foreign.as_ref().zip(other.foreign.as_ref())];
    for (one, another) in texts.into_iter().flatten() {
        if one.tokens.text_len() != another.tokens.text_len() {
            return Err(differ("text to be judged by"));
        }
        for begin in (0..one.tokens.text_len()).step_by(COMPARED) {
            let read = |text: &Text| text.tokens.text(begin, COMPARED).map_err(Failure::usage);
            if read(one)? != read(another)? {
                return Err(differ("text to be judged by"));
            }
        }
    }
    Ok(())
}
