"""The parent process: it imports no torch, starts the child, and survives when the child is killed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import IO, Any

from archivecolor.errors import ArchivecolorError, StoppedError
from archivecolor.execution import log
from archivecolor.execution.supervise.messages import (
    DecodeFinished,
    DecodeStarted,
    FileIgnored,
    FilmProgressed,
    Logged,
    PictureFinished,
    PictureStarted,
    RunEnded,
    RunFailed,
    RunRequest,
)
from archivecolor.options import RunOptions, WatchOptions
from archivecolor.pipeline.inputs import read_stdin
from archivecolor.pipeline.observer import RunObserver, WithoutIgnoredFiles
from archivecolor.provenance import CrashReport, Totals

CHILD = (sys.executable, "-m", "archivecolor.execution.supervise.child")
_POLL_S = 0.2
"""How often the parent checks whether it should stop; a Ctrl-C reaches the child after this time at most."""
_LONGEST_STEP_S = 1.0
"""A longer time between two messages means that this process did not run."""


@dataclass
class ChildSession:
    """What one child reported, and how it ended."""

    unfinished: set[str] = field(default_factory=set)
    """Inputs that it started and did not finish."""
    settled: set[str] = field(default_factory=set)
    error: ArchivecolorError | None = None
    end: RunEnded | None = None
    exit_code: int = 0
    decoding: dict[str, float] = field(default_factory=dict)
    """The photographs that are being decoded, and since when by `clock`."""
    timed_out: set[str] = field(default_factory=set)
    """Photographs whose decoding took too long, so that the child was killed."""
    clock: float = 0.0
    """Seconds in which both processes ran. The time in which this one was stopped, as by Ctrl-Z, does not count."""
    _looked_at: float = field(default_factory=lambda: time.monotonic())

    def advance(self) -> None:
        """Brings the clock up to now."""
        now = time.monotonic()
        self.clock += min(now - self._looked_at, _LONGEST_STEP_S)
        self._looked_at = now

    def overdue(self, limit_s: float) -> set[str]:
        """The photographs whose decoding has taken longer than a limit; 0: there is none."""
        return {name for name, since in self.decoding.items() if limit_s and self.clock - since > limit_s}


def drive(
    options: RunOptions,
    observer: RunObserver,
    child: Sequence[str] = CHILD,
    watching: WatchOptions | None = None,
) -> Totals:
    """`runner.drive`, or with `watching` `hot_folder.drive`, in a child process. When the child is killed, a new child
    tries the unfinished pictures one at a time; a picture that kills again gets a failed row, and the run continues.

    Args:
        child: the command that becomes the child; the number of its socket is appended.

    Raises:
        ArchivecolorError: as these; also when a child died that was working on no picture.
    """
    if os.name != "posix":  # elsewhere a socket cannot be inherited by its number
        from archivecolor.pipeline import hot_folder, runner

        return hot_folder.drive(watching, options, observer) if watching else runner.drive(options, observer)
    crashes = CrashReport()
    with _replayable_stdin(options) as stdin:
        while True:
            session = _run_child(RunRequest(options, crashes, log.level(), watching), child, stdin, observer)
            if session.error:
                raise session.error
            if session.end and session.end.stopped and not observer.stop_requested():
                raise StoppedError("the working process was asked to stop; the same command resumes the run")
            if session.end:
                return session.end.totals
            if observer.stop_requested() and session.exit_code in (-signal.SIGTERM, -signal.SIGINT):
                return Totals()
            crashes = _updated(crashes, session, options.decode_timeout)
            observer = WithoutIgnoredFiles(observer)


def _run_child(
    request: RunRequest, command: Sequence[str], stdin: IO[bytes] | int, observer: RunObserver
) -> ChildSession:
    """Starts a child and handles its messages until it has ended."""
    session, terminated = ChildSession(), False
    connection, child_end = Pipe()
    if not isinstance(stdin, int):
        stdin.seek(0)
    with _terminal_signals_ignored():  # the child inherits this, so it ignores them from its first moment
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
            session.advance()
            if not session.timed_out and (overdue := session.overdue(request.options.decode_timeout)):
                session.timed_out = overdue
                process.kill()
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
        case DecodeStarted(name):
            session.decoding[name] = session.clock
        case DecodeFinished(name):
            session.decoding.pop(name, None)
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


def _updated(crashes: CrashReport, session: ChildSession, decode_timeout: float) -> CrashReport:
    """What the next child must know, after a child was killed.

    Raises:
        ArchivecolorError: no picture is to blame.
    """
    settled = crashes.settled | session.settled
    if session.timed_out:
        late = session.timed_out - settled  # none where the picture ended just as the child was killed
        reason = (
            f"its decoding took longer than --decode-timeout {decode_timeout:g} seconds; convert it with another "
            "program, or allow more"
        )
        suspects = set(crashes.suspect) - settled - late
        return CrashReport(settled, {**crashes.fatal, **dict.fromkeys(late, reason)}, tuple(sorted(suspects)))
    cause = _exit_cause(session.exit_code)
    if session.exit_code >= 0:
        raise ArchivecolorError(
            f"the working process {cause}, which is a fault of this program; {log.traceback_hint()}{_limit_hint()}"
        )
    if not session.unfinished:
        raise ArchivecolorError(
            f"the working process {cause} while it was working on no picture; run again{_limit_hint()}"
        )
    killers = session.unfinished & set(crashes.suspect)
    reason = f"the working process {cause} over it, alone as well; convert it with another program, or report it"
    suspects = set(crashes.suspect) | session.unfinished
    return CrashReport(
        settled,
        {**crashes.fatal, **dict.fromkeys(killers, reason)},
        tuple(sorted(suspects - settled - killers)),
    )


def _limit_hint() -> str:
    """A limit on the memory of this user's processes, in words, or "": a library that runs into it may die silently."""
    import resource

    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    finite = [limit for limit in limits if limit != resource.RLIM_INFINITY]
    if not finite:
        return ""
    return f"; memory may be short: a process is limited to {min(finite) >> 20} MB (ulimit -v, ulimit -d)"


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
        copy.write(read_stdin())
        copy.flush()
        yield copy


@contextmanager
def _terminal_signals_ignored() -> Iterator[None]:
    """Within the block Ctrl-C and the end of the terminal have no effect."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
