"""Picture files in: the content decides the kind, and every sample keeps its depth."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from archivecolor.errors import PictureError, UnreadableError, UnsupportedError
from archivecolor.options import Strips
from archivecolor.photo import limits
from archivecolor.photo.page import FORMAT_SUFFIXES, READ_ONLY_SUFFIXES, Photo
from archivecolor.photo.read_exact import read_jp2, read_png, read_pnm
from archivecolor.photo.read_pillow import read_avif, read_heic, read_jpeg, read_webp, read_with_pillow
from archivecolor.photo.read_psd import read_psd
from archivecolor.photo.read_tiff import read_tiff

_FOREIGN = (
    (b"%PDF", "a PDF, not a picture: extract its pictures first, for example with pdfimages"),
    (b"%!PS", "a PostScript drawing, not a photograph: render it to TIFF first"),
    (b"\xc5\xd0\xd3\xc6", "an EPS drawing, not a photograph: render it to TIFF first"),
    (b"AT&TFORM", "a DjVu document: export its pages as TIFF first"),
    (b"\xff\x0a", "JPEG XL cannot be read yet: convert it to PNG first, for example with djxl"),
    (b"\0\0\0\x0cJXL ", "JPEG XL cannot be read yet: convert it to PNG first, for example with djxl"),
    (b"FUJIFILMCCD-RAW", "a camera raw file: develop it to TIFF first"),
    (b"8BPB", "a large Photoshop document (PSB): save it as TIFF first"),
    (b"PK\x03\x04", "a ZIP archive, not a picture: unpack it first"),
    (b"\x1aE\xdf\xa3", "a film, not a photograph"),
)
WHOLE = Strips()
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_JUNK_SEARCHED = 4096

Reader = Callable[[bytes, float], Photo]
_READERS: dict[str, Reader] = {
    "jpeg": read_jpeg,
    "png": read_png,
    "webp": read_webp,
    "jp2": read_jp2,
    "avif": read_avif,
    "heic": read_heic,
    "pnm": read_pnm,
    "psd": read_psd,
}


def read(path: Path, max_megapixels: float = 500, strips: Strips = WHOLE, file: BinaryIO | None = None) -> Photo:
    """Reads a picture file: pages with samples (H, W) or (H, W, 3) in uint8 or uint16, and their envelopes.

    Args:
        max_megapixels: the largest picture that is read, by its header.
        strips: from what size on a TIFF's pages are given as a reduced copy and a `scan`.
        file: the file, if it is open already; it stays open.

    Raises:
        UnreadableError: empty, truncated, damaged, not permitted, or not a picture.
        UnsupportedError: a picture of a kind that is not handled.
        TooLargeError: over `max_megapixels` by its header (all pages of a file together).
    """
    limits.quiet()
    try:
        return _read(path, max_megapixels, strips, file)
    except PictureError:
        raise
    except Exception as error:
        # a decoder fed a damaged file may raise anything at all; the batch must go on and the row must say why
        raise limits.plain(error) from error


def _read(path: Path, max_megapixels: float, strips: Strips, file: BinaryIO | None) -> Photo:
    _check_file(path)
    with opened(path, file) as source:
        kind = kind_of(source.read(_JUNK_SEARCHED))
        source.seek(0)
        if kind == "tiff":
            photo = read_tiff(path, source, max_megapixels, strips)
        else:
            photo = _READERS.get(kind, read_with_pillow)(source.read(), max_megapixels)
    return _noted(replace(photo, path=path), _suffix_note(path, photo.format))


@contextmanager
def opened(path: Path, file: BinaryIO | None) -> Iterator[BinaryIO]:
    """A file at its first byte: the one that is open already, which stays open, or the path opened for the block."""
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


def kind_of(head: bytes) -> str:
    """The format's name by the first bytes; "" for whatever Pillow may know."""
    for magic, message in _FOREIGN:
        if head.startswith(magic):
            raise UnsupportedError(message)
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head[:2] in (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6") and head[2:3] in b" \t\r\n#":
        return "pnm"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        return _isobmff_kind(head)
    magics = {
        b"\xff\xd8\xff": "jpeg",
        b"\x89PNG": "png",
        b"\0\0\0\x0cjP  ": "jp2",
        b"\xff\x4f\xff\x51": "jp2",
        b"8BPS\0\1": "psd",
    }
    return next((kind for magic, kind in magics.items() if head.startswith(magic)), "")


def _isobmff_kind(head: bytes) -> str:
    size = int.from_bytes(head[:4], "big")
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(size, len(head)), 4))}
    if brands & _AVIF_BRANDS:
        return "avif"
    if brands & _HEIF_BRANDS:
        return "heic"
    if head[8:12] == b"crx ":
        raise UnsupportedError("a camera raw file: develop it to TIFF first")
    raise UnsupportedError("a film, not a photograph")


def _suffix_note(path: Path, kind: str) -> tuple[str, ...]:
    suffix = path.suffix.lower()
    named = {
        name for table in (FORMAT_SUFFIXES, READ_ONLY_SUFFIXES) for name, group in table.items() if suffix in group
    }
    if not named or kind in named:
        return ()
    return (f"the file is {kind.upper()} although its name ends in {path.suffix}",)


def _noted(photo: Photo, notes: tuple[str, ...]) -> Photo:
    if not notes:
        return photo
    first = replace(photo.pages[0], notes=notes + photo.pages[0].notes)
    return replace(photo, pages=(first, *photo.pages[1:]))
