"""How many made sheets are judged rightly: `python -m tests.support.monochrome_table FOLDER [PICTURES]`.

FOLDER holds colour photographs. Each becomes one sheet of every kind.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from archivecolor.imaging.monochrome import find_colour
from tests.support.monochrome_sheets import COLOUR, MONOCHROME, scanned

SIDE = 420


def photographs(folder: Path, count: int) -> list[np.ndarray]:
    """Evenly spaced photographs of a folder, RGB, with a long side of `SIDE`."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".webp", ".jpg", ".png"))
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in paths[:: max(1, len(paths) // count)][:count]]
    return [
        cv2.resize(picture, None, fx=scale, fy=scale)
        for picture in pictures
        for scale in [SIDE / max(picture.shape[:2])]
    ]


def table(folder: Path, count: int) -> dict[str, float]:
    """The share of sheets of each kind that are judged rightly."""
    pictures = photographs(folder, count)
    shares = {}
    for kinds, expected in ((MONOCHROME, True), (COLOUR, False)):
        for kind, make in kinds.items():
            rng = np.random.default_rng(5)
            verdicts = [find_colour(scanned(make(picture, rng), rng)).is_monochrome for picture in pictures]
            shares[kind] = verdicts.count(expected) / len(verdicts)
    return shares


if __name__ == "__main__":
    for name, share in table(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 40).items():
        print(f"{name:20} {100 * share:5.1f} %")
