//! Opening a plugin and calling its functions.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::{self, Error, Identity, Result};
use super::last_word::{self, Note};
use super::named;
use super::options::CompileOptions;
use super::sys::{self, Args};
use super::types::OptionValue;

/// A version of the PJRT API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// Changes where the layout of the structs changes.
    pub major: i32,
    /// Grows where functions or fields are appended.
    pub minor: i32,
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// An opened PJRT plugin: a shared library that compiles and runs XLA programs for one kind of device.
///
/// Cheap to clone. A library once opened stays in the process until it ends: XLA leaves threads and
/// thread-local state behind that unloading would pull the code away from.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
}

struct Inner {
    api: &'static sys::Api,
    identity: Arc<Identity>,
    attributes: Vec<(String, OptionValue)>,
}

// The table of functions is constant for the life of the process and its functions may be called from any
// thread, so Inner is Send and Sync by its members: a shared reference to plain data and function pointers.
// SAFETY: the table is never written after GetPjrtApi has returned it.
unsafe impl Sync for sys::Api {}

/// The plugins opened so far, by canonical path; each is opened and initialized once a process.
static OPENED: Mutex<Vec<(PathBuf, Plugin)>> = Mutex::new(Vec::new());

/// A shared library whose code may run in this process.
///
/// Opening a library runs its code, and nothing checks what that does: it can read and write all of the process's memory.
/// Whoever makes this value says that the file is a PJRT plugin from a source that they trust, such as a package whose
/// hash they know, or a file that the user named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedLibrary(PathBuf);

impl TrustedLibrary {
    /// The library at this path, which the caller trusts.
    pub fn at(path: impl Into<PathBuf>) -> TrustedLibrary {
        TrustedLibrary(path.into())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Plugin {
    /// Opens a plugin, checks its API version and initializes it. A path opened before gives the same plugin again.
    ///
    /// # Errors
    /// The file cannot be read or loaded, or is no PJRT plugin of a version that fits.
    pub fn load(library: &TrustedLibrary) -> Result<Plugin> {
        let path = library.0.as_path();
        let missing = |reason| Error::Missing { path: path.to_owned(), reason };
        let path = path.canonicalize().map_err(missing)?;
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, plugin)) = opened.iter().find(|(known, _)| *known == path) {
            return Ok(plugin.clone());
        }
        let plugin = open(&path)?;
        opened.push((path, plugin.clone()));
        Ok(plugin)
    }

    /// The canonical path of the shared library.
    pub fn path(&self) -> &Path {
        &self.inner.identity.path
    }

    /// The version of the PJRT API the plugin was built with.
    pub fn api_version(&self) -> ApiVersion {
        self.inner.identity.api_version
    }

    /// What the plugin says of itself, such as `xla_version` and `stablehlo_current_version`.
    pub fn attributes(&self) -> &[(String, OptionValue)] {
        &self.inner.attributes
    }
}

/// What is needed to call a plugin: its functions, and who answers errors.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) plugin: Plugin,
    pub(super) identity: Arc<Identity>,
}

impl Session {
    pub(super) fn new(plugin: &Plugin) -> Session {
        Session { plugin: plugin.clone(), identity: plugin.inner.identity.clone() }
    }

    /// The same, with the platform's name and version in every error from now on.
    pub(super) fn on(self, name: &str, version: &str) -> Session {
        let platform = Some((name.to_owned(), version.to_owned()));
        Session { identity: Arc::new(Identity { platform, ..Identity::clone(&self.identity) }), ..self }
    }

