"""Tells monochrome photographs from photographs in colour, by where the colour is and how much of the picture has it.

A monochrome photograph is grey or toned: each tone has one colour, which may change slowly over the sheet. It stays
monochrome with colour beside the picture (mount, colour target), on it (stamp, writing), or in its paper (stains).
The numbers here were chosen on one half of a set of made and real sheets and measured on the other;
`python -m tests.support.monochrome_table FOLDER` prints that table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from archivecolor.imaging import luminance
from archivecolor.imaging.arrays import BoolArray, ByteArray, DoubleArray, FloatArray, Samples
from archivecolor.imaging.fitting import product, weighted_fit
from archivecolor.imaging.mount import find_photographs

SIDE = 160
"""Long side of the copy that is judged, pixels."""
SMALLEST = 24
"""Short side of that copy below which there are no places to tell apart: the mean of the sheet decides."""
TWO_HUES = 0.4
"""Lab units along the weaker axis of what the tone does not explain. Things have several hues; a toned, yellowed or
stained print has one."""
ONE_HUE = 0.75
"""The same along the stronger axis: from here on a single hue is colour too, if it is not that of a stain."""
LEAST_SHARE = 0.01
"""Share of the photograph that must be coloured where there is one hue."""
STAIN_HUES = (55.0, 106.0)
"""Degrees in the ab plane: yellow to brown, the hues of aged paper."""
STAIN_SHARPNESS = 0.22
"""The gradient of a stain relative to its strength, per pixel. Stains end softly; things end at edges."""
SOFT, FAINT = 0.2, 1.8
"""The gradient and the strength below which a hue of any kind is a reflection or an uneven toning."""
LARGEST_STAIN_SPOTS = 0.09
"""Share of the photograph that yellow and brown things with sharp edges may have: foxing, rust, adhesive tape."""
KNOTS = np.linspace(0, 100, 11)
"""L* between which the colour of a tone is linear."""
FITTED_PIXELS = 2500
"""Pixels to which the colours of the tones are fitted."""
GREY = 1.0
"""Lab units: a picture whose chroma stays below has no colour to judge."""
WEAK, STRONG, INK = 3.0, 4.0, 10.0
"""Lab units from the tone's colour: where a mark ends, where a pixel counts as coloured, and what a mark of ink has."""
LARGEST_MARK, LARGEST_MARKS = 0.022, 0.05
"""Shares of the photograph: one mark, and all marks, that are ink on it and not a thing in it."""
LARGEST_WRITING = 0.08
"""Share of the photograph that thin strokes may have."""
QUIET = 1.8
"""Ink lies on ground with less colour than this, in Lab units; the colours of things have no such gap."""
DARK, LIGHT = 40.0, 70.0
"""L* of the tones that are compared: no paper is bluer than the dark tones on it."""
BLUE = 4.0
"""Lab units of -b: light tones that are this blue, above dark ones that are not, are sky or snow."""
STRONGEST_STAIN, MEAN_STAIN = 32.0, 3.5
"""Lab units from the tone's colour: the strongest spot, and the root mean square over the photograph."""
DEEPEST_STRIP, STRIP_STEP = 0.3, 0.25
"""Share of the sheet's height or width that a coloured strip along an edge may have, and how much more of its last rows
than of those behind it is coloured."""
LARGEST_MARGIN, MARGIN_STEP = 12, 8.0
"""Rows of the margin of a colour target, and the step of L* at its end."""
SMALL_BESIDE = 0.25
"""A coloured picture that is smaller than this share of the monochrome ones beside it is a colour target."""


@dataclass(frozen=True)
class ColourFound:
    """What colour a picture has."""

    is_monochrome: bool
    share: float = 0.0
    """Share of the sheet that has colour beyond the photograph's tone, 0 to 1."""
    places: tuple[str, ...] = ()
    """Where, in words: `the mount`, `a strip along the bottom edge`."""

    def words(self) -> str:
        """One line for the row; "" where there is no colour to speak of."""
        if not self.places:
            return ""
        share = f"{100 * self.share:.0f} %" if self.share >= 0.01 else "less than 1 %"
        return f"colour on {share} of the sheet ({', '.join(self.places)})"


