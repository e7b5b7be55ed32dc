"""A film as one file: encoded pictures, and copies of all other streams."""

from __future__ import annotations

from fractions import Fraction
from itertools import chain
from pathlib import Path

from archivecolor import files
from archivecolor.film import encoder, frame_watermark, muxer
from archivecolor.film.coding import Coding, container_notes
from archivecolor.film.survey import Segment, Survey
from archivecolor.film.work_folder import SegmentNotes, StoredPacket, WorkFolder
from archivecolor.imaging import watermark
from archivecolor.pipeline.film.frame_sink import MARK_TOO_SMALL, ColoredSegment, OutputInfo
from archivecolor.provenance import Record

CARD_SECONDS = 5
"""A whole number, so that sound and pictures can be delayed by it without rounding in nearly every time base."""


class ContainerSink:
    """See `FrameSink`."""

    one_file_per_frame = False
    keeps_own_colour = True

    def __init__(self, coding: Coding, target: Path, output: OutputInfo) -> None:
        self.coding, self.target, self._output = coding, target, output
        disclosure = output.options.disclosure
        self._watermark = (
            frame_watermark.FilmWatermark.of(coding, disclosure.mark, disclosure.mark_font) if disclosure.mark else None
        )

    @property
    def settings(self) -> str:
        return encoder.settings(self.coding)

    def prepare(self, survey: Survey, before: Record | None) -> None:
        """Does nothing: `Manifest.begin` finds whatever is in the way of one file."""

    def facts(self, survey: Survey) -> dict[str, object]:
        """The title card's text, and the seconds by which everything else is delayed; {} without a card."""
        title = self._output.options.film.title_card
        if not title:
            return {}
        return {"title_card": {"text": watermark.title_card_text(title), "seconds": float(self._card_length()[0])}}

    def encode(self, segment: ColoredSegment, work: WorkFolder) -> tuple[list[StoredPacket], SegmentNotes]:
        mark = self._watermark
        frames = segment.planes(self.coding)
        return encoder.encode(
            self.coding, ((pts, mark.burn_into(planes) if mark else planes) for pts, planes in frames)
        ), SegmentNotes()

    def join(self, survey: Survey, segments: list[Segment], work: WorkFolder) -> tuple[str, ...]:
        card, ticks = self._title_card(survey.pts[0])
        times = [pts + ticks for segment in segments for pts, _, _ in work.index(segment)["packets"]]
        packets = (_delayed(packet, ticks) for segment in segments for packet in work.packets(segment))
        delay = ticks * self.coding.film.time_base
        metadata = {"comment": self._output.statement(), "digital_source_type": self._output.source_type}
        if card:
            metadata["title_card"] = f"the first {float(delay):g} s are a card that the original does not have"
        try:
            with files.atomic_write(self.target) as part:
                notes = muxer.join(
                    self.coding,
                    part,
                    [*(p.pts for p in card), *times],
                    chain(card, packets),
                    metadata,
                    survey.end(self.coding.film) + ticks,
                    delay,
                    self._output.options.film.drop_audio,
                )
        except OSError as error:  # one of the source is a SourceReadError
            raise files.write_error(self.target, error) from error
        unmarked = self._output.options.disclosure.mark and not self._watermark
        return (*container_notes(self.coding), *notes, *((MARK_TOO_SMALL,) if unmarked else ()))

    def _card_length(self) -> tuple[Fraction, int]:
        """The title card's length: seconds, a whole number of ticks; and frames."""
        film = self.coding.film
        ticks = max(1, round(CARD_SECONDS / film.time_base))
        seconds = ticks * film.time_base
        return seconds, max(1, min(ticks, round(seconds * film.rate)))

    def _title_card(self, first_pts: int) -> tuple[list[StoredPacket], int]:
        """The title card's packets, from the film's first time on, and its length in ticks."""
        title, film = self._output.options.film.title_card, self.coding.film
        if not title:
            return [], 0
        seconds, count = self._card_length()
        ticks = round(seconds / film.time_base)
        planes = frame_watermark.title_card_planes(
            self.coding,
            watermark.title_card_text(title),
            self._output.made_with,
            self._output.options.disclosure.mark_font,
        )
        return encoder.encode(self.coding, ((first_pts + i * ticks // count, planes) for i in range(count))), ticks


def _delayed(packet: StoredPacket, ticks: int) -> StoredPacket:
    return StoredPacket(packet.pts + ticks, packet.key, packet.data)
