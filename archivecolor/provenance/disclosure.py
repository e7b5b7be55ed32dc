"""The disclosure inside every file: that its colour was added, and by what."""

from __future__ import annotations

from xml.etree import ElementTree

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": _RDF,
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "archivecolor": "https://pypi.org/project/archivecolor/ns/1.0/",
}
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's term for a picture that a trained model added to: the scene was captured, its colour was not."""


def disclosure(xmp: bytes | None, tool: str, weights_name: str, weights_sha256: str) -> tuple[bytes, bool]:
    """The picture's XMP with the statement that its colour was added by a model; everything else in it stays.

    Returns:
        The packet, and whether the picture's own XMP could be kept (False when it is damaged).
    """
    for prefix, uri in _NAMESPACES.items():
        ElementTree.register_namespace(prefix, uri)
    root, kept = _parsed(xmp)
    rdf = root if root.tag == f"{{{_RDF}}}RDF" else root.find(f"{{{_RDF}}}RDF")
    if rdf is None:
        rdf = ElementTree.SubElement(root, f"{{{_RDF}}}RDF")
    statements = {
        "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPE,
        "Iptc4xmpExt:AISystemUsed": f"{tool}, weights {weights_name}",
        "Iptc4xmpExt:AISystemVersionUsed": weights_sha256,
        "archivecolor:Colour": "invented by a neural network; the luminance is the original's",
    }
    for name in statements:
        _drop(rdf, _qualified(name))
    about = ElementTree.SubElement(rdf, f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
    for name, value in statements.items():
        ElementTree.SubElement(about, _qualified(name)).text = value
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{body}<?xpacket end="w"?>'.encode(), kept


def _parsed(xmp: bytes | None) -> tuple[ElementTree.Element, bool]:
    fresh = ElementTree.Element(_qualified("x:xmpmeta"))
    if not xmp:
        return fresh, True
    try:
        text = xmp.decode("utf-8").strip("\x00\ufeff \r\n\t")
        # Packets are small and flat; an entity definition in one can only be an attack on the parser.
        if "<!ENTITY" in text or "<!DOCTYPE" in text:
            return fresh, False
        return ElementTree.fromstring(text), True
    except (ElementTree.ParseError, UnicodeDecodeError):
        return fresh, False


def _qualified(name: str) -> str:
    prefix, local = name.split(":")
    return f"{{{_NAMESPACES[prefix]}}}{local}"


def _drop(rdf: ElementTree.Element, name: str) -> None:
    """Removes a property wherever a description has it, as an element or as an attribute."""
    for description in rdf.iter(f"{{{_RDF}}}Description"):
        description.attrib.pop(name, None)
        for child in list(description):
            if child.tag == name:
                description.remove(child)
