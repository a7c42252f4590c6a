//! What natgrad fetches: packages, their wheels, and the files of those.

use std::fmt;
use std::path::Path;

use super::error::Error;
use super::{PLUGIN_VARIABLE, pinned};

/// Something natgrad fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asset {
    /// The PJRT plugin for the CPU.
    CpuPlugin,
    /// The PJRT plugin for NVIDIA GPUs, with the tools of CUDA 13 that it compiles with and the libraries of CUDA and
    /// cuDNN that programs run with.
    CudaPlugin,
    /// Of [`Asset::CudaPlugin`], in the same folder, what it takes to compile for GPUs that are not here.
    CudaCompiler,
    /// The PJRT plugin for TPUs.
    TpuPlugin,
    /// oneDNN, which convolutions on a CPU are computed by, and products of bf16. It needs `libgomp.so.1`, which comes with GCC.
    OneDnn,
    /// 5000 digits of MNIST.
    MnistSample,
    /// The text of the King James Bible.
    TextSample,
    /// GPT-2's byte-pair encoding, in tiktoken's format, the end of a text left out.
    Gpt2Encoding,
}

/// Files that are used together, from one wheel or several, unpacked into one folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// The wheels; the first file of the first is the one that is opened.
    pub wheels: &'static [Wheel],
    /// Where the files lie in the folder.
    pub folder: Folder,
    /// Where they can be used.
    pub platform: Platform,
    /// Whether the first file is a PJRT plugin, in whose place another can be given.
    pub is_plugin: bool,
}

/// A wheel, and the files of it that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wheel {
    /// The package's name in the index.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The wheel's file name.
    pub file: &'static str,
    /// The wheel's size in bytes.
    pub size: u64,
    /// The wheel's SHA-256, in lower-case hexadecimal.
    pub sha256: &'static str,
    /// The files.
    pub members: &'static [Member],
}

/// A file in a wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its path inside the wheel.
    pub path: &'static str,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: &'static str,
    /// Whether it is a program to be run.
    pub executable: bool,
}

/// Where files lie in the folder of their package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// By their names alone.
    Flat,
    /// By their paths in the wheels, for files that find each other so.
    AsInWheel,
}

/// Where a package's file can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Everywhere.
    Any,
    /// Linux on x86-64 only.
    LinuxX86_64,
}

impl Asset {
    /// Everything that is fetched.
    pub const ALL: [Asset; 8] = [
        Asset::CpuPlugin,
        Asset::CudaPlugin,
        Asset::CudaCompiler,
        Asset::TpuPlugin,
        Asset::OneDnn,
        Asset::MnistSample,
        Asset::TextSample,
        Asset::Gpt2Encoding,
    ];

    /// The package it comes from.
    pub fn package(self) -> &'static Package {
        match self {
            Asset::CpuPlugin => &pinned::CPU_PLUGIN,
            Asset::CudaPlugin => &pinned::CUDA_PLUGIN,
            Asset::CudaCompiler => &pinned::CUDA_COMPILER_PLUGIN,
            Asset::TpuPlugin => &pinned::TPU_PLUGIN,
            Asset::OneDnn => &pinned::ONEDNN,
            Asset::MnistSample => &pinned::MNIST_SAMPLE,
            Asset::TextSample => &pinned::TEXT_SAMPLE,
            Asset::Gpt2Encoding => &pinned::GPT2_ENCODING,
        }
    }
}

impl Wheel {
    /// What pip calls it: `name==version`.
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.name, self.version)
    }

    /// The platforms it is for, as its file name has them.
    pub(super) fn platforms(&self) -> impl Iterator<Item = &'static str> {
        let stem = self.file.strip_suffix(".whl").unwrap_or(self.file);
        stem.rsplit('-').next().unwrap_or("any").split('.')
    }

    /// What its files take unpacked, in bytes.
    pub(super) fn unpacked_size(&self) -> u64 {
        self.members.iter().map(|member| member.size).sum()
    }
}

