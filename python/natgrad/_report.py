"""What is found out about a compiled step."""

from __future__ import annotations

import html
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Report:
    """What XLA made of a step: as text (`print`), as a page (a notebook shows it), and as data."""

    text: str
    html: str
    _json: str

    @property
    def data(self) -> dict[str, Any]:
        """What `natgrad inspect --json` writes."""
        found: dict[str, Any] = json.loads(self._json)
        return found

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the page, or JSON where the name ends in `.json`."""
        path = Path(path)
        path.write_text(self._json if path.suffix == ".json" else self.html, encoding="utf-8")
        return path

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        # In a frame, so that the page's styles stay in it.
        return f'<iframe srcdoc="{html.escape(self.html)}" style="width: 100%; height: 600px; border: 1px solid #ccc"></iframe>'
