"""`archivecolor train find-lr`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from archivecolor.cli.console import progress_bar
from archivecolor.cli.training_session import Aging, ChromaWeight, Data, Device, Precision, Seed, local_device
from archivecolor.training.recipe import Pretraining

PRETRAIN = Pretraining()


def train_find_lr(
    data: Data,
    model: Annotated[str, typer.Option(help="lite, resnet18 or pix2pix.")] = PRETRAIN.model,
    encoder: Annotated[
        str, typer.Option(help="imagenet, none, or a weights file to start the encoder from; auto as in pretrain.")
    ] = PRETRAIN.encoder,
    size: Annotated[int, typer.Option(help="Side of the crops in pixels; pix2pix needs 256.")] = 128,
    batch: Annotated[int, typer.Option(help="Pictures per step, as the training will have.")] = PRETRAIN.batch,
    steps: Annotated[int, typer.Option(help="Steps from the lowest rate to the highest.")] = 100,
    aging: Aging = PRETRAIN.aging,
    chroma_weight: ChromaWeight = PRETRAIN.chroma_weight,
    plot: Annotated[Path | None, typer.Option(help="PNG of the loss over the rate.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = PRETRAIN.precision,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Suggest a peak learning rate for `train pretrain`, by fastai's finder: a short training at growing rates.

    Example: archivecolor train find-lr --data ./colour_photos --model lite --plot ./rates.png
    """
    from archivecolor.inference import devices
    from archivecolor.options import LrSearchOptions, StageOptions
    from archivecolor.training import lr_finder, trainer

    where = local_device(device)
    stage = StageOptions(
        name="pretrain",
        model=model,
        out=Path(),
        sizes=((size, 1.0),),
        batch=batch,
        aging=aging,
        seed=seed,
        precision=devices.choose_precision(precision, where),
    )
    start = Pretraining(model=model, encoder=encoder).resolve_encoder()
    with progress_bar() as shown:
        task = shown.add_task("", total=None, note="")
        found = trainer.find_lr(
            LrSearchOptions(stage, start, chroma_weight, steps, plot),
            data,
            where,
            lambda what, done, total: shown.update(task, description=what, completed=done, total=total),
        )
    if plot:
        lr_finder.plot(found, plot)
    told = lr_finder.report(found)
    if as_json:
        typer.echo(json.dumps(told))
    else:
        typer.echo(f"--lr {told['valley']} (valley); the loss falls fastest at {told['steep']}")