impl fmt::Display for Wheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// Names the package by its first wheel.
impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first().0.fmt(f)
    }
}

impl Package {
    /// The wheel and the file that the package is used by.
    pub(super) fn first(&self) -> (&'static Wheel, &'static Member) {
        let wheel = &self.wheels[0];
        (wheel, &wheel.members[0])
    }

    /// Every file, with its wheel; the one that is opened is the first.
    pub(super) fn files(&self) -> impl Iterator<Item = (&'static Wheel, &'static Member)> {
        self.wheels.iter().flat_map(|wheel| wheel.members.iter().map(move |member| (wheel, member)))
    }

    /// Where a file lies in the package's folder.
    pub(super) fn place(&self, member: &Member) -> &'static str {
        match self.folder {
            Folder::AsInWheel => member.path,
            Folder::Flat => member.path.rsplit('/').next().unwrap_or(member.path),
        }
    }

    /// An error unless the package's file can be used on the operating system and architecture, by the names that
    /// `std::env::consts` has for them.
    pub(super) fn check_platform(&'static self, os: &'static str, arch: &'static str) -> Result<(), Error> {
        match self.platform {
            Platform::Any => Ok(()),
            Platform::LinuxX86_64 if os == "linux" && arch == "x86_64" => Ok(()),
            Platform::LinuxX86_64 => Err(Error::UnsupportedPlatform { package: self, os, arch }),
        }
    }

    /// What a user can do where pip does not do it.
    pub(super) fn by_hand(&self, wheel: &Wheel, wheels: &Path) -> String {
        let mut way = format!("put the wheel {} by hand into {}/", wheel.file, wheels.display());
        if self.is_plugin {
            way += &format!(", or set {PLUGIN_VARIABLE} to the file of a PJRT plugin");
        }
        way
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_pinned_package_is_consistent() {
        for asset in Asset::ALL {
            let package = asset.package();
            let mut hashes = Vec::new();
            for wheel in package.wheels {
                let stem = format!("{}-{}-", wheel.name.replace('-', "_"), wheel.version);
                assert!(wheel.file.starts_with(&stem) && wheel.file.ends_with(".whl"), "{wheel:?}");
                assert!(!wheel.members.is_empty(), "{wheel:?}");
                hashes.push(wheel.sha256);
            }
            let mut places = HashSet::new();
            for (_, member) in package.files() {
                hashes.push(member.sha256);
                let place = package.place(member);
                assert!(member.path.ends_with(place) && places.insert(place), "{place}");
                assert!(package.folder == Folder::AsInWheel || !place.contains('/'), "{place}");
            }
            for hash in hashes {
                assert_eq!(hash.len(), 64);
                assert!(hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{hash}");
            }
        }
    }

    #[test]
    fn wheels_tell_their_platforms() {
        let platforms =
            |asset: Asset| asset.package().wheels.iter().flat_map(Wheel::platforms).collect::<Vec<_>>();
        assert_eq!(platforms(Asset::MnistSample), ["any"]);
        assert_eq!(platforms(Asset::TpuPlugin), ["manylinux_2_31_x86_64"]);
        assert_eq!(platforms(Asset::CudaPlugin)[1..3], ["manylinux2014_x86_64", "manylinux_2_17_x86_64"]);
    }

    #[test]
    fn the_cpu_plugin_is_for_linux_on_x86_64_only() {
        let package = Asset::CpuPlugin.package();
        assert!(package.check_platform("linux", "x86_64").is_ok());
        for (os, arch) in [("macos", "x86_64"), ("linux", "aarch64")] {
            let error = package.check_platform(os, arch).unwrap_err();
            assert!(matches!(error, Error::UnsupportedPlatform { .. }));
            let message = error.to_string();
            assert!(message.contains(os) && message.contains(arch) && message.contains(PLUGIN_VARIABLE));
        }
        assert!(Asset::MnistSample.package().check_platform("macos", "aarch64").is_ok());
    }
}
