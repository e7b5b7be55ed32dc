"""`archivecolor bag`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archivecolor.cli.console import echo, progress_bar


def bag(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The --out of a finished run.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The bag to make; must not exist.")],
    organization: Annotated[str, typer.Option(help="For Source-Organization in bag-info.txt.")] = "",
) -> None:
    """Copy a finished folder into a BagIt bag with a PREMIS event for each picture; FOLDER stays as it is.

    Every output is compared with its row while it is copied.

    Example: archivecolor bag ./color --out ./color_bag
    """
    from archivecolor.preservation import bag as make

    with progress_bar() as bar:
        task = bar.add_task("copying", total=None, note="")
        watch = lambda done, total: bar.update(task, completed=done, total=total)  # noqa: E731
        events = make.bag(folder, out, organization, watch)
    echo(f"{out}: a bag with {events} PREMIS events; bagit.py --validate {out} checks it anywhere")
