"""Pictures too large to be held: read, coloured and written a few rows at a time, with the same result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from support.doubles import INK, colour, colourful, grey, lab_of, lightness

from archivecolor import photo
from archivecolor.errors import PictureError
from archivecolor.inference.colorizer import Colorizer
from archivecolor.options import ColorizerOptions, ColorOptions, Strips
from archivecolor.photo.strips import Reduced, tiled

SMALL = Strips(above=0.05, short_side=256)
GREY = grey(600, 1000, np.uint16)
RGBA = np.stack([GREY, GREY // 2, GREY // 3, GREY], axis=-1)

LAYOUTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "strips": (GREY, {}),
    "one strip": (GREY, {"rowsperstrip": 600}),
    "one packed strip": (GREY, {"rowsperstrip": 600, "compression": "zlib", "predictor": 2}),
    "strips of 7": (GREY, {"rowsperstrip": 7, "compression": "lzw"}),
    "big-endian": (GREY, {"byteorder": ">"}),
    "tiles": (GREY, {"tile": (128, 64), "compression": "zstd"}),
    "white is zero": (GREY, {"photometric": "miniswhite"}),
    "12 bit": (GREY >> 4, {"bitspersample": 12}),
    "1 bit": (GREY > 30_000, {"photometric": "minisblack"}),
    "BigTIFF": (GREY, {"bigtiff": True}),
    "RGBA": (RGBA, {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "premultiplied": (RGBA, {"photometric": "rgb", "extrasamples": ["assocalpha"]}),
    "planes": (np.moveaxis(RGBA[..., :3], -1, 0), {"photometric": "rgb", "planarconfig": "separate"}),
    "planes in tiles": (
        np.moveaxis(RGBA[..., :3], -1, 0),
        {"photometric": "rgb", "planarconfig": "separate", "tile": (64, 64), "compression": "zlib"},
    ),
    "JPEG inside": ((RGBA[..., :3] >> 8).astype(np.uint8), {"photometric": "rgb", "compression": "jpeg"}),
    "CMYK": ((RGBA >> 8).astype(np.uint8), {"photometric": "separated"}),
}


def drawn(page: photo.Page) -> tuple[Any, Any]:
    """All rows of a page's scan, and their alpha or None."""
    assert page.scan is not None
    bands = list(page.scan.bands())
    alpha = None if bands[0][1] is None else np.concatenate([part for _, part in bands])
    return np.concatenate([rows for rows, _ in bands]), alpha


@pytest.mark.parametrize("layout", LAYOUTS)
def test_strip_by_strip_gives_the_samples_that_reading_whole_gives(tmp_path: Path, layout: str) -> None:
    data, options = LAYOUTS[layout]
    tifffile.imwrite(tmp_path / "x.tif", data, metadata=None, **options)
    whole = photo.read(tmp_path / "x.tif").pages[0]
    page = photo.read(tmp_path / "x.tif", strips=SMALL).pages[0]
    samples, alpha = drawn(page)
    np.testing.assert_array_equal(samples, whole.samples)
    assert (alpha is None) == (whole.alpha is None)
    if alpha is not None:
        np.testing.assert_array_equal(alpha, whole.alpha)
    assert page.notes == whole.notes
    assert (page.height, page.width) == (600, 1000)
    assert min(page.samples.shape[:2]) == 256


@settings(max_examples=40, deadline=None)
@given(height=st.integers(2, 90), width=st.integers(2, 60), side=st.integers(1, 50), cut=st.integers(1, 40))
def test_the_reduced_copy_is_the_area_average(height: int, width: int, side: int, cut: int) -> None:
    picture = grey(height, width, np.uint16)
    reduced = Reduced(height, width, side)
    for top in range(0, height, cut):
        reduced.add(picture[top : top + cut])
    copy = reduced.samples()

    def shares(length: int, parts: int) -> Any:
        edges = np.arange(parts + 1) * (length / parts)
        at = np.arange(length)
        return (np.minimum(edges[1:, None], at + 1) - np.maximum(edges[:-1, None], at)).clip(0) * (parts / length)

    expected = shares(height, copy.shape[0]) @ picture.astype(float) @ shares(width, copy.shape[1]).T
    assert np.abs(copy - expected).max() < 1.5
    assert 2 * min(copy.shape) <= min(height, width) + 1


