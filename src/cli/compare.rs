//! `natgrad compare`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::output::{Inputs, check};
use super::print::{print, tell_written};
use super::{Failure, backend, memory};
use crate::compare::{self, Budget, Cases, Comparison, News, Server, Vary, compare};
use crate::compile::{DeviceOptions, Wanted};
use crate::phase::{self, Phase};
use crate::pjrt::Client;
use crate::train::{TrainError, write_atomically};

/// Compare the step times of rules on the same model, in turns, with intervals
#[derive(Debug, Args)]
pub(super) struct Compare {
    /// The configurations, whose models, batches and rules' values are compared; the default run if there are none
    configs: Vec<PathBuf>,
    /// The rules; ratios are to the first
    #[arg(long, value_name = "RULE,...", value_delimiter = ',', default_value = "adamw,ivon")]
    rules: Vec<String>,
    /// Set a field of every configuration, e.g. step.state="implicit"
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Rows of a batch: each number is a case of its own
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    batch: Vec<u32>,
    /// Monte-Carlo samples of a step, for rules that sample
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    mc: Vec<u32>,
    /// The type that models compute in
    #[arg(long, value_name = "TYPE,...", value_delimiter = ',')]
    dtype: Vec<Dtype>,
    /// Vary any field: every element of the JSON array is a case, e.g. 'step.per_call=[1,10,100]'
    #[arg(long, value_name = "PATH=[...]", value_parser = parse_vary)]
    vary: Vec<Vary>,
    /// Measure also what sampling, gradient, curvature, update and host cost, each by leaving it out
    #[arg(long)]
    parts: bool,
    /// Seconds that a case, and the parts of each rule, may take
    #[arg(long, value_name = "SECONDS", default_value_t = compare::TIME.as_secs(), value_parser = clap::value_parser!(u64).range(1..))]
    time: u64,
    /// The device to compare on: cpu, cuda, cuda:1 for the second GPU, or tpu [default: cpu]
    #[arg(long, visible_alias = "device")]
    target: Option<Wanted>,
    /// A program that times other frameworks' steps, to take turns with, e.g. 'python benches/external/steps.py serve'
    #[arg(long, value_name = "COMMAND")]
    with: Option<String>,
    /// Add the rows of a report that another program, or an earlier run, wrote
    #[arg(long, value_name = "FILE")]
    include: Vec<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as one HTML page, with bars and curves
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the report as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Dtype {
    F32,
    Bf16,
}

impl Compare {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if let Some(Wanted::Model(model)) = self.target {
            return Err(Failure::usage(anyhow::anyhow!(
                "{} is a model of device, and times need one that is here: name the platform alone to compare on an \
                 attached device, or see what a model would take with `natgrad inspect --target`",
                model.name
            )));
        }
        let cases = Cases {
            configs: self.configs.clone(),
            set: self.set.clone(),
            vary: self.varied(),
            rules: self.rules.clone(),
        };
        let cases = cases.load().map_err(Failure::usage)?;
        let included = self.include.iter().map(|path| compare::include(path));
        let included = included.collect::<Result<Vec<_>, _>>().map_err(Failure::usage)?;
        self.check_outputs()?;
        backend::look_for(self.target)?;
        let mut server = self.with.as_deref().map(Server::start).transpose().map_err(Failure::usage)?;
        let device = backend::open(self.target, &DeviceOptions::default())?;
        let budget = Budget { time: Duration::from_secs(self.time), width: compare::NARROW };
        let comparison = Comparison { cases, budget, parts: self.parts, seed: 0 };
        let (mut running, mut rounds_begin) = (None, false);
        let mut report = compare(&device, &comparison, server.as_mut(), &mut |news| match news {
            News::Preparing { case, entrant } => {
                let phase = Phase::Preparing { case: case.to_string(), entrant: entrant.to_string() };
                running = Some(phase::begin(phase));
                rounds_begin = true;
            }
            News::Round { case, rounds, width } => {
                let phase = Phase::Comparing { case: case.to_string(), rounds, width };
                match &running {
                    Some(running) if !rounds_begin => running.becomes(phase),
                    _ => running = Some(phase::begin(phase)),
                }
                rounds_begin = false;
            }
        })
        .map_err(|error| match error {
            compare::CompareError::Server(error) => Failure::usage(error),
            compare::CompareError::Entrant { ref source, ref config, .. } => {
                let advice = match source.as_ref() {
                    TrainError::Device(fault) => memory::advice(fault, config, &device),
                    _ => None,
                };
                let advice = advice.map_or(String::new(), |advice| format!("\n{advice}"));
                Failure::Failed(anyhow::anyhow!("{error}{advice}"))
            }
            compare::CompareError::Measure(_) => Failure::Failed(error.into()),
        })?;
        drop(running);
        report.made_by = made_by(device.client());
        report.machine = compare::machine();
        report.command = command();
        report.rows.extend(included.into_iter().flatten());
        print(&report.text())?;
        let json = serde_json::to_string_pretty(&report)? + "\n";
        for (path, content) in
            [(&self.json, json), (&self.html, report.html()), (&self.markdown, report.markdown())]
        {
            if let Some(path) = path {
                write_atomically(path, content.as_bytes())?;
                tell_written(path);
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn check_outputs(&self) -> Result<(), Failure> {
        let mut inputs = Inputs::default();
        for config in &self.configs {
            inputs = inputs.with("a configuration", Some(config));
        }
        for report in &self.include {
            inputs = inputs.with("a report to --include", Some(report));
        }
        let files = [&self.json, &self.html, &self.markdown].map(Option::as_deref);
        let [json, html, markdown] = files;
        check(&[("--json", json), ("--html", html), ("--markdown", markdown)], &inputs)
    }

    /// The fields of several values.
    fn varied(&self) -> Vec<Vary> {
        let numbers = |path: &str, values: &[u32]| Vary {
            path: path.to_string(),
            values: values.iter().map(|&value| value.into()).collect(),
        };
        let dtypes = self.dtype.iter().map(|dtype| match dtype {
            Dtype::F32 => "f32".into(),
            Dtype::Bf16 => "bf16".into(),
        });
        let dtypes = Vary { path: "step.compute".to_string(), values: dtypes.collect() };
        let given = [numbers("batch", &self.batch), numbers("step.samples", &self.mc), dtypes];
        given.into_iter().filter(|vary| !vary.values.is_empty()).chain(self.vary.iter().cloned()).collect()
    }
}

fn parse_vary(text: &str) -> Result<Vary, String> {
    let wanted = "such as step.per_call=[1,10,100]";
    let (path, values) = text.split_once('=').ok_or_else(|| format!("no `=`: it must be {wanted}"))?;
    match serde_json::from_str(values) {
        Ok(Value::Array(values)) if !values.is_empty() => Ok(Vary { path: path.to_string(), values }),
        _ => Err(format!("`{values}` is no JSON array with an element: it must be {wanted}")),
    }
}

/// natgrad's version and the plugin: the names of its folder, which tells the package, and of its file.
fn made_by(client: &Client) -> String {
    let path = client.plugin().path();
    let names = [path.parent().and_then(Path::file_name), path.file_name()].into_iter().flatten();
    let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
    format!("natgrad {}, {} ({})", env!("CARGO_PKG_VERSION"), client.platform_name(), names.join("/"))
}

/// The command line as it was given.
fn command() -> String {
    let quoted = |word: String| match word
        .contains(|letter: char| letter.is_whitespace() || "[]{}\"*".contains(letter))
    {
        true => format!("'{word}'"),
        false => word,
    };
    std::iter::once("natgrad".to_string())
        .chain(std::env::args().skip(1).map(quoted))
        .collect::<Vec<_>>()
        .join(" ")
}