    pub(super) fn api(&self) -> &'static sys::Api {
        self.plugin.inner.api
    }

    /// Calls a function of the plugin.
    ///
    /// # Safety
    /// As [`invoke`]: `args` filled in as the API asks, with live handles of this plugin.
    pub(super) unsafe fn invoke<A: Args>(
        &self,
        function: sys::Function<A>,
        call: &'static str,
        args: &mut A,
    ) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { invoke(self.api(), &self.identity, function, call, args) }
    }

    /// Calls a function that is no part of the plugin's table.
    ///
    /// # Safety
    /// The function is the plugin's, and `args` filled in as it asks.
    pub(super) unsafe fn called<A>(
        &self,
        function: unsafe extern "C-unwind" fn(*mut A) -> *mut sys::Error,
        call: &'static str,
        args: &mut A,
    ) -> Result<()> {
        // SAFETY: the caller's promise.
        let failure = unsafe { guarded(function, args) };
        // SAFETY: it was just returned by this plugin.
        unsafe { outcome(self.api(), &self.identity, call, failure) }
    }

    /// Who is asked, and with which flags of the user's.
    pub(super) fn words(&self) -> String {
        let flags = match std::env::var_os("XLA_FLAGS") {
            Some(flags) => format!("XLA_FLAGS={}", flags.to_string_lossy()),
            None => "XLA_FLAGS not set".to_owned(),
        };
        format!("{}; {flags}", self.identity)
    }

    /// The last word of a compilation.
    pub(super) fn compiling(&self, stablehlo: &[u8], options: &CompileOptions) -> Note {
        last_word::of_program("compiling", &module_name(stablehlo), &options.in_words(), &self.words())
    }

    /// What the plugin tells, or the error that it cannot be meant.
    pub(super) fn told<T>(&self, told: error::Told<T>) -> Result<T> {
        told.map_err(|absurd| self.unfit(absurd.to_string()))
    }

    /// An error about something that does not fit.
    pub(super) fn unfit(&self, reason: String) -> Error {
        Error::Unfit { plugin: self.identity.clone(), reason }
    }

    /// The handle the plugin gave, or an error where it gave none though it reported success.
    pub(super) fn given<T>(&self, handle: *mut T, call: &str) -> Result<NonNull<T>> {
        NonNull::new(handle).ok_or_else(|| self.unfit(format!("{call} gave no handle")))
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Plugin").field(&self.inner.identity).finish()
    }
}

/// The name of a module in MLIR's text, or what stands for it.
fn module_name(stablehlo: &[u8]) -> String {
    let name = stablehlo.strip_prefix(b"module @").map(|rest| {
        let end = rest.iter().position(|&byte| !(byte.is_ascii_alphanumeric() || b"_.-$".contains(&byte)));
        String::from_utf8_lossy(&rest[..end.unwrap_or(rest.len())]).into_owned()
    });
    name.unwrap_or_else(|| "without a name".to_owned())
}

fn open(path: &Path) -> Result<Plugin> {
    let head = read_head(path)?;
    check_whole(path, &head)?;
    // SAFETY: whoever named the library trusts its code, which a TrustedLibrary says.
    let library = unsafe { libloading::Library::new(path) }.map_err(|reason| Error::NotLoadable {
        path: path.to_owned(),
        reason: in_full(&reason),
        found: describe(&head),
        wanted: wanted_library(),
    })?;
    // SAFETY: GetPjrtApi has this type in every PJRT plugin.
    let entry = unsafe { library.get::<unsafe extern "C" fn() -> *const sys::Api>(b"GetPjrtApi\0") }
        .map_err(|reason| Error::NoEntryPoint { path: path.to_owned(), reason: in_full(&reason) })?;
    // SAFETY: it takes nothing and may be called at any time.
    let table = unsafe { entry() };
    if table.is_null() {
        let reason = "GetPjrtApi returned null".to_owned();
        return Err(Error::NoEntryPoint { path: path.to_owned(), reason });
    }
    // The library stays loaded for good, see Plugin.
    std::mem::forget(library);
    // SAFETY: the table is static in the library, which is never unloaded.
    unsafe { of_table(path, table) }
}

