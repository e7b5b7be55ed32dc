"""What every output says of itself: terms, captions, sidecars and marks, read back by libraries that are not ours."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from doubles import colour, grey, lightness, save_grey_tree
from PIL import Image, ImageFont

from archivecolor import files, mark, photo
from archivecolor.errors import OutputError, UsageError
from archivecolor.options import OTHER_SOURCE_TYPES, SOURCE_TYPES, Disclosure
from archivecolor.photo import Page, Photo
from archivecolor.provenance import (
    DONE,
    FAILED,
    LOCK,
    MANIFEST,
    Record,
    has_caption,
    own_source_type,
    read_rows,
    sidecar_of,
)

Colour = Callable[..., list[Record]]
TERM = b"http://cv.iptc.org/newscodes/digitalsourcetype/"
XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:dc="http://purl.org/dc/elements/1.1/">%s</rdf:Description></rdf:RDF></x:xmpmeta>"""


@pytest.fixture
def go(src: Path, out: Path, ink: Path) -> Colour:
    """Colours `src` into `out` as a user would get it, with sidecars; keywords are those of `Disclosure`."""

    def run(disclosure: Disclosure | None = None, **options: Any) -> list[Record]:
        return colour(src, **{"out": out, "model": ink, "disclosure": disclosure or Disclosure(), **options})

    return run


def sidecar(out: Path, name: str) -> dict[str, Any]:
    return json.loads((out / f"{name}.json").read_text())


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
        said = {"description": exif.get(270), "software": exif.get(305)}
        if name == "a.png":
            said |= {"software": image.text["Software"]}
    assert str(said["software"]).startswith("archivecolor ")
    assert str(said["description"]).startswith("The colour in this picture was added by a neural network")


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed: nothing is read back by it")
def test_all_of_it_by_exiftool(go: Colour, src: Path, out: Path) -> None:
    for name in WRITABLE:
        save_master(src / name, Page(grey()))
    rows = go()
    assert {row.status for row in rows} == {DONE}
    read = subprocess.run(
        ["exiftool", "-j", "-n", "-G", *WRITABLE], cwd=out, capture_output=True, text=True, check=True
    ).stdout
    for told in json.loads(read):
        name = told["SourceFile"]
        assert told["XMP:DigitalSourceType"] == (TERM + b"compositeWithTrainedAlgorithmicMedia").decode(), name
        assert told["EXIF:Software"].startswith("archivecolor "), name
        assert "neural network" in told["EXIF:ImageDescription"], name


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


@pytest.mark.parametrize("term", SOURCE_TYPES)
def test_the_terms_that_may_be_chosen(term: str) -> None:
    assert Disclosure(source_type=term).source_type == term
    assert len({Disclosure(source_type=t).decisive()["source_type"] for t in SOURCE_TYPES}) == len(SOURCE_TYPES)


@pytest.mark.parametrize("term", [*OTHER_SOURCE_TYPES, "CompositeWithTrainedAlgorithmicMedia", ""])
def test_the_terms_that_may_not(term: str) -> None:
    with pytest.raises(UsageError, match="--digital-source-type"):
        Disclosure(source_type=term)


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


# --- sidecars ---------------------------------------------------------------------------------------------------------


def test_a_sidecar_has_all_that_is_needed_to_make_the_picture_again(
    go: Colour, src: Path, out: Path, ink: Path, tmp_path: Path
) -> None:
    save_grey_tree(src, 3)
    rows = go(strength=0.7)
    for row in rows:
        assert row.output is not None
        told = sidecar(out, row.output)
        assert told["made_by"].startswith("archivecolor ")
        assert told["source"]["sha256"] == files.sha256(Path(told["source"]["path"])) == row.source_sha256
        assert told["output"] == {"name": row.output, "sha256": files.sha256(out / row.output)}
        assert told["weights"]["sha256"] == json.loads((ink / "card.json").read_text())["sha256"]
        assert (told["device"], told["precision"]) == ("cpu", "fp32")
        assert told["max_delta_l"] == row.max_delta_l
        assert told["versions"].keys() >= {"python", "torch", "numpy", "tifffile"}
        assert told["begun"] <= told["finished"]
    asked = sidecar(out, rows[0].output or "")["options"]
    again = colour(
        src, out=tmp_path / "again", model=Path(asked["model"]), strength=asked["color"]["strength"],
        size=asked["color"]["size"], tiles=asked["color"]["tiles"], precision=asked["precision"],
        format=asked["format"], quality=asked["quality"],
    )  # fmt: skip
    assert [row.output_sha256 for row in again] == [row.output_sha256 for row in rows]
    assert {row.options for row in again} == {asked["digest"]}


def test_a_missing_or_foreign_sidecar_is_noticed_by_the_next_run(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 3)
    rows = go()
    assert go() == rows
    (out / "box1/01.png.json").unlink()
    assert [row.output for row, old in zip(go(), rows, strict=True) if row != old] == ["box1/01.png"]
    assert sidecar(out, "box1/01.png")["output"]["sha256"] == files.sha256(out / "box1/01.png")


def test_without_sidecars(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 2)
    rows = go(Disclosure(sidecar=False))
    assert not list(out.rglob("*.json"))
    assert go(Disclosure(sidecar=False)) == rows
    go()
    assert len(list(out.rglob("*.json"))) == 2


def test_a_file_of_that_name_that_is_not_ours_is_not_replaced(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 2)
    theirs = out / "box1/01.png.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text('{"mine": true}')
    rows = {row.input: row for row in go()}
    assert rows["box1/01.png"].status == FAILED
    assert "01.png.json" in rows["box1/01.png"].reason
    assert theirs.read_text() == '{"mine": true}'
    assert {row.status for row in go(overwrite=True)} == {DONE}


