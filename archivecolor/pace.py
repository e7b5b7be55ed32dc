"""What the workers of a run share besides the network: room in memory; and a clock for each picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.begun = datetime.now(UTC)

    def add(self, seconds: dict[str, float]) -> None:
        """Adds to what the stages have already."""
        for name, value in seconds.items():
            self.seconds[name] = round(self.seconds.get(name, 0) + value, 4)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times a block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add({name: time.perf_counter() - started})


class Budget:
    """Megapixels in memory at one time. What is larger than the whole budget is let in alone."""

    def __init__(self, megapixels: float) -> None:
        self.limit = megapixels
        self._held = 0.0
        self._changed = threading.Condition()

    @contextmanager
    def held(self, megapixels: float) -> Iterator[None]:
        """Waits until there is room, and holds it."""
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + megapixels <= self.limit)
            self._held += megapixels
        try:
            yield
        finally:
            with self._changed:
                self._held -= megapixels
                if self._held < 1e-9:
                    self._held = 0.0  # sums of floats drift; an empty budget is empty
                self._changed.notify_all()
