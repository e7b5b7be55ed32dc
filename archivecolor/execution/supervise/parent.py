"""The parent process: it imports no torch, starts the child, and survives when the child is killed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import IO, Any

from archivecolor.errors import ArchivecolorError, StoppedError
from archivecolor.execution import log
from archivecolor.execution.supervise.messages import (
    FileIgnored,
    FilmProgressed,
    Logged,
    PictureFinished,
    PictureStarted,
    RunEnded,
    RunFailed,
    RunRequest,
)
from archivecolor.options import RunOptions
from archivecolor.pipeline.observer import RunObserver, WithoutIgnoredFiles
from archivecolor.provenance import CrashReport, Totals

CHILD = (sys.executable, "-m", "archivecolor.execution.supervise.child")
_POLL_S = 0.2
"""How often the parent checks whether it should stop; a Ctrl-C reaches the child after this time at most."""


@dataclass
class ChildSession:
    """What one child reported, and how it ended."""

    unfinished: set[str] = field(default_factory=set)
    """Inputs that it started and did not finish."""
    settled: set[str] = field(default_factory=set)
    error: ArchivecolorError | None = None
    end: RunEnded | None = None
    exit_code: int = 0


def drive(options: RunOptions, observer: RunObserver, child: Sequence[str] = CHILD) -> Totals:
    """`runner.drive` in a child process. When the child is killed, a new child tries the unfinished pictures one at a
    time; a picture that kills again gets a failed row, and the run continues.

    Args:
        child: the command that becomes the child; the number of its socket is appended.

    Raises:
        ArchivecolorError: as `runner.drive`; also when a child died that was working on no picture.
    """
    if os.name != "posix":  # elsewhere a socket cannot be inherited by its number
        from archivecolor.pipeline.runner import drive as drive_here

        return drive_here(options, observer)
    crashes = CrashReport()
    with _replayable_stdin(options) as stdin:
        while True:
            session = _run_child(RunRequest(options, crashes, log.level()), child, stdin, observer)
            if session.error:
                raise session.error
            if session.end and session.end.stopped and not observer.stop_requested():
                raise StoppedError("the working process was asked to stop; the same command resumes the run")
            if session.end:
                return session.end.totals
            if observer.stop_requested() and session.exit_code in (-signal.SIGTERM, -signal.SIGINT):
                return Totals()
            crashes = _updated(crashes, session)
            observer = WithoutIgnoredFiles(observer)


def _run_child(
    request: RunRequest, command: Sequence[str], stdin: IO[bytes] | int, observer: RunObserver
) -> ChildSession:
    """Starts a child and handles its messages until it has ended."""
    session, terminated = ChildSession(), False
    connection, child_end = Pipe()
    if not isinstance(stdin, int):
        stdin.seek(0)
    with _ctrl_c_ignored():  # the child inherits this, so it ignores Ctrl-C from its first moment
        process = subprocess.Popen([*command, str(child_end.fileno())], stdin=stdin, pass_fds=[child_end.fileno()])
    child_end.close()
    try:
        with suppress(ConnectionError):  # it died before it could read its request; the exit code says how
            connection.send(request)
        for message in _messages(connection):
            if observer.stop_requested() and not terminated:
                process.terminate()
                terminated = True
            _handle(message, session, observer)
    except Exception:  # the observer's, for example because nobody reads standard output any more
        process.terminate()
        for _ in _messages(connection):
            pass  # until the child has finished the pictures in work
        raise
    finally:
        connection.close()  # which ends a child that is still there
        session.exit_code = process.wait()
    return session


def _messages(child: Connection[Any, Any]) -> Iterator[object]:
    """Yields the child's messages, and None after each `_POLL_S` without one; ends when the child is dead."""
    while True:
        try:
            yield child.recv() if child.poll(_POLL_S) else None
        except (EOFError, OSError, pickle.UnpicklingError):  # also in the middle of a message
            return


def _handle(message: object, session: ChildSession, observer: RunObserver) -> None:
    match message:
        case PictureStarted(name):
            session.unfinished.add(name)
            observer.picture_started(name)
        case PictureFinished(name, row, total):
            session.unfinished.discard(name)
            session.settled.add(name)
            observer.picture_finished(name, row, total)
        case FilmProgressed(name, progress):
            observer.film_progress(name, progress)
        case FileIgnored(path):
            observer.file_ignored(path)
        case Logged(record):
            log.handle(record)
        case RunFailed(error):
            session.error = error
        case RunEnded():
            session.end = message


def _updated(crashes: CrashReport, session: ChildSession) -> CrashReport:
    """What the next child must know, after a child was killed.

    Raises:
        ArchivecolorError: no picture is to blame.
    """
    cause = _exit_cause(session.exit_code)
    if session.exit_code >= 0:
        raise ArchivecolorError(
            f"the working process {cause}, which is a fault of this program; {log.traceback_hint()}"
        )
    if not session.unfinished:
        raise ArchivecolorError(f"the working process {cause} while it was working on no picture; run again")
    settled = crashes.settled | session.settled
    killers = session.unfinished & set(crashes.suspect)
    reason = f"the working process {cause} over it, alone as well; convert it with another program, or report it"
    suspects = set(crashes.suspect) | session.unfinished
    return CrashReport(
        settled,
        {**crashes.fatal, **dict.fromkeys(killers, reason)},
        tuple(sorted(suspects - settled - killers)),
    )


def _exit_cause(exit_code: int) -> str:
    """How a process ended, in words."""
    if exit_code >= 0:
        return f"ended with code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return f"was killed ({name}{', perhaps for want of memory' if name == 'SIGKILL' else ''})"


@contextmanager
def _replayable_stdin(options: RunOptions) -> Iterator[IO[bytes] | int]:
    """Standard input for the children. A list of inputs on it is copied, so that a second child can read it again."""
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
