"""Reads and writes the parts of containers: PNG chunks and JP2 boxes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
UUID_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
UUID_IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
UUID_EXIF = b"JpgTiffExif->JP2"
XMP_KEYWORD = b"XML:com.adobe.xmp"
MAX_INFLATED = 1 << 26


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of each chunk, up to the end of the file."""
    at = len(PNG_MAGIC)
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size


def png_chunk(name: bytes, content: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_spliced(data: bytes, chunks: bytes) -> bytes:
    """Inserts `chunks` after the header chunk of a PNG."""
    end_of_header = len(PNG_MAGIC) + 12 + 13
    return data[:end_of_header] + chunks + data[end_of_header:]


def png_text(keyword: bytes, text: bytes) -> bytes:
    """An uncompressed iTXt chunk; `text` is UTF-8."""
    return png_chunk(b"iTXt", keyword + b"\0\0\0\0\0" + text)


def png_raw_profile(kind: bytes, content: bytes) -> bytes:
    """The zTXt form in which ImageMagick and exiftool keep IPTC in a PNG."""
    body = b"\n%s\n%8d\n" % (kind, len(content))
    digits = content.hex().encode()
    lines = b"\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return png_chunk(b"zTXt", b"Raw profile type " + kind + b"\0\0" + zlib.compress(body + lines + b"\n", 9))


def png_keyword(content: bytes) -> bytes:
    """The keyword of a text chunk."""
    return content.partition(b"\0")[0]


def png_text_of(name: bytes, content: bytes, limit: int) -> bytes:
    """The text of a chunk, as UTF-8.

    Args:
        name: tEXt, zTXt or iTXt.
        limit: largest size in bytes after decompression.

    Raises:
        zlib.error, ValueError, IndexError: the chunk is damaged, or the text longer.
    """
    rest = content.partition(b"\0")[2]
    if name == b"tEXt":
        return rest.decode("latin-1").encode()
    if name == b"zTXt":
        return inflated(rest[1:], limit).decode("latin-1").encode()
    compressed = rest[0]
    text = rest[2:].split(b"\0", 2)[2]
    return inflated(text, limit) if compressed else text


def from_raw_profile(text: bytes) -> bytes:
    """The content of a `Raw profile type ...` text; ValueError when it is damaged."""
    lines = text.split(b"\n")
    return bytes.fromhex(b"".join(lines[3:]).decode("ascii"))


def inflated(packed: bytes, limit: int = MAX_INFLATED) -> bytes:
    """Unpacks zlib data, up to `limit` bytes. More than 64 MiB in all texts of a file is an attack."""
    worker = zlib.decompressobj()
    out = worker.decompress(packed, max(1, limit))
    if worker.unconsumed_tail:
        raise ValueError("text of more than 64 MiB")
    return out


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """(name, begin, end) of the content of each ISO box. `end` is beyond the data if the box is cut off."""
    stop = len(data) if end is None else min(end, len(data))
    while start + 8 <= stop:
        size, name, head = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        if size == 0:
            size = stop - start
        if size < head:
            return
        yield name, start + head, start + size
        start += size


def box(name: bytes, content: bytes) -> bytes:
    """An ISO box."""
    return struct.pack(">I", 8 + len(content)) + name + content


def deflated(content: bytes) -> bytes:
    """Packs with zlib, always at the same level, so that files are the same from run to run."""
    return zlib.compress(content, 9)


def jp2_resolution(dpi: tuple[float, float]) -> bytes:
    """The content of a JP2 resolution box: vertical before horizontal, in pixels per metre as n / d * 10^e."""
    halves = [Fraction(value / 0.0254).limit_denominator(60) for value in reversed(dpi)]
    numbers, exponents = [], []
    for half in halves:
        number, exponent = half, 0
        while number.numerator > 65535:
            number, exponent = (number / 10).limit_denominator(60), exponent + 1
        numbers += [number.numerator, number.denominator]
        exponents.append(exponent)
    return struct.pack(">4H2b", *numbers, *exponents)
