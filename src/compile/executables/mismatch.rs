//! In what a device differs from that of a file of executables.

use std::fmt;

use super::flags_here;
use super::header::{ExecutablesHeader, HostFacts};
use crate::compile::{Device, Target, cuda, linear};

/// The first thing in which a device differs from the one that executables were compiled for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What it is, such as `the plugin`.
    pub what: &'static str,
    /// That of the executables.
    pub then: String,
    /// That of here.
    pub now: String,
    /// What can be done.
    pub advice: &'static str,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch { what, then, now, advice } = self;
        write!(f, "{what} {then}, and here it is {now}: {advice}")
    }
}

const AGAIN: &str = "compile it again, for this machine";

/// What differs first, if anything does. `sha256` is that of the device's plugin.
pub(super) fn of(header: &ExecutablesHeader, device: &Device, sha256: &str) -> Option<Mismatch> {
    let client = device.client();
    let differ = |what, then: &str, now: &str, advice| {
        let of = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
        (then != now).then(|| Mismatch { what, then: of(then), now: of(now), advice })
    };
    // The same platform may have one name as a runtime and another as a model of device.
    let now = client.platform_name();
    if Target::of_platform(&header.platform) != device.target() {
        return differ(
            "the target",
            &header.target,
            now,
            "name the device with --target, or compile it for this one",
        );
    }
    if header.device != device.kind() {
        return differ("the device", &header.device, device.kind(), AGAIN);
    }
    if header.plugin.sha256 != sha256 {
        let plugin = client.plugin();
        let file = plugin.path().file_name().unwrap_or_default().to_string_lossy();
        let api = plugin.api_version().to_string();
        let then = &header.plugin;
        let then = told(&then.file, &then.api, &then.version, &then.sha256);
        let now = told(&file, &api, client.platform_version(), sha256);
        let advice =
            "install the plugin that compiled it (`natgrad plugin` lists what is here), or compile it again";
        return differ("the plugin", &then, &now, advice);
    }
    // Ahead of time XLA asks no library.
    if !header.libraries.is_empty() {
        let now = cuda::versions(client.plugin().path());
        if header.libraries != now {
            return differ("the driver and libraries", &header.libraries, &now, AGAIN);
        }
    }
    if let Some(then) = &header.onednn
        && linear::version().is_none()
    {
        let advice =
            "its code calls it, and natgrad fetches it with pip; or compile it with `step.linear` \"xla\"";
        return differ("oneDNN", then, "", advice);
    }
    let (then, now) = (header.xla_flags.join(" "), flags_here().join(" "));
    if then != now {
        return differ("XLA_FLAGS", &then, &now, "set XLA_FLAGS to the same, or compile it again");
    }
    if device.target() != Target::Cpu {
        return None;
    }
    let here = HostFacts::here();
    let Some(then) = &header.host else { return differ("the processor", "", &here.processor, AGAIN) };
    if then.threads != here.threads && then.processor == here.processor {
        let advice = "the environment variable NPROC sets it";
        return differ("the number of threads", &then.threads.to_string(), &here.threads.to_string(), advice);
    }
    let features = |host: &HostFacts, other: &HostFacts| {
        let only = only(&host.features, &other.features);
        if only.is_empty() { host.processor.clone() } else { format!("{} ({only})", host.processor) }
    };
    differ("the processor", &features(then, &here), &features(&here, then), AGAIN)
}

fn told(file: &str, api: &str, version: &str, sha256: &str) -> String {
    // Some have a line for each of their libraries.
    let version = version.lines().next().unwrap_or_default();
    let sha256: String = sha256.chars().take(12).collect();
    format!("{file} (PJRT {api}, {version}, SHA-256 {sha256})")
}

/// The words of the one that the other lacks.
fn only(one: &str, other: &str) -> String {
    let words = |text: &str| text.split([' ', ';']).map(str::to_owned).collect::<Vec<_>>();
    let other = words(other);
    let only: Vec<String> = words(one).into_iter().filter(|word| !other.contains(word)).collect();
    only.join(" ")
}
