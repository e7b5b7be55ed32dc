"""XMP of over 64 KiB in JPEG: the rest of a packet is in further segments (XMP specification, part 3, 1.1.3.1)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple
from xml.dom import minidom
from xml.parsers.expat import ExpatError

import defusedxml.minidom
from defusedxml import DefusedXmlException

XMP = b"http://ns.adobe.com/xap/1.0/\0"
EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_NOTE = "http://ns.adobe.com/xmp/note/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_OF_XML = (_RDF, "http://www.w3.org/2000/xmlns/", "http://www.w3.org/XML/1998/namespace")
"""Namespaces of attributes that are no properties."""
_DIGEST, _HEADER, _PIECE = 32, 40, 65_400
"""Bytes of a piece's digest, of its digest, whole length and offset, and of its text."""
_POINTER = re.compile(
    rb"\s[\w.-]+:HasExtendedXMP\s*=\s*(?:\"([^\"]*)\"|'([^']*)')"
    rb"|<([\w.-]+:HasExtendedXMP)[^>]*>([^<]*)</\3\s*>"
)
_END_OF_RDF = re.compile(rb"</[\w.-]+:RDF\s*>")
_POINTER_SIZE = 300
_MAX_MARKUP = 300_000
"""`<` and `=` in a packet: a tree of more nodes would take gigabytes."""


def joined(packet: bytes, pieces: list[bytes]) -> tuple[bytes, tuple[str, ...]]:
    """The packet with all properties of its extension, and without the pointer to it.

    Args:
        pieces: the contents of the extension's segments, without their heading.

    Returns:
        The packet, and a note if its extension cannot be carried.
    """
    pointer = _POINTER.search(packet)
    if pointer is None:
        return packet, ("extended XMP without a pointer to it not carried",) if pieces else ()
    alone = _POINTER.sub(b"", packet)
    digest = next(filter(None, (pointer[1], pointer[2], pointer[4])), b"").strip()
    extension = _extension([piece for piece in pieces if piece[:_DIGEST] == digest])
    try:
        merged = _merged(alone, extension) if extension else None
    except RecursionError:  # elements that are nested thousands deep
        merged = None
    return (alone, ("extended XMP missing or damaged: not carried",)) if merged is None else (merged, ())


def _extension(pieces: list[bytes]) -> bytes | None:
    """The extension, if all its pieces are there."""
    whole = b""
    ordered = {int.from_bytes(piece[_DIGEST + 4 : _HEADER], "big"): piece for piece in pieces}
    for offset, piece in sorted(ordered.items()):
        if offset != len(whole):
            return None
        whole += piece[_HEADER:]
    return whole if pieces and len(whole) == int.from_bytes(pieces[0][_DIGEST : _DIGEST + 4], "big") else None


def _merged(packet: bytes, extension: bytes) -> bytes | None:
    """The packet as it is written, also with a fault in it, and at its end the descriptions of the extension."""
    ends, further = list(_END_OF_RDF.finditer(packet)), _parsed(extension)
    if not ends or further is None:
        return None
    for description in _descriptions(further):
        for name, uri in _declared_above(description):
            if not description.hasAttribute(name):
                description.setAttribute(name, uri)
    at = ends[-1].start()
    return packet[:at] + b"".join(each.toxml().encode() for each in _descriptions(further)) + packet[at:]


def split(packet: bytes, limit: int) -> tuple[bytes, bytes] | None:
    """A packet of at most `limit` bytes with the pointer to its extension, and the extension.

    The largest properties are in the extension, which is empty if the packet fits without its padding.

    Returns:
        None if the packet cannot be divided so.
    """
    try:
        return _split(packet, limit)
    except RecursionError:  # elements that are nested thousands deep
        return None


