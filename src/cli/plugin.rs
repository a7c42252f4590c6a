//! `natgrad plugin`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::print::{print, tell};
use super::{Failure, backend};
use crate::assets::{self, Asset, PythonPlugin};
use crate::compile::{Target, cuda, open};
use crate::lower::Loops;
use crate::pjrt::{Client, CudaDriver, Executable};

/// List what is installed, and what the plugin in use can do; or install a plugin
#[derive(Debug, Args)]
pub(super) struct PluginCommand {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Fetch a plugin, with everything that its programs run with
    Install(Install),
}

#[derive(Debug, Args)]
struct Install {
    /// Which
    plugin: PluginName,
    #[command(flatten)]
    cuda: CudaParts,
}

/// Which parts of the plugin for NVIDIA GPUs, and whose.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[group(multiple = false)]
struct CudaParts {
    /// Of cuda13, fetch only what it takes to compile for GPUs that are not here (257 MB, not 1.3 GB)
    #[arg(long)]
    compile_only: bool,
    /// Fetch all of cuda13 though this machine has no driver, for another one that has
    #[arg(long)]
    without_driver: bool,
    /// In the place of cuda13, use JAX's plugin and NVIDIA's libraries of a Python environment: that of an interpreter, or
    /// of a folder
    #[arg(long, value_name = "PYTHON", num_args = 0..=1, default_missing_value = "python3")]
    from_python: Option<PathBuf>,
}

/// A plugin that can be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PluginName {
    /// For the CPU, which is fetched by itself where it is needed
    Cpu,
    /// For NVIDIA GPUs, with the tools and libraries of CUDA 13 and cuDNN 9
    Cuda13,
    /// For TPUs
    Tpu,
}

impl PluginName {
    fn target(self) -> Target {
        match self {
            PluginName::Cpu => Target::Cpu,
            PluginName::Cuda13 => Target::Gpu,
            PluginName::Tpu => Target::Tpu,
        }
    }
}

/// A program that doubles a number, to try a plugin with.
const PROBE: &str = r#"module @probe {
  "func.func"() ({
  ^bb0(%x: tensor<f32>):
    %y = "stablehlo.add"(%x, %x) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "func.return"(%y) : (tensor<f32>) -> ()
  }) {function_type = (tensor<f32>) -> tensor<f32>, sym_name = "main"} : () -> ()
}
"#;

