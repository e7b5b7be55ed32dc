"""Colours that lie ready to be merged with a picture's lightness."""

from __future__ import annotations

import numpy as np

from archivecolor import chroma, tone
from archivecolor.painting import Painting


def painted(samples: np.ndarray, icc: bytes | None = None, size: int = 24) -> Painting:
    """The colours of a small random map for these samples."""
    draw = np.random.default_rng(5)
    guide = draw.uniform(0, 100, (size, size)).astype(np.float32)
    ab = draw.uniform(-60, 60, (2, size, size)).astype(np.float32)
    reader = tone.lightness_reader(samples.dtype, samples.ndim == 2, icc)
    return Painting(reader, chroma.spread(guide, ab, *samples.shape[:2]), 0.0)
