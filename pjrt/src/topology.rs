//! Devices that need not be here, and compiling for them.

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use super::artifact::{Artifact, Owner};
use super::error::{self, Identity, Result};
use super::last_word::doing;
use super::named;
use super::options::CompileOptions;
use super::plugin::{Plugin, Session};
use super::sys::{self, Args};
use super::types::OptionValue;

/// A description of devices of a plugin's platform, which need not be attached to this machine. Cheap to clone.
#[derive(Clone)]
pub struct Topology {
    inner: Arc<Inner>,
}

/// The description itself, shared by everything compiled for it.
pub(super) struct Inner {
    session: Session,
    raw: NonNull<sys::TopologyDescription>,
    platform_name: String,
    platform_version: String,
    devices: Vec<TopologyDevice>,
}

// SAFETY: a topology description does not change once made, and every function here only reads it.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

/// A device that a topology describes.
#[derive(Clone, Debug, PartialEq)]
pub struct TopologyDevice {
    /// Its number, unique in the topology.
    pub id: i32,
    /// Its vendor's name, such as `TPU v5 lite`.
    pub kind: String,
    /// What the plugin says of it, such as `coords` on TPUs.
    pub attributes: Vec<(String, OptionValue)>,
}

impl Inner {
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    fn text(&self, function: sys::Function<sys::TopologyStringArgs>, call: &'static str) -> Result<String> {
        let mut args = sys::TopologyStringArgs::new();
        args.topology = self.raw.as_ptr();
        // SAFETY: the topology is alive.
        unsafe { self.session.invoke(function, call, &mut args) }?;
        // SAFETY: the text is the topology's.
        self.session.told(unsafe { error::text(args.text, args.text_size) })
    }

    fn read_devices(&self) -> Result<Vec<TopologyDevice>> {
        let call = "PJRT_TopologyDescription_GetDeviceDescriptions";
        let mut args = sys::TopologyDescriptionsArgs::new();
        args.topology = self.raw.as_ptr();
        // SAFETY: the topology is alive.
        unsafe { self.session.invoke(self.session.api().topology_descriptions, call, &mut args) }?;
        // SAFETY: the list is the topology's.
        let handles = self.session.told(unsafe { error::slice(args.descriptions, args.num_descriptions) })?;
        handles.iter().map(|&handle| self.read_device(self.session.given(handle, call)?)).collect()
    }

    fn read_device(&self, description: NonNull<sys::DeviceDescription>) -> Result<TopologyDevice> {
        let (session, api) = (&self.session, self.session.api());
        let mut id = sys::DescriptionIdArgs::new();
        let mut kind = sys::DescriptionStringArgs::new();
        let mut attributes = sys::DescriptionAttributesArgs::new();
        id.description = description.as_ptr();
        kind.description = description.as_ptr();
        attributes.description = description.as_ptr();
        // SAFETY: the description is the topology's, and so are the text and the list that it gives.
        unsafe {
            session.invoke(api.description_id, "PJRT_DeviceDescription_Id", &mut id)?;
            session.invoke(api.description_kind, "PJRT_DeviceDescription_Kind", &mut kind)?;
            let call = "PJRT_DeviceDescription_Attributes";
            session.invoke(api.description_attributes, call, &mut attributes)?;
            Ok(TopologyDevice {
                id: id.id,
                kind: session.told(error::text(kind.text, kind.text_size))?,
                attributes: session.told(named::copy(attributes.attributes, attributes.num_attributes))?,
            })
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut args = sys::TopologyDestroyArgs::new();
        args.topology = self.raw.as_ptr();
        let call = "PJRT_TopologyDescription_Destroy";
        // SAFETY: nothing compiled for the topology is left, as all of it holds this Inner.
        let destroyed = unsafe { self.session.invoke(self.session.api().topology_destroy, call, &mut args) };
        if let Err(error) = destroyed {
            tracing::warn!("{error}");
        }
    }
}

impl Topology {
    /// Describes devices by the platform's own name and options. The CPU plugins have no topologies.
    ///
    /// # Errors
    /// The plugin has no topologies, or not this one, or refuses an option.
    pub fn create(plugin: &Plugin, name: &str, options: &[(String, OptionValue)]) -> Result<Topology> {
        let options = named::lend(options);
        let mut args = sys::TopologyCreateArgs::new();
        args.name = name.as_ptr().cast();
        args.name_size = name.len();
        args.options = options.as_ptr();
        args.num_options = options.len();
        let call = "PJRT_TopologyDescription_Create";
        let session = Session::new(plugin);
        let api = session.api();
        // SAFETY: name and options borrow from this function's arguments, which outlive the call.
        unsafe { session.invoke(api.topology_create, call, &mut args) }?;
        let raw = session.given(args.topology, call)?;
        let (platform_name, platform_version) = (String::new(), String::new());
        let mut inner = Inner { session, raw, platform_name, platform_version, devices: Vec::new() };
        let call = "PJRT_TopologyDescription_PlatformName";
        inner.platform_name = inner.text(api.topology_platform_name, call)?;
        let call = "PJRT_TopologyDescription_PlatformVersion";
        inner.platform_version = inner.text(api.topology_platform_version, call)?;
        inner.session = inner.session.clone().on(&inner.platform_name, &inner.platform_version);
        inner.devices = inner.read_devices()?;
        Ok(Topology { inner: Arc::new(inner) })
    }

    /// The plugin whose platform the devices are of.
    pub fn plugin(&self) -> &Plugin {
        &self.inner.session.plugin
    }

    /// Who answers errors: the plugin's path and all its versions.
    pub fn identity(&self) -> &Identity {
        &self.inner.session.identity
    }

    /// The platform, such as `cuda` or `tpu`.
    pub fn platform_name(&self) -> &str {
        &self.inner.platform_name
    }

    /// The platform's own version, a free text.
    pub fn platform_version(&self) -> &str {
        &self.inner.platform_version
    }

    /// The devices that it describes.
    pub fn devices(&self) -> &[TopologyDevice] {
        &self.inner.devices
    }

    /// Compiles a StableHLO module, as text or as bytecode, for these devices. Nothing of it runs here.
    ///
    /// # Errors
    /// XLA refuses the program or an option, or lacks a tool it needs.
    pub fn compile(&self, stablehlo: &[u8], options: &CompileOptions) -> Result<Artifact> {
        let session = &self.inner.session;
        if let Some((name, _)) = options.backend_options().next() {
            let reason = format!("{name}: options of a backend need a client, which tells the others");
            return Err(session.unfit(reason));
        }
        let _word = doing(session.compiling(stablehlo, options));
        let (in_words, options) = (options.in_words(), options.to_bytes());
        let program = sys::Program::stablehlo(stablehlo);
        let mut args = sys::CompileArgs::new();
        args.topology = self.inner.raw.as_ptr();
        args.program = &program;
        args.compile_options = options.as_ptr().cast();
        args.compile_options_size = options.len();
        let call = "PJRT_Compile";
        // SAFETY: topology, program and options outlive the call, and compile only reads them; it works without a
        // client, which is left null.
        unsafe { session.invoke(session.api().compile, call, &mut args) }?;
        Artifact::new(Owner::Topology(self.inner.clone()), session.given(args.executable, call)?, in_words)
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topology")
            .field("identity", self.identity())
            .field("devices", &self.devices())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_plugin_without_the_topology_says_so() {
        let error = Topology::create(&testing::plugin(), "no-such-topology", &[]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("PJRT_TopologyDescription_Create"), "{text}");
        assert!(text.contains(testing::plugin().path().to_str().unwrap()), "{text}");
    }
}
