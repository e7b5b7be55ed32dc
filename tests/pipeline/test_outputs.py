"""Names and formats of outputs."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.doubles import (
    colour,
    grey,
    save_grey_tree,
)
from support.runs import Colour, by_name, save, times

from archivecolor import photo
from archivecolor.options import RunOptions
from archivecolor.photo import Page, Photo
from archivecolor.pipeline import inputs
from archivecolor.pipeline.outputs import target_of
from archivecolor.provenance import DONE, FAILED, MANIFEST

# --- names and formats ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"suffix": "_color"}, ["a_color.png", "b_color.tif"]),
        ({"format": "png"}, ["a.png", "b.png"]),
        ({"format": "jpeg"}, ["a.jpg", "b.jpg"]),
        ({"format": "tiff", "suffix": "-c"}, ["a-c.tif", "b-c.tif"]),
        ({"format": "webp"}, ["a.webp", "b.webp"]),
    ],
)
def test_outputs_are_called_what_was_asked(
    go: Colour, src: Path, out: Path, options: dict[str, Any], expected: list[str]
) -> None:
    save(src / "a.png", grey())
    save(src / "b.tif", grey())
    rows = go(**options)
    assert [row.output for row in rows] == expected
    for name in expected:
        kind = {".jpg": "JPEG", ".tif": "TIFF"}.get(Path(name).suffix, Path(name).suffix[1:].upper())
        assert Image.open(out / name).format == kind


def test_quality(go: Colour, src: Path, out: Path, tmp_path: Path) -> None:
    save(src / "a.jpg", grey(200, 200))
    go(quality=95)
    go(quality=40, out=tmp_path / "small")
    assert (tmp_path / "small/a.jpg").stat().st_size < 0.7 * (out / "a.jpg").stat().st_size


def test_two_formats_of_one_name_stay_two(go: Colour, src: Path, out: Path) -> None:
    save(src / "a.png", grey())
    save(src / "a.tif", grey(seed=1))
    rows = go(format="jpeg")
    assert [row.output for row in rows] == ["a.png.jpg", "a.tif.jpg"]


def test_a_kind_that_is_only_read_becomes_png(go: Colour, src: Path, out: Path) -> None:
    save(src / "a.gif", grey())
    save(src / "really-png.jpg", grey(), format="PNG")
    rows = go()
    assert [(row.status, row.output) for row in rows] == [(DONE, "a.gif.png"), (DONE, "really-png.jpg.png")]
    assert rows[1].notes


def test_no_output_is_shared_even_where_names_conspire(go: Colour, src: Path, out: Path) -> None:
    save(src / "a.gif", grey())
    save(src / "a.gif.png", grey(seed=1))
    for _ in range(2):
        assert [(row.status, row.output) for row in go(workers=4)] == [
            (DONE, "a.gif.color.png"), (DONE, "a.gif.png")
        ]  # fmt: skip
    assert [(row.status, row.output) for row in go(suffix="_c")] == [
        (DONE, "a.gif.color_c.png"), (DONE, "a.gif_c.png")
    ]  # fmt: skip


def test_names_that_conspire_in_every_way_give_an_output_each(go: Colour, src: Path, out: Path) -> None:
    names = ["a.gif", "a.gif.png", "a.gif.color.png", "a.gif.color2.png", "a.gif.color3", "b.gif", "b.gif.color",
             "b.gif.png", "a.gif.color", "a.gif.color.gif"]  # fmt: skip
    for i, name in enumerate(names):
        save(src / name, grey(seed=i), format="GIF" if Path(name).suffix != ".png" else "PNG")
    first = go(workers=4)
    assert {row.status for row in first} == {DONE}
    assert len({row.output for row in first}) == len(names)
    assert go(workers=2) == first
    assert {row.status for row in go(suffix="_c")} == {DONE}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stems=st.sets(
        st.lists(st.sampled_from(["a", "gif", "png", "color", "color2", "jpg"]), min_size=1, max_size=4).map(".".join),
        min_size=2, max_size=8,
    ),
    kinds=st.lists(st.sampled_from(["gif", "png", "jpeg"]), min_size=8, max_size=8),
    suffix=st.sampled_from(["", "_c"]),
)  # fmt: skip
def test_no_two_sources_of_a_folder_share_an_output_whatever_they_hold(
    tmp_path: Path, stems: set[str], kinds: list[str], suffix: str
) -> None:
    folder = tmp_path / "names"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in stems:
        (folder / name).touch()
    options = RunOptions(inputs=(str(folder),), out=tmp_path / "out", suffix=suffix)
    found = inputs.find_inputs(options.inputs, options.out, inputs.Search(lambda path: True), suffix)
    outputs = [
        target_of(job, photo.writable_format(Photo(kind, (Page(np.zeros((2, 2), np.uint8)),)), "same"), options)
        for job, kind in zip(found, itertools.cycle(kinds), strict=False)
    ]
    assert len(set(outputs)) == len(stems)


def test_odd_names_come_through(go: Colour, src: Path, out: Path) -> None:
    names = ["line\nbreak.png", os.fsdecode(b"non\xff.png"), "\u00e9.png", "e\u0301.png", "n" * 246 + ".png", " .png"]
    for i, name in enumerate(names):
        save(src / name, grey(seed=i))
    rows = by_name(go())
    assert rows.keys() == set(names)
    assert {row.status for row in rows.values()} == {DONE}
    assert {path.name for path in out.iterdir()} == {*names, MANIFEST}
    assert by_name(go()) == rows


def test_a_name_that_grows_too_long_fails_alone(go: Colour, src: Path, out: Path) -> None:
    save(src / "a.png", grey())
    save(src / ("n" * 251 + ".png"), grey())
    rows = go(suffix="_in_colour")
    assert [row.status for row in rows] == [DONE, FAILED]
    assert "265 bytes" in rows[1].reason
    assert "--suffix" in rows[1].reason


def test_limit(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 4)
    assert [row.input for row in go(limit=2)] == ["box0/00.tif", "box0/02.png"]
    assert len(times(out)) == 2
    assert len(go()) == 4


def test_single_files(src: Path, out: Path, ink: Path) -> None:
    path = save(src / "deep/a.png", grey())
    rows = colour(path, out=out, model=ink)
    assert [(row.input, row.output) for row in rows] == [("a.png", "a.png")]
