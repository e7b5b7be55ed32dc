"""Where a film's frames come from: a container, or numbered files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from archivecolor.film.header import Film, ImageSequence, open_film
from archivecolor.film.image_sequence import ImageSequenceReader, open_sequence
from archivecolor.film.probe import is_numbered
from archivecolor.film.read import Frame, FrameReader
from archivecolor.options import FilmOptions


class FrameSource(Protocol):
    """The frames of a film in presentation order. The attributes are valid after the last frame."""

    trouble: str
    """Why the film ended early, or ""."""
    packets: int
    """How many frames there should have been, good and bad."""
    deinterlaced: int
    """How many frames were made progressive."""
    last_ticks: int
    """How long the last frame stays, in ticks of the time base; 0 where its packet does not say."""

    @property
    def breaks(self) -> int:
        """At how many places time went back or jumped, and was made continuous."""

    def __iter__(self) -> Iterator[Frame]:
        """See `FrameReader`."""


def open_source(path: Path, options: FilmOptions) -> Film:
    """The header of a film in a container, or of an image sequence.

    Raises:
        UnreadableError, UnsupportedError, MissingDependencyError: it cannot be read.
    """
    if is_numbered(path):
        return open_sequence(path, options.fps, options.dpx_curve)
    return open_film(path, options.deinterlace)


def read_frames(film: Film, on_bad_frame: str = "repeat", start: int = 0) -> FrameSource:
    """The frames of a film. Frames before number `start` may be left out where that saves work."""
    if isinstance(film, ImageSequence):
        return ImageSequenceReader(film, on_bad_frame, start)
    return FrameReader(film, on_bad_frame)
