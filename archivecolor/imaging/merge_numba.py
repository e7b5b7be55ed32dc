"""The full-size pass on a CPU: chroma is upsampled and merged with L* in one pass over the pixels, compiled by Numba.

The formulas are those of `guided_filter.RowBand.rows` and `merge.merge_planes`, which compute whole planes for GPUs;
tests compare the two. A row is computed in pieces that stay in the innermost cache, each in several loops, most of
which become vector instructions. Compiled code is cached on disk.
"""

from __future__ import annotations

import logging
import pickle
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from archivecolor.imaging.arrays import ByteArray, FloatArray, Samples

_F = TypeVar("_F", bound=Callable[..., Any])

_log = logging.getLogger(__name__)
_announced: set[str] = set()
_announcing = threading.Lock()

PIECE = 1024
"""Pixels of a row that are computed at a time."""
STEPS = 65535
"""For 8 bits, linear light is looked up in steps of 1/65535: where the curve is steepest, a step is 0.05 of a code."""
ROOTS = 1 << 15
"""For 16 bits, the curve is a table over the square root of light, interpolated linearly: the error is 0.01 of a code
at the knee and less elsewhere."""
_STEPS, _ROOTS = np.float32(STEPS), np.float32(ROOTS)
_F_KNEE = np.float32(6 / 29)
_F_SLOPE = np.float32(3 * (6 / 29) ** 2)
_Y_KNEE = np.float32((6 / 29) ** 3)
_0, _1, _2, _HALF, _16, _116, _TINY = (np.float32(v) for v in (0, 1, 2, 0.5, 16, 116, 1e-12))
_A, _B = np.float32(1 / 500), np.float32(1 / 200)
_NUMBA_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"nnan", "ninf", "nsz", "contract"},
}
"""Without the global interpreter lock. NaN is assumed absent: one in L* gives an arbitrary colour, not a crash."""


def _compiled(function: _F) -> _F:
    compiled: _F = numba.njit(**_NUMBA_OPTIONS)(function)
    return compiled


def _compiled_and_cached(function: _F) -> _F:
    """Compiled, and cached on disk with everything it calls."""
    try:
        compiled: _F = numba.njit(cache=True, **_NUMBA_OPTIONS)(function)
    except RuntimeError:  # no folder for the cache: each process compiles its own
        return _compiled(function)
    return compiled


def merge_rows(
    lightness: FloatArray, wide: FloatArray, above: NDArray[np.int32], part: FloatArray, matrix: tuple[np.float32, ...],
    luma: tuple[np.float32, ...], encode: Samples, decode: FloatArray, out: Samples,
) -> float:  # fmt: skip
    """Fills `out`, sRGB codes (h, W, 3) of 8 or 16 bits, and returns the largest |ΔL*|.

    Args:
        lightness: L* (h, W) in [0, 100].
        wide: the small maps upsampled to the picture's width, (8, k, W), see `guided_filter.RowBand`.
        above, part: for each row, the small row above it and the fraction of the way to the next, [0, 1).
        matrix: XYZ over white -> linear RGB, row by row.
        luma: of R, G and B in Y.
        encode: linear light in `STEPS` -> code (65536,), or square root of light in `ROOTS` -> code, a float.
        decode: code -> linear light.

    Raises:
        ValueError: the maps are not as wide as the picture.
    """
    if wide.shape[2] != lightness.shape[1]:
        raise ValueError(f"maps {wide.shape[2]} wide for a picture {lightness.shape[1]} wide")
    function, arguments = (
        _merge_rows8 if out.dtype == np.uint8 else _merge_rows16,
        (lightness, wide, above, part, matrix, luma),
    )
    _announce_compiling(function)
    try:
        return function(*arguments, encode, decode, out)
    except (OSError, EOFError, pickle.UnpicklingError):  # the cache of compiled code is full, or damaged by a kill
        return float(_uncached(function)(*arguments, encode, decode, out))


def _announce_compiling(function: Any) -> None:
    """Says, once in a process, that a loop is compiled now. Nothing is said if the disk has its compiled code."""
    name = function.__name__
    if name in _announced:
        return
    with _announcing:
        if name in _announced:
            return
        _announced.add(name)
        folder = getattr(getattr(function, "_cache", None), "cache_path", None)
        if not (folder and any(Path(folder).glob(f"*.{name}-*.nbi"))):
            _log.warning("compiling the loop over pixels once, about 20 s; later runs begin at once")


@lru_cache(maxsize=2)
def _uncached(function: Any) -> Any:
    return _compiled(function.py_func)


@_compiled
def _merge_rows(
    lightness: FloatArray, wide: FloatArray, above: NDArray[np.int32], part: FloatArray, matrix: tuple[np.float32, ...],
    luma: tuple[np.float32, ...], encode: Samples, decode: FloatArray, out: Samples,
) -> float:  # fmt: skip
    rows, width = lightness.shape
    red, green, blue = np.empty(PIECE, np.float32), np.empty(PIECE, np.float32), np.empty(PIECE, np.float32)
    y, f = np.empty(PIECE, np.float32), np.empty(PIECE, np.float32)
    largest = _0
    for row in range(rows):
        for start in range(0, width, PIECE):
            end = min(start + PIECE, width)
            _light(lightness[row, start:end], wide, above[row], part[row], start, matrix, red, green, blue, y, f)
            to = out[row, start:end]
            for channel, light in enumerate((red, green, blue)):
                if decode.shape[0] == 256:
                    for x in range(end - start):
                        to[x, channel] = _code8(light[x], encode)
                else:
                    for x in range(end - start):
                        to[x, channel] = _code16(light[x], encode)
            largest = max(largest, _max_change(to, decode, luma, y, f, red))
    return float(largest * _116)


