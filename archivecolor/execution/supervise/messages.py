"""The messages between the parent and the child, over one socket."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from archivecolor.errors import ArchivecolorError
from archivecolor.options import RunOptions, WatchOptions
from archivecolor.pipeline.observer import FilmProgress
from archivecolor.provenance import CrashReport, Record, Totals


@dataclass(frozen=True)
class RunRequest:
    """To the child: what to do, and what the children before it left behind."""

    options: RunOptions
    crashes: CrashReport
    log_level: int
    watching: WatchOptions | None = None
    """The input is a hot folder."""


@dataclass(frozen=True)
class PictureStarted:
    """From the child: see `RunObserver.picture_started`."""

    name: str


@dataclass(frozen=True)
class DecodeStarted:
    """From the child: see `RunObserver.decode_started`."""

    name: str


@dataclass(frozen=True)
class DecodeFinished:
    """From the child: see `RunObserver.decode_finished`."""

    name: str


@dataclass(frozen=True)
class PictureFinished:
    """From the child: see `RunObserver.picture_finished`; the row is in the manifest already."""

    name: str
    row: Record | None
    total: int


@dataclass(frozen=True)
class FilmProgressed:
    """From the child: see `RunObserver.film_progress`."""

    name: str
    progress: FilmProgress


@dataclass(frozen=True)
class FileIgnored:
    """From the child: see `RunObserver.file_ignored`."""

    path: Path


@dataclass(frozen=True)
class Logged:
    """From the child: a record for the log."""

    record: logging.LogRecord


@dataclass(frozen=True)
class RunFailed:
    """From the child: the error that ends the run."""

    error: ArchivecolorError


@dataclass(frozen=True)
class RunEnded:
    """From the child: the run is over, and this is the last message."""

    totals: Totals
    """What `runner.drive` returned."""
    stopped: bool
    """Whether the child was asked to stop, by its parent or by somebody else."""
