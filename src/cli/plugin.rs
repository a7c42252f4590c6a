//! `natgrad plugin`.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::print::{print, tell};
use super::{Failure, backend};
use crate::assets;
use crate::compile::{Target, open};
use crate::lower::Loops;
use crate::pjrt::{Client, Executable};

/// List what is installed, and what the plugin in use can do; or install a plugin
#[derive(Debug, Args)]
pub(super) struct PluginCommand {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Fetch a plugin, with everything it needs to compile for devices that are not here
    Install {
        /// Which
        plugin: PluginName,
    },
}

/// A plugin that can be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PluginName {
    /// For the CPU, which is fetched by itself where it is needed
    Cpu,
    /// For NVIDIA GPUs, with CUDA 13's assembler, linker and library of functions
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
            Some(Action::Install { plugin }) => {
                let (asset, name) = open::own_plugin(plugin.target());
                let path = backend::fetch(asset)?;
                tell(format_args!("{name} is installed: {}", path.display()));
            }
            None => list()?,
        }
        Ok(ExitCode::SUCCESS)
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
