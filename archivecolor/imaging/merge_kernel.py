"""The loops of `merge_numba.py` over the pixels of a strip, compiled by Numba. Imported only to compile them.

A row is computed in pieces that stay in the innermost cache, each in several loops, most of which become vector
instructions. The formulas are those of `guided_filter.RowBand.rows` and `merge.merge_planes`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

import numba
import numpy as np
from numba import types
from numba.np.numpy_support import carray
from numpy.typing import NDArray

from archivecolor.imaging.arrays import ByteArray, FloatArray, Samples

if TYPE_CHECKING:
    from ctypes import _Pointer, c_float, c_int32, c_uint8, c_uint16

    Reals: TypeAlias = _Pointer[c_float]
    Integers: TypeAlias = _Pointer[c_int32]
    Codes: TypeAlias = _Pointer[c_uint8] | _Pointer[c_uint16]

_Function = TypeVar("_Function", bound=Callable[..., object])

_F_KNEE = np.float32(6 / 29)
_F_SLOPE = np.float32(3 * (6 / 29) ** 2)
_Y_KNEE = np.float32((6 / 29) ** 3)
_0, _1, _2, _HALF, _16, _116, _TINY = (np.float32(v) for v in (0, 1, 2, 0.5, 16, 116, 1e-12))
_A, _B = np.float32(1 / 500), np.float32(1 / 200)


def _compiled(function: _Function) -> _Function:
    """NaN is assumed absent: one in L* gives an arbitrary colour, not a crash."""
    compile_ = numba.njit(error_model="numpy", fastmath={"nnan", "ninf", "nsz", "contract"})
    return cast(_Function, compile_(function))


@_compiled
def _merge_rows(
    lightness: FloatArray, wide: FloatArray, above: NDArray[np.int32], part: FloatArray, matrix: tuple[np.float32, ...],
    luma: tuple[np.float32, ...], encode: Samples, decode: FloatArray, scratch: FloatArray, out: Samples,
) -> float:  # fmt: skip
    rows, width = lightness.shape
    piece = scratch.shape[1]
    red, green, blue, y, f = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    largest = _0
    for row in range(rows):
        for start in range(0, width, piece):
            end = min(start + piece, width)
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
    steps = len(encode) - 1
    return encode[min(max(int(light * np.float32(steps) + _HALF), 0), steps)]


@_compiled
def _code16(light: np.float32, encode: FloatArray) -> int:
    roots = len(encode) - 1
    root = np.sqrt(light) * np.float32(roots)
    k = min(max(int(root), 0), roots - 1)
    return int(encode[k] + (encode[k + 1] - encode[k]) * (root - np.float32(k)) + _HALF)


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


@_compiled
def _merge_at(
    lightness: Reals,
    wide: Reals,
    above: Integers,
    part: Reals,
    matrix: Reals,
    luma: Reals,
    encode: Codes,
    decode: Reals,
    scratch: Reals,
    out: Codes,
    rows: int,
    width: int,
    tall: int,
    steps: int,
    levels: int,
    piece: int,
) -> float:
    """`_merge_rows` of C arrays. The matrices become values, so that the compiler knows that no loop changes them."""
    m, y = carray(matrix, 9), carray(luma, 3)
    return _merge_rows(
        carray(lightness, (rows, width)),
        carray(wide, (8, tall, width)),
        carray(above, rows),
        carray(part, rows),
        (m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8]),
        (y[0], y[1], y[2]),
        carray(encode, steps),
        carray(decode, levels),
        carray(scratch, (5, piece)),
        carray(out, (rows, width, 3)),
    )


def _arguments(encode: types.Type, code: types.Type) -> tuple[types.Type, ...]:
    real, whole = types.CPointer(types.float32), types.CPointer(types.int32)
    pointers = (real, real, whole, real, real, real, types.CPointer(encode), real, real, types.CPointer(code))
    return (*pointers, *[types.int64] * 6)


ENTRIES = {
    "merge_rows8": (_merge_at, _arguments(types.uint8, types.uint8)),
    "merge_rows16": (_merge_at, _arguments(types.float32, types.uint16)),
}
"""What `native_code.load` can load: the function, and the types of its arguments."""
