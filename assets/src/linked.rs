//! Plugins of Python environments, which the user has chosen in the place of natgrad's own. They stay where they are; the
//! cache folder keeps their paths.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{Error, at};
use super::package::Asset;

/// The file of the cache folder with the paths, by the names of what they replace.
const LINKED: &str = "linked.json";

/// Prints the file of JAX's plugin for NVIDIA GPUs, the newest CUDA's first, and its package's version.
const FIND: &str = "
import importlib.metadata, importlib.util, os, sys
for cuda in ('13', '12'):
    try:
        spec = importlib.util.find_spec('jax_plugins.xla_cuda' + cuda)
    except ModuleNotFoundError:
        spec = None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = os.path.join(folder, 'xla_cuda_plugin.so')
        if os.path.exists(path):
            print(path)
            print('jax-cuda' + cuda + '-pjrt ' + importlib.metadata.version('jax-cuda' + cuda + '-pjrt'))
            sys.exit()
";

/// The plugin of a Python environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonPlugin {
    /// Its file.
    pub path: PathBuf,
    /// Name and version of its package.
    pub package: String,
}

/// JAX's plugin for NVIDIA GPUs in a Python environment: that of an interpreter, or of the environment's folder. Python
/// looks for it, and does not import JAX.
///
/// # Errors
/// The interpreter does not run, or has no such plugin.
pub fn cuda_of_python(python: &Path) -> Result<PythonPlugin, Error> {
    let python = if python.is_dir() { python.join("bin/python") } else { python.to_owned() };
    let none = |reason: String| Error::NoPython { python: python.clone(), reason };
    // Not from the current folder, which may hold anybody's modules.
    let output = Command::new(&python).args([OsStr::new("-I"), "-c".as_ref(), FIND.as_ref()]).output();
    let output = output.map_err(|error| none(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    match (lines.next(), lines.next()) {
        (Some(path), Some(package)) => Ok(PythonPlugin { path: path.into(), package: package.to_owned() }),
        _ if output.status.success() => {
            Err(none("it has no jax_plugins.xla_cuda13, which `pip install 'jax[cuda13]'` brings".to_owned()))
        }
        _ => Err(none(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

pub(super) fn read(root: &Path, asset: Asset) -> Result<Option<PathBuf>, Error> {
    let Some(path) = all(root)?.remove(name(asset)) else { return Ok(None) };
    match path.try_exists() {
        Ok(true) => Ok(Some(path)),
        _ => Err(Error::LinkBroken { path, file: root.join(LINKED) }),
    }
}

pub(super) fn write(root: &Path, asset: Asset, path: Option<&Path>) -> Result<(), Error> {
    let mut known = all(root)?;
    let before = known.clone();
    match path {
        Some(path) => known.insert(name(asset).to_owned(), path.to_owned()),
        None => known.remove(name(asset)),
    };
    if known == before {
        return Ok(());
    }
    let file = root.join(LINKED);
    let write = || -> io::Result<()> {
        fs::create_dir_all(root)?;
        let mut new = tempfile::NamedTempFile::new_in(root)?;
        new.write_all(&serde_json::to_vec_pretty(&known)?)?;
        new.persist(&file)?;
        Ok(())
    };
    write().map_err(at(&file))
}

fn all(root: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    let file = root.join(LINKED);
    match fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from).map_err(at(&file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(at(&file)(error)),
    }
}

/// What it is called in the file: its first wheel.
fn name(asset: Asset) -> &'static str {
    asset.package().first().0.name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_kept_replaced_and_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("cache");
        let read = || read(&root, Asset::CudaPlugin);
        assert_eq!(read().unwrap(), None);
        let plugin = folder.path().join("plugin.so");
        fs::write(&plugin, "").unwrap();
        write(&root, Asset::CudaPlugin, Some(&plugin)).unwrap();
        assert_eq!(read().unwrap(), Some(plugin.clone()));
        fs::remove_file(&plugin).unwrap();
        let error = read().unwrap_err().to_string();
        assert!(error.contains("plugin.so") && error.contains("natgrad plugin install"), "{error}");
        write(&root, Asset::CudaPlugin, None).unwrap();
        assert_eq!(read().unwrap(), None);
    }

    #[test]
    #[cfg(unix)]
    fn python_is_asked_and_its_answer_is_believed() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("bin/python");
        fs::create_dir(folder.path().join("bin")).unwrap();
        let says = |script: &str| {
            fs::write(&python, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
            cuda_of_python(folder.path())
        };
        let found =
            says("echo /env/jax_plugins/xla_cuda13/xla_cuda_plugin.so; echo jax-cuda13-pjrt 0.11.2").unwrap();
        assert_eq!(found.package, "jax-cuda13-pjrt 0.11.2");
        assert_eq!(found.path, Path::new("/env/jax_plugins/xla_cuda13/xla_cuda_plugin.so"));
        let error = says("").unwrap_err().to_string();
        assert!(error.contains("jax[cuda13]") && error.contains("bin/python"), "{error}");
        let error = says("echo broken >&2; exit 1").unwrap_err().to_string();
        assert!(error.contains("broken"), "{error}");
        let error = cuda_of_python(Path::new("/natgrad/has/no/such/python")).unwrap_err().to_string();
        assert!(error.contains("/natgrad/has/no/such/python"), "{error}");
    }
}
