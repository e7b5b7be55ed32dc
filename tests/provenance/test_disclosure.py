"""What every output says of itself: terms, captions and marks, read back by libraries that are not ours."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.disclosed import Colour, sidecar
from support.doubles import grey

from archivecolor import photo
from archivecolor.imaging import watermark
from archivecolor.options import Disclosure
from archivecolor.photo import Page, Photo
from archivecolor.provenance import DONE, has_caption, own_source_type
from archivecolor.provenance.disclosure import disclosure

TERM = b"http://cv.iptc.org/newscodes/digitalsourcetype/"
XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:dc="http://purl.org/dc/elements/1.1/">%s</rdf:Description></rdf:RDF></x:xmpmeta>"""


# --- in every writable format -----------------------------------------------------------------------------------------

WRITABLE = ["a.jpg", "a.png", "a.tif", "a.webp", "a.jp2", "a.avif"]


def save_master(path: Path, page: Page) -> None:
    kind = {"jpg": "jpeg", "tif": "tiff"}.get(path.suffix[1:], path.suffix[1:])
    photo.write(path, Photo(kind, (page,)), kind)


@pytest.mark.parametrize("name", [*WRITABLE, "a.bmp"])
def test_the_disclosure_by_the_bytes_of_the_file(go: Colour, src: Path, out: Path, name: str) -> None:
    """Whatever reads it: the packet stands uncompressed in the file. BMP has no place for it, and the row says so."""
    save_master(src / name, Page(grey()))
    (row,) = go(Disclosure(source_type="algorithmicallyEnhanced"))
    content = (out / name).read_bytes()
    if name == "a.bmp":
        assert any("XMP not carried" in note for note in row.notes)
        assert not any("caption" in note for note in row.notes), "a caption of ours is nothing that was lost"
    else:
        assert TERM + b"algorithmicallyEnhanced" in content
        assert row.weights_sha256.encode() in content
    assert sidecar(out, name)["digital_source_type"] == (TERM + b"algorithmicallyEnhanced").decode()


@pytest.mark.parametrize("name", ["a.jpg", "a.tif", "a.webp", "a.avif", "a.png"])
def test_software_and_caption_by_pillow(go: Colour, src: Path, out: Path, name: str) -> None:
    save_master(src / name, Page(grey()))
    go()
    with Image.open(out / name) as image:
        exif = image.getexif()
        stated = {"description": exif.get(270), "software": exif.get(305)}
        if name == "a.png":
            stated |= {"software": image.text["Software"]}
    assert str(stated["software"]).startswith("archivecolor ")
    assert str(stated["description"]).startswith("The colour in this picture was added by a neural network")


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed: nothing is read back by it")
def test_all_of_it_by_exiftool(go: Colour, src: Path, out: Path) -> None:
    for name in WRITABLE:
        save_master(src / name, Page(grey()))
    rows = go()
    assert {row.status for row in rows} == {DONE}
    read = subprocess.run(
        ["exiftool", "-j", "-n", "-G", *WRITABLE], cwd=out, capture_output=True, text=True, check=True
    ).stdout
    for tags in json.loads(read):
        name = tags["SourceFile"]
        assert tags["XMP:DigitalSourceType"] == (TERM + b"compositeWithTrainedAlgorithmicMedia").decode(), name
        assert tags["EXIF:Software"].startswith("archivecolor "), name
        assert "neural network" in tags["EXIF:ImageDescription"], name


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "a.jp2", "a.avif"])
@pytest.mark.parametrize("where", ["exif", "xmp", "iptc"])
def test_the_pictures_own_caption_is_not_touched(go: Colour, src: Path, out: Path, name: str, where: str) -> None:
    captions = {
        "exif": Page(grey(), description="Wagen & Pferde, 1911"),
        "xmp": Page(grey(), xmp=XMP % b"<dc:description>Wagen, 1911</dc:description>"),
        "iptc": Page(grey(), iptc=b"\x1c\x02\x78\x00\x05Wagen"),
    }
    if where == "iptc" and name in ("a.webp", "a.avif"):
        pytest.skip("holds no IPTC")
    save_master(src / name, captions[where])
    go()
    (result,) = photo.read(out / name).pages
    assert result.description == captions[where].description
    if where == "xmp":
        assert b"Wagen, 1911" in (result.xmp or b"")
    if where == "iptc":
        assert result.iptc == captions["iptc"].iptc


def test_a_caption_of_blanks_is_none(go: Colour, src: Path, out: Path) -> None:
    """What some scanners write."""
    exif = Image.Exif()
    exif[270], exif[271] = "   ", "Scanner & Co"
    Image.fromarray(grey()).save(src / "a.jpg", exif=exif)
    go()
    with Image.open(out / "a.jpg") as image:
        assert image.getexif()[270].startswith("The colour in this picture")
        assert image.getexif()[271] == "Scanner & Co"


@pytest.mark.parametrize(
    "statement",
    [b"<e:DigitalSourceType>u:negativeFilm</e:DigitalSourceType>",
     b'<e:DigitalSourceType rdf:resource="u:negativeFilm"/>',
     b"<e:DigitalSourceType><rdf:Bag><rdf:li>u:negativeFilm</rdf:li></rdf:Bag></e:DigitalSourceType>"],
)  # fmt: skip
def test_what_the_master_says_of_itself_is_kept_in_the_sidecar(
    go: Colour, src: Path, out: Path, statement: bytes
) -> None:
    save_master(src / "a.tif", Page(grey(), xmp=XMP % statement))
    go()
    assert sidecar(out, "a.tif")["source_digital_source_type"] == "u:negativeFilm"
    assert b"negativeFilm" not in (out / "a.tif").read_bytes()


def test_damaged_xmp_says_nothing() -> None:
    assert own_source_type(b"<x:xmpmeta") == ""
    assert not has_caption(b"\xff\xfe", None)


BOMBS = [
    '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><x>&b;</x>',
    '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><x>&a;</x>',
    '<!DOCTYPE x SYSTEM "https://example.org/x.dtd"><x/>',
]


@pytest.mark.parametrize("packet", BOMBS)
def test_entities_in_xmp_count_as_damage(packet: str) -> None:
    damaged, kept = disclosure(b"<no xml", "tool", "w", "0" * 64)
    assert disclosure(packet.encode(), "tool", "w", "0" * 64) == (damaged, kept) == (damaged, False)
    assert own_source_type(packet.encode()) == ""
    assert not has_caption(packet.encode(), None)


def test_a_run_with_a_mark(go: Colour, src: Path, out: Path, tmp_path: Path) -> None:
    tifffile.imwrite(src / "a.tif", grey(200, 300, np.uint16))
    Image.fromarray(grey(30, 30)).save(src / "small.png")
    plain = go(out=tmp_path / "plain")
    rows = go(Disclosure(mark="auto"))
    assert rows[0].options != plain[0].options, "another mark means another picture"
    assert sidecar(out, "a.tif")["options"]["disclosure"]["mark"] == "auto"
    assert {row.mark for row in rows} == {"Colour added by AI"}
    assert "too small for the visible mark" in rows[1].notes
    free = watermark.outside_mark(200, 300, "auto")
    result, same = tifffile.imread(out / "a.tif"), tifffile.imread(tmp_path / "plain/a.tif")
    np.testing.assert_array_equal(result[free], same[free])
    assert (result[~free] != same[~free]).any()
