"""What to measure the speed of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from archivecolor.options.compute import DeviceOptions, Engine
from archivecolor.options.require import require
from archivecolor.options.table import Option, at_least, ends_in

MEGAPIXELS = (2, 12, 50)


@dataclass(frozen=True, kw_only=True)
class BenchOptions(DeviceOptions):
    """What to measure the speed of."""

    folder: Annotated[
        Path | None, Option("Your own pictures; without it, generated JPEGs.", metavar="[DIR]", positional=True)
    ] = None
    models: Annotated[
        tuple[str, ...], Option("Weights by name or folder. May be repeated.", flag="--model", metavar="MODEL")
    ] = ("lite", "resnet18")
    pictures: Annotated[int, Option("How many pictures of each group.", check=at_least(1))] = 12
    megapixels: Annotated[
        tuple[int, ...], Option("Which sizes to generate: 2, 12, 50. May be repeated.", metavar="MEGAPIXELS")
    ] = MEGAPIXELS
    engine: Annotated[Engine, Option("What computes the network.")] = Engine.TORCH
    chart: Annotated[Path | None, Option("PNG to draw: where the time goes.", check=ends_in(".png"))] = None
    edges: Annotated[
        Path | None, Option("PNG to draw: an edge in colour, bilinear and ours.", check=ends_in(".png"))
    ] = None
    flat: Annotated[
        int,
        Option(
            "Instead, colour this many small files, and open a manifest of 100 times as many rows.",
            check=at_least(10).or_zero("for none"),
        ),
    ] = 0
    start: Annotated[
        bool, Option("Instead, measure the start: one picture from the command to its exit, beside `import torch`.")
    ] = False

    desk: Annotated[
        int,
        Option(
            "Instead, open the desk of review over a manifest of this many rows, and pin colours in a scan of 12 "
            "megapixels.",
            check=at_least(10).or_zero("for none"),
        ),
    ] = 0

    training: Annotated[
        bool,
        Option(
            "Instead, measure a training of each model: pictures a second in batches of --pictures, of batches alone "
            "and of steps."
        ),
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.models), "--model: name at least one")
        require(len(set(self.models)) == len(self.models), "--model: the same model is named twice")
        known = ", ".join(map(str, MEGAPIXELS))
        fits = bool(self.megapixels) and set(self.megapixels) <= set(MEGAPIXELS)
        require(fits, f"--megapixels {' '.join(map(str, self.megapixels))}: choose among {known}")
