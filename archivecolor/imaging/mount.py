"""Finds the photographs on a sheet: what lies on a plain mount, inside a plain border, or on the page of an album.

A mount is recognized by its tone alone, so that the colour that it gets or has does not matter.
"""

from __future__ import annotations

import cv2
import numpy as np

from archivecolor.imaging.arrays import BoolArray, ByteArray, DoubleArray, FloatArray, IndexArray
from archivecolor.imaging.fitting import product, weighted_fit

TOLERANCE = 6.0
"""How far the tone of a mount may lie from its slow gradient, in Lab units."""
RING = 2
"""Pixels at each edge of the sheet that must belong to the mount."""
RIDGE = 1e-3
"""Keeps the fit of the mount's tone defined where the ring says nothing."""
RING_SHARE, SIDE_SHARE = 0.9, 0.8
"""The least share of the whole ring, and of each of its sides, that has the mount's tone."""
SMALLEST_MOUNT, SMALLEST_PHOTOGRAPH = 0.04, 0.03
"""Shares of the sheet. Smaller things on a mount are writing, numbers and labels."""
RECTANGLE, TILTED_RECTANGLE, ELLIPSE = 0.9, 0.9, 0.94
"""How well a photograph must fill its shape: its convex hull ÷ the area of the shape."""
EDGE_STEP, EDGE_SHARE = 3.0, 0.6
"""The least step of tone at a photograph's edge, and the least share of the edge that has it."""
NESTED = 2
"""How many borders inside a border are looked for: a white margin inside a board."""


def find_photographs(planes: FloatArray) -> ByteArray | None:
    """The photographs on a sheet.

    Args:
        planes: (c, h, w), L* or Lab of a small copy, one unit as in Lab.

    Returns:
        (h, w): 0 for the mount, 1 to 255 for each photograph; None where the sheet has no mount. A plain sky or
        backdrop is no mount: a mount surrounds straight-edged things.
    """
    found = _on_one_mount(planes)
    if found is None:
        return None
    labels = np.zeros_like(found)
    for number in range(1, int(found.max()) + 1):
        inside = found == number
        _copy_nested(planes, inside, labels, NESTED - 1)
    return labels


def _copy_nested(planes: FloatArray, inside: BoolArray, labels: ByteArray, depth: int) -> None:
    """Numbers a photograph, or those inside a further border of it, in `labels`."""
    y, x, height, width = _box(inside)
    y, x, height, width = y + 2, x + 2, height - 4, width - 4  # without the pixels that an edge divides
    window = (slice(y, y + height), slice(x, x + width))
    inner = _on_one_mount(planes[:, window[0], window[1]]) if depth and min(height, width) > 24 else None
    if inner is None:  # the photograph
        labels[inside] = labels.max() + 1
        return
    for number in range(1, int(inner.max()) + 1):
        deeper = np.zeros_like(inside)
        deeper[window] = inner == number
        _copy_nested(planes, deeper & inside, labels, depth - 1)


def _on_one_mount(planes: FloatArray) -> ByteArray | None:
    """As `find_photographs`, without borders inside borders."""
    height, width = planes.shape[1:]
    if min(height, width) < 16:
        return None
    mount = _mount_mask(planes)
    if mount is None:
        return None
    count, parts, stats, _ = cv2.connectedComponentsWithStats((~mount).astype(np.uint8), connectivity=8)
    labels, size = np.zeros((height, width), np.uint8), height * width
    for part in range(1, count):
        if stats[part, cv2.CC_STAT_AREA] < SMALLEST_PHOTOGRAPH * size:  # text, dirt, grain of the paper
            continue
        shape = _shape_of(parts == part)
        if shape is None or not _has_edge(planes, shape):
            return None
        labels[shape] = labels.max() + 1
    covered = np.count_nonzero(labels) / size
    return labels if SMALLEST_PHOTOGRAPH * 3 < covered < 1 - SMALLEST_MOUNT else None


