//! `natgrad posterior`.

mod page;
mod tables;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use natgrad_layers::Task;
use serde::Serialize;

use super::out::pretty;
use super::output::{Inputs, check};
use super::print::{note, print, tell_written};
use super::trained::Trained;
use super::{Failure, backend};
use crate::compile::Device;
use crate::data::{Examples, Origin, Splits};
use crate::posterior::{
    Judging, Layer, LeavingOut, LeftOut, Posterior, Predictor, PruneBy, Pruned, Removal, RowSensitivity,
    Sensitivity, layers, pruning_curve, sigmas, signal_to_noise,
};
use crate::train::write_atomically;

/// The parts of the weights that are removed.
const REMOVED: [f64; 13] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99];

/// Look at a run's posterior: sigma by layer, what pruning costs, and which training rows the model depends on
#[derive(Debug, Args)]
pub(super) struct PosteriorCommand {
    /// The output folder of the run
    run: PathBuf,
    /// What to look at [default: all that the run has]
    #[arg(long, value_delimiter = ',')]
    what: Vec<What>,
    /// Estimate sensitivities from S samples of the posterior [default: the run's evaluation.samples]
    #[arg(long, value_name = "S", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(2..))]
    samples: Option<u32>,
    /// The seed of samples [default: that of the run]
    #[arg(long, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Write all numbers here, those of every training row too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page here, with histograms, curves and pictures
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    on: backend::OnDevice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Sigma and |mean| / sigma of each parameter tensor
    Layers,
    /// The test scores with the least weights set to 0, by |mean| / sigma and by |mean|
    Pruning,
    /// How far predictions of each training row would move without it
    Sensitivity,
}

/// All that is found.
#[derive(Debug, Default, Serialize)]
struct Found {
    run: String,
    rule: String,
    data: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<Layer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pruning: Vec<Curve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sensitivity: Option<Dependence>,
}

/// The scores without some of the weights.
#[derive(Debug, Serialize)]
struct Curve {
    by: PruneBy,
    points: Vec<Pruned>,
}

/// How the model depends on its training rows.
#[derive(Debug, Serialize)]
struct Dependence {
    seed: u64,
    /// Mean negative log-likelihoods: of the training rows, of each by the model without it, and of the test rows.
    nll: f64,
    leave_one_out_nll: f64,
    test_nll: f64,
    /// Samples of the posterior that it is estimated from.
    samples: u32,
    rows: Vec<Row>,
    #[serde(skip)]
    estimated: Sensitivity,
    #[serde(skip)]
    class_names: Vec<String>,
}

/// A training row.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    origin: Option<Origin>,
    #[serde(flatten)]
    of: RowSensitivity,
}

impl Dependence {
    fn is_of_numbers(&self) -> bool {
        self.estimated.rows.iter().any(|row| matches!(row.left_out, LeftOut::Numbers { .. }))
    }
}

/// What only the page shows.
struct Shown {
    /// The numbers of each layer, to count.
    sigmas: Vec<(String, Vec<f64>)>,
    ratios: Vec<(String, Vec<f64>)>,
    train: Option<Examples>,
}

