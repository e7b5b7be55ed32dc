"""Photoshop, HEIC and the rarer codings inside PNG, TIFF and JPEG."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support import format_table
from support.doubles import colour, grey, lab_of, lightness
from support.fuzz_readers import psd as flat_psd
from support.needs import package

from archivecolor import photo
from archivecolor.errors import UnsupportedError
from archivecolor.photo import exif

# --- Photoshop and HEIC -----------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(deep=st.booleans(), packed=st.booleans(), height=st.integers(1, 30), width=st.integers(1, 40))
def test_psd_samples_are_exact(tmp_path_factory: Any, deep: bool, packed: bool, height: int, width: int) -> None:
    dtype = np.uint16 if deep else np.uint8
    samples = np.random.default_rng(height * width).integers(0, 1 << 8 * (1 + deep), (3, height, width)).astype(dtype)
    raw = samples.astype(samples.dtype.newbyteorder(">"))
    if packed:
        rows = [imagecodecs.packbits_encode(row.tobytes()) for plane in raw for row in plane]
        body = b"\0\1" + b"".join(struct.pack(">H", len(row)) for row in rows) + b"".join(rows)
    else:
        body = b"\0\0" + raw.tobytes()
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, height, width, 8 * (1 + deep), 3) + bytes(12)
    path = tmp_path_factory.mktemp("psd") / "a.psd"
    path.write_bytes(head + body)
    np.testing.assert_array_equal(photo.read(path).pages[0].samples, np.moveaxis(samples, 0, -1))


def test_psd_agrees_with_pillow_and_without_a_flat_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.psd").write_bytes(flat_psd())
    with Image.open(tmp_path / "a.psd") as seen:
        np.testing.assert_array_equal(photo.read(tmp_path / "a.psd").pages[0].samples, np.asarray(seen))
    data = flat_psd()
    version = b"8BIM\x04\x21\0\0\0\0\0\5\0\0\0\1\0\0"
    (tmp_path / "b.psd").write_bytes(data[:30] + struct.pack(">I", len(version)) + version + data[34:])
    with pytest.raises(UnsupportedError, match="Maximize Compatibility"):
        photo.read(tmp_path / "b.psd")


@pytest.mark.parametrize("mode", ["L", "CMYK", "LAB", "1", "P"])
def test_psd_modes(tmp_path: Path, mode: str) -> None:
    number, channels, bits = {"L": (1, 1, 8), "CMYK": (4, 4, 8), "LAB": (9, 3, 8), "1": (0, 1, 1), "P": (2, 1, 8)}[mode]
    palette = bytes(range(256)) * 3 if mode == "P" else b""
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHHI", channels, 4, 8, bits, number, len(palette)) + palette
    plane = bytes([0b10100000] * 4) if mode == "1" else bytes(range(32))
    (tmp_path / "a.psd").write_bytes(head + bytes(10) + plane * channels)
    page = photo.read(tmp_path / "a.psd").pages[0]
    assert page.samples.shape == ((4, 8) if mode in "L1" else (4, 8, 3))
    if mode == "1":
        assert page.samples[0].tolist() == [0, 255, 0, 255, 255, 255, 255, 255]
    if mode == "P":
        assert page.samples[3, 7].tolist() == [31, 31, 31]


def test_heic_is_read_upright_with_its_metadata(tmp_path: Path, out: Path, ink: Path) -> None:
    package("pillow_heif")
    (tmp_path / "src").mkdir()
    source = format_table.make("heic 8", tmp_path / "src")
    page = photo.read(source).pages[0]
    assert page.samples.shape == (56, 40, 3)
    assert page.alpha is not None
    assert np.abs(lab_of(page.samples)[..., 0] - np.rot90(lightness(grey()), -1)).mean() < 3
    [row] = colour(source.parent, out=out, model=ink)
    assert (row.status, row.output) == ("done", "heic_8.heic.png")
    assert exif.text(photo.read(out / "heic_8.heic.png").pages[0].exif, 315) == "Lange"


@pytest.mark.parametrize("compression", ["tiff_ccitt", "group3", "group4", "packbits", "tiff_lzw", "tiff_deflate"])
def test_bilevel_tiffs_agree_with_libtiff(tmp_path: Path, compression: str) -> None:
    bits = grey(60, 77) > 127
    Image.fromarray(bits).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(photo.read(tmp_path / "a.tif").pages[0].samples, bits * np.uint8(255))


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "webp", "png"])
def test_image_codecs_inside_tiff(tmp_path: Path, compression: str) -> None:
    samples = np.stack([grey(48, 64), grey(48, 64, seed=1), grey(48, 64)], axis=-1)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", compression=compression, metadata=None)
    page = photo.read(tmp_path / "a.tif").pages[0]
    assert page.samples.shape == samples.shape
    assert np.abs(page.samples.astype(int) - samples).mean() < 12


@pytest.mark.parametrize("adobe", [True, False])
def test_ycck_and_cmyk_jpegs(tmp_path: Path, adobe: bool) -> None:
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 0], ink[..., 3] = 255, 128  # cyan, half black
    if adobe:
        Image.fromarray(ink, "CMYK").save(tmp_path / "a.jpg", quality=100)
    else:
        (tmp_path / "a.jpg").write_bytes(
            imagecodecs.jpeg8_encode(255 - ink, level=100, colorspace="cmyk", outcolorspace="ycck", subsampling="444")
        )
    page = photo.read(tmp_path / "a.jpg").pages[0]
    assert np.abs(page.samples.reshape(-1, 3).mean(0) - (0, 127, 127)).max() < 3
