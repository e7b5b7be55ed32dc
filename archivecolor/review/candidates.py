"""Several colourings of one picture on one labelled sheet, for a person to choose from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from archivecolor import files, photo
from archivecolor.errors import OutputError
from archivecolor.imaging import lab, luminance
from archivecolor.imaging.arrays import ByteArray, FloatArray, Samples
from archivecolor.imaging.contact_sheet import contact_sheet
from archivecolor.imaging.orientation import to_upright
from archivecolor.imaging.resize import resize_to_long_side
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import CandidateOptions, ColorizerOptions, ColorOptions, flags
from archivecolor.review import variations

GAP, LABEL = 10, 44
BACKGROUND = (245, 245, 242)
LEAST_SIDE = 640
"""The picture is coloured from a copy with a long side of at least this, or twice the network's size."""


ACROSS = 4
"""Columns of a sheet of variations."""
_COMPARED = 64
"""Long side of the copies whose colours are compared."""


@dataclass(frozen=True)
class Candidate:
    """One colouring: the flags that make it, and how it looks."""

    label: str
    rgb: ByteArray


def sheet(options: CandidateOptions) -> list[str]:
    """Draws the sheet. Returns its labels: the flags of `run` that give each colouring.

    Raises:
        PictureError: the picture cannot be read.
        OutputError: the sheet cannot be written.
        UsageError, WeightsError: see `Colorizer`.
    """
    page = photo.read(options.picture).pages[0]
    upright = np.ascontiguousarray(to_upright(page.samples, page.orientation, (0, 1)))
    grid = options.grid()
    sizes = [color.size for row in grid for color in row] or [ColorOptions.size]
    small = resize_to_long_side(upright, max(LEAST_SIDE, options.side, *(2 * size for size in sizes)))
    grey = Candidate(options.picture.name, luminance.to_srgb8(small, page.icc))
    if grid:
        candidates = list(colourings(options, small, page.icc))
        across = len(grid[0])
        rows = [[grey], *(candidates[i : i + across] for i in range(0, len(candidates), across))]
    else:
        shown = [grey, *different_colourings(options, small, page.icc, upright.shape[:2])]
        rows = [shown[i : i + ACROSS] for i in range(0, len(shown), ACROSS)]
    write(options.out, mosaic(rows, options.side))
    return [one.label for row in rows for one in row]


def colourings(options: CandidateOptions, samples: Samples, icc: bytes | None) -> Iterator[Candidate]:
    """For each model and size: one colouring for each strength, and one with --mirror."""
    for model in options.models:
        with _colorizer(model, options) as colorizer:
            for color in (color for row in options.grid() for color in row):
                colorizer.color = color
                rgb = luminance.to_srgb8(colorizer.colorize(samples, icc), None)
                yield Candidate(label(model, color, ("size", "strength")), rgb)


def different_colourings(
    options: CandidateOptions, samples: Samples, icc: bytes | None, size: tuple[int, int]
) -> list[Candidate]:
    """Variations of the first model, and the plain, warmer and cooler colours of the others. The first is what `run`
    gives; each of the others differs most from those before it.

    Args:
        samples: the reduced copy, upright.
        size: (height, width) of the picture itself, upright.
    """
    made: list[Candidate] = []
    for model in options.models:
        with _colorizer(model, options) as colorizer:
            prediction = colorizer.predict(samples, icc, size=size)
            colors = variations.variations(prediction.lightness, prediction.ab, ColorOptions.size, *size)
            if model != options.models[0]:
                colors = [colors[0], *variations.toned(ColorOptions.size)]
            for color in colors:
                merge = colorizer.guide(prediction, color)
                height, width = samples.shape[:2]
                reduced = replace(merge, chroma=replace(merge.chroma, height=height, width=width))
                made.append(Candidate(label(model, color), luminance.to_srgb8(reduced.rows(samples, 0)[0], None)))
    return [made[i] for i in variations.most_different_first([_small_ab(one.rgb) for one in made])]


def _colorizer(model: str, options: CandidateOptions) -> Colorizer:
    return Colorizer(model, ColorizerOptions(device=options.device, precision=options.precision))


def _small_ab(rgb: ByteArray) -> FloatArray:
    """ab (2, h, w) of a reduced copy."""
    small = torch.from_numpy(np.ascontiguousarray(resize_to_long_side(rgb, _COMPARED))).permute(2, 0, 1).float() / 255
    return lab.lab_from_srgb(small)[1:].numpy()


def label(model: str, color: ColorOptions, always: Sequence[str] = ()) -> str:
    """The flags of `run` that give this colouring.

    Args:
        always: names of options that are written even at their default.
    """
    return " ".join(["--model", model, *flags(color, always)])


def mosaic(rows: list[list[Candidate]], side: int) -> Image.Image:
    """Draws rows of pictures, each above its label."""
    pictures = [[resize_to_long_side(one.rgb, side) for one in row] for row in rows]
    height = max(rgb.shape[0] for row in pictures for rgb in row) + LABEL
    width = max(rgb.shape[1] for row in pictures for rgb in row)
    sheet = Image.fromarray(contact_sheet(pictures, GAP, GAP, BACKGROUND, (height, width)))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for j, row in enumerate(rows):
        for i, one in enumerate(row):
            x, y = GAP + i * (width + GAP), GAP + j * (height + GAP) + pictures[j][i].shape[0] + 3
            text = os.fsencode(one.label).decode("utf-8", "replace").replace("\n", " ")
            pen.multiline_text((x, y), wrapped(text, width, font), fill=(20, 20, 20), font=font)
    return sheet


def wrapped(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """At most two lines: broken before a flag if one line is too narrow, and cut if two are."""
    lines = [""]
    for part in text.replace(" --", "\n--").split("\n"):
        longer = f"{lines[-1]} {part}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(part)
    return "\n".join(cut(line, width, font) for line in lines[:2])


def cut(line: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The line, or as much of its beginning as fits, with an ellipsis."""
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"


def write(path: Path, picture: Image.Image) -> None:
    """Writes the sheet as PNG.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.atomic_write(path) as part:
            picture.save(part, format="png")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error
