"""The eight EXIF orientations, on arrays whose rows and columns are the last two axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_INVERSE = {6: 8, 8: 6}


def upright(stored: Array, orientation: int) -> Array:
    """An array (…, H, W) as a file stores it -> as it is to be seen. Orientations outside 1..8 count as 1."""
    rows_cols = (-2, -1)
    match orientation:
        case 2:
            return np.flip(stored, -1)
        case 3:
            return np.flip(stored, rows_cols)
        case 4:
            return np.flip(stored, -2)
        case 5:
            return np.swapaxes(stored, *rows_cols)
        case 6:
            return np.rot90(stored, -1, rows_cols)
        case 7:
            return np.swapaxes(np.flip(stored, rows_cols), *rows_cols)
        case 8:
            return np.rot90(stored, 1, rows_cols)
        case _:
            return stored


def stored(seen: Array, orientation: int) -> Array:
    """The inverse of `upright`."""
    return upright(seen, _INVERSE.get(orientation, orientation))
