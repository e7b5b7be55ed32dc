"""How a film's pictures are encoded, and into which container."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from archivecolor.film.header import Film, ImageSequence, has_luma
from archivecolor.film.planes import LAYOUTS, Tags
from archivecolor.film.read import plane_samples
from archivecolor.imaging.arrays import Samples

if TYPE_CHECKING:
    from av.video import VideoFrame

_CONTAINERS = {"mov": "mov", "mp4": "mp4", "m4v": "mp4", "qt": "mov", "3gp": "mp4", "3g2": "mp4"}
"""File suffix -> container, among the heirs of QuickTime."""
_CODEC_CONTAINERS = {"av1": ("mp4", "matroska"), "prores": ("mov", "matroska"), "ffv1": ("matroska",)}
"""Containers that hold a codec; all others hold each container."""


@dataclass(frozen=True)
class Coding:
    """How the pictures of a film are encoded, and into what."""

    film: Film
    codec: str
    """h264, h265, av1, prores or ffv1."""
    container: str
    """mp4, mov or matroska."""
    pix_fmt: str
    depth: int

    @property
    def layout(self) -> str:
        """`420`, `422` or `444`."""
        return self.pix_fmt[3:6]

    @property
    def tags(self) -> Tags:
        """The tags as written. ProRes has no full-range luma; such a source is scaled to limited range."""
        own = self.film.tags
        return replace(own, full_range=False) if self.codec == "prores" else own

    @property
    def suffix(self) -> str:
        """The file's suffix: the source's own where it fits the container."""
        own = self.film.path.suffix
        if _CONTAINERS.get(own.lower()[1:]) == self.container or (self.container, own.lower()) == ("matroska", ".mkv"):
            return own
        return {"mp4": ".mp4", "mov": ".mov", "matroska": ".mkv"}[self.container]

    @property
    def chroma_size(self) -> tuple[int, int]:
        """(height, width) of a chroma plane."""
        across, down = LAYOUTS[self.layout]
        return -(-self.film.height // down), -(-self.film.width // across)


def coding_for(film: Film, codec: str, master: bool, drop_audio: bool = False) -> Coding:
    """The container that fits the source's streams best, and the pixel format that keeps its luma samples.

    Args:
        codec: h264, h265, av1 or prores.
        master: FFV1 in Matroska instead of `codec`.
        drop_audio: whether the container need not hold the sound.
    """
    codec = "ffv1" if master else codec
    containers = _containers_for(film, codec)
    fitting = [c for c in containers if drop_audio or all(c in track.containers for track in film.sound)]
    depth = _depth_for(film.depth, codec)
    layout = {"prores": "422", "ffv1": "444"}.get(codec, "420")
    odd = film.width % 2 or film.height % 2
    if odd and layout == "420" and codec in ("h264", "h265"):
        layout = "444"  # their 4:2:0 has even sides only
    pix_fmt = f"yuv{layout}p{f'{depth}le' if depth > 8 else ''}"
    return Coding(film, codec, (fitting or containers)[0], pix_fmt, depth)


def _containers_for(film: Film, codec: str) -> list[str]:
    """Containers that hold the pictures, the best first. QuickTime and its heirs take more kinds of sound in turn."""
    if isinstance(film, ImageSequence):
        own = "mp4"
    elif film.container.startswith("mov,"):
        own = _CONTAINERS.get(film.path.suffix.lower()[1:], "mp4")
    else:
        own = "matroska"
    candidates = {"mp4": ["mp4", "mov", "matroska"], "mov": ["mov", "matroska"], "matroska": ["matroska"]}[own]
    if codec == "prores":
        candidates = ["mov", "matroska"]
    return [c for c in candidates if c in _CODEC_CONTAINERS.get(codec, candidates)] or ["matroska"]


def container_notes(coding: Coding) -> list[str]:
    """A note where the source's sound decided the container."""
    first = _containers_for(coding.film, coding.codec)[0]
    if coding.container == first:
        return []
    codecs = sorted({track.codec for track in coding.film.sound if first not in track.containers})
    return [f"written as {coding.suffix}, since {first} does not hold its sound ({', '.join(codecs)})"]


def _depth_for(depth: int, codec: str) -> int:
    if codec == "ffv1":
        return next(d for d in (8, 9, 10, 12, 14, 16) if d >= depth)
    return 10 if depth > 8 or codec == "prores" else 8


def luma_at_depth(luma: Samples, depth: int, new_depth: int) -> Samples:
    """Luma codes at another depth: equal, or with zero bits added below. Only 12 bits and more into 10 are rounded."""
    if depth == new_depth:
        return luma
    wide = luma.astype(np.uint16)
    if new_depth > depth:
        return wide << (new_depth - depth)
    rounded = (wide.astype(np.uint32) + (1 << (depth - new_depth - 1))) >> (depth - new_depth)
    return np.minimum(rounded, (1 << new_depth) - 1).astype(np.uint16)


def luma_as_written(luma: Samples, coding: Coding) -> Samples:
    """Luma codes for the output: `luma_at_depth`, or scaled and rounded from full to limited range."""
    film = coding.film
    if film.tags.full_range == coding.tags.full_range:
        return luma_at_depth(luma, film.depth, coding.depth)
    black, white = coding.tags.luma_range(coding.depth)
    scaled = luma.astype(np.float32) * np.float32((white - black) / ((1 << film.depth) - 1)) + np.float32(black)
    return np.rint(scaled).astype(np.uint16)


def own_chroma(picture: VideoFrame, coding: Coding) -> list[Samples]:
    """The planes Cb and Cr of a frame as decoded, in the output's format: copied where it is the source's own."""
    own, tags = coding.film.tags, coding.tags
    same_format = picture.format.name.replace("yuvj", "yuv") == coding.pix_fmt
    if not (same_format and own.full_range == tags.full_range):
        matrix = 5 if tags.matrix == 6 else tags.matrix  # FFmpeg's scaler has one number for both BT.601
        picture = picture.reformat(
            format=coding.pix_fmt,
            src_colorspace=matrix if has_luma(picture.format) else None,
            dst_colorspace=matrix,
            src_color_range=2 if own.full_range or not has_luma(picture.format) else 1,
            dst_color_range=2 if tags.full_range else 1,
        )
    return [plane_samples(picture, 1), plane_samples(picture, 2)]


def range_notes(coding: Coding) -> list[str]:
    """A note where stored luma samples were scaled to another range."""
    film = coding.film
    if film.tags.full_range == coding.tags.full_range or (isinstance(film, ImageSequence) and not film.exact):
        return []
    return ["ProRes has no full-range luma: the source's was scaled to the usual range, and rounded"]
