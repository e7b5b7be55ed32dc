"""The layout of a scan: where its photographs are, and what lies around them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from archivecolor.imaging import edge_strips, mount, stereo
from archivecolor.imaging.arrays import BoolArray, ByteArray, FloatArray


@dataclass(frozen=True)
class ScanLayout:
    """Where the photographs of a scan are."""

    photograph: BoolArray
    """(h, w): whether a pixel belongs to a photograph; the others belong to the mount, a border, or a target."""
    pairs: tuple[tuple[stereo.Box, stereo.Box], ...] = ()
    """Halves of stereo pairs."""
    non_photographs: tuple[str, ...] = ()
    """What lies around the photographs: mounts, borders, targets."""

    def notes(self) -> tuple[str, ...]:
        """Lines for the row."""
        lines = ("stereo pair: both halves have the same colours",) if self.pairs else ()
        if not self.non_photographs:
            return lines
        share = 100 * (1 - float(self.photograph.mean()))
        return (f"left without colour: {', '.join(self.non_photographs)} ({share:.0f} % of the sheet)", *lines)

    def downscaled(self, factor: int) -> ScanLayout:
        """The same on a grid with a `factor`-th of the rows and columns."""
        height, width = (side // factor for side in self.photograph.shape)
        share = cv2.resize(self.photograph.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        pairs = tuple((_downscaled(left, factor), _downscaled(right, factor)) for left, right in self.pairs)
        return ScanLayout(share > 0.5, pairs, self.non_photographs)


def _downscaled(box: stereo.Box, factor: int) -> stereo.Box:
    rows, columns = (slice(part.start // factor, part.stop // factor) for part in box)
    return rows, columns


def find_layout(lightness: FloatArray) -> ScanLayout:
    """Finds the photographs on a scan by its tones alone.

    Args:
        lightness: L* (h, w) of a small copy.
    """
    lightness = np.ascontiguousarray(lightness, np.float32)
    labels, places = _labels(lightness)
    photograph, boxes = np.zeros(lightness.shape, bool), []
    for number in range(1, int(labels.max()) + 1):
        inside = labels == number
        box = _box(inside)
        if places and edge_strips.is_target(lightness[box]):
            places["a target"] = None
            continue
        window, strips = edge_strips.find_strips(lightness[box])
        places |= _names(strips)
        box = _within(box, window)
        photograph[box] |= inside[box]
        boxes.append(box)
    if not boxes:  # nothing but targets
        return ScanLayout(np.ones(lightness.shape, bool))
    return ScanLayout(photograph, tuple(stereo.find_pairs(lightness, boxes)), tuple(places))


def _labels(lightness: FloatArray) -> tuple[ByteArray, dict[str, None]]:
    """(h, w): 0 around the photographs, 1 to 255 for each of them; and the names of what lies around them."""
    labels = mount.find_photographs(lightness[None])
    if labels is not None:
        return labels, {"the mount": None}
    window, strips = edge_strips.find_strips(lightness)
    inside = mount.find_photographs(lightness[None, window[0], window[1]]) if strips else None
    labels = np.zeros(lightness.shape, np.uint8)
    labels[window] = 1 if inside is None else inside
    return labels, _names(strips) | ({} if inside is None else {"the mount": None})


def _names(strips: Iterable[edge_strips.Strip]) -> dict[str, None]:
    return dict.fromkeys("a target" if strip.is_target else "a plain border" for strip in strips)


def _within(box: stereo.Box, window: stereo.Box) -> stereo.Box:
    """The box of a window that is counted from a box."""
    (rows, columns), (inner_rows, inner_columns) = box, window
    return (
        slice(rows.start + inner_rows.start, rows.start + inner_rows.stop),
        slice(columns.start + inner_columns.start, columns.start + inner_columns.stop),
    )


def _box(mask: BoolArray) -> stereo.Box:
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return slice(y, y + height), slice(x, x + width)
