"""What parent and child tell each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from archivecolor.errors import ArchivecolorError
from archivecolor.options import RunOptions
from archivecolor.provenance import CrashReport, Record

ROWS_PER_MESSAGE = 1000
"""Rows in one message."""


@dataclass(frozen=True)
class RunRequest:
    """To the child: what to do, and what is known from children before it."""

    options: RunOptions
    known: CrashReport


@dataclass(frozen=True)
class PictureStarted:
    """From the child: it has taken this picture in hand."""

    name: str


@dataclass(frozen=True)
class PictureFinished:
    """From the child: this picture is finished, and its row is in the manifest; None when it was so already."""

    name: str
    row: Record | None
    total: int


@dataclass(frozen=True)
class FilmProgress:
    """From the child: how far it is with a film."""

    name: str
    what: str
    """What is done with it just now."""
    done: int
    total: int
    """Frames."""
    seconds: float
    """Of film that are done."""


@dataclass(frozen=True)
class FileIgnored:
    """From the child: a file that is no picture."""

    path: Path


@dataclass(frozen=True)
class RunFailed:
    """From the child: the error that ends the run."""

    error: ArchivecolorError


@dataclass(frozen=True)
class RowBatch:
    """From the child: some of the rows that `run.drive` returned."""

    rows: list[Record]


@dataclass(frozen=True)
class RunEnded:
    """From the child: all is said."""

    stopped: bool
    """Whether it was asked to stop, by whomever."""
