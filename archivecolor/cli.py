"""Verbs -> frozen options -> one call; prints errors and sets the exit code. Heavy imports live inside the verbs."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archivecolor.errors import INTERRUPTED, ArchivecolorError
from archivecolor.options import DEFAULT_MODEL

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


@app.command()
def run(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Files, folders, patterns, @list.txt, or - for a list on stdin."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the coloured tree and its manifest.jsonl.")],
    model: Annotated[str, typer.Option(help="Weights: lite, resnet18, or a folder.")] = DEFAULT_MODEL,
    size: Annotated[int, typer.Option(help="The network sees about SIZE x SIZE pixels.")] = 256,
    strength: Annotated[float, typer.Option(help="Multiplies the chroma, 0 to 2.")] = 1.0,
    tiles: Annotated[
        str, typer.Option(help="auto (panoramas and rich detail in overlapping tiles), always or never.")
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:n.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    batch: Annotated[int, typer.Option(help="Pictures that go through the network together, at most.")] = 8,
    workers: Annotated[int, typer.Option(help="Threads that read, spread and write; 0: cores + 1.")] = 0,
    format: Annotated[str, typer.Option(help="same, jpeg, png, tiff or webp.")] = "same",
    quality: Annotated[int, typer.Option(help="Of JPEG and WebP, 1 to 100.")] = 95,
    suffix: Annotated[str, typer.Option(help="Added to the stem of every output, for example _color.")] = "",
    recolor: Annotated[bool, typer.Option("--recolor", help="Colour also what is in colour already.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do everything again, and replace files this program did not make.")
    ] = False,
    limit: Annotated[int | None, typer.Option(help="Only the first N pictures.")] = None,
    max_megapixels: Annotated[float, typer.Option(help="Refuse larger pictures before decoding them.")] = 500,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per picture on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no summary.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="A line for every picture.")] = False,
) -> None:
    """Colour photographs; the tree of INPUT is mirrored under OUT. Run it again to go on where it stopped.

    Exit codes: 0 all done, 1 fatal, 2 wrong usage, 3 some pictures failed, 4 no input, 5 output not writable,
    6 weights, 7 a package is missing, 130 interrupted.

    Example: archivecolor run ./old_photos --out ./color
    """
    from archivecolor import batch_view
    from archivecolor.options import ColorOptions, RunOptions

    options = RunOptions(
        inputs=tuple(inputs), out=out, model=model, color=ColorOptions(size, strength, tiles), device=device,
        precision=precision, batch=batch, workers=workers, format=format, quality=quality, suffix=suffix,
        recolor=recolor, overwrite=overwrite, limit=limit, max_megapixels=max_megapixels,
    )  # fmt: skip
    if dry_run:
        raise SystemExit(batch_view.rehearse(options, as_json))
    raise SystemExit(batch_view.show(options, as_json, quiet, verbose, _interrupts()))


weights_app = typer.Typer(no_args_is_help=False, invoke_without_command=True, rich_markup_mode=None,
                          help="List, show, check and import weights.")  # fmt: skip
app.add_typer(weights_app, name="weights")


@weights_app.callback()
def weights_list(context: typer.Context) -> None:
    """List the weights that come with the program.

    Example: archivecolor weights
    """
    if context.invoked_subcommand is None:
        from archivecolor import weights

        rows = [["name", "network", "stage", "sha256", "folder"]]
        for folder in weights.available():
            card = weights.read_card(folder)
            mark = " (default)" if card.name == weights.DEFAULT_MODEL else ""
            rows.append([card.name + mark, card.network, card.stage, card.sha256[:16], str(folder)])
        _print_table(rows)


@weights_app.command("show")
def weights_show(model: Annotated[str, typer.Argument(help="A name or a folder.")]) -> None:
    """Print the card of some weights as JSON.

    Example: archivecolor weights show lite
    """
    from dataclasses import asdict

    from archivecolor import weights

    typer.echo(json.dumps(asdict(weights.read_card(weights.find(model))), indent=1, ensure_ascii=False))


@weights_app.command("check")
def weights_check(
    models: Annotated[list[str] | None, typer.Argument(help="Names or folders; all when left out.")] = None,
) -> None:
    """Load weights and compare them with their card, key by key and byte by byte.

    Example: archivecolor weights check lite
    """
    from archivecolor import weights

    for folder in [weights.find(model) for model in models] if models else weights.available():
        _, card = weights.load(folder)
        typer.echo(f"{card.name}: sound ({card.network}, sha256 {card.sha256[:16]}…)")


@weights_app.command("import")
def weights_import(
    file: Annotated[Path, typer.Argument(help="A checkpoint of the tutorial, .pt, with net_G.* keys.")],
    out: Annotated[Path, typer.Option(help="Weights folder to write.")],
) -> None:
    """Turn a checkpoint of the tutorial into a weights folder. It is read without running any code in it.

    Example: archivecolor weights import final_model_weights.pt --out ./weights/tutorial
    """
    from archivecolor import weights

    card = weights.import_checkpoint(file, out)
    typer.echo(f"{out}: {card.network}, sha256 {card.sha256[:16]}…; use it with --model {out}")


@train.command("pretrain")
def train_pretrain(
    data: Annotated[Path, typer.Option(help="Folder of colour photographs, or a text file that lists them.")],
    out: Annotated[Path, typer.Option(help="Weights folder to write; holds the state to resume from as well.")],
    model: Annotated[str, typer.Option(help="lite, resnet18 or pix2pix.")] = "lite",
    val: Annotated[Path | None, typer.Option(help="Held-out photographs; a fixed 4 % of --data when left out.")] = None,
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
    chroma_weight: Annotated[
        float, typer.Option(help="How much more a colourful pixel counts in the loss; 0 is plain L1.")
    ] = 0.5,
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
    from archivecolor.options import Stage, Teaching, parse_sizes, small_side
    from archivecolor.training import school

    if encoder == "auto":
        encoder = "none" if model == "pix2pix" or (model == "resnet18" and teacher != "none") else "imagenet"
    teaching = Teaching(teacher, teacher_pictures, parse_sizes(teacher_sizes), teacher_lr, teacher_weight)
    where = devices.choose_device(device)
    stage = Stage(
        name="pretrain", model=model, out=out, pictures=pictures, sizes=parse_sizes(sizes), batch=batch, lr=lr,
        aging=aging, seed=seed, precision=devices.choose_precision(precision, where), validate_every=validate_every,
        validation_size=small_side(model),
        settings={"encoder": encoder, "chroma_weight": chroma_weight, **teaching.settings()},
    )  # fmt: skip
    _watched(lambda watch, stop: school.pretrain(stage, teaching, data, val, where, watch, stop))


@train.command("gan")
def train_gan(
    origin: Annotated[str, typer.Option("--from", help="Weights to start from: a name or a folder.")],
    data: Annotated[Path, typer.Option(help="Folder of colour photographs, or a text file that lists them.")],
    out: Annotated[Path, typer.Option(help="Weights folder to write; holds the state to resume from as well.")],
    val: Annotated[Path | None, typer.Option(help="Held-out photographs; a fixed 4 % of --data when left out.")] = None,
    gan: Annotated[str, typer.Option(help="The loss: vanilla, lsgan or hinge.")] = "vanilla",
    l1_weight: Annotated[
        float, typer.Option(help="Weight of L1 beside it; less gives more colour; 100 suits batchnorm.")
    ] = 20.0,
    chroma_weight: Annotated[
        float, typer.Option(help="How much more a colourful pixel counts in L1; 0 is plain L1.")
    ] = 0.5,
    discriminator: Annotated[
        str, typer.Option(help="spectral (PatchGAN with spectral norm) or batchnorm (that of pix2pix).")
    ] = "spectral",
    warmup: Annotated[int, typer.Option(help="Pictures from which the discriminator alone learns at first.")] = 480,
    pictures: Annotated[int, typer.Option(help="How many pictures to see.")] = 40_000,
    sizes: Annotated[
        str, typer.Option(help="side:share pairs, small sides first; auto: 128:0.85,192:0.12,256:0.03, pix2pix 256.")
    ] = "auto",
    batch: Annotated[int, typer.Option(help="Pictures per step.")] = 24,
    lr: Annotated[float, typer.Option(help="Peak learning rate of the U-Net.")] = 1e-4,
    lr_d: Annotated[float, typer.Option(help="Peak learning rate of the discriminator.")] = 4e-4,
    aging: Annotated[float, typer.Option(help="Share of the pictures made to look old, 0 to 1.")] = 0.4,
    ema: Annotated[float, typer.Option(help="Decay of the average that is judged and published.")] = 0.999,
    stop_when: Annotated[
        str,
        typer.Option(
            help="Ends a collapsed training: L1 above so many times the start's, or colourfulness outside, twice in a "
            "row; or never."
        ),
    ] = "l1:1.2,colour:0.6-1.15",
    validate_every: Annotated[int, typer.Option(help="Pictures between validations.")] = 2_000,
    seed: Annotated[int, typer.Option(help="Order, crops and aging depend on it alone.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:n.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
) -> None:
    """Adversarial fine-tuning: more colour than L1 alone dares. Ctrl-C saves; the same command goes on.

    OUT gets the best average: least val_l1 ÷ the start's + |1 - colourfulness ÷ truth's| of all validations within the
    limits of --stop-when.

    Example: archivecolor train gan --from lite --data ./colour_photos --out ./weights/mine_gan
    """
    from archivecolor import devices, weights
    from archivecolor.options import Adversarial, Stage, parse_sizes, parse_stop_when, small_side
    from archivecolor.training import school

    folder = weights.find(origin)
    model = weights.read_card(folder).network
    if sizes == "auto":
        sizes = "256" if model == "pix2pix" else "128:0.85,192:0.12,256:0.03"
    limits = parse_stop_when(stop_when)
    asked = Adversarial(gan, l1_weight, chroma_weight, lr_d, warmup, discriminator, limits)
    where = devices.choose_device(device)
    stage = Stage(
        name="gan", model=model, out=out, pictures=pictures, sizes=parse_sizes(sizes), batch=batch, lr=lr, aging=aging,
        ema=ema, seed=seed, precision=devices.choose_precision(precision, where), validate_every=validate_every,
        validation_size=small_side(model), settings=asked.settings(),
    )  # fmt: skip
    _watched(lambda watch, stop: school.gan(stage, asked, folder, data, val, where, watch, stop))


@train.command("baseline")
def train_baseline(
    data: Annotated[Path, typer.Option(help="Folder of colour photographs, or a text file that lists them.")],
    out: Annotated[Path, typer.Option(help="Weights folder to write; holds the state to resume from as well.")],
    val: Annotated[Path | None, typer.Option(help="Held-out photographs; a fixed 4 % of --data when left out.")] = None,
    gan: Annotated[str, typer.Option(help="The loss: vanilla, lsgan or hinge.")] = "vanilla",
    l1_weight: Annotated[float, typer.Option(help="Weight of L1 beside it.")] = 100.0,
    pictures: Annotated[int, typer.Option(help="How many pictures to see.")] = 160_000,
    batch: Annotated[int, typer.Option(help="Pictures per step.")] = 16,
    lr: Annotated[float, typer.Option(help="Peak learning rate of generator and discriminator.")] = 2e-4,
    aging: Annotated[float, typer.Option(help="Share of the pictures made to look old, 0 to 1.")] = 0.0,
    validate_every: Annotated[int, typer.Option(help="Pictures between validations.")] = 8_000,
    seed: Annotated[int, typer.Option(help="Order, crops and aging depend on it alone.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:n.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
) -> None:
    """pix2pix from nothing, to compare with: its U-Net and PatchGAN at 256 pixels, both learning from the start.

    As in the paper, but for the cycle of the learning rate and for the average that is published.

    Example: archivecolor train baseline --data ./colour_photos --out ./weights/my_baseline
    """
    from archivecolor import devices
    from archivecolor.options import Adversarial, Stage, small_side
    from archivecolor.training import school

    asked = Adversarial(gan, l1_weight, lr_d=lr, warmup=0, discriminator="batchnorm", stop_when=None)
    where = devices.choose_device(device)
    stage = Stage(
        name="baseline", model="pix2pix", out=out, pictures=pictures, sizes=((256, 1.0),), batch=batch, lr=lr,
        aging=aging, seed=seed, precision=devices.choose_precision(precision, where), validate_every=validate_every,
        validation_size=small_side("pix2pix"), settings=asked.settings(),
    )  # fmt: skip
    _watched(lambda watch, stop: school.baseline(stage, asked, data, val, where, watch, stop))


@app.command()
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
    with _bar() as bar:
        task = bar.add_task("", total=None, note="")
        result = measure.evaluate(
            asked, read_rgb, where,
            lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
        )  # fmt: skip
    if write_card:
        measure.write_cards(result, asked.models)
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
    stop = _interrupts()
    with _bar() as bar:
        task = bar.add_task("training", total=None, note="")

        def watch(p: loop.Progress) -> None:
            numbers = " ".join(f"{k} {v:.4g}" for k, v in p.numbers.items())
            note = f"{p.pictures}/{p.total} at {p.size} px, {p.per_second:.1f}/s, {numbers}"
            bar.update(task, total=p.total, completed=p.pictures, note=note)
            if p.validated:
                bar.console.print(note)

        training(watch, stop)
    if stop():
        raise SystemExit(INTERRUPTED)


def _interrupts() -> Callable[[], bool]:
    """From now on the first Ctrl-C or SIGTERM only makes the returned function true; a second one ends at once."""
    caught: list[int] = []

    def note(number: int, _: object) -> None:
        caught.append(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return lambda: bool(caught)


def main() -> None:
    """The entry point: errors of our own end in one line and their exit code."""
    try:
        app()
    except ArchivecolorError as error:
        sys.stderr.write(f"archivecolor: {error}\n")
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
