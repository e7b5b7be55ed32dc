"""`archivecolor watch`: a run whose inputs arrive while it runs.

The folder is searched again and again, as `run` searches it; file-system events only trigger a new search. A file that
has stopped changing is processed like every other input (`runner.outcomes`), in batches.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from archivecolor import files, sequences
from archivecolor.errors import NoInputError, StoppedError
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import RunOptions, WatchOptions, check_watchable
from archivecolor.pipeline import runner
from archivecolor.pipeline.inputs import Job
from archivecolor.pipeline.jobs import check_files, find_sources, with_kinds
from archivecolor.pipeline.observer import RunObserver, WithoutIgnoredFiles
from archivecolor.provenance import DONE, FAILED, CrashReport, Manifest, Record, Totals

_log = logging.getLogger(__name__)

UNFINISHED_NAMES = ("*.part", "*.partial", "*.filepart", "*.crdownload", "*.tmp", "*~", "~*")
"""Name patterns of files that are still being written. Such a file is taken once it is renamed."""
STILL_GROWING_S = 60.0
"""Seconds without a change after which a file that cannot be read is given up: a slow copy may pause."""
_STOP_CHECK_S = 0.2
"""Seconds between two checks, while waiting, whether to stop."""
_DEBOUNCE_S = 1.0
"""Seconds without a further event before the folder is searched: a copy causes thousands of events."""

State = tuple[object, ...]
"""See `files.state_of`."""


@dataclass
class _Arrival:
    state: State
    since: float
    """When it was first seen so, by the monotonic clock."""
    not_before: float = 0.0
    """When it may be tried (again)."""


class Arrivals:
    """What has arrived in the input folders and is not coloured yet.

    Args:
        options: `inputs` are folders, which may be missing for a while.
    """

    def __init__(self, options: RunOptions, settle: float, observer: RunObserver) -> None:
        self._options = replace(options, exclude=(*options.exclude, *UNFINISHED_NAMES))
        self._settle, self._observer = settle, WithoutIgnoredFiles(observer)
        self._taken: dict[str, State] = {}
        self._pending: dict[str, _Arrival] = {}
        self._missing = ""
        """Why the folders could not be searched the last time."""

    @property
    def pending(self) -> int:
        """How many are still changing."""
        return len(self._pending)

    def seconds_until_stable(self, now: float) -> float:
        """Seconds until the next one may be stable; infinite if none is pending."""
        times = (max(each.since + self._settle, each.not_before) for each in self._pending.values())
        return max(0.0, min(times, default=float("inf")) - now)

    def take_stable(self) -> list[Job]:
        """Searches the folders; returns the new and changed sources that have stopped changing, each once."""
        try:
            jobs = find_sources(self._options, self._observer)
        except NoInputError as error:  # empty, or a share that is gone for a while
            self._say_missing("" if all(map(os.path.isdir, self._options.inputs)) else str(error))
            return []
        except OSError as error:  # the server of a share is down
            self._say_missing(f"{error.filename or self._options.inputs[0]}: {error.strerror or error}")
            return []
        except StoppedError:
            return []
        self._say_missing("")
        now, found = time.monotonic(), list[Job]()
        pending: dict[str, _Arrival] = {}
        for job in jobs:
            try:
                state = files.state_of(job.source)
            except OSError:  # it is gone again
                continue
            if self._taken.get(job.name) == state:
                continue
            arrival = self._pending.get(job.name)
            if arrival is None or arrival.state != state:
                arrival = _Arrival(state, now)
            if now >= max(arrival.since + self._settle, arrival.not_before):
                found.append(job)
                self._taken[job.name] = state
            else:
                pending[job.name] = arrival
        self._pending = pending
        names = {job.name for job in jobs}
        self._taken = {name: state for name, state in self._taken.items() if name in names}
        return with_kinds(found, self._observer)

    def try_again(self, job: Job) -> bool:
        """Whether a source that could not be read may be one that is still growing, or whose share is gone for a while.
        Then it is returned again later."""
        try:
            age = time.time() - files.changed_at(job.source) if sequences.exists(job.source) else None
        except OSError:
            age = None
        if age is None:
            _log.warning("%s: is gone; coloured if it comes back", job.source)
            self._taken.pop(job.name, None)
            return True
        if not 0 <= age < STILL_GROWING_S:
            return False
        now = time.monotonic()
        wait = min(max(self._settle, _DEBOUNCE_S), STILL_GROWING_S - age)
        self._pending[job.name] = _Arrival(self._taken.pop(job.name), now - self._settle, now + wait)
        return True

    def _say_missing(self, reason: str) -> None:
        if reason and reason != self._missing:
            _log.warning("%s; waiting for it", reason)
        if self._missing and not reason:
            _log.warning("the input folder is there again")
        self._missing = reason


def drive(
    watching: WatchOptions,
    options: RunOptions,
    observer: RunObserver | None = None,
    crashes: CrashReport | None = None,
) -> Totals:
    """Colours what is in the input folders and what arrives there, until a stop is requested or `watching` says so.

    Args:
        observer: told of every input that is coloured, or that an earlier run had finished (row None).
        crashes: what processes that were killed during this run left behind.

    Returns:
        How many were coloured, skipped and failed.

    Raises:
        OutputError, WeightsError, UsageError: nothing can be done at all, or no longer.
    """
    check_watchable(options)
    observer, crashes = observer or RunObserver(), crashes or CrashReport()
    # What is settled may have been replaced since, so it is looked at again.
    crashes = replace(crashes, settled=frozenset(), fatal=dict(crashes.fatal))
    check_files(options)
    totals = Totals()
    with (
        Colorizer(options.model, options) as colorizer,
        Manifest(options.out, options.disclosure.sidecar) as manifest,
        _changes(options.inputs) as changed,
    ):
        arrivals = Arrivals(options, watching.settle, observer)
        known = {row.source_sha256: row.input for row in manifest.rows.newest() if row.status == DONE}
        last_arrival = time.monotonic()
        while not observer.stop_requested():
            batch = arrivals.take_stable()
            suspects, rest = runner.record_crashes(crashes, batch, manifest, observer)
            for job in batch:
                crashes.fatal.pop(job.name, None)  # tried again only if the file changes
            for job, made in runner.outcomes(suspects, rest, colorizer, options, manifest, observer):
                final = made and _with_former_name(made, known, options)
                if final and final.status == FAILED and arrivals.try_again(job):
                    final = None
                if final:
                    manifest.append(final)
                    totals[final.status, final.reason] += 1
                observer.picture_finished(job.name, final, len(batch))
            now = time.monotonic()
            last_arrival = now if batch or arrivals.pending else last_arrival
            if watching.once and not batch and not arrivals.pending:
                break
            if watching.idle_exit and now - last_arrival >= watching.idle_exit:
                break
            if not batch:
                left = watching.idle_exit - (now - last_arrival) if watching.idle_exit else float("inf")
                _wait(min(watching.poll, arrivals.seconds_until_stable(now), left), changed, observer)
    return totals


def _with_former_name(row: Record, known: dict[str, str], options: RunOptions) -> Record:
    """The row with a note if the same picture was coloured under a name that is gone.

    Args:
        known: SHA-256 -> the name of a coloured source; brought up to date.
    """
    if row.status != DONE:
        return row
    former = known.get(row.source_sha256, row.input)
    known[row.source_sha256] = row.input
    if former == row.input or any(os.path.exists(Path(text, former)) for text in options.inputs):  # noqa: PTH110
        return row
    return replace(row, notes=(*row.notes, f"the same picture as {former}, which is gone: renamed"))


def _wait(seconds: float, changed: threading.Event, observer: RunObserver) -> None:
    """Waits until something has changed and the changes pause, or for so many seconds."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not observer.stop_requested():
        if changed.wait(min(left, _STOP_CHECK_S)):
            changed.clear()
            end = min(end, time.monotonic() + _DEBOUNCE_S)


@contextmanager
def _changes(inputs: tuple[str, ...]) -> Iterator[threading.Event]:
    """An event that is set when the system reports a change in one of these folders.

    Without watchdog, on network shares, or where the system watches no more folders, it is never set.
    """
    changed = threading.Event()
    try:
        from watchdog.events import FileSystemEvent, FileSystemEventHandler
        from watchdog.observers import Observer
    except ImportError:
        _log.info("no watchdog (pip install 'archivecolor[watch]'): the folder is looked at every --poll seconds")
        yield changed
        return

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            if event.event_type in ("created", "modified", "moved", "closed"):
                changed.set()

    watcher = Observer()
    try:
        for text in inputs:
            watcher.schedule(Handler(), text, recursive=True)
        watcher.start()
    except OSError as error:
        _log.warning("the system reports no changes here (%s): the folder is looked at every --poll seconds", error)
        yield changed
        return
    try:
        yield changed
    finally:
        watcher.stop()
        watcher.join()
