//! Opening devices: which plugin, its runtime, and which of its devices programs run on.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{
    AheadDevice, Cache, Compiler, Device, DeviceError, DeviceOptions, OpenError, Target, Wanted, cuda,
};
use crate::assets::{self, Asset, PLUGIN_VARIABLE};
use crate::lower::Loops;
use crate::phase::{self, Phase};
use crate::pjrt::{self, Client, Plugin, TrustedLibrary, WeakClient};

/// Devices that are open at the same time share their plugin's runtime, so that buffers of one run in programs of the
/// other. Executables are cached in natgrad's cache folder.
impl Device {
    /// This machine's processor, as one device. natgrad's own plugin is fetched if it is not here yet;
    /// `NATGRAD_PJRT_PLUGIN` may name another file.
    ///
    /// ```
    /// use natgrad::compile::Device;
    /// use natgrad_ir::{DType, TensorType};
    ///
    /// let device = Device::cpu()?;
    /// let x = device.upload_numbers(&TensorType::new(DType::F32, [2]), &[1.5, 4.0])?;
    /// assert_eq!(x.to_host()?, [1.5_f32, 4.0].map(f32::to_ne_bytes).as_flattened());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn cpu() -> Result<Device, OpenError> {
        attached(Some(Target::Cpu), 0, &DeviceOptions::default())
    }

    /// A GPU of this machine, by its index among those that the process can use (`CUDA_VISIBLE_DEVICES` says which). The
    /// plugin must be installed, once, by `natgrad plugin install cuda13`; `NATGRAD_PJRT_PLUGIN` may name another file.
    ///
    /// ```no_run
    /// use natgrad::compile::Device;
    ///
    /// let device = Device::cuda(0)?;
    /// println!("{}", device.kind()); // such as NVIDIA H100 80GB HBM3
    /// # Ok::<(), natgrad::compile::OpenError>(())
    /// ```
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn cuda(index: usize) -> Result<Device, OpenError> {
        attached(Some(Target::Gpu), index, &DeviceOptions::default())
    }

    /// A TPU of this machine, by its index among those that the process can use. The plugin must be installed, once, by
    /// `natgrad plugin install tpu`; `NATGRAD_PJRT_PLUGIN` may name another file.
    ///
    /// ```no_run
    /// let device = natgrad::compile::Device::tpu(0)?;
    /// # Ok::<(), natgrad::compile::OpenError>(())
    /// ```
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn tpu(index: usize) -> Result<Device, OpenError> {
        attached(Some(Target::Tpu), index, &DeviceOptions::default())
    }

    /// The first device of the plugin that `NATGRAD_PJRT_PLUGIN` names, whatever its platform; without it, as
    /// [`Device::cpu`].
    ///
    /// ```
    /// let device = natgrad::compile::Device::from_env()?;
    /// println!("{:?}", device.target());
    /// # Ok::<(), natgrad::compile::OpenError>(())
    /// ```
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn from_env() -> Result<Device, OpenError> {
        attached(None, 0, &DeviceOptions::default())
    }

    /// The first device of a PJRT plugin, by the path of its file. The plugin's code runs in this process: open a file
    /// that you trust.
    ///
    /// ```no_run
    /// let device = natgrad::compile::Device::open("/opt/xla/pjrt_c_api_cpu_plugin.so")?;
    /// # Ok::<(), natgrad::compile::OpenError>(())
    /// ```
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Device, OpenError> {
        pjrt::quiet_log();
        let plugin = Plugin::load(&TrustedLibrary::at(path.as_ref())).map_err(OpenError::Plugin)?;
        let client = share(&plugin, &DeviceOptions::default()).map_err(OpenError::Runtime)?;
        // Only natgrad's own plugin is known to take merged loops.
        Device::at(client, 0, cache()?, Loops::Chosen)
    }
}

impl Compiler {
    /// What compiles for a device: one of this machine, or a model of one that need not be here. Without a wish, for
    /// [`Device::from_env`].
    ///
    /// ```no_run
    /// use natgrad::compile::Compiler;
    ///
    /// let compiler = Compiler::open(Some("cuda:h100".parse()?))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(wanted: Option<Wanted>) -> Result<Compiler, OpenError> {
        let Some(Wanted::Model(model)) = wanted else {
            return Ok(Compiler::Attached(attached_as(wanted, &DeviceOptions::default())?));
        };
        let target = model.target();
        Wanted::Model(model).prepare()?;
        let device =
            AheadDevice::open(model, &plugin_for(target)?, cache()?).map_err(|error| match error {
                DeviceError::Topology { .. } if is_chosen() => {
                    OpenError::ChosenLacksModel { error: Box::new(error), plugin: own_plugin(target).1 }
                }
                DeviceError::Topology { .. } => OpenError::LacksModel(Box::new(error)),
                other => OpenError::Model(Box::new(other)),
            })?;
        Ok(Compiler::Ahead(device))
    }
}

