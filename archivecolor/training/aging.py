"""Makes the luminance of a modern photograph look like an old one's. The colours to be learned stay clean.

Each picture is aged by itself, from a random generator of its own: what it looks like depends neither on its
neighbours in the batch nor on how many processes share the batch. Luminance is as the eye sees it, l = L*/100 (H, W),
float32, about [0, 1].
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


def emulsion(linear: Tensor, random: Generator) -> FloatArray:
    """Linear RGB (3, H, W) -> l, as an emulsion of random colour response sees it.

    Orthochromatic film and plates hardly see red and see blue skies as white; panchromatic film sees all, some of it
    too much red. The response is drawn between those and the eye's.
    """
    end, share = (ORTHOCHROMATIC, RED_SENSITIVE)[int(random.integers(2))], random.random()
    weights = [share * extreme + (1 - share) * eye for extreme, eye in zip(end, LUMA, strict=True)]
    y = linear[0] * weights[0] + linear[1] * weights[1] + linear[2] * weights[2]
    return np.asarray(lightness_from_luminance(y).numpy() / 100, np.float32)


def fade(light: FloatArray, random: Generator) -> FloatArray:
    """Contrast, exposure and a loss of range: blacks that went grey, whites that yellowed into grey."""
    gamma = np.float32(np.exp(random.uniform(-0.45, 0.45)))
    black, white = np.float32(random.uniform(-0.06, 0.22)), np.float32(random.uniform(0.72, 1.06))
    return black + (white - black) * light.clip(0, 1) ** gamma


def blur(light: FloatArray, random: Generator) -> FloatArray:
    """A soft lens: a Gaussian of up to 1.3 pixels."""
    return np.asarray(cv2.GaussianBlur(light, (7, 7), random.uniform(0.1, 1.3)), np.float32)


def grain(light: FloatArray, random: Generator) -> FloatArray:
    """Silver grain: noise strongest in the mid-tones, partly clumped."""
    height, width = light.shape
    fine = random.standard_normal((height, width), np.float32)
    clumps = random.standard_normal(((height + 1) // 2, (width + 1) // 2), np.float32)
    coarse = cv2.resize(clumps, (width, height), interpolation=cv2.INTER_LINEAR)
    tone = light.clip(0, 1)
    strength = np.float32(random.uniform(0.0, 0.05))
    return light + (np.float32(0.6) * fine + np.float32(0.7) * coarse) * strength * (0.4 + 2.4 * tone * (1 - tone))


STEPS = (
    (fade, 0.8), (blur, 0.3), (grain, 0.5), (damage.halftone, 0.08), (damage.scratches, 0.25), (damage.dust, 0.35),
    (damage.jpeg, 0.35),
)  # fmt: skip
"""In the order in which a photograph meets them, from the camera to the scanner's file; and how often each does."""


def age(linear: Tensor, light: FloatArray, random: Generator) -> FloatArray:
    """The luminance of one old picture, in [0, 1].

    Args:
        linear: its linear RGB (3, H, W).
        light: its true l (H, W).
        random: the only source of chance. Each step is drawn by itself, so that no two pictures age alike.
    """
    old = emulsion(linear, random) if random.random() < 0.6 else light
    for step, probability in STEPS:
        if random.random() < probability:
            old = step(old, random)
    return old.clip(0, 1)


def aged_batch(linear: Tensor, light: Tensor, randoms: list[Generator | None]) -> Tensor:
    """Linear RGB (N, 3, H, W) and true l (N, 1, H, W) -> l (N, 1, H, W); pictures without a generator stay true."""
    old = light.clone()
    for i, random in enumerate(randoms):
        if random is not None:
            old[i, 0] = torch.from_numpy(age(linear[i], light[i, 0].numpy(), random))
    return old
