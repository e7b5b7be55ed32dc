"""The collection of awkward files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.pages import ARCHIVE

from archivecolor import photo
from archivecolor.errors import PictureError, TooLargeError, UnreadableError, UnsupportedError

# --- the hostile collection -------------------------------------------------------------------------------------------


def awkward() -> list[Path]:
    folder = ARCHIVE / "awkward"
    return sorted(folder.iterdir()) if folder.is_dir() else []


@pytest.fixture
def collection() -> Path:
    if not awkward():
        pytest.skip(f"the awkward files are not at {ARCHIVE}")
    return ARCHIVE / "awkward"


def test_every_awkward_file_gives_a_photo_or_a_reason(collection: Path) -> None:
    done = 0
    for path in awkward():
        try:
            read = photo.read(path, max_megapixels=100)
        except PictureError as error:
            assert len(str(error)) > 15, path.name
            assert path.name not in str(error)
            continue
        done += 1
        for page in read.pages:
            assert page.samples.dtype in (np.uint8, np.uint16), path.name
            assert page.samples.ndim == 2 or page.samples.shape[2:] == (3,), path.name
            assert 1 <= page.orientation <= 8
    assert done >= 60


@pytest.mark.parametrize(
    "name, error",
    [
        ("derived_fsa_truncated_60pct.jpg", UnreadableError),
        ("pillow_truncated_jpeg.jpg", UnreadableError),
        ("exif-samples_corrupted.jpg", UnreadableError),
        ("sharp_truncated.png", UnreadableError),
        ("pillow_truncated_image.png", UnreadableError),
        ("pillow_broken_data_stream.png", UnreadableError),
        ("libvips_truncated.gif", UnreadableError),
        ("pillow_crash-63b1dffefc8c075ddc606c0a2f5fdc15ece78863.tif", UnreadableError),
        ("pillow_decompression_bomb.gif", TooLargeError),
        ("pillow_decompression_bomb.ico", TooLargeError),
        ("sharp_giant-image.jpg", TooLargeError),
        ("libvips_multi-channel-z-series.ome.tif", UnsupportedError),
    ],
)
def test_awkward_refusals(collection: Path, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        photo.read(collection / name, max_megapixels=200)


@pytest.mark.parametrize(
    "name", ["pillow_multipage.tiff", "sharp_G31D_MULTI.TIF", "pillow_tiff_strip_planar_lzw.tiff", "libvips_4bit.tif"]
)
def test_awkward_tiffs_agree_with_libtiff(collection: Path, name: str) -> None:
    page = photo.read(collection / name).pages[0]
    with Image.open(collection / name) as image:
        expected = np.asarray(image.convert("RGB" if page.samples.ndim == 3 else "L"))
    np.testing.assert_array_equal(page.samples, expected)


def test_awkward_lossless_files_come_back_unchanged(collection: Path, tmp_path: Path) -> None:
    seen = 0
    for path in awkward():
        if path.suffix.lower() not in (".tif", ".tiff", ".png", ".jp2") or path.stat().st_size > 300_000:
            continue
        try:
            source = photo.read(path)
        except PictureError:
            continue
        photo.write(tmp_path / path.name, source, photo.writable_format(source, "same"))
        back = photo.read(tmp_path / path.name)
        for before, after in zip(source.pages, back.pages, strict=True):
            np.testing.assert_array_equal(after.samples, before.samples)
            for name in ("icc", "dpi", "xmp", "iptc", "description", "orientation"):
                assert getattr(after, name) == getattr(before, name), (path.name, name)
        seen += 1
    assert seen >= 30