/// The plugin of a table of functions, whose version is checked and which is initialized.
///
/// # Safety
/// `table` must be the table of a PJRT plugin, valid for the life of the process.
pub(super) unsafe fn of_table(path: &Path, table: *const sys::Api) -> Result<Plugin> {
    // SAFETY: every version of the table starts with its size and its version; only these two are read before
    // the size is known to cover the rest.
    let (size, version) = unsafe { ((*table).struct_size, (&raw const (*table).version).read()) };
    let api_version = ApiVersion { major: version.major, minor: version.minor };
    let identity = Arc::new(Identity { path: path.to_owned(), api_version, platform: None });
    check_version(&identity, size)?;
    // SAFETY: the table is valid for the life of the process, by the caller, and at least as long as Api.
    let api: &'static sys::Api = unsafe { &*table };
    if api.event_await.is_none() {
        // Memory lent to the plugin can only be taken back safely by waiting.
        let reason = "it has no function PJRT_Event_Await".to_owned();
        return Err(Error::Version { plugin: identity, reason });
    }

    let mut args = sys::PluginInitializeArgs::new();
    // SAFETY: the struct is filled in; initialization comes before every other call.
    unsafe { invoke(api, &identity, api.plugin_initialize, "PJRT_Plugin_Initialize", &mut args) }?;
    let mut args = sys::PluginAttributesArgs::new();
    // SAFETY: the struct is filled in.
    unsafe { invoke(api, &identity, api.plugin_attributes, "PJRT_Plugin_Attributes", &mut args) }?;
    // SAFETY: attributes have the lifetime of the process.
    let attributes = unsafe { named::copy(args.attributes, args.num_attributes) }
        .map_err(|absurd| Error::Unfit { plugin: identity.clone(), reason: absurd.to_string() })?;
    Ok(Plugin { inner: Arc::new(Inner { api, identity, attributes }) })
}

fn check_version(plugin: &Arc<Identity>, size: usize) -> Result<()> {
    let version = plugin.api_version;
    let (major, minor) = (sys::API_MAJOR, sys::API_MINOR_MIN);
    let reason = if version.major != major {
        format!("it has to be of major version {major}, minor {minor} or newer")
    } else if version.minor < minor {
        format!("too old: it has to be {major}.{minor} or newer")
    } else if size < size_of::<sys::Api>() {
        format!("its table of functions has {size} bytes, and has to have {}", size_of::<sys::Api>())
    } else {
        return Ok(());
    };
    Err(Error::Version { plugin: plugin.clone(), reason })
}

/// Calls a function of a plugin and turns its error, or its absence, into ours.
///
/// # Safety
/// `args` must be filled in as the API asks of this function, with handles of this plugin that are alive.
unsafe fn invoke<A: Args>(
    api: &sys::Api,
    plugin: &Arc<Identity>,
    function: sys::Function<A>,
    call: &'static str,
    args: &mut A,
) -> Result<()> {
    let Some(function) = function else {
        let message = "the plugin does not have this function".to_owned();
        return Err(Error::Xla { plugin: plugin.clone(), call, code: error::Code::Unimplemented, message });
    };
    // SAFETY: the caller's promise.
    let failure = unsafe { guarded(function, args) };
    // SAFETY: it was just returned by this plugin.
    unsafe { outcome(api, plugin, call, failure) }
}

/// A plugin's error as ours.
///
/// # Safety
/// The error is this plugin's and used nowhere else, or null.
unsafe fn outcome(
    api: &sys::Api,
    plugin: &Arc<Identity>,
    call: &'static str,
    failure: *mut sys::Error,
) -> Result<()> {
    if failure.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    let (code, message) = unsafe { error::take(api, failure) };
    Err(Error::Xla { plugin: plugin.clone(), call, code, message })
}

/// Calls a plugin's function. A C++ exception that comes out of it ends the process here, as Rust can neither catch nor
/// pass it on: a function of the plain C ABI cannot unwind. So nothing above is left half done, and the last word still
/// tells what the plugin was asked.
///
/// # Safety
/// As [`invoke`].
unsafe extern "C" fn guarded<A>(
    function: unsafe extern "C-unwind" fn(*mut A) -> *mut sys::Error,
    args: *mut A,
) -> *mut sys::Error {
    // SAFETY: the caller's promise.
    unsafe { function(args) }
}

