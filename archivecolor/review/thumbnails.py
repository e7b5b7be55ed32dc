"""Reduced JPEGs of sources and results, named by the content they show, so that a second report makes only new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib
from PIL import Image

from archivecolor import files, photo
from archivecolor.errors import MissingDependencyError, PictureError
from archivecolor.film.thumbnails import frames_at
from archivecolor.imaging.arrays import ByteArray
from archivecolor.imaging.contact_sheet import square_contact_sheet
from archivecolor.options import FilmOptions
from archivecolor.pipeline.runner import IN_FLIGHT_MEGAPIXELS
from archivecolor.pipeline.scheduling import MegapixelBudget

PICTURES = "pictures"
THUMB = 240
"""The long side of a thumbnail, pixels."""
QUALITY = 82
WHOLE = 1e6
"""Megapixels: no limit of its own. The run has coloured what it shows."""
FILM_MEGAPIXELS = 40.0
"""What the stills of a film take in memory."""


@dataclass(frozen=True)
class ThumbnailRequest:
    """A picture file that the page shows, and the side lengths it needs."""

    path: Path
    sha256: str
    """What the manifest says of it; another content is not shown for it."""
    sides: tuple[int, ...]
    times: tuple[float, ...] = ()
    """Of a film: the seconds of the frames that stand for it, all of them on the larger copies, one as thumbnail."""
    how: FilmOptions = FilmOptions()
    """Of numbered files: how they were read."""


def file_name(sha256: str, side: int) -> str:
    """Where the reduced picture lies in the report. The page forms the same name by itself."""
    return f"{PICTURES}/{sha256[:2]}/{sha256[2:26]}-{side}.jpg"


def make(
    wanted: Iterable[ThumbnailRequest],
    folder: Path,
    workers: int,
    seen: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, str]:
    """Makes whatever is missing; of what cannot be shown, the reason by its SHA-256.

    Args:
        seen: called with how many files are through, and of how many, of those that are new.
    """
    known = present(folder)
    once = {one.sha256: one for one in wanted if not {file_name(one.sha256, side) for side in one.sides} <= known}
    reasons: dict[str, str] = {}
    for done, (sha256, reason) in enumerate(_made(list(once.values()), folder, workers), start=1):
        if reason:
            reasons[sha256] = reason
        seen(done, len(once))
    return reasons


def present(folder: Path) -> set[str]:
    """The reduced pictures that a report has already. An empty one is what a power cut left."""
    return {
        path.relative_to(folder).as_posix() for path in (folder / PICTURES).glob("*/*.jpg") if path.stat().st_size > 0
    }


def _made(wanted: list[ThumbnailRequest], folder: Path, workers: int) -> Iterator[tuple[str, str]]:
    budget = MegapixelBudget(IN_FLIGHT_MEGAPIXELS)
    count = workers or joblib.cpu_count()
    pool = joblib.Parallel(count, backend="threading", return_as="generator_unordered", pre_dispatch=2 * count)
    yield from pool(joblib.delayed(_make_one)(one, folder, budget) for one in wanted)


def _make_one(one: ThumbnailRequest, folder: Path, budget: MegapixelBudget) -> tuple[str, str]:
    """The SHA-256, and why the picture cannot be shown, or ""."""
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
        with files.atomic_write(target, durable=False) as part:  # what a power cut takes is made again
            Image.fromarray(picture).save(part, format="jpeg", quality=QUALITY)
    return one.sha256, ""


def _shown(one: ThumbnailRequest) -> dict[int, ByteArray]:
    """By its side, each copy."""
    if not one.times:
        largest = photo.thumbnail(one.path, max(one.sides), WHOLE)
        return {side: photo.fitted(largest, side) for side in one.sides}
    frames = frames_at(one.path, one.times, one.how)
    poster = frames[len(frames) // 2]
    return {
        side: photo.fitted(poster, side) if side == THUMB else square_contact_sheet(frames, side) for side in one.sides
    }


def forget(folder: Path, keep: set[str]) -> None:
    """Removes reduced pictures that no row of the report shows any more."""
    for path in (folder / PICTURES).glob("*/*.jpg"):
        if path.relative_to(folder).as_posix() not in keep:
            path.unlink()
