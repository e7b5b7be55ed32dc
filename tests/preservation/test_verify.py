"""A finished folder is what its manifest says, and whatever has happened to it since is found."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.command_line import call
from support.damage import flip
from support.doubles import colour, contents, grey, save_grey_tree

from archivecolor import files
from archivecolor.errors import NoInputError
from archivecolor.options import Disclosure
from archivecolor.preservation.verify import CHANGED, EXTRA, LUMINANCE, MISSING, VerifyReport, verify
from archivecolor.provenance import MANIFEST, Manifest


def found(verdict: VerifyReport) -> set[tuple[str, str]]:
    return {(finding.what, finding.name) for finding in verdict.findings if finding.wrong}


def test_a_finished_folder_is_sound(finished: Path) -> None:
    verdict = verify(finished)
    assert found(verdict) == set()
    assert (verdict.pictures, verdict.sources, len(verdict.measured)) == (4, 5, 4)
    assert [finding.name for finding in verdict.findings] == ["broken.png"], "it is named, and no fault of the folder"
    for measured in verdict.measured:
        assert measured.max_delta_l == pytest.approx(measured.recorded, abs=0.01)
        assert measured.max_delta_l > 0


def test_a_run_that_is_on_is_told(finished: Path) -> None:
    with Manifest(finished):
        assert verify(finished).running
        assert "a run is writing here now" in call("verify", str(finished)).output
    assert not verify(finished).running


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


def test_the_verb_verify(finished: Path) -> None:
    sound = call("verify", str(finished), "--sample", "2")
    assert sound.exit_code == 0
    assert "4 pictures and 5 sources hashed, 2 measured" in sound.stdout
    report = json.loads(call("verify", str(finished), "--sample", "3", "--json").stdout)
    assert (report["sound"], len(report["measured"])) == (True, 3)
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
