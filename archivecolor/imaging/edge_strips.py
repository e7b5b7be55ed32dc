"""Finds what lies along the edges of a sheet beside the photograph: grey scales, colour targets, and plain borders.

Only lightness is used, as for a mount (`mount.py`): the colour of a strip, original or added, is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from archivecolor.imaging.arrays import BoolArray, FloatArray

EDGES = ("left", "right", "top", "bottom")
Window = tuple[slice, slice]
"""Rows and columns."""
MAX_DEPTH = 0.4
"""Largest depth of a strip, as a share of the height or width of the scan."""
MIN_DEPTH_PX = 3
"""Smallest depth of a strip, and of a patch of a target."""
SAME_TONE = 3.0
"""L* by which neighbours within one patch, or within a plain border, may differ."""
SAME_SHARE = 0.9
"""Share of a row that must continue the row beside it."""
END_SHARE = 0.57
"""Share of a row of patches that must end at the same line."""
MIN_PATCHES = 6
"""Fewest patches of a target."""
MIN_PATCH_STEP = 2.0
"""Smallest step of L* between two patches."""
MIN_PATCH_RANGE = 25.0
"""Smallest range of L* over all patches."""
MAX_PATCH_GRADIENT = 0.75
"""Largest step of L* from pixel to pixel within a patch."""
MIN_PATCH_SHARE = 0.7
"""Smallest share of a row of a target that is patches, not edges."""
MAX_WIDTH_DEVIATION = 0.5
"""Largest relative difference between the width of a regular patch and the median width."""
MIN_REGULAR_SHARE = 0.6
"""Smallest share of patches that are regular."""
MAX_MARGIN = 0.08
"""Largest margin between a target and the photograph, as a share of the height."""
MIN_MARGIN_STEP = 4.0
"""Smallest step of the mean L* at the end of that margin."""
MAX_DEVIATION = 5.0
"""Largest difference of L* between a plain border and its smooth gradient, if another border has the same tone."""
MAX_DEVIATION_ALONE = 3.0
"""The same, if no other border has its tone."""
MIN_PLAIN_SHARE = 0.96
"""Smallest share of a row's pixels within that difference."""
SAME_BORDER = 5.0
"""How much the L* of two borders of one sheet may differ."""
MIN_INSIDE_PX = 16
"""Fewest rows and columns inside the borders."""
MIN_EDGE_STEP = 5.0
"""Smallest step of L* at the straight end of a plain border. Skies and floors have no such end."""
MIN_EDGE_SHARE = 0.4
"""Smallest share of the border's length that has this step."""
MIN_EDGE_SHARE_ALONE = 0.8
"""The same, if no other border has its tone."""
MAX_DEPTH_ALONE = 0.1
"""Largest depth of a plain border that is alone and not black, as a share of the height or width. A deeper one may be a
wall, or an even sky that ends at the horizon."""
BLACK_BORDER = 12.0
"""Largest L* of a black border."""


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
    if min(lightness.shape) < MIN_INSIDE_PX:
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
    limit = int(MAX_DEPTH * len(tone))
    start, end = _patch_rows(tone[:limit])
    if start == end:
        return 0
    margin = tone[end : min(limit, end + max(4, int(MAX_MARGIN * len(tone))))].mean(axis=1)
    steps = np.flatnonzero(np.abs(np.diff(margin)) > MIN_MARGIN_STEP)
    return end + int(steps[-1]) + 1 if steps.size else end


