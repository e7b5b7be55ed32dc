"""Finds the two halves of a stereo pair, and gives both the same colours."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from archivecolor.imaging.arrays import FloatArray
from archivecolor.imaging.temporal import lightness_bytes, pixel_grid, warp

Box = tuple[slice, slice]
"""Rows and columns."""
PROPORTIONS = (1.4, 2.6)
"""Width ÷ height of a photograph that may be two halves without a gap."""
ALIKE = 1.15
"""How much the sides and the places of two photographs may differ that may be the halves of a pair."""
SIDE = 96
"""Pixels to which halves are reduced for the comparison."""
WINDOWS = 4
"""The left half is compared in so many rows and columns of windows."""
REACH = 0.14, 0.05
"""How far a thing may be shifted between the halves, horizontally and vertically: shares of the side."""
TEXTURE = 2.0
"""The standard deviation of L* from which on a window shows something to compare."""
CORRELATION, SAME_SHARE = 0.7, 0.6
"""What two windows of the same thing have, and the share of the windows that must have it."""
SPREAD_X, SPREAD_Y = 0.08 * SIDE, 0.02 * SIDE
"""How far the shift of a window may be from the median of all, in pixels. Near things are shifted more than far ones,
but all sideways."""


def find_pairs(lightness: FloatArray, photographs: Sequence[Box]) -> list[tuple[Box, Box]]:
    """The stereo pairs among the photographs of a sheet: left half, right half.

    Args:
        lightness: L* (h, w) of a small copy.
        photographs: their boxes. One may itself hold both halves of a pair.
    """
    candidates = [pair for box in photographs if (pair := _halves(box))]
    candidates += [(a, b) for a in photographs for b in photographs if _are_side_by_side(a, b)]
    return [(left, right) for left, right in candidates if _show_the_same(lightness[left], lightness[right])]


def unify(lightness: FloatArray, ab: FloatArray, pair: tuple[Box, Box]) -> FloatArray:
    """ab (2, h, w) in which each half of a pair has the mean of its own colours and those of the other half, moved to
    where the same things are."""
    result = ab.copy()
    for own, other in (pair, pair[::-1]):
        height, width = lightness[own].shape
        moved = np.stack([_resized(plane[other], height, width) for plane in (lightness, *ab)])
        places = _matches(lightness[own], moved[0])
        for channel in (0, 1):
            result[channel][own] = (ab[channel][own] + warp(moved[1 + channel], places)) / 2
    return result


def _matches(tone: FloatArray, other: FloatArray) -> FloatArray:
    """(h, w, 2): for each pixel of one half, x and y of the same thing in the other, by dense inverse search (Kroeger
    et al. 2016)."""
    flow = np.zeros((*tone.shape, 2), np.float32)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(pixel_grid(*tone.shape) + search.calc(lightness_bytes(tone), lightness_bytes(other), flow))


def _halves(box: Box) -> tuple[Box, Box] | None:
    """The left and the right half of a box that has the proportions of a pair."""
    rows, columns = box
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if not PROPORTIONS[0] <= width / height <= PROPORTIONS[1]:
        return None
    half = width // 2
    return (rows, slice(columns.start, columns.start + half)), (rows, slice(columns.stop - half, columns.stop))


def _are_side_by_side(a: Box, b: Box) -> bool:
    (rows, columns), (others, other_columns) = a, b
    height, width = rows.stop - rows.start, columns.stop - columns.start
    ratios = height / (others.stop - others.start), width / (other_columns.stop - other_columns.start)
    aligned = abs(rows.start - others.start) < (ALIKE - 1) * height
    gap = other_columns.start - columns.stop
    return aligned and all(1 / ALIKE < ratio < ALIKE for ratio in ratios) and -2 <= gap < width / 2


def _show_the_same(left: FloatArray, right: FloatArray) -> bool:
    """Whether most windows of one half are in the other, a little shifted."""
    if min(*left.shape, *right.shape) < SIDE // 4:
        return False
    first, second = (_resized(half, SIDE, SIDE) for half in (left, right))
    step, (reach_x, reach_y) = SIDE // WINDOWS, (int(share * SIDE) for share in REACH)
    padded = cv2.copyMakeBorder(second, reach_y, reach_y, reach_x, reach_x, cv2.BORDER_REPLICATE)
    matches = []
    for y in range(0, SIDE, step):
        for x in range(0, SIDE, step):
            window = first[y : y + step, x : x + step]
            if window.std() < TEXTURE:
                continue
            around = padded[y : y + step + 2 * reach_y, x : x + step + 2 * reach_x]
            _, score, _, place = cv2.minMaxLoc(cv2.matchTemplate(around, window, cv2.TM_CCOEFF_NORMED))
            matches.append((score, *place))
    if len(matches) < WINDOWS:
        return False
    scores, shifts = np.array(matches)[:, 0], np.array(matches)[:, 1:]
    usual = np.abs(shifts - np.median(shifts[scores > CORRELATION], axis=0)) if (scores > CORRELATION).any() else shifts
    return float(((scores > CORRELATION) & (usual <= (SPREAD_X, SPREAD_Y)).all(axis=1)).mean()) >= SAME_SHARE


def _resized(plane: FloatArray, height: int, width: int) -> FloatArray:
    size = (width, height)
    return np.asarray(cv2.resize(np.ascontiguousarray(plane), size, interpolation=cv2.INTER_AREA), np.float32)
