"""A run on several devices: one process for each, with a share of the pictures, as `--shard` divides them."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from archivecolor.execution.supervise import parent
from archivecolor.options import RunOptions, Shard
from archivecolor.pipeline.inputs import read_stdin
from archivecolor.pipeline.observer import FilmProgress, ForwardingObserver, RunObserver, WithoutIgnoredFiles
from archivecolor.provenance import Record, Totals, merge
from archivecolor.provenance.shards import unmerged


def drive(options: RunOptions, observer: RunObserver, child: Sequence[str] = parent.CHILD) -> Totals:
    """`parent.drive`, once for each of the devices that `options.device` lists, all at the same time. Workers, cores
    and memory are divided among them. Before and after the run all rows are in one manifest; a run that was killed in
    between is resumed like any other. When the inputs or the output folder are refused, nothing is written.

    Raises:
        ArchivecolorError: as `parent.drive`; an error on one device ends the run on all of them.
    """
    devices = options.device.split(",")
    if len(devices) == 1:
        return parent.drive(options, observer, child)
    shared = _Shared()

    def drive_share(index: int, inputs: tuple[str, ...]) -> Totals:
        count = len(devices)
        own = replace(
            options,
            inputs=inputs,
            device=devices[index],
            shard=Shard(index + 1, count),
            local_processes=count,
            workers=options.workers and max(1, options.workers // count),
        )
        own_observer: RunObserver = _ShareObserver(observer, index, shared)
        if index > 0:  # every share searches all of the input folders
            own_observer = WithoutIgnoredFiles(own_observer)
        try:
            return parent.drive(own, own_observer, child)
        except BaseException:
            shared.failed.set()
            raise

    if unmerged(options.out):
        merge(options.out)
    with _inputs_for_all(options) as inputs, ThreadPoolExecutor(len(devices)) as threads:
        shares = [threads.submit(drive_share, index, inputs) for index in range(len(devices))]
    totals = sum((share.result() for share in shares), Totals())
    if unmerged(options.out):
        merge(options.out)
    return totals


@dataclass
class _Shared:
    """What the observers of all shares have in common."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    failed: threading.Event = field(default_factory=threading.Event)
    """One share has ended with an error."""
    totals: dict[int, int] = field(default_factory=dict)
    """Inputs of each share, as far as known."""


class _ShareObserver(ForwardingObserver):
    """Reports the events of one share as those of the whole run: one call at a time, and the inputs of all shares
    summed up."""

    def __init__(self, observer: RunObserver, index: int, shared: _Shared) -> None:
        super().__init__(observer)
        self.index, self.shared = index, shared

    def picture_started(self, name: str) -> None:
        with self.shared.lock:
            super().picture_started(name)

    def picture_finished(self, name: str, row: Record | None, total: int) -> None:
        with self.shared.lock:
            self.shared.totals[self.index] = total
            super().picture_finished(name, row, sum(self.shared.totals.values()))

    def film_progress(self, name: str, progress: FilmProgress) -> None:
        with self.shared.lock:
            super().film_progress(name, progress)

    def stop_requested(self) -> bool:
        return self.shared.failed.is_set() or super().stop_requested()


@contextmanager
def _inputs_for_all(options: RunOptions) -> Iterator[tuple[str, ...]]:
    """The inputs for every process. Standard input can be read only once, so a list on it becomes a file."""
    if "-" not in options.inputs:
        yield options.inputs
        return
    with tempfile.NamedTemporaryFile(prefix="archivecolor-list-") as listed:
        listed.write(read_stdin())
        listed.flush()
        yield tuple(f"@{listed.name}" if text == "-" else text for text in options.inputs)
