"""PREMIS 3: what preservation systems read. The output, its source, the event that made one of the other, the agent."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from archivecolor.provenance.records import Record

_PREMIS = "http://www.loc.gov/premis/v3"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_EVENT = "http://id.loc.gov/vocabulary/preservation/eventType/cre"
_MIME = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "mov": "video/quicktime",
    "mkv": "video/x-matroska",
    "webm": "video/webm",
    "avi": "video/x-msvideo",
    "mpg": "video/mpeg",
    "ts": "video/mp2t",
    "mxf": "application/mxf",
}


def media_type(name: str) -> str:
    """The media type that the suffix of a file name stands for."""
    suffix = name.rpartition(".")[2].lower()
    return _MIME.get(suffix, f"image/{suffix}")


def premis(row: Record, size: int, source_size: int | None, when: str, tool: str, source_type: str) -> bytes:
    """The XML of one finished row.

    Args:
        size, source_size: bytes of the output and of its source; None when that is not at hand.
        when: ISO 8601, when the picture was finished.
        tool: name and version.
        source_type: the full IPTC term.
    """
    ElementTree.register_namespace("premis", _PREMIS)
    ElementTree.register_namespace("xsi", _XSI)
    root = Element(_name("premis"), {"version": "3.0"})
    output, source = f"sha256:{row.output_sha256}", f"sha256:{row.source_sha256}"
    event, agent = f"colouring of {output}", f"{tool}, weights {row.model} {row.weights_sha256}"
    _object(root, output, row.output or "", row.output_sha256, size, source)
    _object(root, source, row.source, row.source_sha256, source_size, None)
    _event(root, event, when, agent, output, source, _details(row, source_type))
    _agent(root, agent, event)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _details(row: Record, source_type: str) -> str:
    what = "film" if row.film else "picture"
    measured = "" if row.max_delta_l is None else f" (largest |ΔL*| {row.max_delta_l})"
    return (
        f"Colour was added to a monochrome {what} by a neural network; its luminance was kept{measured}. "
        f"Weights SHA-256 {row.weights_sha256}; options {row.options}; "
        f"IPTC digital source type {source_type}"
    )


def _object(root: Element, key: str, name: str, sha256: str, size: int | None, made_from: str | None) -> None:
    one = SubElement(root, _name("object"), {f"{{{_XSI}}}type": "premis:file"})
    _identifier(one, "object", key)
    about = SubElement(one, _name("objectCharacteristics"))
    fixity = SubElement(about, _name("fixity"))
    _text(fixity, "messageDigestAlgorithm", "SHA-256")
    _text(fixity, "messageDigest", sha256)
    if size is not None:
        _text(about, "size", str(size))
    kind = SubElement(SubElement(about, _name("format")), _name("formatDesignation"))
    _text(kind, "formatName", media_type(name))
    _text(one, "originalName", name)
    if made_from:
        relation = SubElement(one, _name("relationship"))
        _text(relation, "relationshipType", "derivation")
        _text(relation, "relationshipSubType", "has source")
        other = SubElement(relation, _name("relatedObjectIdentifier"))
        _text(other, "relatedObjectIdentifierType", "hash")
        _text(other, "relatedObjectIdentifierValue", made_from)


def _event(root: Element, key: str, when: str, agent: str, output: str, source: str, details: str) -> None:
    one = SubElement(root, _name("event"))
    _identifier(one, "event", key)
    SubElement(one, _name("eventType"), {"valueURI": _EVENT}).text = "creation"
    _text(one, "eventDateTime", when)
    _text(SubElement(one, _name("eventDetailInformation")), "eventDetail", details)
    _text(SubElement(one, _name("eventOutcomeInformation")), "eventOutcome", "success")
    by = SubElement(one, _name("linkingAgentIdentifier"))
    _text(by, "linkingAgentIdentifierType", "software")
    _text(by, "linkingAgentIdentifierValue", agent)
    for linked, role in ((source, "source"), (output, "outcome")):
        link = SubElement(one, _name("linkingObjectIdentifier"))
        _text(link, "linkingObjectIdentifierType", "hash")
        _text(link, "linkingObjectIdentifierValue", linked)
        _text(link, "linkingObjectRole", role)


def _agent(root: Element, key: str, event: str) -> None:
    one = SubElement(root, _name("agent"))
    for part, value in (("Type", "software"), ("Value", key)):
        holder = one.find(_name("agentIdentifier"))
        holder = SubElement(one, _name("agentIdentifier")) if holder is None else holder
        _text(holder, f"agentIdentifier{part}", value)
    _text(one, "agentName", key)
    _text(one, "agentType", "software")
    linked = SubElement(one, _name("linkingEventIdentifier"))
    _text(linked, "linkingEventIdentifierType", "local")
    _text(linked, "linkingEventIdentifierValue", event)


def _identifier(parent: Element, kind: str, value: str) -> None:
    holder = SubElement(parent, _name(f"{kind}Identifier"))
    _text(holder, f"{kind}IdentifierType", "hash" if kind == "object" else "local")
    _text(holder, f"{kind}IdentifierValue", value)


def _text(parent: Element, name: str, text: str) -> None:
    """A child with text; what XML cannot hold (raw bytes of a name, a control character) becomes a question mark."""
    legal = "".join(c if c in "\t\n\r" or " " <= c <= "\ud7ff" or c >= "\ue000" else "?" for c in text)
    SubElement(parent, _name(name)).text = legal


def _name(local: str) -> str:
    return f"{{{_PREMIS}}}{local}"
