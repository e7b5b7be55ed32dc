"""Makes a folder with one good picture and one that was cut short, as by a full disk.

python examples/troubleshooting/make_broken.py scans
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

PEOPLE = Path(__file__).parents[1] / "first_run/old_photos/people"


def main(folder: Path) -> None:
    """Writes the two files."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(PEOPLE / "photographer.jpg", folder / "good.jpg")
    whole = (PEOPLE / "portrait_sepia.jpg").read_bytes()
    (folder / "cut_short.jpg").write_bytes(whole[: len(whole) // 3])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
