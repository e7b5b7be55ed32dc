"""A film as a file for each frame, with the names and numbers of its source where the source is an image sequence too.

DPX stays DPX, with its depth, curve and header: an archive puts coloured frames through the same machines as the scan,
and these identify a reel by header, number and curve. The colour is merged in light. The luminance of a frame, with
highlights above white and blacks below the base, equals that of its source, to the rounding of the codes. Frames lie in
the work folder until all of them are there, and are then moved to their place.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from archivecolor import files, photo, sequences
from archivecolor.errors import OutputError, PictureError
from archivecolor.film import dpx, image_sequence
from archivecolor.film.header import Film, ImageSequence
from archivecolor.film.planes import lightness_table
from archivecolor.film.read import Frame
from archivecolor.film.survey import Segment, Survey
from archivecolor.film.thumbnails import representative_frames
from archivecolor.film.work_folder import SegmentNotes, StoredPacket, WorkFolder, writing
from archivecolor.imaging import guided_filter, lab, luminance, merge, watermark
from archivecolor.imaging.arrays import FloatArray, Samples
from archivecolor.photo import Page, Photo
from archivecolor.pipeline.disclosure import disclosed_page
from archivecolor.pipeline.film.frame_sink import MARK_TOO_SMALL, ColoredSegment, OutputInfo, grey_samples
from archivecolor.provenance import Record

_PIXELS_AT_ONCE = 1 << 18
"""Pixels that are merged at one time."""


class ImageSequenceSink:
    """See `FrameSink`.

    Args:
        kind: `dpx`, or a format of photographs.
        target: a number pattern, or the one file of a source that is one file.
    """

    one_file_per_frame = True
    keeps_own_colour = False

    def __init__(self, film: Film, kind: str, target: Path, output: OutputInfo) -> None:
        self.film, self.kind, self.target, self._output = film, kind, target, output
        self._sequence = film if isinstance(film, ImageSequence) else None
        """The source, if its frames are files."""
        self._files = image_sequence.frame_files(film.path) if self._sequence else {}
        self._outdated: set[str] = set()
        """File names of an earlier output that are no frames now."""

    def prepare(self, survey: Survey, before: Record | None) -> None:
        """Finds the files of an earlier output that are to be removed: the row names them, and they are no frames now.

        Raises:
            PictureError: another file fits the number pattern, and would count as one of the frames.
        """
        if not sequences.is_pattern(self.target):
            return
        names = {self._name(i, pts) for i, pts in enumerate(survey.pts)}
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
        return self._output.options.out / output == self.target

    def facts(self, survey: Survey) -> dict[str, object]:
        """The numbers of the frames that stand for the film, and of all frames."""
        facts: dict[str, object] = {} if self._sequence else {"still_numbers": representative_frames(survey.shots())}
        if sequences.is_pattern(self.target):
            numbers = (self.film.frame_number(i, pts) for i, pts in enumerate(survey.pts))
            facts["numbers"] = sequences.consecutive_ranges(numbers)
        return facts

    @property
    def settings(self) -> str:
        return self.kind

    def encode(self, segment: ColoredSegment, work: WorkFolder) -> tuple[list[StoredPacket], SegmentNotes]:
        """The work folder keeps each frame as its file; packets hold nothing but times."""
        folder = work.frames()
        packets, max_delta_l, notes = [], 0.0, dict[str, None]()
        write = self._write_dpx if self.kind == "dpx" else self._write_photo
        for frame, chroma in segment.upsampled(self.film.height, self.film.width):
            delta_l, frame_notes = write(folder / self._name(frame.index, frame.pts), frame, chroma)
            max_delta_l, notes = max(max_delta_l, delta_l), notes | dict.fromkeys(frame_notes)
            packets.append(StoredPacket(frame.pts, True, b""))
        return packets, SegmentNotes(max_delta_l=round(max_delta_l, 5), said=list(notes))

    def join(self, survey: Survey, segments: list[Segment], work: WorkFolder) -> tuple[str, ...]:
        with writing(self.target):
            for name in [self._name(i, pts) for i, pts in enumerate(survey.pts)]:
                frame, target = work.frames() / name, self.target.with_name(name)
                if frame.exists():
                    os.replace(frame, target)
                elif not target.exists():  # nor was it moved before a kill
                    raise OutputError(f"{target}: was taken away while the film was made; run again with --overwrite")
            for name in self._outdated:
                self.target.with_name(name).unlink(missing_ok=True)
            files.fsync_folder(self.target.parent)
        notes = list(dict.fromkeys(note for segment in segments for note in work.index(segment)["notes"]["said"]))
        notes += ["sound and subtitles are not carried by files of frames"] if self.film.other_streams else []
        notes += ["--title-card is for films in one file"] if self._output.options.film.title_card else []
        return tuple(notes)

    def _name(self, index: int, pts: int) -> str:
        if not sequences.is_pattern(self.target):
            return self.target.name
        return sequences.frame_name(self.target, self.film.frame_number(index, pts))

    def _write_photo(
        self, path: Path, frame: Frame, chroma: guided_filter.UpsampledChroma
    ) -> tuple[float, tuple[str, ...]]:
        """Writes a frame in a format of photographs: the largest |ΔL*|, and notes."""
        source = self._source_photo(frame) or Photo(
            self.kind, (Page(grey_samples(self.film, frame.luma), orientation=self.film.orientation),)
        )
        page, options = source.pages[0], self._output.options
        lightness_of = luminance.lightness_function(page.samples.dtype, page.samples.ndim == 2, page.icc)
        rgb, max_delta_l = merge.LuminanceMerge(lightness_of, chroma, 0.0).rows(page.samples, 0)
        disclosed = disclosed_page(page, rgb, self._output.card, self.kind, options.disclosure, self._output.tool)
        colored = Photo(source.format, (disclosed,), source.compressed, source.lossless, source.path)
        notes = photo.write(path, colored, self.kind, options.quality, self._output.tool)
        return max_delta_l, (*disclosed.notes, *notes)

    def _source_photo(self, frame: Frame) -> Photo | None:
        """The frame's own file; None where it is no photograph or cannot be read."""
        if self._sequence is None or self._sequence.codec == "dpx" or frame.bad:
            return None
        return photo.read(self._source_file(frame))

    def _source_file(self, frame: Frame) -> Path:
        return self._files[self.film.frame_number(frame.index, frame.pts)]

    @cached_property
    def _default_header(self) -> dpx.DpxHeader:
        """The header for frames that have none of their own: that of the first readable frame, or a new one."""
        if self._sequence and self._sequence.codec == "dpx":
            for path in self._files.values():
                try:
                    return dpx.read(path)[0]
                except (PictureError, OSError):
                    continue
        return dpx.new_header(self.film.width, self.film.height, 10 if self.film.depth <= 10 else 16)

    def _write_dpx(
        self, path: Path, frame: Frame, chroma: guided_filter.UpsampledChroma
    ) -> tuple[float, tuple[str, ...]]:
        """Writes a frame as DPX: the largest |ΔL*|, and notes."""
        header, curve = self._default_header, dpx.VIDEO
        light: FloatArray = _luma_light_table(self.film)[frame.luma]
        if self._sequence and self._sequence.codec == "dpx":
            curve = self._sequence.curve
            if not frame.bad:
                header, codes = dpx.read(self._source_file(frame))
                light = image_sequence.light_of(codes, dpx.light_table(header, curve))
        light_table = dpx.light_table(header, curve)
        rgb, max_delta_l = merge_dpx_light(light, chroma, dpx.light_encoder(header, curve), light_table)
        disclosure, notes = self._output.options.disclosure, tuple[str, ...]()
        if disclosure.mark:
            shift = (16 if header.bits > 8 else 8) - header.bits  # `burn_in` takes codes of 8 and 16 bits
            marked, fits = watermark.burn_in(rgb << shift, disclosure.mark, disclosure.mark_font, self.film.orientation)
            rgb, notes = marked >> shift, () if fits else (MARK_TOO_SMALL,)
        with writing(path), files.atomic_write(path) as part:
            dpx.write(part, header, rgb, curve, f"{self._output.tool}, colour added by AI")
        return max_delta_l, notes


