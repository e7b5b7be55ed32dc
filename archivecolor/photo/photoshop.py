"""Photoshop's image resources (8BIM blocks), as PSD, JPEG's APP13, TIFF's tag 34377 and PNG's raw profiles have them.

The numbers are those of Adobe's Photoshop File Formats Specification.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from archivecolor.photo import exif

HEADING = b"Photoshop 3.0\0"
RESOLUTION, IPTC, ICC, VERSION, EXIF, XMP = 0x3ED, 0x404, 0x40F, 0x421, 0x422, 0x424
_SIGNATURES = (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR")
_GUIDES, _COPYRIGHT_FLAG, _URL, _IPTC_DIGEST = 1032, 1034, 1035, 1061
_STATE = frozenset(range(1000, 1100)) - {_GUIDES, _COPYRIGHT_FLAG, _URL, _IPTC_DIGEST}
"""Resources with a field of their own in `Page`, small copies of the old picture, and settings of the program."""
_CHARACTER_SET = b"\x1c\x01\x5a"


class Resource(NamedTuple):
    """One image resource."""

    signature: bytes
    number: int
    name: bytes
    content: bytes


def resources(block: bytes) -> Iterator[Resource]:
    """The resources of a block, with or without its heading, up to the first damaged one."""
    at = len(HEADING) if block.startswith(HEADING) else 0
    while block[at : at + 4] in _SIGNATURES and at + 12 <= len(block):
        signature, number, name_size = block[at : at + 4], int.from_bytes(block[at + 4 : at + 6], "big"), block[at + 6]
        size_at = at + 6 + (name_size + 2) // 2 * 2
        size = int.from_bytes(block[size_at : size_at + 4], "big")
        content = block[size_at + 4 : size_at + 4 + size]
        if size_at + 4 > len(block) or len(content) < size:
            return
        yield Resource(signature, number, block[at + 7 : at + 7 + name_size], content)
        at = size_at + 4 + size + size % 2


def packed(resource: Resource) -> bytes:
    """The resource as bytes, with its name and content padded to even lengths."""
    name = bytes([len(resource.name)]) + resource.name
    head = resource.signature + struct.pack(">H", resource.number) + name + bytes(len(name) % 2)
    return head + struct.pack(">I", len(resource.content)) + resource.content + bytes(len(resource.content) % 2)


def of_segments(contents: Sequence[bytes]) -> tuple[list[Resource], tuple[str, ...]]:
    """The resources of a JPEG's APP13 segments: one block that is cut into pieces, or several whole blocks. With a
    note if they are damaged."""
    joined = b"".join(content.removeprefix(HEADING) for content in contents)
    alone = [resource for content in contents for resource in resources(content)]
    items = max(list(resources(joined)), alone, key=len)
    is_whole = sum(len(packed(resource)) for resource in items) >= len(joined.rstrip(b"\0"))
    return items, () if is_whole else ("damaged Photoshop data (APP13) carried in part",)


def contents(items: Iterable[Resource]) -> dict[int, bytes]:
    """Number -> content, of the first resource of each number."""
    return {resource.number: resource.content for resource in reversed(list(items))}


def dpi(resolution: bytes) -> tuple[float, float] | None:
    """Pixels per inch from a resolution resource: two 16.16 numbers per inch, whatever unit is shown."""
    if len(resolution) < 12:
        return None
    x, _, _, y = struct.unpack(">IHHI", resolution[:12])
    return exif.sensible_dpi(x / 65536, y / 65536)


def iptc(items: Iterable[Resource]) -> tuple[bytes | None, tuple[str, ...]]:
    """The IPTC records of all IPTC resources, and a note if they cannot stand together."""
    parts = [resource.content for resource in items if resource.number == IPTC and resource.content]
    parts = list(dict.fromkeys(_without_padding(part) if len(parts) > 1 else part for part in parts))
    if len({_character_set(part) for part in parts}) > 1:
        return parts[0], ("second IPTC block in another character set not carried",)
    return b"".join(parts) or None, ()


def _without_padding(records: bytes) -> bytes:
    """IPTC-IIM records (1C, record, dataset, length, value) without what follows the last one."""
    at = 0
    while records[at : at + 1] == b"\x1c" and at + 5 <= len(records):
        size = int.from_bytes(records[at + 3 : at + 5], "big")
        if size & 0x8000:  # the length of the length of a long value
            size, at = int.from_bytes(records[at + 5 : at + 5 + (size & 0x7FFF)], "big"), at + (size & 0x7FFF)
        at += 5 + size
    return records[:at]


def _character_set(records: bytes) -> bytes:
    at = records.find(_CHARACTER_SET)
    return b"" if at < 0 else records[at + 5 : at + 5 + int.from_bytes(records[at + 3 : at + 5], "big")]


def carried(items: Iterable[Resource]) -> bytes | None:
    """The resources that stay true of the coloured picture: clipping paths, guides, rights, and unknown ones."""
    return b"".join(packed(resource) for resource in items if resource.number not in _STATE) or None


def block(records: bytes | None, further: bytes | None) -> bytes:
    """IPTC records and packed resources as one block, without its heading; empty for neither."""
    return (packed(Resource(b"8BIM", IPTC, b"", records)) if records else b"") + (further or b"")
