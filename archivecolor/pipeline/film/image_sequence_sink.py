"""A film that is a file of each frame, under the names and numbers of its source where that is one, too.

DPX stays DPX, with its depth, its curve and its header: an archive puts coloured frames through the same machines as
the scan, and these know a reel by header, number and curve. The colour is merged in light: the luminance of a frame,
highlights above white and blacks below the base included, is that of its source, to the rounding of the codes.
Frames lie in the work folder until all of them are there, and are moved from it to their place.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from archivecolor import files, photo, sequences
from archivecolor.errors import OutputError, PictureError
from archivecolor.film import dpx, image_sequence
from archivecolor.film.header import Film
from archivecolor.film.planes import lightness_table
from archivecolor.film.read import Frame
from archivecolor.film.survey import Segment, Survey
from archivecolor.film.thumbnails import representative_frames
from archivecolor.film.work_folder import StoredPacket, WorkFolder, writing
from archivecolor.imaging import guided_filter, lab, luminance, merge, watermark
from archivecolor.imaging.arrays import FloatArray, Samples
from archivecolor.photo import Page, Photo
from archivecolor.pipeline.disclosure import disclosed_page
from archivecolor.pipeline.film.frame_sink import ColoredSegment, OutputInfo
from archivecolor.provenance import Record

_STRIP = 1 << 18
"""Pixels that are merged at a time."""


class ImageSequenceSink:
    """See `FrameSink`.

    Args:
        kind: `dpx`, or a format of photographs.
        target: a number pattern, or the one file of a source that is one file.
    """

    one_file_per_frame = True

    def __init__(self, film: Film, kind: str, target: Path, told: OutputInfo) -> None:
        self.film, self.kind, self.target, self._told = film, kind, target, told
        self._sources = image_sequence.numbers(film.path) if film.stills else {}
        self._outdated: set[str] = set()

    def prepare(self, survey: Survey, before: Record | None) -> None:
        """Finds the files of an earlier output that are to be removed: the row names them, and they are no frames now.

        Raises:
            PictureError: another file fits the number pattern, and would count as one of the frames.
        """
        if not sequences.is_pattern(self.target):
            return
        names = {self._name(pts, i) for i, pts in enumerate(survey.pts)}
        others = {path.name for path in sequences.frame_paths(self.target)} - names
        ranges = before.film.get("numbers", []) if before and before.output and self._is_target(before.output) else []
        ours = {sequences.frame_name(self.target, n) for first, last in ranges for n in range(first, last + 1)}
        if foreign := sorted(others - ours):
            raise PictureError(
                f"{self.target.with_name(foreign[0])} was not made by this program from these frames, and has a name "
                "like theirs; move it away"
            )
        self._outdated = others

    def _is_target(self, output: str) -> bool:
        return self._told.options.out / output == self.target

    def facts(self, survey: Survey) -> dict[str, Any]:
        """The numbers of the frames that stand for the film, and of all frames."""
        facts: dict[str, Any] = {} if self.film.stills else {"still_numbers": representative_frames(survey.shots())}
        if sequences.is_pattern(self.target):
            numbers = (self._number(pts, i) for i, pts in enumerate(survey.pts))
            facts["numbers"] = sequences.consecutive_ranges(numbers)
        return facts

    @property
    def settings(self) -> str:
        return self.kind

    def make(self, dressed: ColoredSegment, work: WorkFolder) -> tuple[list[StoredPacket], dict[str, Any]]:
        """Raises OutputError, PictureError when a frame cannot be written."""
        place = work.frames()
        packets, worst, notes = [], 0.0, dict[str, None]()
        for frame, spread in dressed.spreads(self.film.height, self.film.width):
            delta, more = self._write(place / self._name(frame.pts, frame.index), frame, spread)
            worst, notes = max(worst, delta), notes | dict.fromkeys(more)
            packets.append(StoredPacket(frame.pts, True, b""))
        return packets, {"max_delta_l": round(worst, 5), "said": list(notes)}

    def join(self, found: Survey, segments: list[Segment], work: WorkFolder) -> tuple[str, ...]:
        """Raises OutputError when a frame cannot be moved to its place."""
        names = [self._name(pts, i) for i, pts in enumerate(found.pts)]
        with writing(self.target):
            for name in names:
                made, place = work.frames() / name, self.target.with_name(name)
                if made.exists():
                    os.replace(made, place)
                elif not place.exists():  # not even moved there before a kill
                    raise OutputError(f"{place}: was taken away while the film was made; run again with --overwrite")
            for name in self._outdated:
                self.target.with_name(name).unlink(missing_ok=True)
            files.fsync_folder(self.target.parent)
        silent = ("sound and subtitles are not carried by files of frames",) if self.film.others else ()
        said = dict.fromkeys(note for segment in segments for note in work.index(segment)["notes"]["said"])
        asked = self._told.options.film.title_card
        return (*said, *silent, *(("--title-card is for films in one file",) if asked else ()))

    def _name(self, pts: int, index: int) -> str:
        if not sequences.is_pattern(self.target):
            return self.target.name
        return sequences.frame_name(self.target, self._number(pts, index))

    def _number(self, pts: int, index: int) -> int:
        return pts + self.film.stills.first if self.film.stills else index

    def _write(self, path: Path, frame: Frame, spread: guided_filter.UpsampledChroma) -> tuple[float, tuple[str, ...]]:
        """Largest |ΔL*|, and notes."""
        if self.kind == "dpx":
            return self._write_dpx(path, frame, spread)
        own = self._own(frame) if self.film.stills and self.film.stills.kind != "dpx" else None
        source = own or Photo(
            self.kind, (Page(grey_samples(self.film, frame.luma), orientation=self.film.orientation),)
        )
        page, how = source.pages[0], self._told.options
        reader = luminance.lightness_function(page.samples.dtype, page.samples.ndim == 2, page.icc)
        rgb, worst = merge.LuminanceMerge(reader, spread, 0.0).rows(page.samples, 0)
        made = disclosed_page(page, rgb, self._told.card, self.kind, how.disclosure, self._told.tool)
        more = photo.write(path, Photo(source.format, (made,), source.compressed, source.lossless, source.path),
                           self.kind, how.quality, self._told.tool)  # fmt: skip
        return worst, (*made.notes, *more)

    def _own(self, frame: Frame) -> Photo | None:
        """The frame's own file; None for one that cannot be read."""
        return None if frame.bad else photo.read(self._source(frame))

    def _source(self, frame: Frame) -> Path:
        assert self.film.stills
        return self._sources[frame.pts + self.film.stills.first]

    @cached_property
    def _usual(self) -> dpx.Dpx:
        """The header for frames that have none of their own: that of the first good one, or a new one."""
        if self.film.stills and self.film.stills.kind == "dpx":
            for path in self._sources.values():
                try:
                    return dpx.read(path)[0]
                except (PictureError, OSError):
                    continue
        return dpx.blank(self.film.width, self.film.height, 10 if self.film.depth <= 10 else 16)

    def _write_dpx(
        self, path: Path, frame: Frame, spread: guided_filter.UpsampledChroma
    ) -> tuple[float, tuple[str, ...]]:
        header, curve = self._usual, dpx.VIDEO
        light: FloatArray = _light_table(self.film)[frame.luma]
        if self.film.stills and self.film.stills.kind == "dpx":
            curve = self.film.stills.curve
            if not frame.bad:
                header, codes = dpx.read(self._source(frame))
                light = image_sequence.light_of(codes, dpx.table_of(header, curve))
        rgb, worst = merge_dpx_light(light, spread, dpx.coder(header, curve), dpx.table_of(header, curve))
        how, notes = self._told.options.disclosure, tuple[str, ...]()
        if how.mark:
            shift = (16 if header.bits > 8 else 8) - header.bits  # `burn` knows the codes of 8 and 16 bits
            marked, fits = watermark.burn_in(rgb << shift, how.mark, how.mark_font, self.film.orientation)
            rgb, notes = marked >> shift, () if fits else ("too small for the visible mark",)
        with writing(path), files.atomic_write(path) as part:
            dpx.write(part, header, rgb, curve, f"{self._told.tool}, colour added by AI")
        return worst, notes


