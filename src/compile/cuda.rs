//! What programs for NVIDIA GPUs run with, beside XLA's plugin: the driver, and the libraries of CUDA and cuDNN. All of it is
//! looked for before a client is made, as XLA ends the process where it misses cuBLAS.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::pjrt::{self, CudaDriver, CudaLibrary, Gpu, TrustedLibrary};

/// The CUDA that natgrad's own plugin is built for.
pub(crate) const OWN_MAJOR: u32 = 13;

/// The architectures that CUDA 13 has code for: Turing (7.5) and newer; CUDA 12's begin with Maxwell (5.0).
const OLDEST: [(u32, (u32, u32)); 2] = [(13, (7, 5)), (12, (5, 0))];

/// Why no program can run on this machine's GPUs.
#[derive(Debug, thiserror::Error)]
pub enum CudaError {
    /// A library of the driver is missing.
    #[error(
        "this machine has no NVIDIA driver that can be used: {0}. Install the driver for its GPU, and in a container run it \
         with the GPUs (`docker run --gpus all`); {AHEAD}"
    )]
    NoDriver(String),
    /// The driver runs older CUDA only.
    #[error(
        "NVIDIA's driver is too old: it runs CUDA {}.{} and older, and the plugin {} needs {needed}.0; install a newer \
         driver, or use a plugin for CUDA {}, by NATGRAD_PJRT_PLUGIN", has.0, has.1, plugin.display(), has.0
    )]
    OldDriver {
        /// The newest CUDA that it runs.
        has: (u32, u32),
        /// The CUDA of the plugin.
        needed: u32,
        /// The plugin.
        plugin: PathBuf,
    },
    /// The driver shows no GPU.
    #[error(
        "NVIDIA's driver shows no GPU to this process: {0}; `nvidia-smi` lists those of the machine; {AHEAD}"
    )]
    NoGpu(String),
    /// Every GPU is of an architecture that the CUDA has no code for.
    #[error(
        "{} has compute capability {}.{}, and CUDA {cuda} runs on {}.{} and newer only: use a plugin for an older CUDA, by \
         NATGRAD_PJRT_PLUGIN, or another GPU",
        gpu.name, gpu.capability.0, gpu.capability.1, oldest.0, oldest.1
    )]
    OldGpu {
        /// The newest GPU.
        gpu: Gpu,
        /// The CUDA of the plugin.
        cuda: u32,
        /// Where its architectures begin.
        oldest: (u32, u32),
    },
    /// Libraries are missing.
    #[error(
        "of the libraries that programs for GPUs run with these cannot be opened:\n{}{remedy}",
        indented(missing)
    )]
    Libraries {
        /// Each with the reason.
        missing: Vec<String>,
        /// What to do.
        remedy: String,
    },
}

/// What can be done without a GPU.
const AHEAD: &str = "to compile for a GPU that is not here, name its model, such as cuda:h100";

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

/// A library that programs run with.
#[derive(Debug)]
pub(crate) struct Library {
    /// Its file name, by which XLA opens it.
    pub(crate) name: String,
    /// Where it was found beside the plugin, or its name alone, which the dynamic linker looks for.
    pub(crate) path: PathBuf,
    /// Whether it can be opened: if not, why.
    pub(crate) opened: Result<(), String>,
}

/// Checks that the plugin's programs can run here, and opens the libraries, so that XLA finds these and no others. A plugin
/// that is not for CUDA is not looked at.
///
/// # Errors
/// What is missing, or does not fit.
pub(crate) fn check(plugin: &Path) -> Result<(), CudaError> {
    let Some(major) = major(plugin) else { return Ok(()) };
    usable(&driver()?, major, plugin)?;
    complete(plugin)
}

