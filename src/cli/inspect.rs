//! `natgrad inspect`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use natgrad_ir::{DType, text};

use self::against::{Against, Other};
use super::output::{Inputs, check};
use super::print::{print, print_bytes, tell_written};
use super::target::{self, TargetArg};
use super::{Failure, backend};
use crate::compile::{Compiler, DeviceModel, Target, Unit, Wanted, expect_calls, open, stablehlo};
use crate::config::RunConfig;
use crate::inspect::{About, DeviceFigures, Difference, Optimized, Report};
use crate::step::Program;
use crate::train::write_atomically;

mod against;
#[cfg(feature = "mlir")]
mod mlir;

/// Read what XLA makes of a run's programs: kernels, promises, memory, least times
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The configuration; sections and fields that it leaves out have the default run's values
    config: Option<PathBuf>,
    /// Set a field of the configuration, e.g. rule.lr=0.1
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// What to print [default: ir; what differs with --against, else all with --json or --html]
    #[arg(long)]
    what: Option<What>,
    /// Which program
    #[arg(long, default_value = "step")]
    program: ProgramName,
    /// Compile for this device, which need not be here: `list` prints the ones there are [default: cpu]
    #[arg(long)]
    target: Option<TargetArg>,
    /// Measure the device for least times, also if it was measured before
    #[arg(long)]
    measure: bool,
    #[command(flatten)]
    against: Against,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as one HTML page, with a drawing of the stages and the kernels to search
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the program in every form into a folder: IR, StableHLO, optimized HLO as text and as XLA's own message
    #[arg(long, value_name = "FOLDER")]
    dump: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// natgrad's own IR
    Ir,
    /// The same as MLIR, in natgrad's own dialect
    #[cfg(feature = "mlir")]
    Dialect,
    /// What XLA is given
    Stablehlo,
    /// The same, built and verified by MLIR, in its generic form
    #[cfg(feature = "mlir")]
    Mlir,
    /// The same as MLIR's bytecode
    #[cfg(feature = "mlir")]
    Bytecode,
    /// What XLA made of it
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