impl PluginCommand {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        match self.action {
            Some(Action::Install(Install { plugin: PluginName::Cuda13, cuda })) => install_cuda(&cuda)?,
            Some(Action::Install(Install { plugin, cuda })) => {
                if cuda != CudaParts::WHOLE {
                    return Err(Failure::usage(anyhow::anyhow!(
                        "--compile-only, --without-driver and --from-python are for cuda13"
                    )));
                }
                let (asset, name) = open::own_plugin(plugin.target());
                let path = backend::fetch(asset)?;
                tell(format_args!("{name} is installed: {}", path.display()));
                if plugin == PluginName::Cpu {
                    let path = backend::fetch(Asset::OneDnn)?;
                    tell(format_args!(
                        "oneDNN, which computes products and convolutions, is installed: {}",
                        path.display()
                    ));
                }
            }
            None => list()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl CudaParts {
    const WHOLE: CudaParts = CudaParts { compile_only: false, without_driver: false, from_python: None };
}

fn install_cuda(parts: &CudaParts) -> Result<(), Failure> {
    if let Some(python) = &parts.from_python {
        let PythonPlugin { path, package } = assets::cuda_of_python(python)?;
        cuda::complete(&path)?;
        assets::link(Asset::CudaPlugin, Some(&path))?;
        tell(format_args!("cuda13 is {package} from now on: {}", path.display()));
        return Ok(());
    }
    if parts.compile_only {
        let path = backend::fetch(Asset::CudaCompiler)?;
        assets::link(Asset::CudaPlugin, None)?;
        tell(format_args!("cuda13 is installed, to compile with: {}", path.display()));
        return Ok(());
    }
    if !parts.without_driver {
        // Before a gigabyte is fetched.
        let driver =
            cuda::driver().and_then(|driver| cuda::usable(&driver, cuda::OWN_MAJOR, "cuda13".as_ref()));
        driver.map_err(|error| {
            anyhow::anyhow!(
                "{error}\nto compile for GPUs only, add --compile-only; to fetch all for another machine, \
                 --without-driver"
            )
        })?;
    }
    let path = backend::fetch(Asset::CudaPlugin)?;
    assets::link(Asset::CudaPlugin, None)?;
    cuda::complete(&path)?;
    tell(format_args!("cuda13 is installed, with all that its programs run with: {}", path.display()));
    Ok(())
}

/// The plugin for NVIDIA GPUs that is used, the driver, and each library that programs run with.
fn list_cuda() -> Result<String, Failure> {
    let Some(path) = open::cuda_plugin().map_err(|error| Failure::Failed(error.into()))? else {
        return Ok(match assets::look(Asset::CudaCompiler)? {
            Some(path) => format!(
                "\n{}\n  to compile with; to run programs:\n  {:<41} {}\n  {:<41} not installed; `natgrad plugin install cuda13` \
                 fetches them (1.07 GB)\n",
                path.display(),
                "driver",
                driver(),
                "cudart, cuBLAS, cuDNN, nvJitLink, NVRTC"
            ),
            None => String::new(),
        });
    };
    let driver = driver();
    let mut text = format!("\n{}\n  {:<41} {driver}\n", path.display(), "driver");
    for library in cuda::major(&path).map_or_else(Vec::new, |major| cuda::libraries(&path, major)) {
        text.push_str(&format!("  {library}\n"));
    }
    Ok(text)
}

/// The driver of this machine, or what is missing of it.
fn driver() -> String {
    match CudaDriver::open() {
        Err(error) => format!("missing: {error}"),
        Ok(CudaDriver { cuda: (major, minor), gpus }) => {
            let gpus = match gpus {
                Err(error) => error,
                Ok(gpus) if gpus.is_empty() => "no GPU".to_owned(),
                Ok(gpus) => gpus.into_iter().map(|gpu| gpu.name).collect::<Vec<_>>().join(", "),
            };
            format!("runs CUDA {major}.{minor}: {gpus}")
        }
    }
}

fn list() -> Result<(), Failure> {
    let (plugin, client) = backend::plugin()?;
    let installed = assets::installed();
    let begin = if installed.is_empty() { "nothing installed in" } else { "installed in" };
    let mut text = format!("{begin} {}:\n", assets::cache_root()?.display());
    for item in &installed {
        let megabytes = item.size as f64 / 1e6;
        text.push_str(&format!("  {} {} ({megabytes:.1} MB)\n", item.name, item.version));
    }
    text.push_str(&format!("\n{}\n", plugin.path().display()));
    let mut rows = vec![
        pair("PJRT API", plugin.api_version().to_string()),
        pair("platform", format!("{} ({})", client.platform_name(), client.platform_version())),
    ];
    for (index, device) in client.devices().iter().enumerate() {
        rows.push(pair(&format!("device {index}"), device.kind.clone()));
    }
    for (name, value) in plugin.attributes() {
        let value = value.to_string();
        if value.len() <= 60 {
            rows.push(pair(name, value));
        }
    }
    rows.extend(capabilities(&client));
    for (name, value) in rows {
        text.push_str(&format!("  {name:<25} {value}\n"));
    }
    text.push_str(&list_cuda()?);
    print(&text)?;
    Ok(())
}

fn pair(name: &str, value: String) -> (String, String) {
    (name.to_string(), value)
}

fn capabilities(client: &Client) -> Vec<(String, String)> {
    let executable = match client.compile(PROBE.as_bytes(), &Target::of(client).options(Loops::Chosen)) {
        Ok(executable) => executable,
        Err(error) => return vec![pair("compile StableHLO", format!("no: {error}"))],
    };
    let serialized = executable.serialize().and_then(|bytes| client.deserialize(&bytes));
    vec![
        pair("compile StableHLO", "yes".to_string()),
        pair("cache executables", answer(serialized)),
        pair("print optimized HLO", answer(executable.optimized_hlo())),
        pair("memory statistics", answer(executable.memory_stats())),
        pair("cost analysis", cost(&executable)),
    ]
}

fn answer<T>(outcome: Result<T, crate::pjrt::Error>) -> String {
    outcome.map_or_else(|error| format!("no: {error}"), |_| "yes".to_string())
}

fn cost(executable: &Executable) -> String {
    match executable.cost_analysis() {
        Ok(Some(_)) => "yes".to_string(),
        Ok(None) => "no: the plugin does not implement it".to_string(),
        Err(error) => format!("no: {error}"),
    }
}
