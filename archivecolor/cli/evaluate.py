"""`archivecolor evaluate`."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archivecolor.cli.console import print_table, progress_bar

if TYPE_CHECKING:
    import torch
    from rich.progress import Progress, TaskID

    from archivecolor.options import EvaluationOptions


SIZE = 256


def evaluate(
    data: Annotated[
        Path | None, typer.Option(help="Folder of colour photographs no model has seen, or a list of them.")
    ] = None,
    film: Annotated[Path | None, typer.Option(help="A colour film instead: how true and how steady.")] = None,
    plates: Annotated[
        Path | None,
        typer.Option(
            help="Plates of three-colour photographs instead: a folder of NAME__truth.EXT and NAME__input_PLATE.EXT."
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="With --film: PNG of mean a and b over time.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Weights by name or folder; may be repeated.")] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="A B",
            help="Two weights side by side, for example before and after adversarial training: a captioned sheet "
            "(compare.png, or --sheet) and a column of differences.",
        ),
    ] = None,
    size: Annotated[int, typer.Option(help="Side of the centre crops in pixels.")] = SIZE,
    limit: Annotated[int, typer.Option(help="At most so many pictures, spread evenly; 0 for all.")] = 0,
    sheet: Annotated[Path | None, typer.Option(help="PNG to draw: rows of grey, each model, truth.")] = None,
    write_card: Annotated[
        bool,
        typer.Option(
            "--write-card",
            help="Write each model's numbers into its card, as numbers/test; or, with --confidence, its median doubt "
            "alone, as numbers/confidence, by which later runs with --confidence judge.",
        ),
    ] = False,
    confidence: Annotated[
        bool,
        typer.Option(
            "--confidence", help="Measure instead how well signs of doubt rank with the true error (Spearman)."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:n.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
) -> None:
    """Measure models on colour photographs made grey: PSNR, CIEDE2000, colourfulness, agreement, Fréchet (Lite0); or on
    a colour film: PSNR, CIEDE2000, and how steady its colours are, with and without steadying; or on single plates of
    early three-colour photographs, which saw blue or green alone.

    Example: archivecolor evaluate --data ./colour_photos --model lite --model ./weights/mine --sheet ./compare.png
    """
    from archivecolor.errors import UsageError

    if film:
        if data or plates or compare or limit or sheet or write_card or confidence or size != SIZE:
            raise UsageError("--film: goes with --model, --plot, --json, --device and --precision alone")
        _film(film, plot, model, device, precision, as_json)
        return
    from archivecolor import weights
    from archivecolor.evaluation import evaluate as measure
    from archivecolor.evaluation import scoring
    from archivecolor.inference import devices
    from archivecolor.options import EvaluationOptions
    from archivecolor.training.photographs import read_rgb

    source = data or plates
    if source is None or (data and plates):
        raise UsageError("name colour photographs with --data, or plates with --plates, or a colour film with --film")
    if plot:
        raise UsageError("--plot: goes with --film alone")
    if confidence and (sheet or compare):
        raise UsageError("--confidence: draws no sheet; leave --sheet out, and name the weights with --model")
    if plates and (limit or confidence or write_card or compare):
        raise UsageError("--plates: goes with none of --limit, --confidence, --write-card and --compare")
    where = devices.choose_device(device)
    asked = EvaluationOptions(
        data=source, models=(*(model or []), *(compare or ())) or (weights.DEFAULT_MODEL,), size=size, limit=limit,
        sheet=sheet or (Path("compare.png") if compare else None), compare=compare is not None,
        precision=devices.choose_precision(precision, where),
    )  # fmt: skip
    if plates:
        _plates(asked, where, as_json)
        return
    if confidence:
        _rank(asked, where, write_card, as_json)
        return
    with progress_bar() as shown:
        task = shown.add_task("colouring", total=None, note="")
        result = measure.evaluate(
            asked, read_rgb, where, lambda done, total: shown.update(task, completed=done, total=total)
        )
    if as_json:
        typer.echo(scoring.as_json(result, asked.compare))
    else:
        print_table(scoring.as_rows(result, asked.compare))
        left_out = ", ".join(f"{count} {reason}" for reason, count in result.left_out.items()) or "none"
        typer.echo(f"{result.pictures} pictures at {result.size} px, {result.precision}; left out: {left_out}")
        typer.echo(result.protocol)
        if asked.sheet:
            typer.echo(f"{asked.sheet}: rows of grey, {', '.join(asked.models)}, truth")
    if write_card:
        scoring.write_cards(result, asked.models)


def _rank(asked: EvaluationOptions, where: torch.device, write_card: bool, as_json: bool) -> None:
    from archivecolor.evaluation import confidence
    from archivecolor.training.photographs import read_rgb

    with progress_bar() as shown:
        task = shown.add_task("", total=None, note="")
        ranked = confidence.rank(
            asked, read_rgb, where,
            lambda what, done, total: shown.update(task, description=what, completed=done, total=total),
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in ranked], indent=1))
    else:
        print_table(confidence.as_rows(ranked))
        typer.echo(
            f"{ranked[0].pictures} pictures at {asked.size} px, {asked.precision}; median doubt "
            f"{', '.join(f'{one.median:g}' for one in ranked)}"
        )
    if write_card:
        confidence.write_cards(ranked, asked)


def _plates(asked: EvaluationOptions, where: torch.device, as_json: bool) -> None:
    from archivecolor.evaluation import plates
    from archivecolor.training.photographs import read_rgb

    with progress_bar() as shown:
        task = shown.add_task("colouring", total=None, note="")
        scores = plates.evaluate(
            asked, read_rgb, where, lambda done, total: shown.update(task, completed=done, total=total)
        )
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in scores], indent=1, ensure_ascii=False))
    else:
        print_table(plates.as_rows(scores))


def _film(film: Path, plot: Path | None, models: list[str] | None, device: str, precision: str, as_json: bool) -> None:
    """Measures every model on one film."""
    import json

    from archivecolor import weights
    from archivecolor.evaluation import film_measures
    from archivecolor.inference.colorizer import Colorizer
    from archivecolor.options import FilmEvaluationOptions

    asked = FilmEvaluationOptions(film, plot=plot)
    for model in models or [weights.DEFAULT_MODEL]:
        with progress_bar() as shown, Colorizer(model, device=device, precision=precision) as colorizer:
            task = shown.add_task(model, total=None, note="")
            show = partial(_show, shown, task)
            result = film_measures.evaluate_film(asked, colorizer, show)
        if as_json:
            typer.echo(json.dumps({"model": model, **result}))
        else:
            typer.echo(model)
            print_table(film_measures.as_rows(result))


def _show(shown: Progress, task: TaskID, _: str, done: int, total: int) -> None:
    shown.update(task, completed=done, total=total)
