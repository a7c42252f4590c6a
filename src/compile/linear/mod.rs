//! oneDNN, as programs on a CPU call it: where it comes from, and what a call asks it for.

mod convolution;
mod product;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use natgrad_onednn::{Element, Library, TrustedLibrary};

use crate::assets::{self, Asset};
use crate::compile::host;
use crate::lower::{CONVOLUTION, Kind, PRODUCT};
use crate::pjrt::Plugin;
use convolution::Convolved;
use product::Multiplied;

/// Whether a plugin is in use whose programs may call oneDNN, and whether one is whose programs may not.
static TAKEN: AtomicBool = AtomicBool::new(false);
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Lets programs of a CPU's plugin call oneDNN, where the plugin has calls. Every [`Device`](super::Device) does so for its own; who
/// compiles what [`stablehlo`](super::stablehlo) gives by a client alone calls this first.
pub fn register_calls(plugin: &Plugin) {
    let registered = plugin.register::<Convolved>(CONVOLUTION);
    match registered.and_then(|()| plugin.register::<Multiplied>(PRODUCT)) {
        Ok(()) => TAKEN.store(true, Ordering::Relaxed),
        Err(error) => {
            if !REFUSED.swap(true, Ordering::Relaxed) {
                tracing::info!("products and convolutions stay XLA's: {error}");
            }
        }
    }
}

/// Takes it that natgrad's own plugin will be opened, whose programs may call oneDNN: for programs that are only written.
pub(crate) fn expect_calls() {
    TAKEN.store(true, Ordering::Relaxed);
}

/// The library, which is fetched if it is not here yet; none where no plugin is known to call it, or one in use cannot, where XLA is
/// faster by itself, or where it cannot be had, which is told once.
pub(in crate::compile) fn library(kind: Kind) -> Option<&'static Library> {
    let is_callable = TAKEN.load(Ordering::Relaxed) && !REFUSED.load(Ordering::Relaxed);
    let is_faster = match kind {
        Kind::Convolutions => true,
        Kind::Products => host::has_amx(),
    };
    if is_callable && is_faster { opened().ok() } else { None }
}

/// The library's version, where it can be had.
pub(in crate::compile) fn version() -> Option<String> {
    opened().ok().map(Library::version)
}

/// What computes products and convolutions, once a program with some was written: the library and its version, or XLA.
pub(in crate::compile) fn used() -> Option<String> {
    OPENED.get().map(|opened| match opened {
        Ok(library) => format!("oneDNN {}", library.version()),
        Err(_) => "XLA".to_owned(),
    })
}

/// The library, or why it cannot be had.
static OPENED: OnceLock<Result<&'static Library, String>> = OnceLock::new();

/// The library, once a process.
fn opened() -> Result<&'static Library, &'static str> {
    let opened = OPENED.get_or_init(|| {
        let path = match assets::fetch(Asset::OneDnn) {
            // Nothing that anybody could do.
            Err(error @ assets::Error::UnsupportedPlatform { .. }) => {
                tracing::info!("XLA computes products and convolutions: {error}");
                return Err(error.to_string());
            }
            fetched => fetched.map_err(|error| error.to_string()),
        };
        let opened =
            path.and_then(|path| Library::open(&TrustedLibrary::at(path)).map_err(|error| error.to_string()));
        match &opened {
            Ok(library) => tracing::info!("oneDNN {} computes products and convolutions", library.version()),
            Err(error) => tracing::warn!(
                "oneDNN, by which products and convolutions are faster, is not here, so XLA computes them: {error}\n\
                 `step.linear` \"xla\" has no run look for it"
            ),
        }
        opened
    });
    opened.as_ref().copied().map_err(String::as_str)
}

/// The type of numbers of so many bytes: programs call with two types alone.
fn element(bytes: usize) -> Result<Element, String> {
    let known = [Element::F32, Element::Bf16].into_iter().find(|element| element.size_bytes() == bytes);
    known.ok_or_else(|| format!("numbers of {bytes} bytes"))
}
