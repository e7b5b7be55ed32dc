"""Which frames of a film are written for a person to colour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from archivecolor.options.compute import DeviceOptions
from archivecolor.options.run import DEFAULT_MODEL
from archivecolor.options.table import Option, between


@dataclass(frozen=True, kw_only=True)
class FrameOptions(DeviceOptions):
    """Options of `archivecolor frames`."""

    film: Annotated[Path, Option("A film, or numbered files (frame_%06d.dpx).", metavar="FILM", positional=True)]
    to: Annotated[Path, Option("Folder for the frames; a frame that is there already is left as it is.")]
    model: Annotated[str, Option("Weights: lite, slim, resnet18, or a folder.", metavar="NAME")] = DEFAULT_MODEL
    most: Annotated[int, Option("At most so many frames of one shot.", check=between(1, 50))] = 6
    cuts: Annotated[
        Path | None, Option("Text file with the first frame of each shot; without it, cuts are detected.")
    ] = None
