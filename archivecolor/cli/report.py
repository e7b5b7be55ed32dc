"""`archivecolor report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archivecolor.cli.console import progress_bar


def report(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The --out folder of a run.")],
    to: Annotated[
        Path | None, typer.Option(help="Folder for the page and its pictures; OUT-report beside OUT when left out.")
    ] = None,
    view: Annotated[int, typer.Option(help="Long side of the before/after pictures in pixels.")] = 1000,
    workers: Annotated[int, typer.Option(help="Threads that read and reduce; 0: as many as cores.")] = 0,
) -> None:
    """Make a review page: contact sheets, before/after, facts, decisions. It opens from the disk, without a network.

    Run it again after another run: only the pictures that are new are made.

    Example: archivecolor report ./color --to ./color-report
    """
    from archivecolor.options import ReportOptions
    from archivecolor.review import report as room

    options = ReportOptions(out, to, view, workers)
    with progress_bar() as shown:
        task = shown.add_task("reducing", total=None, note="")
        index = room.report(options, lambda done, total: shown.update(task, completed=done, total=total))
    typer.echo(index)