impl Wanted {
    /// Sets what the runtime of a device that need not be here reads from the environment. [`Compiler::open`] does so
    /// itself; a program that opens several calls this for each before the first, as opening one starts threads.
    ///
    /// # Errors
    /// Other threads run already, and a variable that is needed is not set.
    pub fn prepare(self) -> Result<(), pjrt::NotAlone> {
        match self {
            Wanted::Model(model) => pjrt::default_environment(model.target().ahead_environment()),
            Wanted::Attached(..) => Ok(()),
        }
    }
}

/// The loops that programs for the CPU are told with: of CPU plugins only natgrad's own is known to take merged ones.
pub(crate) fn loops() -> Loops {
    if is_chosen() { Loops::Chosen } else { Loops::Merged }
}

/// The least of natgrad's own plugin for a target that programs are compiled with, and the words for `natgrad plugin install`.
pub(crate) fn own_plugin(target: Target) -> (Asset, &'static str) {
    match target {
        Target::Gpu => (Asset::CudaCompiler, "cuda13 --compile-only"),
        Target::Tpu => (Asset::TpuPlugin, "tpu"),
        Target::Cpu | Target::Other => (Asset::CpuPlugin, "cpu"),
    }
}

/// The device that is wanted. Of several GPUs no other is touched.
pub(crate) fn attached_as(wanted: Option<Wanted>, options: &DeviceOptions) -> Result<Device, OpenError> {
    match wanted {
        Some(Wanted::Attached(Target::Gpu, index)) if index > 0 => {
            let only = u32::try_from(index).ok().map(|number| vec![number]);
            let options = DeviceOptions { visible_devices: only, ..options.clone() };
            attached(Some(Target::Gpu), 0, &options)
        }
        Some(Wanted::Attached(target, index)) => attached(Some(target), index, options),
        Some(Wanted::Model(model)) => attached(Some(model.target()), 0, options),
        None => attached(None, 0, options),
    }
}

/// An error where it is known, before a plugin is loaded, that the device which is wanted cannot be used.
pub(crate) fn look_for(wanted: Option<Wanted>) -> Result<(), OpenError> {
    match wanted.map(Wanted::target) {
        Some(Target::Gpu) => gpu_plugin().map(drop),
        Some(Target::Tpu) if !is_chosen() => check_for_tpu(),
        Some(Target::Tpu | Target::Cpu | Target::Other) => Ok(()),
        None => assets::chosen_plugin()?.map_or(Ok(()), |path| check_cuda(&path)),
    }
}

/// Whether the plugin of the device that is wanted is at hand, so that opening it fetches nothing.
pub(crate) fn is_at_hand(wanted: Option<Wanted>) -> bool {
    match wanted.map_or(Target::Cpu, Wanted::target) {
        _ if is_chosen() => true,
        // Others are never fetched.
        Target::Gpu | Target::Tpu => true,
        Target::Cpu | Target::Other => assets::look(Asset::CpuPlugin).is_ok_and(|path| path.is_some()),
    }
}

/// A device of the platform that is wanted; without a wish, of the plugin that the user chose, else the CPU.
fn attached(wanted: Option<Target>, index: usize, options: &DeviceOptions) -> Result<Device, OpenError> {
    look_for(wanted.map(|target| Wanted::Attached(target, index)))?;
    let plugin = match wanted {
        Some(Target::Gpu) => load(&gpu_plugin()?)?,
        Some(target) => plugin_for(target)?,
        None => default_plugin()?,
    };
    let client = runtime(&plugin, wanted, options)?;
    if wanted.is_some_and(|target| target != Target::of(&client)) {
        return Err(OpenError::OtherPlatform { found: client.platform_name().to_owned() });
    }
    Device::at(client, index, cache()?, loops())
}

/// The plugin that the user chose, or natgrad's own for the CPU, which is fetched if need be.
pub(crate) fn default_plugin() -> Result<Plugin, OpenError> {
    load(&assets::cpu_plugin()?)
}

/// The plugin for GPUs, with all that programs run with, which is checked.
fn gpu_plugin() -> Result<PathBuf, OpenError> {
    let known = match assets::chosen_plugin()? {
        Some(path) => Some(path),
        None => cuda_plugin()?,
    };
    match known {
        Some(path) => {
            check_cuda(&path)?;
            Ok(path)
        }
        None => {
            cuda::driver()?;
            Err(match assets::look(Asset::CudaCompiler)? {
                Some(_) => OpenError::CompileOnly,
                None => OpenError::NotInstalled { plugin: "cuda13" },
            })
        }
    }
}

/// [`cuda::check`], with the variable's name where the user chose the plugin by it.
fn check_cuda(plugin: &Path) -> Result<(), OpenError> {
    let wrong = if is_chosen() { OpenError::ChosenCuda } else { OpenError::Cuda };
    cuda::check(plugin).map_err(wrong)
}

/// The plugin for NVIDIA GPUs with all that programs run with: a Python environment's that the user chose, or natgrad's
/// own; nothing where neither is there whole.
pub(crate) fn cuda_plugin() -> Result<Option<PathBuf>, OpenError> {
    match assets::linked(Asset::CudaPlugin)? {
        Some(path) => Ok(Some(path)),
        None => Ok(assets::look(Asset::CudaPlugin)?),
    }
}

