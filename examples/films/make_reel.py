"""Makes a scanned reel in small: numbered PNG frames of the cat of examples/first_run, seen by a camera that pans.

python examples/films/make_reel.py reel
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

CAT = Path(__file__).parents[1] / "first_run/old_photos/animals/cat.png"
FRAMES, WIDTH, HEIGHT = 8, 160, 120


def main(folder: Path) -> None:
    """Writes the frames."""
    folder.mkdir(parents=True, exist_ok=True)
    cat = Image.open(CAT).convert("L").resize((WIDTH + 2 * FRAMES, HEIGHT))
    for number in range(FRAMES):
        cat.crop((2 * number, 0, 2 * number + WIDTH, HEIGHT)).save(folder / f"frame_{number + 1:06}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
