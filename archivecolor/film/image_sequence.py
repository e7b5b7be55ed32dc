"""Films whose frames are files of their own: `scan/frame_%06d.dpx`, or numbered TIFF, PNG and other pictures.

A frame's number is its time: where numbers are missing, the frame before the gap stays longer, and sound that is added
later fits. Luma is the file's own codes where these are grey with the curve of sRGB (or DPX luma for video); else it is
computed, as the sRGB code of the frame's luminance in 16 bits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from archivecolor import photo, sequences
from archivecolor.errors import PictureError, UnreadableError, UnsupportedError
from archivecolor.film import dpx
from archivecolor.film.header import Film, Stills, pyav
from archivecolor.film.planes import Tags
from archivecolor.film.read import Frame
from archivecolor.imaging import lab, luminance
from archivecolor.imaging.arrays import ByteArray, FloatArray, Samples

TAGS = Tags(matrix=1, full_range=True, primaries=1, transfer=13)
"""BT.709 weights, all codes, the curve of sRGB."""
USUAL_RATE = Fraction(24)
COLOUR_EVERY = 24
"""Frames between two that are handed on with their colours."""
_FINE = 1 << 16
_ANY_SIZE = 1e6
"""Megapixels: no limit of its own for what is looked at. What is coloured was measured before."""


@dataclass(frozen=True)
class Still:
    """One frame's file, read."""

    height: int
    width: int
    luma: Callable[[], Samples]
    """(H, W): codes at the film's depth."""
    toned: Callable[[], Samples] | None
    """Its own RGB (H, W, 3), uint8 or uint16, as a screen shows it; None for grey."""


def open_stills(path: Path, fps: str, dpx_curve: str) -> Film:
    """What the first readable frame says of the film.

    Args:
        path: a number pattern, or the one file of a film of one frame.
        fps: frames a second; "" takes what a DPX header says, or 24.

    Raises:
        UnreadableError, UnsupportedError: no frame can be read, or they are of a kind that is not.
    """
    found = numbers(path)
    if not found:
        raise UnreadableError("there is no file of this number pattern")
    trouble: Exception | None = None
    for each in found.values():
        try:
            return _described(path, each, found, fps, dpx_curve)
        except (UnreadableError, OSError) as error:
            trouble = trouble or error
    raise UnreadableError(f"none of its {len(found)} frames can be read ({trouble})")


def numbers(path: Path) -> dict[int, Path]:
    """The frames' files by number; a single file is number 0."""
    return sequences.frame_paths_by_number(path) if sequences.is_pattern(path) else {0: path}


def _described(path: Path, frame: Path, found: dict[int, Path], fps: str, asked_curve: str) -> Film:
    notes: tuple[str, ...] = ()
    with frame.open("rb") as file:
        is_dpx = dpx.is_dpx(file.read(4))
    if is_dpx:
        header = dpx.read_header(frame)
        kind, curve, said = "dpx", header.curve(asked_curve), header.rate()
        width, height, aspect, orientation = header.width, header.height, header.aspect(), 1
        exact = header.grey and curve == dpx.VIDEO and dpx.table_of(header, curve)[1] > 0
        bits = header.bits
        if asked_curve == "auto" and not header.says_curve:
            notes += ("its DPX headers do not say what curve the codes follow; taken for video, see --dpx-curve",)
    else:
        page, kind = _page(frame)
        curve, said, aspect = "", 0.0, None
        width, height, orientation = page.width, page.height, page.orientation
        exact = page.samples.ndim == 2 and page.icc is None
        bits = 8 * page.samples.itemsize
    rate, depth = _rate(fps, said), bits if exact else 16
    if fps == "" and not said:
        notes += (f"its frames do not say how many a second there are; taken for {USUAL_RATE}, see --fps",)
    return Film(
        path=path, container="numbered files", codec=kind, stream=-1, width=width, height=height,
        pix_fmt=f"gray{depth}le" if depth > 8 else "gray", depth=depth, time_base=1 / rate, rate=rate,
        sample_aspect=Fraction(*aspect) if aspect else None, tags=TAGS, orientation=orientation, display_matrix=None,
        interlaced=False, field_order=0, expected_frames=len(found), duration_s=0.0,
        stills=Stills(kind, bits, curve, min(found), exact, notes),
    )  # fmt: skip


