"""Stands for a person at a paint program: gives the frames in a folder other colours, and keeps their brightness.

python examples/films/correct_frames.py corrected
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image


def main(folder: Path) -> None:
    """Bright parts become blue, dark parts brown."""
    for path in sorted(folder.glob("*.png")):
        brightness, _, _ = Image.open(path).convert("YCbCr").split()
        blue = brightness.point(lambda value: 105 + value // 5)
        red = brightness.point(lambda value: 160 - value // 5)
        Image.merge("YCbCr", (brightness, blue, red)).convert("RGB").save(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
