"""Reads picture files. The content decides the kind, and every sample keeps its depth."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from archivecolor.errors import PictureError, UnreadableError, UnsupportedError
from archivecolor.options import Strips
from archivecolor.photo import kinds, limits
from archivecolor.photo.page import FORMAT_SUFFIXES, READ_ONLY_SUFFIXES, Photo
from archivecolor.photo.read_exact import read_jp2, read_pnm
from archivecolor.photo.read_heif import read_avif, read_heic
from archivecolor.photo.read_jpeg import read_jpeg, read_jpeg_after_junk
from archivecolor.photo.read_jxl import read_jxl
from archivecolor.photo.read_pillow import read_photo_cd, read_webp, read_with_pillow
from archivecolor.photo.read_png import read_png
from archivecolor.photo.read_psd import read_psd
from archivecolor.photo.read_tiff import read_tiff

_REFUSALS = {
    "pdf": "a PDF, not a picture: extract its pictures first, for example with pdfimages",
    "postscript": "a PostScript drawing, not a photograph: render it to TIFF first",
    "eps": "an EPS drawing, not a photograph: render it to TIFF first",
    "djvu": "a DjVu document: export its pages as TIFF first",
    "raw": "a camera raw file: develop it to TIFF first",
    "psb": "a large Photoshop document (PSB): save it as TIFF first",
    "zip": "a ZIP archive, not a picture: unpack it first",
    "film": "a film, not a photograph",
    "audio": "a sound recording, not a photograph",
}
NO_STRIPS = Strips()
"""Every TIFF is read whole."""

Reader = Callable[[bytes, float], Photo]
_READERS: dict[str, Reader] = {
    "jpeg": read_jpeg,
    "png": read_png,
    "webp": read_webp,
    "jp2": read_jp2,
    "avif": read_avif,
    "heic": read_heic,
    "jxl": read_jxl,
    "pcd": read_photo_cd,
    "pnm": read_pnm,
    "psd": read_psd,
}


def read(path: Path, max_megapixels: float = 500, strips: Strips = NO_STRIPS, file: BinaryIO | None = None) -> Photo:
    """Reads a picture file: pages with samples (H, W) or (H, W, 3) in uint8 or uint16, and their metadata.

    Args:
        max_megapixels: the largest picture that is read, by its header.
        strips: the size above which a TIFF's pages have a reduced copy and a `scan`.
        file: the file, if it is open already; it stays open.

    Raises:
        UnreadableError: empty, truncated, damaged, or not a picture.
        SourceReadError: the system cannot read it.
        UnsupportedError: a picture of a kind that is not handled.
        TooLargeError: over `max_megapixels` by its header (all pages of a file together).
    """
    limits.silence_libraries()
    try:
        return _read(path, max_megapixels, strips, file)
    except PictureError:
        raise
    except Exception as error:
        # a decoder may raise anything on a damaged file; the batch must continue and the row must say why
        raise limits.as_picture_error(error) from error


def _read(path: Path, max_megapixels: float, strips: Strips, file: BinaryIO | None) -> Photo:
    _check_file(path)
    with open_source(path, file) as source:
        kind = supported_kind(source.read(kinds.HEAD_BYTES))
        source.seek(0)
        if kind == "tiff":
            photo = read_tiff(path, source, max_megapixels, strips)
        else:
            photo = _READERS.get(kind, _read_other)(source.read(), max_megapixels)
    return _with_notes(replace(photo, path=path), _suffix_note(path, photo.format))


def _read_other(data: bytes, max_megapixels: float) -> Photo:
    """A kind that only Pillow may know, or a JPEG behind a few other bytes."""
    try:
        return read_with_pillow(data, max_megapixels)
    except UnreadableError:
        photo = read_jpeg_after_junk(data, max_megapixels)
        if photo is None:
            raise
        return photo


@contextmanager
def open_source(path: Path, file: BinaryIO | None) -> Iterator[BinaryIO]:
    """Yields a file at its first byte: `file`, which stays open, or else `path`, opened for the block."""
    if file is None:
        with path.open("rb") as own:
            yield own
    else:
        file.seek(0)
        yield file


def _check_file(path: Path) -> None:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableError("a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError("a device or pipe, not a file")
    if status.st_size == 0:
        raise UnreadableError("the file is empty (0 bytes): copy it again from its source")


def supported_kind(head: bytes) -> str:
    """The kind of a picture by its first bytes; "" for a kind that only Pillow may know.

    Raises:
        UnsupportedError: the file is of a known kind that is not read.
    """
    kind = kinds.kind_of(head)
    if kind in _REFUSALS:
        raise UnsupportedError(_REFUSALS[kind])
    return kind


def _suffix_note(path: Path, kind: str) -> tuple[str, ...]:
    suffix = path.suffix.lower()
    named = {
        name for table in (FORMAT_SUFFIXES, READ_ONLY_SUFFIXES) for name, group in table.items() if suffix in group
    }
    if not named or kind in named:
        return ()
    return (f"the file is {kind.upper()} although its name ends in {path.suffix}",)


def _with_notes(photo: Photo, notes: tuple[str, ...]) -> Photo:
    if not notes:
        return photo
    first = replace(photo.pages[0], notes=notes + photo.pages[0].notes)
    return replace(photo, pages=(first, *photo.pages[1:]))
