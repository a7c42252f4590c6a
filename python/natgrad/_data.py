"""Data that natgrad reads, as arrays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _natgrad


class Data(NamedTuple):
    """Rows and their classes."""

    x_train: npt.NDArray[np.float32]
    y_train: npt.NDArray[np.uint32]
    x_test: npt.NDArray[np.float32]
    y_test: npt.NDArray[np.uint32]


def data(kind: str, **fields: Any) -> Data:
    """Reads what `data` in a configuration can be (docs/data.md): `data("mnist-sample")`, `data("csv", path="table.csv")`."""
    (x_train, y_train), (x_test, y_test) = _natgrad.data(json.dumps({kind: fields}))
    return Data(x_train, y_train, x_test, y_test)


def fetch(name: str) -> Path:
    """The file of a data set that natgrad fetches and keeps: `mnist-sample` or `text-sample`."""
    return Path(_natgrad.fetch(name))
