"""The disclosure inside every file's XMP."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from archivecolor.provenance import SOURCE_TYPE, disclosure

# --- disclosure -------------------------------------------------------------------------------------------------------

RICH = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:my="urn:my" my:box="17"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" Iptc4xmpExt:DigitalSourceType="old">
<dc:creator><rdf:Seq><rdf:li>Grete Häusler</rdf:li></rdf:Seq></dc:creator>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Wagen &amp; Pferde</rdf:li></rdf:Alt></dc:title>
<my:deep rdf:parseType="Resource"><my:er>still here</my:er></my:deep>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode()
EXT = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"


def disclosed(xmp: bytes | None) -> ElementTree.Element:
    packet, _ = disclosure(xmp, "archivecolor 1", "lite", "f00d")
    return ElementTree.fromstring(packet.decode("utf-8"))


def values(root: ElementTree.Element, tag: str) -> list[str | None]:
    """Of a property, wherever it stands: as an element or as an attribute."""
    found = [element.text for element in root.iter(tag)]
    return found + [element.attrib[tag] for element in root.iter() if tag in element.attrib]


@pytest.mark.parametrize("xmp", [None, b"", RICH])
def test_every_picture_says_that_its_colour_was_added(xmp: bytes | None) -> None:
    root = disclosed(xmp)
    assert values(root, EXT + "DigitalSourceType") == [SOURCE_TYPE]
    assert values(root, EXT + "AISystemUsed") == ["archivecolor 1, weights lite"]
    assert values(root, EXT + "AISystemVersionUsed") == ["f00d"]
    assert root.tag == "{adobe:ns:meta/}xmpmeta"


def test_what_the_picture_said_before_stays() -> None:
    _, kept = disclosure(RICH, "archivecolor 1", "lite", "f00d")
    root = disclosed(RICH)
    assert kept
    assert values(root, "{urn:my}box") == ["17"]
    assert values(root, "{urn:my}er") == ["still here"]
    rdf = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
    assert values(root, rdf + "li") == ["Grete Häusler", "Wagen & Pferde"]
    titles = root.findall(f".//{{http://purl.org/dc/elements/1.1/}}title/{rdf}Alt/{rdf}li")
    assert [title.get("{http://www.w3.org/XML/1998/namespace}lang") for title in titles] == ["x-default"]


def test_the_same_packet_every_time() -> None:
    first = disclosure(RICH, "archivecolor 1", "lite", "f00d")
    disclosure(b'<a xmlns:q="urn:q" q:b="c"/>', "t", "n", "s")
    assert disclosure(RICH, "archivecolor 1", "lite", "f00d") == first
    code = "from test_xmp import *; print(disclosure(RICH, 'archivecolor 1', 'lite', 'f00d')[0].decode())"
    elsewhere = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code], capture_output=True, cwd=Path(__file__).parent, check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert elsewhere.stdout.strip() == first[0].strip()


def test_a_picture_coloured_twice_says_it_once() -> None:
    once, _ = disclosure(RICH, "archivecolor 0", "old", "dead")
    root = disclosed(once)
    assert values(root, EXT + "AISystemVersionUsed") == ["f00d"]
    assert values(root, EXT + "DigitalSourceType") == [SOURCE_TYPE]
    assert disclosure(once, "a", "b", "c")[0].count(b"AISystemUsed>") == 2


BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>
<x:xmpmeta xmlns:x="adobe:ns:meta/">&b;</x:xmpmeta>"""


@pytest.mark.parametrize("xmp", [b"\xff\xfe\x00", b"<x:xmpmeta", RICH[:300], b"no xml at all", BOMB])
def test_damaged_xmp_is_replaced_and_said_to_be(xmp: bytes) -> None:
    packet, kept = disclosure(xmp, "archivecolor 1", "lite", "f00d")
    assert not kept
    assert values(disclosed(xmp), EXT + "DigitalSourceType") == [SOURCE_TYPE]
    assert b"aaaaaaaaaa" not in packet


@pytest.mark.parametrize("padding", [b"\x00" * 50, b"\n" + b" " * 2000, b"\r\n\t"])
def test_padding_around_the_packet_is_no_damage(padding: bytes) -> None:
    assert disclosure(RICH + padding, "a", "b", "c") == disclosure(RICH, "a", "b", "c")


def test_a_bare_rdf_root_is_no_damage() -> None:
    rdf = b'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">%s</r:RDF>'
    bare = rdf % b'<r:Description r:about="" xmlns:m="urn:m" m:k="v"/>'
    packet, kept = disclosure(bare, "a", "b", "c")
    root = ElementTree.fromstring(packet.decode("utf-8"))
    assert kept
    assert values(root, "{urn:m}k") == ["v"]
    assert values(root, EXT + "AISystemVersionUsed") == ["c"]
