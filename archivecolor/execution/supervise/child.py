"""The process that works: `python -m archivecolor.execution.supervise.child FD`, with the number of an open socket."""

from __future__ import annotations

import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

import joblib

from archivecolor.errors import ArchivecolorError
from archivecolor.execution.supervise.messages import (
    ROWS_PER_MESSAGE,
    FileIgnored,
    FilmProgress,
    PictureFinished,
    PictureStarted,
    RowBatch,
    RunEnded,
    RunFailed,
    RunRequest,
)
from archivecolor.inference import malloc


def main(number: int) -> None:
    """Does what the order on the socket says, and reports on the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C as well, and passes it on as SIGTERM
    os.set_inheritable(number, False)
    parent: Connection[Any, Any] = Connection(number)
    order: RunRequest = parent.recv()
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    _keep_to(order.options.beside)
    malloc.keep_freed_memory()
    from archivecolor.pipeline.runner import drive  # the heavy import: until here a signal simply ends it

    asked_to_stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked_to_stop.set())
    turn = threading.Lock()

    def tell(report: object) -> None:
        with turn:
            parent.send(report)

    try:
        rows = drive(
            order.options,
            lambda name, row, total: tell(PictureFinished(name, row, total)),
            asked_to_stop.is_set,
            lambda path: tell(FileIgnored(path)),
            film_watch=lambda *progress: tell(FilmProgress(*progress)),
            begun=lambda name: tell(PictureStarted(name)),
            known=order.known,
        )
    except ArchivecolorError as error:
        tell(RunFailed(error))
        return
    for start in range(0, len(rows), ROWS_PER_MESSAGE):
        tell(RowBatch(rows[start : start + ROWS_PER_MESSAGE]))
    tell(RunEnded(asked_to_stop.is_set()))


def _keep_to(beside: int) -> None:
    """Leaves the other processes of the run their share of the cores: joblib counts the rest as all there are."""
    if beside > 1:
        os.environ["LOKY_MAX_CPU_COUNT"] = str(max(1, joblib.cpu_count() // beside))


def _die_with(parent: Connection[Any, Any]) -> None:
    """Nothing more ever comes from the parent but the end of the line: then it is gone, and so is the reason to work.
    What is half done is done again by the next run, as after any other kill."""
    try:
        parent.recv()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]))
