"""A scan larger than memory: how much is held while it is coloured, and whether its colours are the same.

Makes a grey 16-bit BigTIFF, colours it with `archivecolor run` in a process of its own, prints that process's peak
memory, and compares rows of the result with what the in-memory path makes of the whole picture.

    python tests/support/large_scan.py --side 30000 --folder ./scratch
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from skimage.color import deltaE_ciede2000, rgb2lab

from archivecolor.options import ColorizerOptions

BAND = 256


def scene(side: int) -> Iterator[Any]:
    """Tiles of a grey 16-bit picture with soft forms, edges and grain, row by row."""
    draw = np.random.default_rng(1)
    for top in range(0, side, BAND):
        y = np.arange(top, top + BAND)[:, None] / side
        x = np.arange(-(-side // BAND) * BAND)[None] / side
        soft = 0.5 + 0.2 * np.sin(9 * x + 4 * y) * np.cos(7 * y - 2 * x)
        forms = 0.15 * ((np.hypot(x - 0.4, y - 0.5) < 0.2) * 1.0 - (np.abs(x - y) < 0.03))
        grain = draw.normal(0, 0.02, (BAND, x.shape[1]))
        band = np.rint((soft + forms + grain).clip(0, 1) * 65535).astype(np.uint16)
        yield from (band[:, left : left + BAND] for left in range(0, band.shape[1], BAND))


def make(path: Path, side: int) -> None:
    """Writes the scan, tiled and uncompressed."""
    tifffile.imwrite(
        path, scene(side), shape=(side, side), dtype=np.uint16, tile=(BAND, BAND), bigtiff=True, metadata=None
    )


def coloured(source: Path, out: Path, side: int) -> float:
    """Colours the scan in a process of its own; its peak memory in GiB."""
    limit = str(side * side / 1e6 + 1)
    command = [sys.executable, "-m", "archivecolor", "run", str(source), "--out", str(out), "--overwrite", "--quiet"]
    subprocess.run([*command, "--max-megapixels", limit, "--device", "cpu", "--precision", "fp32"], check=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1 << 20)


def largest_difference(source: Path, result: Path, bands: int) -> float:
    """The largest CIEDE2000 between the result and the in-memory path, over some bands of rows."""
    from archivecolor import Colorizer

    whole = tifffile.imread(source)
    with Colorizer(options=ColorizerOptions(device="cpu", precision="fp32")) as colorizer:
        painting = colorizer.predict_colors(whole)
    worst = 0.0
    with tifffile.TiffFile(result) as tif:
        page: Any = tif.pages[0]
        across = -(-page.imagewidth // BAND)
        segments = page.segments(maxworkers=1)
        wanted = set(np.linspace(0, whole.shape[0] // BAND - 1, bands).astype(int).tolist())
        for row in range(whole.shape[0] // BAND):
            tiles = [next(segments)[0][0] for _ in range(across)]
            if row not in wanted:
                continue
            seen = np.concatenate(tiles, axis=1)[:, : page.imagewidth]
            expected, _ = painting.rows(whole[row * BAND : (row + 1) * BAND], row * BAND)
            step = (slice(None, None, 8), slice(None, None, 3))
            worst = max(worst, float(deltaE_ciede2000(*(rgb2lab(rgb[step] / 65535) for rgb in (seen, expected))).max()))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=30_000, help="of the square scan, in pixels")
    parser.add_argument("--folder", type=Path, required=True, help="for the scan and its colours; they stay there")
    parser.add_argument("--bands", type=int, default=12, help="of 256 rows, that are compared")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    source = arguments.folder / f"scan_{arguments.side}.tif"
    make(source, arguments.side)
    started = time.perf_counter()
    peak = coloured(source, arguments.folder / "color", arguments.side)
    seconds = time.perf_counter() - started
    result = arguments.folder / "color" / source.name
    with tifffile.TiffFile(result) as tif:
        page: Any = tif.pages[0]
        kind = {"bigtiff": tif.is_bigtiff, "tiled": page.is_tiled, "dtype": str(page.dtype), "shape": page.shape}
    difference = largest_difference(source, result, arguments.bands)
    print(json.dumps({"side": arguments.side, "peak_gib": round(peak, 3), "seconds": round(seconds, 1),
                      "largest_ciede2000": round(difference, 4), **kind}))  # fmt: skip


if __name__ == "__main__":
    main()
