"""Finds what lies along the edges of a sheet beside the photograph: grey scales, colour targets, and plain borders.

Tone alone decides, as for a mount (`mount.py`), so the colour that a strip gets or has does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from archivecolor.imaging.arrays import BoolArray, FloatArray

EDGES = ("left", "right", "top", "bottom")
Window = tuple[slice, slice]
"""Rows and columns."""
DEEPEST = 0.4
"""Share of the sheet's height or width that a strip may have."""
THINNEST = 3
"""Rows of a strip at least; patches of a target have as many."""
SAME_TONE = 3.0
"""L* by which neighbours within one patch, or within a plain border, may differ."""
SAME_SHARE = 0.9
"""Share of a row that must continue the row beside it."""
END_SHARE = 0.57
"""Share of a row of patches that must end at the same line."""
PATCHES, PATCH_STEP, PATCH_RANGE = 6, 2.0, 25.0
"""The fewest patches of a target, the least step of L* between two, and the range of all."""
FLAT, PATCH_SHARE = 0.75, 0.7
"""The step of L* from pixel to pixel within a patch, and the share of a target's row that is patches, not edges."""
IRREGULAR, REGULAR_SHARE = 0.5, 0.6
"""How far the width of a patch may differ from the median, relatively, and the share of patches that must not."""
DEEPEST_MARGIN, MARGIN_STEP = 0.08, 4.0
"""The margin between a target and the photograph: share of the height, and the step of the mean L* at its end."""
PLAIN, PLAIN_ALONE, PLAIN_SHARE = 5.0, 3.0, 0.96
"""How far the tone of a plain border may lie from its slow gradient, L*, where others have the same tone and where none
has it; and the least share of a row's pixels that lies within."""
SAME_BORDER = 5.0
"""How much the L* of two borders of one sheet may differ."""
SMALLEST_INSIDE = 16
"""Rows and columns of what is inside the borders."""
EDGE_STEP, EDGE_SHARE, EDGE_SHARE_ALONE = 5.0, 0.4, 0.8
"""The step of L* at the straight end of a plain border, and the least share of its length that has it. Skies and floors
do not end so."""
DEEPEST_ALONE, BLACK = 0.1, 12.0
"""Share of the height or width that a plain border may have if it is alone and lighter than this L*. A deeper one may
be a wall, or an even sky that ends at the horizon."""


@dataclass(frozen=True)
class Strip:
    """A strip along one edge of a sheet."""

    edge: str
    """One of `EDGES`."""
    depth: int
    """Rows, or columns for `left` and `right`."""
    is_target: bool
    """A grey scale or colour target; else a plain border."""


def find_strips(lightness: FloatArray) -> tuple[Window, list[Strip]]:
    """The window (rows, columns) of a sheet inside the strips along its edges, and these strips.

    Args:
        lightness: L* (h, w) of a small copy.
    """
    strips: list[Strip] = []
    window = (slice(0, lightness.shape[0]), slice(0, lightness.shape[1]))
    if min(lightness.shape) < SMALLEST_INSIDE:
        return window, strips
    tone = np.asarray(cv2.medianBlur(np.ascontiguousarray(lightness, np.float32), 3), np.float32)
    for edge in EDGES:
        depth = _target_depth(_from_edge(tone[window], edge))
        if depth:
            strips.append(Strip(edge, depth, True))
            window = _without(window, strips[-1])
    for strip in _borders(tone[window]):
        strips.append(strip)
        window = _without(window, strip)
    return window, strips


def _from_edge(tone: FloatArray, edge: str) -> FloatArray:
    """A view of which the first rows lie along an edge."""
    return {"top": tone, "bottom": tone[::-1], "left": tone.T, "right": tone.T[::-1]}[edge]


def _without(window: Window, strip: Strip) -> Window:
    rows, columns = window
    by = {edge: strip.depth * (edge == strip.edge) for edge in EDGES}
    return (
        slice(rows.start + by["top"], rows.stop - by["bottom"]),
        slice(columns.start + by["left"], columns.stop - by["right"]),
    )


def is_target(lightness: FloatArray) -> bool:
    """Whether a part (h, w) of a sheet is a grey scale or colour target as a whole."""
    tone = np.asarray(cv2.medianBlur(np.ascontiguousarray(lightness, np.float32), 3), np.float32)
    rows = tone if tone.shape[1] >= tone.shape[0] else tone.T
    start, end = _patch_rows(rows)
    return end - start >= 0.3 * len(rows)


def _target_depth(tone: FloatArray) -> int:
    """How many of the first rows are a target with its margin; 0 for none."""
    limit = int(DEEPEST * len(tone))
    start, end = _patch_rows(tone[:limit])
    if start == end:
        return 0
    margin = tone[end : min(limit, end + max(4, int(DEEPEST_MARGIN * len(tone))))].mean(axis=1)
    steps = np.flatnonzero(np.abs(np.diff(margin)) > MARGIN_STEP)
    return end + int(steps[-1]) + 1 if steps.size else end


