"""`archivecolor train preview`: what the network is given to see."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archivecolor.cli.console import progress_bar
from archivecolor.cli.training_session import Data


def train_preview(
    data: Data,
    out: Annotated[Path, typer.Option(help="PNG to draw.")],
    count: Annotated[int, typer.Option(help="How many photographs, spread evenly over --data.")] = 8,
    times: Annotated[int, typer.Option(help="How often each is aged.")] = 5,
    size: Annotated[int, typer.Option(help="Side of a tile in pixels.")] = 192,
    seed: Annotated[int, typer.Option(help="What is drawn depends on it alone.")] = 0,
) -> None:
    """Draw a sheet of aged samples: a row of photographs in their true colours, one in plain grey, and aged ones.

    Example: archivecolor train preview --data ./colour_photos --out ./sheet.png
    """
    from archivecolor.options import PreviewOptions
    from archivecolor.training import preview
    from archivecolor.training.photographs import read_rgb

    asked = PreviewOptions(data=data, sheet=out, count=count, times=times, size=size, seed=seed)
    with progress_bar() as shown:
        task = shown.add_task("reading", total=None, note="")
        number = preview.preview(asked, read_rgb, lambda n: shown.update(task, completed=n))
    typer.echo(f"{out}: {number} photographs in true colours, in grey, and aged {times} times")
