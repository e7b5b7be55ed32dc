"""The frames of a segment with their colours, and what a film says of itself while they are written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from archivecolor.film import planes, write
from archivecolor.film.read import Frame
from archivecolor.film.survey import Segment, Survey
from archivecolor.film.work_folder import StoredPacket, WorkFolder
from archivecolor.film.write import Coding
from archivecolor.imaging import guided_filter
from archivecolor.options import RunOptions
from archivecolor.pipeline.film.keyframes import FrameThumbnail
from archivecolor.provenance import TERMS, Record
from archivecolor.weights import Card


@dataclass(frozen=True)
class ColoredSegment:
    """Frames of a segment with their colours, ready to be encoded."""

    frames: list[Frame]
    looks: list[FrameThumbnail]
    colours: list[Any]

    def pictures(self, coding: Coding) -> Iterator[tuple[int, list[Any]]]:
        """(pts, planes Y, Cb, Cr): Y is what was read."""
        film = coding.film
        for frame, spread in self.spreads(*coding.chroma_size):
            luma = write.luma_as_written(frame.luma, coding)
            cb, cr = planes.chroma_planes(luma, spread, coding.tags, coding.depth, coding.layout, film.interlaced)
            yield frame.pts, [luma, cb, cr]

    def spreads(self, height: int, width: int) -> Iterator[tuple[Frame, guided_filter.UpsampledChroma]]:
        """Each frame with its colours made ready for planes of this size."""
        for frame, look, ab in zip(self.frames, self.looks, self.colours, strict=False):
            yield frame, guided_filter.upsample_chroma(look.guide, ab, height, width)


@dataclass(frozen=True)
class OutputInfo:
    """Who coloured a film and how: for the file's metadata, its marks and its card."""

    tool: str
    card: Card
    options: RunOptions

    @property
    def source_type(self) -> str:
        return TERMS + self.options.disclosure.source_type

    @property
    def maker(self) -> str:
        return f"{self.tool}, weights {self.card.name} {self.card.sha256[:16]}"

    def statement(self) -> str:
        """For the file's comment."""
        return (
            f"Colour invented by a neural network ({self.maker}); the luminance is the original's. "
            f"Digital source type: {self.source_type}"
        )


class FrameSink(Protocol):
    """What coloured frames are written to: one file, or a file for each frame."""

    target: Path
    one_file_per_frame: bool
    """Whether `target` may be a number pattern."""

    @property
    def settings(self) -> str:
        """How segments are encoded. Segments with different settings cannot be joined."""

    def prepare(self, survey: Survey, before: Record | None) -> None:
        """Checks the place of the output before the first frame is coloured.

        Args:
            before: the film's row in the manifest, if an earlier run left one.

        Raises:
            PictureError: something is in the way.
        """

    def facts(self, survey: Survey) -> dict[str, Any]:
        """What the manifest row says of the output, under `film`."""

    def make(self, segment: ColoredSegment, work: WorkFolder) -> tuple[list[StoredPacket], dict[str, Any]]:
        """Encodes the frames of a segment: the packets for the work folder, and notes on them.

        Raises:
            OutputError, PictureError: a frame cannot be written.
        """

    def join(self, survey: Survey, segments: list[Segment], work: WorkFolder) -> tuple[str, ...]:
        """Joins all segments at `target`, and returns notes on what could not be carried. It can be repeated after a
        kill.

        Raises:
            OutputError: the output cannot be written.
        """
