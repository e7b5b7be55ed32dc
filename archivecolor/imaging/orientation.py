"""The eight EXIF orientations."""

from __future__ import annotations

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
