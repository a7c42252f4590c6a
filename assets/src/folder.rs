//! Where the cache folder is, and which plugin the user chose.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use super::PLUGIN_VARIABLE;
use super::error::Error;

/// natgrad's cache folder: `$NATGRAD_CACHE`, else `$XDG_CACHE_HOME/natgrad`, else `~/.cache/natgrad`. The path is
/// absolute; the folder need not be there yet.
///
/// # Errors
/// [`Error::NoCacheFolder`] where none of the variables is set.
pub fn cache_root() -> Result<PathBuf, Error> {
    cache_root_of(|name| env::var_os(name))
}

fn cache_root_of(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Error> {
    let folder = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The XDG base directory specification has relative paths ignored.
    let xdg = || folder("XDG_CACHE_HOME").filter(|path| path.is_absolute()).map(|path| path.join("natgrad"));
    let home = || folder("HOME").map(|path| path.join(".cache/natgrad"));
    let root = folder("NATGRAD_CACHE").or_else(xdg).or_else(home).ok_or(Error::NoCacheFolder)?;
    std::path::absolute(&root).map_err(|source| Error::Cache { path: root, source })
}

/// The plugin that the user chose, checked to be a file; its path is absolute, as the dynamic linker does not look
/// for a bare name in the current folder.
pub(super) fn plugin_override(variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<PathBuf>, Error> {
    let Some(path) = variable(PLUGIN_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from) else {
        return Ok(None);
    };
    match check_file(&path) {
        Ok(path) => Ok(Some(path)),
        Err(source) => Err(Error::Override { path, source }),
    }
}

fn check_file(path: &Path) -> io::Result<PathBuf> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    std::path::absolute(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(variables: &[(&str, &str)]) -> Result<PathBuf, Error> {
        cache_root_of(|name| variables.iter().find(|v| v.0 == name).map(|v| v.1.into()))
    }

    #[test]
    fn the_cache_folder_is_the_first_that_is_set() {
        let all = [("NATGRAD_CACHE", "/a"), ("XDG_CACHE_HOME", "/b"), ("HOME", "/c")];
        assert_eq!(root(&all).unwrap(), Path::new("/a"));
        assert_eq!(root(&all[1..]).unwrap(), Path::new("/b/natgrad"));
        assert_eq!(root(&all[2..]).unwrap(), Path::new("/c/.cache/natgrad"));
        assert_eq!(root(&[("NATGRAD_CACHE", ""), ("HOME", "/c")]).unwrap(), Path::new("/c/.cache/natgrad"));
        assert_eq!(root(&[("XDG_CACHE_HOME", "b"), ("HOME", "/c")]).unwrap(), Path::new("/c/.cache/natgrad"));
        assert!(root(&[("NATGRAD_CACHE", "here")]).unwrap().is_absolute());
    }

    #[test]
    fn no_home_is_an_error_that_says_what_to_set() {
        let error = root(&[("HOME", "")]).unwrap_err();
        assert!(matches!(error, Error::NoCacheFolder));
        assert!(error.to_string().contains("set NATGRAD_CACHE"));
    }

    #[test]
    fn the_chosen_plugin_must_be_a_file() {
        let chosen = |path: &Path| plugin_override(|_| Some(path.as_os_str().to_owned()));
        assert!(plugin_override(|_| None).unwrap().is_none());
        assert!(chosen(Path::new("")).unwrap().is_none());

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugin.so");
        let absent = chosen(&file).unwrap_err();
        fs::write(&file, "").unwrap();
        assert_eq!(chosen(&file).unwrap().unwrap(), file);
        for error in [absent, chosen(folder.path()).unwrap_err()] {
            assert!(matches!(error, Error::Override { .. }));
            let message = error.to_string();
            assert!(message.contains(&format!("NATGRAD_PJRT_PLUGIN={}", folder.path().display())));
            assert!(message.contains("unset it"), "{message}");
        }
    }
}
