//! Opening shared libraries that a plugin opens later, by name: whether each is there and can be loaded.

use std::path::Path;

use super::plugin::TrustedLibrary;

/// Opens a shared library, which stays in the process until it ends: a plugin that opens it later, by its name alone, gets
/// this one. A path without a slash is looked for as the dynamic linker does.
///
/// # Errors
/// Why it cannot be loaded, in the dynamic linker's words.
pub fn open_library(library: &TrustedLibrary) -> Result<(), String> {
    open(library.path()).map(std::mem::forget)
}

/// As [`open_library`], to be closed.
pub(super) fn open(path: &Path) -> Result<libloading::Library, String> {
    // SAFETY: whoever named the library trusts its code, which a TrustedLibrary says.
    unsafe { libloading::Library::new(path) }.map_err(|error| super::plugin::in_full(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_named() {
        let error = open_library(&TrustedLibrary::at("libnatgrad-has-none.so.9")).unwrap_err();
        assert!(error.contains("libnatgrad-has-none.so.9"), "{error}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_library_of_the_system_is_found_by_its_name() {
        open_library(&TrustedLibrary::at("libm.so.6")).unwrap();
    }
}