def _patch_rows(tone: FloatArray) -> tuple[int, int]:
    """The first run of rows, as [start, end), that shows the same patches side by side; (0, 0) where there is none."""
    if len(tone) < MIN_DEPTH_PX or tone.shape[1] < 4 * MIN_PATCHES:
        return 0, 0
    continued = (np.abs(np.diff(tone, axis=0)) < SAME_TONE).mean(axis=1) >= SAME_SHARE
    least = max(MIN_DEPTH_PX, len(tone) // 16)
    for start, end in _runs(continued):
        rows = tone[start : end + 1]
        if len(rows) >= least and _has_patches(rows) and _ends_straight(rows[len(rows) // 2], tone[end + 1 :]):
            return start, end + 1
    return 0, 0


def _has_patches(rows: FloatArray) -> bool:
    """Whether all rows are the same row of patches: flat, of several tones, about equally wide, with sharp edges."""
    profile = np.mean(rows, axis=0)
    if (np.abs(rows - profile) < SAME_TONE).mean() < SAME_SHARE or np.ptp(profile) < MIN_PATCH_RANGE:
        return False
    patches = [run for run in _runs(np.abs(np.diff(profile)) < MAX_PATCH_GRADIENT) if run[1] - run[0] >= 3]
    tones = np.array([profile[start : end + 1].mean() for start, end in patches])
    widths = np.array([end + 1 - start for start, end in patches])
    if len(patches) < MIN_PATCHES or widths.sum() < MIN_PATCH_SHARE * len(profile):
        return False
    spans = np.array([np.ptp(profile[start : end + 1]) for start, end in patches])
    regular = (np.abs(widths / np.median(widths) - 1) < MAX_WIDTH_DEVIATION).mean()
    stepped = (np.abs(np.diff(tones)) >= MIN_PATCH_STEP).mean()
    return bool((spans < SAME_TONE).mean() >= SAME_SHARE and regular >= MIN_REGULAR_SHARE and stepped >= SAME_SHARE)


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
    several = [found for found in _plain_strips(tone, MAX_DEVIATION) if found.share >= MIN_EDGE_SHARE]
    groups = [[one for one in several if abs(one.level - other.level) < SAME_BORDER] for other in several]
    largest = max(groups, key=len, default=[])
    if len(largest) > 1:
        return [found.strip for found in largest]
    alone = [found for found in _plain_strips(tone, MAX_DEVIATION_ALONE) if found.share >= MIN_EDGE_SHARE_ALONE]
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
    strips = {edge: Strip(edge, depth, False) for edge, depth in depths.items() if depth >= MIN_DEPTH_PX}
    inside = (slice(0, tone.shape[0]), slice(0, tone.shape[1]))
    for strip in strips.values():
        inside = _without(inside, strip)
    if min(part.stop - part.start for part in inside) < MIN_INSIDE_PX:
        return []
    return [_measured(tone, strip, inside) for strip in strips.values()]


def _measured(tone: FloatArray, strip: Strip, inside: Window) -> _PlainStrip:
    rows, across = _from_edge(tone, strip.edge), strip.edge in ("top", "bottom")
    level = float(np.median(rows[: strip.depth]))
    end = rows[max(0, strip.depth - 3) : strip.depth + 3, inside[1] if across else inside[0]]
    share = float((np.abs(end[-3:] - end[0]).max(axis=0) > MIN_EDGE_STEP).mean())  # over few rows: a gradient has none
    return _PlainStrip(strip, level, share, strip.depth > MAX_DEPTH_ALONE * len(rows) and level > BLACK_BORDER)


def _plain_depth(rows: FloatArray, tolerance: float) -> int:
    """How many of the first rows have one tone, which may change slowly along them."""
    limit = int(MAX_DEPTH * len(rows))
    if limit < MIN_DEPTH_PX:
        return 0
    x, first = np.linspace(-1, 1, rows.shape[1]), np.median(rows[:MIN_DEPTH_PX], axis=0)
    inlier = np.abs(first - np.median(first)) < 2 * tolerance
    if inlier.mean() < MIN_PLAIN_SHARE:
        return 0
    along = np.polyval(np.polyfit(x[inlier], first[inlier], 2), x)
    plain = (np.abs(rows[:limit] - along) < tolerance).mean(axis=1) >= MIN_PLAIN_SHARE
    return limit if plain.all() else int(np.argmin(plain))
