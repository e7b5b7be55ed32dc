"""Several colourings of one picture on one labelled sheet, for a person to choose from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from archivecolor import files, photo
from archivecolor.errors import OutputError
from archivecolor.imaging import luminance
from archivecolor.imaging.arrays import ByteArray, Samples
from archivecolor.imaging.contact_sheet import contact_sheet
from archivecolor.imaging.orientation import to_upright
from archivecolor.imaging.resize import resize_to_long_side
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import CandidateOptions, ColorizerOptions, ColorOptions

GAP, LABEL = 10, 44
BACKGROUND = (245, 245, 242)
LEAST_SIDE = 640
"""The picture is coloured from a copy with a long side of at least this, or twice the network's size."""


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
    upright = to_upright(page.samples, page.orientation, (0, 1))
    small = resize_to_long_side(
        np.ascontiguousarray(upright), max(LEAST_SIDE, options.side, *(2 * size for size in options.sizes))
    )
    grey = Candidate(options.picture.name, luminance.to_srgb8(small, page.icc))
    candidates = list(colourings(options, small, page.icc))
    across = len(options.strengths) + 1
    rows = [[grey], *(candidates[i : i + across] for i in range(0, len(candidates), across))]
    write(options.out, mosaic(rows, options.side))
    return [one.label for row in rows for one in row]


def colourings(options: CandidateOptions, samples: Samples, icc: bytes | None) -> Iterator[Candidate]:
    """For each model and size: one colouring for each strength, and one with --mirror."""
    for model in options.models:
        with Colorizer(model, ColorizerOptions(device=options.device, precision=options.precision)) as colorizer:
            for size in options.sizes:
                plain = [ColorOptions(size=size, strength=strength) for strength in options.strengths]
                for color in (*plain, ColorOptions(size=size, mirror=True)):
                    colorizer.color = color
                    rgb = luminance.to_srgb8(colorizer.colorize(samples, icc), None)
                    yield Candidate(label(model, color), rgb)


def label(model: str, color: ColorOptions) -> str:
    """The flags of `run` that give this colouring."""
    return f"--model {model} --size {color.size} --strength {color.strength:g}{' --mirror' if color.mirror else ''}"


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
