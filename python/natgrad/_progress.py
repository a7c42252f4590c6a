"""A loop of steps on the screen, which Ctrl-C ends after a whole step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from types import FrameType
from typing import Any

from tqdm.auto import tqdm


class Loop:
    """A progress bar, and whether the loop was asked to end."""

    def __init__(self, total: int | None, shown: bool) -> None:
        self.stopped = False
        self._bar = tqdm(total=total, unit="step", disable=not shown, dynamic_ncols=True)
        self._before: Any = None

    def __enter__(self) -> Loop:
        # Only the main thread may handle signals.
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self.stopped:
            signal.default_int_handler(number, frame)
        self.stopped = True

    def told(self, metrics: Mapping[str, float] | None, steps: int = 1) -> None:
        """So many steps more; `metrics` are those of one that has ended."""
        if metrics is not None and not self._bar.disable:
            self._bar.set_postfix(loss=f"{metrics['loss']:.4f}", refresh=False)
        self._bar.update(steps)
