"""Writes JPEG: the samples with Pillow, and the segments that Pillow does not write."""

from __future__ import annotations

from dataclasses import replace

from archivecolor.photo import extended_xmp, jpeg_segments, photoshop
from archivecolor.photo.encoding import (
    Encoded,
    dropped_notes,
    encode_with_pillow,
    exif_block,
    image,
    photoshop_block,
    to_8_bit,
    whole_numbers,
)
from archivecolor.photo.page import Page, Photo

_SEGMENT = 65_500
"""A segment holds 65533 bytes with its heading."""
_JFIF_UNIT = 13
"""The place of the unit of the resolution, in a file that begins with JFIF's segment."""


def encode_jpeg(page: Page, photo: Photo, quality: int, software: str) -> Encoded:
    page, notes = to_8_bit(page, "JPEG")
    notes += dropped_notes(page, "JPEG", transparency=page.alpha)
    block, more = exif_block(page, software, for_jpeg=True)
    exif_pieces = _pieces(b"Exif\0\0", block or b"")
    if len(exif_pieces) > 1:
        more += ("EXIF of over 64 KiB written in several segments, which few programs read",)
    comments = [comment for comment in page.comments if len(comment) <= _SEGMENT]
    if len(comments) < len(page.comments):
        more += ("comment not carried by JPEG: over 64 KiB",)
    xmp, packets, xmp_notes = _jpeg_xmp(page.xmp)
    extra = (
        *((jpeg_segments.APP1, piece) for piece in exif_pieces[1:]),
        *((jpeg_segments.APP13, piece) for piece in _pieces(photoshop.HEADING, photoshop_block(page))),
        *((jpeg_segments.APP1, packet) for packet in packets),
        *((each.content[1], each.content[4:]) for each in page.extras if each.format == "jpeg"),
        *((jpeg_segments.COMMENT, comment) for comment in comments[:-1]),
    )
    options = {  # optimal Huffman tables would make a slightly smaller file, and encoding much slower
        "quality": quality,
        "subsampling": 0,  # chroma at full size, because the colour is what is new in the picture
        "dpi": page.dpi or (whole_numbers(page.density) if page.density else None),
        "exif": next(iter(exif_pieces), None),
        "xmp": xmp,
        "icc_profile": page.icc,
        "comment": next(reversed(comments), None),
        "extra": b"".join(jpeg_segments.segment(*part) for part in extra) or None,
    }
    data = encode_with_pillow(image(replace(page, alpha=None)), "JPEG", options)
    if page.density and not page.dpi:
        data = data[:_JFIF_UNIT] + b"\0" + data[_JFIF_UNIT + 1 :]
    return data, notes + more + xmp_notes


def _pieces(heading: bytes, content: bytes) -> list[bytes]:
    """The contents of the segments for a block, each with its heading."""
    return [heading + content[at : at + _SEGMENT] for at in range(0, len(content), _SEGMENT)]


def _jpeg_xmp(packet: bytes | None) -> tuple[bytes | None, list[bytes], tuple[str, ...]]:
    """A packet that fits into one segment; else the contents of the segments for it, and notes."""
    if packet is None or len(packet) <= _SEGMENT:
        return packet, [], ()
    parts = extended_xmp.split(packet, _SEGMENT)
    if parts is None:
        return None, [], ("XMP not carried by JPEG: over 64 KiB",)
    first, extension = parts
    return None, [extended_xmp.XMP + first, *extended_xmp.pieces_of(extension)], ()
