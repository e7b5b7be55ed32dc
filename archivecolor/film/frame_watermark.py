"""The visible mark on the planes of frames, and the title card before a film."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from archivecolor.film.coding import Coding
from archivecolor.film.planes import LAYOUTS
from archivecolor.imaging import watermark
from archivecolor.imaging.arrays import FloatArray, Samples
from archivecolor.imaging.orientation import to_stored


@dataclass(frozen=True)
class FilmWatermark:
    """The mark, prepared for every frame of a film. Outside its strip no sample changes."""

    coding: Coding
    ink: FloatArray
    """(h, w), 0 to 1: the share of each luma sample of the strip that letters cover."""
    rows: slice
    columns: slice
    """Of luma; they begin at whole chroma samples."""

    @classmethod
    def of(cls, coding: Coding, text: str, font: Path | None) -> FilmWatermark | None:
        """Draws the mark; None where the frames are too small for it."""
        film, across = coding.film, LAYOUTS[coding.layout][0]
        aspect = float(film.sample_aspect or 1)
        placed = watermark.place_mark(film.height, film.width, text, font, film.orientation, aspect)
        if placed is None:
            return None
        ink, (rows, columns) = placed
        top, left = rows.start // across * across, columns.start // across * across
        ink = np.pad(ink, ((rows.start - top, 0), (columns.start - left, 0)))
        return cls(coding, ink, slice(top, rows.stop), slice(left, columns.stop))

    def burn_into(self, planes: list[Samples]) -> list[Samples]:
        """Copies of the planes Y, Cb, Cr with the mark."""
        tags, depth = self.coding.tags, self.coding.depth
        black, white = tags.luma_range(depth)
        neutral, _ = tags.chroma_range(depth)
        luma, *chroma = (plane.copy() for plane in planes)
        grey = (luma[self.rows, self.columns].astype(np.float32) - black) / (white - black)
        luma[self.rows, self.columns] = np.rint(black + watermark.blend(grey, self.ink) * (white - black))
        across, down = LAYOUTS[self.coding.layout]
        rows = slice(self.rows.start // down, -(-self.rows.stop // down))
        columns = slice(self.columns.start // across, -(-self.columns.stop // across))
        for plane in chroma:
            codes = plane[rows, columns].astype(np.float32)
            ink = np.asarray(cv2.resize(self.ink, codes.shape[::-1], interpolation=cv2.INTER_AREA), np.float32)
            plane[rows, columns] = np.rint(neutral + (codes - neutral) * watermark.remaining_colour(ink))
        return [luma, *chroma]


def title_card_planes(coding: Coding, text: str, small_text: str, font: Path | None) -> list[Samples]:
    """The planes Y, Cb, Cr of a title card, oriented as the film stores its pictures.

    Args:
        small_text: a line in small letters below.
    """
    film, depth = coding.film, coding.depth
    display_width = max(1, round(film.width * float(film.sample_aspect or 1)))
    upright = (film.height, display_width) if film.orientation < 5 else (display_width, film.height)
    card = to_stored(watermark.draw_title_card(*upright, text, small_text, font), film.orientation)
    grey = cv2.resize(card, (film.width, film.height), interpolation=cv2.INTER_AREA)
    dtype = np.uint8 if depth == 8 else np.uint16
    black, white = coding.tags.luma_range(depth)
    chroma = np.full(coding.chroma_size, coding.tags.chroma_range(depth)[0], dtype)
    return [np.rint(black + grey * (white - black)).astype(dtype), chroma, chroma]