def _split(packet: bytes, limit: int) -> tuple[bytes, bytes] | None:
    tree, further = _parsed(packet), _parsed(packet)
    if tree is None or further is None:
        return None
    whole = _serialized(tree)
    if len(whole) <= limit:
        return whole, b""
    excess = len(whole) + _POINTER_SIZE - limit
    pairs = zip(_properties(tree), _properties(further), strict=True)
    for first, second in sorted(pairs, key=lambda pair: -pair[0].size):
        if excess > 0:
            first.remove()
            excess -= first.size
        else:
            second.remove()
    if excess > 0:
        return None
    extension = _root(further).toxml().encode()
    pointer = tree.createElementNS(_RDF, "rdf:Description")
    pointer.setAttribute("xmlns:rdf", _RDF)
    pointer.setAttribute("rdf:about", _descriptions(tree)[0].getAttributeNS(_RDF, "about"))
    pointer.setAttribute("xmlns:xmpNote", _NOTE)
    pointer.setAttribute("xmpNote:HasExtendedXMP", _digest(extension).decode())
    _rdf(tree).appendChild(pointer)
    return _serialized(tree), extension


def _digest(extension: bytes) -> bytes:
    return hashlib.md5(extension, usedforsecurity=False).hexdigest().upper().encode()


def pieces_of(extension: bytes) -> Iterator[bytes]:
    """The contents of the segments for an extension, with their heading."""
    head = EXTENSION + _digest(extension) + len(extension).to_bytes(4, "big")
    for at in range(0, len(extension), _PIECE):
        yield head + at.to_bytes(4, "big") + extension[at : at + _PIECE]


class _Property(NamedTuple):
    size: int
    """Bytes that the packet loses with it, at least."""
    owner: minidom.Element
    node: minidom.Element | minidom.Attr

    def remove(self) -> None:
        if isinstance(self.node, minidom.Attr):
            self.owner.removeAttributeNode(self.node)
        else:
            self.owner.removeChild(self.node)


def _properties(tree: minidom.Document) -> list[_Property]:
    """The properties of all descriptions, as attributes and as elements, in order."""
    every = []
    for owner in _descriptions(tree):
        attributes: list[minidom.Attr] = list(owner.attributes.values())
        every += [_Property(len(a.value.encode()), owner, a) for a in attributes if a.namespaceURI not in _OF_XML]
        every += [_Property(len(child.toxml().encode()), owner, child) for child in _elements(owner)]
    return every


def _parsed(packet: bytes) -> minidom.Document | None:
    """The tree of a packet; None if it is damaged or hostile, or has no RDF with a description."""
    if packet.count(b"<") + packet.count(b"=") > _MAX_MARKUP:
        return None
    try:
        # a definition of an entity in a packet can only be an attack on the parser
        tree = defusedxml.minidom.parseString(packet.strip(b"\0 \r\n\t"), forbid_dtd=True)
    except (ExpatError, DefusedXmlException, ValueError):
        return None
    return tree if tree.getElementsByTagNameNS(_RDF, "RDF") and _descriptions(tree) else None


def _root(tree: minidom.Document) -> minidom.Element:
    return next(node for node in tree.childNodes if isinstance(node, minidom.Element))


def _rdf(tree: minidom.Document) -> minidom.Element:
    return tree.getElementsByTagNameNS(_RDF, "RDF")[0]


def _descriptions(tree: minidom.Document) -> list[minidom.Element]:
    return [node for node in _elements(_rdf(tree)) if (node.namespaceURI, node.localName) == (_RDF, "Description")]


def _elements(parent: minidom.Element) -> list[minidom.Element]:
    return [node for node in parent.childNodes if isinstance(node, minidom.Element)]


def _declared_above(element: minidom.Element) -> Iterator[tuple[str, str]]:
    """The namespace declarations of the element's ancestors, the nearest first."""
    parent = element.parentNode
    while isinstance(parent, minidom.Element):
        yield from ((name, uri) for name, uri in parent.attributes.items() if name.partition(":")[0] == "xmlns")
        parent = parent.parentNode


def _serialized(tree: minidom.Document) -> bytes:
    """The packet with its wrapper, without an XML declaration and padding."""
    return "".join(node.toxml() for node in tree.childNodes).encode()
