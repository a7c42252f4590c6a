"""Files of tensors in the format of safetensors."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ._errors import Error
from ._trees import TYPES, dtype

_NAMES = {"f64": "F64", "f32": "F32", "bf16": "BF16", "f16": "F16", "i32": "I32", "u32": "U32", "u64": "U64", "bool": "BOOL"}


def save(path: str | os.PathLike[str], tensors: dict[str, Any]) -> None:
    """Writes tensors by name."""
    header: dict[str, Any] = {}
    parts, start = [], 0
    for name, value in sorted(tensors.items()):
        value = np.asarray(value)
        part = np.ascontiguousarray(value).tobytes()
        type_ = _NAMES[TYPES[str(value.dtype)]]
        header[name] = {"dtype": type_, "shape": list(value.shape), "data_offsets": [start, start + len(part)]}
        parts.append(part)
        start += len(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(b"".join([len(text).to_bytes(8, "little"), text, *parts]))


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads tensors by name."""
    data = Path(path).read_bytes()
    try:
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])
        header.pop("__metadata__", None)
        types = {given: dtype(name) for name, given in _NAMES.items()}
        tensors = {}
        for name, entry in header.items():
            first, last = entry["data_offsets"]
            part = np.frombuffer(data[end + first : end + last], types[entry["dtype"]])
            tensors[name] = part.reshape(entry["shape"])
    except (ValueError, KeyError, UnicodeDecodeError) as error:
        raise Error(f"{path} is no file of safetensors: {error}") from None
    return tensors
