"""run: a tree of scans becomes a tree of colour; whatever happens, the sources stay and every picture has its row."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from doubles import (
    INK,
    ConstantInk,
    colour,
    colour_slowly,
    colourful,
    contents,
    grey,
    lab_of,
    lightness,
    save_grey_tree,
    save_ink,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import archivecolor
from archivecolor import colorize, files, jobs, orient, photo
from archivecolor.errors import NoInputError, OutputError, UsageError, WeightsError
from archivecolor.options import ColorOptions, Disclosure, RunOptions
from archivecolor.outputs import target_of
from archivecolor.pace import Budget
from archivecolor.photo import SRGB_ICC, Page, Photo
from archivecolor.provenance import DONE, FAILED, LOCK, MANIFEST, SKIPPED, SOURCE_TYPE, Record, read_rows
from archivecolor.run import ALREADY_COLOUR, drive
from archivecolor.verify import verify

Colour = Callable[..., list[Record]]


@pytest.fixture
def go(src: Path, out: Path, ink: Path) -> Colour:
    """Colours `src` into `out` with the ink, and sees that the sources stay as they are."""

    def run(**options: Any) -> list[Record]:
        before = contents(src)
        rows = colour(src, **{"out": out, "model": ink, **options})
        assert contents(src) == before
        return rows

    return run


def save(path: Path, samples: np.ndarray, **extra: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, samples, **extra)
    else:
        Image.fromarray(samples).save(path, **extra)
    return path


def page(path: Path) -> Page:
    return photo.read(path).pages[0]


def by_name(rows: list[Record]) -> dict[str, Record]:
    assert len({row.input for row in rows}) == len(rows)
    return {row.input: row for row in rows}


def times(folder: Path) -> dict[str, int]:
    """When each output was last written; the manifest aside, which every run writes anew."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


def delta_l(source: np.ndarray, result: np.ndarray) -> float:
    return float(np.abs(lightness(source) - lightness(result)).max())


# --- colour out -------------------------------------------------------------------------------------------------------


def test_a_tree_is_coloured(go: Colour, src: Path, out: Path) -> None:
    save(src / "a.jpg", grey(), quality=95)
    save(src / "box/b.png", grey(seed=1))
    save(src / "box/deep/c.tif", grey(dtype=np.uint16, seed=2))
    rows = go()
    assert [(row.input, row.output, row.status) for row in rows] == [
        ("a.jpg", "a.jpg", DONE), ("box/b.png", "box/b.png", DONE), ("box/deep/c.tif", "box/deep/c.tif", DONE),
    ]  # fmt: skip
    assert sorted(contents(out)) == ["a.jpg", "box/b.png", "box/deep/c.tif", MANIFEST]
    assert [(row.width, row.height, row.depth, row.format, row.pages) for row in rows] == [
        (56, 40, 8, "jpeg", 1), (56, 40, 8, "png", 1), (56, 40, 16, "tiff", 1),
    ]  # fmt: skip
    for row in rows:
        assert row.output is not None
        assert row.output_sha256 == files.sha256(out / row.output)
        assert row.source_sha256 == files.sha256(src / row.input)
        assert Image.open(out / row.output).format == row.format.upper()
    assert read_rows(out) == by_name(rows)


@pytest.mark.parametrize(
    ("name", "dtype", "most"), [("a.png", np.uint8, 0.3), ("a.tif", np.uint8, 0.3), ("a.tif", np.uint16, 0.002)]
)
@pytest.mark.parametrize("tint", [INK, (80.0, -100.0), (-90.0, 60.0)])
def test_lightness_is_the_scans_own(
    go: Colour, src: Path, out: Path, tmp_path: Path, name: str, dtype: type, most: float, tint: tuple[float, float]
) -> None:
    """The whole ramp and some grain, under colours that the darks and lights of sRGB do not have."""
    full = np.iinfo(dtype).max
    samples = np.concatenate([np.linspace(0, full, 4096).astype(dtype).reshape(64, 64), grey(40, 64, dtype)])
    save(src / name, samples)
    (row,) = go(model=save_ink(tmp_path / "strong", tint))
    result = page(out / name).samples
    assert result.dtype == dtype
    assert result.shape == (104, 64, 3)
    worst = delta_l(samples, result)
    assert worst <= most
    assert row.max_delta_l == pytest.approx(worst, abs=most / 4)
    assert np.ptp(result.astype(int), axis=-1).max() > full / 20, "it has colour"


