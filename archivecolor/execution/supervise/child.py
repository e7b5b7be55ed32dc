"""The child process, which colours: `python -m archivecolor.execution.supervise.child FD`, FD being the number of an
open socket."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import joblib

from archivecolor.errors import ArchivecolorError, shortage_error
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
from archivecolor.inference import malloc
from archivecolor.pipeline.observer import FilmProgress, RunObserver
from archivecolor.provenance import Record

_log = logging.getLogger("archivecolor.execution.supervise.child")


def main(number: int) -> None:
    """Reads the request from the socket, colours, and reports on the socket."""
    for terminal in (signal.SIGINT, signal.SIGHUP):  # the parent receives them as well, and passes them on as SIGTERM
        signal.signal(terminal, signal.SIG_IGN)
    os.set_inheritable(number, False)
    parent: Connection[Any, Any] = Connection(number)
    request: RunRequest = parent.recv()
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    _limit_cores(request.options.local_processes)
    malloc.keep_freed_memory()
    observer = ParentObserver(parent)
    log.forward(lambda record: observer.send(Logged(record)), request.log_level)
    try:
        from archivecolor.pipeline import hot_folder, runner  # heavy: until here a signal simply ends the process

        signal.signal(signal.SIGTERM, lambda *_: observer.stopped.set())
        if request.watching:
            totals = hot_folder.drive(request.watching, request.options, observer, request.crashes)
        else:
            totals = runner.drive(request.options, observer, request.crashes)
    except ArchivecolorError as error:
        observer.send(RunFailed(error))
        return
    except Exception as error:
        if shortage := shortage_error(error):
            observer.send(RunFailed(shortage))
            return
        _log.exception("the working process failed")  # a fault of this program: the parent logs the traceback
        raise SystemExit(1) from None
    observer.send(RunEnded(totals, observer.stopped.is_set()))


class ParentObserver(RunObserver):
    """Sends each event to the parent process."""

    def __init__(self, parent: Connection[Any, Any]) -> None:
        self.parent = parent
        self.stopped = threading.Event()
        self._sending = threading.Lock()

    def send(self, message: object) -> None:
        """Sends one message; for any thread."""
        with self._sending:
            self.parent.send(message)

    def picture_started(self, name: str) -> None:
        self.send(PictureStarted(name))

    def decode_started(self, name: str) -> None:
        self.send(DecodeStarted(name))

    def decode_finished(self, name: str) -> None:
        self.send(DecodeFinished(name))

    def picture_finished(self, name: str, row: Record | None, total: int) -> None:
        self.send(PictureFinished(name, row, total))

    def file_ignored(self, path: Path) -> None:
        self.send(FileIgnored(path))

    def film_progress(self, name: str, progress: FilmProgress) -> None:
        self.send(FilmProgressed(name, progress))

    def stop_requested(self) -> bool:
        return self.stopped.is_set()


def _limit_cores(processes: int) -> None:
    """Leaves the other processes of the run their share of the cores: joblib counts the rest as all there are."""
    if processes > 1:
        os.environ["LOKY_MAX_CPU_COUNT"] = str(max(1, joblib.cpu_count() // processes))


def _die_with(parent: Connection[Any, Any]) -> None:
    """Kills this process when the parent is gone: the parent sends nothing after its request, so anything that comes is
    the end of the connection. The next run does again what was unfinished, as after any other kill."""
    try:
        parent.recv()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGKILL)


def _end() -> NoReturn:
    """Ends this process at once. All files are closed and the parent knows everything; to take the modules of torch
    down one by one would cost a quarter of the time of their import."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
    _end()
