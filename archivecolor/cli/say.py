"""What all verbs say it with: tables on stdout, progress on stderr, and one way to be interrupted."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from archivecolor.errors import INTERRUPTED

if TYPE_CHECKING:
    from rich.progress import Progress

    from archivecolor.training import loop


def print_table(rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if i else "left", overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    Console().print(table)


def bar() -> Progress:
    """A progress bar on stderr, so that stdout holds the result alone."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), refresh_per_second=1)


def watched(training: Callable[[loop.Watch, loop.Stop], object]) -> None:
    """Runs a training under a progress bar; Ctrl-C asks it to save and stop."""
    stop = interrupts()
    with bar() as shown:
        task = shown.add_task("training", total=None, note="")

        def watch(p: loop.Progress) -> None:
            numbers = " ".join(f"{k} {v:.4g}" for k, v in p.numbers.items())
            note = f"{p.pictures}/{p.total} at {p.size} px, {p.per_second:.1f}/s, {numbers}"
            shown.update(task, total=p.total, completed=p.pictures, note=note)
            if p.validated:
                shown.console.print(note)

        training(watch, stop)
    if stop():
        raise SystemExit(INTERRUPTED)


def interrupts() -> Callable[[], bool]:
    """From now on the first Ctrl-C or SIGTERM only makes the returned function true; a second one ends at once."""
    caught: list[int] = []

    def note(number: int, _: object) -> None:
        caught.append(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return lambda: bool(caught)
