"""Colours that lie ready to be merged with a picture's lightness."""

from __future__ import annotations

import numpy as np

from archivecolor.imaging import guided_filter, luminance
from archivecolor.imaging.merge import LuminanceMerge


def colorized(samples: np.ndarray, icc: bytes | None = None, size: int = 24) -> LuminanceMerge:
    """The colours of a small random map for these samples."""
    draw = np.random.default_rng(5)
    guide = draw.uniform(0, 100, (size, size)).astype(np.float32)
    ab = draw.uniform(-60, 60, (2, size, size)).astype(np.float32)
    reader = luminance.lightness_function(samples.dtype, samples.ndim == 2, icc)
    return LuminanceMerge(reader, guided_filter.upsample_chroma(guide, ab, *samples.shape[:2]), 0.0)
