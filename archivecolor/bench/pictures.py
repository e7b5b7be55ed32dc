"""Pictures to measure on: the user's own, or photographs that scikit-image ships, enlarged and made grainy."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from archivecolor import photo
from archivecolor.errors import NoInputError
from archivecolor.imaging.arrays import ByteArray, Samples
from archivecolor.pipeline import inputs

SIZES = ((1600, 1200), (4000, 3000), (8160, 6120))
"""Width and height of the generated pictures: 2, 12 and 50 megapixels."""
SMALLEST = "2 MP JPEG"
"""The name of the first group."""


def colour_scene() -> ByteArray:
    """A colour photograph, sRGB (H, W, 3): NASA's portrait of Eileen Collins, public domain, shipped by scikit-image
    with its package."""
    from skimage import data

    return np.asarray(data.astronaut())  # type: ignore[no-untyped-call]


def synthetic_scan(width: int, height: int, seed: int) -> Samples:
    """A grey picture, uint8 (height, width), with the detail and the grain of a scan."""
    scene = np.rot90(cv2.cvtColor(colour_scene(), cv2.COLOR_RGB2GRAY), seed % 4)
    large = cv2.resize(np.ascontiguousarray(scene), (width, height), interpolation=cv2.INTER_CUBIC)
    coarse = np.random.default_rng(seed).normal(0, 6, (height // 4, width // 4)).astype(np.float32)
    grain = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.add(large, grain, dtype=cv2.CV_8U)


def own_or_synthetic_pictures(
    folder: Path | None, count: int, megapixels: tuple[int, ...], work: Path
) -> dict[str, list[Path]]:
    """Groups of pictures by name: `count` pictures of the folder, evenly spaced, or as many generated JPEGs of each
    size.

    Raises:
        NoInputError: there is no picture in the folder.
    """
    if folder is not None:
        own = [job.source for job in inputs.find_inputs((str(folder),), work / "none", inputs.Search(photo.is_picture))]
        if not own:
            raise NoInputError(f"{folder}: no picture in it")
        return {folder.name: own[:: max(1, len(own) // count)][:count]}
    groups = {}
    for width, height in SIZES:
        if round(width * height / 1e6) not in megapixels:
            continue
        name = f"{round(width * height / 1e6)} MP JPEG"
        groups[name] = [work / f"{width}x{height}" / f"{i:03}.jpg" for i in range(count)]
        groups[name][0].parent.mkdir(parents=True)
        for i, path in enumerate(groups[name]):
            if i < 4:  # four different ones; the rest are copies, which take as long to colour
                Image.fromarray(synthetic_scan(width, height, i)).save(path, quality=90)
            else:
                path.write_bytes(groups[name][i % 4].read_bytes())
    return groups
