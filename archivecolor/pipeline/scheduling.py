"""What the workers of a run share besides the network: room in memory and their turns; and a clock for each picture."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

_T = TypeVar("_T")


class StageTimer:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.started_at = datetime.now(UTC)

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


class MegapixelBudget:
    """Megapixels in memory at one time. What is larger than the whole budget is let in alone."""

    def __init__(self, megapixels: float) -> None:
        self.limit = megapixels
        self._held = 0.0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, megapixels: float) -> Iterator[None]:
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


@dataclass(frozen=True)
class Budgets:
    """Memory for the photographs in hand, and for the films: a film holds its own for hours, and photographs go on
    beside it."""

    photographs: MegapixelBudget
    films: MegapixelBudget

    @classmethod
    def of(cls, megapixels: float) -> Budgets:
        """So much for either."""
        return cls(MegapixelBudget(megapixels), MegapixelBudget(megapixels))


class SlowLast(Generic[_T]):
    """The order in which items are given out, such that slow ones do not take all workers while quick ones wait: beside
    the quick ones only so many are in hand at a time, and the rest of them come last.

    Args:
        is_slow: whether an item is a slow one.
        beside: how many of them may be in hand beside the others; 0: all of them come last.
    """

    def __init__(self, items: Iterable[_T], is_slow: Callable[[_T], bool], beside: int = 1) -> None:
        self._items, self._is_slow = items, is_slow
        self._turns = threading.Semaphore(beside)
        self._beside: set[_T] = set()

    def __iter__(self) -> Iterator[_T]:
        waiting: deque[_T] = deque()
        for item in self._items:
            if self._is_slow(item):
                waiting.append(item)
            else:
                yield item
            if waiting and self._turns.acquire(blocking=False):
                self._beside.add(waiting[0])
                yield waiting.popleft()
        yield from waiting

    def finished(self, item: _T) -> None:
        """Whatever it was, nobody works on it any more; after a slow one, another one may have its turn."""
        if item in self._beside:
            self._beside.remove(item)
            self._turns.release()