def _page(path: Path) -> tuple[photo.Page, str]:
    read = photo.read(path)
    if len(read.pages) > 1:
        raise UnsupportedError(f"{path.name} has {len(read.pages)} pages; a frame of a film is one picture")
    return read.pages[0], read.format


def _rate(fps: str, said: float) -> Fraction:
    """Frames a second; a header's rounded 23.976 is meant as 24000/1001."""
    if fps:
        return as_rate(fps)
    return as_rate(f"{said:.3f}") if said else USUAL_RATE


def as_rate(text: str) -> Fraction:
    """`24`, `16.667`, `24000/1001`; 23.976, 29.97 and their like are 1000/1001 of a whole number."""
    rate = Fraction(text).limit_denominator(100_000)
    whole = Fraction(round(rate * 1001 / 1000) * 1000, 1001)
    return whole if rate.denominator > 1 and abs(rate - whole) < Fraction(1, 500) else rate


def read_still(film: Film, path: Path) -> Still:
    """One frame's file.

    Raises:
        UnreadableError, UnsupportedError, OSError: it cannot be read.
    """
    assert film.stills
    if film.stills.kind == "dpx":
        header, codes = dpx.read(path)
        if film.stills.exact and (header.bits, header.grey) != (film.depth, True):
            raise UnsupportedError(f"{header.bits} bits and {header.channels} channels; the first frame has others")
        table = dpx.table_of(header, film.stills.curve)
        toned = None if header.grey else (lambda: _shown(table)[codes])
        return Still(header.height, header.width, lambda: _dpx_luma(film, codes, table), toned)
    page, _ = _page(path)
    samples = page.samples
    own = None if samples.ndim == 2 else (lambda: samples)
    return Still(page.height, page.width, lambda: _page_luma(film, page), own)


def _dpx_luma(film: Film, codes: Samples, table: FloatArray) -> Samples:
    assert film.stills
    if codes.ndim == 2:
        return codes if film.stills.exact else codes_of_light(table)[codes]
    return codes_of_light_at(light_of(codes, table))


def light_of(codes: Samples, table: FloatArray) -> FloatArray:
    """Codes (H, W) or (H, W, 3) -> luminance (H, W), 1 for white."""
    if codes.ndim == 2:
        return table[codes]
    red, green, blue = (table[codes[..., i]] for i in range(3))
    kr, kg, kb = (np.float32(w) for w in lab.LUMA)
    return np.asarray(kr * red + kg * green + kb * blue, np.float32)


def _page_luma(film: Film, page: photo.Page) -> Samples:
    """A frame that is grey where the first was not, or of another depth, is turned into the film's codes."""
    assert film.stills
    samples = page.samples
    if film.stills.exact and samples.ndim == 2 and page.icc is None and 8 * samples.itemsize == film.depth:
        return samples
    lightness = luminance.lightness_function(samples.dtype, samples.ndim == 2, page.icc)(samples)
    wide = codes_of_light_at(lab.luminance_from_lightness(torch.from_numpy(lightness)).numpy())
    return wide if film.depth == 16 else (wide >> 8).astype(np.uint8)


def codes_of_light(light: FloatArray) -> NDArray[np.uint16]:
    """Light, 1 for white -> sRGB codes in 16 bits."""
    shown = lab.srgb_from_linear(torch.from_numpy(light).clamp(0, 1)) * (_FINE - 1)
    return shown.round().numpy().astype(np.uint16)


def codes_of_light_at(light: FloatArray) -> NDArray[np.uint16]:
    """The same for a whole picture, by a table that is fine where the curve is steep."""
    roots = np.sqrt(light.clip(0, 1))
    return _by_root()[np.rint(roots * np.float32(_FINE - 1)).astype(np.int32)]


