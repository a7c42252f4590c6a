//! The device that commands run on.

use super::Failure;
use crate::assets;
use crate::compile::{Cache, Device, Target};
use crate::pjrt::{Client, Plugin};

/// Opens the plugin, fetching it if need be, and the cache of executables.
pub(super) fn open() -> Result<Device, Failure> {
    let plugin = Plugin::load(assets::cpu_plugin()?)?;
    let client = open_client(&plugin)?;
    let cache = Cache::open(assets::cache_root()?.join("executables"));
    let options = Target::of(&client).options();
    Ok(Device::new(client, cache, options))
}

/// A client of the plugin. Whether it is a CPU's is only known from the client itself, so one that shows several
/// devices by default is opened again with one.
pub(super) fn open_client(plugin: &Plugin) -> Result<Client, Failure> {
    let client = Client::create(plugin, &[])?;
    let options = Target::of(&client).client_options();
    if options.is_empty() || client.devices().len() == 1 {
        Ok(client)
    } else {
        Ok(Client::create(plugin, &options)?)
    }
}
