"""Smooths small maps of colour over time, along the motion of the picture.

Optical flow (DIS, Kroeger et al. 2016, on L*) links the pixels of neighbouring frames, so that each lies on a path
through the shot. A pixel's colour becomes the weighted mean of the colours along its path. The weight falls with the
number of frames between and with untrusted links: two recursive passes, one from each side, are added, as in two-sided
exponential smoothing. At the ends of a shot the mean has one side only, so nothing fades in. A link is not trusted
where the flow forward and back disagree, or the lightness does: something moved, appeared or left. The path ends there,
and a moving thing leaves no ghost. Dirt (present in one frame, absent from both neighbours) does not break a path and
has almost no weight.

A frame that the network did not see has no colour of its own and takes that of its path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from archivecolor.imaging.arrays import BoolArray, ByteArray, FloatArray

LONGEST_MEMORY = 0.94
"""Factor on a colour's weight per fully trusted link, at `strength` 1."""
FLOW_TOLERANCE = 0.8
"""Pixels by which flow forward and back may disagree."""
LIGHT_TOLERANCE = 7.0
"""L* by which the two ends of a link may differ."""
DIRT = 9.0
"""Least difference in L* between a speck and the frames before and after."""
DIRT_WEIGHT = 0.05
_FILL = 1e-3
"""Weight of the surroundings where no path arrives."""


@dataclass(frozen=True)
class FlowLink:
    """The correspondence between the pixels of two neighbouring frames."""

    back: FloatArray
    """(h, w, 2): where in the earlier frame each pixel of the later one is, as absolute x, y."""
    forth: FloatArray
    """(h, w, 2): where in the later frame each pixel of the earlier one is."""
    trust_back: FloatArray
    """(h, w) 0 to 1, on the later frame's grid."""
    trust_forth: FloatArray
    """(h, w) 0 to 1, on the earlier frame's grid."""


@dataclass(frozen=True)
class Accumulator:
    """State of one pass at a frame: the weighted sum of colours (2, h, w), and the sum of weights (h, w)."""

    colour: FloatArray
    weight: FloatArray


def link_frames(earlier: FloatArray, later: FloatArray) -> FlowLink:
    """The link between two frames' L* (h, w)."""
    one, other = lightness_bytes(earlier), lightness_bytes(later)
    flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    forth, back = flow.calc(one, other, None), flow.calc(other, one, None)
    grid = pixel_grid(*earlier.shape)
    there, here = grid + forth, grid + back
    return FlowLink(
        here,
        there,
        _trust(back, warp(forth, here), later, warp(earlier, here)),
        _trust(forth, warp(back, there), earlier, warp(later, there)),
    )


def lightness_bytes(lightness: FloatArray) -> ByteArray:
    """L* in [0, 100] -> 0 to 255, as the optical flow takes it."""
    return np.rint(lightness.clip(0, 100) * 2.55).astype(np.uint8)


@lru_cache(maxsize=16)
def pixel_grid(height: int, width: int) -> FloatArray:
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([x, y], axis=-1)


def warp(values: FloatArray, places: FloatArray) -> FloatArray:
    """(h, w) or (h, w, C) looked up at absolute places (h, w, 2)."""
    still: Any = None  # the places are absolute, in one array
    warped = cv2.remap(values, places, still, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.float32)


def _trust(flow: FloatArray, returning: FloatArray, light: FloatArray, linked_light: FloatArray) -> FloatArray:
    """1 where flow forward and back returns to its start and lightness agrees; towards 0 elsewhere."""
    height, width = light.shape
    astray = _squared(flow + returning)
    allowed = FLOW_TOLERANCE**2 + 0.02 * (_squared(flow) + _squared(returning))
    unlike = cv2.blur(light - linked_light, (3, 3)) / LIGHT_TOLERANCE  # grain averages out, things do not
    x, y = cv2.split(pixel_grid(height, width) + flow)
    inside = (x >= -0.5) & (y >= -0.5) & (x <= width - 0.5) & (y <= height - 0.5)
    return np.where(inside, np.exp(-0.5 * (astray / allowed) - 0.5 * unlike * unlike), 0).astype(np.float32)


def _squared(vectors: FloatArray) -> FloatArray:
    """(h, w, 2) -> squares of their lengths; in planes, since numpy is slow along an axis of two."""
    x, y = cv2.split(vectors)
    return np.asarray(x * x + y * y, np.float32)


