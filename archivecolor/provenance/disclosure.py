"""The disclosure inside every file: that its colour was added, and by what."""

from __future__ import annotations

from html import escape

from archivecolor.options import SourceType
from archivecolor.provenance import xmp as packets

NAMESPACE = "https://pypi.org/project/archivecolor/ns/1.0/"
"""Of the statements of this program in a picture's XMP."""
_NAMESPACES = {
    "rdf": packets.RDF,
    "Iptc4xmpExt": packets.NAMESPACES["Iptc4xmpExt"],
    "archivecolor": NAMESPACE,
}
_DECLARATIONS = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in _NAMESPACES.items())
_OPENING, _CLOSING = f'<rdf:Description rdf:about=""{_DECLARATIONS}>', "</rdf:Description>"
_NO_PACKET = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{packets.RDF}"></rdf:RDF></x:xmpmeta>'.encode()
TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SOURCE_TYPE = TERMS + SourceType.COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA
"""IPTC's term for a picture that a trained model added to: the scene was captured, its colour was not."""
_SOURCE_TYPE, _CAPTION, _COLOUR = "Iptc4xmpExt:DigitalSourceType", "dc:description", "archivecolor:Colour"
_RDF = (packets.RDF, "RDF")
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
    statements = {
        _SOURCE_TYPE: TERMS + source_type,
        "Iptc4xmpExt:AISystemUsed": f"{tool}, weights {weights_name}",
        "Iptc4xmpExt:AISystemVersionUsed": weights_sha256,
        _COLOUR: "invented by a neural network; the luminance is the original's",
    }
    if guidance:
        statements["Iptc4xmpExt:AIPromptInformation"] = "; ".join(guidance)
    packet, faults = packets.parsed(xmp)
    is_kept = bool(packet) or not faults
    packet = packet or _NO_PACKET
    body = "".join(
        f"<{name}>{escape(packets.printable(value), quote=False)}</{name}>" for name, value in statements.items()
    )
    description = _OPENING + body + _CLOSING
    replaced = {_qualified(name) for name in statements}
    found = packets.find(packet, lambda *key: key in replaced or key == _RDF)
    rdf = next((each for each in found if (each.uri, each.name) == _RDF), None)
    if rdf is None:
        rdf = packets.root(packet)
        description = f'<rdf:RDF xmlns:rdf="{packets.RDF}">{description}</rdf:RDF>'
    edits = [(each.start, each.end, b"") for each in found if (each.uri, each.name) != _RDF]
    packet = packets.edited(packet, [*edits, packets.insertion(rdf, description.encode())])
    return packets.wrapped(packet.replace((_OPENING + _CLOSING).encode(), b"")), is_kept


def own_source_type(xmp: bytes | None) -> str:
    """What the master itself says of where it comes from (`.../negativeFilm`), or ""."""
    return next(iter(stated_values(xmp, _SOURCE_TYPE)), "")


def is_machine_colored(xmp: bytes | None) -> bool:
    """Whether the picture says that this program made its colours."""
    return bool(stated_values(xmp, _COLOUR))


def has_caption(xmp: bytes | None, iptc: bytes | None) -> bool:
    """Whether the picture has words of its own in XMP or IPTC, which nothing of ours may contradict."""
    return _IPTC_CAPTION in (iptc or b"") or bool(stated_values(xmp, _CAPTION))


def caption(tool: str, weights_name: str) -> str:
    """For pictures without one: in EXIF's ImageDescription, where the simplest viewer shows it."""
    return f"The colour in this picture was added by a neural network ({tool}, weights {weights_name})"


def stated_values(xmp: bytes | None, name: str) -> list[str]:
    """What a property says, whether it stands there as an attribute, as a link, as text or as a list."""
    packet = packets.parsed(xmp).text
    wanted = _qualified(name)
    if wanted[1].encode() not in packet:
        return []
    return [value for each in packets.find(packet, lambda *key: key == wanted) for value in each.values]


def _qualified(name: str) -> tuple[str, str]:
    prefix, local = name.split(":")
    return packets.NAMESPACES.get(prefix) or _NAMESPACES[prefix], local