/// The plugin that the user chose, or natgrad's own for the target, which must be installed but for the CPU's.
fn plugin_for(target: Target) -> Result<Plugin, OpenError> {
    if let Some(path) = assets::chosen_plugin()? {
        return load(&path);
    }
    if target == Target::Gpu
        && let Some(path) = assets::linked(Asset::CudaPlugin)?
    {
        return load(&path);
    }
    match own_plugin(target) {
        (Asset::CpuPlugin, _) => default_plugin(),
        (asset, plugin) => load(&assets::look(asset)?.ok_or(OpenError::NotInstalled { plugin })?),
    }
}

fn load(path: &Path) -> Result<Plugin, OpenError> {
    // XLA reads the level of its log when the plugin is opened.
    pjrt::quiet_log();
    let wrong = if is_chosen() { OpenError::ChosenPlugin } else { OpenError::Plugin };
    let _opening = opening(path);
    let plugin = Plugin::load(&TrustedLibrary::at(path)).map_err(wrong)?;
    tracing::info!("plugin {}: PJRT's C interface {}", path.display(), plugin.api_version());
    Ok(plugin)
}

/// The runtime of a plugin of those above.
pub(crate) fn runtime(
    plugin: &Plugin,
    wanted: Option<Target>,
    options: &DeviceOptions,
) -> Result<Client, OpenError> {
    share(plugin, options).map_err(|error| match wanted {
        _ if is_chosen() => OpenError::ChosenRuntime(error),
        Some(Target::Gpu) => OpenError::NoGpu(error),
        Some(Target::Tpu) => OpenError::NoTpu(error),
        Some(Target::Cpu | Target::Other) | None => OpenError::Runtime(error),
    })
}

fn opening(plugin: &Path) -> phase::Running {
    let name = plugin.file_name().unwrap_or(plugin.as_os_str());
    phase::begin(Phase::Opening { plugin: name.to_string_lossy().into_owned() })
}

/// The runtimes in use, by the paths of their plugins.
static CLIENTS: Mutex<Vec<(PathBuf, WeakClient)>> = Mutex::new(Vec::new());

/// The plugin's runtime, which is started with these options unless it is in use: a second one would claim all memory of the GPUs once
/// more, and for TPUs there can be but one.
pub(super) fn share(plugin: &Plugin, options: &DeviceOptions) -> pjrt::Result<Client> {
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = clients.iter().find(|(path, _)| path == plugin.path());
    if let Some(client) = known.and_then(|(_, client)| client.upgrade()) {
        return Ok(client);
    }
    let _opening = opening(plugin.path());
    let client = start(plugin, options)?;
    let kinds: Vec<&str> = client.devices().iter().map(|device| device.kind.as_str()).collect();
    tracing::info!("platform {} {}: {}", client.platform_name(), client.platform_version(), kinds.join(", "));
    clients.retain(|(path, _)| path != plugin.path());
    clients.push((plugin.path().to_owned(), client.downgrade()));
    Ok(client)
}

/// Starts the plugin's runtime. Whether it is a CPU's is only known from the client itself, so one that shows several
/// devices by default is started again with one.
fn start(plugin: &Plugin, options: &DeviceOptions) -> pjrt::Result<Client> {
    if cuda::major(plugin.path()).is_some() {
        return Client::create(plugin, &options.of_gpu_client());
    }
    let client = Client::create(plugin, &[])?;
    let options = Target::of(&client).client_options();
    if options.is_empty() || client.devices().len() == 1 {
        return Ok(client);
    }
    Client::create(plugin, &options)
}

/// Google's number among the vendors of PCI devices.
const GOOGLE: &str = "0x1ae0";

/// An error where Linux lists this machine's devices and none is Google's: libtpu would ask Google Cloud's metadata
/// server for a TPU, and wait for minutes.
fn check_for_tpu() -> Result<(), OpenError> {
    let Ok(devices) = std::fs::read_dir("/sys/bus/pci/devices") else { return Ok(()) };
    let mut vendors =
        devices.flatten().filter_map(|device| std::fs::read_to_string(device.path().join("vendor")).ok());
    if vendors.any(|vendor| vendor.trim() == GOOGLE) { Ok(()) } else { Err(OpenError::NoTpuAttached) }
}

/// The variable that says how many bytes of executables are kept at most.
pub(crate) const MAX_VARIABLE: &str = "NATGRAD_CACHE_MAX";

/// natgrad's cache of executables, with the limit that the user set.
pub(crate) fn cache() -> Result<Cache, OpenError> {
    let cache = Cache::open(assets::cache_root()?.join("executables"));
    match std::env::var_os(MAX_VARIABLE).filter(|value| !value.is_empty()) {
        None => Ok(cache),
        Some(value) => Ok(cache.with_max(value.to_string_lossy().parse().map_err(OpenError::CacheMax)?)),
    }
}

/// Where it is kept what devices were measured to do at best.
pub(crate) fn measured() -> Result<PathBuf, OpenError> {
    Ok(assets::cache_root()?.join("devices"))
}

/// Whether the user chose the plugin.
pub(crate) fn is_chosen() -> bool {
    std::env::var_os(PLUGIN_VARIABLE).is_some_and(|value| !value.is_empty())
}
