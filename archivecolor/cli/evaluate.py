"""`archivecolor evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archivecolor.cli.say import bar, print_table


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder of colour photographs no model has seen, or a list of them.")],
    model: Annotated[list[str] | None, typer.Option(help="Weights by name or folder; may be repeated.")] = None,
    size: Annotated[int, typer.Option(help="Side of the centre crops in pixels.")] = 256,
    limit: Annotated[int, typer.Option(help="At most so many pictures, spread evenly; 0 for all.")] = 0,
    sheet: Annotated[Path | None, typer.Option(help="PNG to draw: rows of grey, each model, truth.")] = None,
    write_card: Annotated[
        bool, typer.Option("--write-card", help="Write each model's numbers into its card, as numbers/test.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:n.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
) -> None:
    """Measure models on colour photographs made grey: PSNR, CIEDE2000, colourfulness, agreement, Fréchet (Lite0).

    Example: archivecolor evaluate --data ./colour_photos --model lite --model ./weights/mine --sheet ./compare.png
    """
    from archivecolor import devices, weights
    from archivecolor.options import Evaluation
    from archivecolor.training import evaluate as measure
    from archivecolor.training.school import read_rgb

    where = devices.choose_device(device)
    asked = Evaluation(
        data=data, models=tuple(model or [weights.DEFAULT_MODEL]), size=size, limit=limit, sheet=sheet,
        precision=devices.choose_precision(precision, where),
    )  # fmt: skip
    with bar() as shown:
        task = shown.add_task("", total=None, note="")
        result = measure.evaluate(
            asked, read_rgb, where,
            lambda what, done, total: shown.update(task, description=what, completed=done, total=total),
        )  # fmt: skip
    if write_card:
        measure.write_cards(result, asked.models)
    if as_json:
        typer.echo(measure.as_json(result))
    else:
        print_table(measure.as_rows(result))
        left_out = ", ".join(f"{count} {reason}" for reason, count in result.left_out.items()) or "none"
        typer.echo(f"{result.pictures} pictures at {result.size} px, {result.precision}; left out: {left_out}")
