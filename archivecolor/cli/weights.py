"""`archivecolor weights`: list, show, check, mix, import, pack, export, edit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from archivecolor.cli.console import echo, print_table

app = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    invoke_without_command=True,
    rich_markup_mode=None,
    help="List, show, check, mix, import, pack, export and edit weights.",
)


@app.callback()
def weights_without_a_verb(context: typer.Context) -> None:
    """List, show, check, mix, import, pack, export and edit weights. Without a verb, the list.

    Example: archivecolor weights
    """
    if context.invoked_subcommand is None:
        weights_list()


@app.command("list")
def weights_list() -> None:
    """List the weights that come with the program, and those below ./weights.

    Three measures of `evaluate`, more is better: PSNR above that of grey in dB; colourfulness, 1 as in the true
    photographs; agreement, how far a classifier takes the colours for the true ones, 0 as grey, 1 as true. CARD.md has
    the rest.

    Example: archivecolor weights list
    """
    from archivecolor import weights
    from archivecolor.errors import WeightsError

    rows = [["name", "network", "stage", "MB", "PSNR", "colour", "agreement"]]
    own = [str(folder) for folder in weights.own()]
    for folder in [*weights.available(), *weights.own()]:
        name = folder.name if weights.is_shipped(folder) else str(folder)
        try:
            card = weights.read_card(folder)
        except WeightsError:
            rows.append([name, "", "damaged card", "", "", "", ""])
            continue
        mark = " (default)" if weights.is_shipped(folder) and card.name == weights.DEFAULT_MODEL else ""
        rows.append([name + mark, card.network, card.stage, _megabytes(folder), *_measured(card.numbers)])
    print_table(rows)
    echo("More is better in all three, colour up to 1. `run` takes the default.")
    if own:
        echo(f"Use your own by their folder: archivecolor run ... --model {own[0]}")


def _megabytes(folder: Path) -> str:
    try:
        return f"{(folder / 'model.safetensors').stat().st_size / 1e6:.0f}"
    except OSError:
        return "missing"


def _measured(numbers: Mapping[str, object]) -> list[str]:
    """PSNR above grey, colourfulness and agreement of the test; "" where they were not measured."""
    test = numbers.get("test")
    values = test if isinstance(test, dict) else {}
    return [
        f"{values[key]:.{digits}f}" if isinstance(values.get(key), float) else ""
        for key, digits in (("psnr_gain_db", 2), ("colour_ratio", 2), ("agreement_way", 2))
    ]


@app.command("show")
def weights_show(model: Annotated[str, typer.Argument(help="A name or a folder.")]) -> None:
    """Print the card of some weights as JSON.

    Example: archivecolor weights show lite
    """
    from dataclasses import asdict

    from archivecolor import weights

    text = json.dumps(asdict(weights.read_card(weights.find(model))), indent=1, ensure_ascii=False)
    for line in text.split("\n"):
        echo(line)


@app.command("check")
def weights_check(
    models: Annotated[list[str] | None, typer.Argument(help="Names or folders; all when left out.")] = None,
) -> None:
    """Load weights and compare them with their card, key by key and byte by byte.

    Example: archivecolor weights check lite
    """
    from archivecolor import weights

    for folder in [weights.find(model) for model in models] if models else weights.available():
        _, card = weights.load(folder)
        echo(f"{card.name}: sound ({card.network}, sha256 {card.sha256[:16]}…)")


@app.command("mix")
def weights_mix(
    first: Annotated[str, typer.Argument(help="A name or a folder.")],
    second: Annotated[str, typer.Argument(help="The same, trained from the first, for example by `train gan`.")],
    out: Annotated[Path, typer.Option(help="Weights folder to write.")],
    share: Annotated[float, typer.Option(help="Of the second, from 0 to 1.")] = 0.5,
) -> None:
    """Make the weights between two: truer than those with adversarial training, more colourful than those without.

    Example: archivecolor weights mix lite ./weights/mine_gan --share 0.5 --out ./weights/between
    """
    from archivecolor import weights

    card = weights.mix(weights.find(first), weights.find(second), share, out)
    echo(f"{out}: {card.network}, sha256 {card.sha256[:16]}…; use it with --model {out}")


@app.command("import")
def weights_import(
    file: Annotated[Path, typer.Argument(help="A checkpoint of the tutorial, .pt, with net_G.* keys.")],
    out: Annotated[Path, typer.Option(help="Weights folder to write.")],
) -> None:
    """Turn a checkpoint of the tutorial into a weights folder. It is read without running any code in it.

    Example: archivecolor weights import final_model_weights.pt --out ./weights/tutorial
    """
    from archivecolor.training import weights_exchange

    card = weights_exchange.import_checkpoint(file, out)
    echo(f"{out}: {card.network}, sha256 {card.sha256[:16]}…; use it with --model {out}")


@app.command("pack")
def weights_pack(
    model: Annotated[str, typer.Argument(help="A name or a folder.")],
    out: Annotated[Path, typer.Option(help="ZIP file to write; unpacked, it is a folder for --model.")],
) -> None:
    """Put what others need to use some weights into a ZIP: the tensors and the card, without the training's state.

    Example: archivecolor weights pack ./weights/mine --out mine.zip
    """
    from archivecolor import weights
    from archivecolor.training import weights_exchange

    card = weights_exchange.pack(weights.find(model), out)
    echo(f"{out}: {card.name} ({card.network}), {out.stat().st_size / 1e6:.1f} MB")


@app.command("export")
def weights_export(
    model: Annotated[str, typer.Argument(help="A name or a folder.")],
    file: Annotated[Path, typer.Argument(help="File to write, *.onnx.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="Write ONNX, which is the only format so far.")] = False,
) -> None:
    """Write weights for other programs. The file is checked: onnxruntime must give the colours that PyTorch gives.

    The file says what it takes, what it returns, and that the colours are invented. Needs the packages of
    archivecolor[onnx].

    Example: archivecolor weights export --onnx lite lite.onnx
    """
    from archivecolor import weights
    from archivecolor.errors import UsageError

    if not onnx:
        raise UsageError("name the format: --onnx")
    from archivecolor.training import onnx_export

    written = onnx_export.export(weights.find(model), file)
    echo(f"{file}: {file.stat().st_size / 1e6:.1f} MB, {written.sentence()}")


@app.command("edit")
def weights_edit(
    model: Annotated[str, typer.Argument(help="A weights folder of your own.")],
    name: Annotated[str | None, typer.Option(help="The name on the card.")] = None,
    licence: Annotated[str | None, typer.Option(help="The licence of the weights.")] = None,
    failure: Annotated[
        list[str] | None,
        typer.Option(help="A sentence about what they do wrong. May be repeated; replaces all earlier ones."),
    ] = None,
) -> None:
    """Change what people write on a card: its name, its licence, and the known failures.

    Example: archivecolor weights edit ./weights/mine --licence CC-BY-4.0 --failure "Uniforms come out brown."
    """
    from archivecolor import weights
    from archivecolor.errors import UsageError

    changes = {"name": name, "licence": licence, "known_failures": failure or None}
    changes = {key: value for key, value in changes.items() if value is not None}
    if not changes:
        raise UsageError("name what to change: --name, --licence or --failure")
    card = weights.edit(weights.find(model), **changes)
    echo(f"{card.name}: {card.licence}, {len(card.known_failures)} known failures")
