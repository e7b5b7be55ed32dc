"""The full-size pass on a CPU: chroma is upsampled and merged with L* in one pass over the pixels.

The loops are those of `merge_kernel.py`, which Numba compiles once (`native_code.py`). The formulas are those of
`guided_filter.RowBand.rows` and `merge.merge_planes`, which compute whole planes for GPUs; tests compare the two.
"""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np
from numpy.typing import NDArray

from archivecolor.imaging import native_code
from archivecolor.imaging.arrays import FloatArray, Samples

PIECE = 1024
"""Pixels of a row that are computed at a time."""
STEPS = 65535
"""For 8 bits, linear light is looked up in steps of 1/65535: where the curve is steepest, a step is 0.05 of a code."""
ROOTS = 1 << 15
"""For 16 bits, the curve is a table over the square root of light, interpolated linearly: the error is 0.01 of a code
at the knee and less elsewhere."""
_KERNEL = "archivecolor.imaging.merge_kernel"
_NATIVE = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 12, *[ctypes.c_int64] * 6)


def merge_rows(
    lightness: FloatArray, wide: FloatArray, above: NDArray[np.int32], part: FloatArray, matrix: FloatArray,
    luma: FloatArray, encode: Samples, decode: FloatArray, out: Samples,
) -> float:  # fmt: skip
    """Fills `out`, sRGB codes (h, W, 3) of 8 or 16 bits, C order, and returns the largest |ΔL*|.

    Args:
        lightness: L* (h, W) in [0, 100].
        wide: the small maps upsampled to the picture's width, (8, k, W), see `guided_filter.RowBand`.
        above, part: for each row, the small row above it and the fraction of the way to the next, [0, 1).
        matrix: XYZ over white -> linear RGB, row by row, (9,).
        luma: of R, G and B in Y, (3,).
        encode: linear light in `STEPS` -> code (65536,), or square root of light in `ROOTS` -> code, a float.
        decode: code -> linear light.

    Raises:
        ValueError: the maps are not as wide as the picture, or `out` is not in C order.
    """
    rows, width = lightness.shape
    if wide.shape[2] != width:
        raise ValueError(f"maps {wide.shape[2]} wide for a picture {width} wide")
    if out.shape != (rows, width, 3) or not out.flags.c_contiguous:
        raise ValueError(f"rows of shape {out.shape}, not all in one piece, for {rows} x {width} pixels")
    real = [np.ascontiguousarray(each, np.float32) for each in (lightness, wide, part, matrix, luma, decode)]
    light, maps, parts, colours, weights, linear = real
    places = np.ascontiguousarray(above, np.int32)
    codes = np.ascontiguousarray(encode, np.uint8 if out.dtype == np.uint8 else np.float32)
    scratch = np.empty((5, PIECE), np.float32)
    largest, problem = ctypes.c_float(), ctypes.c_void_p()
    arrays = (light, maps, places, parts, colours, weights, codes, linear, scratch, out)
    status = _native(out.dtype.itemsize * 8)(
        ctypes.addressof(largest),
        ctypes.addressof(problem),
        *(array.ctypes.data for array in arrays),
        rows,
        width,
        maps.shape[1],
        len(codes),
        len(linear),
        PIECE,
    )
    if status:
        raise RuntimeError(f"the loop over pixels ended with {status}")
    return largest.value


@cache
def _native(bits: int) -> ctypes._FuncPointer:
    """The compiled loop for codes of 8 or 16 bits. It runs without the global interpreter lock."""
    return _NATIVE(native_code.load(_KERNEL, f"merge_rows{bits}"))