/// Opens the libraries that the plugin's programs run with. One that waits for the driver only is left to
/// [`check`], so this is of use where there is none.
///
/// # Errors
/// [`CudaError::Libraries`].
pub(crate) fn complete(plugin: &Path) -> Result<(), CudaError> {
    let Some(major) = major(plugin) else { return Ok(()) };
    let missing = libraries(plugin, major).into_iter().filter_map(|library| library.opened.err());
    match missing.filter(|error| !waits_for_driver(error)).collect::<Vec<_>>() {
        missing if missing.is_empty() => Ok(()),
        missing if missing.iter().any(|error| error.contains("libz.so.1")) => {
            let remedy =
                "cuDNN needs the system's zlib: install it, such as with `apt-get install zlib1g`".to_owned();
            Err(CudaError::Libraries { missing, remedy })
        }
        missing => Err(CudaError::Libraries { missing, remedy: remedy(major) }),
    }
}

/// What compiled code depends on beside the plugin: the versions of driver, cuBLAS and cuDNN. Empty for a plugin that is not
/// for CUDA. They are asked for once a process.
pub(super) fn versions(plugin: &Path) -> String {
    static KNOWN: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());
    let Some(major) = major(plugin) else { return String::new() };
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(plugin.to_owned()).or_insert_with(|| asked(plugin, major)).clone()
}

fn asked(plugin: &Path, major: u32) -> String {
    let libraries = libraries(plugin, major);
    let version = |which: CudaLibrary, name: &str| {
        let library =
            libraries.iter().find(|library| library.name.starts_with(name) && library.opened.is_ok())?;
        which.version(&TrustedLibrary::at(&library.path)).ok()
    };
    let words =
        |version: Option<u64>| version.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
    let driver = match CudaDriver::open() {
        Ok(CudaDriver { cuda: (major, minor), gpus: _ }) => format!("{major}.{minor}"),
        Err(_) => "none".to_owned(),
    };
    // Linux tells the driver's own version where its module is loaded.
    let module = std::fs::read_to_string("/sys/module/nvidia/version").unwrap_or_default();
    format!(
        "driver {} for CUDA {driver}, cuBLAS {}, cuDNN {} of CUDA {}",
        module.trim(),
        words(version(CudaLibrary::CublasLt, "libcublasLt")),
        words(version(CudaLibrary::Cudnn, "libcudnn.so")),
        words(version(CudaLibrary::CudnnRuntime, "libcudnn.so")),
    )
}

/// Whether the dynamic linker misses the driver's library, which another library names.
fn waits_for_driver(error: &str) -> bool {
    error.contains("libcuda.so.1: cannot open shared object file")
}

/// The driver of this machine.
///
/// # Errors
/// [`CudaError::NoDriver`].
pub(crate) fn driver() -> Result<CudaDriver, CudaError> {
    CudaDriver::open().map_err(CudaError::NoDriver)
}

/// Whether the driver and a GPU of it run programs of this CUDA.
///
/// # Errors
/// The driver or the GPUs are too old, or there is no GPU.
pub(crate) fn usable(driver: &CudaDriver, major: u32, plugin: &Path) -> Result<(), CudaError> {
    if driver.cuda.0 < major {
        return Err(CudaError::OldDriver { has: driver.cuda, needed: major, plugin: plugin.to_owned() });
    }
    let gpus = driver.gpus.as_ref().map_err(|error| CudaError::NoGpu(error.clone()))?;
    let Some(newest) = gpus.iter().max_by_key(|gpu| gpu.capability) else {
        let visible = std::env::var("CUDA_VISIBLE_DEVICES");
        let found = visible
            .map_or_else(|_| "there is none".to_owned(), |it| format!("CUDA_VISIBLE_DEVICES is {it:?}"));
        return Err(CudaError::NoGpu(found));
    };
    match OLDEST.into_iter().find(|(cuda, _)| *cuda == major) {
        Some((cuda, oldest)) if newest.capability < oldest => {
            Err(CudaError::OldGpu { gpu: newest.clone(), cuda, oldest })
        }
        _ => Ok(()),
    }
}

