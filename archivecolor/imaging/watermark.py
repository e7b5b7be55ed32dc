"""The visible mark: a small line of text burnt into a corner. Nothing outside its strip changes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from archivecolor import files
from archivecolor.errors import UsageError
from archivecolor.imaging.arrays import AnyFloatArray, BoolArray, FloatArray, Samples
from archivecolor.imaging.orientation import to_upright

Box = tuple[slice, slice]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

AUTO = "Colour added by AI"
CARD = "The colours of this film were invented by a computer program.\nThe original has none."
"""Default text of a film's title card."""
LETTER_HEIGHT = 0.022
"""Height of the letters as a share of the picture's height: legible in print and on screen, and unobtrusive."""
SMALLEST_PX = 9
_LINE_SPACING = 1.35
"""Line spacing of a title card, in heights of the letters."""
_STRIP, _INK = 0.15, 0.92
"""Greys of the strip and of the letters, as shares of white."""
_STRIP_COVERS = 0.65


def mark_text(mark: str) -> str:
    """The text that is burnt in for a `--mark` option."""
    return AUTO if mark == "auto" else mark


def title_card_text(card: str) -> str:
    """The text for a `--title-card` option; a backslash and n start a new line."""
    return CARD if card == "auto" else card.replace("\\n", "\n")


def check_font(text: str, font: Path | None, flag: str = "--mark") -> None:
    """Raises UsageError when the font cannot be read or lacks a letter of the text."""
    try:
        if font:
            files.check_regular(font)
        typeface = _font(font, 24)
    except OSError as error:
        raise UsageError(f"--mark-font {font}: cannot be read as a font ({error})") from error
    missing_glyph = bytes(typeface.getmask("\uffff"))
    missing = sorted(
        {letter for letter in text if letter not in " \n" and bytes(typeface.getmask(letter)) == missing_glyph}
    )
    if missing:
        raise UsageError(
            f"{flag}: the font has no {' '.join(missing)}; use other letters, or name a font that has them "
            "with --mark-font"
        )


def burn_in(rgb: Samples, mark: str, font: Path | None = None, orientation: int = 1) -> tuple[Samples, bool]:
    """Puts the mark into the lower right corner of the upright picture.

    Args:
        rgb: (H, W, 3) in uint8 or uint16, as stored.
        orientation: its EXIF orientation.

    Returns:
        The marked samples, and whether there was room for the mark.
    """
    seen = to_upright(rgb, orientation, axes=(0, 1))
    cover = _cover(seen.shape[0], seen.shape[1], mark_text(mark), font)
    if cover is None:
        return rgb, False
    ink, box = cover
    full = np.iinfo(rgb.dtype).max
    marked = rgb.copy()
    to_upright(marked, orientation, axes=(0, 1))[box] = np.rint(blend(seen[box] / full, ink[..., None]) * full)
    return marked, True


def outside_mark(height: int, width: int, mark: str, font: Path | None = None, orientation: int = 1) -> BoolArray:
    """(H, W), as stored: True where `burn_in` leaves a picture of this size unchanged."""
    free = np.ones((height, width), bool)
    seen = to_upright(free, orientation)
    cover = _cover(seen.shape[0], seen.shape[1], mark_text(mark), font)
    if cover is not None:
        seen[cover[1]] = False
    return free


def blend(shown: AnyFloatArray, ink: AnyFloatArray) -> AnyFloatArray:
    """A strip of a picture (0 to 1) with letters that cover the share `ink` of each pixel, 0 to 1."""
    strip = (1 - _STRIP_COVERS) * shown + _STRIP_COVERS * _STRIP
    return strip * (1 - ink) + ink * _INK


def remaining_colour(ink: AnyFloatArray) -> AnyFloatArray:
    """The share of a strip's colour that remains where letters cover `ink` of a pixel, 0 to 1."""
    return (1 - _STRIP_COVERS) * (1 - ink)