/// A dynamic linker's error with what lies behind it.
pub(super) fn in_full(error: &libloading::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn read_head(path: &Path) -> Result<Vec<u8>> {
    let missing = |reason| Error::Missing { path: path.to_owned(), reason };
    let mut head = Vec::new();
    std::fs::File::open(path).map_err(missing)?.take(64).read_to_end(&mut head).map_err(missing)?;
    Ok(head)
}

/// Refuses an ELF file that is cut off, say by a download that broke: the dynamic linker maps it all the same, and
/// the process dies of touching what is not there.
fn check_whole(path: &Path, head: &[u8]) -> Result<()> {
    let size =
        std::fs::metadata(path).map_err(|reason| Error::Missing { path: path.to_owned(), reason })?.len();
    match section_table_end(head) {
        Some(end) if end > size => {
            let reason = format!("it is cut off: {size} bytes of {end} or more");
            Err(Error::NotLoadable {
                path: path.to_owned(),
                reason,
                found: describe(head),
                wanted: wanted_library(),
            })
        }
        _ => Ok(()),
    }
}

/// Where the table of sections ends, which linkers write last; None if it is no 64-bit little-endian ELF file.
fn section_table_end(head: &[u8]) -> Option<u64> {
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let start = u64::from_le_bytes(head.get(40..48)?.try_into().ok()?);
    let half = |at: usize| Some(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?));
    start.checked_add(u64::from(half(58)?) * u64::from(half(60)?))
}

fn wanted_library() -> String {
    format!("a PJRT plugin built for {} {}", std::env::consts::OS, std::env::consts::ARCH)
}