def _patch_rows(tone: FloatArray) -> tuple[int, int]:
    """The first run of rows, as [start, end), that shows the same patches side by side; (0, 0) where there is none."""
    if len(tone) < THINNEST or tone.shape[1] < 4 * PATCHES:
        return 0, 0
    continued = (np.abs(np.diff(tone, axis=0)) < SAME_TONE).mean(axis=1) >= SAME_SHARE
    least = max(THINNEST, len(tone) // 16)
    for start, end in _runs(continued):
        rows = tone[start : end + 1]
        if len(rows) >= least and _has_patches(rows) and _ends_straight(rows[len(rows) // 2], tone[end + 1 :]):
            return start, end + 1
    return 0, 0


def _has_patches(rows: FloatArray) -> bool:
    """Whether all rows are the same row of patches: flat, of several tones, about equally wide, with sharp edges."""
    profile = np.mean(rows, axis=0)
    if (np.abs(rows - profile) < SAME_TONE).mean() < SAME_SHARE or np.ptp(profile) < PATCH_RANGE:
        return False
    patches = [run for run in _runs(np.abs(np.diff(profile)) < FLAT) if run[1] - run[0] >= 3]
    tones = np.array([profile[start : end + 1].mean() for start, end in patches])
    widths = np.array([end + 1 - start for start, end in patches])
    if len(patches) < PATCHES or widths.sum() < PATCH_SHARE * len(profile):
        return False
    spans = np.array([np.ptp(profile[start : end + 1]) for start, end in patches])
    regular = (np.abs(widths / np.median(widths) - 1) < IRREGULAR).mean()
    stepped = (np.abs(np.diff(tones)) >= PATCH_STEP).mean()
    return bool((spans < SAME_TONE).mean() >= SAME_SHARE and regular >= REGULAR_SHARE and stepped >= SAME_SHARE)


def _ends_straight(row: FloatArray, beyond: FloatArray) -> bool:
    """Whether most of a row's pixels differ from those a little beyond its run."""
    if not len(beyond):
        return True
    return bool((np.abs(beyond[:3] - row).max(axis=0) > SAME_TONE).mean() >= END_SHARE)


def _runs(flags: BoolArray) -> list[tuple[int, int]]:
    """[start, end) of each run of True."""
    bounds = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(start, end) for start, end in bounds.reshape(-1, 2).tolist()]


# --- plain borders ----------------------------------------------------------------------------------------------------


def _borders(tone: FloatArray) -> list[Strip]:
    """The plain borders of a sheet: those of one tone on several sides, else one alone, which must be plainer."""
    several = [found for found in _plain_strips(tone, PLAIN) if found.share >= EDGE_SHARE]
    groups = [[one for one in several if abs(one.level - other.level) < SAME_BORDER] for other in several]
    largest = max(groups, key=len, default=[])
    if len(largest) > 1:
        return [found.strip for found in largest]
    alone = [found for found in _plain_strips(tone, PLAIN_ALONE) if found.share >= EDGE_SHARE_ALONE]
    return [found.strip for found in alone if not found.may_be_scene]


@dataclass(frozen=True)
class _PlainStrip:
    strip: Strip
    level: float
    """L*."""
    share: float
    """Of its inner end that is a step of tone."""
    may_be_scene: bool


def _plain_strips(tone: FloatArray, tolerance: float) -> list[_PlainStrip]:
    depths = {edge: _plain_depth(_from_edge(tone, edge), tolerance) for edge in EDGES}
    strips = {edge: Strip(edge, depth, False) for edge, depth in depths.items() if depth >= THINNEST}
    inside = (slice(0, tone.shape[0]), slice(0, tone.shape[1]))
    for strip in strips.values():
        inside = _without(inside, strip)
    if min(part.stop - part.start for part in inside) < SMALLEST_INSIDE:
        return []
    return [_measured(tone, strip, inside) for strip in strips.values()]


def _measured(tone: FloatArray, strip: Strip, inside: Window) -> _PlainStrip:
    rows, across = _from_edge(tone, strip.edge), strip.edge in ("top", "bottom")
    level = float(np.median(rows[: strip.depth]))
    end = rows[max(0, strip.depth - 3) : strip.depth + 3, inside[1] if across else inside[0]]
    share = float((np.abs(end[-3:] - end[0]).max(axis=0) > EDGE_STEP).mean())  # over few rows: a gradient has none
    return _PlainStrip(strip, level, share, strip.depth > DEEPEST_ALONE * len(rows) and level > BLACK)


def _plain_depth(rows: FloatArray, tolerance: float) -> int:
    """How many of the first rows have one tone, which may change slowly along them."""
    limit = int(DEEPEST * len(rows))
    if limit < THINNEST:
        return 0
    x, first = np.linspace(-1, 1, rows.shape[1]), np.median(rows[:THINNEST], axis=0)
    inlier = np.abs(first - np.median(first)) < 2 * tolerance
    if inlier.mean() < PLAIN_SHARE:
        return 0
    along = np.polyval(np.polyfit(x[inlier], first[inlier], 2), x)
    plain = (np.abs(rows[:limit] - along) < tolerance).mean(axis=1) >= PLAIN_SHARE
    return limit if plain.all() else int(np.argmin(plain))