def test_the_colour_is_the_networks(go: Colour, src: Path, out: Path) -> None:
    save(src / "a.tif", grey(dtype=np.uint16))
    go()
    tone, a, b = np.moveaxis(lab_of(page(out / "a.tif").samples), -1, 0)
    inside = (tone > 40) & (tone < 75)  # where sRGB has this colour
    assert inside.mean() > 0.4
    np.testing.assert_allclose(a[inside], INK[0], atol=0.1)
    np.testing.assert_allclose(b[inside], INK[1], atol=0.1)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.5])
def test_strength(go: Colour, src: Path, out: Path, tmp_path: Path, strength: float) -> None:
    save(src / "a.tif", grey(dtype=np.uint16))
    go(strength=strength, model=save_ink(tmp_path / "pale", (6.0, 8.0)))
    chroma = np.hypot(*np.moveaxis(lab_of(page(out / "a.tif").samples), -1, 0)[1:])
    np.testing.assert_allclose(chroma, strength * 10, atol=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (3, 5), (33, 640), (300, 31)])
@pytest.mark.parametrize("tiles", ["auto", "always", "never"])
def test_any_shape(go: Colour, src: Path, out: Path, shape: tuple[int, int], tiles: str) -> None:
    samples = grey(*shape)
    save(src / "a.png", samples)
    (row,) = go(tiles=tiles)
    assert (row.status, row.reason) == (DONE, "")
    result = page(out / "a.png").samples
    assert result.shape == (*shape, 3)
    assert delta_l(samples, result) <= 0.3
    np.testing.assert_allclose(lab_of(result)[..., 1:].mean(axis=(0, 1)), INK, atol=2)


# --- the envelope -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_network_sees_pictures_upright(go: Colour, src: Path, out: Path, tmp_path: Path, orientation: int) -> None:
    """An ink that grows bluer downwards, in the picture as it is to be seen, not as it is stored."""
    exif = Image.Exif()
    exif[274] = orientation
    save(src / "a.png", grey(), exif=exif)
    go(model=save_ink(tmp_path / "tilted", (0.0, 0.0), tilt=(0.0, -30.0)))
    result = page(out / "a.png")
    assert result.orientation == orientation
    assert result.samples.shape == (40, 56, 3)
    b = orient.upright(lab_of(result.samples)[..., 2], orientation).mean(axis=1)
    assert b[0] > 10
    assert b[-1] < -8  # the ink is bluest at the end of its padded frame


def test_a_grey_profile_is_honoured_and_replaced_by_that_of_the_colour(go: Colour, src: Path, out: Path) -> None:
    samples = grey(dtype=np.uint16)
    save(src / "a.tif", samples, iccprofile=imagecodecs.cms_profile("gray", gamma=1.0))
    go()
    result = page(out / "a.tif")
    assert result.icc == SRGB_ICC
    linear = samples / 65535
    assert np.abs(lightness(result.samples) - (116 * np.cbrt(linear) - 16)).max() < 0.05


def test_a_scan_in_another_rgb_profile_becomes_srgb_of_the_same_lightness(go: Colour, src: Path, out: Path) -> None:
    samples = np.stack([grey(dtype=np.uint16)] * 3, axis=-1)
    save(src / "a.tif", samples, iccprofile=imagecodecs.cms_profile("adobergb"), photometric="rgb")
    go()
    result = page(out / "a.tif")
    assert result.icc == SRGB_ICC
    linear = (samples[..., 0] / 65535) ** 2.19921875
    assert np.abs(lightness(result.samples) - (116 * np.cbrt(linear) - 16)).max() < 0.1


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_kept(go: Colour, src: Path, out: Path, mode: str) -> None:
    alpha = np.random.default_rng(1).integers(0, 256, (40, 56), np.uint8)
    image = Image.fromarray(grey()).convert(mode)
    image.putalpha(Image.fromarray(alpha))
    image.save(src / "a.png")
    go()
    np.testing.assert_array_equal(page(out / "a.png").alpha, alpha)
    assert delta_l(grey(), page(out / "a.png").samples) <= 0.3


