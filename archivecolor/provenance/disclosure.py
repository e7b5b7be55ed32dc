"""The disclosure inside every file: that its colour was added, and by what."""

from __future__ import annotations

from xml.etree import ElementTree

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from archivecolor.options import SourceType

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
NAMESPACE = "https://pypi.org/project/archivecolor/ns/1.0/"
"""Of the statements of this program in a picture's XMP."""
_NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": _RDF,
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "archivecolor": NAMESPACE,
}
TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SOURCE_TYPE = TERMS + SourceType.COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA
"""IPTC's term for a picture that a trained model added to: the scene was captured, its colour was not."""
_SOURCE_TYPE, _CAPTION, _COLOUR = "Iptc4xmpExt:DigitalSourceType", "dc:description", "archivecolor:Colour"
_IPTC_CAPTION = b"\x1c\x02\x78"


def disclosure(
    xmp: bytes | None,
    tool: str,
    weights_name: str,
    weights_sha256: str,
    source_type: str = SourceType.COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA,
    guidance: tuple[str, ...] = (),
) -> tuple[bytes, bool]:
    """The picture's XMP with the statement that its colour was added by a model; everything else in it stays.

    Args:
        source_type: a term of IPTC's vocabulary.
        guidance: what a person told the model about the colours.

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
        _SOURCE_TYPE: TERMS + source_type,
        "Iptc4xmpExt:AISystemUsed": f"{tool}, weights {weights_name}",
        "Iptc4xmpExt:AISystemVersionUsed": weights_sha256,
        _COLOUR: "invented by a neural network; the luminance is the original's",
    }
    if guidance:
        statements["Iptc4xmpExt:AIPromptInformation"] = "; ".join(guidance)
    for name in statements:
        _drop(rdf, _qualified(name))
    about = ElementTree.SubElement(rdf, f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
    for name, value in statements.items():
        ElementTree.SubElement(about, _qualified(name)).text = value
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{body}<?xpacket end="w"?>'.encode(), kept


def own_source_type(xmp: bytes | None) -> str:
    """What the master itself says of where it comes from (`.../negativeFilm`), or ""."""
    return next(iter(_values(_parsed(xmp)[0], _SOURCE_TYPE)), "")


def is_machine_colored(xmp: bytes | None) -> bool:
    """Whether the picture says that this program made its colours."""
    return bool(_values(_parsed(xmp)[0], _COLOUR))


def has_caption(xmp: bytes | None, iptc: bytes | None) -> bool:
    """Whether the picture has words of its own in XMP or IPTC, which nothing of ours may contradict."""
    return _IPTC_CAPTION in (iptc or b"") or bool(_values(_parsed(xmp)[0], _CAPTION))


def caption(tool: str, weights_name: str) -> str:
    """For pictures without one: in EXIF's ImageDescription, where the simplest viewer shows it."""
    return f"The colour in this picture was added by a neural network ({tool}, weights {weights_name})"


def _values(root: ElementTree.Element, name: str) -> list[str]:
    """What a property says, whether it stands there as an attribute, as a link, as text or as a list."""
    found = []
    for description in root.iter(f"{{{_RDF}}}Description"):
        found.append(description.get(_qualified(name), ""))
        for element in description.iter(_qualified(name)):
            found += [element.get(f"{{{_RDF}}}resource", ""), *element.itertext()]
    return [text.strip() for text in found if text.strip()]


def _parsed(xmp: bytes | None) -> tuple[ElementTree.Element, bool]:
    fresh = ElementTree.Element(_qualified("x:xmpmeta"))
    if not xmp:
        return fresh, True
    try:
        # Packets are small and flat; an entity definition in one can only be an attack on the parser.
        return fromstring(xmp.decode("utf-8").strip("\x00\ufeff \r\n\t"), forbid_dtd=True), True
    except (ElementTree.ParseError, DefusedXmlException, UnicodeDecodeError):
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
