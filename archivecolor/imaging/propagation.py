"""Carries the colours of reference frames along the motion of a film.

A path says, for each pixel of a frame, where in a reference frame it was. Paths grow from frame to frame by composing
the optical flow; colours are looked up in the reference only once, so that they do not blur on the way. The trust of a
path is the product of the trust of its links. A path that leaves the picture, or that is hidden on its way, has none.

Several paths are averaged with weights that fall with the number of frames to their references. At its own frame a
reference therefore counts alone, and between two references the colours pass smoothly from the one to the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from archivecolor.imaging.arrays import FloatArray
from archivecolor.imaging.temporal import pixel_grid, warp

TRUST_EXPONENT = 0.5
"""Of a path's trust, for its share in the mixture. The product over many links falls faster than the error grows."""
MOST_PATHS = 3
"""Paths kept in each direction. More than one are needed only where the latest reference has gaps."""
FILLED = 0.98
"""Mean mask of a reference from which on earlier ones are dropped."""
_FAINT = np.float32(1e-12)


@dataclass(frozen=True)
class ReferenceColors:
    """The colours of a reference on the grid of its frame."""

    ab: FloatArray
    """(2, h, w), Lab units."""
    mask: FloatArray
    """(h, w), 0 to 1: where they count."""


@dataclass(frozen=True)
class MotionPath:
    """Where the pixels of a frame were in a reference frame."""

    frame: int
    """The number of the reference frame."""
    places: FloatArray
    """(h, w, 2): x and y in the reference frame."""
    trust: FloatArray
    """(h, w), 0 to 1."""


def start_path(frame: int, height: int, width: int) -> MotionPath:
    """The path of a reference frame to itself."""
    return MotionPath(frame, pixel_grid(height, width), np.ones((height, width), np.float32))


def extend_path(path: MotionPath, place: FloatArray, trust: FloatArray) -> MotionPath:
    """The path, one frame further from its reference.

    Args:
        place: (h, w, 2): where in the frame at the end of the path each pixel of the new frame is.
        trust: (h, w), 0 to 1, of this link.
    """
    moved = warp(np.dstack([path.places, path.trust]), place)
    return MotionPath(path.frame, np.ascontiguousarray(moved[..., :2]), moved[..., 2] * trust)


def add_reference(paths: Sequence[MotionPath], new: MotionPath, mask: FloatArray) -> list[MotionPath]:
    """The paths with that of a reference at this very frame in front. Earlier ones stay only if its mask has gaps."""
    earlier = [] if float(mask.mean()) >= FILLED else list(paths)
    return [new, *earlier][:MOST_PATHS]


@dataclass(frozen=True)
class Blend:
    """The mean of the colours that arrive at a frame."""

    ab: FloatArray
    """(2, h, w), Lab units; 0 where nothing arrives."""
    confidence: FloatArray
    """(h, w), 0 to 1."""
    shares: dict[int, float]
    """Number of each reference frame -> its share in the picture's colours, 0 to 1."""


def blend_paths(
    frame: int,
    directions: Sequence[Sequence[MotionPath]],
    colors: Callable[[int], ReferenceColors],
    reach: Callable[[int], float] = lambda later: 1.0,
) -> Blend | None:
    """The colours of all references whose paths arrive at a frame; None without any.

    Args:
        frame: the frame's number.
        directions: the paths from earlier references and those from later ones, the nearest reference first. Within a
            direction, a reference counts only in the gaps of those before it.
        colors: number of a reference frame -> its colours.
        reach: frames by which the reference comes later, negative for earlier -> factor on the confidence.
    """
    arriving: dict[int, tuple[FloatArray, FloatArray]] = {}
    for paths in directions:
        gap = np.ones((), np.float32)
        for path in paths:
            reference = colors(path.frame)
            looked_up = warp(np.dstack([*reference.ab, reference.mask]), path.places)
            mask = looked_up[..., 2]
            confidence = gap * mask * np.power(path.trust, np.float32(TRUST_EXPONENT))
            gap = np.asarray(gap * (1 - mask), np.float32)
            if path.frame not in arriving:
                ab = np.moveaxis(looked_up[..., :2], -1, 0)
                arriving[path.frame] = ab, confidence * np.float32(reach(path.frame - frame))
    if not arriving:
        return None
    weights = {number: c / np.float32(abs(frame - number) + 1e-3) for number, (_, c) in arriving.items()}
    total = np.asarray(sum(weights.values()) + _FAINT, np.float32)
    weighted = sum(weights[number] * ab for number, (ab, _) in arriving.items())
    missing = np.prod([1 - own for _, own in arriving.values()], axis=0)
    shares = {number: float(((1 - missing) * weight / total).mean()) for number, weight in weights.items()}
    return Blend(np.asarray(weighted / total, np.float32), np.asarray(1 - missing, np.float32), shares)


def mix(ab: FloatArray, other: FloatArray, confidence: FloatArray) -> FloatArray:
    """(2, h, w): `other` where it is certain, `ab` elsewhere.

    Args:
        confidence: (h, w) of `other`, 0 to 1.
    """
    return np.asarray(ab + confidence * (other - ab), np.float32)


def resample(maps: FloatArray, matrix: FloatArray, height: int, width: int) -> FloatArray:
    """(C, H, W) -> (C, height, width), looked up through an affine map.

    Args:
        matrix: (2, 3): x, y of the result -> x, y in `maps`.
    """
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    planes = [
        cv2.warpAffine(plane, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE) for plane in maps
    ]
    return np.asarray(np.stack(planes), np.float32)
