"""Pictures that are open on the desk: before, after and preview, served in tiles at every zoom.

A picture is a photograph, one page of a file with several, or one frame of a film. It is decoded once. Each zoom level
has half the rows and columns of the level below; level 0 is the picture at full size. The preview is merged for the
rows that are looked at, and for no others.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from archivecolor import photo
from archivecolor.errors import PictureError
from archivecolor.film.thumbnails import frames_at
from archivecolor.imaging import luminance
from archivecolor.imaging.arrays import ByteArray, Samples
from archivecolor.imaging.merge import LuminanceMerge
from archivecolor.imaging.orientation import to_upright
from archivecolor.imaging.resize import resize
from archivecolor.inference.colorizer import Prediction
from archivecolor.options import FilmOptions
from archivecolor.photo import Page, Photo

TILE = 512
"""Side of a tile in pixels."""
_QUALITY = 92
MAX_MEGAPIXELS = 250.0
"""Of all pages of a file that is opened. Before and after, each with its reduced copies, are in memory."""
_VERSIONS = itertools.count(1)
_BAND_BYTES = 192 << 20
"""Memory for rows of tiles that were made already."""
_SWATCHES = 8
_SWATCH_SIDE = 96


class Side(StrEnum):
    """Which of a picture's versions is shown."""

    BEFORE = "before"
    AFTER = "after"
    PREVIEW = "preview"


@dataclass(frozen=True)
class Decoded:
    """A picture at full size, upright."""

    samples: Samples
    icc: bytes | None = None
    photo: Photo | None = None
    """The file it was read from, with a single sample of each page; None for a frame of a film."""
    labels: tuple[str, ...] = ("",)
    """Of all pictures in the file: its pages, or the frames that stand for a film."""


def read_page(path: Path, index: int = 0) -> Decoded:
    """One page of a picture file. Pages that are masks or reduced copies of others do not count.

    Raises:
        PictureError: the file cannot be read, is too large, or has no such page.
    """
    if (megapixels := photo.measure(path)) > MAX_MEGAPIXELS:
        raise PictureError(
            f"{path}: {megapixels:.0f} megapixels are more than the desk holds; its file is linked below"
        )
    whole = photo.read(path, MAX_MEGAPIXELS)
    pages = [page for page in whole.pages if not page.is_plate]
    if not 0 <= index < len(pages):
        raise PictureError(f"{path}: has no page {index + 1}")
    page = pages[index]
    samples = np.ascontiguousarray(to_upright(page.samples, page.orientation, (0, 1)))
    labels = tuple(f"page {number} of {len(pages)}" for number in range(1, len(pages) + 1))
    return Decoded(samples, page.icc, replace(whole, pages=tuple(map(_corner, whole.pages))), labels)


def read_frame(path: Path, times: Sequence[float], index: int, options: FilmOptions) -> Decoded:
    """One of the frames that stand for a film.

    Args:
        times: of all these frames, seconds.
        options: how an image sequence is read.

    Raises:
        PictureError: the film cannot be read, or has no such frame.
    """
    if not 0 <= index < len(times):
        raise PictureError(f"{path}: frame {index + 1} is not shown")
    labels = tuple(f"frame at {int(time) // 60}:{time % 60:05.2f}" for time in times)
    return Decoded(frames_at(path, times[index : index + 1], options)[0], labels=labels)