def grey_samples(film: Film, luma: Samples) -> Samples:
    """Luma codes (H, W) as grey samples, uint8 or uint16, of all their range."""
    black, white = film.tags.luma_range(film.depth)
    top = 255 if film.depth == 8 else 65535
    if (black, white) == (0, top):
        return luma
    grey = ((luma.astype(np.float32) - black) / (white - black)).clip(0, 1)
    return np.rint(grey * top).astype(np.uint8 if film.depth == 8 else np.uint16)


def _light_table(film: Film) -> FloatArray:
    """Luma code -> light."""
    lightness = torch.from_numpy(lightness_table(film.tags, film.depth))
    return lab.luminance_from_lightness(lightness).numpy()


@torch.inference_mode()
def merge_dpx_light(
    light: FloatArray,
    spread: guided_filter.UpsampledChroma,
    coder: Callable[[torch.Tensor], torch.Tensor],
    table: FloatArray,
) -> tuple[Samples, float]:
    """Luminance (H, W), 1 for white, and colours -> codes (H, W, 3) of the same luminance, and the largest |ΔL*|.

    Args:
        coder: light -> codes.
        table: code -> light.
    """
    height, width = light.shape
    rgb = np.empty((height, width, 3), np.uint8 if len(table) == 256 else np.uint16)
    step, worst = max(1, _STRIP // width), 0.0
    for top in range(0, height, step):
        own = torch.from_numpy(light[top : top + step])
        shown = own.clamp(0, 1)
        lightness = lab.lightness_from_luminance(shown)
        colours = merge.merge_linear(lightness, spread.rows(lightness, top))
        codes = coder(colours + (own - shown)).numpy().astype(rgb.dtype)  # beyond black and white all is grey
        rgb[top : top + step] = np.moveaxis(codes, 0, -1)
        found = torch.from_numpy(image_sequence.light_of(rgb[top : top + step], table))
        off = lab.lightness_from_luminance(found) - lab.lightness_from_luminance(own)  # beyond black and white too
        worst = max(worst, float(off.abs().max()))
    return rgb, worst
