"""The process that watches: it imports no torch, starts the child, and lives on when the child is killed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from archivecolor.errors import ArchivecolorError, StoppedError
from archivecolor.execution.supervise.messages import (
    FileIgnored,
    FilmProgress,
    PictureFinished,
    PictureStarted,
    RowBatch,
    RunEnded,
    RunFailed,
    RunRequest,
)
from archivecolor.options import RunOptions
from archivecolor.provenance import CrashReport, FilmProgressCallback, Record

CHILD = (sys.executable, "-m", "archivecolor.execution.supervise.child")
_LOOK_EVERY_S = 0.2
"""How long a Ctrl-C waits until the child hears of it, at most."""

Watch = Callable[[str, Record | None, int], None]
PassOver = Callable[[Path], None]


@dataclass(frozen=True)
class Listeners:
    """Who is to be told what."""

    watch: Watch
    passed_over: PassOver
    film_watch: FilmProgressCallback


@dataclass
class ChildSession:
    """What one child told, and how it ended."""

    in_hand: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    rows: list[Record] = field(default_factory=list)
    error: ArchivecolorError | None = None
    end: RunEnded | None = None
    exit_code: int = 0


def drive(
    options: RunOptions,
    watch: Watch,
    stop: Callable[[], bool],
    passed_over: PassOver,
    child: Sequence[str] = CHILD,
    film_watch: FilmProgressCallback = lambda name, what, done, total, seconds: None,
) -> list[Record]:
    """`run.drive` in a child process, which may be killed: the pictures it had in hand are then tried one at a time,
    the one that kills again is failed by name, and the rest goes on.

    Args:
        options, watch, stop, passed_over, film_watch: as for `run.drive`.
        child: the command that becomes the child; the number of its socket is added.

    Raises:
        ArchivecolorError: whatever `run.drive` raises; also when a child died that had no picture in hand.
    """
    if os.name != "posix":  # elsewhere a socket cannot be handed on by its number
        from archivecolor.pipeline.runner import drive as drive_here

        return drive_here(options, watch, stop, passed_over, film_watch=film_watch)
    known = CrashReport()
    with _listed_inputs(options) as stdin:
        while True:
            life = _live(RunRequest(options, known), child, stdin, stop, Listeners(watch, passed_over, film_watch))
            if life.error:
                raise life.error
            if life.end and life.end.stopped and not stop():
                raise StoppedError("the working process was asked to stop; the same command goes on from here")
            if life.end or (stop() and life.exit_code in (-signal.SIGTERM, -signal.SIGINT)):
                return life.rows
            known = _learned(known, life)
            passed_over = say_nothing  # they were heard of already


def say_nothing(path: Path) -> None:
    """Stands for `passed_over` from the second child on."""


def _live(
    order: RunRequest,
    command: Sequence[str],
    stdin: IO[bytes] | int,
    stop: Callable[[], bool],
    ears: Listeners,
) -> ChildSession:
    """Starts a child and listens to it until it is gone."""
    life, told = ChildSession(), False
    here, there = Pipe()
    if not isinstance(stdin, int):
        stdin.seek(0)
    with _ctrl_c_ignored():  # also by the child, from its first moment on
        process = subprocess.Popen([*command, str(there.fileno())], stdin=stdin, pass_fds=[there.fileno()])
    there.close()
    try:
        here.send(order)
        for report in _reports(here):
            if stop() and not told:
                process.terminate()
                told = True
            _take(report, life, ears)
    except ConnectionError:
        pass  # it died before it could read its order; the exit code says how
    finally:
        here.close()  # which ends a child that is still there
        life.exit_code = process.wait()
    return life


def _reports(child: Connection[Any, Any]) -> Iterator[object]:
    """What the child says, None whenever it has said nothing for a moment; ends with its death."""
    while True:
        try:
            yield child.recv() if child.poll(_LOOK_EVERY_S) else None
        except (EOFError, OSError, pickle.UnpicklingError):  # also in the middle of a word
            return


def _take(report: object, life: ChildSession, ears: Listeners) -> None:
    match report:
        case PictureStarted(name):
            life.in_hand.add(name)
        case PictureFinished(name, row, total):
            life.in_hand.discard(name)
            life.settled.add(name)
            ears.watch(name, row, total)
        case FilmProgress():
            ears.film_watch(report.name, report.what, report.done, report.total, report.seconds)
        case FileIgnored(path):
            ears.passed_over(path)
        case RowBatch(rows):
            life.rows += rows
        case RunFailed(error):
            life.error = error
        case RunEnded():
            life.end = report


def _learned(known: CrashReport, life: ChildSession) -> CrashReport:
    """What the next child must know.

    Raises:
        ArchivecolorError: the child did not die of a picture.
    """
    how = _cause(life.exit_code)
    if life.exit_code >= 0:
        raise ArchivecolorError(f"the working process {how}, which is a fault of this program; its words are above")
    if not life.in_hand:
        raise ArchivecolorError(f"the working process {how} while it had no picture in hand; run again")
    settled = known.settled | life.settled
    alone = life.in_hand & set(known.suspects)
    reason = f"the working process {how} over it, alone as well; convert it with another program, or report it"
    suspects = set(known.suspects) | life.in_hand
    return CrashReport(
        settled, {**known.killers, **dict.fromkeys(alone, reason)}, tuple(sorted(suspects - settled - alone))
    )


def _cause(exit_code: int) -> str:
    """In words: how a process ended."""
    if exit_code >= 0:
        return f"ended with code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return f"was killed ({name}{', perhaps for want of memory' if name == 'SIGKILL' else ''})"


@contextmanager
def _listed_inputs(options: RunOptions) -> Iterator[IO[bytes] | int]:
    """Standard input for the children: a list that is read from there must be there again for the second child."""
    if "-" not in options.inputs:
        yield subprocess.DEVNULL
        return
    with tempfile.TemporaryFile() as copy:
        copy.write(sys.stdin.buffer.read())
        copy.flush()
        yield copy


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