fn remedy(major: u32) -> String {
    let from = "natgrad plugin install cuda13 --from-python";
    if major == OWN_MAJOR {
        format!(
            "`natgrad plugin install cuda13` fetches all of them, and `{from}` uses those of a Python environment"
        )
    } else {
        format!("install CUDA {major}'s libraries and cuDNN 9 where the dynamic linker finds them")
    }
}

/// The major version of CUDA that a plugin is for, by the names of its file and folder, as JAX's packages have them.
pub(crate) fn major(plugin: &Path) -> Option<u32> {
    let folder = plugin.parent()?.file_name()?.to_str()?;
    let is_cuda = plugin.file_name()?.to_str()?.contains("cuda");
    let digits = folder.strip_prefix("xla_cuda").filter(|_| is_cuda)?;
    digits.parse().ok()
}

/// The file names of the libraries, in an order in which each finds those that it needs. Those of cuDNN that are needed for
/// products, convolutions and attention; newer cuDNN has engines that older has not.
fn names(major: u32) -> Vec<(String, Need)> {
    let cuda = ["cudart", "nvJitLink", "nvrtc", "cublasLt", "cublas"];
    let cudnn = ["", "_graph", "_ops", "_heuristic", "_engines_precompiled", "_engines_runtime_compiled"];
    let cuda = cuda.map(|name| (format!("lib{name}.so.{major}"), Need::Always));
    let cudnn = cudnn.map(|part| (format!("libcudnn{part}.so.9"), Need::Always));
    let newer = ("libcudnn_engines_tensor_ir.so.9".to_owned(), Need::IfThere);
    cuda.into_iter().chain(cudnn).chain([newer]).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Always,
    /// Opened if it is beside the plugin.
    IfThere,
}

/// The libraries that a plugin of this CUDA runs with, each opened.
pub(crate) fn libraries(plugin: &Path, major: u32) -> Vec<Library> {
    let folders = folders(plugin, major);
    let look = |(name, need): (String, Need)| {
        let beside = folders.iter().map(|folder| folder.join(&name)).find(|path| path.exists());
        let path = match (beside, need) {
            (Some(path), _) => path,
            (None, Need::Always) => PathBuf::from(&name),
            (None, Need::IfThere) => return None,
        };
        let opened = pjrt::open_library(&TrustedLibrary::at(&path));
        Some(Library { name, path, opened })
    };
    names(major).into_iter().filter_map(look).collect()
}

/// The folders where the plugin's packages have their libraries, as its RPATH has them.
fn folders(plugin: &Path, major: u32) -> Vec<PathBuf> {
    let packages = plugin.ancestors().skip(2).take(2);
    let names = if major < 13 {
        &["cuda_runtime", "nvjitlink", "cuda_nvrtc", "cublas", "cudnn"][..]
    } else {
        &["cu13", "cudnn"]
    };
    packages
        .flat_map(|folder| names.iter().map(move |name| folder.join("nvidia").join(name).join("lib")))
        .collect()
}