class OpenPicture:
    """One picture at full size, upright. Safe to use from several threads.

    Args:
        source: the picture.
        output: reads the picture that a run made of it; None where there is none.
        name: of its input.
    """

    def __init__(self, source: Decoded, output: Callable[[], Decoded] | None = None, name: str = "") -> None:
        self.name = name
        self.photo, self.icc, self.labels = source.photo, source.icc, source.labels
        self.levels = _levels(source.samples)
        self.predictions: dict[object, Prediction] = {}
        """By the model and the options that the network sees."""
        self._output = output
        self._after: list[Samples] | None = None
        self._after_icc: bytes | None = None
        self._merge: LuminanceMerge | None = None
        self.version = 0
        """Of the preview; 0 as long as there is none. No two previews have the same, in whatever picture."""
        self._bands: OrderedDict[tuple[object, ...], ByteArray] = OrderedDict()
        self._turn = threading.RLock()

    @property
    def height(self) -> int:
        return int(self.levels[0].shape[0])

    @property
    def width(self) -> int:
        return int(self.levels[0].shape[1])

    def predict(self, key: object, prediction_of: Callable[[Samples, bytes | None], Prediction]) -> Prediction:
        """The network's answer, asked for once for each key.

        Args:
            prediction_of: (samples, ICC profile) -> the answer.
        """
        with self._turn:
            if key not in self.predictions:
                self.predictions[key] = prediction_of(self.levels[0], self.icc)
            return self.predictions[key]

    def preview(self, merge: LuminanceMerge) -> int:
        """Shows these colours as the preview. Returns their version."""
        with self._turn:
            self._merge, self.version = merge, next(_VERSIONS)
            for key in [key for key in self._bands if key[0] is Side.PREVIEW]:
                del self._bands[key]
            return self.version

    def tile(self, side: Side, level: int, column: int, row: int) -> bytes:
        """One tile as a JPEG; those at the right and lower edges may be smaller than `TILE`.

        Raises:
            PictureError: there is no such tile, or the output cannot be read.
        """
        if not (0 <= level < len(self.levels)) or column < 0 or row < 0:
            raise PictureError(f"no tile {level}/{column}/{row}")
        band = self._band(side, level, row)
        part = band[:, column * TILE : (column + 1) * TILE]
        if 0 in part.shape:
            raise PictureError(f"no tile {level}/{column}/{row}")
        encoded = BytesIO()
        Image.fromarray(np.ascontiguousarray(part)).save(encoded, "jpeg", quality=_QUALITY, subsampling=0)
        return encoded.getvalue()

    def colour_at(self, x: int, y: int, side: Side = Side.AFTER) -> str:
        """The mean colour around a pixel, as `#rrggbb`.

        Raises:
            PictureError: it lies outside the picture.
        """
        if not (0 <= x < self.width and 0 <= y < self.height):
            raise PictureError(f"{x},{y}: lies outside the picture of {self.width} x {self.height} pixels")
        band = self._band(side, 0, y // TILE)
        row = y % TILE
        around = band[max(0, row - 2) : row + 3, max(0, x - 2) : x + 3].reshape(-1, 3).mean(axis=0)
        return _hex(around)

    def swatches(self) -> list[str]:
        """The colours that fill most of the picture as it is shown, `#rrggbb`, most frequent first."""
        level = len(self.levels) - 1
        side = Side.PREVIEW if self._merge else Side.AFTER
        rows = range(-(-self.levels[level].shape[0] // TILE))
        shown = np.concatenate([self._band(side, level, row) for row in rows])
        small = cv2.resize(shown, (_SWATCH_SIDE, _SWATCH_SIDE), interpolation=cv2.INTER_AREA)
        pixels = np.asarray(small.reshape(-1, 3), np.float32)
        criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
        count = min(_SWATCHES, len(np.unique(pixels, axis=0)))
        cv2.setRNGSeed(0)
        _, labels, centres = cv2.kmeans(pixels, count, np.empty(0), criteria, 1, cv2.KMEANS_PP_CENTERS)
        order = np.argsort(-np.bincount(labels.ravel(), minlength=count))
        return [_hex(centres[index]) for index in order]

    def _band(self, side: Side, level: int, row: int) -> ByteArray:
        """sRGB (h, W, 3): the rows of one row of tiles."""
        with self._turn:
            key = (side, level, row)
            if key not in self._bands:
                self._bands[key] = self._rows(side, level, row * TILE)
                while sum(band.nbytes for band in self._bands.values()) > _BAND_BYTES and len(self._bands) > 1:
                    self._bands.popitem(last=False)
            self._bands.move_to_end(key)
            return self._bands[key]

    def _rows(self, side: Side, level: int, top: int) -> ByteArray:
        samples = self.levels[level]
        if side is Side.AFTER and self._output is not None:
            return luminance.to_srgb8(self._after_levels()[level][top : top + TILE], self._after_icc)
        part = np.ascontiguousarray(samples[top : top + TILE])
        if side is not Side.PREVIEW or self._merge is None or not len(part):
            return luminance.to_srgb8(part, self.icc)
        height, width = samples.shape[:2]
        merge = replace(self._merge, chroma=replace(self._merge.chroma, height=height, width=width))
        return luminance.to_srgb8(merge.rows(part, top)[0], None)

    def _after_levels(self) -> list[Samples]:
        if self._after is None and self._output is not None:
            result = self._output()
            if result.samples.shape[:2] != (self.height, self.width):
                raise PictureError("the result has another size than its source; run again")
            self._after, self._after_icc = _levels(result.samples), result.icc
        return self._after or self.levels


class OpenPictures:
    """The pictures that were opened last."""

    def __init__(self, count: int = 2) -> None:
        self._count, self._turn = count, threading.Lock()
        self._open: OrderedDict[str, OpenPicture] = OrderedDict()

    def open(self, key: str, make: Callable[[], OpenPicture]) -> OpenPicture:
        """The picture of this key; it is made if it is not open."""
        with self._turn:
            if key not in self._open:
                self._open[key] = make()
                while len(self._open) > self._count:
                    self._open.popitem(last=False)
            self._open.move_to_end(key)
            return self._open[key]

    def get(self, key: str) -> OpenPicture:
        """The open picture of this key.

        Raises:
            PictureError: it is not open any more.
        """
        with self._turn:
            picture = self._open.get(key)
        if picture is None:
            raise PictureError("this picture is not open any more; open it again")
        return picture


def _corner(page: Page) -> Page:
    """A page with its first sample only."""
    return replace(page, samples=page.samples[:1, :1].copy(), alpha=None if page.alpha is None else page.alpha[:1, :1])


def _levels(samples: Samples) -> list[Samples]:
    """The picture at full size, at half of it, and so on, down to what one tile holds."""
    levels = [samples]
    while max(levels[-1].shape[:2]) > TILE:
        height, width = levels[-1].shape[:2]
        levels.append(resize(levels[-1], -(-height // 2), -(-width // 2)))
    return levels


def _hex(rgb: Samples) -> str:
    return "#" + "".join(f"{round(float(value)):02x}" for value in rgb)
