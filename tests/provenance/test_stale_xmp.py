"""What of a packet stays when the pixels are new, and how packets with a fault are read."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from support.disclosed import Colour, sidecar
from support.doubles import grey

from archivecolor import photo
from archivecolor.photo import Page, Photo
from archivecolor.provenance import disclosure, faults_of, without_stale, xmp

PREFIXES = {
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpGImg": "http://ns.adobe.com/xap/1.0/g/img/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "Item": "http://ns.google.com/photos/1.0/container/item/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "dcterms": "http://purl.org/dc/terms/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "ht": "http://archive.example.org/ns/1.0/",
}
BEFORE = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
BEFORE += 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
AFTER = '</rdf:Description></rdf:RDF></x:xmpmeta>\n    <?xpacket end="w"?>'
STAYS = '<!-- a remark --><dc:source>Box 7</dc:source><ht:Shelf ht:row="2">A</ht:Shelf>'


def packet(content: str = STAYS, attributes: str = "") -> bytes:
    declared = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in PREFIXES.items())
    return f"{BEFORE}{declared} {attributes}>{content}{AFTER}".encode()


# --- the policy -------------------------------------------------------------------------------------------------------

STALE = [
    ('photoshop:ColorMode="1"', "photoshop:ColorMode"),
    ("photoshop:ICCProfile='Dot Gain 20%'", "photoshop:ICCProfile"),
    ("<tiff:SamplesPerPixel>1</tiff:SamplesPerPixel>", "tiff:SamplesPerPixel"),
    ('tiff:PhotometricInterpretation="1"', "tiff:PhotometricInterpretation"),
    ("<tiff:BitsPerSample><rdf:Seq><rdf:li>8</rdf:li></rdf:Seq></tiff:BitsPerSample>", "tiff:BitsPerSample"),
    ('exif:ColorSpace="65535"', "exif:ColorSpace"),
    (
        '<xmp:Thumbnails><rdf:Alt><rdf:li rdf:parseType="Resource"><xmpGImg:image>/9j/</xmpGImg:image></rdf:li>'
        "</rdf:Alt></xmp:Thumbnails>",
        "xmp:Thumbnails",
    ),
    ('hdrgm:Version="1.0"', "hdrgm:Version"),
    (
        '<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap"/>'
        "</rdf:li></rdf:Seq></Container:Directory>",
        "Container:Directory",
    ),
    ('GCamera:MotionPhoto="1"', "GCamera:MotionPhoto"),
    ("<GCamera:MicroVideoOffset>1234</GCamera:MicroVideoOffset>", "GCamera:MicroVideoOffset"),
    ('dcterms:provenance="self#jumbf=c2pa"', "dcterms:provenance"),
    ('crs:ConvertToGrayscale="True"', "crs:ConvertToGrayscale"),
    ('crs:Saturation="-100"', "crs:Saturation"),
    ("<crs:Vibrance>-20</crs:Vibrance>", "crs:Vibrance"),
    ('crs:CropTop="0.1"', "crs:CropTop"),
    ("<crs:HasCrop>True</crs:HasCrop>", "crs:HasCrop"),
    (
        '<crs:Look><rdf:Description crs:Name="Adobe Monochrome"><crs:Parameters>'
        '<rdf:Description crs:ConvertToGrayscale="True"/></crs:Parameters></rdf:Description></crs:Look>',
        "crs:Look",
    ),
]


@pytest.mark.parametrize(("statement", "label"), STALE)
def test_what_is_about_the_old_pixels_goes_with_a_note(statement: str, label: str) -> None:
    is_element = statement.startswith("<")
    source = packet(STAYS + statement) if is_element else packet(STAYS, statement)
    kept, notes = without_stale(source)
    assert len(notes) == 1
    assert f"XMP left out: {label} (" in notes[0]
    assert kept is not None
    assert f"{label}" not in kept.decode()
    assert kept.replace(b" >", b">") == without_wrapper_space(packet()), "all else stays as it is"


def without_wrapper_space(source: bytes) -> bytes:
    """The packet without padding, and without the declarations of what no output has."""
    for prefix in ("hdrgm", "Container", "Item"):
        source = source.replace(f' xmlns:{prefix}="{PREFIXES[prefix]}"'.encode(), b"")
    return source.replace(b"\n    <?xpacket", b"<?xpacket").replace(b" >", b">")


@pytest.mark.parametrize(
    "statement",
    [
        'photoshop:ColorMode="3"',
        'photoshop:ICCProfile="sRGB IEC61966-2.1"',
        'tiff:SamplesPerPixel="3"',
        'exif:ColorSpace="1"',
        'crs:ConvertToGrayscale="False" crs:GrayMixerRed="0"',
        'crs:HasCrop="False" crs:CropTop="0"',
        'crs:Saturation="+12"',
        'crs:Exposure2012="+0.50"',
        'tiff:Orientation="6"',
        'tiff:Make="Nikon"',
        'GCamera:hdrp_makernote="abc"',
        'dc:format="image/jpeg"',
    ],
)
def test_what_is_true_of_the_new_pixels_stays(statement: str) -> None:
    kept, notes = without_stale(packet(attributes=statement))
    assert statement in (kept or b"").decode()
    assert notes == ()


def test_the_mark_of_an_extension_goes_without_a_note() -> None:
    kept, notes = without_stale(packet(attributes='xmpNote:HasExtendedXMP="AB"'))
    assert b"HasExtendedXMP=" not in (kept or b"")
    assert notes == ()


def test_a_note_names_each_thing_once_and_not_without_end() -> None:
    many = "".join(f"<crs:Crop{chr(65 + i)}>1</crs:Crop{chr(65 + i)}>" for i in range(20))
    (note,) = without_stale(packet(many + many))[1]
    assert note.count("crs:CropA,") == 1
    assert "and 8 more" in note


@pytest.mark.parametrize("form", ['tiff:Orientation="6"', "<tiff:Orientation>6</tiff:Orientation>"])
def test_the_orientation_follows_pixels_that_were_turned(form: str) -> None:
    sides = "<exif:PixelXDimension>10</exif:PixelXDimension>"
    content, attributes = (sides + form, "") if form.startswith("<") else (sides, form)
    source = packet(content, attributes)
    kept, notes = without_stale(source, 1)
    assert form.replace("6", "1") in (kept or b"").decode()
    assert b"PixelXDimension>" not in (kept or b"")
    assert notes == ()
    assert form in (without_stale(source)[0] or b"").decode(), "pixels that stay where they are"
    assert b"PixelXDimension>" in (without_stale(source, 6)[0] or b"")


def test_prefixes_quotes_and_remarks_stay_as_they_were() -> None:
    private = "<ht:Persons ht:n='2'><rdf:Bag><rdf:li>A</rdf:li></rdf:Bag></ht:Persons><!-- x --><ht:e/>"
    result, is_kept = disclosure(packet(private), "t", "w", "f00d")
    assert is_kept
    assert private in result.decode()
    assert b"ns0:" not in result


# --- packets with a fault ---------------------------------------------------------------------------------------------

SOUND = packet('<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Market day</rdf:li></rdf:Alt></dc:title>' + STAYS)
FAULTY = {
    "control character": SOUND.replace(b"Market day", b"Market\x07 day"),
    "control character as a reference": SOUND.replace(b"Market day", b"Market&#7; day"),
    "latin-1": SOUND.replace(b"Box 7", b"Bo\xeete 7"),
    "text behind the end": SOUND + b'7"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>',
    "two roots": SOUND + SOUND,
    "text before the start": b"http://ns.adobe.com/xap/1.0/\0" + SOUND,
    "undeclared prefix": SOUND.replace(f' xmlns:ht="{PREFIXES["ht"]}"'.encode(), b""),
    "undeclared usual prefix": SOUND.replace(f' xmlns:dc="{PREFIXES["dc"]}"'.encode(), b""),
    "bare ampersand": SOUND.replace(b"Box 7", b"Smith & Co, Box 7"),
    "name of HTML": SOUND.replace(b"Box 7", b"Bo&icirc;te 7, Box 7"),
    "end is missing": SOUND[: SOUND.index(b"</rdf:Description>")],
    "cut in a tag": SOUND[: SOUND.index(b"</rdf:Description>") + 5],
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_packet_with_one_fault_is_kept_as_far_as_it_can_be_read(name: str) -> None:
    assert faults_of(FAULTY[name])
    result, is_kept = disclosure(FAULTY[name], "t", "w", "f00d")
    root = ElementTree.fromstring(result)
    assert is_kept
    assert "Market day" in [text.strip() for text in root.itertext()]
    assert any("7" in (text.text or "") for text in root.iter(f"{{{PREFIXES['dc']}}}source"))
    assert sum(element.tag.endswith("}Shelf") for element in root.iter()) == 1
    assert result.count(b"AISystemUsed>") == 2


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32"])
def test_the_encodings_that_xmp_allows_are_no_fault(encoding: str) -> None:
    assert faults_of(SOUND.decode().encode(encoding)) == ()
    assert disclosure(SOUND.decode().encode(encoding), "t", "w", "f")[0] == disclosure(SOUND, "t", "w", "f")[0]


@pytest.mark.parametrize("rdf", ["<rdf:RDF {0}/>", "<rdf:RDF {0}></rdf:RDF>", ""])
def test_a_packet_without_any_description(rdf: str) -> None:
    form = rdf.format('xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"')
    for source in (f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{form}<!-- </rdf:RDF> --></x:xmpmeta>', form or "<a/>"):
        result, is_kept = disclosure(source.encode(), "t", "w", "f")
        assert is_kept
        assert [e.text for e in ElementTree.fromstring(result).iter() if e.tag.endswith("VersionUsed")] == ["f"]


def test_a_packet_nested_9000_deep_and_one_of_many_megabytes_take_their_time_and_no_more() -> None:
    deep = "<ht:a>" * 9000 + "<ht:b/>" + "</ht:a>" * 9000
    long = "<ht:c>" + "<rdf:li>xmp.did:0123456789</rdf:li>" * 100_000 + "</ht:c>"
    started = time.process_time()
    for content in (deep, long, deep + "<ht:d>"):
        result, is_kept = disclosure(without_stale(packet(content))[0], "t", "w", "f")
        assert is_kept
        assert result.count(b"<ht:a>") == content.count("<ht:a>")
    assert time.process_time() - started < 20, "it grows faster than the packet"


# --- in a run ---------------------------------------------------------------------------------------------------------


def test_the_row_names_what_went_and_the_sidecar_has_a_damaged_packet_whole(go: Colour, src: Path, out: Path) -> None:
    damaged = FAULTY["bare ampersand"].replace(b"rdf:about=", b'photoshop:ColorMode="1" rdf:about=')
    photo.write(src / "a.tif", Photo("tiff", (Page(grey(), xmp=damaged),)), "tiff")
    photo.write(src / "b.tif", Photo("tiff", (Page(grey(), xmp=SOUND),)), "tiff")
    rows = go()
    assert [len(row.notes) for row in rows] == [2, 0]
    assert "photoshop:ColorMode" in rows[0].notes[0]
    assert rows[0].notes[1].startswith("damaged XMP repaired: ")
    assert [base64.b64decode(each) for each in sidecar(out, "a.tif")["source_xmp_base64"]] == [damaged]
    assert "source_xmp_base64" not in sidecar(out, "b.tif")
    result = photo.read(out / "a.tif").pages[0].xmp
    assert b"Smith &amp; Co" in (result or b"")


def test_the_xmp_of_a_picture_that_is_turned_follows_its_pixels(go: Colour, src: Path, out: Path) -> None:
    sideways = packet(attributes='tiff:Orientation="6"')
    block = Image.Exif()
    block[274] = 6
    for name in ("a.avif", "a.jpg"):
        Image.fromarray(np.stack([grey()] * 3, -1)).save(src / name, exif=block, xmp=sideways)
    go()
    for name, size, orientation in (("a.avif", (40, 56), b"1"), ("a.jpg", (56, 40), b"6")):
        with Image.open(out / name) as image:
            assert image.size == size
            assert b'tiff:Orientation="%s"' % orientation in image.info["xmp"]
            assert image.getexif().get(274, 1) == int(orientation)


def test_find_gives_each_property_with_its_place() -> None:
    found = xmp.find(SOUND, lambda uri, name: name in ("title", "row", "about"))
    assert [(each.label, each.values) for each in found] == [
        ("rdf:about", ()),
        ("dc:title", ("Market day",)),
        ("ht:row", ("2",)),
    ]
    assert SOUND[found[1].start : found[1].end].startswith(b"<dc:title><rdf:Alt>")
    assert SOUND[slice(*found[2].inner)] == b"2"
