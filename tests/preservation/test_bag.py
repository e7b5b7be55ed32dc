"""Bags and their PREMIS: valid until one byte breaks."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image
from support.command_line import call
from support.damage import flip
from support.doubles import colour, contents, grey
from support.needs import package

from archivecolor.errors import ArchivecolorError, MissingDependencyError, NoInputError, OutputError
from archivecolor.preservation.bag import bag
from archivecolor.provenance import LOCK, read_rows

# --- bags -------------------------------------------------------------------------------------------------------------

P = "{http://www.loc.gov/premis/v3}"


@pytest.fixture
def bagit() -> Any:
    return package("bagit")


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
    with pytest.raises(OutputError, match="inside the folder"):
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