impl PosteriorCommand {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let trained = Trained::load(&self.run)?;
        trained.tell_best(&self.run);
        let wanted = self.wanted(&trained)?;
        let inputs = Inputs::default().with_config(&trained.config);
        check(&[("--json", self.json.as_deref()), ("--html", self.html.as_deref())], &inputs)?;
        let device = self.on.open(&trained.config.device)?;
        let (found, shown) = self.look(&trained, &wanted, &device)?;
        print(&tables::text(&found))?;
        if let Some(path) = &self.json {
            write_atomically(path, pretty(&serde_json::to_value(&found)?)?.as_bytes())?;
            tell_written(path);
        }
        if let Some(path) = &self.html {
            write_atomically(path, page::render(&found, &shown)?.as_bytes())?;
            tell_written(path);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What to look at, of what the run has.
    fn wanted(&self, trained: &Trained) -> Result<Vec<What>, Failure> {
        let (task, rule) = (trained.config.model.task(), &trained.config.rule);
        let lacks = |what: What| match what {
            What::Layers | What::Sensitivity if !rule.has_posterior() => {
                Some(format!("a run with {} has no posterior", rule.name()))
            }
            What::Sensitivity if !matches!(task, Task::Classes | Task::Numbers { noise: _ }) => {
                Some("only rows with a class or numbers each can be left out of a run".to_string())
            }
            What::Pruning if task == Task::Own => {
                Some("the model has no predictions that natgrad can score".to_string())
            }
            What::Layers | What::Pruning | What::Sensitivity => None,
        };
        if rule.has_posterior() {
            trained.must_sample("posterior")?;
        } else if self.samples.is_some() || self.seed.is_some() {
            trained.must_sample(if self.samples.is_some() { "--samples" } else { "--seed" })?;
        }
        for &what in &self.what {
            if let Some(reason) = lacks(what) {
                let name =
                    what.to_possible_value().map_or(String::new(), |value| value.get_name().to_string());
                return Err(Failure::usage(anyhow!("--what {name}: {reason}")));
            }
        }
        if !self.what.is_empty() {
            return Ok(self.what.clone());
        }
        let wanted: Vec<What> =
            What::value_variants().iter().copied().filter(|&what| lacks(what).is_none()).collect();
        if wanted.is_empty() {
            let reason = lacks(What::Layers).unwrap_or_default();
            return Err(Failure::usage(anyhow!("{}: {reason}", self.run.display())));
        }
        if !rule.has_posterior() {
            note(&format!(
                "a run with {} has no posterior, so weights are pruned by magnitude alone",
                rule.name()
            ));
        }
        Ok(wanted)
    }

    fn look(&self, trained: &Trained, wanted: &[What], device: &Device) -> Result<(Found, Shown), Failure> {
        let config = &trained.config;
        let recipe = trained.recipe(device);
        let values = trained.values(&recipe);
        let posterior = trained.posterior(device)?;
        let state = |kind, param| posterior.state(kind, param);
        let params = config.model.params();
        let means = trained.mean()?;
        let mut found = Found {
            run: self.run.display().to_string(),
            rule: config.rule.name().to_string(),
            data: config.data.name().to_string(),
            ..Found::default()
        };
        let mut shown = Shown { sigmas: Vec::new(), ratios: Vec::new(), train: None };

        let wants = |what: What| wanted.contains(&what);
        let sigmas = sigmas(device, &recipe, &state, &values)?;
        let ratios = sigmas.as_ref().map(|sigmas| signal_to_noise(&means, sigmas));
        if let (true, Some(sigmas), Some(ratios)) = (wants(What::Layers), &sigmas, &ratios) {
            found.layers = layers(&params, sigmas, ratios);
            if self.html.is_some() {
                let named = |numbers: &[Vec<f64>]| {
                    let names = params.iter().map(|param| param.name.clone());
                    names.zip(numbers.iter().cloned()).filter(|(_, numbers)| !numbers.is_empty()).collect()
                };
                (shown.sigmas, shown.ratios) = (named(sigmas), named(ratios));
            }
        }
        if !wants(What::Pruning) && !wants(What::Sensitivity) {
            return Ok((found, shown));
        }

        let Splits { train, test, .. } = trained.data()?;
        let test = config.evaluation.examples.map(|count| test.some(count)).unwrap_or(test);
        let rows = Predictor::rows_at_a_time(config.model.model(), config.batch, test.len());
        let predictor = Predictor::new(device, &recipe, rows)?;
        let seed = self.seed.unwrap_or(config.seed);
        let judging = Judging { values: &values, seed, samples: 0, bins: config.evaluation.bins };
        if wants(What::Pruning) {
            let magnitudes = trained.magnitudes(&recipe)?;
            let by_ratio = ratios.as_ref().map(|ratios| (PruneBy::SignalToNoise, ratios));
            for (by, numbers) in by_ratio.into_iter().chain([(PruneBy::Magnitude, &magnitudes)]) {
                let removal = Removal::by(numbers);
                let weights = (means.as_slice(), &removal);
                let points = pruning_curve(device, &recipe, &predictor, weights, &REMOVED, (&test, judging))
                    .map_err(Failure::predicting)?;
                found.pruning.push(Curve { by, points });
            }
        }
        if wants(What::Sensitivity) {
            let samples = self.samples.unwrap_or(config.evaluation.samples.max(2));
            let leaving = LeavingOut { values: &values, criterion: &recipe.criterion, seed, samples };
            let estimated = predictor.sensitivity(&state, &train, leaving).map_err(Failure::predicting)?;
            let (at_mean, _) = predictor.judge(&state, &test, judging).map_err(Failure::predicting)?;
            let all: Vec<usize> = (0..train.len()).collect();
            let origins =
                train.origins(&all).map_or(vec![None; all.len()], |all| all.into_iter().map(Some).collect());
            found.sensitivity = Some(Dependence {
                seed,
                nll: estimated.nll(),
                leave_one_out_nll: estimated.leave_one_out_nll(),
                test_nll: at_mean.nll(),
                samples: estimated.samples,
                rows: estimated
                    .rows
                    .iter()
                    .zip(origins)
                    .map(|(of, origin)| Row { origin, of: of.clone() })
                    .collect(),
                estimated,
                class_names: trained.taught(None).class_names,
            });
            shown.train = Some(train);
        }
        Ok((found, shown))
    }
}

impl Trained {
    /// `|mean|` of each element of each trained parameter.
    fn magnitudes(&self, recipe: &crate::step::Recipe) -> Result<Vec<Vec<f64>>, Failure> {
        let mut magnitudes = vec![Vec::new(); self.config.model.params().len()];
        let means = self.mean()?;
        for param in recipe.interface(1)?.trained() {
            magnitudes[param] = means[param].iter().map(|mean| mean.abs()).collect();
        }
        Ok(magnitudes)
    }

    /// The means without that part of them.
    pub(super) fn pruned(&self, part: f64, by: PruneBy) -> Result<(Vec<Vec<f64>>, usize), Failure> {
        let device = backend::open(None, &self.config.device)?;
        let recipe = self.recipe(&device);
        let mut weights = self.mean()?;
        let numbers = match by {
            PruneBy::Magnitude => self.magnitudes(&recipe)?,
            PruneBy::SignalToNoise => {
                let posterior: Posterior = self.posterior(&device)?;
                let state = |kind, param| posterior.state(kind, param);
                let sigmas = sigmas(&device, &recipe, &state, &self.values(&recipe))?;
                signal_to_noise(&weights, &sigmas.unwrap_or_default())
            }
        };
        let removed = Removal::by(&numbers).prune(part, &mut weights);
        Ok((weights, removed))
    }
}
