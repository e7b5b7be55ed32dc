"""Reduced JPEGs of sources and results, named by the content they show, so that a second report makes only new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from archivecolor import files, orient, photo, tone
from archivecolor.errors import PictureError
from archivecolor.pace import Budget
from archivecolor.run import IN_FLIGHT_MEGAPIXELS

Samples = NDArray[Any]

PICTURES = "pictures"
THUMB = 240
"""The long side of a thumbnail, pixels."""
QUALITY = 82
WHOLE = 1e6
"""Megapixels: no limit of its own. The run has coloured what it shows."""


@dataclass(frozen=True)
class Wanted:
    """A picture file that the page shows, and the side lengths it needs."""

    path: Path
    sha256: str
    """What the manifest says of it; another content is not shown for it."""
    sides: tuple[int, ...]


def file_name(sha256: str, side: int) -> str:
    """Where the reduced picture lies in the report. The page forms the same name by itself."""
    return f"{PICTURES}/{sha256[:2]}/{sha256[2:26]}-{side}.jpg"


def make(
    wanted: Iterable[Wanted], folder: Path, workers: int, seen: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, str]:
    """Makes whatever is missing; of what cannot be shown, the reason by its SHA-256.

    Args:
        seen: called with how many files are through, and of how many.
    """
    once = {one.sha256: one for one in wanted}
    reasons: dict[str, str] = {}
    for done, (sha256, reason) in enumerate(_made(list(once.values()), folder, workers), start=1):
        if reason:
            reasons[sha256] = reason
        seen(done, len(once))
    return reasons


def _made(wanted: list[Wanted], folder: Path, workers: int) -> Iterator[tuple[str, str]]:
    budget = Budget(IN_FLIGHT_MEGAPIXELS)
    count = workers or joblib.cpu_count()
    pool = joblib.Parallel(count, backend="threading", return_as="generator_unordered", pre_dispatch=2 * count)
    yield from pool(joblib.delayed(_make_one)(one, folder, budget) for one in wanted)


def _make_one(one: Wanted, folder: Path, budget: Budget) -> tuple[str, str]:
    """The SHA-256, and why the picture cannot be shown, or ""."""
    targets = {side: folder / file_name(one.sha256, side) for side in one.sides}
    if all(target.exists() for target in targets.values()):
        return one.sha256, ""
    try:
        if files.sha256(one.path) != one.sha256:
            return one.sha256, "has changed since the run"
        with budget.held(photo.measure(one.path)):
            shown = reduced(photo.read(one.path, WHOLE).pages[0], max(one.sides))
    except FileNotFoundError:
        return one.sha256, "is not there any more"
    except (OSError, PictureError, MemoryError) as error:
        return one.sha256, f"cannot be shown ({error})"
    for side, target in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        with files.written_whole(target) as part:
            Image.fromarray(fitted(shown, side)).save(part, format="jpeg", quality=QUALITY)
    return one.sha256, ""


def reduced(page: photo.Page, side: int) -> NDArray[np.uint8]:
    """A page as it is to be seen: upright, sRGB, uint8 (h, w, 3), the long side at most `side`."""
    small = tone.srgb_bytes(fitted(page.samples, side), page.icc)
    return np.ascontiguousarray(orient.upright(small, page.orientation, (0, 1)))


def fitted(picture: Samples, side: int) -> Samples:
    """Reduced until the long side is at most `side`."""
    height, width = picture.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return picture if scale == 1 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def forget(folder: Path, keep: set[str]) -> None:
    """Removes reduced pictures that no row of the report shows any more."""
    for path in (folder / PICTURES).glob("*/*.jpg"):
        if path.relative_to(folder).as_posix() not in keep:
            path.unlink()
