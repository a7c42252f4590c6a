//! `natgrad inspect`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use natgrad_ir::text;

use super::print::print;
use super::{Failure, backend};
use crate::compile::{Device, Target, stablehlo};
use crate::config::RunConfig;
use crate::inspect::{About, DeviceFigures, HloModule, Optimized, Report};
use crate::step::{Program, StatePlan};

/// Read what XLA makes of a run's programs: kernels, promises, memory, least times
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The configuration; sections and fields that it leaves out have the default run's values
    config: Option<PathBuf>,
    /// Set a field of the configuration, e.g. rule.lr=0.1
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// What to print [default: ir; all with --json or --html]
    #[arg(long)]
    what: Option<What>,
    /// Which program
    #[arg(long, default_value = "step")]
    program: ProgramName,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the program in every form into a folder: IR, StableHLO, optimized HLO as text and as XLA's own message
    #[arg(long, value_name = "FOLDER")]
    dump: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// natgrad's own IR
    Ir,
    /// What XLA is given
    Stablehlo,
    /// What XLA made of it on this machine
    Hlo,
    /// Which promises it keeps, and its kernels by stage
    Fusions,
    /// Its memory, and which buffers live when it is fullest
    Memory,
    /// Its least times on this device, beside AdamW's
    Roofline,
    /// Promises, kernels, memory and least times
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProgramName {
    /// The training step
    Step,
    /// State at step 0 from the mean
    Start,
    /// A sample of the posterior
    Draw,
    /// Predictive log-probabilities of a batch
    Predict,
}

impl ProgramName {
    fn build(self, config: &RunConfig, state: StatePlan) -> Result<Program, Failure> {
        let recipe = config.recipe(state);
        Ok(match self {
            ProgramName::Step => recipe.step(config.batch)?,
            ProgramName::Start => recipe.start()?,
            ProgramName::Draw if !config.rule.has_posterior() => {
                let rule = config.rule.name();
                return Err(Failure::usage(anyhow::anyhow!(
                    "{rule} leaves no posterior, so it has no program `draw`"
                )));
            }
            ProgramName::Draw => recipe.draw()?,
            ProgramName::Predict => recipe.predict(config.batch)?,
        })
    }
}

impl Inspect {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let config = RunConfig::load(self.config.as_deref(), &self.set).map_err(Failure::usage)?;
        let reports = self.json.is_some();
        let what = self.what.unwrap_or(if reports { What::All } else { What::Ir });
        let compiles = reports || self.dump.is_some() || !matches!(what, What::Ir | What::Stablehlo);
        let device = if compiles { Some(backend::open()?) } else { None };
        // For the CPU, where no device is opened.
        let target = device.as_ref().map_or(Target::Cpu, Device::target);
        let program = self.program.build(&config, target.state_plan())?;
        let ir = text::print(program.module.module());
        let stablehlo = stablehlo(&program, target.materialization())?;
        let Some(device) = device else {
            print(if what == What::Ir { &ir } else { &stablehlo })?;
            return Ok(ExitCode::SUCCESS);
        };
        let (optimized, hlo) = optimize(&device, program)?;
        if let Some(folder) = &self.dump {
            let name = &optimized.program.module.module().name;
            let text = optimized.module.to_text();
            let files: [(&str, &[u8]); 4] = [
                ("ir", ir.as_bytes()),
                ("mlir", stablehlo.as_bytes()),
                ("hlo", text.as_bytes()),
                ("hlo.pb", &hlo),
            ];
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            for (extension, content) in files {
                write(&folder.join(format!("{name}.{extension}")), content)?;
            }
        }
        let report = match what {
            What::Ir | What::Stablehlo | What::Hlo if !reports => None,
            _ => Some(self.report(&device, &config, &optimized)?),
        };
        if let (Some(path), Some(report)) = (&self.json, &report) {
            write(path, serde_json::to_string_pretty(report)?.as_bytes())?;
        }
        let printed = match (what, &report) {
            (What::Ir, _) => ir,
            (What::Stablehlo, _) => stablehlo,
            (What::Hlo, _) | (_, None) => optimized.module.to_text(),
            (What::Fusions, Some(report)) => {
                [report.title(), report.verdict_text(), report.stage_text(), report.kernel_text()].concat()
            }
            (What::Memory, Some(report)) => [report.title(), report.memory_text()].concat(),
            (What::Roofline, Some(report)) => [report.title(), report.roofline_text()].concat(),
            (What::All, Some(report)) => [
                report.title(),
                report.verdict_text(),
                report.stage_text(),
                report.kernel_text(),
                report.memory_text(),
                report.roofline_text(),
            ]
            .concat(),
        };
        print(&printed)?;
        Ok(ExitCode::SUCCESS)
    }

    fn report(&self, device: &Device, config: &RunConfig, optimized: &Optimized) -> Result<Report, Failure> {
        let adamw = match (self.program, config.by_adamw()) {
            (ProgramName::Step, Some(adamw)) => {
                Some(optimize(device, self.program.build(&adamw, device.target().state_plan())?)?.0)
            }
            _ => None,
        };
        let figures = DeviceFigures::measure(device.client(), &device.target().options())?;
        let layout = &optimized.program.layout;
        let about = About {
            natgrad: env!("CARGO_PKG_VERSION").to_owned(),
            program: optimized.program.module.module().name.clone(),
            rule: config.rule.name().to_owned(),
            device: device.client().platform_name().to_owned(),
            parameters: layout.trained().map(|param| layout.params[param].shape.elements() as u64).sum(),
            config: config.to_json(),
        };
        let fuses = device.target().fuses_outputs();
        Ok(Report::of(about, optimized, adamw.as_ref(), Some(&figures), fuses))
    }
}

/// Compiles a program, and reads what came of it. The message is that of XLA.
fn optimize(device: &Device, program: Program) -> Result<(Optimized, Vec<u8>), Failure> {
    let compiled = device.compile(program)?;
    let hlo = compiled.executable.optimized_hlo()?;
    let module = HloModule::decode(&hlo)?;
    // Some plugins do not tell.
    let assigned = compiled.executable.memory_stats().ok().map(Into::into);
    Ok((Optimized { program: compiled.program, module, assigned }, hlo))
}

fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}
