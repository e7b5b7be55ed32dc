"""Which files are inputs, and what kind of source each is: `find_jobs` asks once, all others read `Job.kind`."""

from __future__ import annotations

from pathlib import Path

from archivecolor import files, film, photo
from archivecolor.photo.kinds import HEAD_BYTES
from archivecolor.pipeline.inputs import SourceKind


def kind_of(source: Path) -> SourceKind:
    """The kind of a source by its name, else by its first bytes. Opens the file once (a GIF twice).

    A file that cannot be read counts by its suffix. A device or pipe counts as a photograph, and is not opened.
    """
    if film.is_numbered(source):
        return SourceKind.IMAGE_SEQUENCE
    if files.is_special(source):
        return SourceKind.PHOTO
    return SourceKind.FILM if film.is_film(source) else SourceKind.PHOTO


def is_input(path: Path) -> bool:
    """Whether a regular file found in a folder is a picture or a film, or of a kind that must be converted to one
    first (raw, PDF, PSB, DjVu, ...). Opens the file at most once (a GIF twice).

    A file that cannot be read counts if its suffix does not say that it is something else: its row then says why.
    """
    suffix = path.suffix.lower()
    if suffix in photo.SUFFIXES or film.is_numbered(path):
        return True
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return suffix == "" or suffix in film.SUFFIXES
    return photo.is_picture_content(head) or photo.is_other_original(head) or film.is_film_content(path, head)


def is_numbered_picture(path: Path) -> bool:
    """Whether a file can be one frame of a film under --sequences: DPX, or a picture whose name ends in a digit."""
    return film.is_frame(path) or (path.stem[-1:].isdecimal() and photo.is_picture(path))