/// What a file is, by its first bytes.
fn describe(head: &[u8]) -> String {
    const MACHINES: [(u16, &str); 5] =
        [(3, "x86"), (40, "arm"), (62, "x86_64"), (183, "aarch64"), (243, "riscv64")];
    if head.is_empty() {
        return "empty".to_owned();
    }
    if head.starts_with(b"PK\x03\x04") {
        return "a zip archive (a wheel that still has to be unpacked?)".to_owned();
    }
    if [&b"\xcf\xfa\xed\xfe"[..], b"\xca\xfe\xba\xbe"].iter().any(|magic| head.starts_with(magic)) {
        return "a macOS library".to_owned();
    }
    if head.starts_with(b"MZ") {
        return "a Windows library".to_owned();
    }
    if head.starts_with(b"\x7fELF") && head.len() >= 20 {
        let bytes = [head[18], head[19]];
        let machine = if head[5] == 2 { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
        return match MACHINES.iter().find(|(number, _)| *number == machine) {
            Some((_, name)) => format!("an ELF file for {name}"),
            None => format!("an ELF file for machine number {machine}"),
        };
    }
    if head.iter().all(|byte| (32..127).contains(byte) || b"\t\r\n".contains(byte)) {
        return "a text file".to_owned();
    }
    "no known kind of library".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_plugin_tells_its_versions_and_loads_once() {
        let plugin = testing::plugin();
        assert_eq!(plugin.api_version().major, 0);
        assert!(plugin.api_version().minor >= sys::API_MINOR_MIN);
        assert!(plugin.attributes().iter().any(|(name, _)| name == "stablehlo_current_version"));
        let again = Plugin::load(&TrustedLibrary::at(plugin.path())).unwrap();
        assert!(Arc::ptr_eq(&again.inner, &plugin.inner));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Plugin::load(&TrustedLibrary::at("no/such/plugin.so")).unwrap_err();
        assert!(matches!(error, Error::Missing { .. }));
        assert!(error.to_string().contains("no/such/plugin.so"), "{error}");
    }

    #[test]
    fn a_text_file_is_told_from_a_library() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.so");
        std::fs::write(&path, "not a library\n").unwrap();
        let error = Plugin::load(&TrustedLibrary::at(path)).unwrap_err().to_string();
        assert!(error.contains("the file is a text file"), "{error}");
        assert!(error.contains(std::env::consts::ARCH), "{error}");
        assert!(error.contains("plugin.so"), "{error}");
    }

    #[test]
    #[cfg(all(target_endian = "little", target_pointer_width = "64"))]
    fn a_library_that_is_cut_off_is_refused() {
        let plugin = std::fs::read(testing::plugin().path()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.so");
        std::fs::write(&path, &plugin[..plugin.len() / 2]).unwrap();
        let error = Plugin::load(&TrustedLibrary::at(path)).unwrap_err();
        assert!(matches!(error, Error::NotLoadable { .. }));
        assert!(error.to_string().contains("it is cut off"), "{error}");
    }

    #[test]
    fn a_library_for_another_machine_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.so");
        let mut elf = vec![0; 64];
        elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        // e_type shared object, e_machine: the one of aarch64 and x86_64 that this machine is not.
        let machine: u16 = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
        elf[16] = 3;
        elf[18..20].copy_from_slice(&machine.to_le_bytes());
        std::fs::write(&path, elf).unwrap();
        let error = Plugin::load(&TrustedLibrary::at(path)).unwrap_err();
        assert!(matches!(error, Error::NotLoadable { .. }));
        let name = if machine == 62 { "x86_64" } else { "aarch64" };
        assert!(error.to_string().contains(&format!("an ELF file for {name}")), "{error}");
    }

    #[test]
    #[cfg(all(target_os = "linux", target_endian = "little", target_pointer_width = "64"))]
    fn a_library_without_the_entry_point_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.so");
        std::fs::write(&path, empty_library()).unwrap();
        let error = Plugin::load(&TrustedLibrary::at(path)).unwrap_err();
        assert!(matches!(error, Error::NoEntryPoint { .. }), "{error}");
        assert!(error.to_string().contains("no function GetPjrtApi"), "{error}");
    }

    /// The smallest shared library for this machine: a header, one loaded segment, and tables without symbols.
    #[cfg(all(target_os = "linux", target_endian = "little", target_pointer_width = "64"))]
    fn empty_library() -> Vec<u8> {
        const HEADER: u64 = 64;
        const SEGMENT: u64 = 56;
        let dynamic = HEADER + 2 * SEGMENT;
        let symbols = dynamic + 6 * 16;
        let hash = symbols + 24;
        let strings = hash + 16;
        let end = strings + 8;
        let this_program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let machine = &this_program[18..20];

        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        file.extend(machine);
        file.extend(1_u32.to_le_bytes());
        file.extend([0, HEADER, 0].iter().flat_map(|word| word.to_le_bytes()));
        file.extend(0_u32.to_le_bytes());
        file.extend([HEADER as u16, SEGMENT as u16, 2, 64, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
        // The segments' kinds (1 loaded, 2 dynamic) and rights (6 read and write), then where they are.
        file.extend([1_u32, 6].iter().flat_map(|word| word.to_le_bytes()));
        file.extend([0, 0, 0, end, end, 1 << 16].iter().flat_map(|word| word.to_le_bytes()));
        file.extend([2_u32, 6].iter().flat_map(|word| word.to_le_bytes()));
        let at = [dynamic, dynamic, dynamic, 96, 96, 8];
        file.extend(at.iter().flat_map(|word| word.to_le_bytes()));
        // Hash table, strings, symbols, size of the strings, size of a symbol, end.
        let table = [4, hash, 5, strings, 6, symbols, 10, 8, 11, 24, 0, 0];
        file.extend(table.iter().flat_map(|word: &u64| word.to_le_bytes()));
        file.extend([0; 24]);
        file.extend([1_u32, 1, 0, 0].iter().flat_map(|word| word.to_le_bytes()));
        file.extend([0; 8]);
        assert_eq!(file.len() as u64, end);
        file
    }

    #[test]
    fn versions_that_do_not_fit_are_refused() {
        let identity = |major, minor| {
            let api_version = ApiVersion { major, minor };
            Arc::new(Identity { path: "a.so".into(), api_version, platform: None })
        };
        let enough = size_of::<sys::Api>();
        assert!(check_version(&identity(0, 81), enough).is_ok());
        assert!(check_version(&identity(0, 500), enough + 4096).is_ok());
        let refused =
            |major, minor, size| check_version(&identity(major, minor), size).unwrap_err().to_string();
        assert!(refused(0, 40, enough).contains("too old"));
        assert!(refused(1, 0, enough).contains("major version 0"));
        assert!(refused(0, 81, enough - 8).contains("table of functions"));
    }
}
