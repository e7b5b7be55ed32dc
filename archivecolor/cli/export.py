"""`archivecolor export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archivecolor.cli.console import echo


def export(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The --out folder of a run.")],
    accepted: Annotated[Path, typer.Option(help="decisions.json of its review page.")],
    to: Annotated[Path, typer.Option(help="Folder for the copies.")],
) -> None:
    """Copy the accepted outputs with their sidecars into another folder. Files that are there already stay.

    Example: archivecolor export ./color --accepted ./decisions.json --to ./delivery
    """
    from archivecolor.review import export as review_export

    copied, there, left = review_export.export(out, accepted, to)
    for name, reason in left:
        echo(f"left out {name}: {reason}", err=True)
    echo(f"{copied} copied, {there} there already, {len(left)} left out; {to}")
    if left:
        raise SystemExit(3)
