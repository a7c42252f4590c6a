"""Compiling in another process first what XLA may not survive: a failed check of XLA's ends the process."""

from __future__ import annotations

import sys

from . import _natgrad

#: Loads the extension alone, as importing the package takes seconds.
_CHILD = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("natgrad._natgrad", sys.argv[1])
module = module_from_spec(spec)
spec.loader.exec_module(module)
sys.exit(0 if module.answer_trial(sys.argv[2:]) else 1)
"""


def prepare() -> None:
    """Says how such a process is started."""
    if sys.executable and _natgrad.__file__:
        _natgrad.try_by([sys.executable, "-c", _CHILD, _natgrad.__file__])