@lru_cache(maxsize=1)
def _by_root() -> NDArray[np.uint16]:
    return codes_of_light(np.square(np.linspace(0, 1, _FINE, dtype=np.float64)).astype(np.float32))


def shown_at(film: Film, times: Sequence[float]) -> list[ByteArray]:
    """The pictures that are shown so many seconds after the first, upright, sRGB (h, w, 3): each the frame of that
    number, or where it is missing or cannot be read, the one before, which stays; before the first, the first."""
    assert film.stills
    found = numbers(film.path)
    there = list(found)
    pictures = []
    for seconds in times:
        after = bisect_right(there, film.stills.first + round(Fraction(seconds) * film.rate))
        nearest = [*reversed(there[:after]), *there[after:]]
        readable = (picture for number in nearest if (picture := _picture(film, found[number])) is not None)
        pictures += [picture for picture in [next(readable, None)] if picture is not None]
    return pictures


def _picture(film: Film, path: Path) -> ByteArray | None:
    """One frame's file as a screen shows it; None for one that cannot be read."""
    assert film.stills
    try:
        if film.stills.kind != "dpx":
            return photo.thumbnail(path, max(film.width, film.height), _ANY_SIZE)
        header, codes = dpx.read(path)
    except (PictureError, OSError):
        return None
    picture = _shown(dpx.table_of(header, film.stills.curve))[codes]
    return picture if picture.ndim == 3 else np.dstack([picture] * 3)


def _shown(table: FloatArray) -> ByteArray:
    return (codes_of_light(table) >> 8).astype(np.uint8)


class StillsReader:
    """The frames of a film in numbered files; see `Reader`.

    Args:
        start: index of the first frame that is wanted.
    """

    def __init__(self, film: Film, on_bad_frame: str = "repeat", start: int = 0) -> None:
        self.film, self.trouble, self.packets = film, "", 0
        self.deinterlaced = 0
        self._grey_stand_in, self._start = on_bad_frame == "grey", start
        self._found = list(numbers(film.path).items())

    def __iter__(self) -> Iterator[Frame]:
        assert self.film.stills
        last: Samples | None = None
        for index, (number, path) in enumerate(self._found):
            self.packets += 1
            if index < self._start:
                continue
            pts = number - self.film.stills.first
            still = self._read(path)
            if still is None:
                last = last if last is not None else self._good_before(index)
                yield Frame(index, pts, self._stand_in(last), True, None)
                continue
            last = still.luma()
            colours = still.toned if index % COLOUR_EVERY == 0 else None
            yield Frame(index, pts, last, False, _as_frame(colours()) if colours else None)

    def _read(self, path: Path) -> Still | None:
        """None for a frame that is damaged.

        Raises:
            PictureError: it is another kind of picture than the first.
        """
        try:
            still = read_still(self.film, path)
        except (UnreadableError, OSError):
            return None
        except PictureError as error:
            raise type(error)(f"{path.name}: {error}") from error
        if (still.height, still.width) != (self.film.height, self.film.width):
            raise UnsupportedError(
                f"{path.name} has {still.width} x {still.height} pixels, the film {self.film.width} x "
                f"{self.film.height}; name films of different sizes one by one"
            )
        return still

    def _good_before(self, index: int) -> Samples | None:
        for _, path in reversed(self._found[:index]):
            if still := self._read(path):
                return still.luma()
        return None

    def _stand_in(self, last: Samples | None) -> Samples:
        if last is not None and not self._grey_stand_in:
            return last
        dtype = np.uint8 if self.film.depth == 8 else np.uint16
        return np.full((self.film.height, self.film.width), 1 << (self.film.depth - 1), dtype)


def _as_frame(rgb: Samples) -> Any:
    """A frame of PyAV, for those who ask films for their colours."""
    shown = rgb if rgb.dtype == np.uint8 else (rgb >> 8).astype(np.uint8)
    return pyav().VideoFrame.from_ndarray(np.ascontiguousarray(shown), format="rgb24")
