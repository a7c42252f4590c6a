//! `natgrad inspect`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use natgrad_ir::text;

use super::print::print;
use super::target::{self, TargetArg};
use super::{Failure, backend};
use crate::compile::{Target, Wanted, stablehlo};
use crate::config::RunConfig;
use crate::inspect::{HloModule, Summary};

/// Print a run's programs
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The configuration; sections and fields that it leaves out have the default run's values
    config: Option<PathBuf>,
    /// Set a field of the configuration, e.g. rule.lr=0.1
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// What to print
    #[arg(long, default_value = "ir")]
    what: What,
    /// Which program
    #[arg(long, default_value = "step")]
    program: ProgramName,
    /// Compile for this device, which need not be here: `list` prints the ones there are [default: cpu]
    #[arg(long)]
    target: Option<TargetArg>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// natgrad's own IR
    Ir,
    /// What XLA is given
    Stablehlo,
    /// What XLA made of it
    Hlo,
    /// Fusions, bytes and copies of the optimized HLO, by stage
    Summary,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
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

impl Inspect {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let wanted = match self.target {
            Some(TargetArg::List) => {
                print(&target::listed())?;
                return Ok(ExitCode::SUCCESS);
            }
            Some(TargetArg::One(wanted)) => Some(wanted),
            None => None,
        };
        let target = wanted.map_or(Target::Cpu, Wanted::target);
        let config = RunConfig::load(self.config.as_deref(), &self.set).map_err(Failure::usage)?;
        let recipe = config.recipe(target.state_plan());
        let program = match self.program {
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
        };
        let printed = match self.what {
            What::Ir => text::print(program.module.module()),
            What::Stablehlo => stablehlo(&program, target.materialization())?,
            What::Hlo | What::Summary => {
                let listing = backend::list(&backend::compiler(wanted)?, program)?;
                let hlo = HloModule::decode(&listing.hlo)?;
                if self.what == What::Hlo { hlo.to_text() } else { Summary::of(&hlo).to_string() }
            }
        };
        print(&printed)?;
        Ok(ExitCode::SUCCESS)
    }
}
