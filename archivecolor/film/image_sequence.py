"""Films whose frames are files of their own: `scan/frame_%06d.dpx`, or numbered TIFF, PNG and other pictures.

The number of a frame is its time. Where numbers are missing, the frame before the gap stays longer, so that sound that
is added later fits. Luma is the file's own codes where these are grey with the curve of sRGB (or DPX luma for video).
Otherwise it is computed: the sRGB code of the frame's luminance, in 16 bits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from archivecolor import files, photo, sequences
from archivecolor.errors import PictureError, UnreadableError, UnsupportedError
from archivecolor.film import dpx
from archivecolor.film.header import ImageSequence
from archivecolor.film.planes import Tags
from archivecolor.film.read import Frame, rgb_frame, substitute_luma
from archivecolor.imaging import lab, luminance
from archivecolor.imaging.arrays import ByteArray, FloatArray, Samples
from archivecolor.photo.kinds import HEAD_BYTES, kind_of

TAGS = Tags(matrix=1, full_range=True, primaries=1, transfer=13)
"""BT.709 weights, full range, the curve of sRGB."""
DEFAULT_RATE = Fraction(24)
COLOUR_EVERY = 24
"""The survey gets the colours of every 24th frame."""
_CODES = 1 << 16
_NO_LIMIT = 1e6
"""Megapixels. What is coloured was measured before; thumbnails need no limit of their own."""


@dataclass(frozen=True)
class SequenceFrame:
    """The file of one frame, read."""

    height: int
    width: int
    luma: Callable[[], Samples]
    """Returns (H, W): codes at the film's depth."""
    rgb: Callable[[], Samples] | None
    """Returns its own RGB (H, W, 3), uint8 or uint16, as a screen shows it; None for grey."""


def open_sequence(path: Path, fps: str, dpx_curve: str) -> ImageSequence:
    """What the first readable frame says of the film.

    Args:
        path: a number pattern, or the one file of a film of one frame.
        fps: frames per second; "" takes the rate of a DPX header, or 24.
        dpx_curve: log, linear or video; auto takes that of the DPX header.

    Raises:
        UnreadableError: all frames are damaged.
        SourceReadError: the system cannot read a frame.
        UnsupportedError: the frames are of a kind that is not read.
    """
    paths = frame_files(path)
    if not paths:
        raise UnreadableError("there is no file of this number pattern")
    first_error: Exception | None = None
    for frame in paths.values():
        try:
            return _sequence_header(path, frame, paths, fps, dpx_curve)
        except UnreadableError as error:
            _check_known_kind(frame)
            first_error = first_error or error
        except OSError as error:
            raise files.read_error(error, frame.name) from error
    raise UnreadableError(f"none of its {len(paths)} frames can be read ({first_error})")


def _check_known_kind(frame: Path) -> None:
    """Raises UnsupportedError for a frame that is no damaged picture but one of a kind that is not read."""
    with frame.open("rb") as file:
        head = file.read(HEAD_BYTES)
    readable = (".dpx", *sorted(photo.SUFFIXES))
    if any(head) and not kind_of(head) and frame.suffix.lower() not in readable:
        raise UnsupportedError(
            f"{frame.suffix.removeprefix('.').upper()} files are not read; convert the frames to DPX, TIFF, PNG or JPEG"
        )


def frame_files(path: Path) -> dict[int, Path]:
    """The files of the frames by number; a single file is number 0."""
    return sequences.frame_paths_by_number(path) if sequences.is_pattern(path) else {0: path}


