"""TensorBoard's own reader finds in natgrad's event files what it was recorded to find."""

import importlib.util
import json
from pathlib import Path

import pytest

pytest.importorskip("tensorboard")
FIXTURES = Path(__file__).parents[2] / "tests" / "fixtures" / "tensorboard"


def test_event_files_are_read():
    spec = importlib.util.spec_from_file_location("record", FIXTURES / "record.py")
    record = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(record)
    assert record.scalars(FIXTURES) == json.loads((FIXTURES / "expected.json").read_text())
