"""verify and bag: a finished folder is what its manifest says, and whatever has happened to it since is found."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from doubles import colour, contents, grey, save_grey_tree
from PIL import Image
from typer.testing import CliRunner

from archivecolor import cli, files
from archivecolor.bag import bag
from archivecolor.errors import ArchivecolorError, MissingDependencyError, NoInputError, OutputError
from archivecolor.options import Disclosure
from archivecolor.provenance import LOCK, MANIFEST, read_rows
from archivecolor.verify import CHANGED, EXTRA, LUMINANCE, MISSING, Verdict, verify


@pytest.fixture
def finished(src: Path, out: Path, ink: Path) -> Path:
    """A folder with four pictures in it, one source that failed, and sidecars."""
    save_grey_tree(src, 4)
    (src / "broken.png").write_bytes(b"\x89PNG no more")
    colour(src, out=out, model=ink, disclosure=Disclosure())
    return out


def found(verdict: Verdict) -> set[tuple[str, str]]:
    return {(finding.what, finding.name) for finding in verdict.findings if finding.wrong}


def flip(path: Path, at: int = -20) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_finished_folder_is_sound(finished: Path) -> None:
    verdict = verify(finished)
    assert found(verdict) == set()
    assert (verdict.pictures, verdict.sources, len(verdict.measured)) == (4, 5, 4)
    assert [finding.name for finding in verdict.findings] == ["broken.png"], "it is named, and no fault of the folder"
    for measured in verdict.measured:
        assert measured.max_delta_l == pytest.approx(measured.recorded, abs=0.01)
        assert measured.max_delta_l > 0


def test_everything_that_can_have_happened_is_found(finished: Path, src: Path) -> None:
    flip(finished / "box0/00.tif")
    (finished / "box1/01.png").unlink()
    (finished / "box0/02.png.json").unlink()
    (finished / "notes.txt").write_text("mine")
    (src / "box0/02.png").unlink()
    flip(src / "box1/03.tif")
    shutil.copy(finished / "box0/00.tif.json", finished / "box1/03.tif.json")
    assert found(verify(finished)) == {
        (CHANGED, "box0/00.tif"), (MISSING, "box1/01.png"), (MISSING, "box0/02.png.json"), (EXTRA, "notes.txt"),
        (MISSING, str(src / "box0/02.png")), (CHANGED, str(src / "box1/03.tif")), (CHANGED, "box1/03.tif.json"),
    }  # fmt: skip


def test_nothing_is_changed(finished: Path, src: Path) -> None:
    before = contents(finished), contents(src)
    verify(finished)
    assert (contents(finished), contents(src)) == before


def test_luminance_that_is_not_the_sources_is_found(finished: Path) -> None:
    """An output of other lightness, with a manifest that was made to fit."""
    path = finished / "box0/00.tif"
    picture = tifffile.imread(path)
    tifffile.imwrite(path, picture - picture // 50, photometric="rgb")
    lines = [json.loads(line) for line in (finished / MANIFEST).read_text().splitlines()]
    for row in lines:
        if row.get("output") == "box0/00.tif":
            row["output_sha256"], row["sidecar"] = files.sha256(path), False
    (finished / MANIFEST).write_text("".join(json.dumps(row) + "\n" for row in lines))
    (finished / "box0/00.tif.json").unlink()
    assert found(verify(finished)) == {(LUMINANCE, "box0/00.tif")}
    assert found(verify(finished, sample=0)) == set()


@pytest.mark.parametrize("orientation", [1, 6])
def test_marks_turned_pages_and_lossy_outputs_are_measured_fairly(
    src: Path, out: Path, ink: Path, orientation: int
) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    for name in ("a.png", "a.jpg", "a.tif", "a.webp"):
        Image.fromarray(grey(150, 220)).save(src / name, exif=exif)
    tifffile.imwrite(src / "deep.tif", np.stack([grey(150, 220, np.uint16)] * 2))
    colour(src, out=out, model=ink, disclosure=Disclosure(mark="auto"))
    verdict = verify(out)
    assert found(verdict) == set()
    lossy = {measured.name: measured.lossy for measured in verdict.measured}
    assert lossy == {"a.png": False, "a.jpg": True, "a.tif": False, "a.webp": True, "deep.tif": False}
    assert next(m for m in verdict.measured if m.name == "deep.tif").max_delta_l < 0.01, "the mark is left out"
    assert all(measured.mean_delta_l < 1 for measured in verdict.measured)


def test_outputs_of_earlier_options_are_known(src: Path, out: Path, ink: Path) -> None:
    save_grey_tree(src, 2)
    for format in ("jpeg", "same"):
        colour(src, out=out, model=ink, format=format, disclosure=Disclosure())
    assert verify(out).sound


def test_names_of_any_bytes(src: Path, out: Path, ink: Path) -> None:
    Image.fromarray(grey()).save(src / os.fsdecode(b"non\xff\n.png"))
    colour(src, out=out, model=ink, disclosure=Disclosure())
    assert verify(out).sound
    (out / os.fsdecode(b"non\xff\n.png")).unlink()
    assert not json.loads(verify(out).as_json())["sound"]


def call(*words: str) -> Any:
    return CliRunner().invoke(cli.app, list(words))


def test_the_verb_verify(finished: Path) -> None:
    sound = call("verify", str(finished), "--sample", "2")
    assert sound.exit_code == 0
    assert "4 pictures and 5 sources hashed, 2 measured" in sound.stdout
    told = json.loads(call("verify", str(finished), "--sample", "3", "--json").stdout)
    assert (told["sound"], len(told["measured"])) == (True, 3)
    chosen = [
        {m["name"] for m in json.loads(call("verify", str(finished), "--sample", "1", "--seed", s, "--json").stdout)
         ["measured"]} for s in ("0", "1", "2", "3")
    ]  # fmt: skip
    assert len(set.union(*chosen)) > 1, "another seed, another sample"
    (finished / "box1/01.png").unlink()
    broken = call("verify", str(finished))
    assert broken.exit_code == 3
    assert "missing" in broken.stdout
    assert "NOT" in broken.stdout
    nothing = call("verify", str(finished / "box1"))
    assert isinstance(nothing.exception, NoInputError)


# --- bags -------------------------------------------------------------------------------------------------------------

P = "{http://www.loc.gov/premis/v3}"


@pytest.fixture
def bagit() -> Any:
    return pytest.importorskip("bagit", reason="bagit is not installed: bags go untested")


def test_a_bag_is_valid_until_one_byte_breaks(finished: Path, tmp_path: Path, bagit: Any) -> None:
    before = contents(finished)
    assert bag(finished, tmp_path / "bags/b", "An archive") == 4
    assert contents(finished) == before
    made = bagit.Bag(str(tmp_path / "bags/b"))
    made.validate()
    assert made.info["Source-Organization"] == "An archive"
    assert contents(tmp_path / "bags/b/data") == before, "the payload is exactly the folder"
    assert not list((tmp_path / "bags").glob(".*"))
    flip(tmp_path / "bags/b/data/box0/00.tif")
    with pytest.raises(bagit.BagValidationError, match=r"box0/00\.tif"):
        made.validate()


def test_premis_is_part_of_what_is_validated(finished: Path, tmp_path: Path, bagit: Any) -> None:
    bag(finished, tmp_path / "b")
    flip(tmp_path / "b/metadata/premis/box0/00.tif.xml")
    with pytest.raises(bagit.BagValidationError, match="premis"):
        bagit.Bag(str(tmp_path / "b")).validate()


def test_premis_says_what_was_made_of_what(finished: Path, tmp_path: Path, bagit: Any, src: Path) -> None:
    bag(finished, tmp_path / "b")
    row = read_rows(finished)["box0/00.tif"]
    root = ElementTree.parse(tmp_path / "b/metadata/premis/box0/00.tif.xml").getroot()
    assert (root.tag, root.get("version")) == (P + "premis", "3.0")
    digests = [element.text for element in root.iter(P + "messageDigest")]
    assert digests == [row.output_sha256, row.source_sha256]
    sizes = [int(element.text or 0) for element in root.iter(P + "size")]
    assert sizes == [(finished / "box0/00.tif").stat().st_size, (src / "box0/00.tif").stat().st_size]
    (event,) = root.iter(P + "event")
    sidecar = json.loads((finished / "box0/00.tif.json").read_text())
    assert event.findtext(P + "eventDateTime") == sidecar["finished"]
    assert row.weights_sha256 in (event.findtext(f"{P}eventDetailInformation/{P}eventDetail") or "")
    linked = {
        link.findtext(P + "linkingObjectRole"): link.findtext(P + "linkingObjectIdentifierValue")
        for link in event.iter(P + "linkingObjectIdentifier")
    }
    assert linked == {"source": f"sha256:{row.source_sha256}", "outcome": f"sha256:{row.output_sha256}"}
    assert root.findtext(f"{P}object/{P}relationship/{P}relationshipSubType") == "has source"
    assert "archivecolor" in (root.findtext(f"{P}agent/{P}agentName") or "")


def test_names_with_line_breaks_and_accents_of_two_kinds(
    src: Path, out: Path, ink: Path, tmp_path: Path, bagit: Any
) -> None:
    for name in ("line\nbreak & <tag>.png", "\u00e9.png", "100%.png", "bell\x07.png"):
        Image.fromarray(grey()).save(src / name)
    colour(src, out=out, model=ink)
    assert bag(out, tmp_path / "b") == 4
    bagit.Bag(str(tmp_path / "b")).validate()
    for path in (tmp_path / "b/metadata/premis").glob("*.xml"):
        ElementTree.parse(path)


def test_what_cannot_be_bagged_leaves_nothing_behind(
    finished: Path, src: Path, tmp_path: Path, ink: Path, bagit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match="lies in the folder"):
        bag(finished, finished / "b")
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputError, match="exists"):
        bag(finished, tmp_path / "there")
    with pytest.raises(NoInputError):
        bag(src, tmp_path / "b")
    (finished / LOCK).touch()
    with pytest.raises(OutputError, match="run"):
        bag(finished, tmp_path / "b")
    (finished / LOCK).unlink()
    strange = finished / os.fsdecode(b"\xff.txt")
    strange.touch()
    with pytest.raises(OutputError, match="UTF-8"):
        bag(finished, tmp_path / "b")
    strange.unlink()
    flip(finished / "box0/00.tif")
    with pytest.raises(OutputError, match=r"box0/00\.tif is not what its row says"):
        bag(finished, tmp_path / "b")
    (finished / "box0/00.tif").unlink()
    with pytest.raises(OutputError, match="missing"):
        bag(finished, tmp_path / "b")
    monkeypatch.setitem(__import__("sys").modules, "bagit", None)
    with pytest.raises(MissingDependencyError, match=r"archivecolor\[bag\]"):
        bag(finished, tmp_path / "b")
    assert {path.name for path in tmp_path.iterdir()} == {"src", "out", "there", "weights"}


def test_the_verb_bag(finished: Path, tmp_path: Path, bagit: Any) -> None:
    result = call("bag", str(finished), "--out", str(tmp_path / "b"), "--organization", "Us")
    assert result.exit_code == 0
    assert "4 PREMIS events" in result.stdout
    assert bagit.Bag(str(tmp_path / "b")).info["Source-Organization"] == "Us"
    again = call("bag", str(finished), "--out", str(tmp_path / "b"))
    assert isinstance(again.exception, ArchivecolorError)
    assert again.exception.exit_code == 5