def _sequence_header(path: Path, frame: Path, paths: dict[int, Path], fps: str, dpx_curve: str) -> ImageSequence:
    notes: tuple[str, ...] = ()
    with frame.open("rb") as file:
        is_dpx = dpx.is_dpx(file.read(4))
    if is_dpx:
        header = dpx.read_header(frame)
        codec, curve, header_rate = "dpx", header.curve(dpx_curve), header.rate()
        width, height, aspect, orientation = header.width, header.height, header.aspect(), 1
        exact = header.grey and curve == dpx.VIDEO and dpx.light_table(header, curve)[1] > 0
        bits = header.bits
        if dpx_curve == "auto" and not header.states_curve:
            notes += ("its DPX headers do not say what curve the codes follow; taken for video, see --dpx-curve",)
    else:
        page, codec = _single_page(frame)
        curve, header_rate, aspect = "", 0.0, None
        width, height, orientation = page.width, page.height, page.orientation
        exact = page.samples.ndim == 2 and page.icc is None
        bits = 8 * page.samples.itemsize
    rate, depth = _rate(fps, header_rate), bits if exact else 16
    if fps == "" and not header_rate:
        notes += (f"its frames do not say how many a second there are; taken for {DEFAULT_RATE}, see --fps",)
    return ImageSequence(
        path=path,
        codec=codec,
        width=width,
        height=height,
        pix_fmt=f"gray{depth}le" if depth > 8 else "gray",
        depth=depth,
        time_base=1 / rate,
        rate=rate,
        sample_aspect=Fraction(*aspect) if aspect else None,
        tags=TAGS,
        orientation=orientation,
        expected_frames=len(paths),
        notes=notes,
        stored_bits=bits,
        curve=curve,
        first=min(paths),
        exact=exact,
    )


def _single_page(path: Path) -> tuple[photo.Page, str]:
    """The page of a photograph with one page, and its format."""
    picture = photo.read(path)
    if len(picture.pages) > 1:
        raise UnsupportedError(f"{path.name} has {len(picture.pages)} pages; a frame of a film is one picture")
    return picture.pages[0], picture.format


def _rate(fps: str, header_rate: float) -> Fraction:
    """Frames per second. A header's rounded 23.976 means 24000/1001."""
    if fps:
        return parse_rate(fps)
    return parse_rate(f"{header_rate:.3f}") if header_rate else DEFAULT_RATE


def parse_rate(text: str) -> Fraction:
    """`24`, `16.667`, `24000/1001`; 23.976, 29.97 and the like become 1000/1001 of a whole number."""
    rate = Fraction(text).limit_denominator(100_000)
    ntsc = Fraction(round(rate * 1001 / 1000) * 1000, 1001)
    return ntsc if rate.denominator > 1 and abs(rate - ntsc) < Fraction(1, 500) else rate


def read_frame(film: ImageSequence, path: Path) -> SequenceFrame:
    """Reads the file of one frame.

    Raises:
        UnreadableError, UnsupportedError, OSError: it cannot be read.
    """
    if film.codec == "dpx":
        header, codes = dpx.read(path)
        if film.exact and (header.bits, header.grey) != (film.depth, True):
            raise UnsupportedError(f"{header.bits} bits and {header.channels} channels; the first frame has others")
        table = dpx.light_table(header, film.curve)
        rgb = None if header.grey else (lambda: _srgb8_table(table)[codes])
        return SequenceFrame(header.height, header.width, lambda: _dpx_luma(film, codes, table), rgb)
    page, _ = _single_page(path)
    samples = page.samples
    own = None if samples.ndim == 2 else (lambda: samples)
    return SequenceFrame(page.height, page.width, lambda: _page_luma(film, page), own)


def _dpx_luma(film: ImageSequence, codes: Samples, table: FloatArray) -> Samples:
    if codes.ndim == 2:
        return codes if film.exact else srgb16_from_light(table)[codes]
    return srgb16_from_light_picture(light_of(codes, table))


def light_of(codes: Samples, table: FloatArray) -> FloatArray:
    """Codes (H, W) or (H, W, 3) -> luminance (H, W), 1 for white.

    Args:
        table: code -> light.
    """
    if codes.ndim == 2:
        return table[codes]
    red, green, blue = (table[codes[..., i]] for i in range(3))
    kr, kg, kb = (np.float32(w) for w in lab.LUMA)
    return np.asarray(kr * red + kg * green + kb * blue, np.float32)


def _page_luma(film: ImageSequence, page: photo.Page) -> Samples:
    """The luma codes of a photograph. A page that differs from the first in depth or kind is converted."""
    samples = page.samples
    if film.exact and samples.ndim == 2 and page.icc is None and 8 * samples.itemsize == film.depth:
        return samples
    lightness = luminance.lightness_function(samples.dtype, samples.ndim == 2, page.icc)(samples)
    wide = srgb16_from_light_picture(lab.luminance_from_lightness(torch.from_numpy(lightness)).numpy())
    return wide if film.depth == 16 else (wide >> 8).astype(np.uint8)


def srgb16_from_light(light: FloatArray) -> NDArray[np.uint16]:
    """Light, 1 for white -> sRGB codes of 16 bits."""
    encoded = lab.srgb_from_linear(torch.from_numpy(light).clamp(0, 1)) * (_CODES - 1)
    return encoded.round().numpy().astype(np.uint16)