@_compiled
def _code8(light: np.float32, encode: ByteArray) -> int:
    return encode[min(max(int(light * _STEPS + _HALF), 0), STEPS)]


@_compiled
def _code16(light: np.float32, encode: FloatArray) -> int:
    root = np.sqrt(light) * _ROOTS
    k = min(max(int(root), 0), ROOTS - 1)
    return int(encode[k] + (encode[k + 1] - encode[k]) * (root - np.float32(k)) + _HALF)


# One function per depth, each with its own cache files: two that are compiled at the same time for one cache index
# could overwrite each other.


@_compiled_and_cached
def _merge_rows8(*arguments: Any) -> float:
    return _merge_rows(*arguments)


@_compiled_and_cached
def _merge_rows16(*arguments: Any) -> float:
    return _merge_rows(*arguments)


@_compiled
def _light(
    lightness: FloatArray, wide: FloatArray, above: int, t: float, start: int, matrix: tuple[np.float32, ...],
    red: FloatArray, green: FloatArray, blue: FloatArray, y: FloatArray, f: FloatArray,
) -> None:  # fmt: skip
    """A piece of a row of L*, from column `start` on -> linear light, luminance, and the cube root of the luminance, at
    least that of the knee."""
    n = len(lightness)
    end, i, j = start + n, above, min(above + 1, wide.shape[1] - 1)
    # Each row by itself: only of one-dimensional slices does the compiler know that they are contiguous.
    slope_a, slope_a2 = wide[0, i, start:end], wide[0, j, start:end]
    slope_b, slope_b2 = wide[1, i, start:end], wide[1, j, start:end]
    base_a, base_a2 = wide[2, i, start:end], wide[2, j, start:end]
    base_b, base_b2 = wide[3, i, start:end], wide[3, j, start:end]
    low_a, low_a2 = wide[4, i, start:end], wide[4, j, start:end]
    low_b, low_b2 = wide[5, i, start:end], wide[5, j, start:end]
    high_a, high_a2 = wide[6, i, start:end], wide[6, j, start:end]
    high_b, high_b2 = wide[7, i, start:end], wide[7, j, start:end]
    for x in range(n):
        l_star = lightness[x]
        a = base_a[x] + (base_a2[x] - base_a[x]) * t + (slope_a[x] + (slope_a2[x] - slope_a[x]) * t) * l_star
        b = base_b[x] + (base_b2[x] - base_b[x]) * t + (slope_b[x] + (slope_b2[x] - slope_b[x]) * t) * l_star
        a = max(a, low_a[x] + (low_a2[x] - low_a[x]) * t)
        b = max(b, low_b[x] + (low_b2[x] - low_b[x]) * t)
        a = min(a, high_a[x] + (high_a2[x] - high_a[x]) * t)
        b = min(b, high_b[x] + (high_b2[x] - high_b[x]) * t)
        fy = (l_star + _16) / _116
        fx, fz = fy + a * _A, fy - b * _B
        kx, ky, kz = max(fx, _F_KNEE), max(fy, _F_KNEE), max(fz, _F_KNEE)
        x_ = (fx - kx) * _F_SLOPE + kx * kx * kx
        y_ = (fy - ky) * _F_SLOPE + ky * ky * ky
        z_ = (fz - kz) * _F_SLOPE + kz * kz * kz
        r = matrix[0] * x_ + matrix[1] * y_ + matrix[2] * z_
        g = matrix[3] * x_ + matrix[4] * y_ + matrix[5] * z_
        b_ = matrix[6] * x_ + matrix[7] * y_ + matrix[8] * z_
        lowest, highest = min(r, min(g, b_)), max(r, max(g, b_))
        reach = min((_1 - y_) / max(highest - y_, _TINY), y_ / max(y_ - lowest, _TINY))
        reach = min(max(reach, _0), _1)
        red[x] = min(max((r - y_) * reach + y_, _0), _1)
        green[x] = min(max((g - y_) * reach + y_, _0), _1)
        blue[x] = min(max((b_ - y_) * reach + y_, _0), _1)
        y[x], f[x] = y_, ky


@_compiled
def _max_change(
    codes: Samples,
    decode: FloatArray,
    luma: tuple[np.float32, ...],
    y: FloatArray,
    f: FloatArray,
    luminance: FloatArray,
) -> np.float32:
    """The largest |ΔL*| / 116 between the luminance `y` and that of the codes (n, 3); see `merge._max_delta_l`
    for the formula. `luminance` is overwritten."""
    largest = _0
    for x in range(len(codes)):
        luminance[x] = decode[codes[x, 0]] * luma[0] + decode[codes[x, 1]] * luma[1] + decode[codes[x, 2]] * luma[2]
    for x in range(len(codes)):
        over = max(luminance[x], _Y_KNEE) + _2 * max(y[x], _Y_KNEE)
        largest = max(largest, abs((luminance[x] - y[x]) * f[x] / over))
    return largest