def remove_specks(
    lightness: Sequence[FloatArray], links: Sequence[FlowLink | None]
) -> tuple[list[FloatArray], list[BoolArray]]:
    """L* of the frames with specks of dirt replaced from their neighbours, and masks of the specks.

    Args:
        links: by frame, the link from the frame before it; None for the first.
    """
    clean, specks = list(lightness), [np.zeros(light.shape, bool) for light in lightness]
    for i in range(1, len(lightness) - 1):
        before, after = links[i], links[i + 1]
        assert before is not None and after is not None
        one, other = warp(lightness[i - 1], before.back), warp(lightness[i + 1], after.forth)
        over, under = lightness[i] - np.maximum(one, other), np.minimum(one, other) - lightness[i]
        apart = np.maximum(over, under)
        speck = (apart > DIRT) & (np.abs(one - other) < 0.5 * apart)
        if speck.any():
            specks[i] = cv2.dilate(speck.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            clean[i] = np.where(specks[i], (one + other) / np.float32(2), lightness[i])
    return clean, specks


def propagate(accumulator: Accumulator, place: FloatArray, trust: FloatArray, memory: float) -> Accumulator:
    """The accumulator moved to the next frame along the flow."""
    moved = warp(np.dstack([*accumulator.colour, accumulator.weight]), place) * (memory * trust)[..., None]
    colour = np.moveaxis(moved, -1, 0)
    return Accumulator(colour[:2], colour[2])


def accumulate_own(ab: FloatArray | None, weight: FloatArray) -> Accumulator:
    """A frame's own colours (2, h, w) as an accumulator; an empty one for None."""
    if ab is None:
        return Accumulator(np.zeros((2, *weight.shape), np.float32), np.zeros_like(weight))
    return Accumulator(ab * weight, weight)


def add(one: Accumulator, other: Accumulator) -> Accumulator:
    return Accumulator(one.colour + other.colour, one.weight + other.weight)


def mean_chroma(accumulator: Accumulator) -> FloatArray:
    """ab (2, h, w). Where no path arrives, it is that of the surroundings, near ones first."""
    colour, weight = accumulator.colour, accumulator.weight
    if float(weight.min()) > 0.05:
        return colour / weight
    for radius, share in ((3, _FILL), (24, _FILL**2)):
        size = (2 * radius + 1,) * 2
        around = np.stack([np.asarray(cv2.blur(c, size), np.float32) for c in accumulator.colour])
        colour = colour + np.float32(share) * around
        weight = weight + np.float32(share) * np.asarray(cv2.blur(accumulator.weight, size), np.float32)
    total = np.asarray(accumulator.colour.sum(axis=(1, 2)), np.float32)[:, None, None]
    faint = np.float32(1e-12)
    return (colour + faint * total) / (weight + faint * np.float32(accumulator.weight.sum()) + np.float32(1e-20))


def smooth_over_time(
    lightness: Sequence[FloatArray],
    ab: Sequence[FloatArray | None],
    links: Sequence[FlowLink | None],
    strength: float,
    state: Accumulator | None = None,
    count: int | None = None,
) -> tuple[list[FloatArray], Accumulator]:
    """The smoothed ab (2, h, w) of the first `count` frames, and the state of the forward pass after them.

    Args:
        lightness: L* (h, w) of consecutive frames of one shot.
        ab: (2, h, w) of each, or None if the network did not see it; at least one is given.
        links: by frame, the link from the frame before it; None for the first of a shot.
        strength: 0 (only missing colours are filled) to 1.
        state: of the forward pass after the frame before the first, from an earlier call.
    """
    count = len(ab) if count is None else count
    memory = LONGEST_MEMORY if strength > 0 else 1.0
    links_inside: list[FlowLink | None] = [None, *links[1:]]
    _, specks = remove_specks(lightness, links_inside)
    shares = [
        accumulate_own(colours, np.where(speck, np.float32(DIRT_WEIGHT), np.float32(1)))
        for colours, speck in zip(ab, specks, strict=True)
    ]
    trusts = [_over_specks(link, specks, i) if link else None for i, link in enumerate(links)]
    forward: list[Accumulator] = []
    for i, share in enumerate(shares[:count]):
        link, trust = links[i], trusts[i]
        arriving = propagate(state, link.back, trust[0], memory) if state and link and trust else None
        state = add(arriving, share) if arriving else share
        forward.append(state)
    result: list[FloatArray] = [np.empty(0, np.float32)] * count
    backward: Accumulator | None = None  # what arrives from later frames
    for i in reversed(range(len(shares))):
        if i < count:
            both = add(forward[i], backward) if backward else forward[i]
            result[i] = _blended(mean_chroma(both), ab[i], strength)
        link, trust = links_inside[i], trusts[i]
        if link and trust:
            here = add(backward, shares[i]) if backward else shares[i]
            backward = propagate(here, link.forth, trust[1], memory)
    return result, forward[-1]


def _over_specks(link: FlowLink, specks: Sequence[BoolArray], i: int) -> tuple[FloatArray, FloatArray]:
    """Trust back and forth of the link into frame i; specks at either end are ignored."""
    if i == 0:
        return link.trust_back, link.trust_forth
    dirty = np.where(specks[i], np.float32(1), link.trust_back)
    if specks[i - 1].any():
        earlier = np.where(specks[i - 1], np.float32(1), link.trust_forth)
        dirty = np.maximum(dirty, warp(specks[i - 1].astype(np.float32), link.back))
    else:
        earlier = link.trust_forth
    if specks[i].any():
        earlier = np.maximum(earlier, warp(specks[i].astype(np.float32), link.forth))
    return dirty.astype(np.float32), earlier.astype(np.float32)


def _blended(steady: FloatArray, raw: FloatArray | None, strength: float) -> FloatArray:
    """Blends a frame's own colours with the smoothed ones; without its own, the smoothed ones."""
    if raw is None or strength >= 1:
        return steady
    return steady if raw is None else raw + np.float32(strength) * (steady - raw)
