"""A run on several devices: a process for each, with a share of the pictures of its own, as `--shard` makes them."""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from archivecolor.execution.supervise import parent
from archivecolor.options import RunOptions, Shard
from archivecolor.provenance import FilmProgressCallback, Manifest, Record
from archivecolor.provenance.shards import unmerged


def drive(
    options: RunOptions,
    watch: parent.Watch,
    stop: Callable[[], bool],
    passed_over: parent.PassOver,
    child: Sequence[str] = parent.CHILD,
    film_watch: FilmProgressCallback = lambda name, what, done, total, seconds: None,
) -> list[Record]:
    """`parent.drive`, once for each of the devices that `options.device` lists, all at the same time; workers, cores
    and memory are shared out among them. Their rows are in one manifest before and after; a run that was killed in
    between goes on like any other. Where the inputs or the output folder are refused, nothing is written.

    Raises:
        ArchivecolorError: as `parent.drive`; what is wrong with one of them ends all.
    """
    devices = options.device.split(",")
    if len(devices) == 1:
        return parent.drive(options, watch, stop, passed_over, child, film_watch)
    turn, broken = threading.Lock(), threading.Event()
    totals: dict[int, int] = {}

    def share(index: int, inputs: tuple[str, ...]) -> list[Record]:
        def watched(name: str, row: Record | None, total: int) -> None:
            with turn:
                totals[index] = total
                watch(name, row, sum(totals.values()))

        def film_watched(name: str, what: str, done: int, total: int, seconds: float) -> None:
            with turn:
                film_watch(name, what, done, total, seconds)

        count = len(devices)
        own = replace(
            options, inputs=inputs, device=devices[index], shard=Shard(index + 1, count), beside=count,
            workers=options.workers and max(1, options.workers // count),
        )  # fmt: skip
        try:
            return parent.drive(
                own, watched, lambda: stop() or broken.is_set(), passed_over if index == 0 else parent.say_nothing,
                child, film_watched,
            )  # fmt: skip
        except BaseException:
            broken.set()
            raise

    if unmerged(options.out):
        _merge(options.out)
    with _inputs_for_all(options) as inputs, ThreadPoolExecutor(len(devices)) as threads:
        shares = [threads.submit(share, index, inputs) for index in range(len(devices))]
    rows = [row for done in shares for row in done.result()]
    _merge(options.out)
    return sorted(rows, key=lambda row: row.input)


def _merge(out: Path) -> None:
    with Manifest(out):  # whoever opens it whole joins what shards have left
        return


@contextmanager
def _inputs_for_all(options: RunOptions) -> Iterator[tuple[str, ...]]:
    """Standard input can be read once only: a list from there becomes a file."""
    if "-" not in options.inputs:
        yield options.inputs
        return
    with tempfile.NamedTemporaryFile(prefix="archivecolor-list-") as listed:
        listed.write(sys.stdin.buffer.read())
        listed.flush()
        yield tuple(f"@{listed.name}" if text == "-" else text for text in options.inputs)
