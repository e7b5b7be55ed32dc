"""Where a film's frames come from: a file of moving pictures, or files of single ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from archivecolor.film.header import Film, open_film
from archivecolor.film.image_sequence import StillsReader, open_stills
from archivecolor.film.probe import is_numbered
from archivecolor.film.read import Frame, Reader
from archivecolor.options import FilmOptions


class Source(Protocol):
    """The frames of a film, in the order in which they are shown."""

    trouble: str
    """After the last one: why it came early, or ""."""
    packets: int
    """How many frames there should have been, good and bad."""
    deinterlaced: int
    """How many were made progressive."""

    def __iter__(self) -> Iterator[Frame]:
        """See `Reader`."""


def open_source(path: Path, options: FilmOptions) -> Film:
    """The header of a film, or what the first frame says of a film in numbered files.

    Raises:
        UnreadableError, UnsupportedError, MissingDependencyError: it cannot be read.
    """
    if is_numbered(path):
        return open_stills(path, options.fps, options.dpx_curve)
    return open_film(path, options.deinterlace)


def frames_of(film: Film, on_bad_frame: str = "repeat", start: int = 0) -> Source:
    """The frames of a film; those before number `start` may be left out where that saves work."""
    return StillsReader(film, on_bad_frame, start) if film.stills else Reader(film, on_bad_frame)
