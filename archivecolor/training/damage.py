"""What happens to a photograph after it was taken: scratches, dust, print screens, compression, and its margins.

Luminance is l = L*/100 (H, W), float32; sizes are in shares of the shorter side, so that the same damage is drawn at
every size of crop.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from archivecolor.imaging.arrays import ByteArray, DoubleArray, FloatArray

DEEPEST_MARGIN = 0.2
"""Share of the shorter side that one margin covers at most."""
_FRACTION_BITS = 4  # OpenCV draws at sixteenths of a pixel


def _curve(height: int, width: int, start: DoubleArray, angle: float, length: float, bend: float) -> ByteArray:
    """A thin bent line as a mask (H, W): 255 where it runs. `start` is (x, y), in pixels as `length`."""
    steps = np.linspace(0, length, 6)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    points = start + steps[:, None] * along + (bend * length * np.sin(np.linspace(0, np.pi, 6)))[:, None] * across
    mask = np.zeros((height, width), np.uint8)
    fixed = np.rint(points * 2**_FRACTION_BITS).astype(np.int32)
    cv2.polylines(mask, [fixed], False, 255, 1, cv2.LINE_AA, _FRACTION_BITS)
    return mask


def _covered(light: FloatArray, mask: ByteArray, value: float, opacity: float) -> FloatArray:
    """The picture with `value` laid over it where the mask is."""
    cover = mask.astype(np.float32) * np.float32(opacity / 255)
    return light + cover * (np.float32(value) - light)


def scratches(light: FloatArray, random: Generator) -> FloatArray:
    """One to four hairlines across the picture, most of them along the film's way; light or dark."""
    height, width = light.shape
    mask = np.zeros((height, width), np.uint8)
    for _ in range(random.integers(1, 5)):
        upright = random.random() < 0.7
        angle = np.pi / 2 + random.normal(0, 0.04) if upright else random.uniform(0, np.pi)
        start = random.uniform(0, 1, 2) * (width, height) * ((1, 0.3) if upright else (1, 1))
        length = random.uniform(0.2, 1.0) * height
        mask = np.maximum(mask, _curve(height, width, start, angle, length, random.uniform(-0.04, 0.04)))
    return _covered(light, mask, float(random.random() < 0.7), random.uniform(0.15, 0.85))


def dust(light: FloatArray, random: Generator) -> FloatArray:
    """Up to 25 specks and two hairs; white, as dust on a negative prints, or dark."""
    height, width = light.shape
    side = min(height, width)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(random.integers(3, 26)):
        x, y = random.uniform(0, 1, 2) * (width, height) * 2**_FRACTION_BITS
        radius = min(0.3 + random.exponential(0.004) * side, 0.02 * side) * 2**_FRACTION_BITS
        cv2.circle(mask, (int(x), int(y)), int(radius), int(random.integers(90, 256)), -1, cv2.LINE_AA, _FRACTION_BITS)
    for _ in range(random.integers(0, 3)):
        start = random.uniform(0, 1, 2) * (width, height)
        length = random.uniform(0.04, 0.15) * side
        mask = np.maximum(
            mask, _curve(height, width, start, random.uniform(0, 2 * np.pi), length, random.uniform(-0.5, 0.5))
        )
    return _covered(light, mask, float(random.random() < 0.6), random.uniform(0.4, 1.0))


def halftone(light: FloatArray, random: Generator) -> FloatArray:
    """A printer's screen of 2.5 to 5 pixels at an angle, as it shows once a printed page was reduced in size."""
    height, width = light.shape
    turn, frequency = random.uniform(0, np.pi / 2), 2 * np.pi / random.uniform(2.5, 5.0)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) * np.float32(frequency)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    screen = 0.5 + 0.25 * (np.cos(c * x + s * y) + np.cos(c * y - s * x))
    dots = ((light - screen) * 3 + 0.5).clip(0, 1)
    strength = np.float32(random.uniform(0.05, 0.3))
    return light + strength * (dots - light)


def jpeg(light: FloatArray, random: Generator) -> FloatArray:
    """The blocks and ringing of a small file: quality 15 to 70."""
    quality = int(random.integers(15, 71))
    samples = np.rint(light.clip(0, 1) * 255).astype(np.uint8)
    _, packed = cv2.imencode(".jpg", samples, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.float32) / np.float32(255)


def _edge(length: int, depth: float, roughness: float, random: Generator) -> DoubleArray:
    """How far a margin reaches in at `length` places, in pixels: a little slanted, and as rough as asked."""
    slant = np.linspace(random.uniform(0.8, 1.2), random.uniform(0.8, 1.2), length)
    walk = np.cumsum(random.standard_normal(length)) * roughness / np.sqrt(length)
    return np.asarray(depth * slant + walk - walk.mean())


def margin(rgb: ByteArray, random: Generator) -> ByteArray:
    """The picture with a margin on one to four sides: the black of film, the white of paper, or a torn edge.

    This is drawn into the true colours and not only into the luminance: where a margin lies there is no picture, and
    its colour is none. If the target kept the colours of what is hidden there, the network would learn to paint black
    and white margins in their average, which is the brown and red that it must not put there. So the target is
    clean: exact inside the margin as outside of it.

    Args:
        rgb: uint8 (H, W, 3); it is not changed.
    """
    height, width = rgb.shape[:2]
    side = min(height, width)
    torn = random.random() < 0.3
    dark = random.random() < 0.6 and not torn
    roughness = side * (random.uniform(0.04, 0.12) if torn else random.uniform(0, 0.01))
    sides = random.random(4) < 0.55
    sides[random.integers(4)] = True
    covered = np.zeros((height, width), bool)
    rows, columns = np.arange(height)[:, None], np.arange(width)[None]
    distances = (rows, height - 1 - rows, columns, width - 1 - columns)
    for i in np.flatnonzero(sides):
        depth = random.uniform(0.015, 0.14) * side
        reach = _edge(width if i < 2 else height, depth, roughness, random).clip(0, DEEPEST_MARGIN * side)
        covered |= distances[i] < (reach[None] if i < 2 else reach[:, None])
    result = rgb.copy()
    result[covered] = random.integers(0, 30) if dark else random.integers(205, 256)
    return result
