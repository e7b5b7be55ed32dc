"""Sidecars: all that is needed to make the picture again, under names of their own."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.disclosed import Colour, sidecar
from support.doubles import colour, grey, save_grey_tree

from archivecolor import files
from archivecolor.errors import OutputError
from archivecolor.options import Digest, Disclosure
from archivecolor.provenance import DONE, FAILED, LOCK, MANIFEST, read_rows, sidecar_of

# --- sidecars ---------------------------------------------------------------------------------------------------------


def test_a_sidecar_has_all_that_is_needed_to_make_the_picture_again(
    go: Colour, src: Path, out: Path, ink: Path, tmp_path: Path
) -> None:
    save_grey_tree(src, 3)
    rows = go(strength=0.7)
    for row in rows:
        assert row.output is not None
        content = sidecar(out, row.output)
        assert content["made_by"].startswith("archivecolor ")
        assert content["source"]["sha256"] == files.sha256(Path(content["source"]["path"])) == row.source_sha256
        assert content["output"] == {"name": row.output, "sha256": files.sha256(out / row.output)}
        assert content["weights"]["sha256"] == json.loads((ink / "card.json").read_text())["sha256"]
        assert (content["device"], content["precision"]) == ("cpu", "fp32")
        assert content["max_delta_l"] == row.max_delta_l
        assert content["versions"].keys() >= {"python", "torch", "numpy", "tifffile"}
        assert content["begun"] <= content["finished"]
    recorded = sidecar(out, rows[0].output or "")["options"]
    again = colour(
        src, out=tmp_path / "again", model=Path(recorded["model"]), strength=recorded["color"]["strength"],
        size=recorded["color"]["size"], tiles=recorded["color"]["tiles"], precision=recorded["precision"],
        format=recorded["format"], quality=recorded["quality"],
    )  # fmt: skip
    assert [row.output_sha256 for row in again] == [row.output_sha256 for row in rows]
    assert {row.options for row in again} == {recorded["digest"]}


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

    def full(self: Path, *arguments: Any, **more: Any) -> int:
        if self.name.endswith(files.PART_SUFFIX):
            raise OSError(28, "No space left on device")
        return write(self, *arguments, **more)

    with monkeypatch.context() as patch, pytest.raises(OutputError, match="No space left"):
        patch.setattr(Path, "write_text", full)
        go()
    assert not any(row.status == DONE for row in read_rows(out).values())
    assert not (out / LOCK).exists()
    assert {row.status for row in go()} == {DONE}


def test_options_of_the_disclosure_decide_the_bytes_but_the_sidecar_does_not() -> None:
    plain = Disclosure()
    for change in ({"mark": "x"}, {"source_type": "composite"}, {"c2pa": "a,b"}):
        assert replace(plain, **change).digest_fields(Digest.PHOTO) != plain.digest_fields(Digest.PHOTO)
    assert replace(plain, sidecar=False).digest_fields(Digest.PHOTO) == plain.digest_fields(Digest.PHOTO)
    assert MANIFEST not in json.dumps(plain.digest_fields(Digest.PHOTO))
