"""The eight EXIF orientations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from archivecolor.imaging.arrays import Samples

_INVERSE = {6: 8, 8: 6}


def to_upright(stored: Samples, orientation: int, axes: tuple[int, int] = (-2, -1)) -> Samples:
    """An array as a file stores it -> as it is seen; `axes` are its rows and columns. Orientations outside 1..8
    count as 1."""
    rows, columns = axes
    match orientation:
        case 2:
            return np.flip(stored, columns)
        case 3:
            return np.flip(stored, axes)
        case 4:
            return np.flip(stored, rows)
        case 5:
            return np.swapaxes(stored, *axes)
        case 6:
            return np.rot90(stored, -1, axes)
        case 7:
            return np.swapaxes(np.flip(stored, axes), *axes)
        case 8:
            return np.rot90(stored, 1, axes)
        case _:
            return stored


def to_stored(seen: Samples, orientation: int) -> Samples:
    """The inverse of `to_upright`."""
    return to_upright(seen, _INVERSE.get(orientation, orientation))


@dataclass(frozen=True)
class Window:
    """A rectangle of a picture, in shares of its height and width, 0 to 1: the same for every copy of the picture."""

    top: float
    bottom: float
    left: float
    right: float

    def pixels(self, height: int, width: int) -> tuple[int, int, int, int]:
        """First row, end of the rows, first column, end of the columns in a copy of this size."""
        top, bottom = round(self.top * height), round(self.bottom * height)
        return top, bottom, round(self.left * width), round(self.right * width)

    def to_stored(self, orientation: int) -> Window:
        """The window of the picture as it is seen, in the picture as its file stores it."""
        rows, columns = (self.top, self.bottom), (self.left, self.right)
        if orientation in (5, 6, 7, 8):
            rows, columns = columns, rows
        if orientation in (3, 4, 6, 7):
            rows = (1 - rows[1], 1 - rows[0])
        if orientation in (2, 3, 7, 8):
            columns = (1 - columns[1], 1 - columns[0])
        return Window(*rows, *columns)
