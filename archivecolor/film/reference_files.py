"""The reference pictures of a film: which files they are, and which frames their names say."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from archivecolor import files, photo, sequences
from archivecolor.errors import PictureError, UsageError
from archivecolor.film.header import Film, ImageSequence
from archivecolor.film.survey import Survey

_NUMBER = re.compile(r"(?:frame[ _-]?)?(\d{1,9})(?:_\d{2}-\d{2}-\d{2}\.\d{3})?", re.ASCII | re.IGNORECASE)
_TIME = re.compile(r"(\d{1,2})-(\d{2})-(\d{2}(?:\.\d{1,6})?)", re.ASCII)


def reference_folder(references: Path, source: Path) -> Path:
    """The folder with the references of one film: a subfolder of the film's name, with or without its suffix, if there
    is one; else `references` itself."""
    name = source.name.replace("%", "_")
    inner = (references / part for part in dict.fromkeys((name, Path(name).stem)))
    return next((folder for folder in inner if folder.is_dir()), references)


def reference_files(folder: Path) -> list[Path]:
    """The pictures in a folder, by name; hidden files and all other files are left out.

    Raises:
        UsageError: the folder cannot be read.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    except OSError as error:
        raise UsageError(f"--references {folder}: cannot be read ({error.strerror or error})") from error
    return [path for path in paths if path.suffix.lower() in photo.SUFFIXES]


def references_digest(paths: Sequence[Path]) -> str:
    """A hash of the names and the content of reference pictures."""
    total = hashlib.sha256()
    for path in paths:
        status = path.stat()
        total.update(f"{path.name}\0{_sha256(path, status.st_size, status.st_mtime_ns)}\n".encode())
    return total.hexdigest()


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    """The hash of a file, read again when its size or its time has changed."""
    return files.sha256(path)


def check_references(folder: Path) -> None:
    """Raises UsageError unless the folder, or one in it, holds a picture."""
    if not folder.is_dir():
        raise UsageError(f"--references {folder}: there is no such folder")
    inner = [path for path in files.walk(folder) if path.suffix.lower() in photo.SUFFIXES]
    if not inner:
        raise UsageError(f"--references {folder}: holds no pictures; archivecolor frames FILM --to {folder} makes some")


def reference_name(film: Film, index: int, pts: int, first_pts: int) -> str:
    """The file name, without its suffix, of a reference for this frame: its number and its time, which
    `frame_of_name` reads."""
    milliseconds = round((pts - first_pts) * film.time_base * 1000)
    minutes, seconds = divmod(milliseconds, 60_000)
    time = f"{minutes // 60:02d}-{minutes % 60:02d}-{seconds // 1000:02d}.{seconds % 1000:03d}"
    return f"{film.frame_number(index, pts):06d}_{time}"


def frame_of_name(path: Path, film: Film, survey: Survey) -> int | None:
    """The index of the frame that a reference's name says: `000123.png`, `000123_00-00-05.125.png`,
    `00-01-23.456.jpg`, or the name of one of a film's numbered files. None for any other name.

    Raises:
        PictureError: the film has no such frame.
    """
    number = _number_in(path.stem, film)
    if number is not None:
        numbers = {film.frame_number(i, pts): i for i, pts in enumerate(survey.pts)}
        if number not in numbers:
            first, last = min(numbers), max(numbers)
            raise PictureError(
                f"reference {path.name}: the film has no frame {number}; its frames are {first} to {last}"
            )
        return numbers[number]
    time = _TIME.fullmatch(path.stem)
    if time is None:
        return None
    seconds = Fraction(time[3]) + 60 * int(time[2]) + 3600 * int(time[1])
    return frame_at(seconds, film, survey, f"reference {path.name}")


def _number_in(stem: str, film: Film) -> int | None:
    if form := _NUMBER.fullmatch(stem):
        return int(form[1])
    if isinstance(film, ImageSequence) and sequences.is_pattern(film.path):
        pattern = film.path.with_suffix("").name
        if sequences.matches(pattern, stem):
            return int(re.findall(r"\d+", stem)[-1])
    return None


def frame_at(seconds: Fraction, film: Film, survey: Survey, what: str) -> int:
    """The index of the frame that is nearest to a time.

    Args:
        seconds: after the first frame.
        what: begins the message of an error.

    Raises:
        PictureError: the film ends before.
    """
    ticks = survey.pts[0] + seconds / film.time_base
    end = survey.end(film)
    if ticks >= end:
        length = float((end - survey.pts[0]) * film.time_base)
        raise PictureError(f"{what}: the film ends before this time, after {length:.3f} s")
    return min(range(len(survey.pts)), key=lambda i: abs(survey.pts[i] - ticks))
