"""What can be told of a file without decoding it: whether it is a picture, and about how large it will be."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from PIL import Image

from archivecolor.errors import PictureError
from archivecolor.options import Strips
from archivecolor.photo.page import SUFFIXES
from archivecolor.photo.read import WHOLE, kind_of, opened
from archivecolor.photo.read_pillow import pillow_limit
from archivecolor.photo.read_tiff import measured

_OTHER_MAGICS = (b"GIF87a", b"GIF89a", b"BM")
"""Of what Pillow reads for us, and `kind_of` therefore does not name: GIF, BMP."""

_PILLOWS_OWN = 500.0


def is_picture(path: Path) -> bool:
    """Whether a file found in a folder is to be treated as a picture: by its suffix, else by its first bytes.

    A file with a picture's suffix counts whatever it holds: that it cannot be read must be said, not passed over.
    """
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            head = file.read(64)
        return head.startswith(_OTHER_MAGICS) or kind_of(head) != ""
    except (OSError, PictureError):
        return False


def measure(path: Path, strips: Strips = WHOLE, file: BinaryIO | None = None) -> float:
    """About how many 8-bit megapixels reading a file holds, for planning memory; a guess from the file's size where
    the header cannot be read. `read` does the exact check.

    Args:
        strips: as for `read`.
        file: the file, if it is open already.

    Raises:
        OSError: there is no such file.
    """
    try:
        with opened(path, file) as source:
            head = source.read(64)
            kind = kind_of(head)
            if kind == "tiff":
                return measured(source, strips)
            source.seek(0)
            with pillow_limit(1e9 if kind else _PILLOWS_OWN), Image.open(source) as image:
                deep = image.mode[0] in "IF" or kind == "jp2" or (kind == "png" and head[24] == 16)
                return image.width * image.height * (1 + deep) / 1e6
    except Exception:  # any decoder may raise anything on a damaged header
        return path.stat().st_size / 1e6