def _mount_mask(planes: FloatArray) -> BoolArray | None:
    """The pixels (h, w) with the mount's tone that reach the edge of the sheet; None where no mount surrounds it."""
    channels, height, width = planes.shape
    ring = np.ones((height, width), bool)
    ring[RING:-RING, RING:-RING] = False
    on_ring = np.flatnonzero(ring)
    terms, values = _slow_terms(height, width, on_ring), planes.reshape(channels, -1)[:, on_ring].T.astype(np.float64)
    weight = (np.abs(values - np.median(values, axis=0)).max(axis=1) < 2 * TOLERANCE).astype(np.float64)
    if weight.mean() < RING_SHARE / 2:  # most pictures: no one tone surrounds them
        return None
    for _ in range(3):
        fit = weighted_fit(terms, values, weight, RIDGE)
        weight = (np.abs(values - product(terms, fit)).max(axis=1) < TOLERANCE).astype(np.float64)
    near = np.zeros((height, width), bool)
    near.ravel()[on_ring] = weight > 0
    sides = near[:RING], near[-RING:], near[:, :RING], near[:, -RING:]
    if weight.mean() < RING_SHARE or min(side.mean() for side in sides) < SIDE_SHARE:
        return None
    tone = product(_slow_terms(height, width, np.arange(height * width)), fit).T.reshape(planes.shape)
    opened = cv2.morphologyEx(
        (np.abs(planes - tone).max(axis=0) < TOLERANCE).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)
    )
    _, parts = cv2.connectedComponents(opened, connectivity=4)
    return np.isin(parts, np.setdiff1d(np.unique(parts[ring]), [0]))


def _slow_terms(height: int, width: int, places: IndexArray) -> DoubleArray:
    """(n, 6): the terms of a quadratic in the position, for these flat places of a sheet."""
    y, x = 2 * (places // width) / max(1, height - 1) - 1, 2 * (places % width) / max(1, width - 1) - 1
    return np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=-1)


def _box(mask: BoolArray) -> tuple[int, int, int, int]:
    """(y, x, height, width) of the smallest upright box around a mask."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return y, x, height, width


def _shape_of(part: BoolArray) -> BoolArray | None:
    """The rectangle, tilted rectangle or ellipse (h, w) that a part fills; None where it has another shape."""
    contours, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = cv2.convexHull(contours[0])
    area = max(1.0, cv2.contourArea(hull))
    y, x, height, width = _box(part)
    shape = np.zeros(part.shape, np.uint8)
    if area >= RECTANGLE * (height - 1) * (width - 1):
        shape[y : y + height, x : x + width] = 1
        return shape.astype(bool)
    tilted = cv2.minAreaRect(hull)
    if area >= TILTED_RECTANGLE * max(1.0, tilted[1][0] * tilted[1][1]):
        cv2.fillPoly(shape, [np.rint(cv2.boxPoints(tilted)).astype(np.int32)], 1)
        return shape.astype(bool)
    cv2.ellipse(shape, (x + width // 2, y + height // 2), (width // 2, height // 2), 0, 0, 360, 1, -1)
    filled = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(filled, [hull], 1)
    common = int(np.count_nonzero(shape & filled)) / max(1, int(np.count_nonzero(shape | filled)))
    return shape.astype(bool) if common >= ELLIPSE else None


def _has_edge(planes: FloatArray, shape: BoolArray) -> bool:
    """Whether the tone changes abruptly along most of a shape's edge."""
    mask, kernel = shape.astype(np.uint8), np.ones((3, 3), np.uint8)
    inner = mask - cv2.erode(mask, kernel, borderValue=1)
    if not inner.any():
        return False
    steps = max(
        (np.abs(cv2.dilate(plane, kernel) - cv2.erode(plane, kernel))[inner > 0] > 2 * EDGE_STEP for plane in planes),
        key=lambda step: float(step.mean()),
    )
    return float(steps.mean()) >= EDGE_SHARE
