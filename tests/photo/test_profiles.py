"""An ICC profile never fails a picture: it is used, or its tone curve is, or a note says that it was ignored."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from support.doubles import colour, grey, lightness

from archivecolor import photo
from archivecolor.imaging import luminance
from archivecolor.photo import SRGB_ICC, Page, Photo, profiles
from archivecolor.photo import samples as convert

ADOBE = bytes(imagecodecs.cms_profile("adobergb"))
GREY_18 = bytes(imagecodecs.cms_profile("gray", gamma=1.8))
RGB = np.stack([grey()] * 3, axis=-1)


def of_class(name: bytes, icc: bytes = SRGB_ICC) -> bytes:
    return icc[:12] + name + icc[16:]


def of_space(name: bytes) -> bytes:
    return SRGB_ICC[:16] + name + SRGB_ICC[20:]


def with_tag(icc: bytes, tag: bytes, content: bytes) -> bytes:
    """The profile with the first bytes of a tag's content replaced."""
    row = icc.index(tag, 128)
    at = int.from_bytes(icc[row + 4 : row + 8], "big")
    return icc[:at] + content + icc[at + len(content) :]


def lightness_of_gamma(samples: Any, gamma: float) -> Any:
    y = (samples / np.iinfo(samples.dtype).max) ** gamma
    return np.where(y > 216 / 24389, 116 * np.cbrt(y) - 16, y * 24389 / 27)


def with_own_red_curve(icc: bytes) -> bytes:
    """The profile with a curve of gamma 1.8 for red."""
    row, end = icc.index(b"rTRC", 128), len(icc) + len(icc) % 4
    curve = b"curv" + struct.pack(">2IH", 0, 1, round(1.8 * 256))
    icc = icc[: row + 4] + struct.pack(">2I", end, len(curve)) + icc[row + 12 :].ljust(end - row - 12, b"\0") + curve
    return struct.pack(">I", len(icc)) + icc[4:]


BLACK = with_tag(with_tag(with_tag(SRGB_ICC, b"rXYZ", bytes(20)), b"gXYZ", bytes(20)), b"bXYZ", bytes(20))
UNUSABLE = {
    "cut off": (SRGB_ICC[:300], "damaged colour profile"),
    "a header alone": (SRGB_ICC[:128], "damaged colour profile"),
    "no tags": (SRGB_ICC[:128] + bytes(4), "damaged colour profile"),
    "junk": (b"junk" * 90, "damaged colour profile"),
    "one byte": (b"x", "damaged colour profile"),
    "no colours": (BLACK, "damaged colour profile"),
    "link": (of_class(b"link"), "device link profile"),
    "abstract": (of_class(b"abst"), "abstract profile"),
    "named colours": (of_class(b"nmcl"), "profile of named colours"),
    "Lab": (of_space(b"Lab "), "colour profile for Lab"),
    "CMYK": (of_space(b"CMYK"), "colour profile for CMYK"),
    "no space": (of_space(bytes(4)), "damaged colour profile"),
}


@pytest.mark.parametrize("samples", [grey(), grey(dtype=np.uint16), RGB], ids=["grey", "grey 16", "RGB"])
@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_profile_that_cannot_be_used_is_ignored_with_a_note(kind: str, samples: Any) -> None:
    icc, fault = UNUSABLE[kind]
    page = profiles.with_profile(Page(samples), icc)
    assert page.icc is None
    assert page.notes == (f"{fault} ignored: read as sRGB",)


def test_a_grey_profile_without_its_curve_is_ignored() -> None:
    page = profiles.with_profile(Page(grey()), with_tag(GREY_18, b"kTRC", b"junk"))
    assert (page.icc, page.notes) == (None, ("damaged colour profile ignored: read as sRGB",))
    page = profiles.with_profile(Page(RGB), GREY_18)
    assert (page.icc, page.notes) == (None, ("colour profile for GRAY ignored: read as sRGB",))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["one curve", "a curve for each channel"])
