"""What a container says of its own size, read from its outermost elements. FFmpeg does not tell a file that was cut off
from one whose last frame stays long or whose frames were dropped when it was recorded."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, NamedTuple

EBML, SEGMENT = 0x1A45DFA3, 0x18538067
"""Element IDs of Matroska (RFC 9559)."""
_TAIL_BYTES = 64


class Element(NamedTuple):
    """An EBML element (RFC 8794) in a buffer."""

    id: int
    start: int
    """Where its header begins."""
    data: int
    """Where its data begins."""
    end: int | None
    """One past its data; None for an unknown size."""


def ebml_element(buffer: bytes, at: int) -> Element | None:
    """The header of the element at this place; None where there is none, or not all of it."""
    id_length = _vint_length(buffer, at, 4)
    size_length = _vint_length(buffer, at + id_length, 8) if id_length else 0
    data = at + id_length + size_length
    if not size_length or data > len(buffer):
        return None
    ones = (1 << 7 * size_length) - 1
    size = int.from_bytes(buffer[at + id_length : data], "big") & ones
    element_id = int.from_bytes(buffer[at : at + id_length], "big")
    return Element(element_id, at, data, None if size == ones else data + size)


def _vint_length(buffer: bytes, at: int, longest: int) -> int:
    """Bytes of the variable-size integer at this place; 0 where there is none."""
    length = 9 - buffer[at].bit_length() if at < len(buffer) else 0
    return length if length <= longest else 0


def has_all_bytes(path: Path) -> bool:
    """Whether an AVI or Matroska file is as long as it says, and does not end in the zeros of a download that stopped.
    False also for every other file, and where the file does not say.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head, size = file.read(4096), path.stat().st_size
        end = _riff_end(file, size) if head[:4] == b"RIFF" else _segment_end(head)
        file.seek(max(0, size - _TAIL_BYTES))
        return 0 < end <= size and any(file.read(_TAIL_BYTES))


def _riff_end(file: BinaryIO, size: int) -> int:
    """One past the last RIFF chunk (an AVI over 1 GB has several); 0 where a recorder did not fill in the size."""
    end = 0
    while end < size:
        file.seek(end)
        chunk = file.read(8)
        length = int.from_bytes(chunk[4:8], "little")
        if chunk[:4] != b"RIFF" or not length:
            break
        end += 8 + length + length % 2
        if end == size + 1:  # no padding after the last chunk
            end = size
    return end


def _segment_end(head: bytes) -> int:
    """One past Matroska's segment; 0 for other files, and for a segment of unknown size."""
    header = ebml_element(head, 0)
    if header is None or header.id != EBML or header.end is None:
        return 0
    segment = ebml_element(head, header.end)
    return segment.end or 0 if segment and segment.id == SEGMENT else 0
