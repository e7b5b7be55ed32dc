"""Makes the luminance of a modern photograph look like an old one's. The target colours stay clean.

Each picture is aged by itself, from a random generator of its own. The result does not depend on its neighbours in the
batch, nor on how many processes share the batch. Lightness is L*/100 (H, W), float32, about [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from archivecolor.imaging.arrays import FloatArray
from archivecolor.imaging.lab import LUMA, lightness_from_luminance
from archivecolor.training import damage

ORTHOCHROMATIC = (0.02, 0.50, 0.48)
RED_SENSITIVE = (0.50, 0.40, 0.10)
EMULSION_SHARE = 0.6
"""The share of aged pictures that an emulsion has recorded."""


def emulsion(linear: Tensor, rng: Generator) -> FloatArray:
    """Linear RGB (3, H, W) -> the lightness that an emulsion of random spectral response records.

    Orthochromatic film and plates hardly record red and record blue skies as white. Panchromatic film records all
    colours, sometimes too much red. The response is drawn between these and the eye's.
    """
    extreme, share = (ORTHOCHROMATIC, RED_SENSITIVE)[int(rng.integers(2))], rng.random()
    weights = [share * film + (1 - share) * luma for film, luma in zip(extreme, LUMA, strict=True)]
    y = linear[0] * weights[0] + linear[1] * weights[1] + linear[2] * weights[2]
    return np.asarray(lightness_from_luminance(y).numpy() / 100, np.float32)


def fade(lightness: FloatArray, rng: Generator) -> FloatArray:
    """Changes contrast and exposure, and loses range: blacks turn grey, whites yellow into grey."""
    gamma = np.float32(np.exp(rng.uniform(-0.45, 0.45)))
    black, white = np.float32(rng.uniform(-0.06, 0.22)), np.float32(rng.uniform(0.72, 1.06))
    return black + (white - black) * lightness.clip(0, 1) ** gamma


def blur(lightness: FloatArray, rng: Generator) -> FloatArray:
    """A soft lens: a Gaussian with a standard deviation of up to 1.3 pixels."""
    return np.asarray(cv2.GaussianBlur(lightness, (7, 7), rng.uniform(0.1, 1.3)), np.float32)


def grain(lightness: FloatArray, rng: Generator) -> FloatArray:
    """Silver grain: noise that is strongest in the mid-tones and partly clumped."""
    height, width = lightness.shape
    fine = rng.standard_normal((height, width), np.float32)
    clumps = rng.standard_normal(((height + 1) // 2, (width + 1) // 2), np.float32)
    coarse = cv2.resize(clumps, (width, height), interpolation=cv2.INTER_LINEAR)
    tone = lightness.clip(0, 1)
    strength = np.float32(rng.uniform(0.0, 0.05))
    return lightness + (np.float32(0.6) * fine + np.float32(0.7) * coarse) * strength * (0.4 + 2.4 * tone * (1 - tone))


STEPS = (
    (fade, 0.8),
    (blur, 0.3),
    (grain, 0.5),
    (damage.halftone, 0.08),
    (damage.scratches, 0.25),
    (damage.dust, 0.35),
    (damage.jpeg, 0.35),
)
"""The steps and their probabilities, in the order from the camera to the scanner's file."""


def age(linear: Tensor, lightness: FloatArray, rng: Generator) -> FloatArray:
    """The lightness of one aged picture, in [0, 1].

    Args:
        linear: its linear RGB (3, H, W).
        lightness: its true lightness (H, W).
        rng: the only source of randomness. Each step is drawn by itself.
    """
    aged = emulsion(linear, rng) if rng.random() < EMULSION_SHARE else lightness
    for step, probability in STEPS:
        if rng.random() < probability:
            aged = step(aged, rng)
    return aged.clip(0, 1)


def age_batch(linear: Tensor, lightness: Tensor, rngs: list[Generator | None]) -> Tensor:
    """Linear RGB (N, 3, H, W) and true lightness (N, 1, H, W) -> lightness (N, 1, H, W).

    Pictures without a random generator are not aged.
    """
    aged = lightness.clone()
    for i, rng in enumerate(rngs):
        if rng is not None:
            aged[i, 0] = torch.from_numpy(age(linear[i], lightness[i, 0].numpy(), rng))
    return aged
