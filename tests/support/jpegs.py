"""Small JPEGs with segments of their own."""

from __future__ import annotations

import io
import struct
from typing import Any

from PIL import Image

from archivecolor.photo import Page, jpeg_segments, photoshop
from archivecolor.photo.read_jpeg import read_jpeg
from support.pages import smooth

APP13, COMMENT = jpeg_segments.APP13, jpeg_segments.COMMENT


def plain(**options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(options.pop("samples", smooth(16, 24))).save(out, "JPEG", **options)
    return out.getvalue()


def jpeg(*segments: tuple[int, bytes], picture: bytes | None = None, tail: bytes = b"") -> bytes:
    """A JPEG with these (marker, content) before its first segment, and with a tail behind its end."""
    data = picture or plain()
    return data[:2] + b"".join(jpeg_segments.segment(*segment) for segment in segments) + data[2:] + tail


def page_of(*segments: tuple[int, bytes], **options: Any) -> Page:
    return read_jpeg(jpeg(*segments, **options), 100).pages[0]


def resource(number: int, content: bytes, name: bytes = b"") -> bytes:
    return photoshop.packed(photoshop.Resource(b"8BIM", number, name, content))


def iptc(dataset: int, value: bytes, record: int = 2) -> bytes:
    return bytes((0x1C, record, dataset)) + struct.pack(">H", len(value)) + value
