"""A short film as an animated GIF, which has 256 colours per frame and times in hundredths of a second."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

from PIL import Image

from archivecolor import files
from archivecolor.film.header import Film
from archivecolor.film.survey import Segment, Survey
from archivecolor.film.work_folder import SegmentNotes, StoredPacket, WorkFolder, writing
from archivecolor.imaging import luminance, merge, watermark
from archivecolor.imaging.orientation import to_upright
from archivecolor.pipeline.film.frame_sink import MARK_TOO_SMALL, ColoredSegment, OutputInfo, grey_samples
from archivecolor.provenance import Record

_SHORTEST_FRAME = 2
"""Hundredths of a second. Browsers show a shorter frame for ten."""


class GifSink:
    """See `FrameSink`."""

    one_file_per_frame = False
    keeps_own_colour = False

    def __init__(self, film: Film, target: Path, output: OutputInfo) -> None:
        self.film, self.target, self._output = film, target, output

    @property
    def settings(self) -> str:
        return "gif"

    def prepare(self, survey: Survey, before: Record | None) -> None:
        """Does nothing: `Manifest.begin` finds whatever is in the way of one file."""

    def facts(self, survey: Survey) -> dict[str, object]:
        return {}

    def encode(self, segment: ColoredSegment, work: WorkFolder) -> tuple[list[StoredPacket], SegmentNotes]:
        """The work folder keeps each frame as a PNG of 256 colours."""
        packets, film, disclosure = [], self.film, self._output.options.disclosure
        for frame, chroma in segment.upsampled(film.height, film.width):
            grey = luminance.to_srgb8(grey_samples(film, frame.luma), None)[..., 0].copy()
            lightness_of = luminance.lightness_function(grey.dtype, True, None)
            rgb, _ = merge.LuminanceMerge(lightness_of, chroma, 0.0).rows(grey, 0)
            if disclosure.mark:
                rgb, _ = watermark.burn_in(rgb, disclosure.mark, disclosure.mark_font, film.orientation)
            png = io.BytesIO()
            upright = Image.fromarray(to_upright(rgb, film.orientation, axes=(0, 1)).copy())
            upright.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(png, "PNG")
            packets.append(StoredPacket(frame.pts, True, png.getvalue()))
        return packets, SegmentNotes()

    def join(self, survey: Survey, segments: list[Segment], work: WorkFolder) -> tuple[str, ...]:
        film, options = self.film, self._output.options
        times = [*survey.pts, survey.end(film)]
        hundredths = [round(100 * (pts - survey.pts[0]) * film.time_base) for pts in times]
        durations = [max(_SHORTEST_FRAME, b - a) for a, b in pairwise(hundredths)]
        images = (Image.open(io.BytesIO(p.data)) for segment in segments for p in work.packets(segment))
        first = next(images)
        with writing(self.target), files.atomic_write(self.target) as part, part.open("wb") as file:
            first.save(
                file,
                "GIF",
                save_all=True,
                append_images=images,
                duration=[10 * n for n in durations],
                loop=0,
                comment=self._output.statement().encode(),
                optimize=False,
            )
        notes = ["256 colours a frame, times in hundredths of a second: GIF has no more"]
        notes += ["sound and subtitles are not carried by GIF"] if film.other_streams else []
        notes += ["--title-card is for films that keep sound"] if options.film.title_card else []
        notes += [] if self._mark_fits() else [MARK_TOO_SMALL]
        return tuple(notes)

    def _mark_fits(self) -> bool:
        film, disclosure = self.film, self._output.options.disclosure
        if not disclosure.mark:
            return True
        placed = watermark.place_mark(film.height, film.width, disclosure.mark, disclosure.mark_font, film.orientation)
        return placed is not None
