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
from archivecolor.provenance import TERMS
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
    """What becomes of coloured frames: one file, or a file of each."""

    target: Path

    @property
    def settings(self) -> str:
        """How pieces are encoded: those of other settings cannot be joined with them."""

    def make(self, dressed: ColoredSegment, work: WorkFolder) -> tuple[list[StoredPacket], dict[str, Any]]:
        """Encodes a segment's frames: what the work folder keeps of them, and notes on them."""

    def join(self, found: Survey, segments: list[Segment], work: WorkFolder) -> tuple[str, ...]:
        """Puts all segments where they belong; notes on what could not be carried. Killed, it can be done again."""
