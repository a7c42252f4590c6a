"""Where steps run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

#: JAX's packages with a plugin for NVIDIA's GPUs, and the plugin's file in them.
_CUDA = ("jax_plugins.xla_cuda13", "jax_plugins.xla_cuda12")
_FILE = "xla_cuda_plugin.so"


def place(device: str) -> str:
    """The device as natgrad is told: for the first GPU the plugin that JAX has in this environment, if there is one."""
    if device in ("cuda", "cuda:0"):
        for package in _CUDA:
            try:
                spec = importlib.util.find_spec(package)
            except ModuleNotFoundError:
                continue
            for folder in (spec.submodule_search_locations or ()) if spec else ():
                plugin = Path(folder) / _FILE
                if plugin.is_file():
                    return str(plugin)
    return device


def platform(device: str) -> str:
    """The platform that functions are exported for."""
    name = device.split(":")[0]
    return name if name in ("cuda", "tpu") else "cpu"
