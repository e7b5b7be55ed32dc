"""Lays photographs on sheets as archives scan them: on a mount, as a stereo pair on its card, beside a grey scale.

All of it is drawn into the true colours, in grey, so that the network learns that what is beside a photograph has no
colour. Pictures are uint8 (H, W, 3); sizes are shares of the short side.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from archivecolor.imaging.arrays import ByteArray, FloatArray

NARROWEST, WIDEST = 0.03, 0.25
"""The widths of a mount's sides."""
DEEPEST_PARALLAX = 0.06
"""How far the halves of a stereo pair are shifted, as a share of their width."""


def lay_on_sheet(rgb: ByteArray, rng: Generator) -> ByteArray:
    """A sheet of the picture's size on which the whole picture lies, smaller.

    Args:
        rgb: not changed.
    """
    kind = rng.choice(["mount", "stereo card", "grey scale"], p=[0.5, 0.2, 0.3])
    if kind == "grey scale":
        return _beside_grey_scale(rgb, rng)
    sheet = _card(rgb.shape, rng)
    side = min(rgb.shape[:2])
    top, bottom, left, right = np.rint(rng.uniform(NARROWEST, WIDEST, 4) * side).astype(int).tolist()
    window = sheet[top : rgb.shape[0] - bottom, left : rgb.shape[1] - right]
    if kind == "mount":
        window[:] = _resized(rgb, *window.shape[:2])
    else:
        _lay_pair(rgb, window, rng)
    return sheet


def _card(shape: tuple[int, ...], rng: Generator) -> ByteArray:
    """Grey board of this (height, width, ...): an even tone, with shading across it and the texture of paper."""
    height, width = shape[:2]
    tone, slope = rng.uniform(5, 252), rng.uniform(-8, 8, 2)
    y, x = np.meshgrid(np.linspace(-0.5, 0.5, height), np.linspace(-0.5, 0.5, width), indexing="ij")
    texture = rng.normal(0, rng.uniform(0, 3), (height, width))
    return _grey(tone + slope[0] * y + slope[1] * x + texture)


def _lay_pair(rgb: ByteArray, window: ByteArray, rng: Generator) -> None:
    """Fills the window of a card with two views, side by side, perhaps with a gap between them."""
    width = window.shape[1] // 2
    gap = int(rng.choice([0, rng.uniform(0, 0.06)]) * width)
    shift = int(rng.uniform(0.01, DEEPEST_PARALLAX) * rgb.shape[1])
    for half, view in (
        (window[:, : width - gap], rgb[:, : rgb.shape[1] - shift]),
        (window[:, window.shape[1] - width + gap :], rgb[:, shift:]),
    ):
        half[:] = _resized(view, *half.shape[:2])


def _beside_grey_scale(rgb: ByteArray, rng: Generator) -> ByteArray:
    """The picture with a strip of grey patches along one side."""
    turns = int(rng.integers(4))
    sheet = np.ascontiguousarray(np.rot90(_card(rgb.shape, rng), turns))
    height, width = sheet.shape[:2]
    depth = round(rng.uniform(0.06, 0.18) * height)
    sheet[depth:] = _resized(np.rot90(rgb, turns), height - depth, width)
    margin = int(rng.uniform(0, 0.3) * depth)
    count = int(rng.integers(6, 22))
    tones = np.linspace(250, 5, count)[:: int(rng.choice([-1, 1]))]
    bounds = np.linspace(margin, width - margin, count + 1).astype(int)
    for tone, start, end in zip(tones, bounds[:-1], bounds[1:], strict=True):
        sheet[margin : depth - margin, start:end] = round(tone)
    return np.ascontiguousarray(np.rot90(sheet, -turns))


def _grey(tones: FloatArray) -> ByteArray:
    return np.repeat(np.rint(tones.clip(0, 255)).astype(np.uint8)[..., None], 3, axis=2)


def _resized(rgb: ByteArray, height: int, width: int) -> ByteArray:
    return np.asarray(cv2.resize(np.ascontiguousarray(rgb), (width, height), interpolation=cv2.INTER_AREA), np.uint8)