def srgb16_from_light_picture(light: FloatArray) -> NDArray[np.uint16]:
    """`srgb16_from_light` of a whole picture, by a table over square roots, which is fine where the curve is steep."""
    roots = np.sqrt(light.clip(0, 1))
    return _srgb16_by_root()[np.rint(roots * np.float32(_CODES - 1)).astype(np.int32)]


@lru_cache(maxsize=1)
def _srgb16_by_root() -> NDArray[np.uint16]:
    return srgb16_from_light(np.square(np.linspace(0, 1, _CODES, dtype=np.float64)).astype(np.float32))


def pictures_at(film: ImageSequence, times: Sequence[float]) -> list[ByteArray]:
    """The pictures shown at these times, upright, sRGB (h, w, 3).

    Where a frame is missing or cannot be read, the readable frame before it stays; before the first, the first one
    after it.

    Args:
        times: seconds after the first frame.
    """
    paths = frame_files(film.path)
    numbers = list(paths)
    pictures = []
    for seconds in times:
        after = bisect_right(numbers, film.first + round(Fraction(seconds) * film.rate))
        candidates = (_picture(film, paths[number]) for number in [*reversed(numbers[:after]), *numbers[after:]])
        picture = next((picture for picture in candidates if picture is not None), None)
        if picture is not None:
            pictures.append(picture)
    return pictures


def _picture(film: ImageSequence, path: Path) -> ByteArray | None:
    """The file of one frame as a screen shows it; None for one that cannot be read."""
    try:
        if film.codec != "dpx":
            return photo.thumbnail(path, max(film.width, film.height), _NO_LIMIT)
        header, codes = dpx.read(path)
    except (PictureError, OSError):
        return None
    picture = _srgb8_table(dpx.light_table(header, film.curve))[codes]
    return picture if picture.ndim == 3 else np.dstack([picture] * 3)


def _srgb8_table(table: FloatArray) -> ByteArray:
    """Code -> light as code -> sRGB of 8 bits."""
    return (srgb16_from_light(table) >> 8).astype(np.uint8)


class ImageSequenceReader:
    """The frames of an image sequence; see `FrameReader`.

    Args:
        on_bad_frame: `repeat` the last good frame, or `grey`.
        start: index of the first frame that is needed.
    """

    def __init__(self, film: ImageSequence, on_bad_frame: str = "repeat", start: int = 0) -> None:
        self.film, self.trouble, self.packets = film, "", 0
        self.deinterlaced = self.last_ticks = self.breaks = 0
        self._grey_substitute, self._start = on_bad_frame == "grey", start
        self._files = list(frame_files(film.path).items())

    def __iter__(self) -> Iterator[Frame]:
        last: Samples | None = None
        for index, (number, path) in enumerate(self._files):
            self.packets += 1
            if index < self._start:
                continue
            pts = number - self.film.first
            frame = self._read(path)
            if frame is None:
                last = last if last is not None else self._last_good_before(index)
                yield Frame(index, pts, substitute_luma(self.film, last, self._grey_substitute), True, None)
                continue
            last = frame.luma()
            rgb = frame.rgb if index % COLOUR_EVERY == 0 else None
            yield Frame(index, pts, last, False, rgb_frame(rgb()) if rgb else None)

    def _read(self, path: Path) -> SequenceFrame | None:
        """None for a frame that is damaged.

        Raises:
            SourceReadError: the system cannot read it.
            PictureError: it is another kind of picture than the first.
        """
        try:
            frame = read_frame(self.film, path)
        except UnreadableError:
            return None
        except OSError as error:
            raise files.read_error(error, path.name) from error
        except PictureError as error:
            raise type(error)(f"{path.name}: {error}") from error
        if (frame.height, frame.width) != (self.film.height, self.film.width):
            raise UnsupportedError(
                f"{path.name} has {frame.width} x {frame.height} pixels, the film {self.film.width} x "
                f"{self.film.height}; name films of different sizes one by one"
            )
        return frame

    def _last_good_before(self, index: int) -> Samples | None:
        """The luma of the last readable frame before this one. A resumed run needs it at its start."""
        for _, path in reversed(self._files[:index]):
            if frame := self._read(path):
                return frame.luma()
        return None
