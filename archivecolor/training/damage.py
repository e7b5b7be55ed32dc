"""Damage to a photograph after it was taken: scratches, dust, print screens, compression and margins.

Lightness is L*/100 (H, W), float32. Sizes are shares of the short side, so that damage looks the same at
every crop size.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from archivecolor.imaging.arrays import ByteArray, DoubleArray, FloatArray

DEEPEST_MARGIN = 0.2
"""The largest share of the short side that one margin covers."""
_FRACTION_BITS = 4  # OpenCV draws at sixteenths of a pixel


def _bent_line(height: int, width: int, start: DoubleArray, angle: float, length: float, bend: float) -> ByteArray:
    """A thin bent line as a mask (H, W), 255 on the line.

    Args:
        start: (x, y), in pixels.
        angle: in radians.
        length: in pixels.
        bend: how far the middle is off the straight line, as a share of the length.
    """
    steps = np.linspace(0, length, 6)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    points = start + steps[:, None] * along + (bend * length * np.sin(np.linspace(0, np.pi, 6)))[:, None] * across
    mask = np.zeros((height, width), np.uint8)
    fixed = np.rint(points * 2**_FRACTION_BITS).astype(np.int32)
    cv2.polylines(mask, [fixed], False, 255, 1, cv2.LINE_AA, _FRACTION_BITS)
    return mask


def _blend(lightness: FloatArray, mask: ByteArray, value: float, opacity: float) -> FloatArray:
    """Blends `value` over the picture where the mask (H, W), 0 to 255, is set."""
    cover = mask.astype(np.float32) * np.float32(opacity / 255)
    return lightness + cover * (np.float32(value) - lightness)


def scratches(lightness: FloatArray, rng: Generator) -> FloatArray:
    """One to four hairlines, light or dark. Most run along the film."""
    height, width = lightness.shape
    mask = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(1, 5)):
        upright = rng.random() < 0.7
        angle = np.pi / 2 + rng.normal(0, 0.04) if upright else rng.uniform(0, np.pi)
        start = rng.uniform(0, 1, 2) * (width, height) * ((1, 0.3) if upright else (1, 1))
        length = rng.uniform(0.2, 1.0) * height
        mask = np.maximum(mask, _bent_line(height, width, start, angle, length, rng.uniform(-0.04, 0.04)))
    return _blend(lightness, mask, float(rng.random() < 0.7), rng.uniform(0.15, 0.85))


def dust(lightness: FloatArray, rng: Generator) -> FloatArray:
    """Up to 25 specks and two hairs: white, like the print of dust on a negative, or dark."""
    height, width = lightness.shape
    side = min(height, width)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(3, 26)):
        x, y = rng.uniform(0, 1, 2) * (width, height) * 2**_FRACTION_BITS
        radius = min(0.3 + rng.exponential(0.004) * side, 0.02 * side) * 2**_FRACTION_BITS
        cv2.circle(mask, (int(x), int(y)), int(radius), int(rng.integers(90, 256)), -1, cv2.LINE_AA, _FRACTION_BITS)
    for _ in range(rng.integers(0, 3)):
        start = rng.uniform(0, 1, 2) * (width, height)
        length = rng.uniform(0.04, 0.15) * side
        mask = np.maximum(
            mask, _bent_line(height, width, start, rng.uniform(0, 2 * np.pi), length, rng.uniform(-0.5, 0.5))
        )
    return _blend(lightness, mask, float(rng.random() < 0.6), rng.uniform(0.4, 1.0))


def halftone(lightness: FloatArray, rng: Generator) -> FloatArray:
    """A print screen of 2.5 to 5 pixels at an angle, as in a reduced scan of a printed page."""
    height, width = lightness.shape
    turn, frequency = rng.uniform(0, np.pi / 2), 2 * np.pi / rng.uniform(2.5, 5.0)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) * np.float32(frequency)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    screen = 0.5 + 0.25 * (np.cos(c * x + s * y) + np.cos(c * y - s * x))
    dots = ((lightness - screen) * 3 + 0.5).clip(0, 1)
    strength = np.float32(rng.uniform(0.05, 0.3))
    return lightness + strength * (dots - lightness)


def jpeg(lightness: FloatArray, rng: Generator) -> FloatArray:
    """The blocks and ringing of a small file: quality 15 to 70."""
    quality = int(rng.integers(15, 71))
    samples = np.rint(lightness.clip(0, 1) * 255).astype(np.uint8)
    _, packed = cv2.imencode(".jpg", samples, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.float32) / np.float32(255)


def _margin_depth(length: int, depth: float, roughness: float, rng: Generator) -> DoubleArray:
    """The depth of a margin at `length` places along its side, in pixels: a little slanted, and rough."""
    slant = np.linspace(rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.2), length)
    walk = np.cumsum(rng.standard_normal(length)) * roughness / np.sqrt(length)
    return np.asarray(depth * slant + walk - walk.mean())


def margin(rgb: ByteArray, rng: Generator) -> ByteArray:
    """Draws a margin on one to four sides: the black of film, the white of paper, or a torn edge.

    The margin is drawn into the true colours, not only into the luminance, because a margin has no colour. If the
    target kept the colours of the hidden picture, the network would learn to give margins their average, a brown or
    red.

    Args:
        rgb: uint8 (H, W, 3); not changed.
    """
    height, width = rgb.shape[:2]
    side = min(height, width)
    torn = rng.random() < 0.3
    dark = rng.random() < 0.6 and not torn
    roughness = side * (rng.uniform(0.04, 0.12) if torn else rng.uniform(0, 0.01))
    sides = rng.random(4) < 0.55
    sides[rng.integers(4)] = True
    covered = np.zeros((height, width), bool)
    rows, columns = np.arange(height)[:, None], np.arange(width)[None]
    distances = (rows, height - 1 - rows, columns, width - 1 - columns)
    for i in np.flatnonzero(sides):
        depth = rng.uniform(0.015, 0.14) * side
        reach = _margin_depth(width if i < 2 else height, depth, roughness, rng).clip(0, DEEPEST_MARGIN * side)
        covered |= distances[i] < (reach[None] if i < 2 else reach[:, None])
    result = rgb.copy()
    result[covered] = rng.integers(0, 30) if dark else rng.integers(205, 256)
    return result