def find_colour(samples: Samples, icc: bytes | None = None) -> ColourFound:
    """Whether a picture is a monochrome photograph, and what colour is on its sheet all the same.

    Args:
        samples: (H, W) or (H, W, 3), uint8 or uint16.
        icc: the profile of the samples; None means sRGB.

    Raises:
        UnreadableError: the profile cannot be used.
    """
    if samples.ndim == 2:
        return ColourFound(True)
    height, width = samples.shape[:2]
    if min(height, width) * min(1, SIDE / max(height, width)) < SMALLEST:
        return ColourFound(luminance.residual_chroma(samples, icc) < luminance.MONOCHROME_CHROMA)
    return judge(luminance.small_lab(samples, SIDE, icc))


def judge(planes: FloatArray) -> ColourFound:
    """As `find_colour`, of Lab (3, h, w) with about `SIDE` pixels."""
    if float(np.hypot(planes[1], planes[2]).max()) < GREY:
        return ColourFound(True)
    sheet = np.ones(planes.shape[1:], bool)
    rest = residual(planes, sheet)
    whole = _examine(planes, sheet, rest)
    if whole.is_monochrome and not whole.places:
        return whole
    beside = _beside_photographs(planes)
    if beside is None:
        window, strips = _without_strips(planes, rest)
        inner = np.ascontiguousarray(planes[:, window[0], window[1]])
        beside = _beside_photographs(inner, tuple(strips)) if strips else None
        if beside is not None:
            inside = inner[0].size / planes[0].size
            beside = replace(beside, share=1 - inside + inside * beside.share)
    if beside is not None:
        return beside
    return whole if whole.is_monochrome else ColourFound(False, whole.share, ("the picture",))


def _beside_photographs(planes: FloatArray, strips: tuple[str, ...] = ()) -> ColourFound | None:
    """The colour on a sheet of monochrome photographs; None where a photograph on it is in colour."""
    labels = find_photographs(planes)
    if labels is None and not strips:
        return None
    if labels is None:
        labels = np.ones(planes.shape[1:], np.uint8)
    photographs = [labels == number for number in range(1, int(labels.max()) + 1)]
    found = [_examine(planes, one, residual(planes, one), not strips) for one in photographs]
    area = {True: 0, False: 0}
    for one, photograph in zip(found, photographs, strict=True):
        area[one.is_monochrome] += int(np.count_nonzero(photograph))
    if area[False] > SMALL_BESIDE * area[True]:
        return None
    places, share = dict.fromkeys(strips), area[False] / labels.size
    share += sum(one.share * p.mean() for one, p in zip(found, photographs, strict=True) if one.is_monochrome)
    if _mount_has_colour(planes, labels == 0):
        places["the mount"] = None
        share += float((labels == 0).mean())
    if area[False]:
        places["a coloured part beside the photograph"] = None
    places |= dict.fromkeys(place for one in found if one.is_monochrome for place in one.places)
    return ColourFound(True, float(share), tuple(places))


def _mount_has_colour(planes: FloatArray, mount: BoolArray) -> bool:
    chroma = np.hypot(planes[1][mount], planes[2][mount])
    return bool(chroma.size and np.median(chroma) > 2 * STRONG)


# --- one photograph ---------------------------------------------------------------------------------------------------