def test_every_page_is_coloured_and_colour_pages_stay(go: Colour, src: Path, out: Path) -> None:
    pages = (Page(grey()), Page(colourful(), dpi=(300, 300)), Page(grey(30, 20, np.uint16)))
    photo.write(src / "a.tif", Photo("tiff", pages), "tiff")
    (row,) = go()
    assert (row.status, row.pages) == (DONE, 3)
    result = photo.read(out / "a.tif").pages
    assert [one.samples.shape for one in result] == [(40, 56, 3), (40, 56, 3), (30, 20, 3)]
    assert [one.samples.dtype for one in result] == [np.uint8, np.uint8, np.uint16]
    np.testing.assert_array_equal(result[1].samples, pages[1].samples)
    assert delta_l(pages[0].samples, result[0].samples) <= 0.3
    assert delta_l(pages[2].samples, result[2].samples) <= 0.002
    assert [SOURCE_TYPE.encode() in (one.xmp or b"") for one in result] == [True, False, True]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_every_output_says_that_its_colour_was_added(go: Colour, src: Path, out: Path, ink: Path, name: str) -> None:
    save(src / name, grey())
    (row,) = go()
    xmp = page(out / name).xmp or b""
    assert SOURCE_TYPE.encode() in xmp
    assert row.weights_sha256.encode() in xmp
    assert b"inky" in xmp


def test_xmp_that_could_not_be_kept_is_noted(go: Colour, src: Path, out: Path) -> None:
    save(src / "a.tif", grey(), extratags=[(700, 1, 17, b"<x:xmpmeta damage", True)])
    (row,) = go()
    assert SOURCE_TYPE.encode() in (page(out / "a.tif").xmp or b"")
    assert any("XMP" in note for note in row.notes)


# --- once and again ---------------------------------------------------------------------------------------------------


def test_a_second_run_does_nothing(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 4)
    save(src / "colour.png", colourful())
    rows, before = go(), times(out)
    assert go() == rows
    assert times(out) == before


def test_only_what_changed_is_done_again(go: Colour, src: Path, out: Path) -> None:
    changed, *_ = save_grey_tree(src, 4)
    first, before = by_name(go()), times(out)
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 0x10
    changed.write_bytes(content)
    second, after = by_name(go()), times(out)
    name = changed.relative_to(src).as_posix()
    assert {key for key in after if after[key] != before[key]} == {name}
    assert {key for key in second if second[key] != first[key]} == {name}
    assert second[name].source_sha256 != first[name].source_sha256


def test_what_was_removed_is_made_again(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 3)
    go()
    before = contents(out, lambda path: path.name == MANIFEST)
    (out / "box1/01.png").unlink()
    go()
    assert contents(out, lambda path: path.name == MANIFEST) == before


@pytest.mark.parametrize("options", [{"strength": 0.5}, {"size": 96}, {"tiles": "always"}, {"recolor": True}])
def test_other_options_mean_another_result(go: Colour, src: Path, out: Path, options: dict[str, Any]) -> None:
    save(src / "a.png", grey())
    (first,), before = go(), times(out)
    (second,) = go(**options)
    assert second.options != first.options
    assert times(out) != before


def test_other_weights_mean_another_result(go: Colour, src: Path, out: Path, tmp_path: Path) -> None:
    save(src / "a.png", grey())
    (first,) = go()
    (second,) = go(model=save_ink(tmp_path / "blue", (0.0, -30.0)))
    assert second.output_sha256 != first.output_sha256
    assert second.weights_sha256 != first.weights_sha256


def test_overwrite_does_all_again(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 2)
    go()
    before, bytes_before = times(out), contents(out, lambda path: path.name == MANIFEST)
    go(overwrite=True)
    assert all(times(out)[name] > before[name] for name in before)
    assert contents(out, lambda path: path.name == MANIFEST) == bytes_before


def test_somebody_elses_file_is_never_replaced(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 2)
    theirs = out / "box1/01.png"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"somebody's")
    rows = by_name(go())
    assert [rows[name].status for name in ("box0/00.tif", "box1/01.png")] == [DONE, FAILED]
    assert "--overwrite" in rows["box1/01.png"].reason
    assert theirs.read_bytes() == b"somebody's"
    assert {row.status for row in go(overwrite=True)} == {DONE}
    assert theirs.read_bytes() != b"somebody's"


def test_formats_may_be_changed_back_and_forth(go: Colour, src: Path, out: Path) -> None:
    save(src / "a.png", grey())
    for format in ("same", "tiff", "jpeg", "same", "tiff"):
        (row,) = go(format=format)
        assert (row.status, row.reason) == (DONE, "")
    assert {path.name for path in out.iterdir()} == {"a.png", "a.tif", "a.jpg", MANIFEST}


def test_a_source_that_was_damaged_for_a_while(go: Colour, src: Path, out: Path) -> None:
    path = save(src / "a.png", grey())
    sound = path.read_bytes()
    go()
    path.write_bytes(sound[:60])
    assert go()[0].status == FAILED
    path.write_bytes(sound)
    assert go()[0].status == DONE


