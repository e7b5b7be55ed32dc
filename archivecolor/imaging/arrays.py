"""Names for the types of arrays. The docstrings of functions give the shapes."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[Any]
"""A picture's samples as in its file: (H, W) grey or (H, W, 3) RGB, uint8 or uint16 unless stated otherwise."""
SampleType: TypeAlias = np.dtype[Any]
"""uint8 or uint16, as a dtype."""
FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
AnyFloatArray = NDArray[np.floating]
ByteArray = NDArray[np.uint8]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.intp]