def _examine(planes: FloatArray, photograph: BoolArray, rest: FloatArray, stains: bool = True) -> ColourFound:
    """The verdict on one photograph (h, w) of a sheet.

    Args:
        rest: its `residual`.
        stains: whether aged paper may explain its colour.
    """
    photograph = cv2.erode(photograph.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1).astype(bool)
    if np.count_nonzero(photograph) < 16:
        return ColourFound(True)
    strength = cv2.magnitude(rest[0], rest[1])
    share = float((strength[photograph] > STRONG).mean())
    marks = _ink_marks(strength, photograph)
    paper = photograph & ~cv2.dilate(marks.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    places = ("small marks",) if marks.any() else ()
    hues = _axes(planes[0], rest, paper)
    if hues.weaker > TWO_HUES or _has_blue_lights(planes, paper):
        return ColourFound(False, share)
    if hues.stronger <= ONE_HUE or share < LEAST_SHARE:
        return ColourFound(True, share, places)
    explanation = _explanation(planes, rest, hues, paper) if stains else None
    return ColourFound(True, share, (*places, explanation)) if explanation else ColourFound(False, share)


def residual(planes: FloatArray, region: BoolArray) -> FloatArray:
    """ab (2, h, w) of Lab (3, h, w) less the colour that each tone has in most of the region.

    a and b are fitted as functions of L* (linear between knots) that vary slowly over the sheet, by iteratively
    reweighted least squares with the weights of Geman and McClure, so that a few coloured things do not count.
    """
    lightness, a, b = (cv2.blur(plane, (3, 3)).astype(np.float64) for plane in planes)
    height, width = lightness.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    t = lightness / 50 - 1
    slow = np.stack([x, y, x * y, x * x, y * y, t * x, t * y])
    chosen = np.flatnonzero(region)
    chosen = chosen[:: max(1, len(chosen) // FITTED_PIXELS)]
    tones = np.maximum(1 - np.abs(lightness.ravel()[chosen, None] - KNOTS) / KNOTS[1], 0)
    terms = np.concatenate([tones, slow.reshape(len(slow), -1)[:, chosen].T], axis=1)
    target = np.stack([a.ravel()[chosen], b.ravel()[chosen]], axis=1)
    weight = np.ones(len(chosen))
    for _ in range(5):
        fit = weighted_fit(terms, target, weight, 1e-5 * len(chosen))
        weight = 1 / (1 + ((target - product(terms, fit)) ** 2).sum(axis=1) / 4) ** 2
    drift = product(np.ascontiguousarray(fit[len(KNOTS) :].T), slow.reshape(len(slow), -1)).reshape(2, height, width)
    rest = [plane - np.interp(lightness, KNOTS, tone) for plane, tone in zip((a, b), fit[: len(KNOTS)].T, strict=True)]
    return (np.stack(rest) - drift).astype(np.float32)


def _ink_marks(strength: FloatArray, photograph: BoolArray) -> BoolArray:
    """Stamps and writing: small and strong, on ground that has no colour of its own. (h, w)"""
    coloured = ((strength > WEAK) & photograph).astype(np.uint8)
    thick = _dilated(np.asarray(cv2.erode(coloured, np.ones((5, 5), np.uint8)), np.uint8), 5) & coloured
    count, parts = cv2.connectedComponents(_dilated(coloured, 5), connectivity=8)
    groups = np.asarray(parts, np.intp)
    flat, size = groups.ravel(), np.count_nonzero(photograph)
    peaks = np.zeros(count, np.float32)
    np.maximum.at(peaks, flat, strength.ravel())
    thick_areas = np.bincount(flat, thick.ravel(), count)
    inked = (peaks > INK) & (thick_areas <= LARGEST_MARK * size)
    inked[0] = False
    marks = inked[groups] & (coloured > 0)
    around = (_dilated(marks.astype(np.uint8), 13) & ~_dilated(marks.astype(np.uint8), 7) & photograph).astype(bool)
    if around.any() and float(np.mean(strength[around])) >= QUIET:
        return np.zeros_like(marks)
    if np.count_nonzero(marks) > LARGEST_WRITING * size or np.count_nonzero(marks & (thick > 0)) > LARGEST_MARKS * size:
        return np.zeros_like(marks)
    return marks


def _dilated(mask: ByteArray, side: int) -> ByteArray:
    return np.asarray(cv2.dilate(mask, np.ones((side, side), np.uint8)), np.uint8)


def _has_blue_lights(planes: FloatArray, region: BoolArray) -> bool:
    """Whether light tones are blue and dark ones are not. Toned prints have it the other way: the paper is white."""
    lightness, b = planes[0][region], planes[2][region]
    light = b[lightness > LIGHT]
    if light.size < 0.01 * lightness.size or float(light.mean()) > 0:
        return False
    dark = b[lightness < DARK]
    if min(light.size, dark.size) < 0.01 * lightness.size:
        return False
    low = float(np.median(light))
    return low < -BLUE and float(np.median(dark)) > low / 2


@dataclass(frozen=True)
class _Hues:
    """The principal axes of the residual over a region, in Lab units, less what noise and colour fringes add."""

    stronger: float
    weaker: float
    axis: DoubleArray
    """(2,): the stronger axis in the ab plane, towards yellow."""


def _axes(lightness: FloatArray, rest: FloatArray, region: BoolArray) -> _Hues:
    inside = region.astype(np.float32)

    def local_mean(values: FloatArray, side: int) -> FloatArray:
        mean = cv2.blur(values * inside, (side, side)) / np.maximum(cv2.blur(inside, (side, side)), 0.05)
        return np.asarray(mean, np.float32)

    # Where tones lie close together, as in foliage, a pixel mixes several, and scanners misplace their colours.
    mixed = cv2.blur(lightness**2, (5, 5)) - cv2.blur(lightness, (5, 5)) ** 2
    weight = (1 / (1 + np.maximum(mixed, 0) / 36))[region]
    coarse = np.stack([local_mean(plane, 15)[region] for plane in rest])
    fine = np.stack([(plane - local_mean(plane, 7))[region] for plane in rest])
    coarse *= np.minimum(1, 8 / np.maximum(np.hypot(*coarse), 1e-6))
    total = max(float(weight.sum()), 1e-6)
    noise = float((np.minimum(np.abs(fine), 4) ** 2 * weight).sum()) / total / 2
    energy, vectors = np.linalg.eigh(np.einsum("in,jn,n->ij", coarse, coarse, weight) / total)
    axis = vectors[:, 1] * (1 if vectors[1, 1] >= 0 else -1)
    return _Hues(
        float(np.sqrt(max(0.0, energy[1] - 0.36 * noise))),
        float(np.sqrt(max(0.0, energy[0] - 0.16 * noise))),
        axis,
    )


def _explanation(planes: FloatArray, rest: FloatArray, hues: _Hues, region: BoolArray) -> str | None:
    """What the one hue of a photograph is if it is no thing's: aged paper (yellow to brown, soft or in small spots) or
    a faint soft tint (a reflection, uneven toning). None for the colour of things."""
    a, b = (cv2.blur(plane, (5, 5)) for plane in rest)
    along = (hues.axis[0] * a + hues.axis[1] * b) * region
    gx, gy = cv2.Sobel(along, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(along, cv2.CV_32F, 0, 1, scale=0.125)
    inside = along[region]
    sharpness = float(np.sqrt((gx**2 + gy**2)[region].mean() / ((inside**2).mean() + 0.01)))
    if sharpness < SOFT and hues.stronger < FAINT:
        return "a soft uneven tint"
    angle = float(np.degrees(np.arctan2(hues.axis[1], hues.axis[0])))
    bluish = ((planes[2] < -BLUE) & (along < -2.5) & region).sum() > 0.01 * region.sum()
    if not STAIN_HUES[0] <= angle <= STAIN_HUES[1] or hues.stronger > MEAN_STAIN or bluish:
        return None
    if np.percentile(inside, 99.5) > STRONGEST_STAIN:
        return None
    yellow, blue = float((inside > 2.5).mean()), float((inside < -2.5).mean())
    spots = yellow < LARGEST_STAIN_SPOTS and blue < 0.1 * yellow
    return "stains or yellowed paper" if sharpness < STAIN_SHARPNESS or spots else None


# --- strips along the edges -------------------------------------------------------------------------------------------

_EDGES = ("top", "bottom", "left", "right")


def _without_strips(planes: FloatArray, rest: FloatArray) -> tuple[tuple[slice, slice], list[str]]:
    """The window (rows, columns) of a sheet inside coloured strips along its edges, and the strips in words."""
    coloured = np.hypot(rest[0], rest[1]) > INK - 2
    top, bottom, left, right = 0, coloured.shape[0], 0, coloured.shape[1]
    strips = []
    for edge in _EDGES:
        part, tone = coloured[top:bottom, left:right], planes[0, top:bottom, left:right]
        rows = {"top": part, "bottom": part[::-1], "left": part.T, "right": part.T[::-1]}[edge]
        tones = {"top": tone, "bottom": tone[::-1], "left": tone.T, "right": tone.T[::-1]}[edge]
        depth = _strip_depth(rows, tones)
        if not depth:
            continue
        strips.append(f"a strip along the {edge} edge")
        top += depth * (edge == "top")
        bottom -= depth * (edge == "bottom")
        left += depth * (edge == "left")
        right -= depth * (edge == "right")
    return (slice(top, bottom), slice(left, right)), strips


def _strip_depth(coloured: BoolArray, tone: FloatArray) -> int:
    """How many of the first rows are a coloured strip that ends at a straight line, with its own margin; 0 for none."""
    share = coloured.mean(axis=1)
    best, depth = STRIP_STEP, 0
    for end in range(3, int(DEEPEST_STRIP * len(share))):
        step = float(share[end - 3 : end].max() - share[end : end + 3].max())
        if step > best:
            best, depth = step, end
    means = tone[depth : depth + LARGEST_MARGIN].mean(axis=1)
    steps = np.flatnonzero(np.abs(np.diff(means)) > MARGIN_STEP)
    return depth + int(steps[-1]) + 1 if depth and steps.size else depth
