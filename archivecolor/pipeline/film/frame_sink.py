"""Where coloured frames are written, and the disclosure in the metadata of films."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from archivecolor.film import coding, planes
from archivecolor.film.header import Film
from archivecolor.film.read import Frame
from archivecolor.film.survey import Segment, Survey
from archivecolor.film.work_folder import SegmentNotes, StoredPacket, WorkFolder
from archivecolor.imaging import guided_filter
from archivecolor.imaging.arrays import FloatArray, Samples
from archivecolor.options import RunOptions
from archivecolor.pipeline.film.keyframes import FrameThumbnail
from archivecolor.provenance import TERMS, Record
from archivecolor.weights import Card

MARK_TOO_SMALL = "too small for the visible mark"


@dataclass(frozen=True)
class ColoredSegment:
    """The frames of a segment with their colours, ready to be encoded."""

    frames: list[Frame]
    thumbnails: list[FrameThumbnail]
    """Of the frames, and of more frames after them."""
    chroma: list[FloatArray]
    """ab (2, h, w) of each frame, in Lab units; empty for frames that keep their own colours."""

    def planes(self, output: coding.Coding) -> Iterator[tuple[int, list[Samples]]]:
        """(pts, planes Y, Cb, Cr) of each frame; Y is as it was read."""
        if not self.chroma:
            yield from self._planes_in_own_colour(output)
            return
        interlaced = output.film.interlaced
        for frame, chroma in self.upsampled(*output.chroma_size):
            luma = coding.luma_as_written(frame.luma, output)
            cb, cr = planes.chroma_planes(luma, chroma, output.tags, output.depth, output.layout, interlaced)
            yield frame.pts, [luma, cb, cr]

    def _planes_in_own_colour(self, output: coding.Coding) -> Iterator[tuple[int, list[Samples]]]:
        """A frame that could not be decoded gets the colours of the frame before, the first ones those of the next."""
        first = next((frame.picture for frame in self.frames if frame.picture is not None), None)
        own = None if first is None else coding.own_chroma(first, output)
        for frame in self.frames:
            own = coding.own_chroma(frame.picture, output) if frame.picture is not None else own
            luma = coding.luma_as_written(frame.luma, output)
            neutral = np.full(output.chroma_size, output.tags.chroma_range(output.depth)[0], luma.dtype)
            yield frame.pts, [luma, *(own or [neutral, neutral])]

    def upsampled(self, height: int, width: int) -> Iterator[tuple[Frame, guided_filter.UpsampledChroma]]:
        """Each frame with its chroma, upsampled to planes of this size."""
        for frame, thumbnail, ab in zip(self.frames, self.thumbnails, self.chroma, strict=False):
            yield frame, guided_filter.upsample_chroma(thumbnail.guide, ab, height, width)


@dataclass(frozen=True)
class OutputInfo:
    """What made an output, for its metadata, its mark and its title card."""

    tool: str
    """Name and version of the program."""
    card: Card
    options: RunOptions

    @property
    def source_type(self) -> str:
        """The IPTC digital source type, as a URI."""
        return TERMS + self.options.disclosure.source_type

    @property
    def made_with(self) -> str:
        """The program and the weights."""
        return f"{self.tool}, weights {self.card.name} {self.card.sha256[:16]}"

    def statement(self) -> str:
        """The comment in the file's metadata."""
        return (
            f"Colour invented by a neural network ({self.made_with}); the luminance is the original's. "
            f"Digital source type: {self.source_type}"
        )


class FrameSink(Protocol):
    """What coloured frames are written to: one file, or a file for each frame."""

    target: Path
    one_file_per_frame: bool
    """Whether `target` may be a number pattern."""
    keeps_own_colour: bool
    """Whether parts of a film that are in colour can keep it."""

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

    def facts(self, survey: Survey) -> dict[str, object]:
        """What the manifest row says of the output, under `film`."""

    def encode(self, segment: ColoredSegment, work: WorkFolder) -> tuple[list[StoredPacket], SegmentNotes]:
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


def grey_samples(film: Film, luma: Samples) -> Samples:
    """Luma codes (H, W) as full-range grey samples, uint8 or uint16."""
    black, white = film.tags.luma_range(film.depth)
    top = 255 if film.depth == 8 else 65535
    if (black, white) == (0, top):
        return luma
    grey = ((luma.astype(np.float32) - black) / (white - black)).clip(0, 1)
    return np.rint(grey * top).astype(np.uint8 if film.depth == 8 else np.uint16)
