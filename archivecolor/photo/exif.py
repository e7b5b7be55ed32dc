"""EXIF blocks: small TIFF structures. A few tags are read and changed; all other bytes stay."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple, Protocol

DESCRIPTION, ORIENTATION, SOFTWARE = 270, 274, 305
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, YCBCR_POSITIONING = 282, 283, 296, 531
NO_UNIT, INCH, CENTIMETRE = 1, 2, 3
EXIF_IFD, GPS_IFD, INTEROP_IFD, MAKER_NOTE = 34665, 34853, 40965, 37500
POINTERS = (4, 13, 16, 18)
"""The types of tags with the offset of a directory; the last two are those of BigTIFF."""
TEXT, BYTE, SHORT, LONG, UNDEFINED = 2, 1, 3, 4, 7
"""TIFF types."""
COLOR_SPACE, SRGB, ADOBE_RGB, UNCALIBRATED = 40961, 1, 2, 65535
WORDS = frozenset((18246, 18249, *range(40091, 40096)))
"""Tags of IFD0 with words of a catalogue, which have no offsets: ratings, and the title, comment, author, keywords and
subject that Windows writes."""
_INTEROP_INDEX, _DCF_SRGB, _DCF_ADOBE_RGB = 1, b"R98\0", b"R03\0"
_ENCODED_TEXT = b"UNICODE\0"
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8}
EMPTY = b"II*\0\x08\0\0\0\0\0\0\0\0\0"


class Readable(Protocol):
    """Bytes, or a memory-mapped file."""

    def __getitem__(self, span: slice, /) -> bytes: ...
    def __len__(self) -> int: ...


class Entry(NamedTuple):
    """One tag: its TIFF type, how many values, and their bytes in the block's own byte order."""

    kind: int
    length: int
    value: bytes


Value = int | bytes | tuple[float, ...] | Entry


def byte_order(block: Readable) -> str:
    """`<` or `>`. Raises ValueError if the block has no TIFF structure."""
    order = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        raise ValueError("not an EXIF block")
    return order


def first_ifd(block: Readable) -> int:
    """The offset of IFD0."""
    return int(struct.unpack(byte_order(block) + "I", block[4:8])[0])


def _is_big(block: Readable) -> bool:
    """Whether it has the 64-bit directories of BigTIFF; a separate EXIF block never has."""
    return block[:4] in (b"II+\0", b"MM\0+")


def ifd(block: Readable, offset: int) -> dict[int, Entry]:
    """The tags of the directory at `offset`, without those that point outside the block.

    Raises:
        ValueError: there is no directory.
    """
    order, found, big = byte_order(block), {}, _is_big(block)
    inline_size = 8 if big else 4
    for row in _rows(block, offset):
        tag, kind, count, at = struct.unpack(order + ("HHQQ" if big else "HHII"), row)
        size = (8 if big and kind in POINTERS[2:] else _SIZES.get(kind, 0)) * count
        value = row[-inline_size:][:size] if size <= inline_size else block[at : at + size]
        if size and len(value) == size:
            found[tag] = Entry(kind, count, value)
    return found


def _rows(block: Readable, offset: int) -> list[bytes]:
    if offset < 8 or offset + 2 > len(block):
        raise ValueError("the EXIF directory lies outside the block")
    kind, head, step = ("Q", 8, 20) if _is_big(block) else ("H", 2, 12)
    count = struct.unpack(byte_order(block) + kind, block[offset : offset + head].ljust(head, b"\xff"))[0]
    if offset + head + step * count > len(block):
        raise ValueError("the EXIF directory is cut off")
    return [block[at : at + step] for at in range(offset + head, offset + head + step * count, step)]


def main_tags(block: bytes | None) -> dict[int, Entry]:
    """The tags of IFD0; empty for no block or a damaged one."""
    try:
        return ifd(block, first_ifd(block)) if block else {}
    except ValueError:
        return {}


def orientation(block: bytes | None) -> int:
    """The orientation, 1 to 8; 1 if the block has no valid one."""
    entry = main_tags(block).get(ORIENTATION)
    value = integer(block, entry) if block is not None and entry is not None else None
    return value if value is not None and 1 <= value <= 8 else 1


def integer(block: Readable, entry: Entry) -> int | None:
    """The first value of an entry of whole numbers; None for other types."""
    format = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}.get(entry.kind)
    return int(struct.unpack_from(byte_order(block) + format, entry.value)[0]) if format else None


def text(block: bytes | None, tag: int) -> str | None:
    """An ASCII tag of IFD0, stripped; None if it is absent or empty."""
    entry = main_tags(block).get(tag)
    if entry is None or entry.kind != 2:
        return None
    return decoded(entry.value.split(b"\0")[0]) or None


def decoded(raw: bytes) -> str:
    """Decodes text as UTF-8, else as Windows-1252, which old scanners wrote."""
    try:
        return raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace").strip()


