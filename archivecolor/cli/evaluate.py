"""`archivecolor evaluate`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from archivecolor import files
from archivecolor.cli.console import echo, print_table, progress_bar
from archivecolor.cli.from_options import takes_options
from archivecolor.errors import UsageError
from archivecolor.options import DEFAULT_SHEET, ColorizerOptions, EvaluationOptions, EvaluationRequest

if TYPE_CHECKING:
    import torch
    from rich.progress import Progress


@takes_options(EvaluationRequest)
def evaluate(request: EvaluationRequest) -> None:
    """Measure models on colour photographs made grey: PSNR, CIEDE2000, colourfulness, agreement, Fréchet (Lite0).

    With --film, measure them on a colour film: PSNR, CIEDE2000, and how steady its colours are, with and without
    steadying; with --references too, how well it keeps to reference frames. With --plates, measure them on single
    plates of early three-colour photographs, which saw only blue or only green.

    Example: archivecolor evaluate --data ./colour_photos --model lite --model ./weights/mine --sheet ./compare.png
    """
    sheet = request.sheet or (DEFAULT_SHEET if request.compare else None)
    for path in filter(None, (sheet, request.csv, request.plot)):
        files.check_writable(path)
    if request.film:
        _evaluate_film(request, request.film)
        return
    if request.write_card and not request.force:
        _refuse_shipped(request.named_models)
    from archivecolor.inference import devices

    device = devices.choose_device(request.device)
    options = request.on_pictures(devices.choose_precision(request.precision, device))
    if request.plates:
        _evaluate_plates(request, options, device)
    elif request.confidence:
        _rank_confidence(request, options, device)
    else:
        _evaluate_photographs(request, options, device)


def _refuse_shipped(models: Sequence[str]) -> None:
    """The published cards are not to change by accident.

    Raises:
        UsageError: one of the models comes with the program.
    """
    from archivecolor import weights

    for model in models:
        if weights.is_shipped(weights.find(model)):
            raise UsageError(
                f"--write-card: {model} comes with the program, and its card has the published numbers; name your own "
                "weights with --model, or add --force"
            )


def _evaluate_photographs(request: EvaluationRequest, options: EvaluationOptions, device: torch.device) -> None:
    from archivecolor.evaluation import evaluate as measure
    from archivecolor.evaluation import scoring
    from archivecolor.training.photographs import read_rgb

    with progress_bar() as bar:
        result = measure.evaluate(options, read_rgb, device, _advance(bar, "colouring"))
    if request.as_json:
        typer.echo(scoring.as_json(result, options.compare))
    else:
        print_table(scoring.as_rows(result, options.compare))
        left_out = ", ".join(f"{count} {reason}" for reason, count in result.left_out.items()) or "none"
        echo(f"{result.pictures} pictures at {result.size} px, {result.precision}; left out: {left_out}")
        echo(result.protocol)
        for line in scoring.remarks(result):
            echo(line)
        if options.sheet:
            echo(f"{options.sheet}: rows of grey, {', '.join(options.models)}, truth")
    if request.csv:
        scoring.write_csv(result, request.csv)
    if request.write_card:
        scoring.write_cards(result, options.models)


def _rank_confidence(request: EvaluationRequest, options: EvaluationOptions, device: torch.device) -> None:
    from archivecolor.evaluation import confidence
    from archivecolor.training.photographs import read_rgb

    with progress_bar() as bar:
        task = bar.add_task("", total=None, note="")

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        ranked = confidence.rank(options, read_rgb, device, show)
    if request.as_json:
        typer.echo(json.dumps([asdict(one) for one in ranked], indent=1))
    else:
        print_table(confidence.as_rows(ranked))
        medians = ", ".join(f"{one.median:g}" for one in ranked)
        pictures = f"{ranked[0].pictures} pictures at {options.size} px, {options.precision}"
        echo(f"{pictures}; median doubt {medians}")
    if request.write_card:
        confidence.write_cards(ranked, options)


def _evaluate_plates(request: EvaluationRequest, options: EvaluationOptions, device: torch.device) -> None:
    from archivecolor.evaluation import plates
    from archivecolor.training.photographs import read_rgb

    with progress_bar() as bar:
        scores = plates.evaluate(options, read_rgb, device, _advance(bar, "colouring"))
    if request.as_json:
        typer.echo(json.dumps([asdict(one) for one in scores], indent=1, ensure_ascii=False))
    else:
        print_table(plates.as_rows(scores))


def _evaluate_film(request: EvaluationRequest, film: Path) -> None:
    """Measures every model on one film."""
    from archivecolor.evaluation import film_measures

    for model in request.named_models:
        result = _film_numbers(request, film, model)
        if request.as_json:
            typer.echo(json.dumps({"model": model, **result}))
        else:
            echo(model)
            print_table(film_measures.as_rows(result))


def _film_numbers(request: EvaluationRequest, film: Path, model: str) -> dict[str, dict[str, float]]:
    from archivecolor.evaluation import film_measures
    from archivecolor.inference.colorizer import Colorizer

    options = ColorizerOptions(device=request.device, precision=request.precision)
    with progress_bar() as bar, Colorizer(model, options) as colorizer:
        advance = _advance(bar, model)
        if request.references:
            from archivecolor.evaluation.reference_measures import evaluate_references

            return evaluate_references(
                film, colorizer, request.references, lambda what, done, total: advance(done, total)
            )
        return film_measures.evaluate_film(
            film, colorizer, lambda what, done, total: advance(done, total), request.plot
        )


def _advance(bar: Progress, name: str) -> Callable[[int, int], None]:
    """Adds a task to the bar; the returned function is told how many of how many are done."""
    task = bar.add_task(name, total=None, note="")
    return lambda done, total: bar.update(task, completed=done, total=total)