def _luma_light_table(film: Film) -> FloatArray:
    """Luma code -> light, 1 for white."""
    lightness = torch.from_numpy(lightness_table(film.tags, film.depth))
    return lab.luminance_from_lightness(lightness).numpy()


@torch.inference_mode()
def merge_dpx_light(
    light: FloatArray,
    chroma: guided_filter.UpsampledChroma,
    light_encoder: Callable[[torch.Tensor], torch.Tensor],
    light_table: FloatArray,
) -> tuple[Samples, float]:
    """Luminance (H, W), 1 for white, and chroma -> RGB codes (H, W, 3) of the same luminance, and the largest |ΔL*|.

    Args:
        light_encoder: light -> codes.
        light_table: code -> light.
    """
    height, width = light.shape
    rgb = np.empty((height, width, 3), np.uint8 if len(light_table) == 256 else np.uint16)
    step, max_delta_l = max(1, _PIXELS_AT_ONCE // width), 0.0
    for top in range(0, height, step):
        own = torch.from_numpy(light[top : top + step])
        within = own.clamp(0, 1)
        lightness = lab.lightness_from_luminance(within)
        colours = merge.merge_linear(lightness, chroma.rows(lightness, top))
        codes = light_encoder(colours + (own - within)).numpy().astype(rgb.dtype)  # beyond black and white all is grey
        rgb[top : top + step] = np.moveaxis(codes, 0, -1)
        merged = torch.from_numpy(image_sequence.light_of(rgb[top : top + step], light_table))
        delta_l = lab.lightness_from_luminance(merged) - lab.lightness_from_luminance(own)
        max_delta_l = max(max_delta_l, float(delta_l.abs().max()))
    return rgb, max_delta_l
