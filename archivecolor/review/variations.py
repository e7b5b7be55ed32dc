"""Colourings of one picture that differ: warmer and cooler, stronger, and other hues for its large areas.

A network gives the average of what could be; for clothes and painted things many hues are as likely. Each variation is
made by flags of `run`, so that it can be had again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from archivecolor.imaging import lab
from archivecolor.imaging.arrays import FloatArray
from archivecolor.options import ColorOptions, Hint

WARMTH, STRONG = 0.6, 1.4
HUES = (30.0, 85.0, 140.0, 200.0, 270.0, 330.0)
"""Degrees in Lab: red, ochre, green, teal, blue, purple; dyes and paints have them all."""
CHROMA = 22.0
"""Of another hue, Lab units: that of ordinary cloth."""
_CLUSTERS, _SPREAD = 6, 40.0
"""Areas are clusters of lightness, ab and place; the picture's sides count this many Lab units."""
_DARK, _LIGHT = 25.0, 93.0
"""Mean L*: darker or lighter areas show no hue."""
_SAME_TONE = 6.0
"""Areas whose mean L* differs less are taken for one."""
_SKIN_HUES, _SKIN_CHROMA = (25.0, 75.0), 10.0
"""Degrees, Lab units: what is skin, or like it, keeps its hue."""


@dataclass(frozen=True)
class Area:
    """A connected part of the picture of about one tone and colour."""

    row: int
    column: int
    """Its innermost place on the small map."""
    pixels: int
    tone: float
    """Mean L*."""
    hue: float
    """Degrees."""


def variations(lightness: FloatArray, ab: FloatArray, size: int, height: int, width: int) -> list[ColorOptions]:
    """The options of each variation, the plain one first.

    Args:
        lightness, ab: L* (h, w) and the network's ab (2, h, w) in Lab units, upright.
        size: as `ColorOptions.size`.
        height, width: of the picture itself, upright.
    """
    plain = ColorOptions(size=size)
    made = [plain, *toned(size), ColorOptions(size=size, strength=STRONG)]
    open_areas = areas(lightness, ab)[:2]
    hints = [_hint(area, hue, lightness, height, width) for area in open_areas for hue in other_hues(area.hue)]
    return made + [ColorOptions(size=size, hints=(hint,)) for hint in hints]


def toned(size: int) -> list[ColorOptions]:
    """Warmer and cooler."""
    return [ColorOptions(size=size, warmth=warmth) for warmth in (WARMTH, -WARMTH)]


def areas(lightness: FloatArray, ab: FloatArray) -> list[Area]:
    """The areas whose hue is open, the largest first."""
    h, w = lightness.shape
    rows, columns = np.mgrid[0:h, 0:w].astype(np.float32) * np.float32(_SPREAD / max(h, w))
    smooth = [cv2.GaussianBlur(plane, (0, 0), 1.5) for plane in (lightness, *ab)]
    features = np.stack([smooth[0] / 1.5, smooth[1], smooth[2], rows, columns], axis=-1).reshape(-1, 5)
    cv2.setRNGSeed(1)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    count = min(_CLUSTERS, len(features))
    _, labels, _ = cv2.kmeans(features.astype(np.float32), count, None, stop, 1, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    labels = labels.reshape(h, w)
    found = [_area(np.asarray(labels == label, np.uint8), lightness, ab) for label in range(count)]
    chosen: list[Area] = []
    for area in sorted((area for area in found if area), key=lambda area: -area.pixels):
        if all(abs(area.tone - other.tone) > _SAME_TONE for other in chosen):  # a hint spreads over an even tone
            chosen.append(area)
    return chosen


def _area(mask: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], lightness: FloatArray, ab: FloatArray) -> Area | None:
    """The largest connected part of a mask; None if its hue is not open."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])) if len(stats) > 1 else 0
    inside = np.asarray(parts == largest, np.uint8)
    tone = float(lightness[inside > 0].mean())
    if not largest or not _DARK < tone < _LIGHT:
        return None
    a, b = (float(plane[inside > 0].mean()) for plane in ab)
    hue = float(np.degrees(np.arctan2(b, a))) % 360
    if _SKIN_HUES[0] <= hue <= _SKIN_HUES[1] and np.hypot(a, b) > _SKIN_CHROMA:
        return None
    depth = cv2.distanceTransform(np.pad(inside, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return Area(int(row), int(column), int(inside.sum()), tone, hue)


def other_hues(hue: float, count: int = 2) -> list[float]:
    """The hues that are farthest from this one and from each other."""
    chosen: list[float] = []
    for _ in range(count):
        known = [hue, *chosen]
        chosen.append(max(HUES, key=lambda one: min(abs((one - other + 180) % 360 - 180) for other in known)))
    return chosen


def _hint(area: Area, hue: float, lightness: FloatArray, height: int, width: int) -> Hint:
    tone, angle = float(lightness[area.row, area.column]), np.radians(hue)
    colour = torch.tensor([tone, CHROMA * np.cos(angle), CHROMA * np.sin(angle)], dtype=torch.float32)
    red, green, blue = (lab.srgb_from_lab(colour.view(3, 1, 1)).flatten() * 255).round().int().tolist()
    h, w = lightness.shape
    x, y = int((area.column + 0.5) * width / w), int((area.row + 0.5) * height / h)
    return Hint(x, y, f"#{red:02x}{green:02x}{blue:02x}")


def most_different_first(colours: Sequence[FloatArray]) -> list[int]:
    """An order of maps (2, h, w): the first stays; each of the others is the one farthest from all before it."""
    order, left = [0], set(range(1, len(colours)))
    while left:
        farthest = max(left, key=lambda i: min(distance(colours[i], colours[j]) for j in order))
        order.append(farthest)
        left.remove(farthest)
    return order


def distance(one: FloatArray, other: FloatArray) -> float:
    """Mean distance of two maps (2, h, w) in Lab units."""
    return float(np.hypot(*(one - other)).mean())
