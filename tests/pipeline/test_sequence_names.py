"""Which files become one film, and that no two sources share an output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import pytest
import tifffile
from PIL import Image
from support.doubles import colour, grey
from support.needs import needs
from support.reels import film_of, save_dpx, save_reel

from archivecolor import files
from archivecolor.errors import NoInputError
from archivecolor.options import FilmOptions
from archivecolor.pipeline import inputs as inputs_module
from archivecolor.pipeline.media import is_numbered_picture
from archivecolor.provenance import DONE, FAILED


def test_which_files_become_one_job(src: Path, out: Path) -> None:
    save_reel(src / "one", range(3))
    save_reel(src / "two", range(5, 7))
    for name in ("page_01.png", "page_02.png", "portrait.png"):
        Image.fromarray(grey()).save(src / name)

    def found_names(*inputs: str, sequences: bool = False) -> list[str]:
        frame = is_numbered_picture if sequences else (lambda path: path.suffix == ".dpx")
        pictures = (".png", ".dpx")
        return [
            job.name
            for job in inputs_module.find_inputs(
                inputs, out, inputs_module.Search(lambda p: p.suffix in pictures, frame)
            )
        ]

    assert found_names(str(src)) == [
        "one/reel_%06d.dpx", "page_01.png", "page_02.png", "portrait.png", "two/reel_%06d.dpx",
    ]  # fmt: skip
    assert found_names(str(src), sequences=True) == [
        "one/reel_%06d.dpx", "page_%02d.png", "portrait.png", "two/reel_%06d.dpx",
    ]  # fmt: skip
    assert found_names(str(src / "page_%02d.png")) == ["page_%02d.png"]
    assert found_names(str(src), str(src / "page_%02d.png")) == [
        "one/reel_%06d.dpx", "portrait.png", "two/reel_%06d.dpx", "page_%02d.png",
    ]  # fmt: skip
    assert found_names(str(src / "one/*.dpx")) == ["reel_%06d.dpx"]
    with pytest.raises(NoInputError, match="there is no file of this number pattern"):
        found_names(str(src / "page_%05d.png"))


@needs("scenedetect", "av")
def test_a_reel_in_another_format_and_photographs_share_no_file(src: Path, out: Path, ink: Path) -> None:
    for i in range(1, 4):
        save_dpx(src / f"f_{i:04d}.dpx", i)
        cv2.imwrite(str(src / f"f_{i:04d}.png"), grey(40, 56, seed=i))
    for overwrite in (False, True, True):
        rows = colour(src, out=out, model=ink, film=FilmOptions(fps="24", codec="png"), overwrite=overwrite)
        assert {row.status for row in rows} == {DONE}
        assert {row.output: files.sha256(out / row.output) for row in rows} == {r.output: r.output_sha256 for r in rows}
        assert {row.output for row in rows} == {
            "f_0001-0003.dpx_frames/f_%04d.png", *(f"f_{i:04d}.png" for i in range(1, 4))
        }  # fmt: skip
        assert all(cv2.imread(str(out / f"f_{i:04d}.png")).shape == (40, 56, 3) for i in range(1, 4))


@needs("scenedetect", "av")
def test_reels_of_one_name_and_two_formats_share_no_file(src: Path, out: Path, ink: Path) -> None:
    for i in range(1, 4):
        save_dpx(src / f"f_{i:04d}.dpx", i)
        tifffile.imwrite(src / f"f_{i:04d}.tif", grey(40, 56, seed=i))
    rows = colour(src, out=out, model=ink, film=FilmOptions(fps="24", codec="png", sequences=True), overwrite=True)
    assert [(row.status, row.output) for row in rows] == [
        (DONE, "f_0001-0003.dpx_frames/f_%04d.png"), (DONE, "f_0001-0003.tif_frames/f_%04d.png"),
    ]  # fmt: skip
    assert all(files.sha256(out / row.output) == row.output_sha256 for row in rows)


@needs("scenedetect", "av")
def test_one_frame_in_another_format_leaves_a_photograph_its_name(src: Path, out: Path, ink: Path) -> None:
    save_dpx(src / "still.dpx", 0)
    cv2.imwrite(str(src / "still.png"), grey(40, 56))
    rows = colour(src, out=out, model=ink, film=FilmOptions(fps="24", codec="png"), overwrite=True)
    assert [(row.status, row.output) for row in rows] == [(DONE, "still.dpx.png"), (DONE, "still.png")]


@needs("scenedetect")
def test_photographs_whose_format_changes_leave_a_reel_its_names(src: Path, out: Path, ink: Path) -> None:
    for i in range(1, 4):
        cv2.imwrite(str(src / f"f_{i:04d}.png"), grey(40, 56, seed=i))
    tifffile.imwrite(src / "f_0002.tif", grey(48, 64, seed=9))
    rows = colour(src / "f_%04d.png", src / "f_0002.tif", out=out, model=ink, format="png", overwrite=True)
    assert [(row.status, row.output) for row in rows] == [(DONE, "f_%04d.png"), (DONE, "f_0002.tif.png")]
    assert files.sha256(out / "f_%04d.png") == rows[0].output_sha256


def test_frames_are_taken_away_only_where_a_row_names_them(src: Path, out: Path, ink: Path) -> None:
    pattern = save_reel(src, [0, 1, 2, 5])
    assert film_of(pattern, out, ink).film["numbers"] == [[0, 2], [5, 5]]
    strange = out / "reel_000004.dpx"
    strange.write_bytes(b"somebody's")
    (src / "reel_000005.dpx").unlink()
    row = film_of(pattern, out, ink, overwrite=True)
    assert row.status == FAILED
    assert "reel_000004.dpx was not made by this program from these frames" in row.reason
    assert strange.read_bytes() == b"somebody's"


def dpx_found(out: Path, *inputs: Any) -> list[tuple[str, str]]:
    jobs = inputs_module.find_inputs(
        list(map(str, inputs)), out, inputs_module.Search(lambda p: True, lambda p: p.suffix == ".dpx")
    )
    return [(job.name, f"{job.source.parent.name}/{job.source.name}") for job in jobs]


def test_some_frames_that_are_named_are_not_the_whole_reel(src: Path, out: Path, tmp_path: Path) -> None:
    save_reel(src, range(12))
    for n in (8, 9, 10, 11, 12):
        save_dpx(src / f"z/f_{n}.dpx", n)
    (tmp_path / "list.txt").write_text(f"{src}/reel_000003.dpx\n{src}/reel_000004.dpx\n")
    some = [(f"reel_00000{n}.dpx", f"src/reel_00000{n}.dpx") for n in (3, 4)]
    assert dpx_found(out, src / "reel_000003.dpx") == some[:1]
    assert dpx_found(out, src / "reel_00000[34].dpx") == some
    assert dpx_found(out, f"@{tmp_path / 'list.txt'}") == some
    assert dpx_found(out, src / "z/f_10.dpx") == [("f_10.dpx", "z/f_10.dpx")]
    assert dpx_found(out, src / "z/*.dpx") == [("f_%d.dpx", "z/f_%d.dpx")]
    assert dpx_found(out, src / "reel_*.dpx") == [("reel_%06d.dpx", "src/reel_%06d.dpx")]


def test_no_reel_vanishes_behind_one_of_the_same_name(src: Path, out: Path) -> None:
    save_reel(src / "x", [1, 2])
    save_reel(src / "y", [100])
    expected = [("reel_%06d.dpx", "x/reel_%06d.dpx"), ("y/reel_%06d.dpx", "y/reel_%06d.dpx")]
    assert dpx_found(out, src / "x", src / "y/reel_000100.dpx") == expected
    save_reel(src / "y", [1])
    assert dpx_found(out, src / "x", src / "y/*.dpx") == expected
