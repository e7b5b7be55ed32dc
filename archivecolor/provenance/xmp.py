"""XMP packets as text: read, repaired, searched and edited, so that all other bytes stay as they were written.

A parsed tree would lose prefixes, comments and quotes, and a packet that is nested thousands of levels deep would
exceed Python's stack when it is written. Expat finds the places here, and the text between them is copied.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from html import escape, unescape
from typing import NamedTuple
from urllib.parse import quote
from xml.parsers import expat

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMLNS = "http://www.w3.org/2000/xmlns/"
"""Of declarations: `xmlns:tiff="URI"` is a property with this URI, and with the declared one as its name."""
NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": RDF,
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "aux": "http://ns.adobe.com/exif/1.0/aux/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "plus": "http://ns.useplus.org/ldf/xmp/1.0/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
}
"""The usual prefixes. They stand for these URIs where a packet does not declare them."""
_UNKNOWN = "https://pypi.org/project/archivecolor/ns/undeclared/"
_XML = "http://www.w3.org/XML/1998/namespace"
_PADDING = "\x00\ufeff \r\n\t"
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile(r"&(?:#(?:(\d{1,8})|x([0-9a-fA-F]{1,8}));|(?:amp|lt|gt|quot|apos);|(\w{1,32};)?)")
_WRAPPER = re.compile(r"\A<\?xpacket[^>]*\?>\s*|\s*<\?xpacket[^>]*\?>\Z")
_XML_DECLARATION = re.compile(r"<\?xml\s[^>]*\?>")
_ATTRIBUTE = re.compile(rb"\s+([^\s=/>]+)\s*=\s*(\"[^\"]*\"|'[^']*')")
_TAG_NAME, _TAG_END = re.compile(rb"<[^\s/>]+"), re.compile(rb"\s*/?>")
AS_CP1252 = "archivecolor_cp1252"
"""The error handler by which bytes that are no UTF-8 are read as Windows-1252."""
_MARKS = (
    *((mark, "utf-32") for mark in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
    *((mark, "utf-16") for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
"""What a packet begins with that is not in UTF-8, and its encoding."""
_WRAPPERS = frozenset(("xmpmeta", "xapmeta", "RDF", "Description"))
_MOST_VALUES = 100

Wanted = Callable[[str, str], bool]
"""Whether a property is searched for, by the URI of its namespace and its local name."""
Edit = tuple[int, int, bytes]
"""Start and end of the bytes to replace, and what replaces them."""


class Packet(NamedTuple):
    """The root element of a packet, without wrapper and padding."""

    text: bytes
    """Well-formed UTF-8, all prefixes declared; empty where nothing could be read."""
    faults: tuple[str, ...] = ()
    """What is wrong with the source, in words; empty for a sound packet."""


class Property(NamedTuple):
    """A property or element, with its place in the text of the packet."""

    uri: str
    name: str
    label: str
    """With the prefix as it is written: `tiff:Orientation`."""
    values: tuple[str, ...]
    """Of an attribute its text; of an element its link and all texts inside, stripped, without blank ones."""
    start: int
    """With the space before an attribute."""
    end: int
    inner: tuple[int, int]
    """Of the value of an attribute, or of the content of an element."""


class _DoctypeError(Exception):
    """A packet needs no document type; one with entities can only be an attack on the parser."""


class _OpenProperty(NamedTuple):
    depth: int
    key: tuple[str, str]
    start: int
    inner: int
    first_text: int


class _Scan:
    """One way through a text. It collects the wanted properties, and knows up to where the text can be used."""

    def __init__(self, data: bytes, wanted: Wanted) -> None:
        self.data, self.wanted = data, wanted
        self.properties: list[Property] = []
        self.undeclared: set[str] = set()
        self.root_start = self.usable_end = self.usable_depth = 0
        self.has_content = False
        self.open_tags: list[str] = []
        self._content_seen = self._just_opened = False
        self._uris: dict[str, str] = {"xml": _XML}
        self._shadowed: list[dict[str, str] | None] = []  # for each open element, the URIs that its prefixes had before
        self._known: dict[str, tuple[tuple[str, str], bool]] = {}  # what `_resolved` says under these declarations
        self._open: list[_OpenProperty] = []
        self._texts: list[str] = []

    def run(self) -> None:
        """Reads the text up to its end or its first fault.

        Raises:
            _DoctypeError: it declares a document type.
        """
        self._parser = expat.ParserCreate("utf-8")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = _refuse_doctype
        with suppress(expat.ExpatError):
            self._parser.Parse(self.data, True)

    def _text(self, text: str) -> None:
        self._just_opened = False
        if self._open:
            self._texts.append(text)

    def _start(self, label: str, attributes: dict[str, str]) -> None:
        at = self._parser.CurrentByteIndex
        if not self.open_tags:
            self.root_start = at
        self.open_tags.append(label)
        self._just_opened = True
        self._shadowed.append(self._declare(attributes) if attributes else None)
        key, is_wanted = self._known.get(label) or self._resolved(label)
        self._content_seen |= key[1] not in _WRAPPERS
        link = self._read_attributes(at, attributes) if attributes else None
        if is_wanted:
            self._open.append(_OpenProperty(len(self.open_tags), key, at, tag_end(self.data, at), len(self._texts)))
            self._texts += [link] if link else []

    def _read_attributes(self, at: int, attributes: dict[str, str]) -> str | None:
        """Collects the wanted properties among the attributes of a tag. Returns its link, rdf:resource."""
        spans, link = None, None
        for label, value in attributes.items():
            if ":" not in label:
                continue
            if label.startswith("xmlns:"):
                key, is_wanted = (XMLNS, value), self.wanted(XMLNS, value)
            else:
                key, is_wanted = self._known.get(label) or self._resolved(label)
                self._content_seen |= key[1] != "about"
                link = value if key == (RDF, "resource") else link
            if is_wanted:
                spans = spans or attribute_spans(self.data, at)
                start, end, *inner = spans[label.encode()]
                values = (value.strip(),) if value.strip() else ()
                self.properties.append(Property(*key, label, values, start, end, (inner[0], inner[1])))
        self._mark_usable(tag_end(self.data, at))
        return link

    def _end(self, label: str) -> None:
        at = self._parser.CurrentByteIndex
        is_empty_tag = self._just_opened and self.data[at - 2 : at] == b"/>"
        end = at if is_empty_tag else self.data.index(b">", at) + 1
        if self._open and self._open[-1].depth == len(self.open_tags):
            element = self._open.pop()
            texts = self._texts[element.first_text : element.first_text + _MOST_VALUES]
            values = tuple(text.strip() for text in texts if text.strip())
            self.properties.append(Property(*element.key, label, values, element.start, end, (element.inner, at)))
            if not self._open:
                self._texts.clear()
        self._just_opened = False
        self.open_tags.pop()
        shadowed = self._shadowed.pop()
        if shadowed:
            self._uris |= shadowed
            self._known.clear()
        self._mark_usable(end)

    def _mark_usable(self, end: int) -> None:
        self.usable_end, self.usable_depth = end, len(self.open_tags)
        self.has_content |= self._content_seen

    def _declare(self, attributes: dict[str, str]) -> dict[str, str]:
        """Adds the namespaces that a tag declares. Returns what their prefixes stood for before, "" for nothing."""
        declared = {label[len("xmlns:") :]: uri for label, uri in attributes.items() if label.startswith("xmlns")}
        if not declared:
            return {}
        shadowed = {prefix: self._uris.get(prefix, "") for prefix in declared}
        self._uris |= declared
        self._known.clear()
        return shadowed

    def _resolved(self, label: str) -> tuple[tuple[str, str], bool]:
        """The URI and the local name of an element or a prefixed attribute, and whether it is wanted."""
        prefix, colon, name = label.rpartition(":")
        uri = self._uris.get(prefix, "")
        if not uri and colon:
            self.undeclared.add(prefix)
            uri = _usual_uri(prefix)
        self._known[label] = (uri, name), self.wanted(uri, name)
        return self._known[label]


def _usual_uri(prefix: str) -> str:
    return NAMESPACES.get(prefix) or _UNKNOWN + quote(prefix) + "/"


def tag_end(data: bytes, start: int) -> int:
    """Where the start tag or empty tag at `start` ends."""
    at = _place(_TAG_NAME.match(data, start))
    while match := _ATTRIBUTE.match(data, at):
        at = match.end()
    return _place(_TAG_END.match(data, at))


def attribute_spans(data: bytes, start: int) -> dict[bytes, tuple[int, int, int, int]]:
    """Start, end, and start and end of the value, of each attribute of the tag at `start`."""
    spans, at = {}, _place(_TAG_NAME.match(data, start))
    while match := _ATTRIBUTE.match(data, at):
        at = match.end()
        spans[match[1]] = (match.start(), at, match.start(2) + 1, at - 1)
    return spans


def _place(match: re.Match[bytes] | None) -> int:
    if match is None:
        raise ValueError("not a tag that expat accepts")
    return match.end()


def parsed(xmp: bytes | None) -> Packet:
    """The packet of a picture, as far as it can be read.

    Damage is mended where it is plain what was meant: a wrong encoding, characters that XML forbids, bare ampersands,
    prefixes without a declaration, text behind the end, an end that is missing.
    """
    if not xmp:
        return Packet(b"")
    text, faults = _decoded(xmp)
    text = _XML_DECLARATION.sub("", _WRAPPER.sub("", text))
    try:
        error = _error_in(text.encode("utf-8", "replace"))
        if not error:
            return Packet(text.encode(), faults)
        packet = _salvaged(_mended(text).encode())
    except _DoctypeError:
        return Packet(b"", ("it declares a document type",))
    return Packet(packet, (*faults, error))


def _error_in(data: bytes) -> str:
    """What is wrong with a text, in expat's words; "" for a sound one, whose prefixes are all declared.

    Raises:
        _DoctypeError: it declares a document type.
    """
    parser = expat.ParserCreate("utf-8", " ")
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        return expat.ErrorString(error.code)
    return ""


def _refuse_doctype(*_: object) -> None:
    raise _DoctypeError


def _salvaged(data: bytes) -> bytes:
    """The first root element of a text up to where it is well-formed, with all open elements closed and all prefixes
    declared; empty where nothing is left."""
    scan = _Scan(data, _nothing)
    scan.run()
    if not scan.has_content:
        return b""
    root = data[scan.root_start : scan.usable_end]
    root += b"".join(f"</{tag}>".encode() for tag in reversed(scan.open_tags[: scan.usable_depth]))
    declared = "".join(f' xmlns:{each}="{escape(_usual_uri(each))}"' for each in sorted(scan.undeclared))
    at = _place(_TAG_NAME.match(root))
    return root[:at] + declared.encode() + root[at:]


def faults_of(xmp: bytes | None) -> tuple[str, ...]:
    """What is wrong with a packet, in words; empty for a sound one and for none."""
    return parsed(xmp).faults


def _nothing(uri: str, name: str) -> bool:
    return False


def _decoded(xmp: bytes) -> tuple[str, tuple[str, ...]]:
    """The text by its byte order mark, else as UTF-16 or UTF-8; single bytes that are no UTF-8 as Windows-1252."""
    encoding = next((name for mark, name in _MARKS if xmp.startswith(mark)), "utf-8")
    try:
        return xmp.decode(encoding).strip(_PADDING), ()
    except UnicodeDecodeError:
        return xmp.decode(encoding, AS_CP1252).strip(_PADDING), (f"not {encoding.upper()}",)


def _as_cp1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error(AS_CP1252, _as_cp1252)


def _mended(text: str) -> str:
    """The text from its first tag on, with nothing in it that XML forbids anywhere."""
    return _REFERENCE.sub(_mended_reference, printable(text[max(0, text.find("<")) :]))


def _mended_reference(match: re.Match[str]) -> str:
    """A reference that XML knows; the character that an HTML name stands for; else an escaped ampersand."""
    decimal, hexadecimal, name = match.groups()
    if decimal or hexadecimal:
        code = int(decimal) if decimal else int(hexadecimal, 16)
        return match[0] if code < 0x110000 and not _FORBIDDEN.match(chr(code)) else ""
    if name is None:
        return match[0] if match[0] != "&" else "&amp;"
    character = unescape(match[0])
    return escape(character, quote=False) if character != match[0] else f"&amp;{name}"


def printable(text: str) -> str:
    """The text without the characters that XML forbids."""
    return _FORBIDDEN.sub("", text)


def find(packet: bytes, wanted: Wanted) -> list[Property]:
    """The wanted properties of a sound packet, wherever they stand, also as attributes and in structures."""
    scan = _Scan(packet, wanted)
    if packet:
        scan.run()
    return scan.properties


def edited(packet: bytes, edits: Iterable[Edit]) -> bytes:
    """The packet with all edits; one inside another that comes before it is dropped."""
    parts, at = [], 0
    for start, end, content in sorted(edits):
        if start >= at:
            parts += [packet[at:start], content]
            at = end
    return b"".join([*parts, packet[at:]])


def root(packet: bytes) -> Property:
    """The root element of a sound packet."""
    scan = _Scan(packet, lambda *_: True)
    scan.run()
    return min((each for each in scan.properties if each.start == scan.root_start), key=lambda each: -each.end)


def insertion(element: Property, content: bytes) -> Edit:
    """The edit that puts content at the end of an element."""
    end = element.inner[1]
    if end == element.end:  # an empty tag, `<a/>`
        return end - 2, end, b">" + content + f"</{element.label}>".encode()
    return end, end, content


def wrapped(packet: bytes) -> bytes:
    """The packet with the wrapper by which readers find it in any file."""
    return b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>' + packet + b'<?xpacket end="w"?>'
