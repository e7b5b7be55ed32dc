"""The log: the loggers `archivecolor.*` of the standard logging module, and where their records go.

A process that works for another one (a child, a Ray actor) keeps no log. It hands its records to the first process,
whose terminal and log file thus show everything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from archivecolor.errors import OutputError
from archivecolor.files import printable

ROOT = logging.getLogger("archivecolor")
_FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"
_CONSOLE_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class _Destinations:
    """Where the records of this process go now."""

    handlers: tuple[logging.Handler, ...] = ()
    file: Path | None = None
    tracebacks_shown = False


def start(print_line: Callable[[str], None], verbosity: int = 0, file: Path | None = None) -> None:
    """Shows records with `print_line`, and writes them to a file. Replaces an earlier `start`.

    Args:
        verbosity: 0 shows warnings and errors, 1 also a line for every picture, 2 also details and tracebacks.
        file: the log file, to which records and tracebacks are appended.

    Raises:
        OutputError: the log file cannot be written.
    """
    level = _CONSOLE_LEVELS[min(verbosity, 2)]
    handlers: list[logging.Handler] = [_LineHandler(print_line, level)]
    if file:
        try:
            handlers.append(logging.FileHandler(file, encoding="utf-8", errors="surrogateescape"))
        except OSError as error:
            raise OutputError(f"--log-file {file}: cannot be written ({error.strerror})") from error
        handlers[-1].setFormatter(_PlainFormatter(_FORMAT))
        level = min(level, logging.INFO)
    for handler in _Destinations.handlers:
        ROOT.removeHandler(handler)
        handler.close()
    for handler in handlers:
        ROOT.addHandler(handler)
    ROOT.setLevel(level)
    _Destinations.handlers, _Destinations.file = tuple(handlers), file
    _Destinations.tracebacks_shown = verbosity >= 2


def is_started() -> bool:
    """Whether records go where the user asked for."""
    return bool(_Destinations.handlers)


def traceback_hint() -> str:
    """Tells the user where the traceback of an error is."""
    if _Destinations.file:
        return f"the traceback is in {_Destinations.file}"
    if _Destinations.tracebacks_shown or not is_started():
        return "the traceback is above"
    return "run again with --log-file FILE to get the traceback"


def level() -> int:
    """The level that processes working for this one should use."""
    return ROOT.getEffectiveLevel()


def handle(record: logging.LogRecord) -> None:
    """Logs a record that another process has forwarded."""
    logging.getLogger(record.name).handle(record)


def forward(send: Callable[[logging.LogRecord], None], level: int) -> logging.Handler:
    """Sends all records of this process to another one. They can be pickled: their arguments and their traceback are
    text already.

    Returns:
        The handler; `ROOT.removeHandler` ends the forwarding.
    """
    handler = _ForwardingHandler(send)
    ROOT.addHandler(handler)
    ROOT.setLevel(level)
    return handler


@contextmanager
def collected(level: int) -> Iterator[list[logging.LogRecord]]:
    """Collects the records of this process while the block runs, ready to be pickled."""
    records: list[logging.LogRecord] = []
    handler = forward(records.append, level)
    try:
        yield records
    finally:
        ROOT.removeHandler(handler)


class _PlainFormatter(logging.Formatter):
    """One line for each message, whatever file names it holds; a traceback follows on lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the name of the library)
        return printable(super().formatMessage(record))


class _LineHandler(logging.Handler):
    """Shows each record as one line on the terminal. Tracebacks are shown only at level DEBUG, and so are the records
    that have one: the row of the picture, or the last line of the program, tells the user of the same error."""

    def __init__(self, print_line: Callable[[str], None], level: int) -> None:
        super().__init__(level)
        self.print_line = print_line
        self.setFormatter(_PlainFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        if (record.exc_info or record.exc_text) and self.level > logging.DEBUG:
            return
        for line in self.format(record).split("\n"):
            self.print_line(line)


class _ForwardingHandler(logging.Handler):
    def __init__(self, send: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self.send = send

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self.send(record)