impl What {
    /// Whether it is made without XLA.
    fn is_before_xla(self) -> bool {
        match self {
            What::Ir | What::Stablehlo => true,
            #[cfg(feature = "mlir")]
            What::Dialect | What::Mlir | What::Bytecode => true,
            What::Hlo | What::Fusions | What::Memory | What::Roofline | What::All => false,
        }
    }
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
    fn build(self, config: &RunConfig, target: Target) -> Result<Program, Failure> {
        let recipe = config.recipe(target.state_plan());
        Ok(match self {
            ProgramName::Step => target.step(&recipe, config.batch)?,
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
    /// Sets what devices that are not here need, while no other thread runs.
    pub(super) fn prepare(&self) -> Result<(), Failure> {
        for wanted in [TargetArg::wanted(self.target), self.against.target()].into_iter().flatten() {
            wanted.prepare()?;
        }
        Ok(())
    }

    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if let Some(TargetArg::List) = self.target {
            print(&target::listed())?;
            return Ok(ExitCode::SUCCESS);
        }
        let wanted = TargetArg::wanted(self.target);
        let config = RunConfig::load(self.config.as_deref(), &self.set).map_err(Failure::usage)?;
        let inputs = Inputs::default().with("the configuration", self.config.as_ref()).with_config(&config);
        check(&[("--json", self.json.as_deref()), ("--html", self.html.as_deref())], &inputs)?;
        let other = self.against.load(&config, wanted)?;
        let reports = self.json.is_some() || self.html.is_some() || other.is_some();
        let what = self.what.unwrap_or(if reports { What::All } else { What::Ir });
        // What is written need not fill the terminal too.
        let writes = self.json.is_some() || self.html.is_some() || self.dump.is_some();
        let is_brief = writes && self.what.is_none();
        let compiles = reports || self.dump.is_some() || !what.is_before_xla();
        let compiler = if compiles { Some(backend::compiler(wanted)?) } else { None };
        // For the CPU, where nothing is opened and no other target wanted.
        let unopened = wanted.map_or(Target::Cpu, Wanted::target);
        let target = compiler.as_ref().map_or(unopened, Compiler::target);
        let program = self.program.build(&config, target)?;
        let ir = text::print(program.module.module());
        if compiler.is_none() && !open::is_chosen() {
            expect_calls();
        }
        let unopened = target.lowering(open::loops());
        let lowering = compiler.as_ref().map_or(unopened, Compiler::lowering);
        let stablehlo = stablehlo(&program, lowering)?;
        #[cfg(feature = "mlir")]
        let in_mlir = mlir::written(what, &program, lowering, &config)?;
        #[cfg(not(feature = "mlir"))]
        let in_mlir: Option<Vec<u8>> = None;
        let Some(compiler) = compiler else {
            let own = if what == What::Ir { &ir } else { &stablehlo };
            print_bytes(in_mlir.as_deref().unwrap_or(own.as_bytes()))?;
            return Ok(ExitCode::SUCCESS);
        };
        let (optimized, hlo) = optimize(&compiler, program)?;
        if let Some(folder) = &self.dump {
            dump(folder, &optimized, [&ir, &stablehlo], &hlo)?;
        }
        let report = match what {
            What::Hlo if !reports => None,
            what if what.is_before_xla() && !reports => None,
            _ => Some(self.report(compiler, wanted, &config, &optimized, other)?),
        };
        if let (Some(path), Some(report)) = (&self.json, &report) {
            write(path, serde_json::to_string_pretty(report)?.as_bytes())?;
        }
        if let (Some(path), Some(report)) = (&self.html, &report) {
            write(path, report.html().as_bytes())?;
        }
        let printed = match (what, &report) {
            (_, Some(report)) if is_brief => [report.title(), report.verdict_text()].concat(),
            (_, None) if is_brief => String::new(),
            (What::Ir, _) => ir,
            (What::Stablehlo, _) => stablehlo,
            // It need not be text.
            #[cfg(feature = "mlir")]
            (What::Dialect | What::Mlir | What::Bytecode, _) => String::new(),
            (What::Hlo, _) | (_, None) => optimized.module.to_text(),
            (What::Fusions, Some(report)) => {
                [report.title(), report.verdict_text(), report.stage_text(), report.kernel_text()].concat()
            }
            (What::Memory, Some(report)) => [report.title(), report.memory_text()].concat(),
            (What::Roofline, Some(report)) => [report.title(), report.roofline_text()].concat(),
            (What::All, Some(report)) if self.what.is_none() && report.against.is_some() => report.title(),
            (What::All, Some(report)) => report.text(),
        };
        print_bytes(in_mlir.filter(|_| !is_brief).as_deref().unwrap_or(printed.as_bytes()))?;
        if let Some(difference) = report.and_then(|report| report.against) {
            print(&difference.text())?;
        }
        [&self.json, &self.html, &self.dump].into_iter().flatten().for_each(|path| tell_written(path));
        Ok(ExitCode::SUCCESS)
    }

    /// The report of a program, with what differs in the other.
    fn report(
        &self,
        compiler: Compiler,
        wanted: Option<Wanted>,
        config: &RunConfig,
        optimized: &Optimized,
        other: Option<Other>,
    ) -> Result<Report, Failure> {
        let machine = Machine::of(compiler, wanted, self.measure)?;
        let report = machine.report(self.program, config, optimized)?;
        let other = match other {
            None => return Ok(report),
            Some(Other::Report(other)) => *other,
            Some(Other::Program(config, others)) => {
                let machine = if wanted == others {
                    machine
                } else {
                    Machine::of(backend::compiler(others)?, others, self.measure)?
                };
                let program = self.program.build(&config, machine.compiler.target())?;
                machine.report(self.program, &config, &optimize(&machine.compiler, program)?.0)?
            }
        };
        Ok(Report { against: Some(Difference::between(&report, &other)), ..report })
    }
}

/// What compiles, and what is known of the device that it compiles for.
struct Machine {
    compiler: Compiler,
    device: String,
    figures: Option<DeviceFigures>,
}

impl Machine {
    fn of(compiler: Compiler, wanted: Option<Wanted>, anew: bool) -> Result<Machine, Failure> {
        let (device, figures) = match (&compiler, wanted) {
            (Compiler::Attached(device), _) => {
                let figures = DeviceFigures::known(device, &open::measured()?, anew)?;
                (device.client().platform_name().to_owned(), Some(figures))
            }
            (Compiler::Ahead(_), Some(Wanted::Model(model))) => (model.name.clone(), figures_of(model)),
            (Compiler::Ahead(_), Some(Wanted::Attached(..)) | None) => (String::new(), None),
        };
        Ok(Machine { compiler, device, figures })
    }

    /// The report of a program of this name, beside AdamW's of the same configuration where it is a step.
    fn report(
        &self,
        name: ProgramName,
        config: &RunConfig,
        optimized: &Optimized,
    ) -> Result<Report, Failure> {
        let target = self.compiler.target();
        let adamw = match (name, config.by_adamw()) {
            (ProgramName::Step, Some(adamw)) => {
                Some(optimize(&self.compiler, name.build(&adamw, target)?)?.0)
            }
            _ => None,
        };
        let about = About::of(optimized, config, self.device.clone());
        let outputs = target.outputs(self.compiler.lowering().loops);
        let figures = self.figures(config);
        Ok(Report::of(about, optimized, adamw.as_ref(), figures.as_ref(), outputs))
    }

    /// The device's figures, with products as exact as the configuration wants them. Those of a linked model are as exact as
    /// its functions say, which may be less: so they are taken to be fast.
    fn figures(&self, config: &RunConfig) -> Option<DeviceFigures> {
        let figures = self.figures.clone()?;
        let part = match (self.compiler.model(), config.model.linked()) {
            (Some(model), None) => model.exact_part(config.step.precision),
            (None, _) | (_, Some(_)) => 1.0,
        };
        Some(figures.with_exact_products(part))
    }
}

/// Writes a program into a folder: its IR and StableHLO, and XLA's message as it is and as text.
fn dump(
    folder: &Path,
    optimized: &Optimized,
    [ir, stablehlo]: [&String; 2],
    hlo: &[u8],
) -> Result<(), Failure> {
    let name = &optimized.program.module.module().name;
    let text = optimized.module.to_text();
    let files: [(&str, &[u8]); 4] =
        [("ir", ir.as_bytes()), ("mlir", stablehlo.as_bytes()), ("hlo", text.as_bytes()), ("hlo.pb", hlo)];
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (extension, content) in files {
        write(&folder.join(format!("{name}.{extension}")), content)?;
    }
    Ok(())
}

/// The public figures of a model of device; none where they do not tell how fast its memory or its arithmetic is.
fn figures_of(model: &DeviceModel) -> Option<DeviceFigures> {
    let rates = [DType::F32, DType::BF16].into_iter();
    let products =
        rates.filter_map(|dtype| Some((dtype.name().to_owned(), model.peak(Unit::Matrix, dtype)?)));
    let products: BTreeMap<String, f64> = products.collect();
    let elementwise = model.peak(Unit::Vector, DType::F32).or_else(|| products.get("f32").copied())?;
    Some(DeviceFigures {
        name: model.about.clone(),
        bandwidth: model.bandwidth()?,
        cached: None,
        products,
        elementwise,
        measured: None,
    })
}

/// Compiles a program, and reads what came of it. The message is that of XLA.
fn optimize(compiler: &Compiler, program: Program) -> Result<(Optimized, Vec<u8>), Failure> {
    let listing = backend::list(compiler, program)?;
    let hlo = listing.hlo.clone();
    Ok((Optimized::of(listing)?, hlo))
}

fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    write_atomically(path, content)?;
    Ok(())
}
