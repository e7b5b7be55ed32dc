"""The segments of a JPEG file (ITU-T T.81, annex B): its metadata, the picture's own data, and what follows them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from archivecolor.errors import UnreadableError, UnsupportedError
from archivecolor.photo import limits

START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN, COMMENT = 0xD8, 0xD9, 0xDA, 0xFE
APP0, APP1, APP2, APP13 = 0xE0, 0xE1, 0xE2, 0xED
FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
MAX_CONTENT = 65_533
"""Bytes of content in one segment."""
_APP14, _APP15, _NUMBER_OF_LINES = 0xEE, 0xEF, 0xDC
_ALONE = (0x01, START_OF_IMAGE, END_OF_IMAGE)
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker: neither a stuffed byte, nor a restart marker, nor a fill byte."""
_MAX_METADATA = 10_000
_MAX_SCANS = 200
"""A scan for each coefficient of three channels makes 190. The time to decode a picture grows with its scans."""


class Segment(NamedTuple):
    """One marker and its segment; `end` is exclusive."""

    marker: int
    start: int
    """Of the marker."""
    end: int

    def content(self, data: bytes) -> bytes:
        """What follows the marker and the length."""
        return data[self.start + 4 : self.end]


class Frame(NamedTuple):
    """The frame header (B.2.2)."""

    marker: int
    bits: int
    width: int
    height: int
    """Also from a DNL segment (B.2.5), if the header itself says 0."""
    channels: int


@dataclass(frozen=True)
class Jpeg:
    """A JPEG file in its parts."""

    frame: Frame | None
    metadata: tuple[tuple[int, bytes], ...]
    """(marker, content) of each APPn and COM segment, in the order of the file."""
    picture: bytes
    """A JPEG that decodes to the same samples, without metadata. JFIF's and Adobe's segments are in it, because they
    say what the channels are."""
    trailer: bytes
    """What follows the end of the picture; empty for a file that is cut off."""


def segments(data: bytes) -> Iterator[Segment]:
    """Every segment of a JPEG from the first marker after its beginning to the end mark.

    Bytes between segments are skipped, as libjpeg does. The last segment of a file that is cut off ends with the file.
    """
    at = 2
    while (match := _MARKER.search(data, at)) is not None:
        marker, start = data[match.end() - 1], match.start()
        size = 0 if marker in _ALONE else int.from_bytes(data[start + 2 : start + 4], "big")
        at = min(start + 2 + size, len(data))
        yield Segment(marker, start, max(at, start + 2))
        if marker == END_OF_IMAGE:
            return


def split(data: bytes) -> Jpeg:
    """The parts of a JPEG that begins with the data.

    Raises:
        UnreadableError: it ends inside its metadata.
        UnsupportedError: it has more segments or scans than a photograph has.
    """
    frame, frame_at, lines, scans, end = None, 0, 0, 0, len(data)
    metadata: list[tuple[int, bytes]] = []
    cut: list[Segment] = []
    for segment in segments(data):
        marker = segment.marker
        if APP0 <= marker <= _APP15 or marker == COMMENT:
            content = segment.content(data)
            if scans and data[segment.end : segment.end + 1] != b"\xff":
                continue  # damaged data of a scan that look like a segment
            metadata.append((marker, content))
            _check_segment(data, segment, len(metadata))
            if not scans and not _is_about_samples(marker, content):
                cut.append(segment)
        elif marker in FRAMES and frame is None:
            frame, frame_at = _frame(marker, segment.content(data)), segment.start
        elif marker == START_OF_SCAN:
            scans += 1
            if scans > _MAX_SCANS:
                raise UnsupportedError(f"over {_MAX_SCANS} scans, which no photograph needs: save it again as JPEG")
        elif marker == _NUMBER_OF_LINES:
            lines = int.from_bytes(segment.content(data)[:2], "big")
            cut.append(segment)
        elif marker == END_OF_IMAGE:
            end = segment.end
    picture = _without(data, cut, end)
    if frame is not None and frame.height == 0 and lines:
        frame = frame._replace(height=lines)
        at = frame_at + 5 - sum(segment.end - segment.start for segment in cut if segment.end <= frame_at)
        picture = picture[:at] + lines.to_bytes(2, "big") + picture[at + 2 :]
    return Jpeg(frame, tuple(metadata), picture, data[end:])


def _check_segment(data: bytes, segment: Segment, count: int) -> None:
    if int.from_bytes(data[segment.start + 2 : segment.start + 4], "big") > segment.end - segment.start - 2:
        raise UnreadableError(limits.TRUNCATED)
    if count > _MAX_METADATA:
        raise UnsupportedError(f"over {_MAX_METADATA} segments of metadata: save it again as JPEG")


def _is_about_samples(marker: int, content: bytes) -> bool:
    return (marker == APP0 and content[:5] == b"JFIF\0") or (marker == _APP14 and content[:5] == b"Adobe")


def _frame(marker: int, content: bytes) -> Frame | None:
    if len(content) < 6:
        return None
    height, width = (int.from_bytes(content[at : at + 2], "big") for at in (1, 3))
    return Frame(marker, content[0], width, height, content[5])


def _without(data: bytes, cut: list[Segment], end: int) -> bytes:
    """The data up to `end` without these segments."""
    if not cut:
        return data[:end]
    starts = (0, *(segment.end for segment in cut))
    ends = (*(segment.start for segment in cut), end)
    return b"".join(data[start:stop] for start, stop in zip(starts, ends, strict=True))


def segment(marker: int, content: bytes) -> bytes:
    """A segment with its marker and length; `content` has at most MAX_CONTENT bytes."""
    return bytes((0xFF, marker)) + (2 + len(content)).to_bytes(2, "big") + content
