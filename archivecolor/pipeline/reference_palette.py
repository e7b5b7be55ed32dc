"""The palette of a reference picture, whose colours other pictures take on (`--palette`)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from archivecolor import files, photo
from archivecolor.errors import PictureError, UsageError
from archivecolor.imaging import lab, luminance
from archivecolor.imaging.orientation import to_upright
from archivecolor.imaging.resize import resize_to_long_side
from archivecolor.inference.guidance import palette
from archivecolor.options import Palette, ReferenceOptions, RunOptions

SIDE = 384
"""The long side of the copy that is measured, pixels; statistics need no more."""


def read_palette(path: Path, strength: float = 1.0) -> Palette:
    """Measures the palette of a colour picture, in any format and orientation that can be read.

    Args:
        strength: how far other pictures are moved towards the palette, 0 to 1.

    Raises:
        UsageError: the picture cannot be read, or has no colour.
    """
    try:
        page = photo.read(path).pages[0]
        sha256 = files.sha256(path)
    except (PictureError, OSError) as error:
        raise UsageError(f"--palette {path}: cannot be read ({error})") from error
    if luminance.residual_chroma(page.samples, page.icc) < luminance.MONOCHROME_CHROMA:
        raise UsageError(f"--palette {path}: has no colours to take; name a photograph in colour")
    rgb = to_upright(luminance.to_srgb8(page.samples, page.icc), page.orientation, (0, 1))
    small = torch.tensor(resize_to_long_side(rgb, SIDE)).permute(2, 0, 1).float() / 255
    values = lab.lab_from_srgb(small).numpy()  # (3, h, w)
    return Palette(path.name, sha256, palette.statistics(values[0], values[1:]), strength)


def with_palette(options: RunOptions, reference: ReferenceOptions) -> RunOptions:
    """The options of a run with the palette of its reference picture, if there is one.

    Raises:
        UsageError: see `read_palette`.
    """
    if reference.palette is None:
        return options
    chosen = read_palette(reference.palette, reference.palette_strength)
    return replace(options, color=replace(options.color, palette=chosen))
