//! The device that commands run on.

use super::Failure;
use crate::assets::{self, PLUGIN_VARIABLE};
use crate::compile::{Cache, Device, Target};
use crate::pjrt::{self, Client, Plugin};

/// Opens the plugin, fetching it if need be, and the cache of executables.
pub(super) fn open() -> Result<Device, Failure> {
    let plugin = open_plugin()?;
    let client = open_client(&plugin)?;
    let cache = Cache::open(assets::cache_root()?.join("executables"));
    let options = Target::of(&client).options();
    Ok(Device::new(client, cache, options))
}

/// Opens the plugin that the user chose, or the CPU plugin, fetching it if need be.
pub(super) fn open_plugin() -> Result<Plugin, Failure> {
    let path = assets::cpu_plugin().map_err(|error| match error {
        assets::Error::Override { .. } => Failure::usage(error),
        other => Failure::Failed(other.into()),
    })?;
    Plugin::load(path).map_err(|error| {
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
pub(super) fn open_client(plugin: &Plugin) -> Result<Client, Failure> {
    let wrong = |error: pjrt::Error| {
        let advice = "if this machine lacks the hardware or drivers that it needs, unset the variable to run on \
                      the CPU";
        match is_chosen() {
            true => Failure::Failed(anyhow::anyhow!("{PLUGIN_VARIABLE}: {error}; {advice}")),
            false => Failure::Failed(error.into()),
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
