"""A film as an animated GIF, to share a short one: 256 colours a frame and hundredths of a second keep little of it."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image

from archivecolor import files
from archivecolor.film.header import Film
from archivecolor.film.survey import Segment, Survey
from archivecolor.film.work_folder import StoredPacket, WorkFolder, writing
from archivecolor.imaging import luminance, merge, watermark
from archivecolor.imaging.orientation import to_upright
from archivecolor.pipeline.film.frame_sink import ColoredSegment, OutputInfo
from archivecolor.pipeline.film.image_sequence_sink import grey_samples
from archivecolor.provenance import Record

_SHORTEST = 2
"""Hundredths of a second: what is shorter, browsers show for ten."""


class GifSink:
    """See `FrameSink`."""

    one_file_per_frame = False

    def __init__(self, film: Film, target: Path, told: OutputInfo) -> None:
        self.film, self.target, self._told = film, target, told

    @property
    def settings(self) -> str:
        return "gif"

    def prepare(self, survey: Survey, before: Record | None) -> None:
        """Nothing can be in the way that `Manifest.begin` does not find."""

    def facts(self, survey: Survey) -> dict[str, Any]:
        return {}

    def make(self, dressed: ColoredSegment, work: WorkFolder) -> tuple[list[StoredPacket], dict[str, Any]]:
        """The work folder keeps each frame as a PNG of 256 colours."""
        packets, film, how = [], self.film, self._told.options.disclosure
        for frame, spread in dressed.spreads(film.height, film.width):
            samples = luminance.to_srgb8(grey_samples(film, frame.luma), None)[..., 0].copy()
            reader = luminance.lightness_function(samples.dtype, True, None)
            rgb, _ = merge.LuminanceMerge(reader, spread, 0.0).rows(samples, 0)
            rgb = watermark.burn_in(rgb, how.mark, how.mark_font, film.orientation)[0] if how.mark else rgb
            content = io.BytesIO()
            upright = Image.fromarray(to_upright(rgb, film.orientation, axes=(0, 1)).copy())
            upright.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(content, "PNG")
            packets.append(StoredPacket(frame.pts, True, content.getvalue()))
        return packets, {}

    def join(self, found: Survey, segments: list[Segment], work: WorkFolder) -> tuple[str, ...]:
        """Raises OutputError when it cannot be written."""
        film = self.film
        ends = [*found.pts[1:], found.pts[-1] + film.frame_ticks]
        at = [round(100 * (pts - found.pts[0]) * film.time_base) for pts in (found.pts[0], *ends)]
        lasts = [max(_SHORTEST, b - a) for a, b in pairwise(at)]
        images = (Image.open(io.BytesIO(p.data)) for segment in segments for p in work.packets(segment))
        first = next(images)
        with writing(self.target), files.atomic_write(self.target) as part, part.open("wb") as file:
            first.save(
                file, "GIF", save_all=True, append_images=images, duration=[10 * n for n in lasts],
                loop=0, comment=self._told.statement().encode(), optimize=False,
            )  # fmt: skip
        notes = ["256 colours a frame, times in hundredths of a second: GIF has no more"]
        notes += ["sound and subtitles are not carried by GIF"] if film.others else []
        notes += ["--title-card is for films that keep sound"] if self._told.options.film.title_card else []
        how = self._told.options.disclosure
        place = (
            watermark.place_mark(film.height, film.width, how.mark, how.mark_font, film.orientation)
            if how.mark
            else True
        )
        return (*notes, *(() if place else ("too small for the visible mark",)))
