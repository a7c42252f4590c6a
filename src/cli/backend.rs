//! The device that commands run on or compile for.

use super::Failure;
use super::plugin::PluginName;
use crate::assets::{self, PLUGIN_VARIABLE};
use crate::compile::{AheadDevice, Cache, Compiler, Device, DeviceError, Listing, Refusal, Target, Wanted};
use crate::lower::Loops;
use crate::pjrt::{self, Client, Plugin, TrustedLibrary};
use crate::step::Program;

/// Opens the plugin and its runtime, fetching the plugin if need be, and the cache of executables: the first device of
/// the platform that is wanted, which is the CPU's where the user has not chosen a plugin.
pub(super) fn open(wanted: Option<Wanted>) -> Result<Device, Failure> {
    let plugin = match wanted {
        None => open_plugin()?,
        Some(wanted) => {
            if wanted.target() == Target::Tpu && !is_chosen() {
                check_for_tpu()?;
            }
            plugin_for(wanted.target())?
        }
    };
    let client = open_client(&plugin, wanted.map(Wanted::target))?;
    let found = Target::of(&client);
    if let Some(wanted) = wanted
        && wanted.target() != found
    {
        return Err(Failure::usage(anyhow::anyhow!(
            "{PLUGIN_VARIABLE} names a plugin for {}, which is not the --target; unset it to use natgrad's own plugin",
            client.platform_name()
        )));
    }
    Ok(Device::new(client, cache()?, loops()))
}

/// Sets what the runtime of a device that need not be here reads from the environment: for all devices of a command
/// before the first is opened, as that starts threads.
pub(super) fn prepare(wanted: Option<Wanted>) -> Result<(), Failure> {
    match wanted {
        Some(Wanted::Model(model)) => Ok(pjrt::default_environment(model.target().ahead_environment())?),
        Some(Wanted::Attached(_)) | None => Ok(()),
    }
}

/// The loops that programs for the CPU are told with: of CPU plugins only natgrad's own is known to take merged ones.
pub(super) fn loops() -> Loops {
    if is_chosen() { Loops::Chosen } else { Loops::Merged }
}

/// What compiles for the device that is wanted, after [`prepare`].
pub(super) fn compiler(wanted: Option<Wanted>) -> Result<Compiler, Failure> {
    match wanted {
        None | Some(Wanted::Attached(_)) => Ok(Compiler::Attached(open(wanted)?)),
        Some(Wanted::Model(model)) => {
            let plugin = plugin_for(model.target())?;
            let device = AheadDevice::open(model, &plugin, cache()?)
                .map_err(|error| advised(error, model.target()))?;
            Ok(Compiler::Ahead(device))
        }
    }
}

/// Compiles a program and lists what came of it.
pub(super) fn list(compiler: &Compiler, program: Program) -> Result<Listing, Failure> {
    compiler.list(program).map_err(|error| advised(error, compiler.target()))
}

/// Opens the plugin that the user chose, or the CPU plugin, fetching it if need be.
pub(super) fn open_plugin() -> Result<Plugin, Failure> {
    load(&assets::cpu_plugin().map_err(asset_failure)?)
}

/// Opens the plugin that the user chose, or natgrad's own for the target, which must be installed but for the CPU's.
fn plugin_for(target: Target) -> Result<Plugin, Failure> {
    if let Some(path) = assets::chosen_plugin().map_err(asset_failure)? {
        return load(&path);
    }
    let name = PluginName::of(target).unwrap_or(PluginName::Cpu);
    if name == PluginName::Cpu {
        return open_plugin();
    }
    match assets::look(name.asset())? {
        Some(path) => load(&path),
        None => Err(Failure::Failed(anyhow::anyhow!(
            "the plugin for this target is not installed; install it with: natgrad plugin install {}",
            name.name()
        ))),
    }
}