def dpi(block: bytes | None) -> tuple[float, float] | None:
    """Pixels per inch from IFD0, or None."""
    unit, x, y = _resolution(block)
    scale = {INCH: 1.0, CENTIMETRE: 2.54}.get(unit, 0.0)
    return sensible_dpi(x * scale, y * scale)


def density(block: bytes | None) -> tuple[float, float] | None:
    """The shape of pixels that are not square and have no resolution, as `Page.density`."""
    unit, x, y = _resolution(block)
    return (x, y) if unit == NO_UNIT and x != y and x > 0 and y > 0 else None


def _resolution(block: bytes | None) -> tuple[int, float, float]:
    """The unit, and pixels per unit of width and height from IFD0; 0 for what is absent or invalid."""
    tags = main_tags(block)
    if block is None or X_RESOLUTION not in tags or Y_RESOLUTION not in tags:
        return INCH, 0.0, 0.0
    order, unit = byte_order(block), INCH
    if RESOLUTION_UNIT in tags and tags[RESOLUTION_UNIT].kind == 3:
        unit = struct.unpack(order + "H", tags[RESOLUTION_UNIT].value[:2])[0]
    pair = []
    for tag in (X_RESOLUTION, Y_RESOLUTION):
        top, bottom = struct.unpack(order + "II", tags[tag].value[:8]) if tags[tag].kind == 5 else (0, 0)
        pair.append(top / bottom if bottom else 0.0)
    return unit, pair[0], pair[1]


def sensible_dpi(x: float, y: float) -> tuple[float, float] | None:
    """The pair, rounded to whole numbers if a conversion from a metric unit blurred them; None if it is no
    resolution."""
    if not (0 < x < 1e6 and 0 < y < 1e6):
        return None
    return _snapped(x), _snapped(y)


def _snapped(value: float) -> float:
    return float(round(value)) if abs(value - round(value)) < 0.02 else float(value)


def with_tags(block: bytes, changes: Mapping[int, Value], dropped: int | None = None) -> bytes:
    """Sets tags of IFD0 and removes those in `dropped`. An int becomes a SHORT, bytes become ASCII, and floats become
    RATIONALs; an Entry is in the block's byte order already.

    The new IFD0 is at the end of the block and all other bytes stay, so offsets in maker notes remain valid. The
    directory of the thumbnail is unlinked, because it shows the old picture.

    Raises:
        ValueError: the block is damaged.
    """
    order = byte_order(block)
    rows = {struct.unpack(order + "H", row[:2])[0]: row for row in _rows(block, first_ifd(block))}
    out = bytearray(block + bytes(len(block) % 2))
    fresh = {tag: _entry(value, order) for tag, value in changes.items()}
    start = len(out)
    tags = sorted((rows.keys() | fresh.keys()) - {dropped})
    after = start + 2 + 12 * len(tags) + 4
    directory, values = bytearray(struct.pack(order + "H", len(tags))), bytearray()
    for tag in tags:
        row = rows.get(tag, b"")
        if tag in fresh:
            row = _row(tag, fresh[tag], order, after + len(values), values)
        directory += row
    out += directory + bytes(4) + values
    out[4:8] = struct.pack(order + "I", start)
    return bytes(out)


def directory_bytes(entries: Mapping[int, Entry], order: str, at: int, big: bool = False) -> bytes:
    """A directory for the offset `at`, followed by its values, which are already in `order`.

    Args:
        big: in BigTIFF's form.
    """
    kind, head, step, inline_size = ("Q", 8, 20, 8) if big else ("H", 2, 12, 4)
    after = at + head + step * len(entries) + inline_size
    out, values = bytearray(struct.pack(order + kind, len(entries))), bytearray()
    for tag in sorted(entries):
        out += _row(tag, entries[tag], order, after + len(values), values, big)
    return bytes(out + bytes(inline_size) + values)


def _row(tag: int, entry: Entry, order: str, at: int, values: bytearray, big: bool = False) -> bytes:
    """The 12 bytes of a tag, 20 in BigTIFF. A longer value is appended to `values`, which ends at `at`."""
    number, inline_size = ("Q", 8) if big else ("I", 4)
    head = struct.pack(order + "HH" + number, tag, entry.kind, entry.length)
    if len(entry.value) <= inline_size:
        return head + entry.value.ljust(inline_size, b"\0")
    values += entry.value + bytes(len(entry.value) % 2)
    return head + struct.pack(order + number, at)


def _entry(value: Value, order: str) -> Entry:
    if isinstance(value, Entry):
        return value
    if isinstance(value, int):
        return Entry(3, 1, struct.pack(order + "H", value))
    if isinstance(value, bytes):
        return Entry(2, len(value) + 1, value + b"\0")
    halves = [Fraction(number).limit_denominator(10_000) for number in value]
    packed = b"".join(struct.pack(order + "II", half.numerator, half.denominator) for half in halves)
    return Entry(5, len(value), packed)


