"""`archivecolor candidates`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def candidates(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="The picture to colour in several ways.")],
    out: Annotated[Path, typer.Option(help="PNG to draw.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="Weights by name or folder; may be repeated; lite and resnet18 if left out."),
    ] = None,
    size: Annotated[list[int] | None, typer.Option(help="May be repeated; 256 and 384 if left out.")] = None,
    strength: Annotated[list[float] | None, typer.Option(help="May be repeated; 1 and 1.4 if left out.")] = None,
    side: Annotated[int, typer.Option(help="Long side of each colouring on the sheet in pixels.")] = 360,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:n.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
) -> None:
    """Draw several colourings of one picture on one sheet, each over the flags of `run` that give it.

    Example: archivecolor candidates ./old_photos/people/portrait.jpg --out ./candidates.png
    """
    from archivecolor.options import CandidateOptions
    from archivecolor.review import candidates as room

    plain = CandidateOptions(picture, out)
    options = CandidateOptions(
        picture, out, tuple(model or plain.models), tuple(size or plain.sizes), tuple(strength or plain.strengths),
        side, device, precision,
    )  # fmt: skip
    for line in room.sheet(options):
        typer.echo(line)
