"""A tree of scans becomes a tree of colour: lightness, colours, shapes, and what a picture carries with it."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from support.doubles import (
    INK,
    colourful,
    contents,
    grey,
    lab_of,
    lightness,
    save_ink,
)
from support.runs import Colour, by_name, delta_l, page, save

from archivecolor import files, photo
from archivecolor.imaging.orientation import to_upright
from archivecolor.photo import SRGB_ICC, Page, Photo
from archivecolor.pipeline.attempt import ALREADY_COLOUR
from archivecolor.provenance import DONE, MANIFEST, SKIPPED, SOURCE_TYPE, read_rows

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
    b = to_upright(lab_of(result.samples)[..., 2], orientation).mean(axis=1)
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


def test_a_colour_photograph_in_a_wide_gamut_profile_is_colour_already(go: Colour, src: Path, out: Path) -> None:
    """The numbers of ProPhoto lie close together: read as sRGB, pale colours would pass for a tint."""
    prophoto = imagecodecs.cms_profile(
        "rgb", whitepoint=(0.3457, 0.3585, 1.0), gamma=1.8,
        primaries=(0.7347, 0.2653, 1.0, 0.1596, 0.8404, 1.0, 0.0366, 0.0001, 1.0),
    )  # fmt: skip
    pale = (colourful() * 0.055 + 120).astype(np.uint8)
    wide = imagecodecs.cms_transform(
        pale, imagecodecs.cms_profile("srgb"), prophoto, colorspace="rgb", outcolorspace="rgb", intent=1
    )
    save(src / "a.tif", wide, iccprofile=prophoto, photometric="rgb")
    (row,) = go()
    assert (row.status, row.reason) == (SKIPPED, ALREADY_COLOUR)


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
