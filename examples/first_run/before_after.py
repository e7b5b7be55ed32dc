"""Draws before_after.jpg: each picture of this story above its coloured version.

archivecolor run examples/first_run/old_photos --out color
python examples/first_run/before_after.py color
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from archivecolor import photo
from archivecolor.imaging import luminance
from archivecolor.imaging.orientation import to_upright

HERE = Path(__file__).parent
HEIGHT, GAP = 240, 6


def shown(path: Path) -> Image.Image:
    """A picture upright, as sRGB, `HEIGHT` pixels high."""
    page = photo.read(path).pages[0]
    rgb = to_upright(luminance.to_srgb8(page.samples, page.icc), page.orientation, axes=(0, 1))
    image = Image.fromarray(np.ascontiguousarray(rgb))
    return image.resize((round(image.width * HEIGHT / image.height), HEIGHT), Image.Resampling.LANCZOS)


def main(color: Path) -> None:
    """Writes the sheet."""
    names = sorted(path.relative_to(color) for path in color.rglob("*") if photo.is_picture(path))
    pairs = [(shown(HERE / "old_photos" / name), shown(color / name)) for name in names]
    width = sum(before.width + GAP for before, _ in pairs) - GAP
    sheet = Image.new("RGB", (width, 2 * HEIGHT + GAP), "white")
    x = 0
    for before, after in pairs:
        sheet.paste(before, (x, 0))
        sheet.paste(after, (x, HEIGHT + GAP))
        x += before.width + GAP
    sheet.save(HERE / "before_after.jpg", quality=90)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
