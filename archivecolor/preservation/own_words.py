"""What a picture says of itself: its title and its rights, from its header alone."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from PIL import Image, IptcImagePlugin

from archivecolor.errors import ArchivecolorError
from archivecolor.provenance.disclosure import stated_values
from archivecolor.provenance.xmp import AS_CP1252

_DOCUMENT_NAME, _XMP, _COPYRIGHT = 269, 700, 33432
_OBJECT_NAME, _COPYRIGHT_NOTICE = (2, 5), (2, 116)
"""TIFF's tags and IPTC's records."""


class OwnWords(NamedTuple):
    """Empty where the picture says nothing."""

    title: str = ""
    rights: str = ""


def read(path: Path, is_film: bool = False) -> OwnWords:
    """The title and the rights that a picture or a film states, first in XMP, then in IPTC, then in EXIF.

    What cannot be read counts as not stated.
    """
    with suppress(OSError, ArchivecolorError):
        return _of_film(path) if is_film else _of_picture(path)
    return OwnWords()


def _of_picture(path: Path) -> OwnWords:
    try:
        with Image.open(path) as image:  # the header alone
            tags, records = image.getexif(), IptcImagePlugin.getiptcinfo(image) or {}
            packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or tags.get(_XMP)
    except Exception:  # a decoder may raise anything, and this is no check of the picture
        return OwnWords()
    packet = packet.encode() if isinstance(packet, str) else packet
    return OwnWords(
        _stated(packet, "dc:title") or _text(records.get(_OBJECT_NAME)) or _text(tags.get(_DOCUMENT_NAME)),
        _stated(packet, "dc:rights") or _text(records.get(_COPYRIGHT_NOTICE)) or _text(tags.get(_COPYRIGHT)),
    )


def _stated(packet: bytes | None, name: str) -> str:
    return next(iter(stated_values(packet, name)), "")


def _text(value: object) -> str:
    if isinstance(value, list):
        value = value[0] if value else ""
    if isinstance(value, bytes):
        value = value.decode("utf-8", AS_CP1252)
    return value.strip("\0 \n") if isinstance(value, str) else ""


def _of_film(path: Path) -> OwnWords:
    from archivecolor.film.header import opened

    with opened(path) as container:
        metadata = {key.lower(): value for key, value in container.metadata.items()}
    return OwnWords(metadata.get("title", ""), metadata.get("copyright", ""))