def test_tiles_put_together_are_the_picture() -> None:
    whole = [grey(256, 700), grey(256, 700, seed=1), grey(31, 700, seed=2)]
    tiles = list(tiled(iter(whole), 700))
    rows = [np.concatenate(tiles[at : at + 3], axis=1)[:, :700] for at in range(0, 9, 3)]
    np.testing.assert_array_equal(np.concatenate(rows)[: 256 + 256 + 31], np.concatenate(whole))


def test_a_large_scan_is_done_as_a_small_one_is(src: Path, out: Path, ink: Path) -> None:
    extra = (270, "s", 0, b"Hafen", True), (315, "s", 0, b"Lange", True)
    with tifffile.TiffWriter(src / "a.tif") as tif:
        for page in (GREY, grey(500, 700, np.uint16, seed=3)):
            tif.write(page, metadata=None, resolution=(600, 600), resolutionunit="inch", extratags=extra)
    [whole] = colour(src, out=out / "whole", model=ink, size=128)
    [row] = colour(src, out=out / "strips", model=ink, size=128, strips_above=0.05)
    fields = ("status", "width", "height", "depth", "pages", "format", "notes")
    assert [getattr(row, name) for name in fields] == [getattr(whole, name) for name in fields]
    assert row.max_delta_l <= 0.002
    made, other = photo.read(out / "strips/a.tif"), photo.read(out / "whole/a.tif")
    with tifffile.TiffFile(out / "strips/a.tif") as written:
        assert all(page.is_tiled for page in written.pages)
    for one, two in zip(made.pages, other.pages, strict=True):
        assert one.samples.dtype == np.uint16
        assert np.abs(lab_of(one.samples) - lab_of(two.samples)).max() < 0.1
        for name in ("dpi", "description", "tags", "xmp", "orientation"):
            assert getattr(one, name) == getattr(two, name)
    assert np.abs(lab_of(made.pages[0].samples)[..., 1:].mean((0, 1)) - INK).max() < 2
    assert np.abs(lightness(made.pages[0].samples) - lightness(GREY)).max() < 0.01


def test_pages_in_colour_and_transparency_pass_through(src: Path, out: Path, ink: Path) -> None:
    coloured = np.repeat(np.repeat(colourful(100, 150), 3, axis=0), 3, axis=1)
    with tifffile.TiffWriter(src / "a.tif") as tif:
        tif.write(
            np.dstack([GREY, GREY, GREY, GREY[::-1]]), photometric="rgb", extrasamples=["unassalpha"], metadata=None
        )
        tif.write(coloured, photometric="rgb", metadata=None)
    [row] = colour(src, out=out, model=ink, strips_above=0.05)
    first, second = photo.read(out / "a.tif").pages
    assert row.status == "done"
    np.testing.assert_array_equal(first.alpha, GREY[::-1])
    np.testing.assert_array_equal(second.samples, coloured)


def test_the_copy_shows_the_network_what_the_picture_would(ink: Path, tmp_path: Path) -> None:
    picture = grey(900, 700, np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", picture, metadata=None)
    page = photo.read(tmp_path / "x.tif", strips=Strips(0.1, 256)).pages[0]
    with Colorizer(ink, ColorizerOptions(color=ColorOptions(size=64), device="cpu", precision="fp32")) as colorizer:
        whole = colorizer.predict_colors(picture).chroma.maps
        copy = colorizer.predict_colors(page.samples, size=(900, 700)).chroma
    assert (copy.height, copy.width) == (900, 700)
    assert float((copy.maps - whole).abs().max()) < 0.05


def test_other_formats_are_not_held_back_by_the_threshold(src: Path, out: Path, ink: Path) -> None:
    tifffile.imwrite(src / "a.tif", GREY, metadata=None)
    [row] = colour(src, out=out, model=ink, strips_above=0.05, format="png")
    assert (row.status, row.output) == ("done", "a.png")


def test_a_source_damaged_between_the_two_readings_is_its_own_fault(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", GREY, metadata=None, compression="zlib", rowsperstrip=50)
    page = photo.read(tmp_path / "x.tif", strips=SMALL).pages[0]
    with (tmp_path / "x.tif").open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(PictureError):
        photo.write(tmp_path / "y.tif", photo.Photo("tiff", (page,)), "tiff")
    assert not (tmp_path / "y.tif").exists()


def test_memory_is_planned_by_what_will_be_held(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", GREY, metadata=None, compression="zlib")
    assert photo.measure(tmp_path / "x.tif") == pytest.approx(1.2)
    assert photo.measure(tmp_path / "x.tif", SMALL) == pytest.approx(50)