/// An error of a device, with what can be done.
fn advised(error: DeviceError, target: Target) -> Failure {
    let plugin = PluginName::of(target).map_or("cpu", PluginName::name);
    let advice = match &error {
        DeviceError::Topology { .. } if is_chosen() => {
            format!(
                "unset {PLUGIN_VARIABLE} to use the plugin that `natgrad plugin install {plugin}` fetches"
            )
        }
        DeviceError::Topology { .. } => {
            "`natgrad inspect --target list` prints the devices there are files for".to_owned()
        }
        DeviceError::Pjrt(error) => match Refusal::of(error) {
            Refusal::Tools => format!(
                "XLA looks for ptxas, nvlink and libdevice in nvidia/cu13 beside the plugin's folder jax_plugins: \
                 `natgrad plugin install {plugin}` puts them there"
            ),
            Refusal::Memory => {
                "take fewer rows a micro-batch (`batch`) and more micro-batches (`step.accumulation`), \
                                or a device with more memory"
                    .to_owned()
            }
            Refusal::Unsupported => {
                "this target lacks an operation of the program; where it is that of the noise, \
                                     set step.noise=fast"
                    .to_owned()
            }
            Refusal::Other => return Failure::Failed(anyhow::anyhow!("{error}")),
        },
        DeviceError::Lower(_) | DeviceError::NoTopology { .. } | DeviceError::Unsupplied { .. } => {
            return Failure::Failed(error.into());
        }
    };
    Failure::Failed(anyhow::anyhow!("{error}\n{advice}"))
}

/// An error of starting the runtime of a platform that this machine may lack.
fn no_device(error: pjrt::Error, target: Target) -> Failure {
    let advice = match target {
        Target::Gpu => {
            "`nvidia-smi` shows whether this machine's driver sees a GPU; to compile for one that is not \
                        here, name its model, such as cuda:h100"
        }
        Target::Tpu => "to compile for a TPU that is not here, name its model, such as tpu:v5e",
        Target::Cpu | Target::Other => return Failure::Failed(error.into()),
    };
    Failure::Failed(anyhow::anyhow!("no device of the target can be used: {error}\n{advice}"))
}

/// Google's number among the vendors of PCI devices.
const GOOGLE: &str = "0x1ae0";

/// An error where Linux lists this machine's devices and none is Google's: libtpu would ask Google Cloud's metadata
/// server for a TPU, and wait for minutes.
fn check_for_tpu() -> Result<(), Failure> {
    let Ok(devices) = std::fs::read_dir("/sys/bus/pci/devices") else { return Ok(()) };
    let vendors =
        devices.flatten().filter_map(|device| std::fs::read_to_string(device.path().join("vendor")).ok());
    if vendors.into_iter().any(|vendor| vendor.trim() == GOOGLE) {
        return Ok(());
    }
    Err(Failure::Failed(anyhow::anyhow!(
        "no TPU is attached to this machine; to compile for one that is not here, name its model, such as tpu:v5e"
    )))
}

fn cache() -> Result<Cache, Failure> {
    Ok(Cache::open(assets::cache_root()?.join("executables")))
}

fn asset_failure(error: assets::Error) -> Failure {
    match error {
        assets::Error::Override { .. } => Failure::usage(error),
        other => Failure::Failed(other.into()),
    }
}

fn load(path: &std::path::Path) -> Result<Plugin, Failure> {
    Plugin::load(&TrustedLibrary::at(path)).map_err(|error| {
        if is_chosen() {
            let advice = "set it to the file of a PJRT plugin, or unset it to use natgrad's own CPU plugin";
            Failure::usage(anyhow::anyhow!("{PLUGIN_VARIABLE}: {error}; {advice}"))
        } else {
            Failure::Failed(error.into())
        }
    })
}

/// A client of the plugin. Whether it is a CPU's is only known from the client itself, so one that shows several
/// devices by default is opened again with one.
pub(super) fn open_client(plugin: &Plugin, target: Option<Target>) -> Result<Client, Failure> {
    let wrong = |error: pjrt::Error| {
        let advice = "if this machine lacks the hardware or drivers that it needs, unset the variable to run on \
                      the CPU";
        match (is_chosen(), target) {
            (true, _) => Failure::Failed(anyhow::anyhow!("{PLUGIN_VARIABLE}: {error}; {advice}")),
            (false, Some(target)) => no_device(error, target),
            (false, None) => Failure::Failed(error.into()),
        }
    };
    let client = Client::create(plugin, &[]).map_err(wrong)?;
    let options = Target::of(&client).client_options();
    if options.is_empty() || client.devices().len() == 1 {
        Ok(client)
    } else {
        Client::create(plugin, &options).map_err(wrong)
    }
}

/// Whether the user chose the plugin.
fn is_chosen() -> bool {
    std::env::var_os(PLUGIN_VARIABLE).is_some_and(|value| !value.is_empty())
}