def test_a_grey_picture_takes_the_tone_curve_of_an_rgb_profile(kind: str, dtype: Any) -> None:
    samples = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(16, -1)
    icc, tolerance = (ADOBE, 2e-3) if kind == "one curve" else (with_own_red_curve(ADOBE), 0.02)
    page = profiles.with_profile(Page(samples), icc)
    assert page.icc is not None and page.icc[16:20] == b"GRAY"
    assert page.notes == ("RGB colour profile on a grey picture: its tone curve used",)
    seen = luminance.lightness_function(samples.dtype, True, page.icc)(samples)
    neutral = luminance.lightness_function(samples.dtype, False, icc)(np.stack([samples] * 3, axis=-1))
    assert np.abs(seen - neutral).max() < tolerance


@pytest.mark.parametrize(("format", "bits"), [("jpeg", 8), ("png", 8), *((f, 16) for f in ("png", "tiff", "jp2"))])
def test_grey_files_with_an_rgb_profile_are_read(tmp_path: Path, format: str, bits: int) -> None:
    samples = grey(dtype=np.uint8 if bits == 8 else np.uint16)
    cover = None if format == "jpeg" else samples[::-1].copy()
    photo.write(tmp_path / "a", Photo(format, (Page(samples, icc=ADOBE, alpha=cover),)), format, quality=100)
    page = photo.read(tmp_path / "a").pages[0]
    seen = luminance.lightness_function(page.samples.dtype, True, page.icc)(page.samples)
    assert np.abs(seen - lightness_of_gamma(page.samples, 563 / 256)).max() < 0.05


def test_a_run_colours_them_and_embeds_a_profile_that_fits(src: Path, out: Path, ink: Path) -> None:
    Image.fromarray(grey()).save(src / "adobe.png", icc_profile=ADOBE)
    Image.fromarray(grey()).save(src / "cut.jpg", icc_profile=SRGB_ICC[:300], quality=95)
    Image.fromarray(grey()).save(src / "own.tif", icc_profile=SRGB_ICC)
    rows = {Path(row.source).name: row for row in colour(src, out=out, model=ink)}
    assert {row.status for row in rows.values()} == {"done"}
    pages = {name: photo.read(out / name).pages[0] for name in rows}
    assert {name: page.icc for name, page in pages.items()} == {
        "adobe.png": SRGB_ICC,
        "cut.jpg": None,
        "own.tif": SRGB_ICC,
    }
    assert np.abs(lightness(pages["adobe.png"].samples) - lightness_of_gamma(grey(), 563 / 256)).max() < 0.3
    assert np.abs(lightness(pages["own.tif"].samples) - lightness(grey())).max() < 0.3


@pytest.mark.parametrize(
    "icc", [SRGB_ICC, GREY_18, of_space(b"CMYK"), of_class(b"link", of_space(b"CMYK")), b"junk", None]
)
def test_cmyk_with_any_profile_is_converted(icc: bytes | None) -> None:
    ink = np.zeros((2, 2, 4), np.uint8)
    ink[1, :, 3] = 255
    rgb, note = convert.rgb_from_cmyk(ink, icc)
    assert rgb[:, 0].tolist() == [[255] * 3, [0] * 3]
    assert note == "CMYK without a usable profile converted to sRGB by the plain formula"


def test_jp2_of_four_channels_with_a_cmyk_profile_is_cmyk(tmp_path: Path) -> None:
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[8:, :, 3] = 255
    photo.write(
        tmp_path / "a.jp2", Photo("jp2", (Page(ink[..., :3], alpha=ink[..., 3], icc=of_space(b"CMYK")),)), "jp2"
    )
    page = photo.read(tmp_path / "a.jp2").pages[0]
    assert page.samples[[0, -1], 0].tolist() == [[255] * 3, [0] * 3]
    assert (page.alpha, page.icc) == (None, None)
    assert page.notes == ("CMYK without a usable profile converted to sRGB by the plain formula",)