def test_the_bytes_do_not_depend_on_company(go: Colour, src: Path, out: Path, tmp_path: Path) -> None:
    save_grey_tree(src, 6)
    go(workers=1, batch=1)
    go(out=tmp_path / "crowd", workers=6, batch=8)
    assert contents(out, lambda path: path.name == MANIFEST) == contents(
        tmp_path / "crowd", lambda path: path.name == MANIFEST
    )


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
    options = RunOptions((str(folder),), tmp_path / "out", suffix=suffix)
    found = jobs.find(options.inputs, options.out, lambda path: True, suffix)
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


# --- what is not coloured ---------------------------------------------------------------------------------------------


def test_colour_pictures_are_skipped(go: Colour, src: Path, out: Path) -> None:
    save(src / "a.png", colourful())
    (row,) = go()
    assert (row.status, row.reason, row.output) == (SKIPPED, ALREADY_COLOUR, None)
    assert times(out) == {}


def test_recolor_colours_them_anyway(go: Colour, src: Path, out: Path) -> None:
    save(src / "a.tif", colourful().astype(np.uint16) * 257)
    (row,) = go(recolor=True)
    assert row.status == DONE
    assert delta_l(colourful(), page(out / "a.tif").samples) <= 0.002


def test_what_cannot_be_read_fails_alone(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 3)
    sound = (src / "box1/01.png").read_bytes()
    for name, content in {"empty.png": b"", "text.jpg": b"no picture", "half.png": sound[: len(sound) // 2]}.items():
        (src / name).write_bytes(content)
    (src / "gone.png").symlink_to(src / "nowhere.png")
    save(src / "huge.png", np.zeros((1100, 1000), np.uint8))
    (src / "folder.png").mkdir()
    before = contents(src)
    rows = by_name(colour(src, out=out, model=out.parent / "weights" / "inky", max_megapixels=1))
    assert contents(src) == before
    failed = {name: row.reason for name, row in rows.items() if row.status == FAILED}
    assert failed.keys() == {"empty.png", "text.jpg", "half.png", "gone.png", "huge.png"}
    assert all(failed.values())
    assert "--max-megapixels" in failed["huge.png"]
    assert all(rows[name].output is None for name in failed)
    assert len(times(out)) == 3
    assert {row.status for name, row in rows.items() if name not in failed} == {DONE}


def test_a_fault_of_our_own_fails_alone_and_asks_for_a_report(
    go: Colour, src: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_grey_tree(src, 3)
    paint = colorize.Colorizer.paint

    def faulty(self: Any, samples: np.ndarray, *rest: Any) -> Any:
        if samples.dtype == np.uint16:
            raise KeyError("a fault")
        return paint(self, samples, *rest)

    monkeypatch.setattr(colorize.Colorizer, "paint", faulty)
    rows = by_name(go())
    assert rows["box0/00.tif"].status == FAILED
    assert "report" in rows["box0/00.tif"].reason
    assert {row.status for name, row in rows.items() if name != "box0/00.tif"} == {DONE}


def test_a_target_folder_that_is_a_file_is_said_to_be_the_fault(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 3)
    out.mkdir()
    (out / "box1").write_bytes(b"a file where a folder must be")
    rows = by_name(go())
    assert rows["box1/01.png"].status == FAILED
    assert "cannot be read" not in rows["box1/01.png"].reason
    assert rows["box0/00.tif"].status == DONE


def test_a_link_in_the_output_that_leads_to_the_sources_is_not_followed(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 3)
    out.mkdir()
    (out / "box1").symlink_to(src / "box1")
    rows = by_name(go(overwrite=True))
    assert (rows["box1/01.png"].status, rows["box0/00.tif"].status) == (FAILED, DONE)
    assert "link" in rows["box1/01.png"].reason


# --- nothing can be done at all ---------------------------------------------------------------------------------------


def test_an_output_that_cannot_be_a_folder(go: Colour, src: Path, out: Path) -> None:
    save_grey_tree(src, 1)
    out.write_bytes(b"a file")
    with pytest.raises(OutputError, match="out"):
        go()
    assert out.read_bytes() == b"a file"


def test_a_disk_that_fills_up_ends_the_run_and_the_next_one_goes_on(
    go: Colour, src: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_grey_tree(src, 12)
    write, room = photo.write, [4]
    turn = threading.Lock()

    def limited(path: Path, *rest: Any) -> Any:
        with turn:
            room[0] -= 1
        if room[0] < 0:
            raise OutputError(f"{path}: No space left on device")
        return write(path, *rest)

    monkeypatch.setattr(photo, "write", limited)
    with pytest.raises(OutputError, match="No space"):
        go()
    assert not (out / LOCK).exists()
    made = times(out)
    assert len(made) == 4
    assert sum(row.status == DONE for row in read_rows(out).values()) == 4
    room[0] = 100
    assert {row.status for row in go()} == {DONE}
    assert made.items() <= times(out).items()


def test_another_collection_of_the_same_names_is_refused(
    go: Colour, src: Path, out: Path, ink: Path, tmp_path: Path
) -> None:
    save(src / "1.png", grey())
    go()
    before = contents(out)
    other = save(tmp_path / "other/1.png", grey(seed=1)).parent
    with pytest.raises(OutputError, match="choose another --out"):
        colour(other, out=out, model=ink)
    assert contents(out) == before
    (row,) = colour(other, out=out, model=ink, overwrite=True)
    assert (row.status, row.source) == (DONE, str(other / "1.png"))


def test_a_collection_that_has_moved_goes_on_where_it_was(
    go: Colour, src: Path, out: Path, ink: Path, tmp_path: Path
) -> None:
    save_grey_tree(src, 3)
    rows, before = go(), times(out)
    for copy in (src.rename(tmp_path / "moved"), shutil.copytree(tmp_path / "moved", tmp_path / "copied")):
        assert colour(copy, out=out, model=ink) == rows
    assert times(out) == before


def test_nothing_found(go: Colour, src: Path, out: Path) -> None:
    with pytest.raises(NoInputError):
        go()
    assert not out.exists()


def test_no_weights(go: Colour, src: Path, out: Path, tmp_path: Path) -> None:
    save_grey_tree(src, 1)
    with pytest.raises(WeightsError, match="nowhere"):
        go(model=tmp_path / "nowhere")
    assert go()[0].status == DONE


@pytest.mark.parametrize(
    "options",
    [{"quality": 0}, {"format": "bmp"}, {"suffix": "a/b"}, {"limit": 0}, {"batch": -1}, {"strength": 3}, {"size": 8},
     {"tiles": "some"}, {"workers": -1}, {"max_megapixels": 0}, {"device": "abacus"}, {"precision": "fp16"}],
)  # fmt: skip
def test_wrong_options_are_refused_by_name(go: Colour, src: Path, options: dict[str, Any]) -> None:
    save_grey_tree(src, 1)
    with pytest.raises(UsageError, match="--" + next(iter(options)).replace("_", "-")):
        go(**options)


def test_the_documented_calls(src: Path, out: Path, ink: Path) -> None:
    save(src / "a.png", grey())
    (row,) = archivecolor.run(src, out=out, model=str(ink), device="cpu")
    assert row.status == DONE
    with archivecolor.Colorizer(ink, device="cpu") as colorizer:
        assert colorizer.colorize(grey()).shape == (40, 56, 3)


# --- stopped and killed -----------------------------------------------------------------------------------------------


def options_of(src: Path, out: Path, model: Path, **more: Any) -> RunOptions:
    given = RunOptions((str(src),), out, str(model), ColorOptions(64), device="cpu", precision="fp32", workers=2)
    given = replace(given, disclosure=Disclosure(sidecar=False))
    return replace(given, **more)


def test_stop_finishes_what_is_in_hand_and_leaves_the_rest(go: Colour, src: Path, out: Path, ink: Path) -> None:
    save_grey_tree(src, 20)
    seen: list[str] = []

    def watch(name: str, row: Record | None, total: int) -> None:
        assert row is not None
        assert row.status == DONE
        assert total == 20
        seen.append(name)

    rows = drive(options_of(src, out, ink), watch, lambda: len(seen) >= 3)
    assert 3 <= len(seen) < 15
    assert sorted(row.input for row in rows) == sorted(seen)
    assert sorted(times(out)) == sorted(seen)
    made = times(out)
    assert len(go()) == 20
    assert made.items() <= times(out).items(), "what was made is not made again"


def test_watch_hears_of_every_input_once(src: Path, out: Path, ink: Path) -> None:
    save_grey_tree(src, 5)
    (src / "broken.png").write_bytes(b"")
    for expected in (DONE, None):
        heard: dict[str, Record | None] = {}

        def watch(name: str, row: Record | None, total: int, heard: dict[str, Record | None] = heard) -> None:
            assert name not in heard
            heard[name] = row

        drive(options_of(src, out, ink), watch)
        assert len(heard) == 6
        assert {row.status if row else None for name, row in heard.items() if name != "broken.png"} == {expected}


def test_killed_at_30_moments_and_resumed_is_as_if_never_killed(
    go: Colour, src: Path, out: Path, tmp_path: Path
) -> None:
    """kill -9 at 30 random moments: some while it starts, most while it works."""
    save_grey_tree(src, 60, height=50, width=70)
    (src / "broken.png").write_bytes(b"")
    save(src / "colour.png", colourful())
    undisturbed = tmp_path / "undisturbed"
    expected = by_name(go(out=undisturbed))
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["archivecolor.run"])  # so that each child starts within milliseconds
    chance, killed_midway = random.Random(), 0
    for kill in range(30):
        child = processes.Process(target=colour_slowly, args=(src, out, tmp_path / "weights/inky"))
        child.start()
        if kill % 3:
            wait_for_progress(out, child)
        time.sleep(chance.uniform(0, 0.05))
        child.kill()
        child.join()
        killed_midway += child.exitcode != 0 and 0 < done_lines(out) < 60
        for name, content in contents(out, own_words).items():
            assert content == (undisturbed / name).read_bytes(), "a target appears whole or not at all"
    assert killed_midway >= 15, "few kills came in the midst of the work: the test tests little"
    rows = by_name(go(disclosure=Disclosure()))
    assert contents(out, own_words) == contents(undisturbed, own_words)
    plain = {name: replace(row, seconds={}, sidecar=False) for name, row in rows.items()}
    assert plain == {name: replace(row, seconds={}) for name, row in expected.items()}
    assert verify(out).sound, "no part, no lock, no sidecar too many or too few"


def own_words(path: Path) -> bool:
    """What is hidden, and what tells the time, and so differs from run to run."""
    return path.name.startswith(".") or path.name == MANIFEST or path.suffix == ".json"


def done_lines(out: Path) -> int:
    path = out / MANIFEST
    return path.read_bytes().count(b'"status": "done"') if path.exists() else 0


def wait_for_progress(out: Path, child: Any, patience_s: float = 60) -> None:
    """Until the child has finished one more picture, or is through."""
    before, end = done_lines(out), time.monotonic() + patience_s
    while done_lines(out) <= before and child.is_alive():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.002)


# --- memory -----------------------------------------------------------------------------------------------------------


def test_the_budget_is_never_exceeded_and_large_ones_go_alone() -> None:
    budget, held, turn = Budget(10), [0.0], threading.Lock()
    wrong: list[float] = []

    def take(size: float) -> None:
        with budget.held(size):
            with turn:
                held[0] += size
                if held[0] > 10 and held[0] != size:
                    wrong.append(held[0])
            time.sleep(0.002)
            with turn:
                held[0] -= size

    sizes = [
        random.Random(i).choice([0.125, 3.25, 6, 25]) for i in range(60)
    ]  # exact in binary: their sums do not drift
    threads = [threading.Thread(target=take, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "someone waits for ever"
    assert wrong == []


def test_the_budget_gives_back_after_an_error() -> None:
    budget = Budget(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="x"), budget.held(0.7):
            raise ValueError("x")
    with budget.held(25):
        pass


def test_no_more_pictures_are_in_memory_than_the_budget_allows(
    go: Colour, src: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_grey_tree(src, 12)
    monkeypatch.setattr("archivecolor.run.IN_FLIGHT_MEGAPIXELS", 2.5 * 40 * 56 / 1e6)  # two of them, not three
    inside, most, turn = [0], [0], threading.Lock()
    read, write = photo.read, photo.write

    def counted_read(*given: Any) -> Any:
        with turn:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.01)
        return read(*given)

    def counted_write(*given: Any) -> Any:
        with turn:
            inside[0] -= 1
        return write(*given)

    monkeypatch.setattr(photo, "read", counted_read)
    monkeypatch.setattr(photo, "write", counted_write)
    assert {row.status for row in go(workers=6)} == {DONE}
    assert most[0] == 2


def test_pictures_that_fit_are_held_together() -> None:
    budget, both = Budget(10), threading.Barrier(2, timeout=10)

    def take() -> None:
        with budget.held(5):
            both.wait()

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert not both.broken


def test_the_ink_is_what_the_tests_think(ink: Path) -> None:
    from archivecolor import weights

    network, card = weights.load(ink)
    assert isinstance(network, ConstantInk)
    assert card.network == "ink"