def place_mark(
    height: int, width: int, mark: str, font: Path | None = None, orientation: int = 1, wide: float = 1
) -> tuple[FloatArray, Box] | None:
    """Where `burn_in` puts the mark into a picture of this size: the share of each pixel of the strip that letters
    cover, 0 to 1, and the strip, both as stored. None if there is no room.

    Args:
        wide: width ÷ height of a pixel, as stored.
    """
    shown = (height, max(1, round(width * wide)))
    seen = shown if orientation < 5 else shown[::-1]
    cover = _cover(*seen, mark_text(mark), font)
    if cover is None:
        return None
    ink: Samples = np.zeros(shown, np.float32)
    strip: Samples = np.zeros(shown, np.float32)
    to_upright(ink, orientation)[cover[1]] = cover[0]
    to_upright(strip, orientation)[cover[1]] = 1
    if shown[1] != width:
        ink, strip = (cv2.resize(a, (width, height), interpolation=cv2.INTER_AREA) for a in (ink, strip))
    rows, columns = np.flatnonzero(strip.max(axis=1) >= 0.5), np.flatnonzero(strip.max(axis=0) >= 0.5)
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return np.ascontiguousarray(ink[box]), box


def draw_title_card(height: int, width: int, text: str, small: str, font: Path | None = None) -> FloatArray:
    """A picture (H, W), 0 to 1, of white words on black: `text` in the middle, `small` below it. The letters are as
    large as fits, but at least `SMALLEST_PX`."""
    for size in range(max(SMALLEST_PX, height // 11), SMALLEST_PX - 1, -1):
        below = max(SMALLEST_PX, size * 5 // 8)
        lines = [(line, size) for line in [*_wrapped(text, font, size, 0.9 * width), ""]]
        lines += [(line, below) for line in _wrapped(small, font, below, 0.9 * width)]
        high = _LINE_SPACING * sum(letters for _, letters in lines)
        if high <= 0.8 * height:
            break
    image = Image.new("L", (width, height))
    pen, y = ImageDraw.Draw(image), (height - high) / 2
    for line, letters in lines:
        typeface = _font(font, letters)
        pen.text(((width - typeface.getlength(line)) / 2, y), line, fill=round(255 * _INK), font=typeface)
        y += _LINE_SPACING * letters
    return np.asarray(image, np.float32) / np.float32(255)


def _wrapped(text: str, font: Path | None, size: int, max_width: float) -> list[str]:
    """The lines of a text, broken between words where they are wider than `room` pixels."""
    typeface, lines = _font(font, size), []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and typeface.getlength(longer) > max_width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


def _cover(height: int, width: int, text: str, font: Path | None) -> tuple[FloatArray, Box] | None:
    """The share of each pixel of the strip that letters cover, 0 to 1, and the strip; None if there is no room.

    The letters shrink until they fit into nine tenths of the width, at least to `SMALLEST_PX`.
    """
    size = max(SMALLEST_PX, round(LETTER_HEIGHT * height))
    while size >= SMALLEST_PX:
        letters = _letters(text, font, size)
        h, w = letters.shape
        if h <= height / 2 and w <= 0.9 * width:
            return letters, (slice(height - h, height), slice(width - w, width))
        size = size * 9 // 10
    return None


@lru_cache(maxsize=64)
def _letters(text: str, font: Path | None, size: int) -> FloatArray:
    """(h, w), 0 to 1: the text with a margin around it."""
    typeface, margin = _font(font, size), size // 2
    left, top, right, bottom = typeface.getbbox(text)
    high = max(round(bottom - top), size)
    image = Image.new("L", (round(right - left) + 2 * margin, high + margin))
    ImageDraw.Draw(image).text((margin - left, margin // 2 - top), text, fill=255, font=typeface)
    return np.asarray(image, np.float32) / np.float32(255)


def _font(font: Path | None, size: int) -> Font:
    return ImageFont.truetype(font, size) if font else ImageFont.load_default(size)
