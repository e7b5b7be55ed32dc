"""Writing: other libraries read it, what a format cannot hold is noted, a target appears whole or not at all."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from support.pages import IPTC, XMP, again, ramp, smooth

from archivecolor import photo
from archivecolor.errors import OutputError, UnsupportedError
from archivecolor.photo import SRGB_ICC, Page, Photo
from archivecolor.photo import samples as convert

# --- other libraries read what was written ----------------------------------------------------------------------------


def test_other_libraries_read_16_bit_files(tmp_path: Path) -> None:
    samples = ramp((11, 13, 3), np.uint16)
    for format in ("png", "tiff", "jp2"):
        path = tmp_path / f"x.{format}"
        photo.write(path, Photo(format, (Page(samples, icc=SRGB_ICC, dpi=(300.0, 300.0), xmp=XMP),)), format)
        seen = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(seen[..., ::-1], samples)


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp", "avif"])
def test_pillow_sees_the_envelope(tmp_path: Path, format: str) -> None:
    page = Page(smooth(16, 16), icc=SRGB_ICC, dpi=(300.0, 300.0), xmp=XMP, orientation=6, iptc=IPTC)
    photo.write(tmp_path / "x", Photo(format, (page,)), format)
    with Image.open(tmp_path / "x") as seen:
        assert seen.info["icc_profile"] == SRGB_ICC
        assert seen.getexif().get(274, 1) == (1 if format == "avif" else 6)
        assert XMP.decode() in str(seen.info["xmp"])
        if format in ("jpeg", "png", "tiff"):
            assert seen.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        if format == "jpeg":
            assert seen.info["photoshop"][0x0404] == IPTC


def test_srgb_profile_is_srgb_and_carries_no_clock() -> None:
    colours = ramp((16, 16, 3), np.uint8)
    ours = ImageCms.ImageCmsProfile(io.BytesIO(SRGB_ICC))
    seen = ImageCms.profileToProfile(Image.fromarray(colours), ours, ImageCms.createProfile("sRGB"))
    assert np.abs(np.asarray(seen).astype(int) - colours).max() <= 1
    assert SRGB_ICC[24:36] == struct.pack(">6H", 2026, 1, 1, 0, 0, 0)


def test_jpeg_keeps_chroma_at_full_size(tmp_path: Path) -> None:
    samples = np.zeros((32, 32, 3), np.uint8)
    samples[:, ::2, 0] = 255
    samples[:, 1::2, 2] = 255
    back = again(tmp_path, Page(samples), "jpeg")
    assert np.abs(back.samples.astype(int) - samples).mean() < 12
    assert Image.open(tmp_path / "out.jpg").layer[0][1:3] == (1, 1)


# --- notes and refusals of the writer ---------------------------------------------------------------------------------


def test_what_a_format_cannot_hold_is_noted(tmp_path: Path) -> None:
    page = Page(ramp((8, 8, 3), np.uint16), alpha=ramp((8, 8), np.uint16), iptc=IPTC)

    def write(format: str) -> tuple[str, ...]:
        return photo.write(tmp_path / format, Photo("tiff", (page,)), format)

    assert write("jpeg") == ("16 bit written as 8 bit JPEG", "transparency not carried by JPEG")
    assert write("webp") == ("16 bit written as 8 bit WebP", "IPTC not carried by WebP")
    assert write("png") == ()
    assert write("tiff") == ()


def test_8_bit_conversion_is_rounded() -> None:
    values = np.array([[0, 128, 129, 257, 65535, 65407]], np.uint16)
    np.testing.assert_array_equal(convert.to_8_bit(values), [[0, 0, 1, 1, 255, 255]])


def test_many_pages_need_tiff(tmp_path: Path) -> None:
    page = Page(smooth(4, 4))
    with pytest.raises(UnsupportedError, match="--format tiff"):
        photo.write(tmp_path / "x.jpg", Photo("tiff", (page, page)), "jpeg")
    assert list(tmp_path.iterdir()) == []


def test_too_wide_for_webp(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="16383"):
        photo.write(tmp_path / "x.webp", Photo("tiff", (Page(np.zeros((1, 16384, 3), np.uint8)),)), "webp")


def test_grey_profile_never_lands_on_colour(tmp_path: Path) -> None:
    grey = bytearray(SRGB_ICC)
    grey[16:20] = b"GRAY"
    assert again(tmp_path, Page(smooth(4, 4), icc=bytes(grey)), "png").icc == SRGB_ICC


def test_own_xmp_replaces_the_sources(tmp_path: Path) -> None:
    assert again(tmp_path, Page(smooth(4, 4), xmp=b"<old/>"), "png", xmp=XMP).xmp == XMP


@pytest.mark.parametrize("format", ["jpeg", "tiff"])
@pytest.mark.parametrize("fault", ["fsync", "replace"])
def test_target_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, fault: str
) -> None:
    target = tmp_path / "x"
    target.write_bytes(b"what was there before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, fault, full)
    with pytest.raises(OutputError, match=r"No space left on device"):
        photo.write(target, Photo(format, (Page(smooth(8, 8)),)), format)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert target.read_bytes() == b"what was there before"


def test_failure_in_the_middle_of_a_tiff_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = tifffile.TiffWriter.write, []

    def second_page_fails(self: Any, *args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        return real(self, *args, **options)

    monkeypatch.setattr(tifffile.TiffWriter, "write", second_page_fails)
    with pytest.raises(OutputError, match="Input/output"):
        photo.write(tmp_path / "x.tif", Photo("tiff", (Page(smooth(8, 8)),) * 3), "tiff")
    assert list(tmp_path.iterdir()) == []


def test_suffixes_and_formats() -> None:
    assert photo.suffix_for("jpeg", ".JPG") == ".JPG"
    assert photo.suffix_for("tiff", ".tiff") == ".tiff"
    assert photo.suffix_for("png", ".jpg") == ".png"
    plain, deep = Page(smooth(4, 4)), Page(ramp((4, 4, 3), np.uint16))
    kinds = {"jpeg": "jpeg", "pnm": "png", "gif": "png", "heic": "jpeg", "jp2": "jp2"}
    assert {f: photo.writable_format(Photo(f, (plain,)), "same") for f in kinds} == kinds
    assert photo.writable_format(Photo("jpeg", (plain,)), "tiff") == "tiff"
    assert photo.writable_format(Photo("heic", (deep,)), "same") == "png"
    clear = Page(smooth(4, 4), alpha=smooth(4, 4)[..., 0])
    assert photo.writable_format(Photo("heic", (clear,)), "same") == "png"
    assert {".jpg", ".tif", ".heic", ".psd", ".pgm"} <= photo.SUFFIXES
    assert ".txt" not in photo.SUFFIXES
