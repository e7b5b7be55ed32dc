"""The visible mark on the planes of a film's frames, and the card before the film."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from archivecolor.film.planes import LAYOUTS
from archivecolor.film.write import Coding
from archivecolor.imaging import watermark
from archivecolor.imaging.arrays import FloatArray, Samples
from archivecolor.imaging.orientation import to_stored


@dataclass(frozen=True)
class FilmWatermark:
    """The mark, ready for every frame of a film; outside its strip no sample changes."""

    coding: Coding
    ink: FloatArray
    """(h, w): how much letters cover of each luma sample of the strip."""
    rows: slice
    columns: slice
    """Of luma; even where chroma is coarser."""

    @classmethod
    def of(cls, coding: Coding, text: str, font: Path | None) -> FilmWatermark | None:
        """None where the frames are too small for it."""
        film, across = coding.film, LAYOUTS[coding.layout][0]
        wide = float(film.sample_aspect or 1)
        place = watermark.place_mark(film.height, film.width, text, font, film.orientation, wide)
        if place is None:
            return None
        ink, (rows, columns) = place
        top, left = rows.start // across * across, columns.start // across * across
        ink = np.pad(ink, ((rows.start - top, 0), (columns.start - left, 0)))
        return cls(coding, ink, slice(top, rows.stop), slice(left, columns.stop))

    def onto(self, planes: list[Samples]) -> list[Samples]:
        """Y, Cb, Cr with the mark; what comes in is left as it is."""
        tags, depth = self.coding.tags, self.coding.depth
        black, white = tags.luma_range(depth)
        centre, _ = tags.chroma_range(depth)
        luma, *chroma = (plane.copy() for plane in planes)
        own = luma[self.rows, self.columns].astype(np.float32)
        shown = watermark.blended((own - black) / (white - black), self.ink)
        luma[self.rows, self.columns] = np.rint(black + shown * (white - black))
        across, down = LAYOUTS[self.coding.layout]
        box = (slice(self.rows.start // down, -(-self.rows.stop // down)),
               slice(self.columns.start // across, -(-self.columns.stop // across)))  # fmt: skip
        for plane in chroma:
            there = plane[box].astype(np.float32)
            ink = cv2.resize(self.ink, there.shape[::-1], interpolation=cv2.INTER_AREA)
            plane[box] = np.rint(centre + (there - centre) * watermark.colour_left(ink))
        return [luma, *chroma]


def title_card_planes(coding: Coding, text: str, small: str, font: Path | None) -> list[Samples]:
    """The planes of a card with these words, as a film of this kind stores a picture that is seen upright."""
    film, depth = coding.film, coding.depth
    wide = max(1, round(film.width * float(film.sample_aspect or 1)))
    seen = (film.height, wide) if film.orientation < 5 else (wide, film.height)
    picture = to_stored(watermark.draw_title_card(*seen, text, small, font), film.orientation)
    stored = cv2.resize(picture, (film.width, film.height), interpolation=cv2.INTER_AREA)
    dtype = np.uint8 if depth == 8 else np.uint16
    black, white = coding.tags.luma_range(depth)
    grey = np.full(coding.chroma_size, coding.tags.chroma_range(depth)[0], dtype)
    return [np.rint(black + stored * (white - black)).astype(dtype), grey, grey]