/// Writes the library's name and where it is.
impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.opened {
            Ok(()) => write!(f, "{:<41} {}", self.name, self.path.display()),
            Err(error) => write!(f, "{:<41} cannot be opened: {error}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::{self, Asset};

    #[test]
    fn a_plugin_tells_its_cuda_by_its_folder() {
        let major = |path: &str| major(Path::new(path));
        assert_eq!(major("/a/jax_plugins/xla_cuda13/xla_cuda_plugin.so"), Some(13));
        assert_eq!(major("/a/jax_plugins/xla_cuda12/xla_cuda_plugin.so"), Some(12));
        assert_eq!(major("/a/lammps/pjrt_c_api_cpu_plugin.so"), None);
        assert_eq!(major("/a/jax_plugins/xla_rocm/xla_rocm_plugin.so"), None);
    }

    #[test]
    fn drivers_and_gpus_that_do_not_fit_are_told() {
        let plugin = Path::new("/a/xla_cuda13/xla_cuda_plugin.so");
        let gpu = |name: &str, capability| Gpu { name: name.to_owned(), capability };
        let said = |cuda, gpus: Result<Vec<Gpu>, String>| {
            usable(&CudaDriver { cuda, gpus }, 13, plugin).map_err(|error| error.to_string())
        };
        let h100 = gpu("NVIDIA H100 80GB HBM3", (9, 0));
        let p100 = gpu("Tesla P100-PCIE-16GB", (6, 0));
        assert_eq!(said((13, 0), Ok(vec![p100.clone(), h100.clone()])), Ok(()));
        for (outcome, wanted) in [
            (said((12, 8), Ok(vec![h100.clone()])), "runs CUDA 12.8 and older, and the plugin /a/xla_cuda13"),
            (said((13, 1), Ok(Vec::new())), "shows no GPU to this process"),
            (said((13, 1), Err("cuInit: CUDA's error 999".to_owned())), "cuInit: CUDA's error 999"),
            (
                said((13, 0), Ok(vec![p100])),
                "Tesla P100-PCIE-16GB has compute capability 6.0, and CUDA 13 runs on 7.5",
            ),
        ] {
            let error = outcome.unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    /// The whole set: on a machine without a GPU nothing but the driver's library is missing.
    #[test]
    #[cfg(target_os = "linux")]
    fn every_library_of_the_set_opens_and_is_ours() {
        let Some(plugin) = assets::look(Asset::CudaPlugin).unwrap() else {
            let line = "SKIPPED: cuda13 is not installed (natgrad plugin install cuda13 --without-driver)\n";
            std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
            return;
        };
        complete(&plugin).unwrap();
        let root = plugin.ancestors().nth(3).unwrap();
        let is_library = |path: &str| path.contains("/lib/lib");
        let members = Asset::CudaPlugin.package().wheels.iter().flat_map(|wheel| wheel.members);
        let paths: Vec<PathBuf> = members
            .map(|member| member.path)
            .filter(|path| is_library(path))
            .map(|path| root.join(path))
            .collect();
        assert_eq!(paths.len(), 13);
        let names: Vec<&str> = paths.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        for library in libraries(&plugin, OWN_MAJOR) {
            assert!(names.contains(&library.name.as_str()) && paths.contains(&library.path), "{library}");
        }
        for path in &paths {
            match pjrt::open_library(&TrustedLibrary::at(path)) {
                Ok(()) => {}
                Err(error) => assert!(waits_for_driver(&error), "{error}"),
            }
        }
        // What is mapped under these names is of the package, and of nowhere else.
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mut found = std::collections::BTreeSet::new();
        for path in maps.lines().filter_map(|line| line.split_once('/').map(|(_, path)| format!("/{path}"))) {
            if let Some(name) = names.iter().find(|name| path.ends_with(&format!("/{name}"))) {
                assert!(Path::new(&path).starts_with(root.canonicalize().unwrap()), "{path}");
                found.insert(*name);
            }
        }
        assert!(found.len() >= names.len() - 1, "{found:?}");
        let versions = versions(&plugin);
        assert!(versions.contains("cuBLAS 131000, cuDNN 92801 of CUDA 13"), "{versions}");
    }

    #[test]
    fn libraries_that_are_nowhere_are_named_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let plugin = folder.path().join("jax_plugins/xla_cuda99/xla_cuda_plugin.so");
        let libraries = libraries(&plugin, 99);
        assert_eq!(libraries.len(), 11);
        let cudart = &libraries[0];
        assert_eq!(cudart.name, "libcudart.so.99");
        assert!(cudart.opened.as_ref().is_err_and(|error| error.contains("libcudart.so.99")));
        assert!(cudart.to_string().contains("cannot be opened"));
        assert!(
            remedy(13).contains("natgrad plugin install cuda13")
                && remedy(12).contains("CUDA 12's libraries")
        );
    }
}
