"""Reduced JPEGs of sources and outputs. They are named by the hash of the file, so a second report makes only new
ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib
from PIL import Image

from archivecolor import files, photo
from archivecolor.errors import MissingDependencyError, PictureError
from archivecolor.imaging.arrays import ByteArray
from archivecolor.imaging.contact_sheet import square_contact_sheet
from archivecolor.imaging.resize import resize_to_long_side
from archivecolor.options import FilmOptions
from archivecolor.pipeline.scheduling import IN_FLIGHT_MEGAPIXELS, MegapixelBudget

PICTURES = "pictures"
THUMB = 240
"""Long side of a thumbnail in pixels."""
QUALITY = 82
WHOLE = 1e6
"""Megapixels: no limit, because the run has already read the file."""
FILM_MEGAPIXELS = 40.0
"""Megapixels of memory for the stills of a film."""


@dataclass(frozen=True)
class ThumbnailRequest:
    """A picture file that the page shows, and the side lengths it needs."""

    path: Path
    sha256: str
    """From the manifest. If the file differs, it is not shown."""
    sides: tuple[int, ...]
    times: tuple[float, ...] = ()
    """For a film: the seconds of its stills. The larger copy shows all of them, the thumbnail one."""
    read_options: FilmOptions = FilmOptions()
    """For an image sequence: the options to read it with."""


def file_name(sha256: str, side: int) -> str:
    """The path of a reduced picture in the report. `report.js` computes the same."""
    return f"{PICTURES}/{sha256[:2]}/{sha256[2:26]}-{side}.jpg"


def make(
    wanted: Iterable[ThumbnailRequest],
    folder: Path,
    workers: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, str]:
    """Makes the missing pictures. Returns the reasons, by SHA-256, for those that cannot be shown.

    Args:
        on_progress: called with the number of new files that are done, and of all new ones.
    """
    known = present(folder)
    once = {one.sha256: one for one in wanted if not {file_name(one.sha256, side) for side in one.sides} <= known}
    reasons: dict[str, str] = {}
    for done, (sha256, reason) in enumerate(_made(list(once.values()), folder, workers), start=1):
        if reason:
            reasons[sha256] = reason
        on_progress(done, len(once))
    return reasons


def present(folder: Path) -> set[str]:
    """The reduced pictures that a report has already. Empty files, left by a power cut, do not count."""
    return {
        path.relative_to(folder).as_posix() for path in (folder / PICTURES).glob("*/*.jpg") if path.stat().st_size > 0
    }


def _made(wanted: list[ThumbnailRequest], folder: Path, workers: int) -> Iterator[tuple[str, str]]:
    budget = MegapixelBudget(IN_FLIGHT_MEGAPIXELS)
    count = workers or joblib.cpu_count()
    pool = joblib.Parallel(count, backend="threading", return_as="generator_unordered", pre_dispatch=2 * count)
    yield from pool(joblib.delayed(_make_one)(one, folder, budget) for one in wanted)


def _make_one(one: ThumbnailRequest, folder: Path, budget: MegapixelBudget) -> tuple[str, str]:
    """Returns the SHA-256, and why the picture cannot be shown, or ""."""
    try:
        if files.sha256(one.path) != one.sha256:
            return one.sha256, "has changed since the run"
        with budget.hold(FILM_MEGAPIXELS if one.times else photo.measure(one.path)):
            shown = _shown(one)
    except FileNotFoundError:
        return one.sha256, "is not there any more"
    except (OSError, PictureError, MissingDependencyError, MemoryError) as error:
        return one.sha256, f"cannot be shown ({error})"
    for side, picture in shown.items():
        target = folder / file_name(one.sha256, side)
        target.parent.mkdir(parents=True, exist_ok=True)
        with files.atomic_write(target, durable=False) as part:  # after a power cut it is made again
            Image.fromarray(picture).save(part, format="jpeg", quality=QUALITY)
    return one.sha256, ""


def _shown(one: ThumbnailRequest) -> dict[int, ByteArray]:
    """The reduced copies by their long side."""
    if not one.times:
        largest = photo.thumbnail(one.path, max(one.sides), WHOLE)
        return {side: resize_to_long_side(largest, side) for side in one.sides}
    from archivecolor.film.thumbnails import frames_at  # films need torch

    frames = frames_at(one.path, one.times, one.read_options)
    poster = frames[len(frames) // 2]
    return {
        side: resize_to_long_side(poster, side) if side == THUMB else square_contact_sheet(frames, side)
        for side in one.sides
    }


def remove_unused(folder: Path, keep: set[str]) -> None:
    """Removes reduced pictures that the report no longer shows."""
    for path in (folder / PICTURES).glob("*/*.jpg"):
        if path.relative_to(folder).as_posix() not in keep:
            path.unlink()
