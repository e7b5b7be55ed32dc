"""Shared by all verbs: tables on stdout, progress on stderr, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from archivecolor.files import printable

if TYPE_CHECKING:
    from rich.progress import Progress


def open_standard_streams() -> None:
    """Opens /dev/null in the place of a standard stream that is closed (`>&-`): otherwise the next file that is opened
    has its number, and what a library prints ends up in that file."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest free number
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def echo(text: object, err: bool = False) -> None:
    """Prints one line; a file name in it cannot act on the terminal."""
    typer.echo(printable(str(text)), err=err)


def print_table(rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if i else "left", overflow="fold")
    for row in rows[1:]:
        table.add_row(*map(escape, map(printable, row)))
    Console().print(table)


def progress_bar(shown: bool = True) -> Progress:
    """A progress bar on stderr, so that stdout holds the result alone."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    name = TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=10))
    columns = (name, BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), refresh_per_second=1, disable=not shown)


def catch_interrupts() -> Callable[[], bool]:
    """From now on the first Ctrl-C, SIGTERM or SIGHUP only makes the returned function true; a second one ends the
    program at once. SIGHUP comes when the terminal is closed; under nohup it stays ignored."""
    caught: list[int] = []

    def note(number: int, _: object) -> None:
        caught.append(number)
        signal.signal(number, signal.SIG_DFL)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # there is no SIGHUP on Windows
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, note)
    return lambda: bool(caught)
