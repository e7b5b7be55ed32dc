"""What is written and read again: samples, depth and envelope survive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from support.pages import IPTC, LOSSLESS, XMP, again, exif_of, ramp, smooth

from archivecolor import photo
from archivecolor.imaging.orientation import to_upright
from archivecolor.photo import SRGB_ICC, Page, Photo, exif

# --- the promise: samples, depth and envelope survive -----------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(LOSSLESS),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    colour=st.booleans(),
    alpha=st.booleans(),
    seed=st.integers(0, 99),
)
def test_lossless_formats_keep_every_sample(
    tmp_path: Path, kind: tuple[str, int], height: int, width: int, colour: bool, alpha: bool, seed: int
) -> None:
    format, bits = kind
    dtype = np.uint8 if bits == 8 else np.uint16
    samples = ramp((height, width, 3) if colour else (height, width), dtype, seed)
    cover = ramp((height, width), dtype, seed + 1) if alpha and format != "bmp" else None
    back = again(tmp_path, Page(samples, alpha=cover), format)
    assert back.samples.dtype == dtype
    np.testing.assert_array_equal(back.samples, samples)
    if cover is not None:
        np.testing.assert_array_equal(back.alpha, cover)


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp", "jp2", "avif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_envelope_survives(tmp_path: Path, format: str, orientation: int) -> None:
    page = Page(
        smooth(40, 24),
        icc=SRGB_ICC,
        orientation=orientation,
        dpi=(300.0, 600.0),
        exif=exif_of(artist=b"Dorothea Lange", orientation=orientation),
        xmp=XMP,
        iptc=IPTC,
        description="Grüße aus Nîmes",
    )
    back = again(tmp_path, page, format)
    assert back.icc == SRGB_ICC
    assert back.xmp == XMP
    assert back.description == "Grüße aus Nîmes"
    assert back.iptc == (IPTC if format not in ("webp", "avif") else None)
    stands = format in ("jp2", "avif")
    turned = stands and orientation >= 5
    assert back.dpi == ((600.0, 300.0) if turned else (300.0, 600.0))
    assert back.orientation == (1 if stands else orientation)
    assert back.samples.shape == ((24, 40, 3) if turned else (40, 24, 3))
    artist = exif.text(back.exif, 315) or {tag[0]: tag[3] for tag in back.tags}.get(315, b"").decode()
    assert artist == "Dorothea Lange"


@pytest.mark.parametrize("format", ["bmp", "jp2"])  # and avif, which is lossy
@pytest.mark.parametrize("orientation", range(1, 9))
def test_formats_without_orientation_get_upright_samples(tmp_path: Path, format: str, orientation: int) -> None:
    samples = ramp((5, 7, 3), np.uint8)
    back = again(tmp_path, Page(samples, orientation=orientation), format)
    image = Image.fromarray(samples)
    image.getexif()[274] = orientation
    np.testing.assert_array_equal(back.samples, np.asarray(ImageOps.exif_transpose(image)))
    assert back.orientation == 1


@settings(max_examples=25, deadline=None)
@given(orientation=st.integers(1, 8), height=st.integers(1, 5), width=st.integers(1, 5))
def test_upright_agrees_with_pillow(orientation: int, height: int, width: int) -> None:
    samples = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    image = Image.fromarray(samples)
    image.getexif()[274] = orientation
    np.testing.assert_array_equal(to_upright(samples, orientation, (0, 1)), np.asarray(ImageOps.exif_transpose(image)))


def test_tiff_keeps_pages_in_order_each_with_its_own_envelope(tmp_path: Path) -> None:
    pages = tuple(
        Page(ramp((9 + i, 6, 3), np.uint16, i), icc=SRGB_ICC, dpi=(100.0 + i, 100.0 + i), xmp=XMP + b" " * i,
             orientation=i + 1, description=f"page {i}", tags=((285, "s", 0, b"name %d" % i, True),))
        for i in range(4)
    )  # fmt: skip
    path = tmp_path / "all.tif"
    assert photo.write(path, Photo("tiff", pages), "tiff") == ()
    for page, back in zip(pages, photo.read(path).pages, strict=True):
        np.testing.assert_array_equal(back.samples, page.samples)
        for name in ("icc", "dpi", "xmp", "orientation", "description", "tags"):
            assert getattr(back, name) == getattr(page, name)


def test_exif_directories_go_into_tiff_and_come_out(tmp_path: Path) -> None:
    picture = Image.fromarray(smooth(8, 8))
    block = Image.Exif()
    block.get_ifd(exif.EXIF_IFD)[36867] = "1936:03:06 12:00:00"
    block.get_ifd(exif.EXIF_IFD)[37386] = 50.5
    block.get_ifd(exif.GPS_IFD)[1] = "N"
    picture.save(tmp_path / "a.jpg", exif=block)
    source = photo.read(tmp_path / "a.jpg")
    photo.write(tmp_path / "a.tif", source, "tiff")
    seen = Image.open(tmp_path / "a.tif").getexif()
    assert seen.get_ifd(exif.EXIF_IFD)[36867] == "1936:03:06 12:00:00"
    assert seen.get_ifd(exif.GPS_IFD)[1] == "N"
    photo.write(tmp_path / "b.jpg", photo.read(tmp_path / "a.tif"), "jpeg")
    assert Image.open(tmp_path / "b.jpg").getexif().get_ifd(exif.EXIF_IFD)[37386] == 50.5


def test_exif_is_kept_byte_for_byte_but_for_its_first_directory() -> None:
    before = exif_of(artist=b"A" * 40, orientation=6) + b"maker note at a fixed place"
    after = exif.with_tags(before, {274: 1, 305: b"archivecolor"})
    assert after[8 : len(before)] == before[8:]
    assert exif.orientation(after) == 1
    assert exif.text(after, 315) == "A" * 40
    assert _pillow_exif(after)[305] == "archivecolor"


def _pillow_exif(block: bytes) -> Image.Exif:
    seen = Image.Exif()
    seen.load(b"Exif\0\0" + block)
    return seen


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_no_bytes_upset_the_exif_reader(junk: bytes) -> None:
    for block in (junk, b"II*\0" + junk, b"MM\0*\0\0\0\x08" + junk):
        assert 1 <= exif.orientation(block) <= 8
        dpi = exif.dpi(block)
        assert dpi is None or min(dpi) > 0


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp", "jp2", "avif", "bmp"])
def test_same_input_same_bytes(tmp_path: Path, format: str) -> None:
    page = Page(smooth(30, 20), icc=SRGB_ICC, dpi=(300.0, 300.0), xmp=XMP, exif=exif_of(artist=b"x"))
    photo.write(tmp_path / "a", Photo(format, (page,)), format)
    photo.write(tmp_path / "b", Photo(format, (page,)), format)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