def test_a_source_that_is_called_like_a_sidecar(go: Colour, src: Path, out: Path) -> None:
    Image.fromarray(grey()).save(src / "a.png")
    Image.fromarray(grey(seed=1)).save(src / "a.png.json", format="PNG")
    rows = go()
    assert [(row.status, row.output) for row in rows] == [(DONE, "a.png"), (DONE, "a.png.json.png")]
    assert sidecar(out, "a.png")["source"]["path"] == str(src / "a.png")


@pytest.mark.parametrize(
    "name", ["n" * 251 + ".png", "é" * 125 + ".png", os.fsdecode(b"non\xff\n" + b"x" * 243) + ".png"]
)
def test_sidecars_of_the_longest_and_oddest_names(go: Colour, src: Path, out: Path, name: str) -> None:
    Image.fromarray(grey()).save(src / name)
    (row,) = go()
    assert row.status == DONE, row.reason
    (found,) = out.glob("*.json")
    assert found == sidecar_of(out / name)
    assert json.loads(found.read_text())["output"]["name"] == name
    assert go() == [row]


def test_long_names_that_begin_alike_have_sidecars_of_their_own() -> None:
    assert len({sidecar_of(Path("x" * 250 + f"{i}.png")) for i in range(9)}) == 9


def test_a_sidecar_that_cannot_be_written_ends_the_run(
    go: Colour, src: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_grey_tree(src, 2)
    write = Path.write_text

    def full(self: Path, *given: Any, **more: Any) -> int:
        if self.name.endswith(files.PART_SUFFIX):
            raise OSError(28, "No space left on device")
        return write(self, *given, **more)

    with monkeypatch.context() as patch, pytest.raises(OutputError, match="No space left"):
        patch.setattr(Path, "write_text", full)
        go()
    assert not any(row.status == DONE for row in read_rows(out).values())
    assert not (out / LOCK).exists()
    assert {row.status for row in go()} == {DONE}


# --- the visible mark -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_nothing_outside_the_mark_changes(dtype: type, orientation: int) -> None:
    rgb = np.stack([grey(200, 300, dtype)] * 3, axis=-1)
    marked, fits = mark.burn(rgb, "auto", orientation=orientation)
    free = mark.unmarked(200, 300, "auto", orientation=orientation)
    assert fits
    assert marked.dtype == dtype
    np.testing.assert_array_equal(marked[free], rgb[free])
    assert (marked[~free] != rgb[~free]).any(axis=-1).mean() > 0.5
    assert 0.002 < (~free).mean() < 0.1, "small"


def test_the_mark_stands_below_on_the_right_and_upright() -> None:
    """Turned by 180 degrees it would be a mark of its own somewhere else."""
    rgb = np.full((400, 600, 3), 128, np.uint8)
    straight, _ = mark.burn(rgb, "HOLA")
    turned, _ = mark.burn(rgb, "HOLA", orientation=3)
    np.testing.assert_array_equal(turned[::-1, ::-1], straight)
    changed = np.argwhere((straight != rgb).any(axis=-1))
    assert changed.min(axis=0)[0] > 350
    assert changed.min(axis=0)[1] > 400
    assert tuple(changed.max(axis=0)) == (399, 599)


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_the_mark_is_legible_on_black_and_on_white(shade: int) -> None:
    rgb = np.full((1000, 1500, 3), shade, np.uint8)
    marked, _ = mark.burn(rgb, "Colour added by AI")
    strip = lightness(marked)[~mark.unmarked(1000, 1500, "Colour added by AI")]
    assert np.percentile(strip, 99) - np.percentile(strip, 30) > 35


def test_a_run_with_a_mark(go: Colour, src: Path, out: Path, tmp_path: Path) -> None:
    tifffile.imwrite(src / "a.tif", grey(200, 300, np.uint16))
    Image.fromarray(grey(30, 30)).save(src / "small.png")
    plain = go(out=tmp_path / "plain")
    rows = go(Disclosure(mark="auto"))
    assert rows[0].options != plain[0].options, "another mark means another picture"
    assert sidecar(out, "a.tif")["options"]["disclosure"]["mark"] == "auto"
    assert {row.mark for row in rows} == {"Colour added by AI"}
    assert "too small for the visible mark" in rows[1].notes
    free = mark.unmarked(200, 300, "auto")
    result, same = tifffile.imread(out / "a.tif"), tifffile.imread(tmp_path / "plain/a.tif")
    np.testing.assert_array_equal(result[free], same[free])
    assert (result[~free] != same[~free]).any()


def test_letters_that_the_font_lacks_are_refused_and_another_font_may_have_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--mark-font"):
        mark.check("Farbe hinzugefügt 彩", None)
    with pytest.raises(UsageError, match="--mark-font"):
        mark.check("auto", tmp_path / "nowhere.ttf")
    built_in = ImageFont.load_default(10)
    assert isinstance(built_in.path, io.BytesIO)
    (tmp_path / "own.ttf").write_bytes(built_in.path.getvalue())
    mark.check("Colour, 1911", tmp_path / "own.ttf")


def test_options_of_the_disclosure_decide_the_bytes_but_the_sidecar_does_not() -> None:
    plain = Disclosure()
    for change in ({"mark": "x"}, {"source_type": "composite"}, {"c2pa": "a,b"}):
        assert replace(plain, **change).decisive() != plain.decisive()
    assert replace(plain, sidecar=False).decisive() == plain.decisive()
    assert MANIFEST not in json.dumps(plain.decisive())