def reordered(entry: Entry, source: str, target: str) -> Entry:
    """The same values in another byte order, also of a text in UTF-16 such as UserComment (EXIF 2.32, 4.6.5)."""
    if source == target:
        return entry
    if entry.kind == UNDEFINED and entry.value.startswith(_ENCODED_TEXT):
        text = entry.value[len(_ENCODED_TEXT) :]
        return (
            entry if _utf16_order(text, source) == target else entry._replace(value=_ENCODED_TEXT + _swapped(text, 2))
        )
    return entry._replace(value=_swapped(entry.value, _UNITS[entry.kind]))


def _swapped(values: bytes, unit: int) -> bytes:
    return b"".join(values[at : at + unit][::-1] for at in range(0, len(values), unit)) if unit > 1 else values


def _utf16_order(text: bytes, default: str) -> str:
    """The byte order of a text: many writers use another one than that of the file. Zeros are high bytes."""
    high, low = text[::2].count(0), text[1::2].count(0)
    return default if high == low else ">" if high > low else "<"


def color_space(block: bytes | None) -> int | None:
    """SRGB, ADOBE_RGB, UNCALIBRATED or another number of the block's ColorSpace; ADOBE_RGB also where DCF's
    interoperability index says so (JEITA CP-3461, 3.2)."""
    try:
        places = _color_places(block) if block else {}
    except (ValueError, struct.error):
        return None
    if block is None or COLOR_SPACE not in places:
        return None
    index = places.get(_INTEROP_INDEX)
    value = int(struct.unpack_from(byte_order(block) + "H", block, places[COLOR_SPACE])[0])
    is_adobe = value == UNCALIBRATED and index is not None and block[index : index + 4] == _DCF_ADOBE_RGB
    return ADOBE_RGB if is_adobe else value


def with_color_space(block: bytes, value: int) -> bytes:
    """The block with this ColorSpace and the index that fits it, in place, where it states them."""
    if color_space(block) in (None, value):
        return block
    places, out = _color_places(block), bytearray(block)
    struct.pack_into(byte_order(block) + "H", out, places[COLOR_SPACE], value)
    if value == SRGB and _INTEROP_INDEX in places:
        out[places[_INTEROP_INDEX] : places[_INTEROP_INDEX] + 4] = _DCF_SRGB
    return bytes(out)


def _color_places(block: bytes) -> dict[int, int]:
    """The offsets of the values of ColorSpace and of the interoperability index."""
    order = byte_order(block)

    def directory(offset: int) -> dict[int, tuple[int, int]]:
        rows = _rows(block, offset)
        heads = [struct.unpack_from(order + "HH", row) for row in rows]
        return {tag: (kind, offset + 2 + 12 * i + 8) for i, (tag, kind) in enumerate(heads)}

    def target(place: int) -> int:
        return int(struct.unpack_from(order + "I", block, place)[0])

    main = directory(first_ifd(block))
    inner = directory(target(main[EXIF_IFD][1])) if EXIF_IFD in main else {}
    interop = directory(target(inner[INTEROP_IFD][1])) if INTEROP_IFD in inner else {}
    places = {}
    if inner.get(COLOR_SPACE, (0,))[0] == SHORT:
        places[COLOR_SPACE] = inner[COLOR_SPACE][1]
    if interop.get(_INTEROP_INDEX, (0,))[0] == TEXT:
        places[_INTEROP_INDEX] = interop[_INTEROP_INDEX][1]
    return places


def sub_ifds(block: Readable, ifd0: int) -> dict[int, dict[int, Entry]]:
    """The EXIF and GPS directories that the directory at `ifd0` points to, without further pointers."""
    order, found = byte_order(block), {}
    main = ifd(block, ifd0)
    for pointer in (EXIF_IFD, GPS_IFD):
        if pointer in main and main[pointer].kind in POINTERS and main[pointer].length == 1:
            where = main[pointer].value
            entries = ifd(block, struct.unpack(order + ("Q" if len(where) == 8 else "I"), where)[0])
            entries = {tag: e for tag, e in entries.items() if e.kind in _SIZES and tag != INTEROP_IFD}
            if entries:
                found[pointer] = entries
    return found


def standalone(block: Readable, ifd0: int) -> bytes | None:
    """A separate EXIF block from the EXIF and GPS directories of a TIFF page; None if it has none."""
    order = byte_order(block)
    parts = sub_ifds(block, ifd0)
    if not parts:
        return None
    out = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    at = 8 + 2 + 12 * len(parts) + 4
    bodies, pointers = b"", {}
    for pointer, entries in parts.items():
        pointers[pointer] = Entry(4, 1, struct.pack(order + "I", at + len(bodies)))
        bodies += directory_bytes(entries, order, at + len(bodies))
    return out + directory_bytes(pointers, order, 8) + bodies
