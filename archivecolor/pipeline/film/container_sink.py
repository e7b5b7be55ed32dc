"""A film that is one file: encoded pictures, between copies of all other streams."""

from __future__ import annotations

import errno
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

from archivecolor import files
from archivecolor.errors import OutputError
from archivecolor.film import frame_watermark, write
from archivecolor.film.survey import Segment, Survey
from archivecolor.film.work_folder import StoredPacket, WorkFolder
from archivecolor.film.write import Coding
from archivecolor.imaging import watermark
from archivecolor.pipeline.film.frame_sink import ColoredSegment, OutputInfo
from archivecolor.provenance import Record

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What a disk says that cannot be written to; a source that cannot be read says other things."""
CARD_SECONDS = 5
"""A whole number: sound and pictures can be put off by it without rounding in nearly every time base."""


class ContainerSink:
    """See `FrameSink`."""

    one_file_per_frame = False

    def __init__(self, coding: Coding, target: Path, told: OutputInfo) -> None:
        self.coding, self.target, self._told = coding, target, told
        how = told.options.disclosure
        self._stamp = frame_watermark.FilmWatermark.of(coding, how.mark, how.mark_font) if how.mark else None

    @property
    def settings(self) -> str:
        return write.settings(self.coding)

    def make(self, dressed: ColoredSegment, work: WorkFolder) -> tuple[list[StoredPacket], dict[str, Any]]:
        pictures = dressed.pictures(self.coding)
        marked = ((pts, self._stamp.onto(planes) if self._stamp else planes) for pts, planes in pictures)
        return write.encode(self.coding, marked), {}

    def join(self, found: Survey, segments: list[Segment], work: WorkFolder) -> tuple[str, ...]:
        """Raises OutputError when the disk has no room for it."""
        card, ticks = self._card(found.pts[0])
        times = [pts + ticks for segment in segments for pts, _, _ in work.index(segment)["packets"]]
        packets = (_later(packet, ticks) for segment in segments for packet in work.packets(segment))
        later = ticks * self.coding.film.time_base
        said = {"comment": self._told.statement(), "digital_source_type": self._told.source_type}
        if card:
            said["title_card"] = f"the first {float(later):g} s are a card that the original does not have"
        try:
            with files.atomic_write(self.target) as part:
                notes = write.join(
                    self.coding, part, [*(p.pts for p in card), *times], chain(card, packets), said, later
                )
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise OutputError(f"{self.target}: cannot be written ({error.strerror}); free some space") from error
        unmarked = self._told.options.disclosure.mark and not self._stamp
        return (*notes, "too small for the visible mark") if unmarked else notes

    def prepare(self, survey: Survey, before: Record | None) -> None:
        """Nothing can be in the way that `Manifest.begin` does not find."""

    def facts(self, survey: Survey) -> dict[str, Any]:
        """The title card's text, and the seconds by which everything else comes later; {} without a card."""
        asked = self._told.options.film.title_card
        if not asked:
            return {}
        return {"title_card": {"text": watermark.title_card_text(asked), "seconds": float(self._lasts()[0])}}

    def _lasts(self) -> tuple[Fraction, int]:
        """Seconds of the card, a whole number of ticks; and of frames."""
        film = self.coding.film
        ticks = max(1, round(CARD_SECONDS / film.time_base))
        seconds = ticks * film.time_base
        return seconds, max(1, min(ticks, round(seconds * film.rate)))

    def _card(self, first: int) -> tuple[list[StoredPacket], int]:
        """The card's packets, the first at the film's first time, and its length in ticks."""
        asked, film = self._told.options.film.title_card, self.coding.film
        if not asked:
            return [], 0
        seconds, frames = self._lasts()
        ticks = round(seconds / film.time_base)
        font = self._told.options.disclosure.mark_font
        planes = frame_watermark.title_card_planes(
            self.coding, watermark.title_card_text(asked), self._told.maker, font
        )
        return write.encode(self.coding, ((first + i * ticks // frames, planes) for i in range(frames))), ticks


def _later(packet: StoredPacket, ticks: int) -> StoredPacket:
    return StoredPacket(packet.pts + ticks, packet.key, packet.data)
