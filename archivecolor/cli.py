"""Verbs -> frozen options -> one call; prints errors and sets the exit code. Heavy imports live inside the verbs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archivecolor.errors import INTERRUPTED, ArchivecolorError

if TYPE_CHECKING:
    from rich.progress import Progress

    from archivecolor.training import loop

app = typer.Typer(add_completion=True, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
train = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Make the weights: L1 pre-training, GAN, pix2pix."
)
app.add_typer(train, name="train")


@app.callback()
def _app() -> None:
    """Colorizes whole collections of old photographs, keeping every scan's luminance exactly."""


@train.command("pretrain")
def train_pretrain(
    data: Annotated[Path, typer.Option(help="Folder of colour photographs, or a text file that lists them.")],
    out: Annotated[Path, typer.Option(help="Weights folder to write; holds the state to resume from as well.")],
    model: Annotated[str, typer.Option(help="lite, resnet18 or pix2pix.")] = "lite",
    val: Annotated[
        Path | None, typer.Option(help="Held-out photographs; a fixed 4 % of --data when left out.")
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            help="imagenet, none, or a weights file to start the encoder from; auto: none for a resnet18 with a "
            "--teacher and for pix2pix, else imagenet."
        ),
    ] = "auto",
    teacher: Annotated[
        str, typer.Option(help="lite0: before all else the encoder learns from EfficientNet-Lite0 (ImageNet); or none.")
    ] = "none",
    teacher_pictures: Annotated[int, typer.Option(help="How many pictures the encoder is taught with.")] = 120_000,
    teacher_sizes: Annotated[str, typer.Option(help="side:share pairs of the teaching.")] = "96:0.5,128:0.5",
    teacher_lr: Annotated[float, typer.Option(help="Peak learning rate of the teaching.")] = 1e-3,
    teacher_weight: Annotated[
        float, typer.Option(help="Weight of the teacher's distances beside L1 afterwards; 0 leaves the teacher out.")
    ] = 0.0,
    pictures: Annotated[int, typer.Option(help="How many pictures to see.")] = 160_000,
    sizes: Annotated[str, typer.Option(help="side:share pairs, small sides first.")] = "128:0.85,192:0.12,256:0.03",
    batch: Annotated[int, typer.Option(help="Pictures per step.")] = 32,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 6e-4,
    aging: Annotated[float, typer.Option(help="Share of the pictures made to look old, 0 to 1.")] = 0.4,
    validate_every: Annotated[int, typer.Option(help="Pictures between validations.")] = 8_000,
    seed: Annotated[int, typer.Option(help="Order, crops and aging depend on it alone.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:n.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
) -> None:
    """L1 pre-training of a U-Net. Ctrl-C saves; the same command goes on where it stopped.

    The taught encoder is left in OUT/encoder, where --encoder can take it from.

    Example: archivecolor train pretrain --model lite --data ./colour_photos --out ./weights/mine
    """
    from archivecolor import devices
    from archivecolor.options import Stage, Teaching, parse_sizes
    from archivecolor.training import school

    if encoder == "auto":
        encoder = "none" if model == "pix2pix" or (model == "resnet18" and teacher != "none") else "imagenet"
    teaching = Teaching(teacher, teacher_pictures, parse_sizes(teacher_sizes), teacher_lr, teacher_weight)
    where = devices.choose_device(device)
    stage = Stage(
        name="pretrain", model=model, out=out, pictures=pictures, sizes=parse_sizes(sizes), batch=batch, lr=lr,
        aging=aging, seed=seed, precision=devices.choose_precision(precision, where), validate_every=validate_every,
        settings={"encoder": encoder, **teaching.settings()},
    )  # fmt: skip
    _watched(lambda watch, stop: school.pretrain(stage, teaching, data, val, where, watch, stop))


@app.command()
def evaluate(
    data: Annotated[Path, typer.Option(help="Folder of colour photographs no model has seen, or a list of them.")],
    model: Annotated[list[str] | None, typer.Option(help="Weights by name or folder; may be repeated.")] = None,
    size: Annotated[int, typer.Option(help="Side of the centre crops in pixels.")] = 256,
    limit: Annotated[int, typer.Option(help="At most so many pictures, spread evenly; 0 for all.")] = 0,
    sheet: Annotated[Path | None, typer.Option(help="PNG to draw: rows of grey, each model, truth.")] = None,
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
    with _bar() as bar:
        task = bar.add_task("", total=None, note="")
        result = measure.evaluate(
            asked, read_rgb, where,
            lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
        )  # fmt: skip
    if as_json:
        typer.echo(measure.as_json(result))
    else:
        _print_table(measure.as_rows(result))
        left_out = ", ".join(f"{count} {reason}" for reason, count in result.left_out.items()) or "none"
        typer.echo(f"{result.pictures} pictures at {result.size} px, {result.precision}; left out: {left_out}")


def _print_table(rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if i else "left", overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    Console().print(table)


def _bar() -> Progress:
    """A progress bar on stderr, so that stdout holds the result alone."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), refresh_per_second=1)


def _watched(training: Callable[[loop.Watch, loop.Stop], object]) -> None:
    """Runs a training under a progress bar; Ctrl-C asks it to save and stop."""
    interrupted: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda n, _: interrupted.append(n))
    with _bar() as bar:
        task = bar.add_task("training", total=None, note="")

        def watch(p: loop.Progress) -> None:
            numbers = " ".join(f"{k} {v:.4g}" for k, v in p.numbers.items())
            note = f"{p.pictures}/{p.total} at {p.size} px, {p.per_second:.1f}/s, {numbers}"
            bar.update(task, total=p.total, completed=p.pictures, note=note)
            if p.validated:
                bar.console.print(note)

        training(watch, lambda: bool(interrupted))
    if interrupted:
        raise SystemExit(INTERRUPTED)


def main() -> None:
    """The entry point: errors of our own end in one line and their exit code."""
    try:
        app()
    except ArchivecolorError as error:
        sys.stderr.write(f"archivecolor: {error}\n")
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
