"""What the workers of a run share besides the network: the memory budget and the order of jobs; and a stage timer."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

_T = TypeVar("_T")

IN_FLIGHT_MEGAPIXELS = 400.0
"""Decoded megapixels in memory at one time. A picture larger than this is handled alone."""


class StageTimer:
    """Sums the seconds of one job by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.started_at = datetime.now(UTC)
        self._started = time.monotonic()

    def now(self) -> datetime:
        """The time of day, never before `started_at`: it does not follow a clock that is set meanwhile."""
        return self.started_at + timedelta(seconds=time.monotonic() - self._started)

    def add(self, seconds: dict[str, float]) -> None:
        """Adds seconds by stage."""
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
    """Limits the megapixels that are in memory at one time.

    First come, first served: a large picture does not starve behind small ones that come later. A picture larger than
    the whole budget waits until it is alone.
    """

    def __init__(self, megapixels: float) -> None:
        self.limit = megapixels
        self._held = 0.0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, megapixels: float) -> Iterator[None]:
        """Waits until the megapixels fit, and holds them for the block."""
        self._acquire(megapixels)
        try:
            yield
        finally:
            self._release(megapixels)

    def _acquire(self, megapixels: float) -> None:
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                self._changed.wait_for(lambda: self._queue[0] is ticket and self._fits(megapixels))
                self._held += megapixels
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _release(self, megapixels: float) -> None:
        with self._changed:
            self._held -= megapixels
            if self._held < 1e-9:
                self._held = 0.0  # sums of floats drift; an empty budget is empty
            self._changed.notify_all()

    def _fits(self, megapixels: float) -> bool:
        return self._held == 0 or self._held + megapixels <= self.limit


@dataclass(frozen=True)
class Budgets:
    """Memory for photographs and for films. Each has its own budget, because a film holds its share for hours."""

    photographs: MegapixelBudget
    films: MegapixelBudget

    @classmethod
    def of(cls, megapixels: float) -> Budgets:
        """The same number of megapixels for each of the two."""
        return cls(MegapixelBudget(megapixels), MegapixelBudget(megapixels))


class SlowLast(Generic[_T]):
    """Yields fast items first; at most `max_concurrent_slow` slow items run beside them, the rest come last.

    Without this order, slow items would occupy every worker while fast ones wait.

    Args:
        is_slow: whether an item is slow.
        max_concurrent_slow: how many slow items may run beside fast ones; 0: all slow items come last.
    """

    def __init__(self, items: Iterable[_T], is_slow: Callable[[_T], bool], max_concurrent_slow: int = 1) -> None:
        self._items, self._is_slow = items, is_slow
        self._slots = threading.Semaphore(max_concurrent_slow)
        self._holders: set[_T] = set()

    def __iter__(self) -> Iterator[_T]:
        waiting: deque[_T] = deque()
        for item in self._items:
            if self._is_slow(item):
                waiting.append(item)
            else:
                yield item
            if waiting and self._slots.acquire(blocking=False):
                self._holders.add(waiting[0])
                yield waiting.popleft()
        yield from waiting

    def finished(self, item: _T) -> None:
        """Must be called for every item that was worked on: a slow one frees its slot for the next."""
        if item in self._holders:
            self._holders.remove(item)
            self._slots.release()
